//! How a node starts: files, consensus, the way to its peers, and the tasks that run until it stops.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyperion_vault_core::ports::Clock;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::barrier::{self, Rounds};
use super::standing::{self, Standing};
use super::{Node, Participant, Pending, Raft, Running};
use crate::cluster::clock::ClusterClock;
use crate::cluster::member::MemberNode;
use crate::cluster::roster::Roster;
use crate::cluster::{beat, formation, steward};
use crate::config::NodeConfig;
use crate::disk::Disk;
use crate::error::StartError;
use crate::fault::{Fault, FaultLatch, OnFault};
use crate::log_store::{LogStore, LogWriter};
use crate::room::DiskRoom;
use crate::state::{CheckpointPolicy, StateHandle, StateMachine, StateWriter};
use crate::stats::StorageStats;
use crate::status::{end_of_consensus, follow_leadership};
use crate::storage::Storage;
use crate::transport::network::Network;
use crate::transport::server::{Listener, serve};
use crate::transport::tls::TransportSecurity;
use crate::types::StoredMembership;

pub(super) async fn start(
    config: NodeConfig,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    on_fault: OnFault,
) -> Result<Node, StartError> {
    // Before the files are touched: what can't listen must not count as a start.
    let listener = match config.listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let (stats, latch) = (Arc::new(StorageStats::default()), FaultLatch::new(on_fault));
    let storage = open_storage(&config, Arc::clone(&disk), &stats).await?;
    // A vote alone, granted to who would found the cluster, is no part of its history.
    let has_history = storage.recovered.last.is_some();
    let mut tasks = JoinSet::new();
    let seat = take_seat(&config, &*disk, storage, clock, (&stats, latch), &mut tasks).await?;
    let participant = seat.participant;
    let waits_for = form_or_resume(&participant, &config, has_history, &mut tasks)
        .await
        .map_err(|error| not_resumed(&participant.latch, &*error))?;
    let (standing, standing_seen) = watch::channel(Standing::Waiting(waits_for.borrow().clone()));
    tasks.spawn(standing::follow(Arc::clone(&participant), waits_for, standing));
    if let Some(listener) = listener {
        tasks.spawn(serve(
            listener,
            config.security.clone(),
            Arc::clone(&participant) as Arc<_>,
            config.node_id,
        ));
    }
    spawn_care(&participant, &config, &disk, &mut tasks);
    let guard = tasks.spawn(guard_consensus(participant.raft.clone(), Arc::clone(&participant.latch)));
    let running = Running {
        tasks,
        guard,
        snapshots: Arc::clone(&participant.snapshots),
        log: seat.log,
        state: seat.state,
        _disk: disk,
    };
    Ok(Node { participant, standing: standing_seen, stats, running: Mutex::new(Some(running)) })
}

/// A participant, and the threads that write its files.
struct Seat {
    participant: Arc<Participant>,
    log: LogWriter,
    state: StateWriter,
}

/// Brings consensus up on the files, and with it what a participant is made of.
async fn take_seat(
    config: &NodeConfig,
    disk: &dyn Disk,
    storage: Storage,
    clock: Arc<dyn Clock>,
    (stats, latch): (&Arc<StorageStats>, Arc<FaultLatch>),
    tasks: &mut JoinSet<()>,
) -> Result<Seat, StartError> {
    let consensus = Arc::new(config.consensus()?);
    let policy = CheckpointPolicy { page_bytes_max: config.checkpoint_bytes_max };
    let room = Arc::new(DiskRoom::new(Arc::clone(stats), policy));
    room.look(disk);
    let no_thread = |error: std::io::Error| StartError::Raft(error.to_string());
    let (state, state_writer) =
        StateWriter::start(storage.state, policy, Arc::clone(&latch)).map_err(no_thread)?;
    let recovered = storage.recovered.lineage;
    let (log, log_writer) =
        LogStore::start(storage.log, storage.recovered, state.clone(), Arc::clone(stats), Arc::clone(&latch))
            .map_err(no_thread)?;
    let (boot, snapshots) = (storage.boot, storage.snapshots);
    let lineage = log.lineage(recovered);
    let pending = Pending::new(config.node_id, boot.nonce);
    let clock = Arc::new(ClusterClock::new(config.node_id, clock));
    let roster = Roster::new(config, boot, lineage.clone(), Arc::clone(&clock));
    let machine = StateMachine::new(
        state.clone(),
        Arc::clone(&snapshots),
        Arc::clone(stats),
        Arc::clone(&latch),
        Arc::clone(&pending),
    );
    let network = Network::new(Arc::clone(&roster) as Arc<_>);
    let raft = openraft::Raft::new(config.node_id, consensus, network, log, machine)
        .await
        .map_err(|error| not_resumed(&latch, &error))?;
    let leadership = follow_leadership(&raft, tasks);
    let (rounds, asked) = Rounds::new();
    let participant = Arc::new(Participant {
        boot,
        feature_level: config.feature_level,
        raft,
        state,
        snapshots,
        lineage,
        roster,
        clock,
        room,
        latch,
        pending,
        rounds,
        leadership,
    });
    follow_membership(&participant, tasks);
    follow_log(&participant, tasks);
    tasks.spawn(barrier::serve(Arc::clone(&participant), asked));
    Ok(Seat { participant, log: log_writer, state: state_writer })
}

/// Spawns what a node does of itself as long as it runs.
fn spawn_care(
    participant: &Arc<Participant>,
    config: &NodeConfig,
    disk: &Arc<dyn Disk>,
    tasks: &mut JoinSet<()>,
) {
    if let TransportSecurity::Tls(tls) = &config.security {
        tasks.spawn(Arc::clone(tls).renew_when_due());
    }
    tasks.spawn(beat::run(Arc::clone(&participant.roster)));
    tasks.spawn(steward::run(Arc::clone(participant)));
    tasks.spawn(checkpoint_at_intervals(participant.state.clone(), config.checkpoint_interval));
    tasks.spawn(Arc::clone(&participant.room).keep_looking(Arc::clone(disk)));
}

async fn listen(address: std::net::SocketAddr) -> Result<Listener, StartError> {
    let bound = Listener::bind(address).await;
    bound.map_err(|error| StartError::Listen { address, reason: error.to_string() })
}

async fn open_storage(
    config: &NodeConfig,
    disk: Arc<dyn Disk>,
    stats: &Arc<StorageStats>,
) -> Result<Storage, StartError> {
    let (config, stats) = (config.clone(), Arc::clone(stats));
    tokio::task::spawn_blocking(move || Storage::open(&*disk, &config, &stats))
        .await
        .map_err(|error| StartError::Raft(error.to_string()))?
}

fn not_resumed(latch: &FaultLatch, error: &dyn std::error::Error) -> StartError {
    match latch.first() {
        Some(fault) => StartError::Fault(fault.clone()),
        None => StartError::Raft(error.to_string()),
    }
}

/// Resumes, or forms a cluster of one where there are no peers, or begins to wait for those there are. Answers
/// with what this node waits for, for people.
///
/// Where this node is the only voter there is nobody to wait for, so it stands for election at once instead of
/// after the election timeout.
async fn form_or_resume(
    participant: &Arc<Participant>,
    config: &NodeConfig,
    has_history: bool,
    tasks: &mut JoinSet<()>,
) -> Result<watch::Receiver<String>, Box<dyn std::error::Error + Send + Sync>> {
    let raft = &participant.raft;
    let (waits_for, seen) = watch::channel("no leader".to_owned());
    let alone = config.peers.len() < 2;
    if has_history {
        // Only files of before there were lines of history have none.
        participant.lineage.adopt(config.new_lineage()).await?;
        // With peers it may be an older copy of the disk that says it is the only voter: they are heard first.
        if alone && participant.judge_candidacy() && raft.voter_ids().eq([config.node_id]) {
            raft.trigger().elect(false).await?;
        }
    } else if alone {
        participant.lineage.adopt(config.new_lineage()).await?;
        let itself =
            MemberNode { address: config.address.clone(), boot: Some(participant.boot), votes: true };
        raft.initialize(BTreeMap::from([(config.node_id, itself)])).await?;
    } else {
        let formation = formation::run(Arc::clone(participant), config.clone(), waits_for);
        tasks.spawn(formation);
    }
    Ok(seen)
}

/// Tells the roster who the members are, now and whenever that changes, and lets this node stand for election
/// only while they know it on this disk.
fn follow_membership(participant: &Arc<Participant>, tasks: &mut JoinSet<()>) {
    let mut members = participant.raft.server_metrics();
    let participant = Arc::clone(participant);
    let take = move |membership: Arc<StoredMembership>| {
        participant.roster.set_membership(membership);
        participant.judge_candidacy();
    };
    // The watch must not be held while it is read again: a writer in between would wait for both.
    let membership = Arc::clone(&members.borrow_watched().membership_config);
    take(membership);
    tasks.spawn(async move {
        while members.changed().await.is_ok() {
            let membership = Arc::clone(&members.borrow_and_update().membership_config);
            take(membership);
        }
    });
}

/// Tells the roster how far the log of this node goes.
fn follow_log(participant: &Arc<Participant>, tasks: &mut JoinSet<()>) {
    let mut log = participant.raft.data_metrics();
    let roster = Arc::clone(&participant.roster);
    roster.set_last_log_id(log.borrow_watched().last_log);
    tasks.spawn(async move {
        while log.changed().await.is_ok() {
            roster.set_last_log_id(log.borrow_and_update().last_log);
        }
    });
}

/// Consensus that ends by itself takes the node with it: nobody else would see it.
async fn guard_consensus(raft: Raft, latch: Arc<FaultLatch>) {
    let reason = end_of_consensus(&raft).await;
    latch.raise(Fault::Consensus(reason));
}

async fn checkpoint_at_intervals(state: StateHandle, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if state.checkpoint().await.is_err() {
            return;
        }
    }
}
