//! The replicated state: all rows in one redb file, changed only by applying the log.
//!
//! A dedicated thread owns the writing side. It applies what it is given as one transaction without a sync, then
//! publishes the view that all readers share; from time to time a checkpoint makes the applied state durable.
//! Until then the log holds what a crash would lose.

mod file;
mod machine;
mod rows;
mod view;
mod writer;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod model_tests;

pub(crate) use file::StateFile;
pub(crate) use machine::StateMachine;
pub use view::StateView;
pub(crate) use writer::{CheckpointPolicy, StateHandle, StateWriter};
