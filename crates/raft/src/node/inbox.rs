//! This node as its peers call it.

use async_trait::async_trait;
use futures::StreamExt;
use hyperion_vault_core::state::Command;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{
    SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;

use super::participant::Participant;
use super::propose::Tried;
use crate::cluster::roster::CallKind;
use crate::error::ProposeError;
use crate::snapshot::{IncomingSnapshot, SnapshotFile};
use crate::transport::inbox::{Appended, Appends, Inbox};
use crate::transport::message::{
    BeatAnswer, Caller, Forwarded, LeaderAnswer, MemberChange, MembersAnswer, Rejection,
};
use crate::types::{LogId, TypeConfig, Vote, is_within};

type Answer<T> = Result<T, Rejection>;

impl Participant {
    /// Lets a call in, or not. A node that belongs to no cluster joins the caller's where it is sent a part of its
    /// history; to grant a vote it needn't.
    async fn admit(&self, caller: &Caller, call: CallKind) -> Answer<()> {
        let admission = self.roster.admits(caller, call)?;
        let joins = matches!(call, CallKind::Append | CallKind::Snapshot);
        if let Some(lineage) = admission.adopt.filter(|_| joins) {
            let joined = self.lineage.adopt(lineage).await.map_err(|_| Rejection::Halted)?;
            if joined != lineage {
                return Err(Rejection::OtherLineage);
            }
            tracing::info!(%lineage, leader = caller.from, "joined the cluster");
        }
        Ok(())
    }

    /// Whether a snapshot can be of the history that a leader with this vote continues. Consensus panics at one that
    /// isn't.
    fn check_follows(&self, vote: &Vote, last: Option<LogId>) -> Answer<()> {
        let metrics = self.raft.data_metrics();
        let committed = metrics.borrow_watched().local_committed;
        let beyond_vote = last.is_some_and(|last| !is_within(&last, vote));
        let beside_committed = last > committed && last.map(|id| id.index) <= committed.map(|id| id.index);
        if beyond_vote || beside_committed {
            return Err(Rejection::Malformed("the snapshot is of another history"));
        }
        Ok(())
    }

    fn not_leader<T>(&self) -> LeaderAnswer<T> {
        LeaderAnswer::NotLeader { leader: self.leadership.borrow().leader }
    }
}

#[async_trait]
impl Inbox for Participant {
    async fn beat(&self, caller: Caller) -> Answer<BeatAnswer> {
        self.admit(&caller, CallKind::Beat).await?;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let log = self.raft.data_metrics();
        let last_log_id = log.borrow_watched().last_log;
        Ok(BeatAnswer {
            node_id: self.node_id(),
            boot: self.boot,
            lineage: self.lineage.current(),
            clock: self.clock.own(),
            role: metrics.state.into(),
            leader: metrics.current_leader,
            vote: metrics.vote,
            last_log_id,
            applied_index: self.state.view().applied_index(),
            feature_level: self.feature_level,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    async fn vote(
        &self,
        caller: Caller,
        request: VoteRequest<TypeConfig>,
    ) -> Answer<VoteResponse<TypeConfig>> {
        self.admit(&caller, CallKind::Vote).await?;
        self.raft.vote(request).await.map_err(|_| Rejection::Halted)
    }

    async fn pre_vote(
        &self,
        caller: Caller,
        request: VoteRequest<TypeConfig>,
    ) -> Answer<VoteResponse<TypeConfig>> {
        self.admit(&caller, CallKind::Vote).await?;
        self.raft.pre_vote(request).await.map_err(|_| Rejection::Halted)
    }

    async fn append(&self, caller: Caller, appends: Appends) -> Answer<Appended> {
        self.admit(&caller, CallKind::Append).await?;
        let appended = self.raft.stream_append(appends);
        Ok(Box::pin(appended.map(|appended| appended.map_err(|_| Rejection::Halted))))
    }

    async fn begin_snapshot(&self, caller: &Caller) -> Answer<IncomingSnapshot> {
        self.admit(caller, CallKind::Snapshot).await?;
        self.snapshots.incoming().map_err(|error| {
            tracing::error!(%error, "no file for a snapshot that is being sent");
            Rejection::Halted
        })
    }

    async fn install_snapshot(
        &self,
        caller: Caller,
        vote: Vote,
        received: IncomingSnapshot,
    ) -> Answer<SnapshotResponse<TypeConfig>> {
        self.admit(&caller, CallKind::Snapshot).await?;
        let snapshot = open_received(received).await?;
        self.check_follows(&vote, snapshot.meta.last_log_id)?;
        self.raft.install_full_snapshot(vote, snapshot).await.map_err(|_| Rejection::Halted)
    }

    async fn transfer_leader(
        &self,
        caller: Caller,
        request: TransferLeaderRequest<TypeConfig>,
    ) -> Answer<TransferLeaderResponse<TypeConfig>> {
        self.admit(&caller, CallKind::Transfer).await?;
        self.raft.handle_transfer_leader(request).await.map_err(|_| Rejection::Halted)
    }

    async fn propose(&self, caller: Caller, forwarded: Forwarded) -> Answer<LeaderAnswer<u64>> {
        self.admit(&caller, CallKind::Propose).await?;
        if forwarded.origin.node_id != caller.from {
            return Err(Rejection::Malformed("the proposal is another node's"));
        }
        if !self.is_leader() {
            return Ok(self.not_leader());
        }
        let command: Command =
            minicbor::decode(&forwarded.command).map_err(|_| Rejection::Malformed("unknown command"))?;
        // The leader's own steward raises it, who knows what every member can apply.
        if matches!(command, Command::RaiseFeatureLevel(_)) {
            return Err(Rejection::Malformed("the feature level is the leader's to raise"));
        }
        if self.cluster_level().is_ok_and(|level| command.level() > level) {
            return Err(Rejection::Malformed("a command above the level of the cluster"));
        }
        Ok(match self.write(command, forwarded.origin).await {
            Tried::Written(index) => LeaderAnswer::Done(index),
            Tried::Elsewhere => self.not_leader(),
            Tried::Failed(error @ ProposeError::DiskFull) => LeaderAnswer::Refused(error.to_string()),
            Tried::Lost => LeaderAnswer::Unavailable("not acknowledged in time".to_owned()),
            Tried::Failed(error) => LeaderAnswer::Unavailable(error.to_string()),
        })
    }

    async fn read_index(&self, caller: Caller) -> Answer<LeaderAnswer<u64>> {
        self.admit(&caller, CallKind::ReadIndex).await?;
        if !self.is_leader() {
            return Ok(self.not_leader());
        }
        // Shared with this node's own readers. Should it lose its leadership meanwhile, the round asks the next
        // leader, whose index is as good.
        Ok(match self.rounds.read_index().await {
            Ok(index) => LeaderAnswer::Done(index),
            Err(error) => LeaderAnswer::Unavailable(error.to_string()),
        })
    }

    async fn change_members(&self, caller: Caller, change: MemberChange) -> Answer<MembersAnswer> {
        self.admit(&caller, CallKind::Manage).await?;
        Ok(self.change_members_here(change).await)
    }
}

/// Reads the file whole: one that is damaged is refused here, where it ends a call. Met when it is installed, it
/// would end the node.
async fn open_received(received: IncomingSnapshot) -> Answer<SnapshotOf<TypeConfig, SnapshotFile>> {
    let opened = tokio::task::spawn_blocking(move || {
        let snapshot = received.finish()?;
        let verified = snapshot.verify()?;
        Ok::<_, crate::fault::Fault>(SnapshotOf::<TypeConfig, SnapshotFile> {
            meta: verified.meta().clone(),
            snapshot: verified.into_file(),
        })
    });
    match opened.await {
        Ok(Ok(snapshot)) => Ok(snapshot),
        Ok(Err(fault)) => {
            tracing::warn!(%fault, "a snapshot that was received is not used");
            Err(Rejection::Malformed("the snapshot is damaged"))
        }
        Err(_) => Err(Rejection::Halted),
    }
}
