//! What a node does for its peers.

use std::pin::Pin;

use async_trait::async_trait;
use futures::Stream;
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::message::{BeatAnswer, Caller, Forwarded, LeaderAnswer, MemberChange, MembersAnswer, Rejection};
use crate::snapshot::IncomingSnapshot;
use crate::types::{TypeConfig, Vote};

/// Appends as they arrive, in order.
pub(crate) type Appends = Pin<Box<dyn Stream<Item = AppendEntriesRequest<TypeConfig>> + Send>>;
/// What became of each, in the same order; ends at the first that was not taken.
pub(crate) type Appended =
    Pin<Box<dyn Stream<Item = Result<StreamAppendResult<TypeConfig>, Rejection>> + Send>>;

/// The node behind the listener. The listener has held the certificate against `caller.from` and the size of the
/// message against its limit; everything else is looked at here.
#[async_trait]
pub(crate) trait Inbox: Send + Sync + 'static {
    async fn beat(&self, caller: Caller) -> Result<BeatAnswer, Rejection>;

    async fn vote(
        &self,
        caller: Caller,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, Rejection>;

    async fn pre_vote(
        &self,
        caller: Caller,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, Rejection>;

    async fn append(&self, caller: Caller, appends: Appends) -> Result<Appended, Rejection>;

    /// Looked at before the first byte of a snapshot is taken: where to write it.
    async fn begin_snapshot(&self, caller: &Caller) -> Result<IncomingSnapshot, Rejection>;

    /// A snapshot that was received whole; it is verified before it replaces anything.
    async fn install_snapshot(
        &self,
        caller: Caller,
        vote: Vote,
        received: IncomingSnapshot,
    ) -> Result<SnapshotResponse<TypeConfig>, Rejection>;

    async fn transfer_leader(
        &self,
        caller: Caller,
        request: TransferLeaderRequest<TypeConfig>,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Rejection>;

    /// Writes a command into the log for another node. Done carries the index of its entry.
    async fn propose(&self, caller: Caller, forwarded: Forwarded) -> Result<LeaderAnswer<u64>, Rejection>;

    /// The index that a node must have applied to show everything that was acknowledged by now.
    async fn read_index(&self, caller: Caller) -> Result<LeaderAnswer<u64>, Rejection>;

    async fn change_members(&self, caller: Caller, change: MemberChange) -> Result<MembersAnswer, Rejection>;
}
