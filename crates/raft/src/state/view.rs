//! A moment of the state, for readers.

use hyperion_vault_core::state::{RawRow, Rows, StorageFault};
use redb::{Database, ReadOnlyTable, ReadableDatabase};

use super::rows::{self, ROWS_TABLE};
use crate::fault::Fault;
use crate::types::{LogId, SnapshotMeta, StoredMembership};

type RowsTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The state as it was after some entry: a table of a read transaction, opened once and shared by all readers.
///
/// Hold it for a request, not longer: as long as it lives, the pages it can reach are not used again and the
/// file grows instead.
pub struct StateView {
    /// Absent when the state is closed.
    table: Option<RowsTable>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl StateView {
    pub(super) fn open(
        database: &Database,
        applied: Option<LogId>,
        membership: StoredMembership,
    ) -> Result<StateView, Fault> {
        let transaction = database.begin_read().map_err(Fault::state)?;
        let table = transaction.open_table(ROWS_TABLE).map_err(Fault::state)?;
        Ok(StateView { table: Some(table), applied, membership })
    }

    /// What is published when the state closes, so that nothing keeps the file open: it knows where the state
    /// stood and has no rows to read.
    pub(super) fn closed(&self) -> StateView {
        StateView { table: None, applied: self.applied, membership: self.membership.clone() }
    }

    fn table(&self) -> Result<&RowsTable, StorageFault> {
        self.table.as_ref().ok_or_else(|| StorageFault("the state is closed".to_owned()))
    }

    /// Index of the last entry whose effect is seen; absent before the first.
    #[must_use]
    pub fn applied_index(&self) -> Option<u64> {
        self.applied.map(|id| id.index)
    }

    pub(crate) fn applied(&self) -> Option<LogId> {
        self.applied
    }

    pub(crate) fn membership(&self) -> &StoredMembership {
        &self.membership
    }

    pub(crate) fn snapshot_meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() }
    }

    /// All rows in order, to copy them without holding more than one.
    pub(crate) fn for_each_row<E: From<Fault>>(
        &self,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let table = self.table().map_err(|closed| Fault::State(closed.0))?;
        for row in table.range::<&[u8]>(..).map_err(Fault::state)? {
            let (key, value) = row.map_err(Fault::state)?;
            visit(key.value(), value.value())?;
        }
        Ok(())
    }
}

impl Rows for StateView {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageFault> {
        rows::get(self.table()?, key)
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<RawRow>, StorageFault> {
        rows::scan(self.table()?, from, to, limit)
    }
}
