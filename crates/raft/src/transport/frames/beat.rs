//! Where a node stands.

use hyperion_vault_core::time::Timestamp;
use minicbor::{Decode, Encode};

use super::super::message::{BeatAnswer, VERSION_BYTES_MAX};
use super::Wire;
use crate::cluster::identity::{Boot, Lineage};
use crate::encoding::{LogIdRecord, Stored, VoteRecord};
use crate::status::Role;
use crate::types::Vote;

#[derive(Encode, Decode)]
pub(in super::super) struct BeatRecord {
    #[n(0)]
    node_id: u64,
    #[n(1)]
    boot: Boot,
    #[n(2)]
    lineage: Option<Lineage>,
    #[n(3)]
    clock: Timestamp,
    #[n(4)]
    role: RoleRecord,
    #[n(5)]
    leader: Option<u64>,
    #[n(6)]
    vote: VoteRecord,
    #[n(7)]
    last_log_id: Option<LogIdRecord>,
    #[n(8)]
    applied_index: Option<u64>,
    #[n(9)]
    feature_level: u32,
    #[n(10)]
    version: String,
}

#[derive(Encode, Decode)]
#[cbor(index_only)]
enum RoleRecord {
    #[n(0)]
    Learner,
    #[n(1)]
    Follower,
    #[n(2)]
    Candidate,
    #[n(3)]
    Leader,
    #[n(4)]
    Stopped,
}

impl From<Role> for RoleRecord {
    fn from(role: Role) -> RoleRecord {
        match role {
            Role::Learner => RoleRecord::Learner,
            Role::Follower => RoleRecord::Follower,
            Role::Candidate => RoleRecord::Candidate,
            Role::Leader => RoleRecord::Leader,
            Role::Stopped => RoleRecord::Stopped,
        }
    }
}

impl From<RoleRecord> for Role {
    fn from(role: RoleRecord) -> Role {
        match role {
            RoleRecord::Learner => Role::Learner,
            RoleRecord::Follower => Role::Follower,
            RoleRecord::Candidate => Role::Candidate,
            RoleRecord::Leader => Role::Leader,
            RoleRecord::Stopped => Role::Stopped,
        }
    }
}

impl Wire for BeatAnswer {
    type Record = BeatRecord;

    fn into_record(self) -> BeatRecord {
        BeatRecord {
            node_id: self.node_id,
            boot: self.boot,
            lineage: self.lineage,
            clock: self.clock,
            role: self.role.into(),
            leader: self.leader,
            vote: self.vote.to_record(),
            last_log_id: self.last_log_id.as_ref().map(LogIdRecord::from),
            applied_index: self.applied_index,
            feature_level: self.feature_level,
            version: self.version,
        }
    }

    fn from_record(record: BeatRecord) -> Result<BeatAnswer, &'static str> {
        if record.version.len() > VERSION_BYTES_MAX {
            return Err("a version longer than any");
        }
        Ok(BeatAnswer {
            node_id: record.node_id,
            boot: record.boot,
            lineage: record.lineage,
            clock: record.clock,
            role: record.role.into(),
            leader: record.leader,
            vote: Vote::from_record(record.vote)?,
            last_log_id: record.last_log_id.map(Into::into),
            applied_index: record.applied_index,
            feature_level: record.feature_level,
            version: record.version,
        })
    }
}
