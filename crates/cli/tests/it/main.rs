//! What the product promises, held against the real binary: real processes, sockets and files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod callers;
mod docs;
mod first_tour;
mod matrix;
mod vault;
