//! What comes of a command: it was applied, or it was refused and why. Both are results; neither is a fault.

use crate::name::SecretName;
use crate::policy::Role;
use crate::secret::{Secret, VersionNumber};
use crate::state::table::rewrap::EndedPass;
use crate::token::Token;

/// The result of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Applied(Effect),
    Refused(Refusal),
}

/// What an applied command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing to tell.
    Done,
    /// The secret as it is now; before it was deleted, for a deletion.
    Secret(Box<Secret>),
    /// The secret as it is now; the command was about the version after its current one.
    Pending(Box<Secret>),
    /// The role as it is now.
    Role(Box<Role>),
    /// The token as it is now.
    Token(Box<Token>),
    /// The versions that were removed.
    Removed(Vec<(SecretName, VersionNumber)>),
    /// The pass of this number is under way.
    RewrapBegun { number: u64 },
    /// So many versions have a re-wrapped data key.
    Rewrapped(u64),
    /// The pass as it ended.
    RewrapEnded(Box<EndedPass>),
}

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a secret of this name exists already")]
    SecretExists,
    #[error("no such secret")]
    SecretNotFound,
    #[error("the secret has changed: its version is {}", current.get())]
    VersionConflict { current: VersionNumber },
    #[error("rotation is for automatic secrets only")]
    NotAutomatic,
    #[error(
        "too many versions are in their grace period; wait for some to expire or shorten the grace period"
    )]
    TooManyVersions,
    #[error(
        "the secret has a target: its password changes by rotation; ?apply=false tells the vault one that the database has already"
    )]
    HasTarget,
    #[error("the secret has no target")]
    NoTarget,
    #[error(
        "a new password is prepared that the database may have; let it be applied, or give the one it has with ?apply=false"
    )]
    RotationPending,
    #[error("a new password is being applied right now; ask again in a few seconds")]
    RotationRunning,
    #[error("no version is pending")]
    NothingPending,
    #[error("another attempt took over")]
    AttemptTakenOver,
    #[error("a role of this name exists already")]
    RoleExists,
    #[error("no such role")]
    RoleNotFound,
    #[error("the built-in admin role can't be changed or deleted")]
    RoleBuiltIn,
    #[error("the role has tokens that are not revoked; revoke them first")]
    RoleInUse,
    #[error("the vault holds the most roles it may")]
    TooManyRoles,
    #[error("an unrevoked token of this name exists already")]
    TokenExists,
    #[error("no such token")]
    TokenNotFound,
    #[error("the vault holds the most tokens it may; use the name of a revoked one")]
    TooManyTokens,
    #[error("the cluster has its identity already")]
    ClusterInitialized,
    #[error("the cluster has no identity yet")]
    ClusterNotInitialized,
    #[error("the cluster has its integrity key already")]
    IntegrityKeyExists,
    #[error("the vault holds secrets, roles or tokens, but no integrity key to tell true ones by")]
    NotPristine,
    #[error("a rotation of the master key is known already")]
    RotationAdopted,
    #[error("a re-wrap pass is running; its status tells how far it is")]
    RewrapRunning,
    #[error("the re-wrap pass has ended")]
    RewrapEnded,
    #[error("a later rotation of the master key is known; ask again")]
    RotationPassed,
    #[error("this bootstrap token was taken before")]
    BootstrapTaken,
    #[error("a live admin token exists; another bootstrap token is taken only when there is none")]
    LiveAdminExists,
    #[error("the change was applied before, or is too old to tell")]
    AppliedBefore,
}

impl Refusal {
    pub(crate) const fn outcome(self) -> Outcome {
        Outcome::Refused(self)
    }
}

impl Effect {
    pub(crate) const fn outcome(self) -> Outcome {
        Outcome::Applied(self)
    }
}
