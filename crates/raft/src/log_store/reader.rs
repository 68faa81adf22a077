//! Reading the log: the end of it from memory, the rest from the file.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use openraft::OptionalSend;
use openraft::storage::RaftLogReader;

use super::file::LogFile;
use super::tail::{LogMemory, weight};
use crate::fault::{Fault, FaultLatch};
use crate::types::{Entry, TypeConfig, Vote};

/// Entries that a stream reads at a time, and their bytes.
const STREAM_ENTRIES_MAX: u64 = 256;
const STREAM_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A handle to read the log with; as many as wanted.
#[derive(Clone)]
pub(crate) struct LogReader {
    file: Arc<LogFile>,
    memory: Arc<LogMemory>,
    latch: Arc<FaultLatch>,
}

impl LogReader {
    pub(super) fn new(file: Arc<LogFile>, memory: Arc<LogMemory>, latch: Arc<FaultLatch>) -> LogReader {
        LogReader { file, memory, latch }
    }

    pub(super) fn memory(&self) -> &LogMemory {
        &self.memory
    }

    /// The entries of `range` that the log holds. With a limit, perhaps only the first of them. What can't be read
    /// ends the node: consensus doesn't go on without it.
    async fn read(&self, range: Range<u64>, bytes_max: Option<usize>) -> io::Result<Vec<Entry>> {
        self.try_read(range, bytes_max).await.map_err(|fault| self.latch.raise(fault).into_io())
    }

    async fn try_read(&self, range: Range<u64>, bytes_max: Option<usize>) -> Result<Vec<Entry>, Fault> {
        let (in_file, in_memory) = self.memory.read(range);
        if in_file.is_empty() {
            return Ok(first_of(in_memory, bytes_max));
        }
        let expected = in_file.end.saturating_sub(in_file.start);
        let file = Arc::clone(&self.file);
        let read = move || file.read(in_file, bytes_max.unwrap_or(usize::MAX));
        let read = tokio::task::spawn_blocking(read).await;
        let mut entries = read.map_err(|error| Fault::Log(error.to_string()))??;
        let whole = entries.len() as u64 == expected;
        if whole {
            entries.extend(in_memory);
        } else if bytes_max.is_none() {
            return Err(Fault::Log("entries are missing".to_owned()));
        }
        Ok(first_of(entries, bytes_max))
    }
}

/// As many of the first entries as stay within the bytes, but at least one.
fn first_of(mut entries: Vec<Entry>, bytes_max: Option<usize>) -> Vec<Entry> {
    if let Some(bytes_max) = bytes_max {
        let mut bytes = 0_usize;
        let fit = entries.iter().take_while(|entry| {
            bytes = bytes.saturating_add(weight(entry));
            bytes <= bytes_max
        });
        let fit = fit.count().max(1);
        entries.truncate(fit);
    }
    entries
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.read(half_open(&range), None).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let end = end.min(start.saturating_add(STREAM_ENTRIES_MAX));
        self.read(start..end, Some(STREAM_BYTES_MAX)).await
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let chunks = stream::unfold((self.clone(), half_open(&range)), |(mut reader, range)| async move {
            if range.is_empty() {
                return None;
            }
            let (chunk, rest) = match reader.limited_get_log_entries(range.start, range.end).await {
                Ok(entries) if entries.is_empty() => return None,
                Ok(entries) => {
                    let read = entries.len() as u64;
                    let chunk = entries.into_iter().map(Ok).collect();
                    (chunk, range.start.saturating_add(read)..range.end)
                }
                Err(error) => (vec![Err(error)], range.end..range.end),
            };
            Some((stream::iter(chunk), (reader, rest)))
        });
        // Fused: whoever batches entries asks once more after the last.
        Box::pin(chunks.flatten().fuse())
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.memory.vote())
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}
