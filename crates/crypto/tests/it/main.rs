//! What the cipher path promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod envelope;
mod exposure;
mod integrity;
mod vectors;
mod wrap;
