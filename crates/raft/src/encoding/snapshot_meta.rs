//! What a snapshot says of itself.

use minicbor::{Decode, Encode};

use super::Stored;
use super::log_id::LogIdRecord;
use super::membership::StoredMembershipRecord;
use crate::types::SnapshotMeta;

#[derive(Debug, Encode, Decode)]
pub(crate) struct SnapshotMetaRecord {
    /// The last entry whose effect the rows hold.
    #[n(0)]
    last_log_id: Option<LogIdRecord>,
    #[n(1)]
    membership: StoredMembershipRecord,
}

impl Stored for SnapshotMeta {
    type Record = SnapshotMetaRecord;
    const NAME: &'static str = "snapshot meta";
    const KIND: u32 = 5;

    fn to_record(&self) -> SnapshotMetaRecord {
        SnapshotMetaRecord {
            last_log_id: self.last_log_id.as_ref().map(LogIdRecord::from),
            membership: (&self.last_membership).into(),
        }
    }

    fn from_record(record: SnapshotMetaRecord) -> Result<SnapshotMeta, &'static str> {
        Ok(SnapshotMeta {
            last_log_id: record.last_log_id.map(Into::into),
            last_membership: record.membership.try_into()?,
        })
    }
}
