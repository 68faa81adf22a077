//! What a node promises, seen from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cluster;
mod crash_images;
mod data_dir;
mod fixture;
mod growth;
mod node;
mod recording_disk;
mod restart;
