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
    /// Consensus ended though nobody stopped it.
    #[error("consensus: {0}")]
    Consensus(String),
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
            // Before it is logged: tracing panics where stderr can't be written, and the process must end even then.
            (self.on_fault)(&fault);
            tracing::error!(%fault, "this node halts");
        }
        fault
    }

    pub(crate) fn first(&self) -> Option<&Fault> {
        self.first.get()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Writes its events as a full disk or a closed pipe would let it.
    struct BrokenLog;

    impl tracing::Subscriber for BrokenLog {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            std::panic::panic_any("failed printing to stderr");
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn the_process_learns_of_a_fault_once_even_if_it_cannot_be_logged() {
        let reports = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&reports);
        let latch = FaultLatch::new(Arc::new(move |_| {
            seen.fetch_add(1, Ordering::SeqCst);
        }));
        let raise = || latch.raise(Fault::Log("the disk is gone".to_owned()));
        let first = catch_unwind(AssertUnwindSafe(|| tracing::subscriber::with_default(BrokenLog, raise)));
        assert!(first.is_err(), "the log worked; the test shows nothing");
        raise();
        assert_eq!(reports.load(Ordering::SeqCst), 1);
    }
}
