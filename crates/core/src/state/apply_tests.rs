//! Changes that are made once however often they stand in the log.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::name::RoleName;
use crate::state::command::{CreateRole, DeleteRole, InitializeCluster, RaiseFeatureLevel};
use crate::state::table::{Tag, roles};
use crate::state::{Effect, FIRST_FEATURE_LEVEL};

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

fn at_level(level: u32) -> Table {
    let mut rows = Table::new();
    for command in [
        Command::InitializeCluster(InitializeCluster { cluster_id: [1; 16] }),
        Command::RaiseFeatureLevel(RaiseFeatureLevel { level }),
    ] {
        apply(&Proposal { stamp: Timestamp::EPOCH, command, origin: None }, &mut rows).unwrap();
    }
    rows
}

fn role(number: u8) -> RoleName {
    RoleName::parse(&format!("role-{number}")).unwrap()
}

fn create(number: u8) -> Command {
    Command::CreateRole(CreateRole {
        name: role(number),
        description: None,
        is_admin: false,
        rules: vec![],
        mac: None,
    })
}

fn delete(number: u8) -> Command {
    Command::DeleteRole(DeleteRole { name: role(number) })
}

fn proposal(stamp: u64, command: Command, sequence: u64) -> Proposal {
    let origin = Some(Origin { node_id: 1, session: 9, sequence });
    Proposal { stamp: Timestamp::from_unix_ms(stamp), command, origin }
}

const APPLIED_BEFORE: Outcome = Outcome::Refused(Refusal::AppliedBefore);

#[test]
fn a_repeated_change_is_refused_and_changes_nothing() {
    let mut rows = at_level(ORIGINS_SINCE);
    let first = proposal(5, create(1), 1);
    assert!(matches!(apply(&first, &mut rows), Ok(Outcome::Applied(Effect::Role(_)))));
    let before = rows.clone();
    assert_eq!(apply(&first, &mut rows), Ok(APPLIED_BEFORE));
    assert_eq!(rows, before);
}

/// A retry is stamped anew, perhaps by another leader.
#[test]
fn a_repetition_moves_the_clock_and_nothing_else() {
    let mut rows = at_level(ORIGINS_SINCE);
    apply(&proposal(5, create(1), 1), &mut rows).unwrap();
    let mut expected = rows.clone();
    assert_eq!(apply(&proposal(8, create(1), 1), &mut rows), Ok(APPLIED_BEFORE));
    meta::put_clock(&mut expected, Timestamp::from_unix_ms(8)).unwrap();
    assert_eq!(rows, expected);
}

#[test]
fn what_was_refused_is_not_done_by_its_repetition() {
    let mut rows = at_level(ORIGINS_SINCE);
    assert_eq!(apply(&proposal(1, delete(1), 1), &mut rows), Ok(Refusal::RoleNotFound.outcome()));
    apply(&proposal(2, create(1), 2), &mut rows).unwrap();
    assert_eq!(apply(&proposal(3, delete(1), 1), &mut rows), Ok(APPLIED_BEFORE));
    assert!(roles::get(&rows, &role(1)).unwrap().is_some());
}

#[test]
fn without_an_origin_a_command_is_applied_as_often_as_it_stands_in_the_log() {
    let mut rows = at_level(ORIGINS_SINCE);
    let once = Proposal { origin: None, ..proposal(1, create(1), 1) };
    apply(&once, &mut rows).unwrap();
    assert_eq!(apply(&once, &mut rows), Ok(Refusal::RoleExists.outcome()));
}

/// A member that knows no origins makes exactly these rows.
#[test]
fn below_the_level_of_origins_they_say_nothing_and_leave_no_row() {
    let (mut with, mut without) = (at_level(FIRST_FEATURE_LEVEL), at_level(FIRST_FEATURE_LEVEL));
    for command in [create(1), create(1), delete(1)] {
        let proposal = proposal(1, command, 1);
        let outcome = apply(&Proposal { origin: None, ..proposal.clone() }, &mut without);
        assert_eq!(apply(&proposal, &mut with), outcome);
    }
    assert_eq!(with, without);
    assert!(!with.keys().any(|key| key.first() == Some(&(Tag::Sessions as u8))));
}

#[test]
fn the_raise_itself_may_be_repeated() {
    let mut rows = at_level(FIRST_FEATURE_LEVEL);
    let raise = proposal(1, Command::RaiseFeatureLevel(RaiseFeatureLevel { level: 2 }), 1);
    for _ in 0..2 {
        assert_eq!(apply(&raise, &mut rows), Ok(Effect::Done.outcome()));
    }
    assert_eq!(apply(&raise, &mut rows), Ok(APPLIED_BEFORE), "noted since the level was reached");
    assert_eq!(meta::feature_level(&rows), Ok(2));
}

/// Commands, and for each the places in the log where it stands again.
fn any_log() -> impl Strategy<Value = Vec<(u64, Command)>> {
    let command = (0..4_u8, any::<bool>()).prop_map(|(n, made)| if made { create(n) } else { delete(n) });
    let commands = prop::collection::vec((command, 0..3_usize), 1..40);
    commands.prop_flat_map(|commands| {
        let entries = (1_u64..).zip(commands);
        let log: Vec<_> = entries.flat_map(|(n, (command, again))| vec![(n, command); 1 + again]).collect();
        Just(log).prop_shuffle()
    })
}

proptest! {
    /// Each change is made where it first stands in the log: the later ones are as if they weren't there.
    #[test]
    fn repetitions_leave_the_rows_as_if_there_were_none(log in any_log()) {
        let (mut rows, mut without) = (at_level(ORIGINS_SINCE), at_level(ORIGINS_SINCE));
        let mut stood = BTreeSet::new();
        for (sequence, command) in log {
            let proposal = proposal(1, command, sequence);
            let outcome = apply(&proposal, &mut rows);
            let expected =
                if stood.insert(sequence) { apply(&proposal, &mut without) } else { Ok(APPLIED_BEFORE) };
            prop_assert_eq!(outcome, expected);
        }
        prop_assert_eq!(rows, without);
    }
}
