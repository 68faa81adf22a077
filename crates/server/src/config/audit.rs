//! The audit log's file, syncing and retention.

use std::path::PathBuf;

use super::environment::Environment;
use super::storage::Storage;
use super::table::{AUDIT_PATH, AUDIT_SEGMENT_BYTES, AUDIT_SEGMENTS_MAX, AUDIT_SYNC};

/// Where an audit log lies unless told otherwise, seen from the directory of the state.
const DEFAULT_PATH: &str = "audit/audit.jsonl";

/// How the audit log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// The file that is written to; finished ones lie beside it.
    pub path: PathBuf,
    pub sync: AuditSync,
    /// Size at which a file is finished.
    pub segment_bytes_max: u64,
    /// Finished files that are kept; 0 keeps all.
    pub segments_max: u64,
}

/// When a record is on the disk for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuditSync {
    /// With the operating system before the answer leaves, synced shortly after.
    #[default]
    Batch,
    /// Synced before the answer leaves.
    Always,
}

impl AuditSettings {
    pub(super) fn read(env: &mut Environment, storage: &Storage) -> AuditSettings {
        AuditSettings {
            path: env.path(&AUDIT_PATH).unwrap_or_else(|| storage.dir().join(DEFAULT_PATH)),
            sync: env.choice(&AUDIT_SYNC, |text| match text {
                "batch" => Some(AuditSync::Batch),
                "always" => Some(AuditSync::Always),
                _ => None,
            }),
            segment_bytes_max: env.number(&AUDIT_SEGMENT_BYTES),
            segments_max: env.number(&AUDIT_SEGMENTS_MAX),
        }
    }
}
