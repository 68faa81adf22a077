//! What the product promises, held against the real binary: real processes, sockets and files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod callers;
mod client_address;
mod connection;
mod docs;
mod first_tour;
mod lockout;
mod matrix;
mod tokens;
mod trail;
mod vault;
