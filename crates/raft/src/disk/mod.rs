//! The two database files of a node, and how they are told from anything else.
//!
//! The log file is small and synced for each batch of entries; the state file holds all replicated rows and is
//! synced at checkpoints. Both are redb databases that begin with a [`Header`](header::Header).

mod backend;
pub(crate) mod data_dir;
pub(crate) mod header;
pub(crate) mod space;

use std::fmt;
use std::io;
use std::path::Path;

pub use data_dir::DataDir;
use redb::StorageBackend;

pub(crate) use backend::{close_database, open_database};

/// One of the two databases of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseFile {
    /// The Raft log, the vote, the committed index.
    Log,
    /// All replicated rows, and how far the log is applied to them.
    State,
}

impl fmt::Display for DatabaseFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DatabaseFile::Log => "the Raft log",
            DatabaseFile::State => "the state file",
        })
    }
}

/// Where a node's databases lie. [`DataDir`] in production; tests bring one that records what is written.
pub trait Disk: Send + Sync {
    /// Opens a database's storage, empty or an initialised redb database.
    ///
    /// # Errors
    /// What the operating system said.
    fn open(&self, file: DatabaseFile) -> io::Result<Box<dyn StorageBackend>>;

    /// The directory of the databases, for messages.
    fn directory(&self) -> &Path;

    /// The directory for snapshots; made when it isn't there.
    fn snapshots(&self) -> &Path;

    /// Bytes that the file system of the databases still takes; `u64::MAX` where there is no bound. Asks the
    /// kernel what it knows anyway, and so may be called where nothing may block.
    ///
    /// # Errors
    /// What the operating system said.
    fn free_bytes(&self) -> io::Result<u64>;
}
