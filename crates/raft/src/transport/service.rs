//! From an HTTP/2 request to the node behind the listener, and back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, future, stream};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use openraft::raft::{AppendEntriesRequest, SnapshotResponse};
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{EncodeBody, Streaming};

use super::call::{Call, Frames};
use super::frames::{self, SnapshotHeader, Wire};
use super::inbox::{Appends, Inbox};
use super::limits::{CALL_TIME_MAX, FIRST_FRAME_TIME_MAX, SNAPSHOT_STALL_MAX};
use super::message::{Caller, Rejection};
use super::refusals::Refusals;
use crate::types::TypeConfig;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerIdentity {
    /// The node that its certificate names.
    Certified { node_id: u64 },
    /// Whoever it says.
    Unproven,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) identity: PeerIdentity,
}

/// The calls of one connection.
#[derive(Clone)]
pub(super) struct NodeService {
    inbox: Arc<dyn Inbox>,
    node_id: u64,
    peer: Peer,
    refusals: Arc<Refusals>,
    activity: Arc<Activity>,
}

#[derive(Default)]
struct Activity {
    begun: AtomicU64,
    /// Held by each call until its answer is written.
    open: Arc<()>,
}

impl NodeService {
    pub(super) fn new(
        inbox: Arc<dyn Inbox>,
        node_id: u64,
        peer: Peer,
        refusals: Arc<Refusals>,
    ) -> NodeService {
        NodeService { inbox, node_id, peer, refusals, activity: Arc::default() }
    }

    /// Whether anything was ever asked.
    pub(super) fn was_called(&self) -> bool {
        self.activity.begun.load(Ordering::Relaxed) > 0
    }

    /// Waits until nothing was asked for `span` and nothing is still being answered.
    pub(super) async fn idle(&self, span: Duration) {
        let mut seen = self.activity.begun.load(Ordering::Relaxed);
        loop {
            sleep(span).await;
            let begun = self.activity.begun.load(Ordering::Relaxed);
            if begun == seen && Arc::strong_count(&self.activity.open) == 1 {
                return;
            }
            seen = begun;
        }
    }

    pub(super) async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        self.activity.begun.fetch_add(1, Ordering::Relaxed);
        let open = Arc::clone(&self.activity.open);
        let Some(call) = Call::of_path(request.uri().path()) else {
            return Status::unimplemented("unknown call").into_http();
        };
        let frames = Streaming::new_request(Frames, request.into_body(), None, Some(call.frame_bytes_max()));
        match call {
            Call::Append => self.append(frames, open).await,
            Call::Snapshot => respond(stream::iter([frames::answer(self.snapshot(frames).await)]), open),
            call => match timeout(CALL_TIME_MAX, self.one_answer(call, frames)).await {
                Ok(answer) => respond(stream::iter([answer]), open),
                Err(_) => Status::deadline_exceeded("no answer in time").into_http(),
            },
        }
    }

    async fn one_answer(&self, call: Call, frames: Streaming<Bytes>) -> Bytes {
        let inbox = &self.inbox;
        match call {
            Call::Beat => self.handle(frames, |caller, ()| inbox.beat(caller)).await,
            Call::Vote => self.handle(frames, |caller, request| inbox.vote(caller, request)).await,
            Call::PreVote => self.handle(frames, |caller, request| inbox.pre_vote(caller, request)).await,
            Call::TransferLeader => {
                self.handle(frames, |caller, request| inbox.transfer_leader(caller, request)).await
            }
            Call::Propose => self.handle(frames, |caller, forwarded| inbox.propose(caller, forwarded)).await,
            Call::ReadIndex => self.handle(frames, |caller, ()| inbox.read_index(caller)).await,
            Call::ChangeMembers => {
                self.handle(frames, |caller, change| inbox.change_members(caller, change)).await
            }
            Call::Append | Call::Snapshot => {
                frames::answer::<()>(Err(Rejection::Malformed("a call of many messages")))
            }
        }
    }

    async fn handle<Q, A, F>(
        &self,
        mut frames: Streaming<Bytes>,
        handle: impl FnOnce(Caller, Q) -> F,
    ) -> Bytes
    where
        Q: Wire,
        A: Wire,
        F: Future<Output = Result<A, Rejection>>,
    {
        frames::answer(match self.first::<Q>(&mut frames).await {
            Ok((caller, question)) => handle(caller, question).await,
            Err(rejection) => Err(rejection),
        })
    }

    /// The first frame, if it says who calls, and the connection is theirs.
    async fn first<T: Wire>(&self, frames: &mut Streaming<Bytes>) -> Result<(Caller, T), Rejection> {
        let first = timeout(FIRST_FRAME_TIME_MAX, frames.message()).await;
        let first = first.map_err(|_| Rejection::Malformed("its first message took too long"))?;
        let first = first.map_err(|_| Rejection::Malformed("unreadable message"))?;
        let first = first.ok_or(Rejection::Malformed("no message"))?;
        let (caller, body) =
            frames::read_call::<T>(&first).map_err(|unreadable| Rejection::Malformed(unreadable.0))?;
        if let PeerIdentity::Certified { node_id } = self.peer.identity
            && node_id != caller.from
        {
            let reason = format_args!("node {node_id} calls in the name of node {}", caller.from);
            self.refusals.note(self.peer.address, &reason);
            return Err(Rejection::Certificate { claimed: caller.from });
        }
        if caller.to != self.node_id {
            return Err(Rejection::OtherNode { here: self.node_id, meant: caller.to });
        }
        Ok((caller, body))
    }

    async fn append(&self, mut frames: Streaming<Bytes>, open: Arc<()>) -> Response<Body> {
        let unreadable = Arc::new(OnceLock::new());
        let begun = match self.first::<()>(&mut frames).await {
            Ok((caller, ())) => self.inbox.append(caller, appends(frames, Arc::clone(&unreadable))).await,
            Err(rejection) => Err(rejection),
        };
        match begun {
            Err(rejection) => respond(stream::iter([frames::answer::<()>(Err(rejection))]), open),
            Ok(appended) => {
                let at_the_end = stream::once(async move { unreadable.get().copied() });
                let malformed = at_the_end
                    .filter_map(future::ready)
                    .map(|what| frames::answer::<()>(Err(Rejection::Malformed(what))));
                respond(appended.map(frames::answer).chain(malformed), open)
            }
        }
    }

    async fn snapshot(
        &self,
        mut frames: Streaming<Bytes>,
    ) -> Result<SnapshotResponse<TypeConfig>, Rejection> {
        let (caller, header) = self.first::<SnapshotHeader>(&mut frames).await?;
        let mut incoming = self.inbox.begin_snapshot(&caller).await?;
        let no_room = |error: std::io::Error| {
            tracing::error!(%error, from = caller.from, "a snapshot that is being sent can't be written");
            Rejection::NoRoom
        };
        incoming.expect_bytes(header.bytes).map_err(no_room)?;
        let mut missing = header.bytes;
        while missing > 0 {
            let piece = timeout(SNAPSHOT_STALL_MAX, frames.message()).await;
            let piece = piece.map_err(|_| Rejection::Malformed("a snapshot that doesn't come"))?;
            let piece = piece.ok().flatten().filter(|piece| !piece.is_empty());
            let piece = piece.ok_or(Rejection::Malformed("a snapshot that was cut short"))?;
            missing = missing
                .checked_sub(piece.len() as u64)
                .ok_or(Rejection::Malformed("a snapshot longer than announced"))?;
            incoming.write(piece).await.map_err(no_room)?;
        }
        self.inbox.install_snapshot(caller, header.vote, incoming).await
    }
}

/// Ends at the first that can't be read, and says so.
fn appends(frames: Streaming<Bytes>, unreadable: Arc<OnceLock<&'static str>>) -> Appends {
    let read = |frame: Result<Bytes, Status>| {
        let frame = frame.map_err(|_| "unreadable message")?;
        let append = frames::read_message::<AppendEntriesRequest<TypeConfig>>(&frame);
        append.map_err(|unreadable| unreadable.0)
    };
    Box::pin(frames.map(read).scan(unreadable, |unreadable, append| {
        future::ready(append.map_err(|what| unreadable.set(what)).ok())
    }))
}

/// The answer of a call; `open` is held until it is written or given up.
fn respond(frames: impl Stream<Item = Bytes> + Send + 'static, open: Arc<()>) -> Response<Body> {
    let frames = frames.map(move |frame| {
        let _held = &open;
        Ok(frame)
    });
    let mut response =
        Response::new(Body::new(EncodeBody::new_server(Frames, frames, None, Default::default(), None)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
