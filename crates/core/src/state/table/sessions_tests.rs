//! Each change noted once, in a row that stays small: the window against a plain set.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// Four sessions with a whole window each, and what CBOR and the row add.
const ROW_BYTES_MAX: usize = SESSIONS_KEPT * (WINDOW_SEQUENCES as usize / 8 + 32) + 32;

fn origin(session: u64, sequence: u64) -> Origin {
    Origin { node_id: 1, session, sequence }
}

fn note_all(rows: &mut Table, sequences: impl IntoIterator<Item = u64>) -> Vec<bool> {
    sequences.into_iter().map(|sequence| note(rows, origin(7, sequence)).unwrap()).collect()
}

fn row_bytes(rows: &Table) -> usize {
    rows.values().map(Vec::len).max().unwrap()
}

/// What the row must say, kept without a thought of its size.
#[derive(Default)]
struct Model {
    applied: BTreeSet<u64>,
}

impl Model {
    fn note(&mut self, sequence: u64) -> bool {
        let highest = self.applied.last().copied().unwrap_or(0);
        let in_window = sequence > highest.saturating_sub(WINDOW_SEQUENCES);
        in_window && self.applied.insert(sequence)
    }
}

/// Goes up by steps that are mostly small, looks back now and then, and leaves the window at times.
fn any_arrivals() -> impl Strategy<Value = Vec<u64>> {
    let step = prop_oneof![
        8 => 0..4_i64,
        4 => -40..40_i64,
        2 => -4_200..-3_990_i64,
        1 => 3_990..4_200_i64,
        1 => -9_000..9_000_i64,
    ];
    prop::collection::vec(step, 1..300).prop_map(|steps| {
        let next = |at: &mut u64, step: i64| {
            *at = at.saturating_add_signed(step).max(1);
            Some(*at)
        };
        steps.into_iter().scan(1, next).collect()
    })
}

/// A window's worth of changes in a random order, some of them several times.
fn shuffled_with_repetitions() -> impl Strategy<Value = Vec<u64>> {
    (1..=WINDOW_SEQUENCES).prop_flat_map(|highest| {
        prop::collection::vec(1..=highest, 0..64)
            .prop_map(move |again| (1..=highest).chain(again).collect::<Vec<_>>())
            .prop_shuffle()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_order_each_change_of_a_window_is_noted_once(sequences in shuffled_with_repetitions()) {
        let mut rows = Table::new();
        let mut left: BTreeSet<u64> = sequences.iter().copied().collect();
        for (sequence, is_new) in sequences.iter().zip(note_all(&mut rows, sequences.iter().copied())) {
            prop_assert_eq!(is_new, left.remove(sequence), "{}", sequence);
        }
        let [session] = &of_node(&rows, 1).unwrap().sessions[..] else { return Err(TestCaseError::fail("one")) };
        prop_assert_eq!(session.floor, *sequences.iter().max().unwrap());
        prop_assert!(session.above.is_empty(), "nothing is open, so nothing but the floor is kept");
    }

    #[test]
    fn the_window_tells_what_a_set_of_all_changes_would(sequences in any_arrivals()) {
        let (mut rows, mut model) = (Table::new(), Model::default());
        let expected: Vec<bool> = sequences.iter().map(|sequence| model.note(*sequence)).collect();
        prop_assert_eq!(note_all(&mut rows, sequences), expected);
        prop_assert!(row_bytes(&rows) <= ROW_BYTES_MAX);
    }
}

#[test]
fn a_session_whose_changes_arrive_in_order_is_one_number() {
    let mut rows = Table::new();
    assert!(note_all(&mut rows, 1..10_000).into_iter().all(|is_new| is_new));
    assert!(row_bytes(&rows) < 32, "{}", row_bytes(&rows));
}

#[test]
fn a_repetition_writes_nothing() {
    let mut rows = Table::new();
    note_all(&mut rows, [1, 2, 5]);
    let before = rows.clone();
    assert_eq!(note_all(&mut rows, [5, 2, 1]), [false; 3]);
    assert_eq!(rows, before);
}

#[test]
fn a_gap_that_never_fills_does_not_grow_the_row_beyond_the_window() {
    let mut rows = Table::new();
    for session in 1..=6 {
        for sequence in (2..20_000).step_by(2) {
            assert_eq!(note(&mut rows, origin(session, sequence)), Ok(true), "{session} {sequence}");
        }
        assert!(row_bytes(&rows) <= ROW_BYTES_MAX, "{}", row_bytes(&rows));
    }
}

#[test]
fn what_is_a_window_behind_the_highest_counts_as_applied() {
    let mut rows = Table::new();
    let highest = 3 * WINDOW_SEQUENCES;
    note_all(&mut rows, [highest]);
    let edge = highest - WINDOW_SEQUENCES;
    assert_eq!(note_all(&mut rows, [1, edge, edge + 1, edge + 1]), [false, false, true, false]);
}

#[test]
fn the_ends_of_the_numbers_are_no_fault() {
    let mut rows = Table::new();
    let arrivals = [0, u64::MAX, u64::MAX, u64::MAX - 1, 1, u64::MAX - WINDOW_SEQUENCES];
    assert_eq!(note_all(&mut rows, arrivals), [false, true, false, true, false, false]);
}

#[test]
fn nodes_and_sessions_count_for_themselves() {
    let mut rows = Table::new();
    for (node_id, session) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        assert_eq!(note(&mut rows, Origin { node_id, session, sequence: 1 }), Ok(true));
        assert_eq!(note(&mut rows, Origin { node_id, session, sequence: 1 }), Ok(false));
    }
    assert_eq!(rows.len(), 2, "one row a node");
}

#[test]
fn a_session_too_many_drops_the_one_that_was_silent_longest() {
    let mut rows = Table::new();
    for session in [1, 2, 3, 4] {
        assert_eq!(note(&mut rows, origin(session, 1)), Ok(true));
    }
    assert_eq!(note(&mut rows, origin(1, 2)), Ok(true));
    assert_eq!(note(&mut rows, origin(5, 1)), Ok(true));
    let kept: Vec<u64> = of_node(&rows, 1).unwrap().sessions.iter().map(|session| session.id).collect();
    assert_eq!(kept, [3, 4, 1, 5]);
    for session in kept {
        assert_eq!(note(&mut rows, origin(session, 1)), Ok(false), "{session} is remembered");
    }
}

#[test]
fn the_row_of_a_node_is_these_bytes() {
    let mut rows = Table::new();
    note_all(&mut rows, [1, 2, 3, 6, 14]);
    note(&mut rows, origin(u64::MAX, 1)).unwrap();
    assert_eq!(rows.len(), 1);
    let row: Vec<String> =
        rows.iter().flat_map(|(key, value)| [hex::encode(key), hex::encode(value)]).collect();
    let golden = include_str!("../../../tests/vectors/sessions_row_format_1.txt");
    let expected: Vec<&str> = golden.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(row, expected, "\n{}\n", row.join("\n"));
}
