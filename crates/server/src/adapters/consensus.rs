//! The Raft node behind the use cases' port.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::state::{Command, Outcome};
use hyperion_vault_raft::{Node, ProposeError, Standing};

use crate::ports::{Consensus, ProposeFailure, View};

/// A leader that was not heard for so long is as good as none.
const LEADER_HEARD_WITHIN: Duration = Duration::from_secs(2);

/// The consensus of this process's node.
pub struct RaftConsensus(pub Arc<Node>);

#[async_trait]
impl Consensus for RaftConsensus {
    fn view(&self) -> View {
        self.0.view()
    }

    async fn propose(&self, command: Command) -> Result<Outcome, ProposeFailure> {
        self.0.propose(command).await.map(|applied| applied.outcome).map_err(failure)
    }

    async fn barrier(&self) -> Result<(), ProposeFailure> {
        self.0.barrier().await.map(|_| ()).map_err(failure)
    }

    async fn wait_applied(&self, index: u64, limit: Duration) -> bool {
        self.0.wait_applied(index, limit).await.is_ok()
    }

    fn applied_index(&self) -> u64 {
        self.0.applied_index()
    }

    fn is_leader(&self) -> bool {
        self.0.is_leader()
    }

    fn standing(&self) -> Result<(), String> {
        match self.0.standing() {
            Standing::Ready => Ok(()),
            Standing::Waiting(reason) | Standing::CatchingUp(reason) => Err(reason),
        }
    }

    fn readiness(&self) -> Result<(), String> {
        self.standing()?;
        if !self.0.is_ready() {
            return Err("no leader is known".to_owned());
        }
        let cluster = self.0.cluster();
        if !cluster.quorum {
            return Err("no quorum: a majority of the members can't be reached".to_owned());
        }
        if self.0.is_leader() {
            return Ok(());
        }
        // Who leads is known until another does, dead or alive.
        let leader = cluster.nodes.iter().find(|member| Some(member.node_id) == cluster.leader);
        match leader.map(|leader| leader.last_contact) {
            Some(Some(ago)) if ago <= LEADER_HEARD_WITHIN => Ok(()),
            Some(_) => Err("the leader is not heard".to_owned()),
            None => Err("no leader is known".to_owned()),
        }
    }
}

fn failure(error: ProposeError) -> ProposeFailure {
    match error {
        ProposeError::NoLeader => ProposeFailure::NoLeader,
        ProposeError::NoQuorum => ProposeFailure::NoQuorum,
        ProposeError::TooLarge { .. } => ProposeFailure::TooLarge,
        ProposeError::DiskFull => ProposeFailure::DiskFull,
        ProposeError::NotYetSupported { needed, level } => ProposeFailure::NotYetSupported { needed, level },
        ProposeError::Halted => ProposeFailure::Halted,
    }
}
