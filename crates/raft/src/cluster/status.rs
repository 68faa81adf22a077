//! The cluster as one node sees it, for operators.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;

use super::identity::Lineage;
use super::member::MemberNode;
use super::peer::{Contact, REACHABLE_WITHIN};
use super::quorum::{has_quorum, is_voter};
use super::roster::Roster;
use crate::node::Raft;
use crate::state::StateHandle;
use crate::status::{Leadership, Role};

/// A voter counts for the quorum if it answered no longer ago than this: two time-outs of a beat.
const QUORUM_WITHIN: Duration = Duration::from_secs(2);

/// All members, and whether they can change anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The line of history; absent while this node belongs to no cluster.
    pub lineage: Option<Lineage>,
    /// The leader, if it is known.
    pub leader: Option<u64>,
    /// The latest term this node has seen.
    pub term: u64,
    /// Whether a leader is known and a majority of the voters answered this node within the last two seconds.
    pub quorum: bool,
    /// The members, in the order of their ids.
    pub nodes: Vec<MemberStatus>,
}

/// One member. What only it can tell is of its last answer, and absent before the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its id.
    pub node_id: u64,
    /// `host:port` of its Raft listener; empty where it has none.
    pub address: String,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it answered within the last second.
    pub reachable: bool,
    /// What it does.
    pub role: Option<Role>,
    /// The latest term it has seen.
    pub term: Option<u64>,
    /// The last entry in its log.
    pub last_log_index: Option<u64>,
    /// The last entry whose effect its views show.
    pub applied_index: Option<u64>,
    /// Entries that its log is behind the leader's.
    pub lag: Option<u64>,
    /// Since its last answer.
    pub last_contact: Option<Duration>,
    /// How far its clock is ahead of the cluster's, in milliseconds.
    pub clock_skew_ms: Option<i64>,
    /// The highest level of commands that it can apply.
    pub feature_level: Option<u32>,
    /// The version of its build.
    pub version: Option<String>,
}

impl Roster {
    /// The cluster as this node sees it.
    pub(crate) fn cluster_status(
        &self,
        lineage: Option<Lineage>,
        leadership: Leadership,
        raft: &Raft,
        state: &StateHandle,
    ) -> ClusterStatus {
        let membership = self.membership();
        let members = membership.membership();
        let mut heard: BTreeMap<u64, Heard> =
            self.contacts().into_iter().map(|(id, contact)| (id, Heard::of(contact))).collect();
        heard.insert(self.node_id, self.own_status(raft, state));
        let leader = leadership.leader.and_then(|leader| heard.get(&leader));
        let leader_log_index = leader.and_then(|leader| leader.last_log_index);
        let member_status = |(id, member): (&u64, &MemberNode)| {
            let heard = heard.remove(id).unwrap_or_default();
            MemberStatus {
                node_id: *id,
                address: member.address.clone(),
                voter: is_voter(members, *id),
                clock_skew_ms: self.clock.skew_ms(*id),
                lag: heard.lag(leader_log_index),
                reachable: heard.last_contact.is_some_and(|ago| ago <= REACHABLE_WITHIN),
                role: heard.role,
                term: heard.term,
                last_log_index: heard.last_log_index,
                applied_index: heard.applied_index,
                last_contact: heard.last_contact,
                feature_level: heard.feature_level,
                version: heard.version,
            }
        };
        ClusterStatus {
            lineage,
            leader: leadership.leader,
            term: leadership.term,
            quorum: leadership.leader.is_some() && has_quorum(members, &self.present(QUORUM_WITHIN)),
            nodes: members.nodes().map(member_status).collect(),
        }
    }

    fn own_status(&self, raft: &Raft, state: &StateHandle) -> Heard {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        Heard {
            role: Some(metrics.state.into()),
            term: Some(metrics.current_term),
            last_log_index: metrics.last_log_index,
            applied_index: state.view().applied_index(),
            last_contact: Some(Duration::ZERO),
            feature_level: Some(self.feature_level),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }
    }
}

/// What a member last said of itself, if it ever did.
#[derive(Default)]
struct Heard {
    role: Option<Role>,
    term: Option<u64>,
    last_log_index: Option<u64>,
    applied_index: Option<u64>,
    last_contact: Option<Duration>,
    feature_level: Option<u32>,
    version: Option<String>,
}

impl Heard {
    fn of(contact: Contact) -> Heard {
        let answer = contact.answer;
        Heard {
            role: Some(answer.role),
            term: Some(answer.vote.leader_id.term),
            last_log_index: answer.last_log_id.map(|id| id.index),
            applied_index: answer.applied_index,
            last_contact: Some(contact.heard_at.elapsed()),
            feature_level: Some(answer.feature_level),
            version: Some(answer.version),
        }
    }

    /// Entries that it lacks of the leader's log. An empty log lacks the entry at index 0 too.
    fn lag(&self, leader_log_index: Option<u64>) -> Option<u64> {
        self.role?;
        let entries = |last: Option<u64>| last.map_or(0, |last| last.saturating_add(1));
        Some(entries(Some(leader_log_index?)).saturating_sub(entries(self.last_log_index)))
    }
}
