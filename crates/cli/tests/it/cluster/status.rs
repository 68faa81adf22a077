//! What a node says of its cluster.

use std::collections::BTreeSet;

use reqwest::RequestBuilder;
use serde_json::Value;

/// The answer of `GET /v1/admin/cluster`.
#[derive(Debug)]
pub(super) struct Status(Value);

impl Status {
    /// None when there is no answer, or none that says anything.
    pub(super) async fn ask(request: RequestBuilder) -> Option<Status> {
        let answer = request.send().await.ok()?;
        if answer.status() != 200 {
            return None;
        }
        Some(Status(serde_json::from_str(&answer.text().await.ok()?).unwrap()))
    }

    pub(super) fn cluster_id(&self) -> Option<&str> {
        self.0["cluster_id"].as_str()
    }

    pub(super) fn leader(&self) -> Option<u64> {
        self.0["leader"].as_u64()
    }

    pub(super) fn term(&self) -> u64 {
        self.0["term"].as_u64().unwrap_or_default()
    }

    pub(super) fn quorum(&self) -> bool {
        self.0["quorum"] == true
    }

    pub(super) fn feature_level(&self) -> Option<u64> {
        self.0["feature_level"].as_u64()
    }

    fn nodes(&self) -> &[Value] {
        self.0["nodes"].as_array().map_or(&[], Vec::as_slice)
    }

    /// What it says of one member; null when it knows of no such member.
    pub(super) fn node(&self, id: u64) -> &Value {
        self.nodes().iter().find(|node| node["id"] == id).unwrap_or(&Value::Null)
    }

    pub(super) fn members(&self) -> BTreeSet<u64> {
        self.nodes().iter().map(|node| node["id"].as_u64().unwrap()).collect()
    }

    pub(super) fn voters(&self) -> BTreeSet<u64> {
        let voters = self.nodes().iter().filter(|node| node["voter"] == true);
        voters.map(|node| node["id"].as_u64().unwrap()).collect()
    }

    pub(super) fn is_caught_up_voter(&self, id: u64) -> bool {
        self.node(id)["voter"] == true && self.is_caught_up(id)
    }

    /// It answers, and lacks no more than what is on its way under load.
    pub(super) fn is_caught_up(&self, id: u64) -> bool {
        const LAG_MAX: u64 = 10;
        let node = self.node(id);
        node["lag"].as_u64().is_some_and(|lag| lag <= LAG_MAX) && node["role"] != "unreachable"
    }
}
