//! How a cluster begins: once, though its members start in whatever order and however late.
//!
//! Of the nodes that are configured together, the one with the lowest id founds the cluster, and only when itself
//! and a majority of the others have said that they belong to none. Were there a cluster already, most of its
//! members would have to have lost their disks at once for that to be so. Everybody else waits to be called.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::identity::Boot;
use super::member::MemberNode;
use super::quorum::majority;
use crate::config::NodeConfig;
use crate::node::Participant;
use crate::transport::message::BeatAnswer;

/// How often a node that waits looks around, if nothing tells it to before.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What a node that is part of no cluster is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Formation {
    /// Found the cluster, with these voters. Who was not reached is added as soon as there is a leader.
    Form {
        voters: BTreeMap<u64, MemberNode>,
    },
    Wait(Waiting),
}

/// What it waits for; `Display` tells people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Waiting {
    #[error("waiting for {} to form the cluster", nodes(.0))]
    ForNodes(BTreeSet<u64>),
    #[error("waiting for node {0} to form the cluster")]
    ForFounder(u64),
    #[error("waiting to be admitted by the leader")]
    ToBeAdmitted,
}

/// This node, before it is a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Applicant {
    pub(crate) node_id: u64,
    pub(crate) boot: Boot,
}

/// `configured`: the addresses of all nodes that are to form the cluster, this one's too. `answers`: what the
/// others said lately.
pub(crate) fn formation(
    own: Applicant,
    configured: &BTreeMap<u64, String>,
    answers: &BTreeMap<u64, BeatAnswer>,
) -> Formation {
    if answers.values().any(|answer| answer.lineage.is_some()) {
        return Formation::Wait(Waiting::ToBeAdmitted);
    }
    match configured.keys().next() {
        Some(founder) if *founder != own.node_id => return Formation::Wait(Waiting::ForFounder(*founder)),
        _ => {}
    }
    let others: BTreeSet<u64> = configured.keys().copied().filter(|id| *id != own.node_id).collect();
    let fresh: BTreeSet<u64> = others.iter().copied().filter(|id| answers.contains_key(id)).collect();
    if !others.is_empty() && fresh.len() < majority(others.len()) {
        return Formation::Wait(Waiting::ForNodes(others.difference(&fresh).copied().collect()));
    }
    let boot = |id: u64| if id == own.node_id { Some(own.boot) } else { answers.get(&id).map(|a| a.boot) };
    let voter = |(id, address): (&u64, &String)| {
        let member = MemberNode { address: address.clone(), boot: Some(boot(*id)?), votes: true };
        Some((*id, member))
    };
    Formation::Form { voters: configured.iter().filter_map(voter).collect() }
}

/// Founds the cluster, if that falls to this node, and returns once it is a member of one. Tells `waits_for`
/// meanwhile, for people.
pub(crate) async fn run(participant: Arc<Participant>, config: NodeConfig, waits_for: watch::Sender<String>) {
    let own = Applicant { node_id: config.node_id, boot: participant.boot };
    let roster = Arc::clone(&participant.roster);
    let mut changes = roster.changes();
    while !roster.is_member() {
        match formation(own, &config.peers, &roster.recent_answers()) {
            Formation::Form { voters } => found(&participant, &config, voters).await,
            Formation::Wait(waiting) => tell(&waits_for, waiting.to_string()),
        }
        let _ = timeout(LOOK_INTERVAL, changes.changed()).await;
    }
    tell(&waits_for, "no leader".to_owned());
}

/// The line of history first: without one this node could call nobody. A crash between the two leaves a node
/// that belongs to a cluster of which nobody else heard, and that founds it when it starts again.
async fn found(participant: &Participant, config: &NodeConfig, voters: BTreeMap<u64, MemberNode>) {
    let ids: BTreeSet<u64> = voters.keys().copied().collect();
    if participant.lineage.adopt(config.new_lineage()).await.is_err() {
        return;
    }
    match participant.raft.initialize(voters).await {
        Ok(()) => tracing::info!(members = nodes(&ids), "formed the cluster"),
        Err(error) => tracing::warn!(%error, "the cluster could not be formed"),
    }
    // The membership shows in the roster a moment later.
    sleep(LOOK_INTERVAL).await;
}

fn tell(waits_for: &watch::Sender<String>, what: String) {
    waits_for.send_if_modified(|known| {
        let changed = *known != what;
        if changed {
            tracing::info!("{what}");
            *known = what;
        }
        changed
    });
}

/// For people: `node 2`, `nodes 2, 3`.
pub(super) fn nodes(ids: &BTreeSet<u64>) -> String {
    let listed: Vec<String> = ids.iter().map(u64::to_string).collect();
    format!("node{} {}", if listed.len() == 1 { "" } else { "s" }, listed.join(", "))
}

#[cfg(test)]
#[path = "formation_tests.rs"]
mod tests;
