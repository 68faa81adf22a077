//! Calls over real sockets, to a node that is only pretended.

mod calls;
mod replication;
mod snapshots;
mod strangers;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::time::Timestamp;
use openraft::network::{RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::connection::{CallError, Connection};
use super::inbox::{Appended, Appends, Inbox};
use super::message::{BeatAnswer, Caller, Forwarded, LeaderAnswer, MemberChange, MembersAnswer, Rejection};
use super::network::{Network, NoRoute, PeerNetwork, Route, Routes};
use super::server::{Listener, serve};
use super::tls::{ClusterSecret, NodeTls, TransportSecurity};
use crate::cluster::identity::{Boot, Lineage};
use crate::cluster::member::MemberNode;
use crate::snapshot::{IncomingSnapshot, SnapshotDir};
use crate::status::Role;
use crate::types::{CommittedLeaderId, EncodedProposal, Entry, EntryPayload, LogId, TypeConfig, Vote};

const CALLER_ID: u64 = 1;
const CALLEE_ID: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(5);

/// 2026-11-01, noon.
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_793_534_400_000)
    }
}

fn tls(node_id: u64) -> TransportSecurity {
    let secret = ClusterSecret::from_text(b"correct horse battery staple").unwrap();
    TransportSecurity::Tls(Arc::new(NodeTls::derived(&secret, node_id, Arc::new(Noon)).unwrap()))
}

fn boot(node_id: u64) -> Boot {
    Boot { disk_id: [u8::try_from(node_id).unwrap(); 16], count: 1, nonce: 7 }
}

fn caller() -> Caller {
    Caller {
        lineage: Some(Lineage([1; 16])),
        from: CALLER_ID,
        boot: boot(CALLER_ID),
        to: CALLEE_ID,
        to_boot: Some(boot(CALLEE_ID)),
    }
}

fn leader() -> Vote {
    Vote::new_committed(3, CALLER_ID)
}

fn log_id(index: u64) -> LogId {
    LogId { leader_id: CommittedLeaderId { term: 3, node_id: CALLER_ID }, index }
}

fn entry(index: u64, bytes: usize) -> Entry {
    let proposal = EncodedProposal(Bytes::from(vec![index.to_le_bytes()[0]; bytes]));
    Entry { log_id: log_id(index), payload: EntryPayload::Normal(proposal) }
}

/// One entry in an append of its own.
fn append(index: u64, bytes: usize) -> AppendEntriesRequest<TypeConfig> {
    AppendEntriesRequest {
        vote: leader(),
        prev_log_id: index.checked_sub(1).map(log_id),
        entries: vec![entry(index, bytes)],
        leader_commit: None,
    }
}

/// A node that takes what it is told to take, and remembers what that was.
struct Pretender {
    this: Weak<Pretender>,
    rejects: Mutex<Option<Rejection>>,
    /// Answers nothing while this is set.
    silent: watch::Sender<bool>,
    appended: Mutex<Vec<Entry>>,
    /// What appends are answered with once so many were taken.
    append_ends_with: Mutex<Option<(usize, Rejection)>>,
    installed: Mutex<Vec<Bytes>>,
    snapshots: Arc<SnapshotDir>,
    directory: TempDir,
}

impl Pretender {
    fn new() -> Arc<Pretender> {
        let directory = tempfile::tempdir().unwrap();
        Arc::new_cyclic(|this| Pretender {
            this: this.clone(),
            rejects: Mutex::default(),
            silent: watch::Sender::new(false),
            appended: Mutex::default(),
            append_ends_with: Mutex::default(),
            installed: Mutex::default(),
            snapshots: Arc::new(SnapshotDir::open(directory.path()).unwrap()),
            directory,
        })
    }

    fn reject(&self, rejection: Rejection) {
        *self.rejects.lock().unwrap() = Some(rejection);
    }

    async fn until_it_may_speak(&self) {
        let mut silent = self.silent.subscribe();
        silent.wait_for(|silent| !silent).await.unwrap();
    }

    async fn admit(&self, from: &Caller) -> Result<(), Rejection> {
        assert_eq!(from, &caller());
        self.until_it_may_speak().await;
        self.rejects.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn take(&self, append: AppendEntriesRequest<TypeConfig>) -> Result<Option<LogId>, Rejection> {
        let mut appended = self.appended.lock().unwrap();
        if let Some((after, rejection)) = &*self.append_ends_with.lock().unwrap()
            && appended.len() >= *after
        {
            return Err(rejection.clone());
        }
        let last = append.entries.last().map(|entry| entry.log_id).or(append.prev_log_id);
        appended.extend(append.entries);
        Ok(last)
    }
}

#[async_trait]
impl Inbox for Pretender {
    async fn beat(&self, caller: Caller) -> Result<BeatAnswer, Rejection> {
        self.admit(&caller).await?;
        Ok(a_beat())
    }

    async fn vote(
        &self,
        caller: Caller,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, Rejection> {
        self.admit(&caller).await?;
        Ok(VoteResponse::new(request.vote, request.last_log_id, true))
    }

    async fn pre_vote(
        &self,
        caller: Caller,
        request: VoteRequest<TypeConfig>,
    ) -> Result<VoteResponse<TypeConfig>, Rejection> {
        self.admit(&caller).await?;
        Ok(VoteResponse::new(request.vote, None, false))
    }

    async fn append(&self, caller: Caller, appends: Appends) -> Result<Appended, Rejection> {
        self.admit(&caller).await?;
        let this = self.this.clone();
        Ok(Box::pin(appends.then(move |append| {
            let this = this.upgrade().unwrap();
            async move {
                this.until_it_may_speak().await;
                this.take(append).map(Ok)
            }
        })))
    }

    async fn begin_snapshot(&self, caller: &Caller) -> Result<IncomingSnapshot, Rejection> {
        self.admit(caller).await?;
        Ok(self.snapshots.incoming().unwrap())
    }

    async fn install_snapshot(
        &self,
        caller: Caller,
        vote: Vote,
        received: IncomingSnapshot,
    ) -> Result<SnapshotResponse<TypeConfig>, Rejection> {
        self.admit(&caller).await?;
        let file = received.finish().unwrap();
        let bytes = file.read_at(0, usize::try_from(file.bytes().unwrap()).unwrap()).unwrap();
        self.installed.lock().unwrap().push(bytes);
        Ok(SnapshotResponse::new(vote))
    }

    async fn transfer_leader(
        &self,
        caller: Caller,
        request: TransferLeaderRequest<TypeConfig>,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Rejection> {
        self.admit(&caller).await?;
        let expected = request.last_log_id().copied();
        Ok(Err(TransferLeaderError::LogNotFlushed { expected, actual: None }))
    }

    async fn propose(&self, caller: Caller, forwarded: Forwarded) -> Result<LeaderAnswer<u64>, Rejection> {
        self.admit(&caller).await?;
        Ok(LeaderAnswer::Done(forwarded.command.len() as u64))
    }

    async fn read_index(&self, caller: Caller) -> Result<LeaderAnswer<u64>, Rejection> {
        self.admit(&caller).await?;
        Ok(LeaderAnswer::NotLeader { leader: Some(3) })
    }

    async fn change_members(&self, caller: Caller, change: MemberChange) -> Result<MembersAnswer, Rejection> {
        self.admit(&caller).await?;
        Ok(LeaderAnswer::Refused(format!("{change:?}")))
    }
}

fn a_beat() -> BeatAnswer {
    BeatAnswer {
        node_id: CALLEE_ID,
        boot: boot(CALLEE_ID),
        lineage: None,
        clock: Noon.now(),
        role: Role::Follower,
        leader: Some(CALLER_ID),
        vote: leader(),
        last_log_id: Some(log_id(9)),
        applied_index: Some(8),
        feature_level: 2,
        version: "0.1.0".to_owned(),
    }
}

/// A listening node.
struct Callee {
    node: Arc<Pretender>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Callee {
    async fn start(security: TransportSecurity) -> Callee {
        Callee::start_at((Ipv4Addr::LOCALHOST, 0).into(), security).await
    }

    async fn start_at(address: SocketAddr, security: TransportSecurity) -> Callee {
        let listener = Listener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let node = Pretender::new();
        let inbox = Arc::clone(&node) as Arc<dyn Inbox>;
        Callee { node, address, serving: tokio::spawn(serve(listener, security, inbox, CALLEE_ID)) }
    }

    fn connection(&self, security: TransportSecurity) -> Connection {
        Connection::to(CALLEE_ID, self.address.to_string(), security)
    }

    /// Closes the port and all connections.
    async fn stop(self) -> SocketAddr {
        self.serving.abort();
        let _aborted = self.serving.await;
        self.address
    }
}

/// What consensus would send to the callee with.
struct Sender {
    network: PeerNetwork,
    told: Arc<Told>,
}

/// A route to one peer, and what was told of it.
struct Told {
    connection: Arc<Connection>,
    acknowledged: Mutex<Option<LogId>>,
    voted: Mutex<Option<Vote>>,
    doubted: Mutex<bool>,
}

impl Routes for Told {
    fn route(&self, _peer: u64) -> Result<Route, NoRoute> {
        Ok(Route { connection: Arc::clone(&self.connection), caller: caller() })
    }

    fn acknowledged(&self, peer: u64, start: &Boot, log_id: Option<LogId>) {
        assert_eq!((peer, start), (CALLEE_ID, &boot(CALLEE_ID)));
        *self.acknowledged.lock().unwrap() = log_id;
    }

    fn voted(&self, _peer: u64, _start: &Boot, vote: Vote) {
        *self.voted.lock().unwrap() = Some(vote);
    }

    fn doubted(&self, _peer: u64, _start: &Boot) {
        *self.doubted.lock().unwrap() = true;
    }
}

impl Sender {
    async fn to(callee: &Callee) -> Sender {
        let told = Arc::new(Told {
            connection: Arc::new(callee.connection(TransportSecurity::Plain)),
            acknowledged: Mutex::default(),
            voted: Mutex::default(),
            doubted: Mutex::default(),
        });
        let mut network = Network::new(Arc::clone(&told) as Arc<dyn Routes>);
        let network = network.new_client(CALLEE_ID, &MemberNode::default()).await;
        Sender { network, told }
    }
}

fn within(limit: Duration) -> RPCOption {
    RPCOption::new(limit)
}
