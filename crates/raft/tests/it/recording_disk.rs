//! A disk in memory that records every write and sync of both databases, and can say what a crash at any moment
//! would have left of them.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyperion_vault_raft::{DatabaseFile, Disk, Node, NodeConfig};
use redb::StorageBackend;

/// What a power cut writes of a sector is all or nothing.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone)]
pub(crate) enum Event {
    Write {
        file: DatabaseFile,
        offset: usize,
        data: Vec<u8>,
    },
    SetLen {
        file: DatabaseFile,
        length: usize,
    },
    /// A sync was begun: what was written before is on the disk once it has ended.
    Sync {
        file: DatabaseFile,
    },
    /// A proposal was acknowledged.
    Acknowledged {
        log_index: u64,
    },
}

/// The bytes of both databases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Image {
    log: Vec<u8>,
    state: Vec<u8>,
}

#[derive(Debug, Default)]
struct Recording {
    now: Image,
    base: Image,
    events: Option<Vec<Event>>,
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone)]
pub(crate) struct RecordingDisk {
    recording: Arc<Mutex<Recording>>,
    failing: Arc<AtomicBool>,
    free_bytes: Arc<AtomicU64>,
    directory: Arc<tempfile::TempDir>,
}

impl RecordingDisk {
    pub(crate) fn new() -> RecordingDisk {
        RecordingDisk::holding(Image::default())
    }

    pub(crate) fn holding(image: Image) -> RecordingDisk {
        RecordingDisk {
            recording: Arc::new(Mutex::new(Recording { now: image, ..Recording::default() })),
            failing: Arc::default(),
            free_bytes: Arc::new(AtomicU64::new(u64::MAX)),
            directory: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    pub(crate) async fn start(&self, config: NodeConfig) -> Node {
        self.start_counting(config, Arc::default()).await
    }

    pub(crate) async fn start_counting(&self, config: NodeConfig, faults: Arc<AtomicU64>) -> Node {
        let on_fault = Arc::new(move |_: &_| {
            faults.fetch_add(1, Ordering::SeqCst);
        });
        let clock = crate::fixture::clock();
        let node = Node::start(config, Arc::new(self.clone()), clock, on_fault).await.unwrap();
        node.wait_ready(Duration::from_secs(5)).await.unwrap();
        node
    }

    pub(crate) fn fail_syncs(&self) {
        self.failing.store(true, Ordering::SeqCst);
    }

    pub(crate) fn set_free_bytes(&self, bytes: u64) {
        self.free_bytes.store(bytes, Ordering::SeqCst);
    }

    /// From here on everything is recorded.
    pub(crate) fn record(&self) {
        let mut recording = self.recording.lock().unwrap();
        recording.base = recording.now.clone();
        recording.events = Some(Vec::new());
    }

    pub(crate) fn acknowledge(&self, log_index: u64) {
        self.recording.lock().unwrap().note(Event::Acknowledged { log_index });
    }

    /// What the disk held when recording began, and what happened since.
    pub(crate) fn recorded(&self) -> (Image, Vec<Event>) {
        let mut recording = self.recording.lock().unwrap();
        (recording.base.clone(), recording.events.take().unwrap())
    }
}

impl Recording {
    fn note(&mut self, event: Event) {
        if let Some(events) = &mut self.events {
            events.push(event);
        }
    }
}

impl Disk for RecordingDisk {
    fn open(&self, file: DatabaseFile) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(RecordedFile { disk: self.clone(), file }))
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn snapshots(&self) -> &Path {
        self.directory.path()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.free_bytes.load(Ordering::SeqCst))
    }
}

#[derive(Debug)]
struct RecordedFile {
    disk: RecordingDisk,
    file: DatabaseFile,
}

impl RecordedFile {
    fn perform(&self, event: Event) {
        let mut recording = self.disk.recording.lock().unwrap();
        recording.now.perform(&event);
        recording.note(event);
    }
}

impl StorageBackend for RecordedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.recording.lock().unwrap().now.file(self.file).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut recording = self.disk.recording.lock().unwrap();
        let bytes = recording.now.file(self.file);
        let start = usize::try_from(offset).unwrap();
        let range = bytes.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(range);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.perform(Event::SetLen { file: self.file, length: usize::try_from(length).unwrap() });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.disk.failing.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.perform(Event::Sync { file: self.file });
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        self.perform(Event::Write { file: self.file, offset, data: data.to_vec() });
        Ok(())
    }
}

impl Image {
    fn file(&mut self, file: DatabaseFile) -> &mut Vec<u8> {
        match file {
            DatabaseFile::Log => &mut self.log,
            DatabaseFile::State => &mut self.state,
        }
    }

    pub(crate) fn perform(&mut self, event: &Event) {
        match event {
            Event::Write { file, offset, data } => self.write(*file, *offset, data),
            Event::SetLen { file, length } => self.file(*file).resize(*length, 0),
            Event::Sync { .. } | Event::Acknowledged { .. } => {}
        }
    }

    fn write(&mut self, file: DatabaseFile, offset: usize, data: &[u8]) {
        let bytes = self.file(file);
        if bytes.len() < offset + data.len() {
            bytes.resize(offset + data.len(), 0);
        }
        bytes[offset..offset + data.len()].copy_from_slice(data);
    }

    /// What a power cut after `events` may leave: all that was synced, and of the rest, for each write, all, none
    /// or the first or last sectors of it, as `chance` has it.
    pub(crate) fn after_power_cut(
        mut self,
        events: &[Event],
        chance: &mut impl FnMut(usize) -> usize,
    ) -> Image {
        let synced = |of: DatabaseFile| {
            events.iter().rposition(|event| matches!(event, Event::Sync { file } if *file == of))
        };
        let (log, state) = (synced(DatabaseFile::Log), synced(DatabaseFile::State));
        for (position, event) in events.iter().enumerate() {
            let durable_to = match event {
                Event::Write { file, .. } | Event::SetLen { file, .. } => match file {
                    DatabaseFile::Log => log,
                    DatabaseFile::State => state,
                },
                Event::Sync { .. } | Event::Acknowledged { .. } => None,
            };
            if Some(position) <= durable_to {
                self.perform(event);
            } else {
                self.perform_perhaps(event, chance);
            }
        }
        self
    }

    fn perform_perhaps(&mut self, event: &Event, chance: &mut impl FnMut(usize) -> usize) {
        match (chance(4), event) {
            (0, _) => {}
            (1, Event::Write { file, offset, data }) => {
                let kept = chance(data.len() / SECTOR_BYTES + 1) * SECTOR_BYTES;
                self.write(*file, *offset, &data[..kept.min(data.len())]);
            }
            (2, Event::Write { file, offset, data }) => {
                let lost = (chance(data.len() / SECTOR_BYTES + 1) * SECTOR_BYTES).min(data.len());
                self.write(*file, offset + lost, &data[lost..]);
            }
            (_, event) => self.perform(event),
        }
    }
}
