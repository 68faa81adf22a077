//! A full disk and a killed process, for real.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hyperion_vault_server::audit::{AuditConfig, AuditLog, AuditUnavailable, Step, verify};

use crate::audit_fixture::{always, log_path, open, read_of, records, small_segments};

/// A small file system of its own, in memory.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None when this process may not mount.
    fn mount(kib: u32) -> Option<SmallDisk> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "audit-test"])
            .arg(directory.path())
            .output();
        mounted.is_ok_and(|output| output.status.success()).then(|| SmallDisk(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

async fn append_until_refused(log: &AuditLog, accepted: &mut Vec<String>) -> AuditUnavailable {
    loop {
        let name = format!("secret-{}", accepted.len());
        match log.append(read_of(&name)).await {
            Ok(_) => accepted.push(name),
            Err(refused) => return refused,
        }
    }
}

fn names(path: &Path) -> Vec<String> {
    records(path).into_iter().filter_map(|record| record.name).collect()
}

async fn fill_and_free(disk: &SmallDisk, config: AuditConfig) {
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 64 << 10]).unwrap();
    let log = open(&config);
    let mut accepted = Vec::new();
    let refused = append_until_refused(&log, &mut accepted).await;
    let kind = io::ErrorKind::StorageFull;
    assert!(
        matches!(refused, AuditUnavailable::Failed { step: Step::Write | Step::Rotate, kind: found } if found == kind)
    );
    assert!(accepted.len() > 100, "it held {} records", accepted.len());
    assert_eq!(log.append(read_of("refused")).await, Err(refused));
    assert_eq!(log.health(), Err(refused));
    assert_eq!(names(&config.path), accepted, "what was refused left nothing");

    fs::remove_file(&ballast).unwrap();
    log.append(read_of("after")).await.unwrap();
    assert_eq!(log.health(), Ok(()));
    accepted.push("after".to_owned());
    append_until_refused(&log, &mut accepted).await;
    log.close().await.unwrap();
    verify(&config.path, Some(log.head())).unwrap();
    assert_eq!(names(&config.path), accepted);
}

#[tokio::test]
async fn a_full_disk_refuses_and_when_space_is_back_the_log_goes_on() {
    for make in [AuditConfig::at, |path| always(AuditConfig::at(path))] {
        let Some(disk) = SmallDisk::mount(192) else {
            eprintln!("SKIPPED: mounting a small tmpfs needs root; the full disk was not tested");
            return;
        };
        let path = log_path(disk.0.path());
        fill_and_free(&disk, make(path.clone())).await;
    }
}

#[tokio::test]
async fn a_log_with_space_again_becomes_healthy_without_a_request() {
    let Some(disk) = SmallDisk::mount(192) else {
        eprintln!("SKIPPED: mounting a small tmpfs needs root; the full disk was not tested");
        return;
    };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 64 << 10]).unwrap();
    let log = open(&small_segments(disk.0.path()));
    append_until_refused(&log, &mut Vec::new()).await;
    fs::remove_file(&ballast).unwrap();
    while log.health().is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let last = records(&log_path(disk.0.path())).pop().unwrap();
    assert_eq!(last.actor, "system:audit");
}

const CHILD_DIRECTORY: &str = "AUDIT_TEST_CHILD_DIRECTORY";

/// Not a test: what the next one kills.
#[tokio::test]
#[ignore = "the process that another test starts and kills"]
#[expect(clippy::disallowed_methods, reason = "a test process learns from its environment what it is for")]
async fn child_that_appends_until_it_is_killed() {
    let Some(directory) = std::env::var_os(CHILD_DIRECTORY) else { return };
    let log = open(&small_segments(Path::new(&directory)));
    for number in 0.. {
        let appends = (0..8).map(|lane| log.append(read_of(&format!("{number}/{lane}"))));
        for appended in futures::future::join_all(appends).await {
            println!("acknowledged {}", appended.unwrap().seq);
        }
    }
}

#[tokio::test]
async fn a_process_killed_at_any_moment_has_lost_no_record_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "audit_outage::child_that_appends_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD_DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let seq_in = |line: String| line.split_once("acknowledged ")?.1.parse::<u64>().ok();
        acknowledged = output.by_ref().filter_map(seq_in).nth(40 + 17 * round).unwrap();
        child.kill().unwrap();
        acknowledged = output.filter_map(seq_in).last().unwrap_or(acknowledged);
        child.wait().unwrap();

        let log = open(&small_segments(directory.path()));
        assert!(
            log.head().seq >= acknowledged,
            "{acknowledged} was acknowledged, {} is there",
            log.head().seq
        );
        log.close().await.unwrap();
        verify(&log_path(directory.path()), Some(log.head())).unwrap();
    }
    assert!(acknowledged > 300);
}
