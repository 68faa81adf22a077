//! The file of the state and the transactions that change it. Everything here blocks; the writing thread owns it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hyperion_vault_core::state::{self, Proposal};
use redb::{Database, Durability, ReadableDatabase, WriteTransaction};

use super::rows::{ROWS_TABLE, TransactionRows};
use super::view::StateView;
use crate::disk::header::{self, Identity, NODE_TABLE};
use crate::disk::{DatabaseFile, Disk, close_database, open_database};
use crate::encoding::Stored;
use crate::error::StartError;
use crate::fault::Fault;
use crate::snapshot::VerifiedSnapshot;
use crate::stats::StorageStats;
use crate::types::{Decided, EncodedProposal, Entry, EntryPayload, LogId, Response, StoredMembership};

const APPLIED_KEY: &str = "applied";
const MEMBERSHIP_KEY: &str = "membership";

/// The file before it is known whose it is.
pub(crate) struct UnopenedState {
    database: Database,
    stats: Arc<StorageStats>,
}

/// The open state.
pub(crate) struct StateFile {
    database: Database,
    view: Arc<ArcSwap<StateView>>,
    stats: Arc<StorageStats>,
    unsynced: Unsynced,
}

/// What a crash now would have to replay.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unsynced {
    pub(super) entries: u64,
    /// Bytes of the pages that were written instead of others, as if each row had a page of its own. The pages
    /// they replaced can't be used again before a checkpoint.
    pub(super) page_bytes: u64,
}

impl StateFile {
    /// Opens the file; without an identity, it holds nothing yet.
    pub(crate) fn open(
        disk: &dyn Disk,
        cache_bytes: usize,
        stats: &Arc<StorageStats>,
    ) -> Result<(UnopenedState, Option<Identity>), StartError> {
        let database = open_database(disk, DatabaseFile::State, cache_bytes, stats)?;
        let identity = header::read(&database, DatabaseFile::State)?;
        Ok((UnopenedState { database, stats: Arc::clone(stats) }, identity))
    }

    /// The view that readers share; it is replaced after each batch.
    pub(crate) fn view(&self) -> Arc<ArcSwap<StateView>> {
        Arc::clone(&self.view)
    }

    pub(super) fn unsynced(&self) -> Unsynced {
        self.unsynced
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.stats.state_file_bytes.get()
    }

    pub(super) fn applied(&self) -> Option<LogId> {
        self.view.load().applied()
    }

    /// Applies entries as one transaction and publishes the state after them. Not durable before a checkpoint.
    pub(super) fn apply(&mut self, entries: &[Entry]) -> Result<Vec<Response>, Fault> {
        let mut applied = self.applied();
        let mut membership = self.view.load().membership().clone();
        let mut transaction = self.database.begin_write().map_err(Fault::state)?;
        transaction.set_durability(Durability::None).map_err(Fault::state)?;
        let mut rows = open_rows(&transaction)?;
        let mut responses = Vec::with_capacity(entries.len());
        for entry in entries {
            if applied.is_some_and(|applied| applied.index >= entry.log_id.index) {
                return Err(unappliable(entry, "it was applied before"));
            }
            responses.push(apply_entry(entry, &mut rows)?);
            if let EntryPayload::Membership(members) = &entry.payload {
                membership = StoredMembership::new(Some(entry.log_id), members.clone());
            }
            applied = Some(entry.log_id);
        }
        let page_bytes = rows.page_bytes_written;
        drop(rows);
        write_progress(&transaction, applied, &membership)?;
        transaction.commit().map_err(Fault::state)?;
        self.note_applied(entries.len() as u64, page_bytes);
        self.publish(applied, membership)?;
        Ok(responses)
    }

    /// Makes everything applied so far durable; returns how far that is.
    pub(super) fn checkpoint(&mut self) -> Result<Option<LogId>, Fault> {
        let mut transaction = self.database.begin_write().map_err(Fault::state)?;
        transaction.set_durability(Durability::Immediate).map_err(Fault::state)?;
        // So that opening after a crash doesn't walk the whole file.
        transaction.set_quick_repair(true);
        transaction.commit().map_err(Fault::state)?;
        self.unsynced = Unsynced::default();
        self.stats.checkpoints.increment();
        Ok(self.applied())
    }

    /// Replaces the whole state by that of a snapshot, durably and in one transaction.
    pub(super) fn install(&mut self, snapshot: VerifiedSnapshot) -> Result<Option<LogId>, Fault> {
        let meta = snapshot.meta().clone();
        let mut transaction = self.database.begin_write().map_err(Fault::state)?;
        transaction.set_durability(Durability::Immediate).map_err(Fault::state)?;
        transaction.set_quick_repair(true);
        transaction.delete_table(ROWS_TABLE).map_err(Fault::state)?;
        let mut table = transaction.open_table(ROWS_TABLE).map_err(Fault::state)?;
        snapshot.for_each_row(|key, value| {
            table.insert(key, value).map_err(Fault::state)?;
            Ok(())
        })?;
        drop(table);
        write_progress(&transaction, meta.last_log_id, &meta.last_membership)?;
        transaction.commit().map_err(Fault::state)?;
        self.unsynced = Unsynced::default();
        self.publish(meta.last_log_id, meta.last_membership)?;
        Ok(meta.last_log_id)
    }

    /// Closes the file and lets go of its lock; views that are still held can't read any more.
    pub(crate) fn close(self) -> Result<(), Fault> {
        let closed = self.view.load().closed();
        self.view.store(Arc::new(closed));
        close_database(self.database, self.stats.state_file_bytes.get()).map_err(Fault::state)
    }

    fn note_applied(&mut self, entries: u64, page_bytes: u64) {
        self.unsynced.entries = self.unsynced.entries.saturating_add(entries);
        self.unsynced.page_bytes = self.unsynced.page_bytes.saturating_add(page_bytes);
        self.stats.batches_applied.increment();
        self.stats.entries_applied.add(entries);
    }

    fn publish(&self, applied: Option<LogId>, membership: StoredMembership) -> Result<(), Fault> {
        self.view.store(Arc::new(StateView::open(&self.database, applied, membership)?));
        self.stats.views_published.increment();
        Ok(())
    }
}

impl UnopenedState {
    /// Writes header and tables of a new state.
    pub(crate) fn initialise(&self, identity: &Identity) -> Result<(), Fault> {
        let transaction = self.database.begin_write().map_err(Fault::state)?;
        header::write(&transaction, DatabaseFile::State, identity)?;
        transaction.open_table(ROWS_TABLE).map_err(Fault::state)?;
        transaction.commit().map_err(Fault::state)
    }

    /// Reads how far the log is applied and opens the first view.
    pub(crate) fn recover(self) -> Result<StateFile, Fault> {
        let (applied, membership) = read_progress(&self.database)?;
        let view = StateView::open(&self.database, applied, membership)?;
        let view = Arc::new(ArcSwap::from_pointee(view));
        Ok(StateFile { database: self.database, view, stats: self.stats, unsynced: Unsynced::default() })
    }
}

fn open_rows(transaction: &WriteTransaction) -> Result<TransactionRows<'_>, Fault> {
    let table = transaction.open_table(ROWS_TABLE).map_err(Fault::state)?;
    Ok(TransactionRows { table, page_bytes_written: 0 })
}

fn apply_entry(entry: &Entry, rows: &mut TransactionRows<'_>) -> Result<Response, Fault> {
    let decided = match &entry.payload {
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
        EntryPayload::Normal(EncodedProposal(bytes)) => {
            let proposal = Proposal::decode(bytes).map_err(|error| unappliable(entry, error))?;
            let outcome = state::apply(&proposal, rows).map_err(|error| unappliable(entry, error))?;
            Some(Decided { origin: proposal.origin, outcome })
        }
    };
    Ok(Response { log_index: entry.log_id.index, decided })
}

fn unappliable(entry: &Entry, reason: impl ToString) -> Fault {
    Fault::Apply { index: entry.log_id.index, reason: reason.to_string() }
}

fn write_progress(
    transaction: &WriteTransaction,
    applied: Option<LogId>,
    membership: &StoredMembership,
) -> Result<(), Fault> {
    let mut node = transaction.open_table(NODE_TABLE).map_err(Fault::state)?;
    match applied {
        Some(applied) => drop(node.insert(APPLIED_KEY, applied.store(0).as_slice()).map_err(Fault::state)?),
        None => drop(node.remove(APPLIED_KEY).map_err(Fault::state)?),
    }
    node.insert(MEMBERSHIP_KEY, membership.store(0).as_slice()).map_err(Fault::state)?;
    Ok(())
}

fn read_progress(database: &Database) -> Result<(Option<LogId>, StoredMembership), Fault> {
    let transaction = database.begin_read().map_err(Fault::state)?;
    let node = transaction.open_table(NODE_TABLE).map_err(Fault::state)?;
    let applied = node.get(APPLIED_KEY).map_err(Fault::state)?;
    let applied = applied.map(|bytes| LogId::load(bytes.value(), 0)).transpose();
    let membership = node.get(MEMBERSHIP_KEY).map_err(Fault::state)?;
    let membership = membership.map(|bytes| StoredMembership::load(bytes.value(), 0)).transpose();
    let damaged = |error: crate::encoding::Damaged| Fault::State(error.to_string());
    Ok((applied.map_err(damaged)?, membership.map_err(damaged)?.unwrap_or_default()))
}
