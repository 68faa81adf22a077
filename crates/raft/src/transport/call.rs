//! The calls between nodes, and their gRPC framing: a message is a frame's bytes, as they are.

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::limits::{APPEND_BYTES_MAX, CALL_BYTES_MAX, SNAPSHOT_CHUNK_BYTES};

/// What one node may ask of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Beat,
    Vote,
    PreVote,
    Append,
    Snapshot,
    TransferLeader,
    Propose,
    ReadIndex,
    ChangeMembers,
}

impl Call {
    pub(super) const ALL: [Call; 9] = [
        Call::Beat,
        Call::Vote,
        Call::PreVote,
        Call::Append,
        Call::Snapshot,
        Call::TransferLeader,
        Call::Propose,
        Call::ReadIndex,
        Call::ChangeMembers,
    ];

    /// The path of its HTTP/2 request. Part of the wire format.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Call::Beat => "/hyperion.vault.Node/Beat",
            Call::Vote => "/hyperion.vault.Node/Vote",
            Call::PreVote => "/hyperion.vault.Node/PreVote",
            Call::Append => "/hyperion.vault.Node/Append",
            Call::Snapshot => "/hyperion.vault.Node/Snapshot",
            Call::TransferLeader => "/hyperion.vault.Node/TransferLeader",
            Call::Propose => "/hyperion.vault.Node/Propose",
            Call::ReadIndex => "/hyperion.vault.Node/ReadIndex",
            Call::ChangeMembers => "/hyperion.vault.Node/ChangeMembers",
        }
    }

    pub(super) fn of_path(path: &str) -> Option<Call> {
        Call::ALL.into_iter().find(|call| call.path() == path)
    }

    /// The longest message of the call, in bytes.
    pub(super) const fn frame_bytes_max(self) -> usize {
        match self {
            Call::Append => APPEND_BYTES_MAX,
            // The first message is no longer than this either.
            Call::Snapshot => SNAPSHOT_CHUNK_BYTES,
            _ => CALL_BYTES_MAX,
        }
    }
}

/// Both directions of the codec.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frames;

impl Encoder for Frames {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, frame: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(frame.len());
        out.put(frame);
        Ok(())
    }
}

impl Decoder for Frames {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
