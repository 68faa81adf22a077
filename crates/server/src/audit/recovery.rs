//! Opening a log that an earlier process left behind, however it ended.

use std::fs::{File, TryLockError};
use std::io::{BufReader, Read};
use std::path::Path;

use super::chain::{Head, check, seq_of};
use super::disk::{create_directory, open_lock, reopen};
use super::error::{AuditOpenError, LineFault};
use super::journal::{Active, UNSYNCED_BYTES_MAX};
use super::lines::{Backward, Forward, Line, end_of_last_line};
use super::segment::{lock_path, segments};

/// More than one interrupted write can leave without an end of a line, in bytes.
const TORN_BYTES_MAX: u64 = 2 * UNSYNCED_BYTES_MAX as u64;

/// A log to go on with.
pub(super) struct Recovered {
    /// Held as long as the log is written.
    pub(super) lock: File,
    /// None when there is no active file: the log is new, or the process ended between two files.
    pub(super) active: Option<Active>,
    pub(super) head: Head,
    /// Bytes of a torn line that were cut off.
    pub(super) cut_bytes: u64,
}

/// Locks the log at `path` and finds where to go on.
pub(super) fn recover(path: &Path) -> Result<Recovered, AuditOpenError> {
    create_directory(path).map_err(AuditOpenError::io(path, "the directory can't be made"))?;
    let lock = lock(path)?;
    let Some(file) = open_active(path)? else {
        return Ok(Recovered { lock, active: None, head: head_of_segments(path)?, cut_bytes: 0 });
    };
    let found = file.metadata().map_err(AuditOpenError::io(path, "can't be read"))?.len();
    let len = cut_torn_line(path, &file, found)?;
    let head = match head_of(path, &file, len)? {
        Some(head) => head,
        None => head_of_segments(path)?,
    };
    let first_seq = if len == 0 { head.seq.saturating_add(1) } else { first_seq(path)? };
    let active = Active::new(file, first_seq, len);
    Ok(Recovered { lock, active: Some(active), head, cut_bytes: found - len })
}

fn lock(path: &Path) -> Result<File, AuditOpenError> {
    let lock = open_lock(&lock_path(path)).map_err(AuditOpenError::io(path, "the lock can't be made"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(AuditOpenError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(AuditOpenError::io(path, "can't be locked")(error)),
    }
}

fn open_active(path: &Path) -> Result<Option<File>, AuditOpenError> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(AuditOpenError::NotAFile { path: path.to_owned() }),
        Ok(_) => reopen(path).map(Some).map_err(AuditOpenError::io(path, "can't be opened")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AuditOpenError::io(path, "can't be opened")(error)),
    }
}

/// Cuts off what a crash in the middle of a write left, brings the rest to the disk and returns its length.
fn cut_torn_line(path: &Path, file: &File, len: u64) -> Result<u64, AuditOpenError> {
    let end = end_of_last_line(file, len, TORN_BYTES_MAX)
        .map_err(AuditOpenError::io(path, "can't be read"))?
        .ok_or_else(|| AuditOpenError::Garbage { path: path.to_owned(), bytes: TORN_BYTES_MAX })?;
    if end < len {
        file.set_len(end).map_err(AuditOpenError::io(path, "a torn line can't be cut off"))?;
    }
    file.sync_data().map_err(AuditOpenError::io(path, "can't be synced"))?;
    Ok(end)
}

/// The head by the last line of a file; none when it has no lines.
fn head_of(path: &Path, file: &File, len: u64) -> Result<Option<Head>, AuditOpenError> {
    let mut lines = Backward::new(file, len);
    let last = lines.next().map_err(AuditOpenError::io(path, "can't be read"))?;
    let checked = match last {
        None => return Ok(None),
        Some(Line::Whole(line)) => check(line),
        Some(Line::Torn(_) | Line::TooLong) => Err(LineFault::Malformed),
    };
    match checked {
        Ok(link) => Ok(Some(link.head())),
        Err(fault) => Err(AuditOpenError::Damaged { path: path.to_owned(), line: count_lines(path)?, fault }),
    }
}

/// The head by the newest segment.
fn head_of_segments(path: &Path) -> Result<Head, AuditOpenError> {
    let all = segments(path).map_err(AuditOpenError::io(path, "the segments can't be listed"))?;
    let Some(newest) = all.last() else { return Ok(Head::GENESIS) };
    let unreadable = || AuditOpenError::io(&newest.path, "can't be read");
    let file = File::open(&newest.path).map_err(unreadable())?;
    let len = file.metadata().map_err(unreadable())?.len();
    head_of(&newest.path, &file, len)?.ok_or_else(|| AuditOpenError::Damaged {
        path: newest.path.clone(),
        line: 1,
        fault: LineFault::Malformed,
    })
}

fn first_seq(path: &Path) -> Result<u64, AuditOpenError> {
    let start = File::open(path).map_err(AuditOpenError::io(path, "can't be read"))?;
    let mut lines = Forward::new(BufReader::new(start));
    match lines.next().map_err(AuditOpenError::io(path, "can't be read"))? {
        Some(Line::Whole(line)) => seq_of(line),
        _ => None,
    }
    .ok_or_else(|| AuditOpenError::Damaged {
        path: path.to_owned(),
        line: 1,
        fault: LineFault::Malformed,
    })
}

/// The number of the last line, for a person who has to look at it.
fn count_lines(path: &Path) -> Result<u64, AuditOpenError> {
    let file = File::open(path).map_err(AuditOpenError::io(path, "can't be read"))?;
    let mut ends = 0;
    let (mut reader, mut block) = (BufReader::new(file), [0; 8 << 10]);
    loop {
        let read = reader.read(&mut block).map_err(AuditOpenError::io(path, "can't be read"))?;
        if read == 0 {
            return Ok(ends);
        }
        ends += block.iter().take(read).filter(|byte| **byte == b'\n').count() as u64;
    }
}
