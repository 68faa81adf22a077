//! Calling a peer.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use openraft::raft::{
    SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{EncodeBody, Streaming};

use super::call::{Call, Frames};
use super::dial::{self, Dialler};
use super::frames::{self, Unreadable, Wire};
use super::message::{BeatAnswer, Caller, Forwarded, LeaderAnswer, MemberChange, MembersAnswer, Rejection};
use super::tls::{TransportSecurity, node_name};
use crate::types::TypeConfig;

/// Answers to one call, as they arrive.
pub(super) type Answers = Streaming<Bytes>;

/// A call that has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The peer can't be reached, or the connection broke; whether it did what was asked is not known.
    #[error("{0}")]
    Unreachable(String),
    /// The peer doesn't take the call, and did nothing.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// No answer in time; whether the peer did or will do what was asked is not known.
    #[error("no answer in time")]
    TimedOut,
}

impl From<Status> for CallError {
    fn from(status: Status) -> CallError {
        CallError::Unreachable(status.message().to_owned())
    }
}

impl From<Unreadable> for CallError {
    fn from(unreadable: Unreadable) -> CallError {
        CallError::Unreachable(format!("the answer says nothing: {unreadable}"))
    }
}

/// A peer at an address. Connects when it is first called, and anew whenever the connection broke.
pub(crate) struct Connection(Dialler);

impl Connection {
    /// `address` is `host:port`. Nothing is sent yet.
    pub(crate) fn to(peer: u64, address: String, security: TransportSecurity) -> Connection {
        Connection(Dialler::new(peer, address, security))
    }

    pub(crate) async fn beat(&self, caller: Caller, limit: Duration) -> Result<BeatAnswer, CallError> {
        self.ask(Call::Beat, caller, (), limit).await
    }

    pub(crate) async fn vote(
        &self,
        caller: Caller,
        request: VoteRequest<TypeConfig>,
        limit: Duration,
    ) -> Result<VoteResponse<TypeConfig>, CallError> {
        self.ask(Call::Vote, caller, request, limit).await
    }

    pub(crate) async fn pre_vote(
        &self,
        caller: Caller,
        request: VoteRequest<TypeConfig>,
        limit: Duration,
    ) -> Result<VoteResponse<TypeConfig>, CallError> {
        self.ask(Call::PreVote, caller, request, limit).await
    }

    pub(crate) async fn transfer_leader(
        &self,
        caller: Caller,
        request: TransferLeaderRequest<TypeConfig>,
        limit: Duration,
    ) -> Result<TransferLeaderResponse<TypeConfig>, CallError> {
        self.ask(Call::TransferLeader, caller, request, limit).await
    }

    pub(crate) async fn propose(
        &self,
        caller: Caller,
        forwarded: Forwarded,
        limit: Duration,
    ) -> Result<LeaderAnswer<u64>, CallError> {
        self.ask(Call::Propose, caller, forwarded, limit).await
    }

    pub(crate) async fn read_index(
        &self,
        caller: Caller,
        limit: Duration,
    ) -> Result<LeaderAnswer<u64>, CallError> {
        self.ask(Call::ReadIndex, caller, (), limit).await
    }

    pub(crate) async fn change_members(
        &self,
        caller: Caller,
        change: MemberChange,
        limit: Duration,
    ) -> Result<MembersAnswer, CallError> {
        self.ask(Call::ChangeMembers, caller, change, limit).await
    }

    /// Sends `appends`, whose first frame is the caller. The answers come in the same order; a rejection stands in
    /// place of the first.
    pub(super) async fn append(
        &self,
        appends: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Answers, CallError> {
        self.open(Call::Append, appends).await
    }

    /// Sends a snapshot: its header, then the pieces of its file. The one who calls watches over the time.
    pub(super) async fn snapshot(
        &self,
        pieces: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<SnapshotResponse<TypeConfig>, CallError> {
        only_answer(self.open(Call::Snapshot, pieces).await?).await
    }

    /// A call with one answer.
    async fn ask<Q: Wire, A: Wire>(
        &self,
        call: Call,
        caller: Caller,
        question: Q,
        limit: Duration,
    ) -> Result<A, CallError> {
        let frame = frames::call(caller, question);
        let asked = async { only_answer(self.open(call, stream::iter([frame])).await?).await };
        timeout(limit, asked).await.unwrap_or(Err(CallError::TimedOut))
    }

    async fn open(
        &self,
        call: Call,
        frames: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Answers, CallError> {
        let unreachable = |error: &dyn fmt::Display| CallError::Unreachable(error.to_string());
        let link = self.0.link().await.map_err(|error| unreachable(&error))?;
        let body = Body::new(EncodeBody::new_client(Frames, frames.map(Ok), None, None));
        let request = http::Request::post(format!("http://{}{}", node_name(self.0.peer()), call.path()))
            .version(http::Version::HTTP_2)
            .header(TE, HeaderValue::from_static("trailers"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
            .body(body)
            .map_err(|error| unreachable(&error))?;
        let response = dial::send(link, request).await.map_err(|error| unreachable(&error))?;
        if let Some(status) = Status::from_header_map(response.headers()) {
            return Err(status.into());
        }
        let (head, body) = response.into_parts();
        Ok(Streaming::new_response(Frames, body, head.status, None, Some(call.frame_bytes_max())))
    }
}

async fn only_answer<A: Wire>(mut answers: Answers) -> Result<A, CallError> {
    match answers.message().await? {
        Some(frame) => Ok(frames::read_answer::<A>(&frame)??),
        None => Err(CallError::Unreachable("no answer".to_owned())),
    }
}
