//! Which changes were applied, by the node they came from: why a repetition is known as one.
//!
//! One row a node, rewritten with each of its changes and therefore small: of a session whose changes arrived in
//! order it holds one number. Rows stay when a node leaves; there are as many as nodes ever took part.

use std::mem;

use minicbor::{Decode, Encode};

use super::{Keyed, Tag, key, record};
use crate::state::{Origin, Rows, RowsMut, StateFault, row};

/// Sessions of a node that are remembered: those that a change came from last. A repetition is at most some
/// seconds younger than its change, so a node would have to start this often within that time to be forgotten.
pub const SESSIONS_KEPT: usize = 4;

/// Changes of a session up to the highest that can be told apart. A change further behind counts as applied
/// before: not to make it can be mended by asking again, to make it twice can't.
pub const WINDOW_SEQUENCES: u64 = 4_096;

/// The sessions of one node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct NodeSessions {
    #[n(0)]
    node_id: u64,
    /// At most [`SESSIONS_KEPT`]; the one that a change came from last stands last.
    #[n(1)]
    sessions: Vec<Session>,
}

/// What was applied of one session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Session {
    #[n(0)]
    id: u64,
    /// Everything up to here was applied, or has fallen out of the window.
    #[n(1)]
    floor: u64,
    /// Bit n, lowest first, says whether `floor + 1 + n` was applied. Bit 0 is never set, the last byte never
    /// zero, and there are at most [`WINDOW_SEQUENCES`] bits.
    #[cbor(n(2), with = "minicbor::bytes")]
    above: Vec<u8>,
}

impl Keyed for NodeSessions {
    fn key(&self) -> Vec<u8> {
        key_of(self.node_id)
    }
}

fn key_of(node_id: u64) -> Vec<u8> {
    key(Tag::Sessions, &[&node_id.to_be_bytes()])
}

/// Notes a change as applied. False, and nothing is written: it was before, or is too old to tell.
pub(in crate::state) fn note(rows: &mut dyn RowsMut, origin: Origin) -> Result<bool, StateFault> {
    let mut node = of_node(rows, origin.node_id)?;
    let is_new = node.note(origin.session, origin.sequence);
    if is_new {
        row::put(rows, &node.key(), &node)?;
    }
    Ok(is_new)
}

fn of_node(rows: &dyn Rows, node_id: u64) -> Result<NodeSessions, StateFault> {
    let known = record(rows, &key_of(node_id))?;
    Ok(known.unwrap_or(NodeSessions { node_id, sessions: Vec::new() }))
}

impl NodeSessions {
    fn note(&mut self, id: u64, sequence: u64) -> bool {
        let mut session = self.take(id);
        let is_new = session.note(sequence);
        self.sessions.push(session);
        let surplus = self.sessions.len().saturating_sub(SESSIONS_KEPT);
        self.sessions.drain(..surplus);
        is_new
    }

    fn take(&mut self, id: u64) -> Session {
        match self.sessions.iter().position(|session| session.id == id) {
            Some(position) => self.sessions.remove(position),
            None => Session { id, floor: 0, above: Vec::new() },
        }
    }
}

impl Session {
    fn note(&mut self, sequence: u64) -> bool {
        let Some(ahead) = sequence.checked_sub(self.floor).filter(|ahead| *ahead > 0) else { return false };
        self.rise(ahead.saturating_sub(WINDOW_SEQUENCES));
        if !self.mark(sequence.saturating_sub(self.floor).saturating_sub(1)) {
            return false;
        }
        self.rise(self.run());
        true
    }

    /// Sets bit `offset`, which is below [`WINDOW_SEQUENCES`]; false when it was set.
    fn mark(&mut self, offset: u64) -> bool {
        let (index, bit) = (bytes_of(offset), 1 << (offset % 8));
        if self.above.len() <= index {
            self.above.resize(index + 1, 0);
        }
        let Some(byte) = self.above.get_mut(index) else { return false };
        let was_set = *byte & bit != 0;
        *byte |= bit;
        !was_set
    }

    /// How many bits are set before the first that isn't.
    fn run(&self) -> u64 {
        let full = self.above.iter().take_while(|byte| **byte == u8::MAX).count();
        let rest = self.above.get(full).map_or(0, |byte| byte.trailing_ones());
        full as u64 * 8 + u64::from(rest)
    }

    /// Moves the floor up.
    fn rise(&mut self, by: u64) {
        self.floor = self.floor.saturating_add(by);
        self.above.drain(..bytes_of(by).min(self.above.len()));
        let mut higher = 0;
        for byte in self.above.iter_mut().rev() {
            let [shifted, _] = (u16::from_le_bytes([*byte, higher]) >> (by % 8)).to_le_bytes();
            higher = mem::replace(byte, shifted);
        }
        while self.above.last() == Some(&0) {
            self.above.pop();
        }
    }
}

/// The whole bytes in so many bits.
fn bytes_of(bits: u64) -> usize {
    usize::try_from(bits / 8).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
