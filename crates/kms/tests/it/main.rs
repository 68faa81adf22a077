//! What key providers promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod aws_emulator;
mod aws_provider;
mod cache;
mod check;
mod emulator;
mod fixture;
mod local;
mod outage;
mod resilient;
mod scripted;
mod set_up;
