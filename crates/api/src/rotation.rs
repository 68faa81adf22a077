//! Targets, generators and the state of rotations on the wire.

use hyperion_vault_core::generator as domain;
use hyperion_vault_core::secret::{Secret, SecretKind};
use hyperion_vault_core::target::{Target, TargetError, TargetRoles, TargetText};
use serde::{Deserialize, Deserializer, Serialize};

use crate::time::rfc3339;

/// Characters of a generated value where a generator names no number: as many as every value has.
const LENGTH_DEFAULT: u32 = 43;
/// Where a generator names no alphabet: base64url (RFC 4648 §5).
const ALPHABET_DEFAULT: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const STRATEGY_ALTERNATING: &str = "alternating";

/// Where rotations apply a new password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetInfo {
    /// `postgres` or `pg_replica`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `host:port`, among which the primary is found.
    pub hosts: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// `alternating`, with `roles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<String>,
}

impl TargetInfo {
    /// # Errors
    /// [`TargetError`] names the first field that is wrong.
    pub fn parse(&self) -> Result<Target, TargetError> {
        Target::parse(&TargetText {
            kind: &self.kind,
            hosts: &self.hosts,
            database: self.database.as_deref(),
            role: self.role.as_deref(),
            strategy: self.strategy.as_deref(),
            roles: self.roles.as_deref(),
            login_secret: self.login_secret.as_deref(),
            sslmode: self.sslmode.as_deref(),
        })
    }
}

impl From<&Target> for TargetInfo {
    fn from(target: &Target) -> TargetInfo {
        let (role, roles) = match &target.roles {
            TargetRoles::Username => (None, None),
            TargetRoles::One(role) => (Some(role.as_str().to_owned()), None),
            TargetRoles::Alternating(first, second) => {
                (None, Some(vec![first.as_str().to_owned(), second.as_str().to_owned()]))
            }
        };
        TargetInfo {
            kind: target.kind.as_str().to_owned(),
            hosts: target.hosts.iter().map(ToString::to_string).collect(),
            database: Some(target.database.as_str().to_owned()),
            role,
            strategy: roles.is_some().then(|| STRATEGY_ALTERNATING.to_owned()),
            roles,
            login_secret: target.login_secret.as_ref().map(ToString::to_string),
            sslmode: Some(target.ssl_mode.as_str().to_owned()),
        }
    }
}

/// How a secret's material is generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorInfo {
    #[serde(default = "length_default")]
    pub length: u32,
    #[serde(default = "alphabet_default")]
    pub alphabet: String,
}

fn length_default() -> u32 {
    LENGTH_DEFAULT
}

fn alphabet_default() -> String {
    ALPHABET_DEFAULT.to_owned()
}

impl GeneratorInfo {
    /// # Errors
    /// [`GeneratorError`](domain::GeneratorError) says which rule is broken.
    pub fn parse(&self) -> Result<domain::Generator, domain::GeneratorError> {
        domain::Generator::new(self.length, &self.alphabet)
    }
}

impl From<&domain::Generator> for GeneratorInfo {
    fn from(generator: &domain::Generator) -> GeneratorInfo {
        GeneratorInfo { length: generator.length(), alphabet: generator.alphabet().to_owned() }
    }
}

/// How the rotations of an automatic secret go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationInfo {
    /// `scheduled`; `pending`: a new password is being applied; `failing`: the last attempt failed.
    pub state: String,
    pub last_attempt_at: Option<String>,
    pub last_error: Option<String>,
    /// Attempts that failed since the last one that didn't.
    pub failures: u32,
    pub next_attempt_at: Option<String>,
}

impl RotationInfo {
    /// None for a manual secret.
    #[must_use]
    pub fn of(secret: &Secret) -> Option<RotationInfo> {
        if secret.kind == SecretKind::Manual {
            return None;
        }
        let progress = secret.rotation.clone().unwrap_or_default();
        let state = match (progress.failures, &progress.pending) {
            (1.., _) => "failing",
            (0, Some(_)) => "pending",
            (0, None) => "scheduled",
        };
        Some(RotationInfo {
            state: state.to_owned(),
            last_attempt_at: progress.last_attempt_at.map(rfc3339),
            last_error: progress.last_fault.map(|fault| fault.message().to_owned()),
            failures: progress.failures,
            next_attempt_at: secret.due_at().map(rfc3339),
        })
    }
}

/// A member that may be left out, or be `null` to take away what there is.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
