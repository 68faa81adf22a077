//! The table of all replicated rows, behind the storage port of the state machine.

use std::ops::Bound;

use hyperion_vault_core::state::{RawRow, Rows, RowsMut, StorageFault};
use redb::{ReadableTable, Table, TableDefinition};

use crate::fault::storage_fault;

pub(super) const ROWS_TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");

/// The rows within one write transaction.
pub(super) struct TransactionRows<'txn> {
    pub(super) table: Table<'txn, &'static [u8], &'static [u8]>,
    /// Bytes of the pages written so far, as if each row had a page of its own.
    pub(super) page_bytes_written: u64,
}

/// redb's page, and about what a row costs that is put among others.
const PAGE_BYTES: u64 = 4_096;

pub(super) fn get(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StorageFault> {
    Ok(table.get(key).map_err(storage_fault)?.map(|value| value.value().to_vec()))
}

pub(super) fn scan(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: &[u8],
    to: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<RawRow>, StorageFault> {
    if to.is_some_and(|to| to <= from) {
        return Ok(Vec::new());
    }
    let end = to.map_or(Bound::Unbounded, Bound::Excluded);
    let range = table.range::<&[u8]>((Bound::Included(from), end)).map_err(storage_fault)?;
    let rows = range.take(limit).map(|row| {
        let (key, value) = row.map_err(storage_fault)?;
        Ok((key.value().to_vec(), value.value().to_vec()))
    });
    rows.collect()
}

impl Rows for TransactionRows<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageFault> {
        get(&self.table, key)
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<RawRow>, StorageFault> {
        scan(&self.table, from, to, limit)
    }
}

impl RowsMut for TransactionRows<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageFault> {
        self.page_bytes_written += PAGE_BYTES + value.len() as u64;
        self.table.insert(key, value).map_err(storage_fault)?;
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), StorageFault> {
        self.page_bytes_written += PAGE_BYTES;
        self.table.remove(key).map_err(storage_fault)?;
        Ok(())
    }
}
