//! What the log knows without reading its file: the facts about it, and its last entries.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use openraft::storage::LogState;

use super::file::Recovered;
use crate::types::{Entry, EntryPayload, LogId, TypeConfig, Vote};

/// Flushed entries stay in memory up to this much, so that what was just committed is applied without reading
/// it back. Entries not yet flushed stay whatever their size.
const TAIL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What an entry weighs besides its proposal.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// Shared by the store, its readers and its writing thread. Each call is one short critical section.
pub(super) struct LogMemory(Mutex<Facts>);

struct Facts {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    /// Index of the first entry that isn't purged, or that the next one will have.
    first: u64,
    tail: Tail,
}

impl LogMemory {
    pub(super) fn new(recovered: &Recovered) -> LogMemory {
        LogMemory(Mutex::new(Facts {
            vote: recovered.vote,
            committed: recovered.committed,
            purged: recovered.purged,
            last: recovered.last,
            first: recovered.first_row.unwrap_or(0).max(after(recovered.purged)),
            tail: Tail::default(),
        }))
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log_state(&self) -> LogState<TypeConfig> {
        let facts = self.facts();
        LogState { last_purged_log_id: facts.purged, last_log_id: facts.last.max(facts.purged) }
    }

    pub(super) fn vote(&self) -> Option<Vote> {
        self.facts().vote
    }

    pub(super) fn set_vote(&self, vote: Vote) {
        self.facts().vote = Some(vote);
    }

    pub(super) fn committed(&self) -> Option<LogId> {
        self.facts().committed
    }

    pub(super) fn set_committed(&self, committed: Option<LogId>) {
        self.facts().committed = committed;
    }

    pub(super) fn append(&self, entries: &[Entry]) -> io::Result<()> {
        let mut facts = self.facts();
        for entry in entries {
            if facts.last == facts.purged {
                facts.first = entry.log_id.index;
            }
            facts.tail.push(entry.clone())?;
            facts.last = Some(entry.log_id);
        }
        Ok(())
    }

    pub(super) fn truncate(&self, last: Option<LogId>) {
        let mut facts = self.facts();
        facts.tail.truncate_from(after(last));
        facts.last = facts.last.min(last).max(facts.purged);
    }

    pub(super) fn purge(&self, up_to: LogId) {
        let mut facts = self.facts();
        facts.tail.drop_through(up_to.index);
        facts.purged = facts.purged.max(Some(up_to));
        facts.last = facts.last.max(Some(up_to));
        facts.first = facts.first.max(after(Some(up_to)));
    }

    /// The entries through `index` are on disk and need no longer stay in memory.
    pub(super) fn mark_flushed(&self, index: u64) {
        self.facts().tail.mark_flushed(index);
    }

    /// The file no longer holds entries from `index` on; what memory holds there came later.
    pub(super) fn mark_truncated(&self, index: u64) {
        let mut facts = self.facts();
        facts.tail.unflushed_from = facts.tail.unflushed_from.min(index);
    }

    /// Splits a range at what memory holds: the part to read from the file, and the entries after it.
    pub(super) fn read(&self, range: Range<u64>) -> (Range<u64>, Vec<Entry>) {
        let facts = self.facts();
        let end = after(facts.last);
        let range = range.start.max(facts.first)..range.end.min(end);
        if range.is_empty() {
            return (range, Vec::new());
        }
        let in_memory = facts.tail.first_index().unwrap_or(end).clamp(range.start, range.end);
        (range.start..in_memory, facts.tail.read(in_memory..range.end))
    }
}

/// The index that follows.
pub(super) fn after(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index.saturating_add(1))
}

/// The last entries of the log, without a gap.
#[derive(Default)]
struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Entries below this index are on disk.
    unflushed_from: u64,
}

impl Tail {
    fn first_index(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.log_id.index)
    }

    fn push(&mut self, entry: Entry) -> io::Result<()> {
        let expected = self.entries.back().map(|last| last.log_id.index.saturating_add(1));
        if expected.is_some_and(|expected| expected != entry.log_id.index) {
            return Err(io::Error::other("entries appended to the log must follow each other"));
        }
        self.bytes = self.bytes.saturating_add(weight(&entry));
        self.entries.push_back(entry);
        Ok(())
    }

    fn truncate_from(&mut self, index: u64) {
        while self.entries.back().is_some_and(|entry| entry.log_id.index >= index) {
            self.forget_last();
        }
        self.unflushed_from = self.unflushed_from.min(index);
    }

    fn drop_through(&mut self, index: u64) {
        while self.entries.front().is_some_and(|entry| entry.log_id.index <= index) {
            self.forget_first();
        }
    }

    fn mark_flushed(&mut self, index: u64) {
        self.unflushed_from = self.unflushed_from.max(index.saturating_add(1));
        while self.bytes > TAIL_BYTES_MAX
            && self.first_index().is_some_and(|first| first < self.unflushed_from)
        {
            self.forget_first();
        }
    }

    fn read(&self, range: Range<u64>) -> Vec<Entry> {
        let Some(first) = self.first_index() else { return Vec::new() };
        let position = |index: u64| usize::try_from(index.saturating_sub(first)).unwrap_or(usize::MAX);
        let count = position(range.end).saturating_sub(position(range.start));
        self.entries.iter().skip(position(range.start)).take(count).cloned().collect()
    }

    fn forget_first(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes = self.bytes.saturating_sub(weight(&entry));
        }
    }

    fn forget_last(&mut self) {
        if let Some(entry) = self.entries.pop_back() {
            self.bytes = self.bytes.saturating_sub(weight(&entry));
        }
    }
}

/// Bytes that an entry takes in memory, near enough to bound them.
pub(crate) fn weight(entry: &Entry) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    payload.saturating_add(ENTRY_OVERHEAD_BYTES)
}
