//! The replicated commands, one file each: its fields, how it is applied, and its tests.

mod adopt_rotation;
mod begin_attempt;
mod begin_rewrap;
mod bootstrap;
mod create_role;
mod create_secret;
mod delete_role;
mod delete_secret;
mod end_rewrap;
mod fail_rotation;
mod hasten_rotation;
mod initialize_cluster;
mod install_integrity_key;
mod issue_token;
mod prepare_rotation;
mod promote_version;
mod raise_feature_level;
mod remove_expired;
mod revoke_token;
mod rewrap_keys;
mod rotate_secret;
mod set_rules;
mod touch_tokens;
mod update_secret;
mod version_chain;

pub use adopt_rotation::AdoptRotation;
pub use begin_attempt::BeginAttempt;
pub use begin_rewrap::BeginRewrap;
pub use bootstrap::{BOOTSTRAP_TOKEN_NAME, Bootstrap};
pub use create_role::CreateRole;
pub use create_secret::CreateSecret;
pub use delete_role::DeleteRole;
pub use delete_secret::DeleteSecret;
pub use end_rewrap::EndRewrap;
pub use fail_rotation::FailRotation;
pub use hasten_rotation::HastenRotation;
pub use initialize_cluster::InitializeCluster;
pub use install_integrity_key::InstallIntegrityKey;
pub use issue_token::IssueToken;
pub use prepare_rotation::PrepareRotation;
pub use promote_version::PromoteVersion;
pub use raise_feature_level::RaiseFeatureLevel;
pub use remove_expired::RemoveExpired;
pub use revoke_token::RevokeToken;
pub use rewrap_keys::{RewrapKeys, RewrappedKey, RewrappedVersion};
pub use rotate_secret::RotateSecret;
pub use set_rules::SetRules;
pub use touch_tokens::{TokenUse, TouchTokens};
pub use update_secret::{Setting, UpdateSecret};

use minicbor::{Decode, Encode};

use super::feature_level::{FIRST_FEATURE_LEVEL, REWRAP_SINCE, TARGETS_SINCE};
use crate::time::Timestamp;

/// A change of the replicated state. A number once used is never used for something else; a command whose
/// fields change in any way but an added optional one is a new command.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    #[n(0)]
    InitializeCluster(#[n(0)] InitializeCluster),
    #[n(1)]
    Bootstrap(#[n(0)] Bootstrap),
    #[n(2)]
    CreateSecret(#[n(0)] CreateSecret),
    #[n(3)]
    UpdateSecret(#[n(0)] UpdateSecret),
    #[n(4)]
    RotateSecret(#[n(0)] RotateSecret),
    #[n(5)]
    DeleteSecret(#[n(0)] DeleteSecret),
    #[n(6)]
    RemoveExpired(#[n(0)] RemoveExpired),
    #[n(7)]
    CreateRole(#[n(0)] CreateRole),
    #[n(8)]
    SetRules(#[n(0)] SetRules),
    #[n(9)]
    DeleteRole(#[n(0)] DeleteRole),
    #[n(10)]
    IssueToken(#[n(0)] IssueToken),
    #[n(11)]
    RevokeToken(#[n(0)] RevokeToken),
    #[n(12)]
    TouchTokens(#[n(0)] TouchTokens),
    #[n(13)]
    RaiseFeatureLevel(#[n(0)] RaiseFeatureLevel),
    #[n(14)]
    InstallIntegrityKey(#[n(0)] InstallIntegrityKey),
    #[n(15)]
    AdoptRotation(#[n(0)] AdoptRotation),
    #[n(16)]
    BeginRewrap(#[n(0)] BeginRewrap),
    #[n(17)]
    RewrapKeys(#[n(0)] RewrapKeys),
    #[n(18)]
    EndRewrap(#[n(0)] EndRewrap),
    #[n(19)]
    PrepareRotation(#[n(0)] PrepareRotation),
    #[n(20)]
    BeginAttempt(#[n(0)] BeginAttempt),
    #[n(21)]
    PromoteVersion(#[n(0)] PromoteVersion),
    #[n(22)]
    FailRotation(#[n(0)] FailRotation),
    #[n(23)]
    HastenRotation(#[n(0)] HastenRotation),
}

impl Command {
    /// The feature level that the cluster must have reached before the command may be proposed.
    #[must_use]
    pub const fn level(&self) -> u32 {
        match self {
            Command::CreateSecret(command) if command.needs_targets() => TARGETS_SINCE,
            Command::UpdateSecret(command) if command.needs_targets() => TARGETS_SINCE,
            Command::InitializeCluster(_)
            | Command::Bootstrap(_)
            | Command::CreateSecret(_)
            | Command::UpdateSecret(_)
            | Command::RotateSecret(_)
            | Command::DeleteSecret(_)
            | Command::RemoveExpired(_)
            | Command::CreateRole(_)
            | Command::SetRules(_)
            | Command::DeleteRole(_)
            | Command::IssueToken(_)
            | Command::RevokeToken(_)
            | Command::TouchTokens(_)
            | Command::InstallIntegrityKey(_) => FIRST_FEATURE_LEVEL,
            Command::AdoptRotation(_)
            | Command::BeginRewrap(_)
            | Command::RewrapKeys(_)
            | Command::EndRewrap(_) => REWRAP_SINCE,
            Command::PrepareRotation(_)
            | Command::BeginAttempt(_)
            | Command::PromoteVersion(_)
            | Command::FailRotation(_)
            | Command::HastenRotation(_) => TARGETS_SINCE,
            // It is what leads out of the first level, so it can't wait for the next. Its proposer knows the level
            // of every member; nobody else may propose it.
            Command::RaiseFeatureLevel(_) => FIRST_FEATURE_LEVEL,
        }
    }
}

/// A command, the time it was stamped with, and who wants it applied once: what stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Proposal {
    #[n(0)]
    pub stamp: Timestamp,
    #[n(1)]
    pub command: Command,
    /// Absent: applied as often as it stands in the log. Builds of level 1 neither write nor read it.
    #[n(2)]
    pub origin: Option<Origin>,
}

/// Names one change among all that were ever asked for, so that however often it is proposed (again after an
/// answer was lost, again to another leader) it is applied once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Origin {
    /// The node where the change was asked for.
    #[n(0)]
    pub node_id: u64,
    /// One start of that node, at random: of two starts with the same number, the later one's changes would be
    /// taken for the earlier one's.
    #[n(1)]
    pub session: u64,
    /// Counts the changes of the session, from 1. They may arrive in any order, though none later than
    /// [`WINDOW_SEQUENCES`](super::table::sessions::WINDOW_SEQUENCES) behind another.
    #[n(2)]
    pub sequence: u64,
}

/// The log holds a proposal that this build can't read: damaged, or of a newer build. The node must halt;
/// skipping it would part this node's state from the others'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log holds a command that this version doesn't know ({0}); run the version that wrote it or a newer one"
)]
pub struct UnreadableProposal(String);

impl Proposal {
    /// The bytes that stand in the log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Encoding into a vector has no way to fail: the error type of its writer has no values.
        let Ok(()) = minicbor::encode(self, &mut bytes).map_err(|_| ()) else { return Vec::new() };
        bytes
    }

    /// # Errors
    /// [`UnreadableProposal`].
    pub fn decode(bytes: &[u8]) -> Result<Proposal, UnreadableProposal> {
        minicbor::decode(bytes).map_err(|error| UnreadableProposal(error.to_string()))
    }
}

#[cfg(test)]
#[path = "command/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "command/golden_tests.rs"]
mod golden_tests;

#[cfg(test)]
#[path = "command/rewrap_tests.rs"]
mod rewrap_tests;

#[cfg(test)]
#[path = "command/rotation_tests.rs"]
mod rotation_tests;

#[cfg(test)]
#[path = "command/grant_tests.rs"]
mod grant_tests;
