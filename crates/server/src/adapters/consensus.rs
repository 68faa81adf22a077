//! The Raft node behind the use cases' port.

use std::sync::Arc;

use async_trait::async_trait;
use hyperion_vault_core::state::{Command, Outcome};
use hyperion_vault_raft::{Node, ProposeError};

use crate::ports::{Consensus, ProposeFailure, View};

/// The consensus of this process's node.
pub struct RaftConsensus(pub Arc<Node>);

#[async_trait]
impl Consensus for RaftConsensus {
    fn view(&self) -> View {
        self.0.view()
    }

    async fn propose(&self, command: Command) -> Result<Outcome, ProposeFailure> {
        self.0.propose(command).await.map(|applied| applied.outcome).map_err(|error| match error {
            ProposeError::NoLeader => ProposeFailure::NoLeader,
            ProposeError::NoQuorum => ProposeFailure::NoQuorum,
            ProposeError::TooLarge { .. } => ProposeFailure::TooLarge,
            ProposeError::DiskFull => ProposeFailure::DiskFull,
            ProposeError::Halted => ProposeFailure::Halted,
        })
    }

    fn is_leader(&self) -> bool {
        self.0.is_leader()
    }

    fn readiness(&self) -> Result<(), String> {
        if self.0.is_ready() { Ok(()) } else { Err("no leader, or the state is not caught up".to_owned()) }
    }
}
