//! How much a file system still takes.

use std::io;
use std::path::Path;

/// Bytes that this process may still write on the file system of `path`; `u64::MAX` where it has no bound of its
/// own (a tmpfs without a size, some network file systems).
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let file_system = rustix::fs::statvfs(path)?;
    Ok(match file_system.f_blocks {
        0 => u64::MAX,
        _ => file_system.f_bavail.saturating_mul(file_system.f_frsize),
    })
}
