//! Proposing: to this node's own log where it leads, else by way of the leader; again after an answer was lost,
//! because the state machine applies one origin once.

use bytes::Bytes;
use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::state::command::RaiseFeatureLevel;
use hyperion_vault_core::state::table::meta;
use hyperion_vault_core::state::{Command, ORIGINS_SINCE, Origin, Outcome, Proposal, Refusal};
use openraft::errors::{ClientWriteError, RaftError};
use tokio::time::{sleep, timeout};

use super::Applied;
use super::participant::Participant;
use super::pending::Ticket;
use crate::config::{LEADER_CALL_TIMEOUT, PROPOSAL_BYTES_MAX, PROPOSE_RETRY_PAUSE, PROPOSE_TIMEOUT};
use crate::error::ProposeError;
use crate::status::Leadership;
use crate::transport::connection::CallError;
use crate::transport::message::{Forwarded, LeaderAnswer, Rejection};
use crate::types::EncodedProposal;

/// What an encoded proposal has beside its command: stamp, origin and their framing.
const PROPOSAL_OVERHEAD_BYTES: usize = 64;

/// How one try to have a proposal written ended.
pub(super) enum Tried {
    /// It is committed. Its outcome follows when this node has applied it.
    Written(u64),
    /// Nothing was written.
    Elsewhere,
    /// Nobody knows whether it was or will be written.
    Lost,
    /// It can't be written; trying again won't help.
    Failed(ProposeError),
}

/// One proposal on its way.
struct Submission {
    command: Command,
    encoded: Bytes,
    ticket: Ticket,
    /// It may stand in a log.
    submitted: bool,
    /// Proposing it twice is harmless.
    repeatable: bool,
}

impl Participant {
    /// See [`super::Node::propose`].
    pub(super) async fn propose(&self, command: Command) -> Result<Applied, ProposeError> {
        let mut submission = self.submission(command)?;
        let applied = timeout(PROPOSE_TIMEOUT, self.submit(&mut submission)).await;
        match applied {
            Ok(Ok(Applied { outcome: Outcome::Refused(Refusal::AppliedBefore), .. })) => {
                // Its first entry came with a snapshot: it was applied, but what came of it isn't known here.
                Err(ProposeError::NoQuorum)
            }
            Ok(result) => result,
            Err(_) if self.latch.first().is_some() => Err(ProposeError::Halted),
            Err(_) if submission.submitted => Err(ProposeError::NoQuorum),
            Err(_) => Err(ProposeError::NoLeader),
        }
    }

    fn submission(&self, command: Command) -> Result<Submission, ProposeError> {
        let level = self.cluster_level()?;
        if command.level() > level {
            return Err(ProposeError::NotYetSupported { needed: command.level(), level });
        }
        // Encoding into a vector has no way to fail.
        let encoded = Bytes::from(minicbor::to_vec(&command).unwrap_or_default());
        let bytes = encoded.len().saturating_add(PROPOSAL_OVERHEAD_BYTES);
        if bytes > PROPOSAL_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes });
        }
        let ticket = self.pending.begin();
        Ok(Submission { command, encoded, ticket, submitted: false, repeatable: level >= ORIGINS_SINCE })
    }

    /// The level of commands that the cluster uses.
    pub(crate) fn cluster_level(&self) -> Result<u32, ProposeError> {
        meta::feature_level(&*self.state.view()).map_err(|_| ProposeError::Halted)
    }

    async fn submit(&self, submission: &mut Submission) -> Result<Applied, ProposeError> {
        let mut leadership = self.leadership();
        loop {
            let now =
                *leadership.wait_for(|now| now.leader.is_some()).await.map_err(|_| ProposeError::Halted)?;
            // Once a try was lost, it may stand in a log whatever becomes of the next.
            let submitted_before = std::mem::replace(&mut submission.submitted, true);
            let Submission { command, encoded, ticket, .. } = submission;
            let origin = ticket.origin;
            let tried = tokio::select! {
                biased;
                applied = ticket.applied() => return Ok(applied),
                tried = self.try_once(now, command, encoded, origin) => tried,
                // The leader that was asked may never answer.
                _ = leadership.wait_for(|later| *later != now) => Tried::Lost,
            };
            match tried {
                Tried::Written(_) => return Ok(ticket.applied().await),
                Tried::Elsewhere => submission.submitted = submitted_before,
                Tried::Lost if submission.repeatable => {}
                Tried::Lost => return Err(ProposeError::NoQuorum),
                Tried::Failed(_) if submitted_before => return Err(ProposeError::NoQuorum),
                Tried::Failed(error) => return Err(error),
            }
            tokio::select! {
                applied = submission.ticket.applied() => return Ok(applied),
                () = sleep(PROPOSE_RETRY_PAUSE) => {}
            }
        }
    }

    async fn try_once(&self, now: Leadership, command: &Command, encoded: &Bytes, origin: Origin) -> Tried {
        match now.leader {
            Some(_) if now.is_here() => self.write(command.clone(), origin).await,
            Some(leader) => self.forward(leader, Forwarded { command: encoded.clone(), origin }).await,
            None => Tried::Elsewhere,
        }
    }

    /// Writes a command into the log of this node, which leads, and waits until it is applied here.
    pub(super) async fn write(&self, command: Command, origin: Origin) -> Tried {
        // The leader's stamp is the cluster's time, which one node alone doesn't know.
        self.clock.wait_heard().await;
        let proposal = Proposal { stamp: self.clock.now(), command, origin: Some(origin) };
        let encoded = proposal.encode();
        if !self.room.take(encoded.len()) {
            return Tried::Failed(ProposeError::DiskFull);
        }
        match self.raft.client_write(EncodedProposal(encoded.into())).await {
            Ok(written) => Tried::Written(written.log_id.index),
            // Refused before it was appended: this node doesn't lead, or not yet.
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Tried::Elsewhere,
            Err(RaftError::APIError(_)) => Tried::Lost,
            Err(RaftError::Fatal(_)) => Tried::Failed(ProposeError::Halted),
        }
    }

    async fn forward(&self, leader: u64, forwarded: Forwarded) -> Tried {
        let Ok(route) = self.roster.route(leader) else { return Tried::Elsewhere };
        match route.connection.propose(route.caller, forwarded, LEADER_CALL_TIMEOUT).await {
            Ok(LeaderAnswer::Done(index)) => Tried::Written(index),
            Ok(LeaderAnswer::NotLeader { .. }) => Tried::Elsewhere,
            Ok(LeaderAnswer::Refused(_)) => Tried::Failed(ProposeError::DiskFull),
            Err(CallError::Rejected(Rejection::Malformed(_))) => Tried::Failed(ProposeError::NoQuorum),
            Err(CallError::Rejected(_)) => Tried::Elsewhere,
            Ok(LeaderAnswer::Unavailable(_)) | Err(_) => Tried::Lost,
        }
    }

    /// Has the level of the cluster's commands raised; the leader alone does, once every member can follow.
    pub(crate) async fn raise_feature_level(&self, level: u32) -> Result<(), ProposeError> {
        // Before the cluster has its identity there is no level to raise.
        if !meta::cluster(&*self.state.view()).is_ok_and(|cluster| cluster.is_some()) {
            return Ok(());
        }
        self.propose(Command::RaiseFeatureLevel(RaiseFeatureLevel { level })).await.map(drop)
    }
}
