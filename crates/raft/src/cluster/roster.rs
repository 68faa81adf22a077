//! This node's table of the others: how to reach each, what it last said, and what to think of it.
//!
//! Nobody is called before a beat has shown that he is the member that the cluster knows, and then only under the
//! name of the start that answered: should another disk have taken its place since, it refuses the call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::admission::{self, Callee, Heard};
pub(crate) use super::admission::{Admission, CallKind};
use super::candidacy::{is_outvoted, is_unrecorded_single, may_stand};
use super::clock::ClusterClock;
use super::identity::{Boot, Lineage};
use super::judgement::{PeerMemory, judge};
use super::member::MemberNode;
use super::peer::{Contact, Peer, Sighting};
use crate::config::NodeConfig;
use crate::log_store::LineageStore;
use crate::transport::connection::Connection;
use crate::transport::message::{BeatAnswer, Caller, Rejection};
use crate::transport::network::{NoRoute, Route, Routes};
use crate::transport::tls::TransportSecurity;
use crate::types::{LogId, StoredMembership, Vote};

/// A verified peer is called for so long after its last answer. Only so that calls to a peer that is gone fail at
/// once; that the right one is called doesn't hang on it.
const ROUTE_LIFE: Duration = Duration::from_secs(5);

/// All that this node knows of its peers.
pub(crate) struct Roster {
    pub(super) node_id: u64,
    pub(super) boot: Boot,
    pub(super) clock: Arc<ClusterClock>,
    /// Taken by whoever changes the members, so that there is one change at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
    lineage: LineageStore,
    security: TransportSecurity,
    pub(super) configured: BTreeMap<u64, String>,
    pub(super) feature_level: u32,
    /// `host:port` of this node's listener; empty where it has none.
    pub(super) address: String,
    table: Mutex<Table>,
    /// Counts what is learned.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Table {
    membership: Arc<StoredMembership>,
    last_log_id: Option<LogId>,
    /// Nodes that are to become members: looked at first.
    guests: BTreeMap<u64, String>,
    peers: BTreeMap<u64, Peer>,
}

impl Table {
    fn contact(&self, id: u64) -> Option<&Contact> {
        self.peers.get(&id)?.contact.as_ref()
    }

    /// Whether anybody that this node asks said lately that `id` leads this line of history.
    fn names_as_leader(&self, id: u64, lineage: Option<Lineage>) -> bool {
        let now = Instant::now();
        let lately = |contact: &&Contact| contact.is_within(ROUTE_LIFE, now);
        let mut contacts = self.peers.values().filter_map(|peer| peer.contact.as_ref()).filter(lately);
        contacts.any(|contact| contact.answer.lineage == lineage && contact.answer.leader == Some(id))
    }
}

/// Whom to ask where he stands, and how.
pub(super) struct Asked {
    pub(super) connection: Arc<Connection>,
    pub(super) wake: Arc<Notify>,
}

impl Roster {
    pub(crate) fn new(
        config: &NodeConfig,
        boot: Boot,
        lineage: LineageStore,
        clock: Arc<ClusterClock>,
    ) -> Arc<Roster> {
        let roster = Roster {
            node_id: config.node_id,
            boot,
            clock,
            turn: tokio::sync::Mutex::default(),
            lineage,
            security: config.security.clone(),
            configured: config.peers.clone(),
            feature_level: config.feature_level,
            address: config.address.clone(),
            table: Mutex::default(),
            changes: watch::Sender::new(0),
        };
        roster.update(|_| {});
        Arc::new(roster)
    }

    /// Takes over who the members are, as soon as consensus knows.
    pub(crate) fn set_membership(&self, membership: Arc<StoredMembership>) {
        if self.table().membership == membership {
            return;
        }
        self.clock.set_membership(&membership);
        self.update(|table| table.membership = membership);
        // What was heard may mean something else now; what a restart is judged by begins with the next answer.
        self.wake_all();
    }

    /// The last entry of this node's log.
    pub(crate) fn set_last_log_id(&self, last_log_id: Option<LogId>) {
        self.table().last_log_id = last_log_id;
    }

    pub(crate) fn membership(&self) -> Arc<StoredMembership> {
        Arc::clone(&self.table().membership)
    }

    /// Whether this node knows of any members: it is part of a cluster then.
    pub(crate) fn is_member(&self) -> bool {
        self.table().membership.membership().nodes().next().is_some()
    }

    /// Whether this node, whose vote this is, may stand for election.
    pub(crate) fn may_stand(&self, own_vote: Vote) -> bool {
        let membership = self.membership();
        let unrecorded = self.configured.len() < 2 && is_unrecorded_single(self.node_id, &membership);
        if !unrecorded && !may_stand(self.node_id, &self.boot, &membership) {
            return false;
        }
        let answers = self.recent_answers();
        !is_outvoted(self.node_id, own_vote, self.lineage.current(), &membership, answers.values())
    }

    /// Changes with everything that is learned of a peer.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Whether a call is let in.
    pub(crate) fn admits(&self, caller: &Caller, call: CallKind) -> Result<Admission, Rejection> {
        let table = self.table();
        let callee = Callee {
            node_id: self.node_id,
            boot: self.boot,
            lineage: self.lineage.current(),
            membership: &table.membership,
            last_log_id: table.last_log_id,
        };
        let heard = Heard {
            answer: table.contact(caller.from).map(|contact| &contact.answer),
            leads: table.names_as_leader(caller.from, callee.lineage),
        };
        admission::admit(&callee, caller, call, heard)
    }

    /// The way to a peer that may be called, and counted on.
    pub(crate) fn route(&self, peer: u64) -> Result<Route, NoRoute> {
        let table = self.table();
        let no_route = |why: &str| NoRoute(format!("node {peer} {why}"));
        let known = table.peers.get(&peer).ok_or_else(|| no_route("is not known"))?;
        let lately = |contact: &&Contact| contact.is_within(ROUTE_LIFE, Instant::now());
        let contact = known.contact.as_ref().filter(lately).ok_or_else(|| no_route("doesn't answer"))?;
        if !contact.verdict.is_verified() {
            return Err(no_route("is not the member that the cluster knows"));
        }
        let caller = self.caller(peer, Some(contact.answer.boot));
        Ok(Route { connection: Arc::clone(&known.connection), caller })
    }

    /// What a peer had applied when it last answered.
    pub(crate) fn applied_index(&self, peer: u64) -> Option<u64> {
        self.table().peers.get(&peer)?.contact.as_ref()?.answer.applied_index
    }

    /// The answers of who is there now.
    pub(super) fn recent_answers(&self) -> BTreeMap<u64, BeatAnswer> {
        self.sightings().into_iter().map(|(id, sighting)| (id, sighting.answer)).collect()
    }

    /// How each peer looks that is there now.
    pub(super) fn sightings(&self) -> BTreeMap<u64, Sighting> {
        let now = Instant::now();
        let table = self.table();
        table.peers.iter().filter_map(|(id, peer)| Some((*id, peer.sighting(now)?))).collect()
    }

    /// Everybody that is there and counts, this node included.
    pub(super) fn present(&self, within: Duration) -> BTreeSet<u64> {
        let now = Instant::now();
        let table = self.table();
        let there = |peer: &Peer| {
            let contact = peer.contact.as_ref();
            contact.is_some_and(|contact| contact.is_within(within, now) && contact.verdict.is_verified())
        };
        let others = table.peers.iter().filter(|(_, peer)| there(peer)).map(|(id, _)| *id);
        others.chain([self.node_id]).collect()
    }

    /// The last answer of each peer that ever answered.
    pub(super) fn contacts(&self) -> BTreeMap<u64, Contact> {
        let table = self.table();
        table.peers.iter().filter_map(|(id, peer)| Some((*id, peer.contact.clone()?))).collect()
    }

    /// Looks at a node that isn't a member, until the invitation is dropped. What was heard of it before is
    /// forgotten: it may be of a disk that it no longer has.
    pub(super) fn invite(self: &Arc<Self>, node_id: u64, address: String) -> Invitation {
        self.update(|table| drop(table.guests.insert(node_id, address)));
        if let Some(peer) = self.table().peers.get_mut(&node_id) {
            peer.contact = None;
            peer.wake.notify_one();
        }
        Invitation { roster: Arc::clone(self), node_id }
    }

    /// Whom to ask where they stand.
    pub(super) fn asked(&self) -> BTreeMap<u64, Asked> {
        let asked =
            |peer: &Peer| Asked { connection: Arc::clone(&peer.connection), wake: Arc::clone(&peer.wake) };
        self.table().peers.iter().map(|(id, peer)| (*id, asked(peer))).collect()
    }

    pub(super) fn caller(&self, peer: u64, to_boot: Option<Boot>) -> Caller {
        let lineage = self.lineage.current();
        Caller { lineage, from: self.node_id, boot: self.boot, to: peer, to_boot }
    }

    /// Takes in what a peer answered to a beat.
    pub(super) fn heard(&self, id: u64, answer: BeatAnswer, asked_at: Instant) {
        let heard_at = Instant::now();
        let mut table = self.table();
        let Table { membership, peers, .. } = &mut *table;
        let Some(peer) = peers.get_mut(&id).filter(|_| answer.node_id == id) else { return };
        let verdict = judge(record(membership, id), &peer.memory, self.lineage.current(), &answer);
        peer.memory.follow(verdict, &answer);
        let shows = answer.clock;
        let contact = Contact::new(answer, heard_at, verdict, peer.contact.as_ref());
        let news = peer.contact.as_ref().is_none_or(|before| before.verdict != verdict);
        if news {
            tracing::info!(peer = id, ?verdict, boot = ?contact.answer.boot, "a peer answers");
        }
        peer.contact = Some(contact);
        drop(table);
        if verdict.is_verified() {
            self.clock.heard(id, shows, asked_at, heard_at);
        }
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes the table, and with it who the peers are and how they are reached; looks at all answers anew.
    fn update(&self, change: impl FnOnce(&mut Table)) {
        let mut table = self.table();
        change(&mut table);
        let addresses = self.addresses(&table);
        table.peers.retain(|id, peer| addresses.get(id) == Some(&peer.address));
        for (id, address) in addresses {
            table.peers.entry(id).or_insert_with(|| self.dial(id, address));
        }
        let lineage = self.lineage.current();
        let Table { membership, peers, .. } = &mut *table;
        for (id, peer) in peers.iter_mut() {
            let Some(contact) = &mut peer.contact else { continue };
            contact.verdict = judge(record(membership, *id), &peer.memory, lineage, &contact.answer);
            contact.alike = 0;
            peer.memory.follow(contact.verdict, &contact.answer);
        }
        drop(table);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// All other nodes that are configured, members or guests. What the membership says of an address counts.
    fn addresses(&self, table: &Table) -> BTreeMap<u64, String> {
        let mut addresses = self.configured.clone();
        addresses.extend(table.guests.clone());
        let members = table.membership.membership().nodes();
        let named = members.filter(|(_, member)| !member.address.is_empty());
        addresses.extend(named.map(|(id, member)| (*id, member.address.clone())));
        addresses.remove(&self.node_id);
        addresses
    }

    fn dial(&self, id: u64, address: String) -> Peer {
        Peer {
            connection: Arc::new(Connection::to(id, address.clone(), self.security.clone())),
            address,
            contact: None,
            memory: PeerMemory::default(),
            wake: Arc::default(),
        }
    }

    fn wake_all(&self) {
        for peer in self.table().peers.values() {
            peer.wake.notify_one();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record(membership: &StoredMembership, id: u64) -> Option<&MemberNode> {
    membership.membership().get_node(&id)
}

impl Routes for Roster {
    fn route(&self, peer: u64) -> Result<Route, NoRoute> {
        Roster::route(self, peer)
    }

    fn acknowledged(&self, peer: u64, boot: &Boot, log_id: Option<LogId>) {
        if let Some(peer) = self.table().peers.get_mut(&peer) {
            peer.memory.acknowledged(boot, log_id);
        }
    }

    fn voted(&self, peer: u64, boot: &Boot, vote: Vote) {
        if let Some(peer) = self.table().peers.get_mut(&peer) {
            peer.memory.voted(boot, vote);
        }
    }

    fn doubted(&self, peer: u64, boot: &Boot) {
        if let Some(peer) = self.table().peers.get_mut(&peer) {
            if peer.contact.as_ref().is_some_and(|contact| contact.answer.boot == *boot) {
                peer.contact = None;
            }
            peer.wake.notify_one();
        }
    }
}

/// Keeps a node that isn't a member in the roster.
pub(super) struct Invitation {
    roster: Arc<Roster>,
    node_id: u64,
}

impl Drop for Invitation {
    fn drop(&mut self) {
        self.roster.update(|table| drop(table.guests.remove(&self.node_id)));
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
