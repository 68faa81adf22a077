//! Who this node is, who the others are, and how current its reads are.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hyperion_vault_core::state::FEATURE_LEVEL;

use super::environment::{Environment, PRETEND_FEATURE_LEVEL};
use super::error::shown;
use super::host_port::HostPort;
use super::table::{NODE_ID, PEERS, READ_CONSISTENCY};

/// Members that a cluster can be formed of. Each looks at every other several times a second.
pub const PEERS_MAX: usize = 32;

/// This node's place in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// At least 1.
    pub id: u64,
    /// Where the members reach each other, this one included. Empty: this node is alone for good.
    pub peers: BTreeMap<u64, HostPort>,
    /// How current a read is that doesn't say.
    pub read_consistency: Consistency,
    /// The level of commands that a debug build is told to stop at, to stand for an earlier one.
    pub pretended_feature_level: Option<u32>,
}

/// How current a read is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consistency {
    /// What this node has applied.
    #[default]
    Local,
    /// Everything that was acknowledged anywhere before the read began.
    Linearizable,
}

impl Consistency {
    /// The word for it, as settings and requests have it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Consistency> {
        match word {
            "local" => Some(Consistency::Local),
            "linearizable" => Some(Consistency::Linearizable),
            _ => None,
        }
    }
}

fn read_pretended_level(env: &mut Environment) -> Option<u32> {
    let expected = format!("a number from 1 to {FEATURE_LEVEL}");
    env.for_tests(PRETEND_FEATURE_LEVEL, &expected, |text| {
        text.parse().ok().filter(|level| (1..=FEATURE_LEVEL).contains(level))
    })
}

impl Node {
    pub(super) fn read(env: &mut Environment) -> Node {
        let id = env.number(&NODE_ID);
        Node {
            id,
            peers: read_peers(env, id),
            read_consistency: env.choice(&READ_CONSISTENCY, Consistency::parse),
            pretended_feature_level: read_pretended_level(env),
        }
    }

    /// Whether the cluster is formed of more than this node.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.peers.len() > 1
    }

    /// Where the others reach this node.
    #[must_use]
    pub fn own_address(&self) -> Option<&HostPort> {
        self.peers.get(&self.id)
    }

    /// Whether all members are on this machine, as far as the setting itself tells.
    pub(super) fn is_loopback(&self) -> bool {
        self.peers.values().all(|peer| {
            peer.host == "localhost" || peer.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    }
}

/// Everything that is wrong with the list is named, not only the first of it.
fn read_peers(env: &mut Environment, own_id: u64) -> BTreeMap<u64, HostPort> {
    let text = env.parse(&PEERS, |text| Ok::<_, String>(text.to_owned())).unwrap_or_default();
    let mut peers = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        match parse_peer(entry) {
            Ok((id, _)) if peers.contains_key(&id) => wrong.push(format!("names node {id} twice")),
            Ok((_, address)) if peers.values().any(|known| *known == address) => {
                wrong.push(format!("has two nodes at {}", shown(&address.to_string())));
            }
            Ok((id, address)) => {
                peers.insert(id, address);
            }
            Err(reason) => wrong.push(reason),
        }
    }
    if peers.len() > PEERS_MAX {
        wrong.push(format!("names more than {PEERS_MAX} nodes"));
    }
    if wrong.is_empty() && !peers.is_empty() && !peers.contains_key(&own_id) {
        wrong.push(format!("does not name this node, which is {own_id} by {}", NODE_ID.name));
    }
    for reason in wrong {
        env.refuse(&PEERS, reason);
    }
    peers
}

fn parse_peer(entry: &str) -> Result<(u64, HostPort), String> {
    let (id, address) =
        entry.split_once('=').ok_or_else(|| format!("{} is not id=host:port", shown(entry)))?;
    let address = address.parse::<HostPort>().map_err(|error| format!("{} {error}", shown(entry)))?;
    if address.port == 0 {
        return Err(format!("{} has port 0, at which nobody can be reached", shown(entry)));
    }
    // Digits only: `u64::from_str` would also take `+1`.
    let digits = id.bytes().all(|byte| byte.is_ascii_digit());
    let id = id.parse().ok().filter(|id| digits && *id > 0);
    Ok((id.ok_or_else(|| format!("{} does not begin with a node number", shown(entry)))?, address))
}
