//! What bounds a node's conversation with its peers, and with whoever else connects.

use std::time::Duration;

use crate::config::{PAYLOAD_ENTRIES_MAX, PROPOSAL_BYTES_MAX};

/// The longest message of a stream of appends: the entries that the log reads at once (2 MiB, or one entry), and
/// as much again for what stands around them.
pub(super) const APPEND_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest message of any other call: a forwarded command, and what stands around it.
pub(super) const CALL_BYTES_MAX: usize = PROPOSAL_BYTES_MAX + 64 * 1024;
/// Entries in one append: as many as consensus sends at once.
pub(super) const APPEND_ENTRIES_MAX: u64 = PAYLOAD_ENTRIES_MAX;
/// A snapshot is sent in pieces of this size.
pub(super) const SNAPSHOT_CHUNK_BYTES: usize = 256 * 1024;
/// Pieces that are read ahead of what the network takes.
pub(super) const SNAPSHOT_CHUNKS_AHEAD: usize = 4;

/// Appends under way on one stream. The leader waits for an answer then.
pub(super) const APPENDS_UNDER_WAY_MAX: usize = 8;

/// Connections at once, in handshake or open. A member has one or two; each costs a file descriptor.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// Handshakes at once from one address, so that nobody takes all places without a certificate.
pub(super) const HANDSHAKES_PER_ADDRESS_MAX: usize = 32;
/// For the TLS handshake, on either side.
pub(super) const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(2);
/// A connection without a call for this long is closed. Members call several times a second.
pub(super) const IDLE_TIME_MAX: Duration = Duration::from_secs(15);
/// For the first message of a call, once its headers were received.
pub(super) const FIRST_FRAME_TIME_MAX: Duration = Duration::from_secs(5);
/// For the next piece of a snapshot.
pub(super) const SNAPSHOT_STALL_MAX: Duration = Duration::from_secs(10);
/// For a call with one answer, whatever its caller's patience. Longer than a change of the members takes, which
/// may wait for a learner to catch up.
pub(super) const CALL_TIME_MAX: Duration = Duration::from_secs(60);
/// Refused connections and calls are logged this often at most, with their number.
pub(super) const REFUSALS_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// For a TCP connection to a peer.
pub(super) const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);
/// A peer that couldn't be connected to isn't dialled again before this has passed.
pub(super) const REDIAL_PAUSE: Duration = Duration::from_millis(100);
/// Consensus tries a peer again after this.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// A stream of appends without an answer for this long has failed. Consensus would give up after its heartbeat's
/// interval, which a sync on a busy disk outlasts; sending the entries again would not make it faster.
pub(super) const APPEND_STALL_MIN: Duration = Duration::from_secs(1);

/// A silent peer is asked for a sign of life after this long, and has the other long for it (HTTP/2 PING).
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(1);
pub(super) const PONG_TIME_MAX: Duration = Duration::from_secs(2);
/// Calls at once on one connection: each proposal that is forwarded is one.
pub(super) const STREAMS_MAX: u32 = 256;
/// Calls given up by the caller before the callee saw them (CVE-2023-44487, "rapid reset"). Heartbeats to a node
/// that was stopped for a while are such.
pub(super) const RESETS_PENDING_MAX: usize = 128;
/// What may be under way to a node on one call, and on all of a connection: enough for a snapshot to flow at
/// 100 MB/s over a round trip of 20 ms, and for appends beside it.
pub(super) const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// All headers of a call together.
pub(super) const HEADER_BYTES_MAX: u32 = 16 * 1024;
