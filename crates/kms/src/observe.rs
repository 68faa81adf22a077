//! What is told about each call to a key provider, for the metrics.

use std::time::Duration;

use crate::provider::{KmsError, Outage};

/// What a key provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Generate,
    Unwrap,
    Rewrap,
    CurrentKey,
}

impl Operation {
    /// What the metrics call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Generate => "generate",
            Operation::Unwrap => "unwrap",
            Operation::Rewrap => "rewrap",
            Operation::CurrentKey => "current_key",
        }
    }
}

/// How one call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallResult {
    Ok,
    Unavailable(Outage),
    Misconfigured,
    Tampered,
}

impl CallResult {
    pub(crate) fn of<T>(answered: &Result<T, KmsError>) -> CallResult {
        match answered {
            Ok(_) => CallResult::Ok,
            Err(KmsError::Unavailable { outage, .. }) => CallResult::Unavailable(*outage),
            Err(KmsError::Misconfigured { .. }) => CallResult::Misconfigured,
            Err(KmsError::Tampered { .. }) => CallResult::Tampered,
        }
    }

    /// What the metrics call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CallResult::Ok => "ok",
            CallResult::Unavailable(Outage::Throttled) => "throttled",
            CallResult::Unavailable(Outage::TimedOut) => "timed_out",
            CallResult::Unavailable(Outage::Unreachable) => "unreachable",
            CallResult::Unavailable(Outage::Faulty) => "faulty",
            CallResult::Unavailable(Outage::CircuitOpen) => "circuit_open",
            CallResult::Misconfigured => "misconfigured",
            CallResult::Tampered => "tampered",
        }
    }
}

/// Who wants to know of every call.
pub trait KmsObserver: Send + Sync + 'static {
    /// One attempt ended, or was not made because the circuit is open.
    fn called(&self, operation: Operation, result: CallResult, took: Duration);
}
