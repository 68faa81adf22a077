//! The file of the log: two tables, and transactions over them. Everything here blocks.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};

use crate::cluster::identity::{Lineage, Starts};
use crate::disk::header::{self, Identity, NODE_TABLE};
use crate::disk::{DatabaseFile, Disk, close_database, open_database};
use crate::encoding::{Damaged, Stored};
use crate::error::StartError;
use crate::fault::Fault;
use crate::stats::StorageStats;
use crate::types::{Entry, LogId, Vote};

/// Index of an entry to its stored record.
const ENTRIES_TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
const VOTE_KEY: &str = "vote";
const COMMITTED_KEY: &str = "committed";
const PURGED_KEY: &str = "purged";
const STARTS_KEY: &str = "starts";
const LINEAGE_KEY: &str = "lineage";

/// Pages of the log that redb keeps in memory. The log is read from its end, which the tail holds, so that
/// this serves little more than the inner pages of the tree.
const LOG_CACHE_BYTES: usize = 8 * 1024 * 1024;

/// One change of the log.
pub(crate) enum LogWrite<'a> {
    Append(&'a [Entry]),
    Vote(Vote),
    TruncateFrom(u64),
    Purged(LogId),
    Committed(LogId),
    Lineage(Lineage),
}

/// Which rows of purged entries to delete: those below `below`, at most `rows_max` of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowsToDrop {
    pub(crate) below: u64,
    pub(crate) rows_max: usize,
}

/// What a log says of itself when it is opened.
#[derive(Debug, Default, Clone)]
pub(crate) struct Recovered {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
    pub(crate) lineage: Option<Lineage>,
    /// Index of the first row; below or at `purged` when a purge was cut short.
    pub(crate) first_row: Option<u64>,
}

/// The open file. Closing it makes all later calls fail, whoever still holds it.
pub(crate) struct LogFile {
    database: RwLock<Option<Database>>,
    stats: Arc<StorageStats>,
}

impl LogFile {
    /// Opens the file; without an identity, it holds nothing yet.
    pub(crate) fn open(
        disk: &dyn Disk,
        stats: &Arc<StorageStats>,
    ) -> Result<(LogFile, Option<Identity>), StartError> {
        let database = open_database(disk, DatabaseFile::Log, LOG_CACHE_BYTES, stats)?;
        let identity = header::read(&database, DatabaseFile::Log)?;
        Ok((LogFile { database: RwLock::new(Some(database)), stats: Arc::clone(stats) }, identity))
    }

    /// Writes header and tables of a new log.
    pub(crate) fn initialise(&self, identity: &Identity) -> Result<(), Fault> {
        self.with(|database| {
            let transaction = database.begin_write().map_err(Fault::log)?;
            header::write(&transaction, DatabaseFile::Log, identity)?;
            transaction.open_table(ENTRIES_TABLE).map_err(Fault::log)?;
            transaction.commit().map_err(Fault::log)
        })
    }

    /// Counts this start, durably, and says how many there were with it.
    pub(crate) fn count_start(&self) -> Result<u64, Fault> {
        self.with(|database| {
            let transaction = database.begin_write().map_err(Fault::log)?;
            let mut node = transaction.open_table(NODE_TABLE).map_err(Fault::log)?;
            let before: Option<Starts> = read_fact(&node, STARTS_KEY)?;
            let count = before.map_or(0, |starts| starts.count).saturating_add(1);
            let starts = Starts { count }.store(0);
            node.insert(STARTS_KEY, starts.as_slice()).map_err(Fault::log)?;
            drop(node);
            transaction.commit().map_err(Fault::log)?;
            Ok(count)
        })
    }

    pub(crate) fn recover(&self) -> Result<Recovered, Fault> {
        self.with(|database| {
            let transaction = database.begin_read().map_err(Fault::log)?;
            let node = transaction.open_table(NODE_TABLE).map_err(Fault::log)?;
            let entries = transaction.open_table(ENTRIES_TABLE).map_err(Fault::log)?;
            let last = match entries.last().map_err(Fault::log)? {
                Some((index, bytes)) => Some(load_entry(index.value(), bytes.value())?.log_id),
                None => None,
            };
            let first_row = entries.first().map_err(Fault::log)?.map(|(index, _)| index.value());
            let purged: Option<LogId> = read_fact(&node, PURGED_KEY)?;
            Ok(Recovered {
                vote: read_fact(&node, VOTE_KEY)?,
                committed: read_fact(&node, COMMITTED_KEY)?,
                lineage: read_fact(&node, LINEAGE_KEY)?,
                last: last.max(purged),
                purged,
                first_row,
            })
        })
    }

    /// Makes all `writes` durable, in their order, with one sync; none of them if it fails. Says how many rows
    /// it dropped.
    pub(crate) fn commit<'a>(
        &self,
        writes: impl Iterator<Item = LogWrite<'a>>,
        drop: RowsToDrop,
    ) -> Result<usize, Fault> {
        self.with(|database| {
            let mut transaction = database.begin_write().map_err(Fault::log)?;
            transaction.set_durability(Durability::Immediate).map_err(Fault::log)?;
            let dropped = {
                let mut node = transaction.open_table(NODE_TABLE).map_err(Fault::log)?;
                let mut entries = transaction.open_table(ENTRIES_TABLE).map_err(Fault::log)?;
                for write in writes {
                    write.perform(&mut node, &mut entries).map_err(Fault::log)?;
                }
                drop_rows(&mut entries, drop).map_err(Fault::log)?
            };
            transaction.commit().map_err(Fault::log)?;
            Ok(dropped)
        })
    }

    /// The entries of `range`, without a gap; no more than `bytes_max` of records, but at least one.
    pub(crate) fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, Fault> {
        self.with(|database| {
            let transaction = database.begin_read().map_err(Fault::log)?;
            let table = transaction.open_table(ENTRIES_TABLE).map_err(Fault::log)?;
            let mut entries = Vec::new();
            let mut bytes_read = 0_usize;
            for (expected, row) in range.clone().zip(table.range(range).map_err(Fault::log)?) {
                let (index, bytes) = row.map_err(Fault::log)?;
                if index.value() != expected {
                    return Err(Fault::Log(format!("entry {expected} is missing")));
                }
                bytes_read = bytes_read.saturating_add(bytes.value().len());
                if bytes_read > bytes_max && !entries.is_empty() {
                    break;
                }
                entries.push(load_entry(expected, bytes.value())?);
            }
            Ok(entries)
        })
    }

    /// Closes the file and lets go of its lock.
    pub(crate) fn close(&self) -> Result<(), Fault> {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        let file_bytes = self.stats.log_file_bytes.get();
        database.map_or(Ok(()), |database| close_database(database, file_bytes).map_err(Fault::log))
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, Fault> {
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => work(database),
            None => Err(Fault::Log("closed".to_owned())),
        }
    }
}

impl LogWrite<'_> {
    fn perform(
        self,
        node: &mut Table<'_, &str, &[u8]>,
        entries: &mut Table<'_, u64, &[u8]>,
    ) -> Result<(), redb::StorageError> {
        match self {
            LogWrite::Append(appended) => {
                for entry in appended {
                    let index = entry.log_id.index;
                    entries.insert(index, entry.store(index).as_slice())?;
                }
            }
            LogWrite::Vote(vote) => drop(node.insert(VOTE_KEY, vote.store(0).as_slice())?),
            LogWrite::Purged(id) => drop(node.insert(PURGED_KEY, id.store(0).as_slice())?),
            LogWrite::Committed(id) => drop(node.insert(COMMITTED_KEY, id.store(0).as_slice())?),
            LogWrite::Lineage(lineage) => drop(node.insert(LINEAGE_KEY, lineage.store(0).as_slice())?),
            LogWrite::TruncateFrom(from) => entries.retain_in(from.., |_, _| false)?,
        }
        Ok(())
    }
}

fn drop_rows(entries: &mut Table<'_, u64, &[u8]>, drop: RowsToDrop) -> Result<usize, redb::StorageError> {
    let mut dropped = 0_usize;
    for row in entries.extract_from_if(..drop.below, |_, _| true)?.take(drop.rows_max) {
        row?;
        dropped = dropped.saturating_add(1);
    }
    Ok(dropped)
}

fn load_entry(index: u64, bytes: &[u8]) -> Result<Entry, Fault> {
    Entry::load(bytes, index).map_err(|damaged| Fault::Log(format!("entry {index}: {damaged}")))
}

fn read_fact<T: Stored>(
    node: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &'static str,
) -> Result<Option<T>, Fault> {
    let stored = node.get(key).map_err(Fault::log)?;
    let loaded = stored.map(|bytes| T::load(bytes.value(), 0)).transpose();
    loaded.map_err(|damaged: Damaged| Fault::Log(damaged.to_string()))
}
