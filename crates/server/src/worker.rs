//! What the vault does of itself, most of it on the node that leads.

mod expiry;
mod grant_check;
mod rewrap;
mod rotation;
mod supervisor;
mod token_use;

pub use expiry::Expiry;
pub use grant_check::GrantCheck;
pub use rewrap::{Agenda, Rewrap};
pub use rotation::{Attempts, Rotation};
pub use supervisor::{Job, Place, Supervisor};
pub use token_use::TokenUsage;
