//! The replicated state on a disk that somebody else than the vault can write, who knows its format.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::state::{Command, Outcome, Proposal, apply};
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_server::ports::{Consensus, ProposeFailure, View};
use minicbor::{Decode, Encode};

use crate::audit_fixture::START_MS;

/// Rows as the disk has them.
pub(crate) type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// A cluster of one, whose state is on a disk that others can write too.
#[derive(Default)]
pub(crate) struct Disk {
    present: Mutex<Arc<Table>>,
    /// The rows after each change.
    kept: Mutex<Vec<Arc<Table>>>,
    follows: AtomicBool,
}

impl Disk {
    pub(crate) fn rows(&self) -> Table {
        Table::clone(&self.present.lock().unwrap())
    }

    pub(crate) fn overwrite(&self, rows: Table) {
        *self.present.lock().unwrap() = Arc::new(rows);
    }

    /// The rows as they were after each change, the present ones included.
    pub(crate) fn kept(&self) -> Vec<Arc<Table>> {
        self.kept.lock().unwrap().clone()
    }

    /// Another node leads, and nobody asks it for anything.
    pub(crate) fn follows(&self, follows: bool) {
        self.follows.store(follows, Ordering::Relaxed);
    }
}

#[async_trait]
impl Consensus for Disk {
    fn view(&self) -> View {
        Arc::clone(&*self.present.lock().unwrap()) as View
    }

    async fn propose(&self, command: Command) -> Result<Outcome, ProposeFailure> {
        let mut rows = self.rows();
        let outcome =
            apply(&Proposal { stamp: Timestamp::from_unix_ms(START_MS), command, origin: None }, &mut rows);
        self.kept.lock().unwrap().push(Arc::new(rows.clone()));
        self.overwrite(rows);
        Ok(outcome.unwrap())
    }

    async fn barrier(&self) -> Result<(), ProposeFailure> {
        Ok(())
    }

    async fn wait_applied(&self, _index: u64, _limit: Duration) -> bool {
        true
    }

    fn applied_index(&self) -> u64 {
        0
    }

    fn is_leader(&self) -> bool {
        !self.follows.load(Ordering::Relaxed)
    }

    fn standing(&self) -> Result<(), String> {
        Ok(())
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}

/// `body` as a row under `key`: with the checksum that the vault itself would compute.
pub(crate) fn with_checksum(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut hash = xxhash_rust::xxh3::Xxh3::with_seed(key.len() as u64);
    hash.update(key);
    hash.update(body);
    [body, &hash.digest().to_le_bytes()].concat()
}

pub(crate) fn without_checksum(row: &[u8]) -> &[u8] {
    &row[..row.len() - 8]
}

/// Reads a record, changes it and writes it back with a valid checksum.
pub(crate) fn edit<T>(rows: &mut Table, key: &[u8], change: impl FnOnce(&mut T))
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let mut changed = record(rows, key);
    change(&mut changed);
    put(rows, key, &changed);
}

/// The record under a key.
pub(crate) fn record<T: for<'b> Decode<'b, ()>>(rows: &Table, key: &[u8]) -> T {
    minicbor::decode(&without_checksum(&rows[key])[1..]).unwrap()
}

/// Writes a record as the vault would.
pub(crate) fn put<T: Encode<()>>(rows: &mut Table, key: &[u8], record: &T) {
    let mut body = vec![1];
    minicbor::encode(record, &mut body).unwrap();
    rows.insert(key.to_vec(), with_checksum(key, &body));
}
