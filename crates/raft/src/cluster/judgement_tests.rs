//! Which answers verify a peer, and which give it away.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::cluster::fixture::{CLUSTER, OTHER_CLUSTER, answer, boot, log_id, member};

/// A member that was let in with its fourth start, and acknowledged entry 90 of term 3 then.
fn known() -> (MemberNode, PeerMemory) {
    let boot = boot(1, 4);
    let memory =
        PeerMemory { boot: Some(boot), acknowledged: Some(log_id(3, 90)), vote: Some(Vote::new(3, 1)) };
    (member("a:1", Some(boot)), memory)
}

/// How it would answer now, from this start, with this much in its log.
fn says(boot: Boot, last: Option<LogId>, vote: Vote) -> BeatAnswer {
    BeatAnswer { boot, last_log_id: last, vote, ..answer(2) }
}

fn judged(answer: &BeatAnswer) -> Verdict {
    let (record, memory) = known();
    judge(Some(&record), &memory, Some(CLUSTER), answer)
}

#[test]
fn the_start_that_the_membership_names_is_the_same() {
    assert_eq!(judged(&says(boot(1, 4), Some(log_id(3, 90)), Vote::new(3, 1))), Verdict::Same);
}

#[test]
fn a_later_start_that_has_everything_was_restarted() {
    let vote = Vote::new(3, 1);
    assert_eq!(judged(&says(boot(1, 5), Some(log_id(3, 90)), vote)), Verdict::Restarted);
    assert_eq!(judged(&says(boot(1, 9), Some(log_id(4, 91)), Vote::new(4, 2))), Verdict::Restarted);
}

#[test]
fn a_restart_may_forget_that_a_quorum_granted_its_vote() {
    let (record, mut memory) = known();
    memory.vote = Some(Vote::new_committed(3, 1));
    let answer = says(boot(1, 5), Some(log_id(3, 90)), Vote::new(3, 1));
    assert_eq!(judge(Some(&record), &memory, Some(CLUSTER), &answer), Verdict::Restarted);
}

#[test]
fn another_disk_was_wiped_however_often_it_was_started() {
    for count in [1, 4, 5] {
        let answer = says(boot(2, count), Some(log_id(9, 900)), Vote::new(9, 1));
        assert_eq!(judged(&answer), Verdict::Lost(Loss::Wiped));
    }
}

#[test]
fn an_older_copy_of_the_disk_was_rolled_back() {
    let (last, vote) = (Some(log_id(3, 90)), Vote::new(3, 1));
    let twin = Boot { nonce: 4_711, ..boot(1, 4) };
    for (why, answer) in [
        ("fewer starts", says(boot(1, 3), last, vote)),
        ("as many starts, but another", says(twin, last, vote)),
        ("an acknowledged entry is gone", says(boot(1, 5), Some(log_id(3, 89)), vote)),
        ("the whole log is gone", says(boot(1, 5), None, vote)),
        ("a longer log of an older term", says(boot(1, 5), Some(log_id(2, 100)), vote)),
        ("a vote is gone", says(boot(1, 5), last, Vote::new(2, 1))),
    ] {
        assert_eq!(judged(&answer), Verdict::Lost(Loss::RolledBack), "{why}");
    }
}

#[test]
fn a_start_after_the_verified_one_counts_even_if_the_membership_does_not_know_it_yet() {
    let (record, mut memory) = known();
    let second = says(boot(1, 6), Some(log_id(3, 95)), Vote::new(3, 1));
    memory.follow(Verdict::Restarted, &second);
    let copy = says(boot(1, 5), Some(log_id(3, 95)), Vote::new(3, 1));
    assert_eq!(judge(Some(&record), &memory, Some(CLUSTER), &copy), Verdict::Lost(Loss::RolledBack));
}

#[test]
fn who_is_no_member_or_was_never_reached_is_a_stranger() {
    let (fresh, ours) = (BeatAnswer { lineage: None, ..answer(2) }, answer(2));
    let unreached = member("a:1", None);
    for record in [None, Some(&unreached)] {
        for answer in [&fresh, &ours] {
            assert_eq!(judge(record, &PeerMemory::default(), Some(CLUSTER), answer), Verdict::Stranger);
        }
    }
}

#[test]
fn nodes_of_other_lines_of_history_are_told_apart_before_anything_else() {
    let (record, memory) = known();
    let foreign = BeatAnswer { lineage: Some(OTHER_CLUSTER), boot: boot(1, 4), ..answer(2) };
    assert_eq!(judge(Some(&record), &memory, Some(CLUSTER), &foreign), Verdict::OtherCluster);
    assert_eq!(judge(Some(&record), &memory, None, &answer(2)), Verdict::OtherCluster);
    assert_eq!(judge(None, &memory, None, &BeatAnswer { lineage: None, ..answer(2) }), Verdict::OtherCluster);
}

#[test]
fn a_member_that_was_let_in_again_starts_with_a_clean_slate() {
    let (_, mut memory) = known();
    let empty = says(boot(2, 1), None, Vote::new(0, 0));
    memory.follow(Verdict::Same, &empty);
    assert_eq!(memory.acknowledged, None);
    let restarted = says(boot(2, 2), None, Vote::new(0, 0));
    let record = member("a:1", Some(boot(2, 1)));
    assert_eq!(judge(Some(&record), &memory, Some(CLUSTER), &restarted), Verdict::Restarted);
}

#[test]
fn what_another_start_acknowledged_is_not_taken_for_this_ones() {
    let (_, mut memory) = known();
    memory.acknowledged(&boot(1, 3), Some(log_id(9, 999)));
    memory.voted(&boot(1, 5), Vote::new(9, 9));
    assert_eq!(memory, known().1);
    memory.acknowledged(&boot(1, 4), Some(log_id(3, 91)));
    memory.acknowledged(&boot(1, 4), Some(log_id(3, 90)));
    assert_eq!(memory.acknowledged, Some(log_id(3, 91)), "never less than before");
}

proptest! {
    /// Whatever was heard before, a verified start lacks nothing of what a verified start had.
    #[test]
    fn nobody_is_verified_who_lacks_what_it_acknowledged(
        starts in prop::collection::vec((1_u64..6, 0_u64..8, 0_u64..4), 1..12)
    ) {
        let record = member("a:1", Some(boot(1, 1)));
        let mut memory = PeerMemory::default();
        let mut durable = 0;
        for (count, last, term) in starts {
            let answer = says(boot(1, count), Some(log_id(term, last)), Vote::new(term, 1));
            let verdict = judge(Some(&record), &memory, Some(CLUSTER), &answer);
            if verdict == Verdict::Restarted && memory.boot != Some(answer.boot) {
                prop_assert!(answer.last_log_id >= memory.acknowledged);
                prop_assert!(count >= durable);
            }
            memory.follow(verdict, &answer);
            memory.acknowledged(&answer.boot, answer.last_log_id);
            if verdict.is_verified() {
                durable = count;
            }
        }
    }
}
