//! The cluster on the wire.

use serde::{Deserialize, Serialize};

/// `GET /v1/admin/cluster`: the cluster as the node that answers sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// 32 hexadecimal digits, drawn when the cluster was formed, and anew when it was recovered.
    pub cluster_id: Option<String>,
    pub leader: Option<u64>,
    pub term: u64,
    pub feature_level: u32,
    /// Whether there is a leader and a majority of the voters was heard lately.
    pub quorum: bool,
    pub nodes: Vec<NodeInfo>,
}

/// One member. What is `null` isn't known, because the member was not heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    pub id: u64,
    /// `host:port`; empty where it has none.
    pub address: String,
    pub role: NodeRole,
    pub voter: bool,
    pub term: Option<u64>,
    pub log_index: Option<u64>,
    pub applied_index: Option<u64>,
    /// Entries that it is behind the leader.
    pub lag: Option<u64>,
    pub last_contact_ms: Option<u64>,
    /// Its wall clock before (+) or behind (-) the cluster's time.
    pub clock_skew_ms: Option<i64>,
    pub feature_level: Option<u32>,
    pub version: Option<String>,
}

/// What a member was last seen to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    Leader,
    Follower,
    Learner,
    Candidate,
    Stopped,
    Unreachable,
}

/// `POST /v1/admin/cluster/nodes`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddNodeRequest {
    pub id: u64,
    pub address: String,
}

/// A node that was added or promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberAnswer {
    pub id: u64,
    pub voter: bool,
}

/// `POST /v1/admin/cluster/step-down`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDownAnswer {
    /// Who leads now, once the node that answers knows it.
    pub leader: Option<u64>,
}
