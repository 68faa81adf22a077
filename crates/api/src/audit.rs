//! The audit trail on the wire.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One page of `GET /v1/admin/audit`, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuditPage {
    /// Records as they stand in the node's file, without their links in its chain.
    pub records: Vec<Box<RawValue>>,
    /// Ask again with `?before=` this for older ones; null when there are none.
    pub next_before: Option<u64>,
}
