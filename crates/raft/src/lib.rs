//! Order and durability: the Raft log, the replicated state and their snapshots on this node's disk, and the
//! consensus that orders commands.
//!
//! A command is proposed as bytes, made durable in the log of a quorum, and applied by the state machine of
//! [`hyperion_vault_core::state`]. This crate knows nothing of secrets: what it stores is sealed. Always Raft: one
//! node is a cluster of one voter.
//!
//! ```text
//! propose ─▶ consensus ─▶ log_store (one sync a batch) ─▶ state (no sync; checkpoints) ─▶ view ─▶ readers
//!                                                           └─▶ snapshot (file)
//! ```
//!
//! What is promised, and where: an acknowledged command is on disk (`log_store/writer.rs`); a batch is applied
//! whole or not at all (`state/file.rs`); the log keeps what the state hasn't made durable (`log_store/mod.rs`,
//! `PurgeGate`); a failed sync ends the node (`fault.rs`).

mod cluster;
mod config;
mod disk;
mod encoding;
mod error;
mod fault;
mod log_store;
mod node;
mod room;
mod snapshot;
mod state;
mod stats;
mod status;
mod storage;
mod transport;
mod types;

pub use cluster::change::MembershipError;
pub use cluster::identity::{Boot, Lineage};
pub use cluster::recover::{RecoverError, Recovery, recover};
pub use cluster::status::{ClusterStatus, MemberStatus};
pub use config::{DRAWN_BYTES, Draws, NodeConfig, PROPOSAL_BYTES_MAX, PROPOSE_TIMEOUT};
pub use disk::{DataDir, DatabaseFile, Disk};
pub use error::{NotReady, ProposeError, StartError};
pub use fault::{Fault, OnFault};
pub use node::{Applied, Node, Standing};
pub use state::StateView;
pub use stats::{Counter, StorageStats};
pub use status::{Leadership, Member, NodeStatus, Role};
pub use transport::message::MemberChange;
pub use transport::tls;
