//! Who is let in with which call.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::cluster::fixture::{CLUSTER, OTHER_CLUSTER, answer, boot, boot_of, caller, log_id, members};

const ALL: [CallKind; 8] = [
    CallKind::Beat,
    CallKind::Vote,
    CallKind::Append,
    CallKind::Snapshot,
    CallKind::Transfer,
    CallKind::Propose,
    CallKind::ReadIndex,
    CallKind::Manage,
];

/// What node 2 of a cluster of three says to each kind of call.
fn verdicts(lineage: Option<Lineage>, caller: &Caller) -> Vec<Result<(), Rejection>> {
    let membership = members(&[1, 2, 3], &[]);
    let callee = Callee {
        node_id: 2,
        boot: boot_of(2),
        lineage,
        membership: &membership,
        last_log_id: Some(log_id(3, 100)),
    };
    ALL.iter().map(|call| admit(&callee, caller, *call, Heard::default()).map(|_| ())).collect()
}

/// The beat is answered, and everything else refused so.
fn only_the_beat(rejection: &Rejection) -> Vec<Result<(), Rejection>> {
    ALL.iter().map(|call| if *call == CallKind::Beat { Ok(()) } else { Err(rejection.clone()) }).collect()
}

#[test]
fn a_member_that_means_this_very_start_is_let_in() {
    assert_eq!(verdicts(Some(CLUSTER), &caller(1, 2)), vec![Ok(()); ALL.len()]);
}

#[test]
fn not_even_a_beat_is_answered_that_was_meant_for_another() {
    let rejection = Rejection::OtherNode { here: 2, meant: 3 };
    assert_eq!(verdicts(Some(CLUSTER), &caller(1, 3)), vec![Err(rejection); ALL.len()]);
}

#[test]
fn a_call_for_another_start_of_this_node_is_refused() {
    for to_boot in [None, Some(boot(2, 2)), Some(Boot { nonce: 1, ..boot_of(2) })] {
        let stale = Caller { to_boot, ..caller(1, 2) };
        assert_eq!(verdicts(Some(CLUSTER), &stale), only_the_beat(&Rejection::OtherBoot));
    }
}

#[test]
fn other_lines_of_history_are_refused() {
    for lineage in [None, Some(OTHER_CLUSTER)] {
        let foreign = Caller { lineage, ..caller(1, 2) };
        assert_eq!(verdicts(Some(CLUSTER), &foreign), only_the_beat(&Rejection::OtherLineage));
    }
}

#[test]
fn who_is_no_member_does_nothing() {
    assert_eq!(verdicts(Some(CLUSTER), &caller(9, 2)), only_the_beat(&Rejection::NotAMember(9)));
}

/// The members that this node knows may have made it one, and elected it, while this node was away.
#[test]
fn a_leader_that_is_not_known_as_a_member_is_believed_once_another_names_it() {
    let membership = members(&[1, 2, 3], &[]);
    let behind = Callee {
        node_id: 2,
        boot: boot_of(2),
        lineage: Some(CLUSTER),
        membership: &membership,
        last_log_id: Some(log_id(3, 100)),
    };
    for call in ALL {
        let verdict = admit(&behind, &caller(9, 2), call, Heard { answer: None, leads: true });
        let history =
            matches!(call, CallKind::Beat | CallKind::Append | CallKind::Snapshot | CallKind::Transfer);
        assert_eq!(verdict.is_ok(), history, "{call:?}: it may send what it has, and ask for nothing");
    }
}

#[test]
fn a_candidate_on_another_disk_gets_no_vote() {
    for wrong in [boot(9, 1), Boot { nonce: 1, ..boot_of(1) }, boot(1, 0)] {
        let candidate = Caller { boot: wrong, ..caller(1, 2) };
        let vote = verdicts(Some(CLUSTER), &candidate)[1].clone();
        assert_eq!(vote, Err(Rejection::OtherDisk(1)), "{wrong:?}");
    }
    let restarted = Caller { boot: boot(1, 2), ..caller(1, 2) };
    assert_eq!(verdicts(Some(CLUSTER), &restarted)[1], Ok(()));
}

#[test]
fn a_candidate_that_is_further_than_this_node_may_have_been_let_in_since() {
    let membership = members(&[1, 2, 3], &[]);
    let behind = Callee {
        node_id: 2,
        boot: boot_of(2),
        lineage: Some(CLUSTER),
        membership: &membership,
        last_log_id: Some(log_id(3, 100)),
    };
    let candidate = Caller { boot: boot(9, 1), ..caller(1, 2) };
    let vote = |last, boot| {
        let answer = BeatAnswer { last_log_id: last, boot, ..answer(1) };
        let heard = Heard { answer: Some(&answer), leads: false };
        admit(&behind, &candidate, CallKind::Vote, heard).is_ok()
    };
    assert!(vote(Some(log_id(3, 101)), boot(9, 1)));
    assert!(!vote(Some(log_id(3, 100)), boot(9, 1)), "it has nothing that this node lacks");
    assert!(!vote(None, boot(9, 1)), "an empty disk");
    assert!(!vote(Some(log_id(3, 101)), boot(8, 1)), "heard from another start");
}

#[test]
fn a_fresh_node_takes_in_history_and_joins_its_line() {
    let membership = StoredMembership::default();
    let callee =
        Callee { node_id: 2, boot: boot_of(2), lineage: None, membership: &membership, last_log_id: None };
    for call in ALL {
        let admitted = admit(&callee, &caller(1, 2), call, Heard::default());
        let expected = match call {
            CallKind::Beat => Ok(Admission { adopt: None }),
            CallKind::Vote | CallKind::Append | CallKind::Snapshot | CallKind::Transfer => {
                Ok(Admission { adopt: Some(CLUSTER) })
            }
            CallKind::Propose | CallKind::ReadIndex | CallKind::Manage => Err(Rejection::NotAMember(1)),
        };
        assert_eq!(admitted, expected, "{call:?}");
    }
}
