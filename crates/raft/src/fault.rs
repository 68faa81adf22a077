//! What stops a node for good, and the port through which the process learns of it.

use std::io;
use std::sync::Arc;

use hyperion_vault_core::state::StorageFault;

/// A failure after which this node must not go on: what is on its disk, or what it would answer, is no longer
/// known. Never retried: after a failed sync the kernel may have dropped the very pages that a second sync
/// would then report as written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// The Raft log couldn't be written or read.
    #[error("raft log: {0}")]
    Log(String),
    /// The replicated state couldn't be written or read.
    #[error("replicated state: {0}")]
    State(String),
    /// A committed entry can't be applied: its command is unknown to this version, or the state it meets is
    /// damaged. Skipping it would make this node differ from the others.
    #[error("entry {index} can't be applied: {reason}")]
    Apply {
        /// Index of the entry in the log.
        index: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A snapshot couldn't be written, read or installed.
    #[error("snapshot: {0}")]
    Snapshot(String),
}

impl Fault {
    pub(crate) fn log(error: impl Into<redb::Error>) -> Fault {
        Fault::Log(error.into().to_string())
    }

    pub(crate) fn state(error: impl Into<redb::Error>) -> Fault {
        Fault::State(error.into().to_string())
    }

    pub(crate) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

/// Reports a failure of redb through the port of the state machine.
pub(crate) fn storage_fault(error: impl Into<redb::Error>) -> StorageFault {
    StorageFault(error.into().to_string())
}

/// Called once with the first [`Fault`], from whatever thread met it. In production it logs and ends the
/// process; nothing is acknowledged after it was called.
pub type OnFault = Arc<dyn Fn(&Fault) + Send + Sync>;

/// Remembers the first fault of a node and reports it once.
pub(crate) struct FaultLatch {
    first: std::sync::OnceLock<Fault>,
    on_fault: OnFault,
}

impl FaultLatch {
    pub(crate) fn new(on_fault: OnFault) -> Arc<FaultLatch> {
        Arc::new(FaultLatch { first: std::sync::OnceLock::new(), on_fault })
    }

    /// Latches `fault`, reports it if it is the first, and hands it back.
    pub(crate) fn raise(&self, fault: Fault) -> Fault {
        if self.first.set(fault.clone()).is_ok() {
            tracing::error!(%fault, "this node halts");
            (self.on_fault)(&fault);
        }
        fault
    }

    pub(crate) fn first(&self) -> Option<&Fault> {
        self.first.get()
    }
}
