//! Elections, and the hand-over of leadership.

use minicbor::{Decode, Encode};
use openraft::raft::{
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::Wire;
use crate::encoding::{LogIdRecord, Stored, VoteRecord};
use crate::types::{LogId, TypeConfig, Vote};

#[derive(Encode, Decode)]
pub(in super::super) struct VoteRequestRecord {
    #[n(0)]
    vote: VoteRecord,
    #[n(1)]
    last_log_id: Option<LogIdRecord>,
    #[n(2)]
    leadership_transfer: bool,
}

impl Wire for VoteRequest<TypeConfig> {
    type Record = VoteRequestRecord;

    fn into_record(self) -> VoteRequestRecord {
        VoteRequestRecord {
            vote: self.vote.to_record(),
            last_log_id: record_of(self.last_log_id),
            leadership_transfer: self.leadership_transfer,
        }
    }

    fn from_record(record: VoteRequestRecord) -> Result<Self, &'static str> {
        Ok(VoteRequest {
            vote: Vote::from_record(record.vote)?,
            last_log_id: record.last_log_id.map(Into::into),
            leadership_transfer: record.leadership_transfer,
        })
    }
}

#[derive(Encode, Decode)]
pub(in super::super) struct VoteResponseRecord {
    #[n(0)]
    vote: VoteRecord,
    #[n(1)]
    granted: bool,
    #[n(2)]
    last_log_id: Option<LogIdRecord>,
}

impl Wire for VoteResponse<TypeConfig> {
    type Record = VoteResponseRecord;

    fn into_record(self) -> VoteResponseRecord {
        VoteResponseRecord {
            vote: self.vote.to_record(),
            granted: self.vote_granted,
            last_log_id: record_of(self.last_log_id),
        }
    }

    fn from_record(record: VoteResponseRecord) -> Result<Self, &'static str> {
        Ok(VoteResponse {
            vote: Vote::from_record(record.vote)?,
            vote_granted: record.granted,
            last_log_id: record.last_log_id.map(Into::into),
        })
    }
}

#[derive(Encode, Decode)]
pub(in super::super) struct TransferRequestRecord {
    #[n(0)]
    from_leader: VoteRecord,
    #[n(1)]
    to_node_id: u64,
    /// What the next leader must have in its log.
    #[n(2)]
    last_log_id: Option<LogIdRecord>,
}

impl Wire for TransferLeaderRequest<TypeConfig> {
    type Record = TransferRequestRecord;

    fn into_record(self) -> TransferRequestRecord {
        TransferRequestRecord {
            from_leader: self.from_leader().to_record(),
            to_node_id: *self.to_node_id(),
            last_log_id: self.last_log_id().map(LogIdRecord::from),
        }
    }

    fn from_record(record: TransferRequestRecord) -> Result<Self, &'static str> {
        let from_leader = Vote::from_record(record.from_leader)?;
        Ok(TransferLeaderRequest::new(from_leader, record.to_node_id, record.last_log_id.map(Into::into)))
    }
}

#[derive(Encode, Decode)]
pub(in super::super) enum TransferResponseRecord {
    #[n(0)]
    Accepted,
    #[n(1)]
    VoteChanged {
        #[n(0)]
        expected: VoteRecord,
        #[n(1)]
        actual: VoteRecord,
    },
    #[n(2)]
    LogNotFlushed {
        #[n(0)]
        expected: Option<LogIdRecord>,
        #[n(1)]
        actual: Option<LogIdRecord>,
    },
}

impl Wire for TransferLeaderResponse<TypeConfig> {
    type Record = TransferResponseRecord;

    fn into_record(self) -> TransferResponseRecord {
        match self {
            Ok(()) => TransferResponseRecord::Accepted,
            Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                TransferResponseRecord::VoteChanged {
                    expected: expected.to_record(),
                    actual: actual.to_record(),
                }
            }
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
                TransferResponseRecord::LogNotFlushed {
                    expected: record_of(expected),
                    actual: record_of(actual),
                }
            }
        }
    }

    fn from_record(record: TransferResponseRecord) -> Result<Self, &'static str> {
        Ok(match record {
            TransferResponseRecord::Accepted => Ok(()),
            TransferResponseRecord::VoteChanged { expected, actual } => {
                Err(TransferLeaderError::VoteChanged {
                    expected: Vote::from_record(expected)?,
                    actual: Vote::from_record(actual)?,
                })
            }
            TransferResponseRecord::LogNotFlushed { expected, actual } => {
                Err(TransferLeaderError::LogNotFlushed {
                    expected: expected.map(Into::into),
                    actual: actual.map(Into::into),
                })
            }
        })
    }
}

fn record_of(id: Option<LogId>) -> Option<LogIdRecord> {
    id.as_ref().map(LogIdRecord::from)
}
