//! Whether this node may stand for election.
//!
//! A node that lost its disk replays the log from its beginning, and with it memberships of the past. One of them
//! may name it as the only voter: electing itself under that, it would be a second leader. The past names it on
//! the disk that it lost, though, so that a node stands only under a membership that knows its own.
//!
//! An older copy of the right disk is known by it. Such a node needs the votes of others, who know better; unless
//! the copy is of a time when it was alone. Then the others' votes show that the cluster went on.

use openraft::async_runtime::watch::WatchReceiver;

use super::identity::{Boot, Lineage};
use crate::node::Participant;
use crate::transport::message::BeatAnswer;
use crate::types::{StoredMembership, Vote};

impl Participant {
    /// Lets this node stand for election, or not, by what it knows now; says which.
    pub(crate) fn judge_candidacy(&self) -> bool {
        let own_vote = self.raft.server_metrics().borrow_watched().vote;
        let stands = self.roster.may_stand(own_vote);
        self.raft.runtime_config().elect(stands);
        stands
    }
}

/// Whether `membership` names node `node_id` on the disk of this start.
pub(super) fn may_stand(node_id: u64, boot: &Boot, membership: &StoredMembership) -> bool {
    let member = membership.membership().get_node(&node_id);
    member.and_then(|member| member.boot).is_some_and(|known| known.continues_as(boot))
}

/// Whether `membership` is that of a cluster of one from before starts were recorded. A node without peers that
/// lost its disk forms a new cluster, so that it never meets one by replaying another's log.
pub(super) fn is_unrecorded_single(node_id: u64, membership: &StoredMembership) -> bool {
    let mut nodes = membership.membership().nodes();
    let alone = nodes.next().is_some_and(|(id, member)| *id == node_id && member.boot.is_none());
    alone && nodes.next().is_none()
}

/// Whether node `node_id`, which takes itself for the only voter, was alone in the past only: another node of its
/// line of history has voted, later than this one, for somebody else.
pub(super) fn is_outvoted<'a>(
    node_id: u64,
    own_vote: Vote,
    lineage: Option<Lineage>,
    membership: &StoredMembership,
    answers: impl IntoIterator<Item = &'a BeatAnswer>,
) -> bool {
    let for_another = |answer: &BeatAnswer| {
        let voted = answer.vote.leader_id;
        answer.lineage == lineage && voted.node_id != node_id && voted > own_vote.leader_id
    };
    membership.membership().voter_ids().eq([node_id]) && answers.into_iter().any(for_another)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture::{CLUSTER, OTHER_CLUSTER, answer, boot, member, members, stored};

    #[test]
    fn only_the_disk_that_the_membership_names_stands() {
        let membership = members(&[1], &[]);
        assert!(may_stand(1, &boot(1, 1), &membership));
        assert!(may_stand(1, &boot(1, 7), &membership), "started again");
        assert!(!may_stand(1, &boot(2, 1), &membership), "the membership is of the disk that was lost");
        assert!(!may_stand(2, &boot(2, 1), &membership), "not a member");
        assert!(!may_stand(1, &boot(1, 1), &StoredMembership::default()), "not part of a cluster");
    }

    #[test]
    fn a_copy_of_when_it_was_alone_is_told_from_a_cluster_of_one() {
        let outvoted = |voters: &[u64], peer: BeatAnswer| {
            let own_vote = Vote::new_committed(3, 1);
            is_outvoted(1, own_vote, Some(CLUSTER), &members(voters, &[]), [&peer])
        };
        let voted = |vote| BeatAnswer { vote, ..answer(2) };
        assert!(outvoted(&[1], voted(Vote::new_committed(4, 2))), "node 2 leads a later term");
        assert!(outvoted(&[1], voted(Vote::new(3, 2))), "of one term, the higher id is the later");
        assert!(!outvoted(&[1], voted(Vote::new_committed(9, 1))), "its own learner");
        assert!(!outvoted(&[1], voted(Vote::new(2, 2))), "a member of before that was removed");
        let foreign = BeatAnswer { lineage: Some(OTHER_CLUSTER), ..voted(Vote::new(9, 2)) };
        assert!(!outvoted(&[1], foreign));
        assert!(!outvoted(&[1, 2, 3], voted(Vote::new(9, 2))), "the others' votes decide");
    }

    #[test]
    fn a_cluster_of_one_from_before_starts_were_recorded_is_known() {
        let unrecorded = stored(&[&[1]], [(1, member("", None))].into());
        assert!(is_unrecorded_single(1, &unrecorded));
        assert!(!is_unrecorded_single(2, &unrecorded));
        assert!(!is_unrecorded_single(1, &members(&[1], &[])));
        let grown = stored(&[&[1]], [(1, member("", None)), (2, member("b:1", None))].into());
        assert!(!is_unrecorded_single(1, &grown));
    }
}
