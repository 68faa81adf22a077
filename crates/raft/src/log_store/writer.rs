//! The thread that writes the log, a group of commands at a time.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};

use super::file::{LogFile, LogWrite, Recovered, RowsToDrop};
use super::tail::{LogMemory, after, weight};
use crate::cluster::identity::Lineage;
use crate::fault::{Fault, FaultLatch};
use crate::stats::StorageStats;
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// What one transaction takes at most; past it, a sync would keep too many waiting.
const GROUP_COMMANDS_MAX: usize = 1_024;
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Rows of purged entries that one transaction deletes, so that an append never waits for a long deletion.
const DROPPED_ROWS_MAX: usize = 1_024;

/// A change of the log and whom to tell when it is durable. A sender that is dropped untold stands for a fault.
pub(super) enum LogCommand {
    Append { entries: Vec<Entry>, flushed: IOFlushed<TypeConfig> },
    Vote { vote: Vote, done: oneshot::Sender<()> },
    Lineage { lineage: Lineage, done: oneshot::Sender<()> },
    Truncate { from: u64, done: oneshot::Sender<()> },
    Purge { up_to: LogId },
    Stop { done: oneshot::Sender<Result<(), Fault>> },
}

/// The running thread; it ends when it is stopped, when a write fails, or when nobody can send to it any more.
pub(crate) struct LogWriter {
    commands: mpsc::Sender<LogCommand>,
    thread: JoinHandle<()>,
}

impl LogWriter {
    pub(super) fn spawn(work: WriteLoop, commands: mpsc::Sender<LogCommand>) -> io::Result<LogWriter> {
        let thread = thread::Builder::new().name("raft-log".to_owned()).spawn(move || work.run())?;
        Ok(LogWriter { commands, thread })
    }

    /// Writes what waits, the committed index too, and closes the file.
    ///
    /// # Errors
    /// The fault that ended the thread, or that closing met.
    pub(crate) async fn stop(self) -> Result<(), Fault> {
        let ended = || Fault::Log("the writing thread has stopped".to_owned());
        let (done, waiting) = oneshot::channel();
        self.commands.send(LogCommand::Stop { done }).await.map_err(|_| ended())?;
        let result = waiting.await.map_err(|_| ended())?;
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if matches!(joined, Ok(Ok(()))) { result } else { Err(ended()) }
    }
}

/// The state of the writing thread.
pub(super) struct WriteLoop {
    file: Arc<LogFile>,
    memory: Arc<LogMemory>,
    commands: mpsc::Receiver<LogCommand>,
    stats: Arc<StorageStats>,
    latch: Arc<FaultLatch>,
    /// Entries below are purged.
    purged_below: u64,
    /// Rows of purged entries are still in the file.
    dropping: bool,
    /// Index of the last entry on disk.
    last_on_disk: Option<u64>,
    committed_on_disk: Option<LogId>,
}

/// Commands that share a transaction, and the one to stop after it.
#[derive(Default)]
struct Group {
    commands: Vec<LogCommand>,
    bytes: usize,
    stop: Option<oneshot::Sender<Result<(), Fault>>>,
}

impl WriteLoop {
    pub(super) fn new(
        file: Arc<LogFile>,
        memory: Arc<LogMemory>,
        commands: mpsc::Receiver<LogCommand>,
        recovered: &Recovered,
        stats: Arc<StorageStats>,
        latch: Arc<FaultLatch>,
    ) -> WriteLoop {
        let purged_below = after(recovered.purged);
        WriteLoop {
            file,
            memory,
            commands,
            stats,
            latch,
            purged_below,
            dropping: recovered.first_row.is_some_and(|first| first < purged_below),
            last_on_disk: recovered.last.map(|last| last.index),
            committed_on_disk: recovered.committed,
        }
    }

    fn run(mut self) {
        let stop = loop {
            let Some(mut group) = self.next_group() else { break None };
            if let Err(fault) = self.commit(&group) {
                return group.fail(&self.latch.raise(fault));
            }
            let stop = group.stop.take();
            self.acknowledge(group);
            if stop.is_some() {
                break stop;
            }
        };
        let closed = self.file.close();
        if let Some(done) = stop {
            let _ = done.send(closed);
        }
    }

    /// Waits for a command, then takes all that wait with it. While purged rows are left, an idle moment is
    /// used to drop some. `None` when no more commands can come.
    fn next_group(&mut self) -> Option<Group> {
        let mut group = Group::default();
        if !self.dropping {
            group.add(self.commands.blocking_recv()?);
        }
        while !group.is_full() {
            let Ok(command) = self.commands.try_recv() else { break };
            group.add(command);
        }
        if self.commands.is_closed() && group.commands.is_empty() && group.stop.is_none() {
            return None;
        }
        Some(group)
    }

    fn commit(&mut self, group: &Group) -> Result<(), Fault> {
        for command in &group.commands {
            self.follow(command);
        }
        let committed = self.unsaved_committed();
        if group.commands.is_empty() && !self.dropping && committed.is_none() {
            return Ok(());
        }
        let writes =
            group.commands.iter().map(LogCommand::as_write).chain([committed.map(LogWrite::Committed)]);
        let drop = RowsToDrop { below: self.purged_below, rows_max: DROPPED_ROWS_MAX };
        let dropped = self.file.commit(writes.flatten(), drop)?;
        self.stats.log_batches.increment();
        self.committed_on_disk = committed.or(self.committed_on_disk);
        self.dropping = dropped == DROPPED_ROWS_MAX;
        Ok(())
    }

    /// Keeps what this thread knows of the file in step with a command that is about to be written.
    fn follow(&mut self, command: &LogCommand) {
        match command {
            LogCommand::Append { entries, .. } => {
                self.last_on_disk = entries.last().map(|last| last.log_id.index).or(self.last_on_disk);
            }
            LogCommand::Truncate { from, .. } => {
                self.last_on_disk = self.last_on_disk.min(from.checked_sub(1));
            }
            LogCommand::Purge { up_to } => {
                self.purged_below = self.purged_below.max(up_to.index.saturating_add(1));
                self.last_on_disk = self.last_on_disk.max(Some(up_to.index));
            }
            LogCommand::Vote { .. } | LogCommand::Lineage { .. } | LogCommand::Stop { .. } => {}
        }
    }

    /// The committed index, if the file doesn't say it yet. Never past the entries of the file: a restart applies
    /// all that is committed, and must find it.
    fn unsaved_committed(&self) -> Option<LogId> {
        let committed = self.memory.committed()?;
        let in_file = self.last_on_disk >= Some(committed.index);
        (in_file && self.committed_on_disk != Some(committed)).then_some(committed)
    }

    fn acknowledge(&self, group: Group) {
        for command in group.commands {
            match command {
                LogCommand::Append { entries, flushed } => {
                    self.stats.entries_appended.add(entries.len() as u64);
                    if let Some(last) = entries.last() {
                        self.memory.mark_flushed(last.log_id.index);
                    }
                    flushed.io_completed(Ok(()));
                }
                // A waiter that went away needs no answer.
                LogCommand::Vote { done, .. } | LogCommand::Lineage { done, .. } => {
                    let _ = done.send(());
                }
                LogCommand::Truncate { from, done } => {
                    self.memory.mark_truncated(from);
                    let _ = done.send(());
                }
                LogCommand::Purge { .. } | LogCommand::Stop { .. } => {}
            }
        }
    }
}

impl Group {
    fn add(&mut self, command: LogCommand) {
        match command {
            LogCommand::Stop { done } => self.stop = Some(done),
            command => {
                self.bytes = self.bytes.saturating_add(command.bytes());
                self.commands.push(command);
            }
        }
    }

    /// Tells everybody who waits that nothing of this group is durable.
    fn fail(self, fault: &Fault) {
        for command in self.commands {
            if let LogCommand::Append { flushed, .. } = command {
                flushed.io_completed(Err(fault.clone().into_io()));
            }
        }
    }

    fn is_full(&self) -> bool {
        self.commands.len() >= GROUP_COMMANDS_MAX || self.bytes >= GROUP_BYTES_MAX || self.stop.is_some()
    }
}

impl LogCommand {
    fn as_write(&self) -> Option<LogWrite<'_>> {
        match self {
            LogCommand::Append { entries, .. } => Some(LogWrite::Append(entries)),
            LogCommand::Vote { vote, .. } => Some(LogWrite::Vote(*vote)),
            LogCommand::Lineage { lineage, .. } => Some(LogWrite::Lineage(*lineage)),
            LogCommand::Truncate { from, .. } => Some(LogWrite::TruncateFrom(*from)),
            LogCommand::Purge { up_to } => Some(LogWrite::Purged(*up_to)),
            LogCommand::Stop { .. } => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            LogCommand::Append { entries, .. } => entries.iter().map(weight).sum(),
            _ => 0,
        }
    }
}
