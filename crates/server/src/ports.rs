//! What the use cases need of the world, by what it is for and not by who does it.

use std::sync::Arc;

use async_trait::async_trait;
pub use hyperion_vault_core::ports::{Clock, Entropy};
use hyperion_vault_core::state::{Command, Outcome, Rows};

/// One consistent view of the replicated state. Holding it keeps the view, not the state, from changing.
pub type View = Arc<dyn Rows + Send + Sync>;

/// The replicated state of the cluster, as this node has it.
#[async_trait]
pub trait Consensus: Send + Sync + 'static {
    /// The state as of the latest applied command. Costs no disk access and opens no transaction.
    fn view(&self) -> View;

    /// Proposes a command and waits until a quorum has it and this node has applied it; bounded in time.
    ///
    /// # Errors
    /// [`ProposeFailure`]; but for [`ProposeFailure::TooLarge`] and [`ProposeFailure::DiskFull`] the command may
    /// still be applied later.
    async fn propose(&self, command: Command) -> Result<Outcome, ProposeFailure>;

    /// Whether this node leads, and so runs the workers.
    fn is_leader(&self) -> bool;

    /// Whether this node can answer for the cluster's state.
    ///
    /// # Errors
    /// The reason why not, for people.
    fn readiness(&self) -> Result<(), String>;
}

/// Why a command has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProposeFailure {
    #[error("no leader")]
    NoLeader,
    #[error("no quorum in time")]
    NoQuorum,
    #[error("the change is too large for one log entry")]
    TooLarge,
    #[error("the disk is nearly full")]
    DiskFull,
    #[error("this node has stopped taking part in the cluster")]
    Halted,
}
