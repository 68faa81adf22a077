//! How this node reaches the others.
//!
//! A cluster of one voter has no peer, so that every call here answers that the peer can't be reached. Consensus
//! asks for a connection only through the factory below; nothing else in this crate knows of the network.

pub mod tls;

use openraft::errors::{RPCError, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{AnyError, OptionalSend};

use crate::cluster::member::MemberNode;
use crate::snapshot::SnapshotFile;
use crate::types::{TypeConfig, Vote};

/// Makes connections to no one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoPeers;

/// A connection to a peer that isn't there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Absent {
    peer: u64,
}

impl Absent {
    fn unreachable(self) -> Unreachable<TypeConfig> {
        Unreachable::new(&AnyError::error(format!(
            "node {} is not a peer: this is a cluster of one",
            self.peer
        )))
    }
}

impl RaftNetworkFactory<TypeConfig> for NoPeers {
    type Network = Absent;

    async fn new_client(&mut self, peer: u64, _node: &MemberNode) -> Absent {
        Absent { peer }
    }
}

impl RaftNetworkV2<TypeConfig> for Absent {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(self.unreachable().into())
    }

    async fn pre_vote(
        &mut self,
        _request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        // The default grants, which would let a node that reaches nobody raise its term for ever.
        Err(self.unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
        _cancel: impl Future<Output = openraft::errors::ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(self.unreachable().into())
    }
}
