//! Format version 1 of a line of the audit log.

use std::borrow::Cow;

use hyperion_vault_core::limits::{BATCH_NAMES_MAX, SECRET_NAME_BYTES_MAX};
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_server::audit::{
    Action, Actor, Event, Hash, Head, LineFault, Outcome, PassRecord, Record, check, seal,
};
use proptest::prelude::*;

use crate::audit_fixture::{START_MS, batch_read_of, read_of};

/// Written by format version 1; must be readable, and written the same, for as long as that version is.
const GOLDEN: &str = include_str!("../vectors/audit_v1.jsonl");

fn golden_records() -> Vec<Record> {
    let read = Event { actor: Actor::Token("deploy".to_owned()), ..read_of("db/password") };
    let refused = Event {
        client: "2001:db8::1".parse().ok(),
        action: Action::Unknown,
        name: Some("\"quoted\" \\ \n\r\u{0}\u{7f}\u{9b}\u{2028}\u{202e}é😀".to_owned()),
        version: None,
        status: Some(404),
        outcome: Outcome::NotFound,
        detail: Some("no such path"),
        ..read_of("")
    };
    let expired = Event {
        request_id: String::new(),
        actor: Actor::System("expiry"),
        client: None,
        action: Action::SecretExpire,
        version: Some(u64::MAX),
        status: None,
        ..read_of("db/password")
    };
    let batch = batch_read_of(&[("b1", Some(3)), ("missing", None), ("b1", Some(3))]);
    let pass = PassRecord { number: 2, scanned: 5, rewrapped: 3, failed: 1 };
    let ended = Event {
        actor: Actor::System("rewrap"),
        client: None,
        action: Action::KmsRewrapEnd,
        name: None,
        version: None,
        pass: Some(pass),
        status: None,
        ..read_of("")
    };
    let at = |event, seq, ms| Record::of(event, seq, Timestamp::from_unix_ms(ms), 3);
    vec![
        at(read, 1, START_MS),
        at(refused, 2, START_MS + 7),
        at(expired, 3, u64::MAX),
        at(batch, 4, START_MS),
        at(ended, 5, START_MS),
    ]
}

fn sealed(records: &[Record]) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut head = Head::GENESIS;
    for record in records {
        head = seal(record, &head.hash, &mut lines).unwrap();
    }
    lines
}

fn sealed_line(record: &Record) -> Vec<u8> {
    let mut line = sealed(std::slice::from_ref(record));
    assert_eq!(line.pop(), Some(b'\n'));
    line
}

#[test]
fn records_are_written_as_in_the_golden_file() {
    assert_eq!(String::from_utf8(sealed(&golden_records())).unwrap(), GOLDEN);
}

#[test]
fn the_golden_file_is_read_as_the_records_it_was_written_from() {
    let mut prev = Hash::ZERO;
    for (line, record) in GOLDEN.lines().zip(golden_records()) {
        let link = check(line.as_bytes()).unwrap();
        assert_eq!((link.seq, link.prev), (record.seq, prev));
        prev = link.hash;
        if record.seq != 3 {
            assert_eq!(serde_json::from_str::<Record>(line).unwrap(), record);
        }
    }
}

#[test]
fn a_time_beyond_the_calendar_is_written_as_its_end() {
    assert!(GOLDEN.contains("\"time\":\"2027-01-15T08:00:00.007Z\""));
    assert!(GOLDEN.contains("\"time\":\"9999-12-30T22:00:00.999Z\""));
}

#[test]
fn an_address_of_ipv4_in_ipv6_is_recorded_as_that_of_ipv4() {
    let event = Event { client: "::ffff:10.0.0.7".parse().ok(), ..read_of("x") };
    let record = Record::of(event, 1, Timestamp::EPOCH, 1);
    assert_eq!(record.client.unwrap().to_string(), "10.0.0.7");
}

#[test]
fn each_changed_byte_of_a_line_is_noticed() {
    let line = sealed_line(&golden_records()[0]);
    for at in 0..line.len() {
        for flip in [1, 0x20, 0x80] {
            let mut changed = line.clone();
            changed[at] ^= flip;
            let is_hex_in_other_case = line[at].is_ascii_alphabetic() && flip == 0x20;
            match check(&changed) {
                Err(_) => {}
                // The same hash, in capitals, at the end of the line: nothing else was said.
                Ok(link) => assert!(is_hex_in_other_case && link == check(&line).unwrap(), "byte {at}"),
            }
        }
    }
}

#[test]
fn a_line_cut_anywhere_is_no_record() {
    let line = sealed_line(&golden_records()[0]);
    for len in 0..line.len() {
        check(&line[..len]).unwrap_err();
    }
}

#[test]
fn a_format_of_the_future_is_named() {
    let line =
        String::from_utf8(sealed_line(&golden_records()[0])).unwrap().replace("{\"v\":1,", "{\"v\":2,");
    assert_eq!(check(line.as_bytes()), Err(LineFault::UnknownFormat(2)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_text_can_break_a_line_or_colour_a_terminal(name in any::<String>(), request_id in "\\PC{0,300}") {
        let event = Event { name: Some(name.clone()), request_id, ..read_of("") };
        let record = Record::of(event, 7, Timestamp::from_unix_ms(START_MS), 1);
        let line = sealed_line(&record);
        prop_assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)));
        prop_assert!(line.len() <= 96 << 10);
        prop_assert_eq!(check(&line).unwrap().seq, 7);
        prop_assert_eq!(serde_json::from_slice::<Record>(&line).unwrap(), record.clone());
        if name.chars().count() <= 255 {
            prop_assert_eq!(record.name, Some(name));
        }
    }
}

#[test]
fn the_longest_record_fits_a_line() {
    let long = "😀".repeat(70_000);
    let longest = "n".repeat(SECRET_NAME_BYTES_MAX);
    let event = Event {
        request_id: long.clone(),
        actor: Actor::Token(long.clone()),
        name: Some(long),
        ..batch_read_of(&vec![(longest.as_str(), Some(u64::MAX)); BATCH_NAMES_MAX])
    };
    let record = Record {
        detail: Some(Cow::Borrowed("d")),
        ..Record::of(event, u64::MAX, Timestamp::EPOCH, u64::MAX)
    };
    assert!(sealed_line(&record).len() <= 96 << 10);
}
