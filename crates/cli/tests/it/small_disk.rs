//! A small file system of its own, in memory, that a test can fill.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted tmpfs, unmounted on drop.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// None, and a word about it, when this process may not mount.
    pub(crate) fn mount(kib: u32) -> Option<SmallDisk> {
        let directory = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "vault-test"])
            .arg(directory.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(directory));
        }
        #[expect(clippy::print_stderr, reason = "a test says what it leaves out")]
        {
            eprintln!("SKIPPED: mounting a small tmpfs needs root; the full disk was not tested");
        }
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the space there is.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        while ballast.write_all(&[1; 1_024]).is_ok() {}
    }

    /// Gives it back.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the vault may be dropped after it.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
