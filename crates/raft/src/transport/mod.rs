//! How this node reaches the others, and they it: gRPC over HTTP/2 over mutual TLS, with frames of its own.
//!
//! ```text
//! consensus ─▶ network ─▶ connection ─▶ dial ──── TLS ────▶ server ─▶ service ─▶ inbox (the node)
//!                 │            └─ frames: the bytes of each message ─┘
//!                 └─▶ routes: who was verified, and where (the roster)
//! ```
//!
//! A certificate says which node a connection is to or from. Every call says besides which start of which node on
//! which line of history is meant, and by whom: see [`message::Caller`]. What a stranger can reach ends in
//! `server.rs`, within the bounds of `limits.rs`.

mod call;
pub(crate) mod connection;
mod dial;
mod frames;
mod handshakes;
pub(crate) mod inbox;
mod limits;
pub(crate) mod message;
pub(crate) mod network;
mod refusals;
mod replication;
pub(crate) mod server;
mod service;
mod snapshot_transfer;
pub mod tls;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
