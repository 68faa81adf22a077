//! Paging back through the audit log.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyperion_vault_core::time::Timestamp;
use hyperion_vault_server::audit::{Action, Actor, AuditConfig, AuditLog, Event, Outcome, Query, query};

use crate::audit_fixture::{
    START_MS, SetClock, batch_read_of, files, lines, log_path, open, read_of, records, small_segments,
    written_log,
};

fn seqs(records: &[hyperion_vault_server::audit::Record]) -> Vec<u64> {
    records.iter().map(|record| record.seq).collect()
}

#[tokio::test]
async fn pages_of_any_size_give_the_whole_log_newest_first() {
    let directory = tempfile::tempdir().unwrap();
    written_log(&small_segments(directory.path()), 30).await;
    let path = log_path(directory.path());
    assert!(files(&path).len() > 4);
    for limit in [1, 2, 3, 7, 29, 30, 31, 100] {
        let (mut found, mut asked) = (Vec::new(), Query { limit, ..Query::default() });
        loop {
            let page = query(&path, &asked).unwrap();
            assert!(page.records.len() <= limit);
            found.extend(seqs(&page.records));
            asked.before = page.next_before;
            if asked.before.is_none() {
                break;
            }
        }
        assert_eq!(found, (1..=30).rev().collect::<Vec<_>>(), "pages of {limit}");
    }
}

#[tokio::test]
async fn a_page_holds_at_least_one_record_and_at_most_a_thousand() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig::at(log_path(directory.path()));
    let log = Arc::new(open(&config));
    let appends = (0..1_200).map(|number| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.append(read_of(&number.to_string())).await.unwrap() })
    });
    futures::future::join_all(appends).await;
    let page_of = |limit| query(&config.path, &Query { limit, ..Query::default() }).unwrap().records.len();
    assert_eq!((page_of(0), page_of(usize::MAX)), (1, 1_000));
    assert_eq!(query(&config.path, &Query::default()).unwrap().records.len(), 100);
}

#[tokio::test]
async fn each_condition_filters_and_all_of_them_together() {
    let directory = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let log = AuditLog::open(small_segments(directory.path()), clock.clone(), 1).unwrap();
    let by = |token: &str| Actor::Token(token.to_owned());
    let denied = Event { outcome: Outcome::Denied, status: Some(403), ..read_of("b") };
    let events = [
        read_of("a"),
        Event { actor: by("deploy"), action: Action::SecretUpdate, ..read_of("a") },
        Event { actor: by("deploy"), ..denied.clone() },
        denied,
        Event { name: None, action: Action::SecretList, ..read_of("") },
        batch_read_of(&[("x", None), ("a", Some(1))]),
    ];
    for (seconds, event) in (0..).zip(events) {
        clock.set(START_MS + seconds * 1_000);
        log.append(event).await.unwrap();
    }
    let found = |asked: Query| seqs(&query(&log_path(directory.path()), &asked).unwrap().records);
    let none = Query::default;
    let second = |second: u64| Some(Timestamp::from_unix_ms(START_MS + second * 1_000));
    let deploy = Some("deploy".to_owned());
    assert_eq!(found(Query { actor: deploy.clone(), ..none() }), [3, 2]);
    assert_eq!(found(Query { actor: Some("anonymous".to_owned()), ..none() }), [6, 5, 4, 1]);
    assert_eq!(found(Query { name: Some("a".to_owned()), ..none() }), [6, 2, 1]);
    assert_eq!(found(Query { name: Some("x".to_owned()), ..none() }), [6]);
    assert_eq!(found(Query { action: Some(Action::SecretList), ..none() }), [5]);
    assert_eq!(found(Query { outcome: Some(Outcome::Denied), ..none() }), [4, 3]);
    assert_eq!(found(Query { from: second(1), to: second(3), ..none() }), [3, 2]);
    assert_eq!(found(Query { before: Some(3), ..none() }), [2, 1]);
    let all =
        Query { actor: deploy, outcome: Some(Outcome::Denied), from: second(2), to: second(9), ..none() };
    assert_eq!(found(all), [3]);
}

/// 60,000 records that don't match are more than one call looks through.
#[tokio::test]
async fn a_rare_record_is_found_over_several_bounded_calls() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig { segment_bytes_max: 5 << 20, ..AuditConfig::at(log_path(directory.path())) };
    let log = open(&config);
    log.append(read_of("rare")).await.unwrap();
    for _ in 0..120 {
        let group = (0..500).map(|_| log.append(read_of("common")));
        assert!(futures::future::join_all(group).await.iter().all(Result::is_ok));
    }
    let mut asked = Query { name: Some("rare".to_owned()), ..Query::default() };
    let mut calls = 0;
    let found = loop {
        calls += 1;
        let page = log.query(asked.clone()).await.unwrap();
        if let Some(found) = page.records.first() {
            break found.clone();
        }
        assert!(page.next_before < asked.before || asked.before.is_none());
        asked.before = Some(page.next_before.unwrap());
    };
    assert_eq!((found.seq, calls), (1, 2));
}

#[tokio::test]
async fn a_search_by_time_stops_at_files_and_records_outside_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let log = AuditLog::open(small_segments(directory.path()), clock.clone(), 1).unwrap();
    for hour in 0..40 {
        clock.set(START_MS + hour * 3_600_000);
        log.append(read_of("x")).await.unwrap();
    }
    let path = log_path(directory.path());
    // Were the oldest or the newest file read, what is in it now would be counted as unreadable.
    let all = files(&path);
    fs::write(&all[0], format!("{}\n", lines(&all[0])[0]).repeat(2) + "garbage\n").unwrap();
    let newest = lines(&path);
    fs::write(&path, newest[0].clone() + "\ngarbage\n").unwrap();
    let hour = |hour: u64| Some(Timestamp::from_unix_ms(START_MS + hour * 3_600_000));
    let page = query(&path, &Query { from: hour(20), to: hour(23), ..Query::default() }).unwrap();
    assert_eq!((seqs(&page.records), page.unreadable, page.next_before), (vec![23, 22, 21], 0, None));
}

#[tokio::test]
async fn an_edited_line_is_counted_and_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = log_path(directory.path());
    written_log(&AuditConfig::at(&path), 5).await;
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"name\":\"secret-3\"", "\"name\":\"secret-9\"") + "half a li").unwrap();
    let page = query(&path, &Query::default()).unwrap();
    assert_eq!((seqs(&page.records), page.unreadable), (vec![5, 4, 2, 1], 1));
}

#[tokio::test]
async fn a_log_that_is_not_there_or_empty_has_an_empty_page() {
    let directory = tempfile::tempdir().unwrap();
    let path = log_path(directory.path());
    let log = open(&AuditConfig::at(&path));
    assert_eq!(log.query(Query::default()).await.unwrap(), query(&path, &Query::default()).unwrap());
    assert!(records(&path).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_sees_each_record_once_while_files_are_rotated_under_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = Arc::new(open(&small_segments(directory.path())));
    let is_done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (log, is_done) = (Arc::clone(&log), Arc::clone(&is_done));
        async move {
            for number in 0..300 {
                log.append(read_of(&number.to_string())).await.unwrap();
            }
            is_done.store(true, Ordering::Relaxed);
        }
    });
    while !is_done.load(Ordering::Relaxed) {
        let head = log.head().seq;
        let found = seqs(&log.query(Query { limit: 1_000, ..Query::default() }).await.unwrap().records);
        let newest = found.first().copied().unwrap_or(0);
        assert!(newest >= head, "a record that was answered is missing");
        assert_eq!(found, (1..=newest).rev().collect::<Vec<_>>());
    }
    writer.await.unwrap();
}
