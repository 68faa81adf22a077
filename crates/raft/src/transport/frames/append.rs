//! Entries on their way to a follower, and what became of them.

use minicbor::decode::{Decode, Decoder, Error as DecodeError};
use minicbor::encode::{Encode, Encoder, Error as EncodeError, Write};
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};

use super::super::limits::APPEND_ENTRIES_MAX;
use super::Wire;
use crate::encoding::{LogIdRecord, Stored, VoteRecord};
use crate::types::{Entry, LogId, TypeConfig, Vote, is_within};

#[derive(minicbor::Encode, minicbor::Decode)]
pub(in super::super) struct AppendRecord {
    #[n(0)]
    vote: VoteRecord,
    #[n(1)]
    prev_log_id: Option<LogIdRecord>,
    #[n(2)]
    leader_commit: Option<LogIdRecord>,
    #[n(3)]
    entries: Entries,
}

/// Each entry as it is stored, with its checksum, so that it is whole from the memory of one node to that of
/// another. Its index is part of it; the place of all is 0.
struct Entries(Vec<Entry>);

impl<C> Encode<C> for Entries {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.array(self.0.len() as u64)?;
        for entry in &self.0 {
            e.bytes(&entry.store(0))?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Entries {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Entries, DecodeError> {
        let count = d.array()?.filter(|count| *count <= APPEND_ENTRIES_MAX);
        let count = count.ok_or_else(|| DecodeError::message("more entries than are sent at once"))?;
        let entry = |_| Entry::load(d.bytes()?, 0).map_err(|damaged| DecodeError::message(damaged.what));
        (0..count).map(entry).collect::<Result<_, _>>().map(Entries)
    }
}

impl Wire for AppendEntriesRequest<TypeConfig> {
    type Record = AppendRecord;

    fn into_record(self) -> AppendRecord {
        AppendRecord {
            vote: self.vote.to_record(),
            prev_log_id: self.prev_log_id.as_ref().map(LogIdRecord::from),
            leader_commit: self.leader_commit.as_ref().map(LogIdRecord::from),
            entries: Entries(self.entries),
        }
    }

    fn from_record(record: AppendRecord) -> Result<Self, &'static str> {
        let entries = record.entries.0;
        let prev_log_id: Option<LogId> = record.prev_log_id.map(Into::into);
        // Consensus relies on it, and would panic.
        let first = prev_log_id.map_or(0, |id| id.index.saturating_add(1));
        if !entries.iter().map(|entry| entry.log_id.index).eq((first..).take(entries.len())) {
            return Err("entries that don't follow each other");
        }
        let vote = Vote::from_record(record.vote)?;
        let leader_commit = record.leader_commit.map(Into::into);
        let ids = prev_log_id.iter().chain(entries.iter().map(|entry| &entry.log_id));
        if !vote.committed
            || !ids.clone().is_sorted()
            || !ids.chain(&leader_commit).all(|id| is_within(id, &vote))
        {
            return Err("entries that no leader of this term can send");
        }
        Ok(AppendEntriesRequest { vote, prev_log_id, leader_commit, entries })
    }
}

#[derive(minicbor::Encode, minicbor::Decode)]
pub(in super::super) enum AppendedRecord {
    /// The last entry of the append, or the one before it if it had none.
    #[n(0)]
    Matching(#[n(0)] Option<LogIdRecord>),
    #[n(1)]
    Conflict(#[n(0)] LogIdRecord),
    #[n(2)]
    HigherVote(#[n(0)] VoteRecord),
}

impl Wire for StreamAppendResult<TypeConfig> {
    type Record = AppendedRecord;

    fn into_record(self) -> AppendedRecord {
        match self {
            Ok(matching) => AppendedRecord::Matching(matching.as_ref().map(LogIdRecord::from)),
            Err(StreamAppendError::Conflict(at)) => AppendedRecord::Conflict((&at).into()),
            Err(StreamAppendError::HigherVote(vote)) => AppendedRecord::HigherVote(vote.to_record()),
        }
    }

    fn from_record(record: AppendedRecord) -> Result<Self, &'static str> {
        Ok(match record {
            AppendedRecord::Matching(matching) => Ok(matching.map(Into::into)),
            AppendedRecord::Conflict(at) => Err(StreamAppendError::Conflict(at.into())),
            AppendedRecord::HigherVote(vote) => Err(StreamAppendError::HigherVote(Vote::from_record(vote)?)),
        })
    }
}
