//! The vote: whom this node follows in which term, and whether a quorum granted it.

use minicbor::{Decode, Encode};

use super::Stored;
use crate::types::Vote;

#[derive(Debug, Encode, Decode)]
pub(crate) struct VoteRecord {
    #[n(0)]
    term: u64,
    #[n(1)]
    candidate: u64,
    #[n(2)]
    granted_by_quorum: bool,
}

impl Stored for Vote {
    type Record = VoteRecord;
    const NAME: &'static str = "vote";
    const KIND: u32 = 2;

    fn to_record(&self) -> VoteRecord {
        VoteRecord {
            term: self.leader_id.term,
            candidate: self.leader_id.node_id,
            granted_by_quorum: self.committed,
        }
    }

    fn from_record(record: VoteRecord) -> Result<Vote, &'static str> {
        let make = if record.granted_by_quorum { Vote::new_committed } else { Vote::new };
        Ok(make(record.term, record.candidate))
    }
}
