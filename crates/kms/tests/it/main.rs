//! What key providers promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod aws_emulator;
mod cache;
mod emulator;
mod fixture;
mod local;
