//! The files of a node in production. All are named after the state's, so that two nodes can share a
//! directory.
//!
//! ```text
//! <dir>/               0700
//!   vault.redb         0600
//!   vault.raft.redb    0600
//!   vault.snapshots/   0700, files 0600
//!   vault.lock         held while a process has the files open
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, StorageBackend};

use super::space::free_bytes;
use super::{DatabaseFile, Disk};
use crate::error::StartError;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// The name of the state's file where only a directory is given.
const STATE_FILE: &str = "vault.redb";
const LOG_EXTENSION: &str = "raft.redb";
const SNAPSHOTS_EXTENSION: &str = "snapshots";
const LOCK_EXTENSION: &str = "lock";
/// A database file under construction; never opened as one.
const UNFINISHED_SUFFIX: &str = "new";

/// Files that belong to this process for as long as the value lives.
#[derive(Debug)]
pub struct DataDir {
    state_file: PathBuf,
    snapshots: PathBuf,
    /// Locked; the operating system lets go of it when the process ends, however it ends.
    _lock: File,
}

impl DataDir {
    /// The files in `directory`, under their usual names.
    ///
    /// # Errors
    /// As [`DataDir::beside`].
    pub fn open(directory: &Path) -> Result<DataDir, StartError> {
        DataDir::beside(&directory.join(STATE_FILE))
    }

    /// The files around this state file. Makes its directory if it isn't there and takes the files for this
    /// process.
    ///
    /// # Errors
    /// [`StartError::InUse`] when another process has them, [`StartError::DataDir`] when the directory can't
    /// be made.
    pub fn beside(state_file: &Path) -> Result<DataDir, StartError> {
        let directory = parent(state_file);
        let failed = |source| StartError::DataDir { path: directory.to_owned(), source };
        create_directory(directory).map_err(failed)?;
        let lock_file = state_file.with_extension(LOCK_EXTENSION);
        let lock = private_file().create(true).truncate(false).open(lock_file).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDir {
                state_file: state_file.to_owned(),
                snapshots: state_file.with_extension(SNAPSHOTS_EXTENSION),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StartError::InUse { path: directory.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    fn file(&self, file: DatabaseFile) -> PathBuf {
        match file {
            DatabaseFile::Log => self.state_file.with_extension(LOG_EXTENSION),
            DatabaseFile::State => self.state_file.clone(),
        }
    }
}

impl Disk for DataDir {
    fn open(&self, file: DatabaseFile) -> io::Result<Box<dyn StorageBackend>> {
        let path = self.file(file);
        if !path.try_exists()? {
            create_database(&path)?;
        }
        let file = private_file().open(&path)?;
        Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
    }

    fn directory(&self) -> &Path {
        parent(&self.state_file)
    }

    fn snapshots(&self) -> &Path {
        &self.snapshots
    }

    fn free_bytes(&self) -> io::Result<u64> {
        free_bytes(self.directory())
    }
}

/// Makes an empty database under another name and renames it, so that a crash leaves either none or a whole
/// one: redb takes a half-made file for damage.
fn create_database(path: &Path) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED_SUFFIX);
    let file = private_file().create(true).truncate(true).open(&unfinished)?;
    let backend = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
    let database: Database = redb::Builder::new().create_with_backend(backend).map_err(io::Error::other)?;
    database.close().map_err(io::Error::other)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_directory(parent(path))
}

/// Options for a file that only its owner may read, opened for reading and writing.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(FILE_MODE);
    options
}

/// Makes a directory, and those above it, that only their owner may enter, and makes their names durable; one
/// that exists stays as it is.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
    for made in missing {
        sync_directory(parent(made))?;
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes created, renamed and removed names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
