//! The audit log's file, syncing and retention.

use super::environment::Environment;
use super::storage::Storage;
use super::table::{AUDIT_PATH, AUDIT_SEGMENT_BYTES, AUDIT_SEGMENTS_MAX, AUDIT_SYNC};
use crate::audit::{AuditConfig, AuditSync};

/// Where an audit log lies unless told otherwise, seen from the directory of the state.
const DEFAULT_PATH: &str = "audit/audit.jsonl";

pub(super) fn read_audit(env: &mut Environment, storage: &Storage) -> AuditConfig {
    AuditConfig {
        path: env.path(&AUDIT_PATH).unwrap_or_else(|| storage.dir().join(DEFAULT_PATH)),
        sync: env.choice(&AUDIT_SYNC, |text| match text {
            "batch" => Some(AuditSync::Batch),
            "always" => Some(AuditSync::Always),
            _ => None,
        }),
        segment_bytes_max: env.number(&AUDIT_SEGMENT_BYTES),
        segments_max: u32::try_from(env.number(&AUDIT_SEGMENTS_MAX)).unwrap_or(u32::MAX),
    }
}
