//! The Raft log: entries, vote, committed and purged index, in one redb file.
//!
//! A dedicated thread writes. It takes everything that waits for it into one transaction with one sync and only
//! then reports the entries as durable, so that proposals which arrive while a sync is under way share the next.
//! What was appended is readable at once, from memory.

mod file;
mod lineage;
mod new_line;
mod reader;
mod tail;
mod writer;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod suite_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::await_holding_lock)]
mod tests;

use std::io;
use std::sync::Arc;

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use tokio::sync::{mpsc, oneshot};

pub(crate) use file::{LogFile, Recovered};
pub(crate) use lineage::LineageStore;
pub(crate) use reader::LogReader;
use tail::LogMemory;
pub(crate) use tail::weight as entry_weight;
use writer::LogCommand;
pub(crate) use writer::LogWriter;

use crate::cluster::identity::Lineage;
use crate::fault::{Fault, FaultLatch};
use crate::stats::StorageStats;
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// Commands that may wait for the writing thread; past it, consensus waits.
const WAITING_COMMANDS_MAX: usize = 1_024;

/// Knows how much of the log the state has made durable; what it hasn't must stay in the log.
pub(crate) trait PurgeGate: Send + Sync + 'static {
    /// Makes the state durable up to `index` if it isn't, and says whether it now is.
    fn admits(&self, index: u64) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// Index of the last entry whose effect the state has.
    fn applied(&self) -> Option<u64>;
}

/// The log as consensus writes it. One exists for each open log; readers are cloned from it.
pub(crate) struct LogStore<G> {
    reader: LogReader,
    commands: mpsc::Sender<LogCommand>,
    gate: G,
    latch: Arc<FaultLatch>,
}

impl<G: PurgeGate> LogStore<G> {
    /// Starts the writing thread on an opened file.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(
        file: LogFile,
        recovered: Recovered,
        gate: G,
        stats: Arc<StorageStats>,
        latch: Arc<FaultLatch>,
    ) -> io::Result<(LogStore<G>, LogWriter)> {
        let file = Arc::new(file);
        let memory = Arc::new(LogMemory::new(&recovered));
        let (commands, waiting) = mpsc::channel(WAITING_COMMANDS_MAX);
        let writer = LogWriter::spawn(
            writer::WriteLoop::new(
                Arc::clone(&file),
                Arc::clone(&memory),
                waiting,
                &recovered,
                stats,
                Arc::clone(&latch),
            ),
            commands.clone(),
        )?;
        let reader = LogReader::new(file, memory, Arc::clone(&latch));
        Ok((LogStore { reader, commands, gate, latch }, writer))
    }

    /// The line of history of this log, and the way to set it.
    pub(crate) fn lineage(&self, recovered: Option<Lineage>) -> LineageStore {
        LineageStore::new(recovered, self.commands.clone())
    }

    async fn send(&self, command: LogCommand) -> io::Result<()> {
        self.commands.send(command).await.map_err(|_| stopped())
    }

    /// Sends a command and waits until it is durable.
    async fn send_durable(&self, command: impl FnOnce(oneshot::Sender<()>) -> LogCommand) -> io::Result<()> {
        let (done, waiting) = oneshot::channel();
        self.send(command(done)).await?;
        waiting.await.map_err(|_| stopped())
    }
}

fn stopped() -> io::Error {
    Fault::Log("the writing thread has stopped".to_owned()).into_io()
}

impl<G: PurgeGate> RaftLogStorage<TypeConfig> for LogStore<G> {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        Ok(self.reader.memory().log_state())
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = *vote;
        self.send_durable(|done| LogCommand::Vote { vote, done }).await?;
        self.reader.memory().set_vote(vote);
        Ok(())
    }

    /// Costs no sync: it is written with whatever is written next. Until then a restart finds an older one, and
    /// the entries past it are committed anew by the next leader before the node calls itself ready.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.reader.memory().set_committed(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.reader.memory().committed())
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.reader.memory().append(&entries)?;
        self.send(LogCommand::Append { entries, flushed }).await
    }

    /// Never below what is applied: a leader that asks for that has another history, and this node would go on with
    /// a state that differs from everybody's.
    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = tail::after(last);
        if self.gate.applied() >= Some(from) {
            let fault = Fault::Log(format!("the cluster has another entry {from} than the one applied here"));
            return Err(self.latch.raise(fault).into_io());
        }
        self.reader.memory().truncate(last);
        self.send_durable(|done| LogCommand::Truncate { from, done }).await
    }

    /// Returns at once; the rows go in steps, between batches, so that no append waits for a long deletion.
    async fn purge(&mut self, up_to: LogId) -> io::Result<()> {
        if !self.gate.admits(up_to.index).await.map_err(Fault::into_io)? {
            tracing::warn!(index = up_to.index, "log kept: the applied state is not durable that far");
            return Ok(());
        }
        self.reader.memory().purge(up_to);
        self.send(LogCommand::Purge { up_to }).await
    }
}
