//! What a node is told when it starts, and the limits of this crate.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hyperion_vault_core::state::FEATURE_LEVEL;
use openraft::SnapshotPolicy;

use crate::cluster::identity::Lineage;
use crate::error::StartError;
use crate::transport::tls::TransportSecurity;

/// The longest encoded command that is proposed, in bytes. Larger than any single change of the vault; what is
/// larger must be proposed in parts.
pub const PROPOSAL_BYTES_MAX: usize = 1024 * 1024;

/// How long a proposal waits for a leader and its quorum.
pub const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a node waits for the leader's answer to what it forwarded. The proposal's own deadline ends it earlier.
pub(crate) const LEADER_CALL_TIMEOUT: Duration = PROPOSE_TIMEOUT;

/// Between two tries of a proposal or a read index that was sent away, or whose answer was lost.
pub(crate) const PROPOSE_RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A leader's sign of life. openraft's default of 50 ms leaves too little for a busy machine.
const HEARTBEAT_INTERVAL_MS: u64 = 75;
/// A follower stands for election when it heard nothing of the leader for the latter of these (the leader's lease,
/// within which nobody votes for another) and a random time between the two. So a dead leader is replaced within
/// a second, and one that is silent for less than half a second, six signs of life, keeps leading.
const ELECTION_TIMEOUT_MIN_MS: u64 = 225;
const ELECTION_TIMEOUT_MAX_MS: u64 = 500;
/// A whole snapshot is sent and installed within this; openraft's default of 200 ms is for toys.
const INSTALL_SNAPSHOT_TIMEOUT_MS: u64 = 60_000;
/// Entries in one message to a follower.
pub(crate) const PAYLOAD_ENTRIES_MAX: u64 = 256;
/// Proposals that wait for consensus to take them; past it, proposing waits.
const WAITING_PROPOSALS_MAX: u64 = 4_096;
/// Entries that consensus hands to the log at once.
const APPEND_ENTRIES_MAX: u64 = 1_024;

/// How a node is set up. [`NodeConfig::new`] gives what production uses.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// This node's id in the cluster.
    pub node_id: u64,
    /// `host:port` under which other members would reach this one.
    pub address: String,
    /// What this start needs of randomness.
    pub draws: Draws,
    /// Where this node listens for its peers; `None` where it can't have any.
    pub listen: Option<SocketAddr>,
    /// `host:port` of the members that form the cluster, by their ids, this node among them. With fewer than two
    /// a new node forms a cluster of its own.
    pub peers: BTreeMap<u64, String>,
    /// How connections between nodes are protected.
    pub security: TransportSecurity,
    /// The highest level of commands that this build can apply; lower only to stand for an earlier build.
    pub feature_level: u32,
    /// Applied entries are durable in the state file after this much time at the latest.
    pub checkpoint_interval: Duration,
    /// ... or when the pages they wrote have this many bytes, estimated; earlier while the file is small.
    pub checkpoint_bytes_max: u64,
    /// A snapshot is taken after this many entries, or a multiple while they are few beside the state.
    pub snapshot_every_entries: u64,
    /// Entries that stay in the log behind a snapshot, for members that are a little late.
    pub log_entries_kept: u64,
    /// Pages of the state that are kept in memory.
    pub state_cache_bytes: usize,
}

/// Random values, drawn by whoever starts the node.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    /// Names the pair of files if this start makes them.
    pub disk_id: [u8; 16],
    /// Tells this start from any other.
    pub boot_nonce: u64,
    /// Names the cluster if this start forms one.
    pub lineage: [u8; 16],
}

/// What [`Draws::from_bytes`] takes.
pub const DRAWN_BYTES: usize = 40;

impl Draws {
    /// Of random bytes.
    #[must_use]
    pub fn from_bytes(random: [u8; DRAWN_BYTES]) -> Draws {
        let (disk_id, rest) = random.split_first_chunk().unwrap_or((&[0; 16], &[]));
        let (lineage, rest) = rest.split_first_chunk().unwrap_or((&[0; 16], &[]));
        let nonce = rest.first_chunk().unwrap_or(&[0; 8]);
        Draws { disk_id: *disk_id, lineage: *lineage, boot_nonce: u64::from_le_bytes(*nonce) }
    }
}

impl NodeConfig {
    /// The defaults of a node without peers.
    #[must_use]
    pub fn new(node_id: u64, random: [u8; DRAWN_BYTES]) -> NodeConfig {
        NodeConfig {
            node_id,
            address: String::new(),
            draws: Draws::from_bytes(random),
            listen: None,
            peers: BTreeMap::new(),
            security: TransportSecurity::Plain,
            feature_level: FEATURE_LEVEL,
            checkpoint_interval: Duration::from_secs(5),
            checkpoint_bytes_max: 64 * 1024 * 1024,
            snapshot_every_entries: 4_000,
            log_entries_kept: 1_000,
            state_cache_bytes: 128 * 1024 * 1024,
        }
    }

    /// The line of history that this start begins if it forms a cluster.
    pub(crate) fn new_lineage(&self) -> Lineage {
        Lineage(self.draws.lineage)
    }

    pub(crate) fn consensus(&self) -> Result<openraft::Config, StartError> {
        let config = openraft::Config {
            cluster_name: "hyperion-vault".to_owned(),
            heartbeat_interval: HEARTBEAT_INTERVAL_MS,
            election_timeout_min: ELECTION_TIMEOUT_MIN_MS,
            election_timeout_max: ELECTION_TIMEOUT_MAX_MS,
            install_snapshot_timeout: INSTALL_SNAPSHOT_TIMEOUT_MS,
            max_payload_entries: PAYLOAD_ENTRIES_MAX,
            max_append_entries: Some(APPEND_ENTRIES_MAX),
            api_channel_size: Some(WAITING_PROPOSALS_MAX),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every_entries),
            max_in_snapshot_log_to_keep: self.log_entries_kept,
            // A member is sent a snapshot when the log it lacks is gone, not before.
            replication_lag_threshold: self.snapshot_every_entries.saturating_add(self.log_entries_kept),
            // A leader that comes back must be elected anew: its state may be behind what it once acknowledged.
            enable_leader_restore: Some(false),
            enable_pre_vote: Some(true),
            // Until it is known that the members know this node on this disk.
            enable_elect: false,
            // A member whose log went back has lost its disk and must be re-admitted, not humoured.
            allow_log_reversion: Some(false),
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| StartError::Config(error.to_string()))
    }
}
