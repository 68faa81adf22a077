//! The file operations that can fail under a running log, in one place so that tests can make each of them
//! fail at each moment.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Only the vault's own user reads the trail.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

pub(super) trait Disk: Send + Sync + 'static {
    /// Makes an empty file to append to; durably, so that a crash can't lose the file itself. An empty file
    /// that is there already, left by an attempt that failed half-way, is as good.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Appends all of `bytes`, in one call to the operating system where it takes them in one.
    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()>;
    /// Takes back everything after the first `len` bytes.
    fn cut(&self, file: &File, len: u64) -> io::Result<()>;
    /// Returns once all that was written, and the length, is on the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Gives a file another, unused name; durably. Doing again what failed half-way is fine.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
}

/// The operating system's.
pub(super) struct OsDisk;

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().create(true).append(true).read(true).mode(FILE_MODE).open(path)?;
        if file.metadata()?.len() > 0 {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        sync_directory(path)?;
        Ok(file)
    }

    fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn cut(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        // Nobody else may write here (the lock), so looking first is not a race.
        match (from.try_exists()?, to.try_exists()?) {
            (true, true) => return Err(io::ErrorKind::AlreadyExists.into()),
            (false, true) => {}
            (_, false) => fs::rename(from, to)?,
        }
        sync_directory(to)
    }
}

/// The directory that `path` lies in.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory(path))
}

/// Opens an existing file to go on appending to it.
pub(super) fn reopen(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).read(true).open(path)
}

/// Opens the lock file, which is made once and never removed: removing it would let two processes lock two
/// files of one name.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(FILE_MODE).open(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}
