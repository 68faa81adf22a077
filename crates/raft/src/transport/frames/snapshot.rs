//! What stands before and after the bytes of a snapshot.

use minicbor::{Decode, Encode};
use openraft::raft::SnapshotResponse;

use super::Wire;
use crate::encoding::{Stored, VoteRecord};
use crate::types::{TypeConfig, Vote};

/// Announces a snapshot; its file follows in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct SnapshotHeader {
    /// The vote of the leader that sends it.
    pub(in super::super) vote: Vote,
    /// Length of the file.
    pub(in super::super) bytes: u64,
}

#[derive(Encode, Decode)]
pub(in super::super) struct SnapshotHeaderRecord {
    #[n(0)]
    vote: VoteRecord,
    #[n(1)]
    bytes: u64,
}

impl Wire for SnapshotHeader {
    type Record = SnapshotHeaderRecord;

    fn into_record(self) -> SnapshotHeaderRecord {
        SnapshotHeaderRecord { vote: self.vote.to_record(), bytes: self.bytes }
    }

    fn from_record(record: SnapshotHeaderRecord) -> Result<SnapshotHeader, &'static str> {
        let vote = Vote::from_record(record.vote)?;
        if !vote.committed {
            return Err("a snapshot of a node that doesn't lead");
        }
        Ok(SnapshotHeader { vote, bytes: record.bytes })
    }
}

#[derive(Encode, Decode)]
pub(in super::super) struct SnapshotResponseRecord {
    #[n(0)]
    vote: VoteRecord,
}

impl Wire for SnapshotResponse<TypeConfig> {
    type Record = SnapshotResponseRecord;

    fn into_record(self) -> SnapshotResponseRecord {
        SnapshotResponseRecord { vote: self.vote.to_record() }
    }

    fn from_record(record: SnapshotResponseRecord) -> Result<Self, &'static str> {
        Ok(SnapshotResponse::new(Vote::from_record(record.vote)?))
    }
}
