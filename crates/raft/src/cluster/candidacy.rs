//! Whether this node may stand for election.
//!
//! A node that lost its disk replays the log from its beginning, and with it memberships of the past. One of them
//! may name it as the only voter: electing itself under that, it would be a second leader. The past names it on
//! the disk that it lost, though, so that a node stands only under a membership that knows its own.

use super::identity::Boot;
use crate::types::StoredMembership;

/// Whether `membership` names node `node_id` on the disk of this start.
pub(crate) fn may_stand(node_id: u64, boot: &Boot, membership: &StoredMembership) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fixture::{boot, member, members, stored};

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
    fn a_cluster_of_one_from_before_starts_were_recorded_is_known() {
        let unrecorded = stored(&[&[1]], [(1, member("", None))].into());
        assert!(is_unrecorded_single(1, &unrecorded));
        assert!(!is_unrecorded_single(2, &unrecorded));
        assert!(!is_unrecorded_single(1, &members(&[1], &[])));
        let grown = stored(&[&[1]], [(1, member("", None)), (2, member("b:1", None))].into());
        assert!(!is_unrecorded_single(1, &grown));
    }
}
