//! A node, a clock that stands, and commands to propose.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::secret::{SealedVersion, SecretFormat, SecretId, SecretKind};
use hyperion_vault_core::state::command::{CreateSecret, DeleteSecret};
use hyperion_vault_core::state::{self, Command, Proposal, Rows};
use hyperion_vault_core::time::{Seconds, Timestamp};
use hyperion_vault_raft::{DataDir, Disk, Node, NodeConfig, StartError, StateView};

pub(crate) const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);

pub(crate) type Rowset = BTreeMap<Vec<u8>, Vec<u8>>;

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        NOW
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(StandingClock)
}

pub(crate) fn config() -> NodeConfig {
    NodeConfig::new(1, [7; 40])
}

/// A configuration under which everything that happens seldom happens often.
pub(crate) fn busy_config() -> NodeConfig {
    let mut config = config();
    config.checkpoint_interval = Duration::from_millis(10);
    config.checkpoint_bytes_max = 128 * 1024;
    config.snapshot_every_entries = 40;
    config.log_entries_kept = 10;
    config
}

pub(crate) async fn try_start(config: NodeConfig, disk: Arc<dyn Disk>) -> Result<Node, StartError> {
    Node::start(config, disk, clock(), Arc::new(|_| {})).await
}

/// Starts a node on a directory and waits until it is ready.
pub(crate) async fn start(config: NodeConfig, directory: &Path) -> Node {
    let node = try_start(config, Arc::new(DataDir::open(directory).unwrap())).await.unwrap();
    node.wait_ready(Duration::from_secs(5)).await.unwrap();
    node
}

/// The files of a resting node as a `kill -9` would leave them. The state is copied first: it must never be ahead
/// of the log.
pub(crate) fn copy_as_killed(from: &Path, to: &Path) {
    for name in ["vault.redb", "vault.raft.redb"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

pub(crate) fn secret_name(number: u64) -> SecretName {
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    SecretName::parse(&format!("load/{spread:016x}/{number}")).unwrap()
}

pub(crate) fn create(number: u64, ciphertext_bytes: usize) -> Command {
    let sealed = SealedVersion {
        envelope_format: 1,
        kms_key_id: "local".to_owned(),
        wrapped_data_key: vec![1; 72],
        nonce: [2; 24],
        ciphertext: vec![3; ciphertext_bytes],
        wrapped_rotation_at: None,
    };
    Command::CreateSecret(CreateSecret {
        name: secret_name(number),
        id: SecretId::from_bytes([4; 16]),
        kind: SecretKind::Manual,
        format: SecretFormat::Opaque,
        description: None,
        rotation_interval: None,
        grace_period: Seconds::new(0),
        sealed,
        target: None,
        generator: None,
    })
}

pub(crate) fn delete(number: u64) -> Command {
    Command::DeleteSecret(DeleteSecret { name: secret_name(number) })
}

pub(crate) fn rows(view: &StateView) -> Rowset {
    view.scan(&[], None, usize::MAX).unwrap().into_iter().collect()
}

/// What a node's rows must be after these commands.
pub(crate) fn apply_all<'a>(commands: impl IntoIterator<Item = &'a Command>) -> Rowset {
    let mut rows = Rowset::new();
    for command in commands {
        apply(command, &mut rows);
    }
    rows
}

pub(crate) fn apply(command: &Command, rows: &mut Rowset) {
    state::apply(&Proposal { stamp: NOW, command: command.clone(), origin: None }, rows).unwrap();
}
