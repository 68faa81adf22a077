//! Who this node is, and who the others are.

use super::environment::Environment;
use super::error::shown;
use super::host_port::HostPort;
use super::table::{NODE_ID, PEERS};

/// This node's place in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// At least 1.
    pub id: u64,
}

impl Node {
    pub(super) fn read(env: &mut Environment) -> Node {
        let id = env.number(&NODE_ID);
        env.parse(&PEERS, |text| check_peers(text, id));
        Node { id }
    }
}

fn check_peers(text: &str, own_id: u64) -> Result<(), String> {
    let mut ids = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        ids.push(peer_id(entry)?);
    }
    match ids.as_slice() {
        [] => Ok(()),
        [id] if *id == own_id => Ok(()),
        [id] => Err(format!("names node {id} alone, but {} is {own_id}", NODE_ID.name)),
        _ => Err("names more than one node; this version runs a cluster of one".to_owned()),
    }
}

fn peer_id(entry: &str) -> Result<u64, String> {
    let (id, address) =
        entry.split_once('=').ok_or_else(|| format!("{} is not id=host:port", shown(entry)))?;
    address.parse::<HostPort>().map_err(|error| format!("{} {error}", shown(entry)))?;
    let id = id.parse().ok().filter(|id| *id > 0);
    id.ok_or_else(|| format!("{} does not begin with a node number", shown(entry)))
}
