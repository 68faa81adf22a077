//! What this node keeps of one other node.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::judgement::{PeerMemory, Verdict};
use crate::transport::connection::Connection;
use crate::transport::message::BeatAnswer;

/// Who answered no longer ago than this is there: four beats.
pub(super) const REACHABLE_WITHIN: Duration = Duration::from_secs(1);

/// The way to a node, and what is known of it.
pub(super) struct Peer {
    pub(super) address: String,
    pub(super) connection: Arc<Connection>,
    pub(super) contact: Option<Contact>,
    pub(super) memory: PeerMemory,
    /// Asks for a beat at once.
    pub(super) wake: Arc<Notify>,
}

/// The last answer.
#[derive(Clone)]
pub(super) struct Contact {
    pub(super) answer: BeatAnswer,
    pub(super) heard_at: Instant,
    pub(super) verdict: Verdict,
    /// Answers in a row, this one included, that had this verdict on this start.
    pub(super) alike: u32,
}

impl Contact {
    /// Takes the place of `before`.
    pub(super) fn new(
        answer: BeatAnswer,
        heard_at: Instant,
        verdict: Verdict,
        before: Option<&Contact>,
    ) -> Contact {
        let same = |before: &&Contact| before.verdict == verdict && before.answer.boot == answer.boot;
        let alike = before.filter(same).map_or(1, |before| before.alike.saturating_add(1));
        Contact { answer, heard_at, verdict, alike }
    }

    pub(super) fn is_within(&self, limit: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.heard_at) <= limit
    }
}

/// How a member looks from here: what the leader decides by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) verdict: Verdict,
    /// See [`Contact::alike`].
    pub(super) alike: u32,
    pub(super) answer: BeatAnswer,
    /// Index of the last entry that this start acknowledged.
    pub(super) acknowledged_index: Option<u64>,
}

impl Peer {
    /// How the peer looks, if it answered lately.
    pub(super) fn sighting(&self, now: Instant) -> Option<Sighting> {
        let contact = self.contact.as_ref().filter(|contact| contact.is_within(REACHABLE_WITHIN, now))?;
        let remembered = self.memory.boot == Some(contact.answer.boot);
        Some(Sighting {
            verdict: contact.verdict,
            alike: contact.alike,
            answer: contact.answer.clone(),
            acknowledged_index: self.memory.acknowledged.filter(|_| remembered).map(|id| id.index),
        })
    }
}
