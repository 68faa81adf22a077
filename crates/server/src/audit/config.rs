//! What the audit log is configured by.

use std::path::PathBuf;

/// Size at which the active file becomes a segment, in bytes, when nothing else is set.
pub const SEGMENT_BYTES_MAX_DEFAULT: u64 = 64 << 20;
/// Segments kept beside the active file, when nothing else is set.
pub const SEGMENTS_MAX_DEFAULT: u32 = 64;

/// How far a record has got when [`append`](super::AuditLog::append) returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuditSync {
    /// To the operating system: it outlives the process. It is on the disk within 50 ms, so a crash of the
    /// machine can lose the records of that span.
    #[default]
    Batch,
    /// To the disk: it outlives the machine's power.
    Always,
}

/// The configuration of one node's audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// The active file. Segments and the lock file lie beside it.
    pub path: PathBuf,
    pub sync: AuditSync,
    /// Size at which the active file becomes a segment, in bytes. One group of records may go beyond it.
    pub segment_bytes_max: u64,
    /// Segments kept beside the active file; the oldest is removed for a new one. 0 keeps all.
    pub segments_max: u32,
}

impl AuditConfig {
    /// The defaults, for a log at `path`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> AuditConfig {
        AuditConfig {
            path: path.into(),
            sync: AuditSync::default(),
            segment_bytes_max: SEGMENT_BYTES_MAX_DEFAULT,
            segments_max: SEGMENTS_MAX_DEFAULT,
        }
    }
}
