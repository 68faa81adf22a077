//! The replicated state machine: rows, the commands that change them, and what comes of each.
//!
//! [`apply()`] is total and deterministic: the same commands in the same order make the same rows on every
//! node, whatever the clock, the machine or the moment.

mod apply;
pub mod command;
mod feature_level;
mod outcome;
mod overlay;
mod row;
mod rows;
pub mod table;

pub use apply::{apply, preview};
pub use command::{Command, Origin, Proposal, UnreadableProposal};
pub use feature_level::{
    FEATURE_LEVEL, FIRST_FEATURE_LEVEL, ORIGINS_SINCE, REWRAP_SINCE, TARGETS_SINCE, UnsupportedLevel,
};
pub use outcome::{Effect, Outcome, Refusal};
pub use overlay::Overlay;
pub use row::CorruptRow;
pub use rows::{RawRow, Rows, RowsMut, StateFault, StorageFault};
