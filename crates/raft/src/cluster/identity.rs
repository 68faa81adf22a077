//! Who is running: a node's disk and its start, and the line of history that it belongs to.

use std::fmt;

use minicbor::{Decode, Encode};

use crate::encoding::Stored;

/// One start of a node on one disk. The cluster remembers the last that it let in, by which a node that comes
/// back on an empty disk, or on an older copy of its own, is told from one that was merely restarted.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Boot {
    /// Random; drawn when the node's files were made.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub disk_id: [u8; 16],
    /// Starts on this disk so far, this one included. Durable before the node speaks to anybody.
    #[n(1)]
    pub count: u64,
    /// Random; drawn at each start. Tells two starts of one count apart, of which one is on a copy.
    #[n(2)]
    pub nonce: u64,
}

impl Boot {
    /// Whether `later` may be the same disk after this start: started again, or still running.
    #[must_use]
    pub fn continues_as(&self, later: &Boot) -> bool {
        self.disk_id == later.disk_id && (self == later || self.count < later.count)
    }
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk {:032x} start {}", u128::from_be_bytes(self.disk_id), self.count)
    }
}

/// The line of history that a log belongs to: drawn when a cluster is formed, and anew when one is recovered
/// from a lost majority. Nodes of different lines don't speak to each other, so that members of before a
/// recovery can't bring back what it left behind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Lineage(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

impl fmt::Debug for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// As stored in the log: the starts so far. The nonce is of the running process only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Starts {
    #[n(0)]
    pub(crate) count: u64,
}

impl Stored for Starts {
    type Record = Starts;
    const NAME: &'static str = "starts";
    const KIND: u32 = 7;

    fn to_record(&self) -> Starts {
        *self
    }

    fn from_record(record: Starts) -> Result<Starts, &'static str> {
        Ok(record)
    }
}

/// As stored in the log.
#[derive(Debug, Encode, Decode)]
pub(crate) struct LineageRecord {
    #[n(0)]
    lineage: Lineage,
}

impl Stored for Lineage {
    type Record = LineageRecord;
    const NAME: &'static str = "lineage";
    const KIND: u32 = 8;

    fn to_record(&self) -> LineageRecord {
        LineageRecord { lineage: *self }
    }

    fn from_record(record: LineageRecord) -> Result<Lineage, &'static str> {
        Ok(record.lineage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Boot = Boot { disk_id: [1; 16], count: 4, nonce: 77 };

    #[test]
    fn a_restart_continues_a_start_and_nothing_else_does() {
        assert!(FIRST.continues_as(&FIRST));
        assert!(FIRST.continues_as(&Boot { count: 5, nonce: 3, ..FIRST }));
        assert!(!FIRST.continues_as(&Boot { nonce: 78, ..FIRST }), "a copy that was started as often");
        assert!(!FIRST.continues_as(&Boot { count: 3, ..FIRST }), "an older copy");
        assert!(!FIRST.continues_as(&Boot { disk_id: [2; 16], count: 5, ..FIRST }), "another disk");
    }
}
