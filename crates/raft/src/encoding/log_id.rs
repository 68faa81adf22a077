//! The id of a log entry: which leader proposed it, and where it stands.

use minicbor::{Decode, Encode};

use super::Stored;
use crate::types::{CommittedLeaderId, LogId};

#[derive(Debug, Encode, Decode)]
pub(crate) struct LogIdRecord {
    #[n(0)]
    term: u64,
    #[n(1)]
    leader: u64,
    #[n(2)]
    index: u64,
}

impl From<&LogId> for LogIdRecord {
    fn from(id: &LogId) -> LogIdRecord {
        LogIdRecord { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
    }
}

impl From<LogIdRecord> for LogId {
    fn from(record: LogIdRecord) -> LogId {
        let leader_id = CommittedLeaderId { term: record.term, node_id: record.leader };
        LogId { leader_id, index: record.index }
    }
}

impl Stored for LogId {
    type Record = LogIdRecord;
    const NAME: &'static str = "log id";
    const KIND: u32 = 1;

    fn to_record(&self) -> LogIdRecord {
        self.into()
    }

    fn from_record(record: LogIdRecord) -> Result<LogId, &'static str> {
        Ok(record.into())
    }
}
