//! Key management on the wire.

use serde::{Deserialize, Serialize};

/// `POST /v1/admin/kms/rewrap`: how the pass that it began ended. Counts are of versions;
/// `failed` counts the cluster's integrity key too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewrapAnswer {
    pub scanned: u64,
    pub rewrapped: u64,
    pub failed: u64,
    /// The rotation that the pass wrapped for; `null` for a master key that was never rotated.
    pub target_rotation_at: Option<String>,
}

/// `GET /v1/admin/kms/rewrap/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewrapStatus {
    /// Whether the vault looks for rotations of itself.
    pub enabled: bool,
    /// Whether a pass is running.
    pub busy: bool,
    /// Every version is wrapped at least as new as this.
    pub last_completed_rotation_at: Option<String>,
    /// The newest that the KMS knows, or, while it can't be asked, the vault.
    pub latest_rotation_at: Option<String>,
    pub total_versions: u64,
    /// Versions that a pass would re-wrap.
    pub pending_versions: u64,
    /// The master key that passes wrap for; `null` before there was a reason for one.
    pub target_key_id: Option<String>,
    /// The one that is running.
    pub pass: Option<RewrapPass>,
    /// The one that ended last.
    pub last_pass: Option<EndedRewrapPass>,
}

/// A pass, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewrapPass {
    pub number: u64,
    pub scanned: u64,
    pub rewrapped: u64,
    pub failed: u64,
}

/// A pass that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRewrapPass {
    pub number: u64,
    pub scanned: u64,
    pub rewrapped: u64,
    pub failed: u64,
    pub target_rotation_at: Option<String>,
    pub ended_at: String,
    /// Whether nothing was left to re-wrap.
    pub complete: bool,
}
