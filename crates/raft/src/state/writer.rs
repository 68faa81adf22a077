//! The thread that changes the state.
//!
//! A thread of its own rather than tokio's blocking pool: the work comes one piece after the other and always to
//! the same file, a checkpoint may then follow a batch whose answers are already out, and no pool that is busy
//! with something else can hold it up. Measured on two cores, the way there and back takes 14 µs, through the
//! blocking pool 22 µs; `block_in_place` takes 10 µs, but stalls a worker of the runtime for every checkpoint and
//! works on a multi-threaded runtime only.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use super::file::StateFile;
use super::view::StateView;
use crate::fault::{Fault, FaultLatch};
use crate::snapshot::VerifiedSnapshot;
use crate::types::{Entry, Response};

/// Commands that may wait for the thread: the one batch of consensus, and a few checkpoints.
const WAITING_COMMANDS_MAX: usize = 64;

/// When applied entries are made durable though nobody asks for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckpointPolicy {
    /// At this many bytes of written pages at the latest: no entry is applied while a checkpoint writes them.
    pub(crate) page_bytes_max: u64,
}

/// A checkpoint is due when the pages that wait for it are this part of the file: they are what the file grows
/// by, beyond its rows.
const UNSYNCED_FILE_PART: u64 = 4;
/// ... but not for less than this, or a young vault would do little else.
const UNSYNCED_BYTES_MIN: u64 = 4 * 1024 * 1024;

impl CheckpointPolicy {
    /// Bytes of written pages at which a checkpoint of a file of this length is due.
    pub(crate) fn unsynced_bytes_max(self, file_bytes: u64) -> u64 {
        (file_bytes / UNSYNCED_FILE_PART).max(UNSYNCED_BYTES_MIN).min(self.page_bytes_max)
    }
}

enum StateCommand {
    Apply {
        entries: Vec<Entry>,
        done: oneshot::Sender<Vec<Response>>,
    },
    /// Makes durable what isn't.
    Checkpoint {
        done: oneshot::Sender<()>,
    },
    Install {
        snapshot: Box<VerifiedSnapshot>,
        done: oneshot::Sender<()>,
    },
    Stop {
        done: oneshot::Sender<Result<(), Fault>>,
    },
}

/// A handle on the state: reads at once, changes through the thread.
#[derive(Clone)]
pub(crate) struct StateHandle {
    commands: mpsc::Sender<StateCommand>,
    view: Arc<ArcSwap<StateView>>,
    durable: watch::Receiver<Option<u64>>,
    applied: watch::Receiver<Option<u64>>,
}

impl StateHandle {
    /// The state as it is now.
    pub(crate) fn view(&self) -> Arc<StateView> {
        self.view.load_full()
    }

    /// Index of the last entry whose effect a crash can't undo.
    pub(crate) fn durable_index(&self) -> Option<u64> {
        *self.durable.borrow()
    }

    /// Follows the index of the last entry whose effect views show.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<u64>> {
        self.applied.clone()
    }

    pub(crate) async fn apply(&self, entries: Vec<Entry>) -> Result<Vec<Response>, Fault> {
        self.ask(|done| StateCommand::Apply { entries, done }).await
    }

    /// Makes everything applied by now durable.
    pub(crate) async fn checkpoint(&self) -> Result<(), Fault> {
        self.ask(|done| StateCommand::Checkpoint { done }).await
    }

    pub(crate) async fn install(&self, snapshot: VerifiedSnapshot) -> Result<(), Fault> {
        self.ask(|done| StateCommand::Install { snapshot: Box::new(snapshot), done }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> StateCommand) -> Result<T, Fault> {
        let (done, waiting) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| stopped())?;
        waiting.await.map_err(|_| stopped())
    }
}

impl crate::log_store::PurgeGate for StateHandle {
    async fn admits(&self, index: u64) -> Result<bool, Fault> {
        if self.durable_index() < Some(index) {
            self.checkpoint().await?;
        }
        Ok(self.durable_index() >= Some(index))
    }

    fn applied(&self) -> Option<u64> {
        *self.applied.borrow()
    }
}

fn stopped() -> Fault {
    Fault::State("the writing thread has stopped".to_owned())
}

/// The running thread; it ends when it is stopped, at a fault, or when nobody can send to it any more.
pub(crate) struct StateWriter {
    handle: StateHandle,
    thread: JoinHandle<()>,
}

impl StateWriter {
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(
        file: StateFile,
        policy: CheckpointPolicy,
        latch: Arc<FaultLatch>,
    ) -> io::Result<(StateHandle, StateWriter)> {
        let (commands, waiting) = mpsc::channel(WAITING_COMMANDS_MAX);
        let index = file.applied().map(|id| id.index);
        let ((durable, durable_seen), (applied, applied_seen)) =
            (watch::channel(index), watch::channel(index));
        let handle =
            StateHandle { commands, view: file.view(), durable: durable_seen, applied: applied_seen };
        let work = WriteLoop { file, commands: waiting, durable, applied, policy, latch };
        let thread = thread::Builder::new().name("state".to_owned()).spawn(move || work.run())?;
        Ok((handle.clone(), StateWriter { handle, thread }))
    }

    /// Makes everything applied durable and closes the file.
    ///
    /// # Errors
    /// The fault that ended the thread, or that stopping met.
    pub(crate) async fn stop(self) -> Result<(), Fault> {
        let result = self.handle.ask(|done| StateCommand::Stop { done }).await?;
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if matches!(joined, Ok(Ok(()))) { result } else { Err(stopped()) }
    }
}

struct WriteLoop {
    file: StateFile,
    commands: mpsc::Receiver<StateCommand>,
    durable: watch::Sender<Option<u64>>,
    applied: watch::Sender<Option<u64>>,
    policy: CheckpointPolicy,
    latch: Arc<FaultLatch>,
}

impl WriteLoop {
    fn run(mut self) {
        while let Some(command) = self.commands.blocking_recv() {
            let result = match command {
                StateCommand::Stop { done } => return self.stop(done),
                command => self.perform(command).and_then(|()| self.checkpoint_when_due()),
            };
            if let Err(fault) = result {
                // Whoever waits learns it from the dropped sender.
                let _latched = self.latch.raise(fault);
                return;
            }
        }
    }

    /// Does what is asked and answers. A waiter that went away needs no answer.
    fn perform(&mut self, command: StateCommand) -> Result<(), Fault> {
        match command {
            StateCommand::Apply { entries, done } => {
                let responses = self.file.apply(&entries)?;
                self.applied.send_replace(self.file.applied().map(|id| id.index));
                let _ = done.send(responses);
            }
            StateCommand::Checkpoint { done } => {
                self.checkpoint_if_dirty()?;
                let _ = done.send(());
            }
            StateCommand::Install { snapshot, done } => {
                let installed = self.file.install(*snapshot)?;
                self.durable.send_replace(installed.map(|id| id.index));
                self.applied.send_replace(installed.map(|id| id.index));
                let _ = done.send(());
            }
            StateCommand::Stop { .. } => {}
        }
        Ok(())
    }

    fn checkpoint_when_due(&mut self) -> Result<(), Fault> {
        if self.file.unsynced().page_bytes >= self.policy.unsynced_bytes_max(self.file.file_bytes()) {
            self.checkpoint_if_dirty()?;
        }
        Ok(())
    }

    fn checkpoint_if_dirty(&mut self) -> Result<(), Fault> {
        if self.file.unsynced().entries > 0 {
            let durable = self.file.checkpoint()?;
            self.durable.send_replace(durable.map(|id| id.index));
        }
        Ok(())
    }

    fn stop(mut self, done: oneshot::Sender<Result<(), Fault>>) {
        let result = self.checkpoint_if_dirty().and_then(|()| self.file.close());
        let _ = done.send(result);
    }
}
