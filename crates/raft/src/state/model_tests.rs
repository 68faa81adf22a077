//! The state on disk against a plain map, across checkpoints, crashes, snapshots and installs.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::secret::{SealedVersion, SecretFormat, SecretId, SecretKind, VersionNumber};
use hyperion_vault_core::state::command::{CreateSecret, DeleteSecret, InitializeCluster, UpdateSecret};
use hyperion_vault_core::state::{self, Command, Outcome, Proposal, Rows};
use hyperion_vault_core::time::{Seconds, Timestamp};
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::NodeConfig;
use crate::disk::DataDir;
use crate::fault::FaultLatch;
use crate::node::Pending;
use crate::snapshot::SnapshotFile;
use crate::stats::StorageStats;
use crate::storage::Storage;
use crate::types::{CommittedLeaderId, EncodedProposal, Entry, EntryPayload, LogId};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A state in a directory of its own.
struct OnDisk {
    directory: TempDir,
    state: StateHandle,
    machine: StateMachine,
    writer: StateWriter,
    stats: Arc<StorageStats>,
}

fn open(directory: TempDir) -> OnDisk {
    let disk = DataDir::open(directory.path()).unwrap();
    let stats = Arc::new(StorageStats::default());
    let storage = Storage::open(&disk, &NodeConfig::new(1, [7; 40]), &stats).unwrap();
    let latch = FaultLatch::new(Arc::new(|_| {}));
    let policy = CheckpointPolicy { page_bytes_max: u64::MAX };
    let (state, writer) = StateWriter::start(storage.state, policy, Arc::clone(&latch)).unwrap();
    let (snapshots, pending) = (storage.snapshots, Pending::new(1, 1));
    let machine = StateMachine::new(state.clone(), snapshots, Arc::clone(&stats), latch, pending);
    OnDisk { directory, state, machine, writer, stats }
}

impl OnDisk {
    fn fresh() -> OnDisk {
        open(tempfile::tempdir().unwrap())
    }

    fn rows(&self) -> Model {
        self.state.view().scan(&[], None, usize::MAX).unwrap().into_iter().collect()
    }

    /// The same files as a `kill -9` would leave them now.
    fn crash(self) -> OnDisk {
        let after = tempfile::tempdir().unwrap();
        for name in ["vault.raft.redb", "vault.redb"] {
            fs::copy(self.directory.path().join(name), after.path().join(name)).unwrap();
        }
        open(after)
    }

    async fn stop(self) -> TempDir {
        let OnDisk { directory, writer, .. } = self;
        writer.stop().await.unwrap();
        directory
    }
}

fn name(number: u8) -> SecretName {
    SecretName::parse(&format!("model/{number}")).unwrap()
}

fn sealed(byte: u8) -> SealedVersion {
    SealedVersion {
        envelope_format: 1,
        kms_key_id: "local".to_owned(),
        wrapped_data_key: vec![byte; 40],
        nonce: [byte; 24],
        ciphertext: vec![byte; usize::from(byte) * 8],
        wrapped_rotation_at: None,
    }
}

fn create(number: u8, byte: u8) -> Command {
    Command::CreateSecret(CreateSecret {
        name: name(number),
        id: SecretId::from_bytes([number; 16]),
        kind: SecretKind::Manual,
        format: SecretFormat::Opaque,
        description: None,
        rotation_interval: None,
        grace_period: Seconds::new(u64::from(byte)),
        sealed: sealed(byte),
        target: None,
        generator: None,
    })
}

fn update(number: u8, expected: u64, byte: u8) -> Command {
    Command::UpdateSecret(UpdateSecret {
        name: name(number),
        id: SecretId::from_bytes([number; 16]),
        expected: VersionNumber::new(expected),
        description: None,
        rotation_interval: None,
        grace_period: None,
        sealed: Some(sealed(byte)),
        target: None,
        generator: None,
        is_applied: None,
    })
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => (0..12_u8, any::<u8>()).prop_map(|(number, byte)| create(number, byte)),
        4 => (0..12_u8, 1..4_u64, any::<u8>()).prop_map(|(number, version, byte)| update(number, version, byte)),
        2 => (0..12_u8).prop_map(|number| Command::DeleteSecret(DeleteSecret { name: name(number) })),
        1 => any::<[u8; 16]>().prop_map(|cluster_id| Command::InitializeCluster(InitializeCluster { cluster_id })),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<(u64, Command)>),
    Checkpoint,
    /// Everything since the last checkpoint is lost and replayed from the log.
    Crash,
    Restart,
    /// The state goes on in another directory, from a snapshot.
    Move,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec((0..100_000_u64, any_command()), 1..12).prop_map(Step::Apply),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        1 => Just(Step::Move),
    ]
}

/// The log of a run with what each entry must come to, the map it makes, and the state that must equal it.
struct Run {
    on_disk: OnDisk,
    model: Model,
    log: Vec<Entry>,
    outcomes: Vec<Outcome>,
}

impl Run {
    fn new() -> Run {
        Run { on_disk: OnDisk::fresh(), model: Model::new(), log: Vec::new(), outcomes: Vec::new() }
    }

    fn append(&mut self, stamp: u64, command: Command) {
        let proposal = Proposal { stamp: Timestamp::from_unix_ms(stamp), command, origin: None };
        self.outcomes.push(state::apply(&proposal, &mut self.model).unwrap());
        let leader_id = CommittedLeaderId { term: 1, node_id: 1 };
        let log_id = LogId { leader_id, index: self.log.len() as u64 };
        let payload = EntryPayload::Normal(EncodedProposal(proposal.encode().into()));
        self.log.push(Entry { log_id, payload });
    }

    /// Applies what the state doesn't have of the log. An entry that had been applied in part before would come
    /// to something else now.
    async fn catch_up(&mut self) {
        let applied = self.on_disk.state.view().applied_index();
        let from = applied.map_or(0, |index| usize::try_from(index).unwrap() + 1);
        if from == self.log.len() {
            return;
        }
        let responses = self.on_disk.state.apply(self.log[from..].to_vec()).await.unwrap();
        let outcomes: Vec<_> =
            responses.into_iter().map(|response| response.decided.unwrap().outcome).collect();
        assert_eq!(outcomes, self.outcomes[from..]);
    }

    async fn step(mut self, step: Step) -> Run {
        match step {
            Step::Apply(commands) => {
                for (stamp, command) in commands {
                    self.append(stamp, command);
                }
                self.catch_up().await;
            }
            Step::Checkpoint => self.on_disk.state.checkpoint().await.unwrap(),
            Step::Crash => {
                self.on_disk = self.on_disk.crash();
                self.catch_up().await;
            }
            Step::Restart => self.on_disk = open(self.on_disk.stop().await),
            Step::Move => self.on_disk = moved(self.on_disk).await,
        }
        assert_eq!(self.on_disk.rows(), self.model);
        self
    }
}

async fn moved(mut from: OnDisk) -> OnDisk {
    let snapshot = from.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let mut to = OnDisk::fresh();
    to.state.apply(vec![blank(0)]).await.unwrap();
    to.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    let current = to.machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta, snapshot.meta);
    // An install is durable by itself.
    to.crash()
}

fn blank(index: u64) -> Entry {
    let log_id = LogId { leader_id: CommittedLeaderId { term: 1, node_id: 1 }, index };
    Entry { log_id, payload: EntryPayload::Blank }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_state_is_the_map_that_the_commands_make(steps in prop::collection::vec(any_step(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new();
            for step in steps {
                run = run.step(step).await;
            }
        });
    }
}

async fn with_some_rows() -> OnDisk {
    let mut run = Run::new();
    for number in 0..10 {
        run.append(1, create(number, number));
    }
    run.catch_up().await;
    run.on_disk
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_changes_nothing() {
    let mut from = with_some_rows().await;
    let snapshot = from.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let file =
        fs::read_dir(from.directory.path().join("vault.snapshots")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&file).unwrap();

    let mut to = OnDisk::fresh();
    to.state.apply(vec![blank(0)]).await.unwrap();
    let before = to.rows();
    for byte in (0..whole.len()).step_by(97) {
        let mut damaged = whole.clone();
        damaged[byte] ^= 0x20;
        let path = to.directory.path().join("received");
        fs::write(&path, damaged).unwrap();
        let received = SnapshotFile::open(&path).unwrap();
        assert!(to.machine.install_snapshot(&snapshot.meta, received).await.is_err(), "byte {byte}");
        assert_eq!(to.rows(), before);
        assert!(to.machine.get_current_snapshot().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_snapshot_of_another_moment_than_announced_is_refused() {
    let mut from = with_some_rows().await;
    let snapshot = from.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let mut announced = snapshot.meta.clone();
    announced.last_log_id = Some(blank(99).log_id);
    let mut to = OnDisk::fresh();
    assert!(to.machine.install_snapshot(&announced, snapshot.snapshot).await.is_err());
    assert_eq!(to.rows(), Model::new());
}

#[tokio::test]
async fn a_snapshot_that_finds_no_room_is_put_off_until_there_is_some() {
    // It was begun all the same, met the end of the disk and ended the node.
    let mut on_disk = with_some_rows().await;
    let state_bytes = on_disk.stats.state_file_bytes.get();
    on_disk.stats.state_file_bytes.set(u64::MAX / 2);
    assert!(on_disk.machine.try_create_snapshot_builder(false).await.is_none());
    assert!(on_disk.machine.try_create_snapshot_builder(true).await.is_some());
    on_disk.stats.state_file_bytes.set(state_bytes);
    assert!(on_disk.machine.try_create_snapshot_builder(false).await.is_some());
}

#[tokio::test]
async fn a_view_keeps_its_moment() {
    let on_disk = with_some_rows().await;
    let (view, before) = (on_disk.state.view(), on_disk.rows());
    let delete = Command::DeleteSecret(DeleteSecret { name: name(3) });
    let proposal = Proposal { stamp: Timestamp::from_unix_ms(2), command: delete, origin: None };
    let payload = EntryPayload::Normal(EncodedProposal(proposal.encode().into()));
    on_disk.state.apply(vec![Entry { log_id: blank(10).log_id, payload }]).await.unwrap();
    on_disk.state.checkpoint().await.unwrap();

    let seen: Model = view.scan(&[], None, usize::MAX).unwrap().into_iter().collect();
    assert_eq!(seen, before);
    assert_ne!(on_disk.rows(), before);
}

#[tokio::test]
async fn an_entry_is_not_applied_twice() {
    let on_disk = OnDisk::fresh();
    on_disk.state.apply(vec![blank(0), blank(1)]).await.unwrap();
    assert!(on_disk.state.apply(vec![blank(1)]).await.is_err());
}

#[tokio::test]
async fn a_command_that_this_version_does_not_know_halts_the_node_and_is_not_skipped() {
    let on_disk = with_some_rows().await;
    let before = on_disk.rows();
    let unknown = EntryPayload::Normal(EncodedProposal(b"\x82\x00\x82\x19\xff\xff\x80".as_slice().into()));
    let entries = vec![Entry { log_id: blank(10).log_id, payload: unknown }, blank(11)];
    assert!(on_disk.state.apply(entries).await.is_err());
    assert_eq!(on_disk.rows(), before);
    assert_eq!(on_disk.state.view().applied_index(), Some(9));
}

#[tokio::test]
async fn after_closing_a_view_says_so() {
    let on_disk = with_some_rows().await;
    let state = on_disk.state.clone();
    on_disk.stop().await;
    assert!(state.view().get(b"x").is_err());
    assert_eq!(state.view().applied_index(), Some(9));
}
