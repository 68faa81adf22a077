//! The one place where commands meet rows: delegation, and the clock that never goes back.

use super::Outcome;
use super::command::{Command, Proposal};
use super::overlay::Overlay;
use super::rows::{Rows, RowsMut, StateFault};
use super::table::meta;
use crate::time::Timestamp;

/// Applies one committed proposal. The caller makes all of its rows durable together, or none.
///
/// # Errors
/// [`StateFault`] when the rows can't be read or written. The node must halt: its state is not known.
pub fn apply(proposal: &Proposal, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
    let now = proposal.stamp.max(meta::clock(rows)?);
    meta::put_clock(rows, now)?;
    dispatch(&proposal.command, now, rows)
}

/// What `command` would come to if it were applied to these rows at `now`; nothing is changed.
///
/// # Errors
/// [`StateFault`] when the rows can't be read.
pub fn preview(command: &Command, now: Timestamp, rows: &dyn Rows) -> Result<Outcome, StateFault> {
    let now = now.max(meta::clock(rows)?);
    dispatch(command, now, &mut Overlay::over(rows))
}

fn dispatch(command: &Command, now: Timestamp, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
    match command {
        Command::InitializeCluster(command) => command.apply(now, rows),
        Command::Bootstrap(command) => command.apply(now, rows),
        Command::CreateSecret(command) => command.apply(now, rows),
        Command::UpdateSecret(command) => command.apply(now, rows),
        Command::RotateSecret(command) => command.apply(now, rows),
        Command::DeleteSecret(command) => command.apply(rows),
        Command::RemoveExpired(command) => command.apply(now, rows),
        Command::CreateRole(command) => command.apply(now, rows),
        Command::SetRules(command) => command.apply(rows),
        Command::DeleteRole(command) => command.apply(rows),
        Command::IssueToken(command) => command.apply(now, rows),
        Command::RevokeToken(command) => command.apply(now, rows),
        Command::TouchTokens(command) => command.apply(now, rows),
    }
}
