//! The files of a log and their names.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::disk::directory;

/// Digits of the first record's number in a segment's name: those of the largest `u64`, so that names sort
/// like numbers.
const SEQ_DIGITS: usize = 20;

/// A full file that was moved aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Number of its first record, by its name.
    pub(super) first_seq: u64,
    pub(super) path: PathBuf,
}

impl Segment {
    /// The segment of the log at `active` whose first record is `first_seq`.
    pub(super) fn new(active: &Path, first_seq: u64) -> Segment {
        Segment { first_seq, path: with_suffix(active, &format!(".{first_seq:0SEQ_DIGITS$}")) }
    }
}

/// The file whose lock keeps a second writer out.
pub(super) fn lock_path(active: &Path) -> PathBuf {
    with_suffix(active, ".lock")
}

/// The segments of the log at `active`, the oldest first.
pub(super) fn segments(active: &Path) -> io::Result<Vec<Segment>> {
    let stem = active.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(directory(active))? {
        if let Some(first_seq) = first_seq_in_name(stem, &entry?.file_name()) {
            found.push(Segment::new(active, first_seq));
        }
    }
    found.sort_by_key(|segment| segment.first_seq);
    Ok(found)
}

fn first_seq_in_name(stem: &OsStr, name: &OsStr) -> Option<u64> {
    let digits = name.as_bytes().strip_prefix(stem.as_bytes())?.strip_prefix(b".")?;
    let all_digits = digits.len() == SEQ_DIGITS && digits.iter().all(u8::is_ascii_digit);
    all_digits.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn only_twenty_digits_after_the_name_of_the_log_make_a_segment() {
        let directory = tempfile::tempdir().unwrap();
        let active = directory.path().join("audit.jsonl");
        for other in ["audit.jsonl", "audit.jsonl.lock", "audit.jsonl.1", "audit.jsonl.0000000000000000000x"]
        {
            fs::write(directory.path().join(other), "").unwrap();
        }
        for seq in [300, 1, 20] {
            fs::write(Segment::new(&active, seq).path, "").unwrap();
        }
        let found: Vec<_> = segments(&active).unwrap().iter().map(|segment| segment.first_seq).collect();
        assert_eq!(found, [1, 20, 300]);
        assert!(Segment::new(&active, 20).path.ends_with("audit.jsonl.00000000000000000020"));
    }
}
