//! What can go wrong with the trail.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What the log was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Encode,
    Write,
    /// Taking back what a failed write left in the file.
    Cut,
    Sync,
    /// Making a new active file, or moving a full one aside.
    Rotate,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Encode => "encoding a record",
            Step::Write => "writing",
            Step::Cut => "taking back a failed write",
            Step::Sync => "syncing",
            Step::Rotate => "changing files",
        })
    }
}

/// The record is not in the log, or not surely: refuse the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuditUnavailable {
    #[error("audit log: {step} failed: {kind}")]
    Failed { step: Step, kind: io::ErrorKind },
    /// The disk doesn't answer. The record may still be written later.
    #[error("audit log: the disk does not answer")]
    Stalled,
    #[error("audit log: closed")]
    Closed,
}

impl AuditUnavailable {
    pub(super) fn at(step: Step) -> impl FnOnce(io::Error) -> AuditUnavailable {
        move |error| AuditUnavailable::Failed { step, kind: error.kind() }
    }
}

/// What is wrong with one line, seen by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LineFault {
    #[error("this is not a record")]
    Malformed,
    #[error("the record has format version {0}, which this program does not know")]
    UnknownFormat(u32),
    #[error("the line was edited: its hash is wrong")]
    WrongHash,
}

/// The log can't be opened, and so the server can't start.
#[derive(Debug, Error)]
pub enum AuditOpenError {
    #[error("audit log {}: {doing}: {source}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("audit log {}: another process is writing it", path.display())]
    Locked { path: PathBuf },
    #[error("audit log {}: not a regular file", path.display())]
    NotAFile { path: PathBuf },
    /// Somebody edited the end of the log, or the disk did. Going on would bury that under new records.
    #[error("audit log {}:{line}: {fault}; move the log aside to start a new one", path.display())]
    Damaged { path: PathBuf, line: u64, fault: LineFault },
    /// More at the end than a crash can leave there.
    #[error("audit log {}: the last {bytes} bytes hold no end of a line", path.display())]
    Garbage { path: PathBuf, bytes: u64 },
}

impl AuditOpenError {
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> AuditOpenError {
        move |source| AuditOpenError::Io { path: path.to_owned(), doing, source }
    }
}
