//! Lockouts on the wire.

use serde::{Deserialize, Serialize};

/// An address, or for IPv6 its /64, that this node answers 429.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockoutInfo {
    pub address: String,
    pub locked_until: String,
}
