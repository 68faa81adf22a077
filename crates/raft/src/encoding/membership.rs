//! The members of the cluster, as stored with an entry, with the applied state and in a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use super::Stored;
use super::log_id::LogIdRecord;
use crate::cluster::identity::Boot;
use crate::cluster::member::MemberNode;
use crate::types::{Membership, StoredMembership};

#[derive(Debug, Encode, Decode)]
pub(crate) struct MembershipRecord {
    /// One set of voters, or two while a change is under way.
    #[n(0)]
    voters: Vec<Vec<u64>>,
    /// All members, the learners too.
    #[n(1)]
    members: Vec<MemberRecord>,
}

#[derive(Debug, Encode, Decode)]
struct MemberRecord {
    #[n(0)]
    id: u64,
    /// `host:port` of the member's Raft listener.
    #[n(1)]
    address: String,
    /// Its last start that was let in.
    #[n(2)]
    boot: Option<Boot>,
    /// Whether it votes or will; absent where a member that votes is a voter and no other will be.
    #[n(3)]
    votes: Option<bool>,
}

impl MemberRecord {
    fn of(id: u64, node: &MemberNode) -> MemberRecord {
        MemberRecord { id, address: node.address.clone(), boot: node.boot, votes: Some(node.votes) }
    }
}

impl From<&Membership> for MembershipRecord {
    fn from(membership: &Membership) -> MembershipRecord {
        let voters = membership.get_joint_config().iter().map(|set| set.iter().copied().collect());
        let members = membership.nodes().map(|(id, node)| MemberRecord::of(*id, node));
        MembershipRecord { voters: voters.collect(), members: members.collect() }
    }
}

impl TryFrom<MembershipRecord> for Membership {
    type Error = &'static str;

    fn try_from(record: MembershipRecord) -> Result<Membership, &'static str> {
        if record.voters.is_empty() && record.members.is_empty() {
            // Before the cluster is formed; `Membership::new` would refuse it.
            return Ok(Membership::default());
        }
        let voters: Vec<BTreeSet<u64>> = record.voters.into_iter().map(BTreeSet::from_iter).collect();
        let members = record.members.into_iter().map(|member| {
            let votes = member.votes.unwrap_or_else(|| voters.iter().any(|set| set.contains(&member.id)));
            (member.id, MemberNode { address: member.address, boot: member.boot, votes })
        });
        let members = BTreeMap::from_iter(members);
        Membership::new(voters, members).map_err(|_| "a voter without an address")
    }
}

#[derive(Debug, Encode, Decode)]
pub(crate) struct StoredMembershipRecord {
    /// The entry that brought it; absent before there was one.
    #[n(0)]
    log_id: Option<LogIdRecord>,
    #[n(1)]
    membership: MembershipRecord,
}

impl From<&StoredMembership> for StoredMembershipRecord {
    fn from(stored: &StoredMembership) -> StoredMembershipRecord {
        StoredMembershipRecord {
            log_id: stored.log_id().as_ref().map(LogIdRecord::from),
            membership: stored.membership().into(),
        }
    }
}

impl TryFrom<StoredMembershipRecord> for StoredMembership {
    type Error = &'static str;

    fn try_from(record: StoredMembershipRecord) -> Result<StoredMembership, &'static str> {
        let membership = record.membership.try_into()?;
        Ok(StoredMembership::new(record.log_id.map(Into::into), membership))
    }
}

impl Stored for StoredMembership {
    type Record = StoredMembershipRecord;
    const NAME: &'static str = "membership";
    const KIND: u32 = 3;

    fn to_record(&self) -> StoredMembershipRecord {
        self.into()
    }

    fn from_record(record: StoredMembershipRecord) -> Result<StoredMembership, &'static str> {
        record.try_into()
    }
}
