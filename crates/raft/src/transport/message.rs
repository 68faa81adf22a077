//! What nodes say to each other. The field indices of the house's own messages are part of the wire format (see
//! `frames`); those of consensus have records of their own there.

use bytes::Bytes;
use hyperion_vault_core::state::Origin;
use hyperion_vault_core::time::Timestamp;
use minicbor::{Decode, Encode};

use crate::cluster::change::MembershipError;
use crate::cluster::identity::{Boot, Lineage};
use crate::status::Role;
use crate::types::{LogId, Vote};

/// Who calls whom: stands before every call.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Caller {
    /// The line of history that the caller belongs to, if any.
    #[n(0)]
    pub(crate) lineage: Option<Lineage>,
    #[n(1)]
    pub(crate) from: u64,
    #[n(2)]
    pub(crate) boot: Boot,
    #[n(3)]
    pub(crate) to: u64,
    /// The start of the callee that is meant; absent in a beat, by which it is learned.
    #[n(4)]
    pub(crate) to_boot: Option<Boot>,
}

/// Why a node doesn't take a call at all. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub(crate) enum Rejection {
    #[error("the certificate is not that of node {claimed}")]
    #[n(0)]
    Certificate {
        #[n(0)]
        claimed: u64,
    },
    #[error("this is node {here}, not node {meant}")]
    #[n(1)]
    OtherNode {
        #[n(0)]
        here: u64,
        #[n(1)]
        meant: u64,
    },
    /// The callee was started again, perhaps on another disk: it must be looked at again.
    #[error("the call means another start of this node")]
    #[n(2)]
    OtherBoot,
    #[error("this node belongs to another cluster, or to this one before it was recovered")]
    #[n(3)]
    OtherLineage,
    #[error("node {0} is not a member")]
    #[n(4)]
    NotAMember(#[n(0)] u64),
    #[error("node {0} is not on the disk that the cluster knows")]
    #[n(5)]
    OtherDisk(#[n(0)] u64),
    /// It can't be read, or is larger than any that is sent. What is wrong with it stays with the callee.
    #[error("malformed call: {0}")]
    #[n(6)]
    Malformed(#[cbor(n(0), with = "what_is_malformed")] Words),
    #[error("this node has halted")]
    #[n(7)]
    Halted,
    #[error("this node has no room for a snapshot")]
    #[n(8)]
    NoRoom,
}

/// Under a name, so that the derived decoder doesn't take it for a part of the frame.
type Words = &'static str;

/// Sent as text, and not read back: a node repeats no words of another.
mod what_is_malformed {
    use minicbor::decode::{Decoder, Error as DecodeError};
    use minicbor::encode::{Encoder, Error as EncodeError, Write};

    use super::Words;

    pub(super) const AT_THE_CALLEE: Words = "the callee can't read it";

    pub(super) fn encode<C, W: Write>(
        what: &Words,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.str(what)?.ok()
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Words, DecodeError> {
        d.str().map(|_| AT_THE_CALLEE)
    }
}

/// Where a node stands: asked by every other several times a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BeatAnswer {
    pub(crate) node_id: u64,
    pub(crate) boot: Boot,
    pub(crate) lineage: Option<Lineage>,
    /// Its own wall clock.
    pub(crate) clock: Timestamp,
    pub(crate) role: Role,
    pub(crate) leader: Option<u64>,
    pub(crate) vote: Vote,
    pub(crate) last_log_id: Option<LogId>,
    pub(crate) applied_index: Option<u64>,
    /// The highest level of commands that it can apply.
    pub(crate) feature_level: u32,
    /// The build's version, for people; at most [`VERSION_BYTES_MAX`].
    pub(crate) version: String,
}

/// Longest version that a beat carries.
pub(crate) const VERSION_BYTES_MAX: usize = 64;

/// A command on its way to the leader, which stamps it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Forwarded {
    /// Encoded [`hyperion_vault_core::state::Command`].
    #[cbor(n(0), with = "command_bytes")]
    pub(crate) command: Bytes,
    #[n(1)]
    pub(crate) origin: Origin,
}

mod command_bytes {
    use bytes::Bytes;
    use minicbor::decode::{Decoder, Error as DecodeError};
    use minicbor::encode::{Encoder, Error as EncodeError, Write};

    pub(super) fn encode<C, W: Write>(
        command: &Bytes,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(command)?.ok()
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Bytes, DecodeError> {
        d.bytes().map(Bytes::copy_from_slice)
    }
}

/// What became of a call that only the leader can answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum LeaderAnswer<T> {
    #[n(0)]
    Done(#[n(0)] T),
    /// The callee doesn't lead; it may know who does. Nothing was done.
    #[n(1)]
    NotLeader {
        #[n(0)]
        leader: Option<u64>,
    },
    /// The leader can't do it now; whether it was or will be done is not known.
    #[n(2)]
    Unavailable(#[n(0)] String),
    /// The leader won't do it, and says why.
    #[n(3)]
    Refused(#[n(0)] String),
}

/// What became of a change of the members.
pub(crate) type MembersAnswer = LeaderAnswer<Result<(), MembershipError>>;

/// A change of the members that a node asks the leader for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum MemberChange {
    /// A new member, as a learner.
    #[n(0)]
    Add {
        #[n(0)]
        node_id: u64,
        #[n(1)]
        address: String,
    },
    /// Makes a learner a voter.
    #[n(1)]
    Promote {
        #[n(0)]
        node_id: u64,
    },
    #[n(2)]
    Remove {
        #[n(0)]
        node_id: u64,
        #[n(1)]
        force: bool,
    },
    /// The leader hands over, to this node or to the one that is furthest.
    #[n(3)]
    StepDown {
        #[n(0)]
        to: Option<u64>,
    },
}
