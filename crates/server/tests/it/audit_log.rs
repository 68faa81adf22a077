//! Appending to the audit log.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_server::audit::{
    Action, AuditConfig, AuditLog, AuditOpenError, AuditUnavailable, LineFault, Outcome, verify,
};

use crate::audit_fixture::{
    SetClock, always, files, lines, log_path, open, read_of, records, small_segments, written_log,
};

#[tokio::test]
async fn a_record_is_in_the_file_when_append_returns() {
    let directory = tempfile::tempdir().unwrap();
    let path = log_path(directory.path());
    let log = open(&AuditConfig::at(&path));
    for seq in 1..=3 {
        assert_eq!(log.append(read_of("db/password")).await.unwrap().seq, seq);
        assert_eq!(lines(&path).len() as u64, seq);
        assert_eq!((log.head().seq, log.stats().records), (seq, seq));
    }
    let record = records(&path).pop().unwrap();
    assert_eq!((record.actor.as_str(), record.name.as_deref()), ("anonymous", Some("db/password")));
    assert_eq!((record.node, record.status, record.outcome), (1, Some(200), Outcome::Ok));
}

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let directory = tempfile::tempdir().unwrap();
    written_log(&small_segments(directory.path()), 10).await;
    let path = log_path(directory.path());
    let mode = |of: &std::path::Path| fs::metadata(of).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for file in files(&path) {
        assert_eq!(mode(&file), 0o600);
    }
}

#[tokio::test]
async fn what_one_caller_appends_one_after_the_other_stands_in_that_order() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&small_segments(directory.path()));
    // Not awaited one by one: the order is that of the calls, not of the answers.
    let appends = (0..200).map(|number| log.append(read_of(&number.to_string())));
    let answers = futures::future::join_all(appends).await;
    assert_eq!(
        answers.iter().map(|answer| answer.unwrap().seq).collect::<Vec<_>>(),
        (1..=200).collect::<Vec<_>>()
    );
    let names: Vec<_> =
        records(&log_path(directory.path())).into_iter().filter_map(|record| record.name).collect();
    assert_eq!(names, (0..200).map(|number| number.to_string()).collect::<Vec<_>>());
}

async fn thirty_two_appenders(config: &AuditConfig, each: usize) -> AuditLog {
    let log = Arc::new(open(config));
    let tasks = (0..32).map(|task| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for number in 0..each {
                log.append(read_of(&format!("{task}/{number}"))).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    log.close().await.unwrap();
    Arc::into_inner(log).unwrap()
}

fn assert_one_record_each(config: &AuditConfig, log: &AuditLog, each: usize) {
    verify(&config.path, Some(log.head())).unwrap();
    let mut names: Vec<_> = records(&config.path).into_iter().filter_map(|record| record.name).collect();
    for task in 0..32 {
        let prefix = format!("{task}/");
        let own: Vec<_> = names.iter().filter(|name| name.starts_with(&prefix)).cloned().collect();
        assert_eq!(own, (0..each).map(|number| format!("{task}/{number}")).collect::<Vec<_>>());
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 32 * each);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appenders_share_writes_and_syncs() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig { segment_bytes_max: 200_000, ..AuditConfig::at(log_path(directory.path())) };
    let log = thirty_two_appenders(&config, 50).await;
    assert_one_record_each(&config, &log, 50);
    let stats = log.stats();
    assert_eq!((stats.records, stats.failures), (1_600, 0));
    assert!(stats.syncs * 20 < stats.records, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_always_there_is_a_sync_for_each_group_and_a_group_for_many_records() {
    let directory = tempfile::tempdir().unwrap();
    let config = always(AuditConfig::at(log_path(directory.path())));
    let log = thirty_two_appenders(&config, 20).await;
    assert_one_record_each(&config, &log, 20);
    let stats = log.stats();
    assert!(stats.syncs >= stats.groups, "{stats:?}");
    assert!(stats.syncs * 4 < stats.records, "{stats:?}");
}

#[tokio::test]
async fn with_batch_the_disk_follows_by_itself_and_a_quiet_log_is_not_synced_again() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&AuditConfig::at(log_path(directory.path())));
    log.append(read_of("x")).await.unwrap();
    assert_eq!(log.stats().syncs, 0, "an append does not wait for the disk");
    while log.stats().syncs == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(log.stats().syncs, 1);
}

#[tokio::test]
async fn a_log_goes_on_where_it_ended() {
    let directory = tempfile::tempdir().unwrap();
    let config = small_segments(directory.path());
    for round in 1..=6 {
        let log = written_log(&config, 3).await;
        assert_eq!(log.head().seq, 3 * round);
        assert_eq!(verify(&config.path, Some(log.head())).unwrap().last_seq, 3 * round);
    }
}

#[tokio::test]
async fn a_log_goes_on_after_a_crash_between_two_files() {
    let directory = tempfile::tempdir().unwrap();
    let config = small_segments(directory.path());
    let head = written_log(&config, 3).await.head();
    let segment = config.path.with_file_name("audit.jsonl.00000000000000000001");
    fs::rename(&config.path, segment).unwrap();
    verify(&config.path, Some(head)).unwrap();
    for left_behind in [false, true] {
        let _ = fs::remove_file(&config.path);
        if left_behind {
            fs::write(&config.path, "").unwrap();
        }
        let log = written_log(&config, 1).await;
        assert_eq!(log.head().seq, 4);
        verify(&config.path, Some(log.head())).unwrap();
    }
}

#[tokio::test]
async fn a_line_torn_anywhere_is_cut_off_and_a_record_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig::at(log_path(directory.path()));
    written_log(&config, 3).await;
    let whole = fs::read(&config.path).unwrap();
    let kept = whole.len() - lines(&config.path)[2].len() - 1;
    for len in (kept + 1..whole.len()).step_by(7) {
        fs::write(&config.path, &whole[..len]).unwrap();
        let log = open(&config);
        let last = records(&config.path).pop().unwrap();
        assert_eq!((last.seq, last.action, last.actor.as_str()), (3, Action::AuditRecovered, "system:audit"));
        assert_eq!(last.detail.unwrap(), format!("cut {} bytes of a torn line", len - kept));
        log.append(read_of("after")).await.unwrap();
        log.close().await.unwrap();
        assert_eq!(verify(&config.path, Some(log.head())).unwrap().last_seq, 4);
    }
}

#[tokio::test]
async fn a_first_line_torn_leaves_an_empty_log_that_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig::at(log_path(directory.path()));
    fs::create_dir(config.path.parent().unwrap()).unwrap();
    fs::write(&config.path, "{\"v\":1,\"se").unwrap();
    let log = written_log(&config, 1).await;
    assert_eq!(verify(&config.path, Some(log.head())).unwrap().last_seq, 2);
}

#[tokio::test]
async fn a_log_whose_end_was_edited_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig::at(log_path(directory.path()));
    written_log(&config, 4).await;
    let edited = fs::read_to_string(&config.path).unwrap().replace("secret-4", "secret-5");
    fs::write(&config.path, edited).unwrap();
    let refused = AuditLog::open(config.clone(), SetClock::new(), 1).err().unwrap();
    let is_named = matches!(
        &refused,
        AuditOpenError::Damaged { path, line: 4, fault: LineFault::WrongHash } if *path == config.path
    );
    assert!(is_named, "{refused}");
}

#[tokio::test]
async fn what_is_no_file_or_no_log_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let open_error = |path: &str| {
        AuditLog::open(AuditConfig::at(directory.path().join(path)), SetClock::new(), 1).err().unwrap()
    };
    fs::create_dir(directory.path().join("folder")).unwrap();
    assert!(matches!(open_error("folder"), AuditOpenError::NotAFile { .. }));
    fs::write(directory.path().join("notes"), "one\ntwo\n").unwrap();
    assert!(matches!(
        open_error("notes"),
        AuditOpenError::Damaged { line: 2, fault: LineFault::Malformed, .. }
    ));
    assert!(matches!(open_error("notes/audit.jsonl"), AuditOpenError::Io { .. }));
}

#[tokio::test]
async fn two_can_not_write_one_log() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig::at(log_path(directory.path()));
    let log = open(&config);
    let refused = AuditLog::open(config.clone(), SetClock::new(), 1).err().unwrap();
    assert!(matches!(refused, AuditOpenError::Locked { .. }));
    log.close().await.unwrap();
    open(&config);
}

#[tokio::test]
async fn full_files_become_segments_named_by_their_first_record() {
    let directory = tempfile::tempdir().unwrap();
    let config = small_segments(directory.path());
    written_log(&config, 20).await;
    let mut seq = 1;
    for file in files(&config.path) {
        assert!(fs::metadata(&file).unwrap().len() <= config.segment_bytes_max);
        if file != config.path {
            assert_eq!(file.extension().unwrap().to_str().unwrap(), format!("{seq:020}"));
        }
        seq += lines(&file).len() as u64;
    }
    assert_eq!(seq, 21);
}

#[tokio::test]
async fn the_oldest_segments_are_removed_and_the_rest_still_proves_itself() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig { segments_max: 2, ..small_segments(directory.path()) };
    let log = written_log(&config, 40).await;
    assert_eq!(files(&config.path).len(), 3);
    let summary = verify(&config.path, Some(log.head())).unwrap();
    assert!(summary.first_seq > 20 && summary.last_seq == 40, "{summary:?}");
    let kept: Vec<_> = records(&config.path).iter().map(|record| record.seq).collect();
    assert_eq!(kept, (summary.first_seq..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_closed_log_takes_no_record_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&AuditConfig::at(log_path(directory.path())));
    assert_eq!(log.health(), Ok(()));
    log.append(read_of("x")).await.unwrap();
    log.close().await.unwrap();
    assert_eq!(log.append(read_of("y")).await, Err(AuditUnavailable::Closed));
    assert_eq!(log.health(), Err(AuditUnavailable::Closed));
    assert_eq!(log.close().await, Err(AuditUnavailable::Closed));
}

/// A log rotator that was pointed at the file, or somebody who wants to be rid of it.
#[tokio::test]
async fn a_log_moved_away_under_the_writer_goes_on_in_its_place_and_the_gap_shows() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig::at(log_path(directory.path()));
    let log = open(&config);
    log.append(read_of("moved away")).await.unwrap();
    fs::rename(&config.path, directory.path().join("away")).unwrap();
    log.append(read_of("after")).await.unwrap();
    assert_eq!(lines(&config.path).len(), 1);
    assert_eq!(verify(&config.path, None).unwrap_err().seq, 1);
}

#[tokio::test]
async fn a_log_emptied_under_the_writer_is_kept_as_evidence_and_goes_on_in_another_file() {
    let directory = tempfile::tempdir().unwrap();
    let config = AuditConfig::at(log_path(directory.path()));
    let log = open(&config);
    log.append(read_of("emptied")).await.unwrap();
    fs::File::create(&config.path).unwrap();
    log.append(read_of("after")).await.unwrap();
    assert_eq!(lines(&config.path).len(), 1);
    assert_eq!(files(&config.path).len(), 2);
    assert_eq!(verify(&config.path, None).unwrap_err().seq, 1);
}
