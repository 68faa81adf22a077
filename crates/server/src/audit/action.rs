//! The words of the trail: what was asked for and how it ended. Stored in files that outlive the program, so
//! a word may be added but never changed or used for something else.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A word that is not one of the words of the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an {of} of the audit log")]
pub struct UnknownWord {
    of: &'static str,
}

/// An enum whose variants are each stored as one fixed word.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $of:literal: $($variant:ident = $word:literal,)+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $(#[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word, in the order of their declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The word as it stands in a record.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<$name, UnknownWord> {
                $name::ALL.iter().copied().find(|known| known.as_str() == word).ok_or(UnknownWord { of: $of })
            }
        }
    };
}

words! {
    /// What was asked for.
    Action, "action":
    SecretCreate = "secret.create",
    SecretList = "secret.list",
    SecretRead = "secret.read",
    SecretUpdate = "secret.update",
    SecretDelete = "secret.delete",
    SecretRotate = "secret.rotate",
    SecretPrepare = "secret.prepare",
    SecretApply = "secret.apply",
    SecretVerify = "secret.verify",
    SecretBatchRead = "secret.batch_read",
    SecretVersions = "secret.versions",
    SecretExpire = "secret.expire",
    RoleCreate = "role.create",
    RoleList = "role.list",
    RoleRead = "role.read",
    RoleDelete = "role.delete",
    RoleSetPermissions = "role.set_permissions",
    TokenIssue = "token.issue",
    TokenList = "token.list",
    TokenRevoke = "token.revoke",
    TokenBootstrap = "token.bootstrap",
    GrantsCheck = "grants.check",
    AuditRead = "audit.read",
    AuditRecovered = "audit.recovered",
    LockoutList = "lockout.list",
    LockoutLift = "lockout.lift",
    MetricsRead = "metrics.read",
    ClusterInitialize = "cluster.initialize",
    IntegrityKeyInstall = "integrity_key.install",
    ClusterRead = "cluster.read",
    ClusterAddNode = "cluster.add_node",
    ClusterPromoteNode = "cluster.promote_node",
    ClusterRemoveNode = "cluster.remove_node",
    ClusterStepDown = "cluster.step_down",
    KmsRewrap = "kms.rewrap",
    KmsRewrapEnd = "kms.rewrap_end",
    KmsRewrapStatus = "kms.rewrap_status",
    KmsAdoptRotation = "kms.adopt_rotation",
    Unknown = "unknown",
}

words! {
    /// How it ended.
    Outcome, "outcome":
    Ok = "ok",
    Invalid = "invalid",
    Unauthenticated = "unauthenticated",
    Denied = "denied",
    LockedOut = "locked_out",
    NotFound = "not_found",
    Conflict = "conflict",
    TooLarge = "too_large",
    Unavailable = "unavailable",
    Error = "error",
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_action_has_a_word_of_its_own_that_leads_back_to_it() {
        let words: HashSet<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(words.len(), Action::ALL.len());
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(*action));
            assert_eq!(serde_json::to_string(action).unwrap(), format!("\"{action}\""));
        }
    }

    #[test]
    fn a_word_that_is_none_is_refused_without_being_echoed() {
        let refused = "secret.steal".parse::<Action>().unwrap_err();
        assert_eq!(refused.to_string(), "not an action of the audit log");
        assert!("OK".parse::<Outcome>().is_err());
    }
}
