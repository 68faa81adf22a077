//! The active file, and what is done when the disk fails under it.
//!
//! Invariants, whatever fails and whenever:
//! - Lines that were accepted stand in the files once, whole and in order; lines that were refused don't.
//! - Only the active file may hold bytes that are not on the disk: a file is synced before it is moved aside.
//!
//! **A failed write** may leave a part of its lines. It is cut off; until that succeeds nothing is written.
//!
//! **A failed sync** says nothing about which pages were lost, and the kernel may from then on take them for
//! clean. So neither the file nor another sync of it is believed any more: the accepted lines that were not
//! known to be synced are kept in memory, the file is cut back to its last synced length and moved aside, and
//! the lines are written to a new file ahead of anything else, with a sync before the next answer. Until all
//! of that has succeeded everything is refused. In `always` mode the group whose sync failed is refused.
//!
//! **A file that is no longer where it was, or not as long as it was left,** was touched by somebody else (a
//! log rotator, an intruder). The log goes on in a new file; verification names what is missing.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::config::{AuditConfig, AuditSync};
use super::disk::Disk;
use super::error::{AuditUnavailable, Step};
use super::segment::{Segment, segments};
use super::syncer::Syncer;

/// Accepted bytes that may wait for a sync. At this point writing waits for the disk after all.
pub(super) const UNSYNCED_BYTES_MAX: usize = 8 << 20;

/// The file that is being written.
pub(super) struct Active {
    file: Arc<File>,
    first_seq: u64,
    /// Length of the accepted lines, in bytes.
    len: u64,
    /// A failed write may have left bytes after `len`.
    is_dirty: bool,
}

impl Active {
    /// A file of `len` bytes, all on the disk.
    pub(super) fn new(file: File, first_seq: u64, len: u64) -> Active {
        Active { file: Arc::new(file), first_seq, len, is_dirty: false }
    }

    /// Whether `path` still leads to this file, and to nothing but what was written here.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let own = self.file.metadata()?;
        match fs::metadata(path) {
            Ok(found) => Ok((found.dev(), found.ino(), found.len()) == (own.dev(), own.ino(), self.len)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

pub(super) struct Journal {
    config: AuditConfig,
    disk: Arc<dyn Disk>,
    syncer: Syncer,
    /// None between moving a file aside and making the next one.
    active: Option<Active>,
    /// Accepted lines that are not known to be on the disk, the oldest first.
    unsynced: Vec<u8>,
    /// How many bytes of `unsynced`, from its start, stand at the end of the active file. The rest, if any,
    /// has to be written again.
    in_file: usize,
}

impl Journal {
    pub(super) fn new(
        config: AuditConfig,
        disk: Arc<dyn Disk>,
        syncer: Syncer,
        active: Option<Active>,
    ) -> Journal {
        if let Some(active) = &active {
            syncer.attach(Arc::clone(&active.file), active.len);
        }
        Journal { config, disk, syncer, active, unsynced: Vec::new(), in_file: 0 }
    }

    /// Accepts `lines`, of which the first is the record `first_seq`: as far as the configuration asks for
    /// when it returns. No lines: mends what can be mended and makes the file if there is none.
    ///
    /// # Errors
    /// None of `lines` was accepted. Trying again is safe and may succeed.
    pub(super) fn commit(&mut self, lines: &[u8], first_seq: u64) -> Result<(), AuditUnavailable> {
        self.settle()?;
        self.make_room(lines.len())?;
        self.ensure_active(first_seq)?;
        let is_rewriting = !self.carried().is_empty();
        self.write(lines)?;
        if is_rewriting || self.config.sync == AuditSync::Always {
            self.flush().inspect_err(|_| self.reject(lines.len()))?;
        }
        Ok(())
    }

    /// Brings everything accepted to the disk.
    pub(super) fn flush(&mut self) -> Result<(), AuditUnavailable> {
        self.syncer.flush()?;
        let (synced, _) = self.syncer.progress();
        self.forget_synced(synced);
        Ok(())
    }

    /// Whether there are accepted lines not known to be on the disk.
    pub(super) fn has_unsynced(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// Brings the file to a state that can be written to.
    fn settle(&mut self) -> Result<(), AuditUnavailable> {
        let (synced, failed) = self.syncer.progress();
        self.forget_synced(synced);
        if failed.is_some() {
            self.retire(synced)?;
        }
        self.cut_back()?;
        self.leave_touched_file()
    }

    fn forget_synced(&mut self, synced: u64) {
        if let Some(active) = &self.active {
            let in_file = usize::try_from(active.len.saturating_sub(synced)).unwrap_or(usize::MAX);
            let done = self.in_file.saturating_sub(in_file);
            self.unsynced.drain(..done);
            self.in_file -= done;
        }
    }

    /// Gives up a file whose sync failed, keeping in it what was synced before.
    fn retire(&mut self, synced: u64) -> Result<(), AuditUnavailable> {
        let Some(active) = &mut self.active else { return Ok(()) };
        self.disk.cut(&active.file, synced).map_err(AuditUnavailable::at(Step::Cut))?;
        self.disk.sync(&active.file).map_err(AuditUnavailable::at(Step::Sync))?;
        active.len = synced;
        active.is_dirty = false;
        self.in_file = 0;
        self.move_aside()
    }

    fn cut_back(&mut self) -> Result<(), AuditUnavailable> {
        if let Some(active) = self.active.as_mut().filter(|active| active.is_dirty) {
            self.disk.cut(&active.file, active.len).map_err(AuditUnavailable::at(Step::Cut))?;
            active.is_dirty = false;
        }
        Ok(())
    }

    fn leave_touched_file(&mut self) -> Result<(), AuditUnavailable> {
        let Some(active) = &self.active else { return Ok(()) };
        if active.is_at(&self.config.path).map_err(AuditUnavailable::at(Step::Write))? {
            return Ok(());
        }
        tracing::error!(path = %self.config.path.display(), "audit log was moved or changed by somebody else");
        let is_own =
            |found: fs::Metadata, own: fs::Metadata| (found.dev(), found.ino()) == (own.dev(), own.ino());
        let own = active.file.metadata().map_err(AuditUnavailable::at(Step::Write))?;
        let is_in_place = fs::metadata(&self.config.path).is_ok_and(|found| is_own(found, own));
        self.flush()?;
        self.unsynced.clear();
        self.in_file = 0;
        if is_in_place {
            return self.move_aside();
        }
        self.active = None;
        Ok(())
    }

    /// Moves a full file aside, and waits for the disk when too much is waiting for it.
    fn make_room(&mut self, lines_len: usize) -> Result<(), AuditUnavailable> {
        let len = self.active.as_ref().map_or(0, |active| active.len);
        let coming = (self.carried().len() + lines_len) as u64;
        if len > 0 && len.saturating_add(coming) > self.config.segment_bytes_max {
            self.flush()?;
            self.move_aside()?;
        }
        if self.in_file > 0 && self.unsynced.len() + lines_len > UNSYNCED_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Turns the active file, whose lines are synced, into a segment.
    fn move_aside(&mut self) -> Result<(), AuditUnavailable> {
        let Some(active) = &self.active else { return Ok(()) };
        let path = &self.config.path;
        let moved = match active.len {
            0 => fs::remove_file(path),
            _ => self.disk.rename(path, &Segment::new(path, active.first_seq).path),
        };
        moved.map_err(AuditUnavailable::at(Step::Rotate))?;
        self.active = None;
        Ok(())
    }

    fn ensure_active(&mut self, first_seq: u64) -> Result<(), AuditUnavailable> {
        if self.active.is_some() {
            return Ok(());
        }
        let carried = self.carried().iter().filter(|byte| **byte == b'\n').count() as u64;
        let file = self.disk.create(&self.config.path).map_err(AuditUnavailable::at(Step::Rotate))?;
        let active = Active::new(file, first_seq.saturating_sub(carried), 0);
        self.syncer.attach(Arc::clone(&active.file), 0);
        self.active = Some(active);
        self.remove_oldest();
        Ok(())
    }

    /// Accepted lines that a file given up does not hold.
    fn carried(&self) -> &[u8] {
        self.unsynced.get(self.in_file..).unwrap_or_default()
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), AuditUnavailable> {
        let carried = self.unsynced.get(self.in_file..).unwrap_or_default();
        let Some(active) = &mut self.active else { return Err(AuditUnavailable::Closed) };
        let written = if carried.is_empty() {
            self.disk.append(&active.file, lines)
        } else {
            self.disk.append(&active.file, &[carried, lines].concat())
        };
        if let Err(error) = written {
            active.is_dirty = true;
            let _ = self.cut_back(); // when it fails it is tried again before the next write
            return Err(AuditUnavailable::at(Step::Write)(error));
        }
        active.len += (carried.len() + lines.len()) as u64;
        self.syncer.wrote(active.len);
        self.unsynced.extend_from_slice(lines);
        self.in_file = self.unsynced.len();
        Ok(())
    }

    /// Takes back the acceptance of the last `lines_len` bytes, after the sync that they waited for failed.
    fn reject(&mut self, lines_len: usize) {
        self.unsynced.truncate(self.unsynced.len().saturating_sub(lines_len));
        self.in_file = self.in_file.min(self.unsynced.len());
        if let Some(active) = &mut self.active {
            active.len = active.len.saturating_sub(lines_len as u64);
        }
    }

    /// Keeps to the number of segments. A failure costs only space, so it refuses nothing.
    fn remove_oldest(&self) {
        if self.config.segments_max == 0 {
            return;
        }
        let removed = segments(&self.config.path).and_then(|kept| {
            let excess = kept.len().saturating_sub(self.config.segments_max as usize);
            kept.iter().take(excess).try_for_each(|oldest| fs::remove_file(&oldest.path))
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "old segments of the audit log can't be removed");
        }
    }
}
