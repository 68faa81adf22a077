//! The data directory of a node in production.
//!
//! ```text
//! <dir>/            0700
//!   lock            held while a process has the directory open
//!   raft-log.redb   0600
//!   state.redb      0600
//!   snapshots/      0700, files 0600
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, StorageBackend};

use super::{DatabaseFile, Disk};
use crate::error::StartError;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const LOCK_FILE: &str = "lock";
/// A database file under construction; never opened as one.
const UNFINISHED_SUFFIX: &str = "new";

/// A directory that belongs to this process for as long as the value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Locked; the operating system lets go of it when the process ends, however it ends.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if it isn't there and takes it for this process.
    ///
    /// # Errors
    /// [`StartError::InUse`] when another process has it, [`StartError::DataDir`] when it can't be made.
    pub fn open(path: &Path) -> Result<DataDir, StartError> {
        let failed = |source| StartError::DataDir { path: path.to_owned(), source };
        create_directory(path).map_err(failed)?;
        let lock = private_file().create(true).truncate(false).open(path.join(LOCK_FILE)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDir { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StartError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    fn file(&self, file: DatabaseFile) -> PathBuf {
        self.path.join(match file {
            DatabaseFile::Log => "raft-log.redb",
            DatabaseFile::State => "state.redb",
        })
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
        &self.path
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
