//! What can go wrong at the door of this crate: starting a node, proposing, waiting.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::disk::DatabaseFile;
use crate::fault::Fault;

/// A node can't start on what it found. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be made, read or synced.
    #[error("data directory {}: {source}", path.display())]
    DataDir {
        /// The directory or the file in it.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process, or another node of this one, has these files open.
    #[error("the data in {} is in use by another process", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// A database file can't be opened, or isn't a database.
    #[error("{file} can't be opened: {reason}")]
    Unreadable {
        /// Which of the two.
        file: DatabaseFile,
        /// The storage engine's words.
        reason: String,
    },
    /// The file is a database, but not one of this product.
    #[error("{file} is not a file of this vault")]
    Foreign {
        /// Which of the two.
        file: DatabaseFile,
    },
    /// The file was written by a later version.
    #[error("{file} has format {found}; this version reads up to {supported}")]
    Newer {
        /// Which of the two.
        file: DatabaseFile,
        /// The format number it carries.
        found: u32,
        /// The latest format number that this version reads.
        supported: u32,
    },
    /// A record in the file isn't what was written.
    #[error("{file} is damaged: {reason}")]
    Damaged {
        /// Which of the two.
        file: DatabaseFile,
        /// The record and what is wrong with it.
        reason: String,
    },
    /// The files belong to another node.
    #[error("the data belongs to node {found}, but this node is configured as {configured}")]
    OtherNode {
        /// The node id in the files.
        found: u64,
        /// The node id in the configuration.
        configured: u64,
    },
    /// The two files were not made together.
    #[error("the Raft log and the state come from different disks")]
    Mixed,
    /// The state is there, its log is not. A node that forgot its vote could vote twice, so it must not start.
    #[error("the Raft log is missing beside an existing state; restore it, or start with an empty directory")]
    LogLost,
    /// The configuration contradicts itself.
    #[error("raft configuration: {0}")]
    Config(String),
    /// The port for the other members can't be opened.
    #[error("listening for other members on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        reason: String,
    },
    /// Consensus couldn't resume from the files.
    #[error("raft: {0}")]
    Raft(String),
    /// The storage failed while starting.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A command was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No leader within [`PROPOSE_TIMEOUT`](crate::PROPOSE_TIMEOUT). Nothing was changed.
    #[error("no leader")]
    NoLeader,
    /// The leader couldn't make it durable on a quorum in time, or lost its leadership meanwhile. The command
    /// may still come to be applied.
    #[error("not acknowledged by a quorum in time")]
    NoQuorum,
    /// The encoded command is longer than [`PROPOSAL_BYTES_MAX`](crate::PROPOSAL_BYTES_MAX). Nothing was changed.
    #[error("a command of {bytes} bytes is too large")]
    TooLarge {
        /// Length of the encoded command.
        bytes: usize,
    },
    /// Not every member of the cluster can apply such a command yet. Nothing was changed.
    #[error("the cluster is at feature level {level}, and this change needs {needed}: upgrade all nodes")]
    NotYetSupported {
        /// The level that the command is of.
        needed: u32,
        /// The cluster's.
        level: u32,
    },
    /// The disk is nearly full; what is left is for what is under way and for a restart. Nothing was changed.
    #[error("the disk is nearly full")]
    DiskFull,
    /// This node met a [`Fault`] or is shutting down.
    #[error("this node has halted")]
    Halted,
}

/// The node isn't ready within the time given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not ready after {waited:?}: no leader, or what was committed before the start is not applied yet")]
pub struct NotReady {
    /// The time given.
    pub waited: Duration,
}
