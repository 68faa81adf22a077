//! Whoever edits, deletes, reorders or cuts anything in a closed log is found out, at the place.

use std::fs;
use std::path::{Path, PathBuf};

use hyperion_vault_server::audit::{AuditLog, Fault, Finding, Head, LineFault, check, verify};
use tempfile::TempDir;

use crate::audit_fixture::{SetClock, files, lines, log_path, read_of, small_segments, written_log};

const RECORDS: u64 = 18;

/// A whole log of several files.
struct Trail {
    directory: TempDir,
    head: Head,
}

impl Trail {
    async fn new() -> Trail {
        let directory = tempfile::tempdir().unwrap();
        let log: AuditLog = written_log(&small_segments(directory.path()), RECORDS).await;
        let trail = Trail { directory, head: log.head() };
        assert!(files(&trail.path()).len() >= 4, "the tests need several segments");
        trail
    }

    fn path(&self) -> PathBuf {
        log_path(self.directory.path())
    }

    fn files(&self) -> Vec<PathBuf> {
        files(&self.path())
    }

    /// Verifies after `change` of the lines of `file`, and undoes the change.
    fn finding_after(&self, file: &Path, change: impl FnOnce(&mut Vec<String>)) -> Finding {
        let before = fs::read(file).unwrap();
        let mut changed = lines(file);
        change(&mut changed);
        fs::write(file, changed.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let finding = verify(&self.path(), Some(self.head)).unwrap_err();
        fs::write(file, before).unwrap();
        finding
    }

    /// Each line of each file: the file, the index of the line in it, and how many lines the file has.
    fn each_line(&self) -> Vec<(PathBuf, usize, usize)> {
        let each = |file: PathBuf| {
            let count = lines(&file).len();
            (0..count).map(move |at| (file.clone(), at, count))
        };
        self.files().into_iter().flat_map(each).collect()
    }
}

fn assert_place(finding: &Finding, file: &Path, at: usize) {
    assert_eq!((finding.file.as_path(), finding.line), (file, at as u64 + 1), "{finding}");
}

#[tokio::test]
async fn a_whole_log_is_found_whole() {
    let trail = Trail::new().await;
    let summary = verify(&trail.path(), Some(trail.head)).unwrap();
    assert_eq!((summary.first_seq, summary.last_seq), (1, RECORDS));
    assert_eq!((summary.head, summary.segments), (trail.head, trail.files().len() as u64 - 1));
    assert_eq!(verify(&trail.path(), None).unwrap(), summary);
}

#[tokio::test]
async fn an_edited_line_is_named() {
    let trail = Trail::new().await;
    for (file, at, _) in trail.each_line() {
        let finding =
            trail.finding_after(&file, |lines| lines[at] = lines[at].replace("10.0.0.7", "10.0.0.8"));
        assert_place(&finding, &file, at);
        assert!(matches!(finding.what, Fault::Line(LineFault::WrongHash)), "{finding}");
    }
}

#[tokio::test]
async fn a_deleted_line_is_named() {
    let trail = Trail::new().await;
    let active = trail.path();
    for (seq, (file, at, count)) in (1..).zip(trail.each_line()) {
        let finding = trail.finding_after(&file, |lines| drop(lines.remove(at)));
        assert_eq!(finding.seq, seq, "{finding}");
        if at + 1 < count {
            assert!(matches!(finding.what, Fault::Removed { last } if last == seq), "{finding}");
            assert_place(&finding, &file, at);
        } else if file == active {
            assert!(matches!(finding.what, Fault::CutTail { last: RECORDS }), "{finding}");
            assert_place(&finding, &file, at);
        } else {
            // Nothing tells the end of a file from the start of the next: the gap is between the two.
            let gap = |what| matches!(what, Fault::MissingSegment { last } | Fault::Removed { last } if last == seq);
            assert!(gap(finding.what));
        }
    }
}

#[tokio::test]
async fn swapped_and_repeated_lines_are_named() {
    let trail = Trail::new().await;
    for (file, at, count) in trail.each_line() {
        if at + 1 < count {
            let finding = trail.finding_after(&file, |lines| lines.swap(at, at + 1));
            assert_place(&finding, &file, at);
            assert!(matches!(finding.what, Fault::Reordered { .. }), "{finding}");
        }
        let finding = trail.finding_after(&file, |lines| lines.insert(at, lines[at].clone()));
        assert_place(&finding, &file, at + 1);
        assert!(matches!(finding.what, Fault::Reordered { .. }), "{finding}");
    }
}

#[tokio::test]
async fn a_file_cut_inside_a_line_is_named() {
    let trail = Trail::new().await;
    for file in trail.files() {
        let whole = fs::read(&file).unwrap();
        let last_line = lines(&file).len() - 1;
        for missing in [1, 2, 100] {
            fs::write(&file, &whole[..whole.len() - missing]).unwrap();
            let finding = verify(&trail.path(), None).unwrap_err();
            assert_place(&finding, &file, last_line);
            assert!(matches!(finding.what, Fault::Cut), "{finding}");
        }
        fs::write(&file, whole).unwrap();
    }
}

#[tokio::test]
async fn a_cut_tail_is_found_by_the_head_that_was_kept_elsewhere() {
    let trail = Trail::new().await;
    let active = trail.path();
    let count = lines(&active).len();
    for kept in 0..count {
        let finding = trail.finding_after(&active, |lines| lines.truncate(kept));
        assert_place(&finding, &active, kept);
        assert!(matches!(finding.what, Fault::CutTail { last: RECORDS }), "{finding}");
    }
    fs::remove_file(&active).unwrap();
    let finding = verify(&active, Some(trail.head)).unwrap_err();
    assert!(matches!(finding.what, Fault::CutTail { .. }), "{finding}");
}

#[tokio::test]
async fn a_missing_segment_is_named() {
    let trail = Trail::new().await;
    let files = trail.files();
    for missing in &files[1..files.len() - 2] {
        let aside = trail.directory.path().join("aside");
        let last = lines(missing).len() as u64;
        fs::rename(missing, &aside).unwrap();
        let finding = verify(&trail.path(), None).unwrap_err();
        assert_place(&finding, missing, 0);
        assert!(
            matches!(finding.what, Fault::MissingSegment { last: gone } if gone == finding.seq + last - 1)
        );
        fs::rename(&aside, missing).unwrap();
    }
    // Before the active file there is no name that tells; the record that is expected there does.
    fs::remove_file(&files[files.len() - 2]).unwrap();
    let finding = verify(&trail.path(), None).unwrap_err();
    assert_place(&finding, &trail.path(), 0);
    assert!(matches!(finding.what, Fault::Removed { .. }), "{finding}");
}

#[tokio::test]
async fn without_its_segments_a_log_has_no_beginning() {
    let trail = Trail::new().await;
    let files = trail.files();
    for segment in &files[..files.len() - 1] {
        fs::remove_file(segment).unwrap();
    }
    let finding = verify(&trail.path(), Some(trail.head)).unwrap_err();
    assert_eq!(finding.seq, 1);
    assert!(matches!(finding.what, Fault::Removed { .. }), "{finding}");
}

/// The same number of records of the same sizes, with other content.
async fn other_log() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let log = AuditLog::open(small_segments(directory.path()), SetClock::new(), 2).unwrap();
    for number in 1..=RECORDS {
        log.append(read_of(&format!("secret-{number}"))).await.unwrap();
    }
    log.close().await.unwrap();
    directory
}

#[tokio::test]
async fn a_segment_of_another_log_or_of_another_place_is_named() {
    let (trail, other) = (Trail::new().await, other_log().await);
    let (files, others) = (trail.files(), files(&log_path(other.path())));
    let (_, segments) = files.split_last().unwrap();
    for at in 1..segments.len() {
        let whole = fs::read(&segments[at]).unwrap();
        for replacement in [&others[at], &segments[at - 1]] {
            fs::copy(replacement, &segments[at]).unwrap();
            let finding = verify(&trail.path(), None).unwrap_err();
            assert_place(&finding, &segments[at], 0);
            assert!(matches!(finding.what, Fault::ReplacedSegment), "{finding}");
        }
        fs::write(&segments[at], whole).unwrap();
    }
}

#[tokio::test]
async fn a_log_written_anew_is_found_by_the_head_that_was_kept_elsewhere() {
    let (trail, anew) = (Trail::new().await, other_log().await);
    let path = log_path(anew.path());
    verify(&path, None).unwrap();
    let finding = verify(&path, Some(trail.head)).unwrap_err();
    assert_eq!(finding.seq, RECORDS);
    assert!(matches!(finding.what, Fault::Rewritten), "{finding}");
}

#[tokio::test]
async fn a_head_in_the_middle_or_just_before_the_kept_part_can_still_be_compared() {
    let trail = Trail::new().await;
    let files = trail.files();
    let first_of_second = lines(&files[0]).len() as u64 + 1;
    let hash_of = |file: &Path, at: usize| check(lines(file)[at].as_bytes()).unwrap().head();
    let before = hash_of(&files[0], lines(&files[0]).len() - 1);
    let oldest = hash_of(&files[0], 0);
    let middle = hash_of(&files[1], 1);
    fs::remove_file(&files[0]).unwrap();
    for kept_elsewhere in [before, middle, trail.head] {
        let summary = verify(&trail.path(), Some(kept_elsewhere)).unwrap();
        assert_eq!(summary.first_seq, first_of_second);
    }
    let finding = verify(&trail.path(), Some(oldest)).unwrap_err();
    assert!(matches!(finding.what, Fault::HeadNotKept), "{finding}");
    let forged = Head { seq: before.seq, hash: trail.head.hash };
    assert!(matches!(verify(&trail.path(), Some(forged)).unwrap_err().what, Fault::Rewritten));
}

#[tokio::test]
async fn no_log_is_not_a_whole_log() {
    let directory = tempfile::tempdir().unwrap();
    let finding = verify(&directory.path().join("audit.jsonl"), None).unwrap_err();
    assert!(matches!(finding.what, Fault::NoLog), "{finding}");
}
