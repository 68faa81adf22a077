//! An entry of the log.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::Stored;
use super::log_id::LogIdRecord;
use super::membership::MembershipRecord;
use crate::types::{EncodedProposal, Entry, EntryPayload};

#[derive(Debug, Encode, Decode)]
pub(crate) struct EntryRecord {
    #[n(0)]
    log_id: LogIdRecord,
    #[n(1)]
    payload: PayloadRecord,
}

#[derive(Debug, Encode, Decode)]
enum PayloadRecord {
    /// A new leader's first entry.
    #[n(0)]
    Blank,
    /// A proposal, as it was encoded when it was made.
    #[n(1)]
    Proposal(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// A change of the members.
    #[n(2)]
    Membership(#[n(0)] MembershipRecord),
}

impl Stored for Entry {
    type Record = EntryRecord;
    const NAME: &'static str = "log entry";
    const KIND: u32 = 4;

    fn to_record(&self) -> EntryRecord {
        let payload = match &self.payload {
            EntryPayload::Blank => PayloadRecord::Blank,
            EntryPayload::Normal(proposal) => PayloadRecord::Proposal(proposal.0.to_vec()),
            EntryPayload::Membership(membership) => PayloadRecord::Membership(membership.into()),
        };
        EntryRecord { log_id: (&self.log_id).into(), payload }
    }

    fn from_record(record: EntryRecord) -> Result<Entry, &'static str> {
        let payload = match record.payload {
            PayloadRecord::Blank => EntryPayload::Blank,
            PayloadRecord::Proposal(bytes) => EntryPayload::Normal(EncodedProposal(Bytes::from(bytes))),
            PayloadRecord::Membership(membership) => EntryPayload::Membership(membership.try_into()?),
        };
        Ok(Entry { log_id: record.log_id.into(), payload })
    }
}
