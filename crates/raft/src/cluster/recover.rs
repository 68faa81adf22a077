//! Makes one node's files a cluster of one, after a majority of the voters was lost for good.
//!
//! Everything in this node's log is kept. That may be more than was ever acknowledged: an entry that had not
//! reached a majority counts from now on. And it may be less: what was acknowledged without this node is gone.
//! So the node to recover is, of those that are left, the one that was furthest.
//!
//! The cluster begins a new line of history with it. Nodes of the old one are refused, whatever they still have,
//! and join again with empty disks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::identity::{Boot, Lineage};
use super::member::MemberNode;
use crate::disk::Disk;
use crate::error::StartError;
use crate::fault::Fault;
use crate::log_store::{LogFile, Recovered};
use crate::state::StateFile;
use crate::stats::StorageStats;
use crate::types::{CommittedLeaderId, Entry, EntryPayload, LogId, Membership, Vote};

/// Entries that are read at once, by their bytes.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Pages of the state that are kept in memory: next to nothing is read of it.
const STATE_CACHE_BYTES: usize = 4 * 1024 * 1024;

/// What became of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The one member that is left.
    pub node_id: u64,
    /// The new line of history.
    pub lineage: Lineage,
    /// The members of before, this node among them. All others must come back with empty disks.
    pub former_members: Vec<u64>,
    /// The last entry that was kept.
    pub last_log_index: u64,
}

/// The files are as they were.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// They can't be opened, aren't a pair, or were never written.
    #[error(transparent)]
    Files(#[from] StartError),
    /// There is nothing to recover.
    #[error("these files belong to no cluster")]
    NoCluster,
    /// Reading or writing them failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Rewrites the files of a node that isn't running; `lineage` is random. Blocks. What it writes becomes durable at
/// once, or not at all.
///
/// # Errors
/// [`RecoverError`].
pub fn recover(disk: &dyn Disk, lineage: [u8; 16]) -> Result<Recovery, RecoverError> {
    let stats = Arc::new(StorageStats::default());
    let (log, log_identity) = LogFile::open(disk, &stats)?;
    let (state, state_identity) = StateFile::open(disk, STATE_CACHE_BYTES, &stats)?;
    let identity = match (log_identity, state_identity) {
        (Some(log), Some(state)) if log == state => log,
        (Some(_), Some(_)) => return Err(StartError::Mixed.into()),
        (None, Some(_)) => return Err(StartError::LogLost.into()),
        (_, None) => return Err(RecoverError::NoCluster),
    };
    let state = state.recover()?;
    let view = state.view().load_full();
    let written = log.recover()?;
    let last = written.last.max(view.applied()).ok_or(RecoverError::NoCluster)?;
    let members = last_membership(&log, &written, view.applied())?
        .unwrap_or_else(|| view.membership().membership().clone());

    // The start that this counts as is over when the node is started next.
    let boot = Boot { disk_id: identity.disk_id, count: log.count_start()?, nonce: 0 };
    let succession = Succession { node_id: identity.node_id, boot, members, last };
    let (entry, lineage) = (succession.entry(written.vote)?, Lineage(lineage));
    log.begin_lineage(last, &entry, lineage)?;
    drop(view);
    log.close()?;
    state.close()?;
    Ok(succession.recovery(lineage))
}

/// From the members of before to this one.
struct Succession {
    node_id: u64,
    boot: Boot,
    members: Membership,
    last: LogId,
}

impl Succession {
    fn term(&self, vote: Option<Vote>) -> u64 {
        let voted = vote.map_or(0, |vote| vote.leader_id.term);
        voted.max(self.last.leader_id.term).saturating_add(1)
    }

    /// As this node, elected in a new term by itself, would have written it.
    fn entry(&self, vote: Option<Vote>) -> Result<Entry, Fault> {
        let leader_id = CommittedLeaderId { term: self.term(vote), node_id: self.node_id };
        let index = self.last.index.saturating_add(1);
        let address = self.members.get_node(&self.node_id).map(|member| member.address.clone());
        let member = MemberNode { address: address.unwrap_or_default(), boot: Some(self.boot), votes: true };
        let voters = vec![BTreeSet::from([self.node_id])];
        let alone = Membership::new(voters, BTreeMap::from([(self.node_id, member)]))
            .map_err(|error| Fault::Log(error.to_string()))?;
        Ok(Entry { log_id: LogId { leader_id, index }, payload: EntryPayload::Membership(alone) })
    }

    fn recovery(&self, lineage: Lineage) -> Recovery {
        Recovery {
            node_id: self.node_id,
            lineage,
            former_members: self.members.nodes().map(|(id, _)| *id).collect(),
            last_log_index: self.last.index,
        }
    }
}

/// The last membership in the log after what is applied, committed or not.
fn last_membership(
    log: &LogFile,
    written: &Recovered,
    applied: Option<LogId>,
) -> Result<Option<Membership>, Fault> {
    let after = |id: Option<LogId>| id.map_or(0, |id| id.index.saturating_add(1));
    let mut next = after(applied.max(written.purged));
    let end = after(written.last);
    let mut found = None;
    while next < end {
        let entries = log.read(next..end, READ_BYTES_MAX)?;
        next = after(entries.last().map(|entry| entry.log_id)).max(next.saturating_add(1));
        for entry in entries {
            if let EntryPayload::Membership(membership) = entry.payload {
                found = Some(membership);
            }
        }
    }
    Ok(found)
}
