//! The network as consensus sees it: a way to each member, if there is one at the moment.
//!
//! Consensus sends only to a start of a peer that was verified (see [`Routes`]). What a peer acknowledges is told
//! back, so that a peer which later knows less is found out.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use openraft::OptionalSend;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;

use super::connection::{CallError, Connection};
use super::limits::{APPEND_STALL_MIN, RETRY_PAUSE};
use super::message::{Caller, Rejection};
use super::replication::Replication;
use super::snapshot_transfer;
use crate::cluster::identity::Boot;
use crate::cluster::member::MemberNode;
use crate::snapshot::SnapshotFile;
use crate::types::{LogId, TypeConfig, Vote};

type RpcError = RPCError<TypeConfig>;

/// Who can be called, and what became of it.
pub(crate) trait Routes: Send + Sync + 'static {
    /// A verified way to the peer.
    ///
    /// # Errors
    /// While the peer isn't reachable, isn't verified, or isn't the member that the cluster knows.
    fn route(&self, peer: u64) -> Result<Route, NoRoute>;

    /// This start of the peer has everything up to this entry, durably.
    fn acknowledged(&self, peer: u64, boot: &Boot, log_id: Option<LogId>);

    /// This start of the peer has granted this vote, durably.
    fn voted(&self, peer: u64, boot: &Boot, vote: Vote);

    /// The peer says that this start isn't what runs there: it must be looked at again before it is called.
    fn doubted(&self, peer: u64, boot: &Boot);
}

/// A way to a start of a peer that was verified.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) connection: Arc<Connection>,
    /// With the start of the peer that is meant.
    pub(crate) caller: Caller,
}

/// Why a peer can't be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoRoute(pub(crate) String);

/// Makes what consensus sends to each member with.
#[derive(Clone)]
pub(crate) struct Network {
    routes: Arc<dyn Routes>,
}

impl Network {
    pub(crate) fn new(routes: Arc<dyn Routes>) -> Network {
        Network { routes }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerNetwork;

    /// The address comes with each route: it may change while the member stays.
    async fn new_client(&mut self, peer: u64, _node: &MemberNode) -> PeerNetwork {
        PeerNetwork { peer, routes: Arc::clone(&self.routes) }
    }
}

/// Sends to one member.
#[derive(Clone)]
pub(crate) struct PeerNetwork {
    peer: u64,
    routes: Arc<dyn Routes>,
}

impl PeerNetwork {
    fn open(&self) -> Result<Exchange, RpcError> {
        let route = self.routes.route(self.peer).map_err(|error| Unreachable::new(&error))?;
        Ok(Exchange { peer: self.peer, routes: Arc::clone(&self.routes), route })
    }
}

/// One route in use, and whom to tell what comes of it.
#[derive(Clone)]
pub(super) struct Exchange {
    peer: u64,
    routes: Arc<dyn Routes>,
    route: Route,
}

impl Exchange {
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.route.connection
    }

    pub(super) fn caller(&self) -> Caller {
        self.route.caller.clone()
    }

    pub(super) fn acknowledged(&self, log_id: Option<LogId>) {
        if let Some(boot) = &self.route.caller.to_boot {
            self.routes.acknowledged(self.peer, boot, log_id);
        }
    }

    fn voted(&self, vote: Vote) {
        if let Some(boot) = &self.route.caller.to_boot {
            self.routes.voted(self.peer, boot, vote);
        }
    }

    /// Consensus waits before it tries again, whatever went wrong.
    pub(super) fn failed(&self, error: CallError, action: RPCTypes, limit: Duration) -> RpcError {
        let no_longer_there = [Rejection::OtherBoot, Rejection::OtherLineage];
        if let (CallError::Rejected(rejection), Some(boot)) = (&error, &self.route.caller.to_boot)
            && (no_longer_there.contains(rejection) || matches!(rejection, Rejection::OtherNode { .. }))
        {
            self.routes.doubted(self.peer, boot);
        }
        match error {
            CallError::TimedOut => self.timed_out(action, limit),
            error => Unreachable::new(&error).into(),
        }
    }

    pub(super) fn timed_out(&self, action: RPCTypes, limit: Duration) -> RpcError {
        Timeout { action, id: self.route.caller.from, target: self.peer, timeout: limit }.into()
    }
}

impl RaftNetworkV2<TypeConfig> for PeerNetwork {
    type SnapshotData = SnapshotFile;

    /// Not used by consensus, which appends by streams only.
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let mut appended = self.stream_append(stream::iter([request]), option).await?;
        match appended.next().await {
            Some(result) => Ok(result?.into()),
            None => Err(Unreachable::from_string("no answer").into()),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut appends: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            // Consensus waits out its pause between two tries inside of this stream: without asking for the first
            // append, it would try again at once, for ever.
            let Some(first) = appends.next().await else { return Ok(stream::empty().boxed()) };
            let stall_max = option.soft_ttl().max(APPEND_STALL_MIN);
            let replication = Replication::begin(self.open()?, first, stall_max).await?;
            Ok(replication.go_on(appends).boxed())
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let (exchange, limit) = (self.open()?, option.soft_ttl());
        let response = exchange.connection().vote(exchange.caller(), request, limit).await;
        let response = response.map_err(|error| exchange.failed(error, RPCTypes::Vote, limit))?;
        if response.vote_granted {
            exchange.voted(response.vote);
        }
        Ok(response)
    }

    /// Nothing is granted by it, so that there is nothing to remember.
    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let (exchange, limit) = (self.open()?, option.soft_ttl());
        let response = exchange.connection().pre_vote(exchange.caller(), request, limit).await;
        response.map_err(|error| exchange.failed(error, RPCTypes::Vote, limit))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let exchange = self.open()?;
        let sent = snapshot_transfer::send(&exchange, vote, snapshot.snapshot, option.soft_ttl());
        let response = tokio::select! {
            closed = cancel => return Err(closed.into()),
            response = sent => response?,
        };
        if response.vote == vote {
            exchange.acknowledged(snapshot.meta.last_log_id);
        }
        Ok(response)
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let (exchange, limit) = (self.open()?, option.soft_ttl());
        let response = exchange.connection().transfer_leader(exchange.caller(), request, limit).await;
        response.map_err(|error| exchange.failed(error, RPCTypes::TransferLeader, limit))
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(RETRY_PAUSE)))
    }
}
