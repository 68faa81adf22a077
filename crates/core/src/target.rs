//! Where a rotation applies a new password: the description of a PostgreSQL target, parsed once at the border
//! and stored with its secret. It holds names and addresses, never a credential.

mod host;
mod identifier;

use minicbor::{Decode, Encode};

pub use self::host::{DatabaseHost, HostError};
pub use self::identifier::{DatabaseIdentifier, IdentifierError};
use crate::limits::TARGET_HOSTS_MAX;
use crate::name::{NameError, SecretName};

/// The database that is connected to when none is named: one that every server has.
const DATABASE_DEFAULT: &str = "postgres";
/// The one strategy that has a name; without it each rotation changes the same role.
const STRATEGY_ALTERNATING: &str = "alternating";

/// Where and how a new password is applied.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Target {
    #[n(0)]
    pub kind: TargetKind,
    /// At least one, at most [`TARGET_HOSTS_MAX`], no two the same. The primary is found among them each time.
    #[n(1)]
    pub hosts: Vec<DatabaseHost>,
    #[n(2)]
    pub database: DatabaseIdentifier,
    #[n(3)]
    pub roles: TargetRoles,
    /// The userpass secret to log in with; without it, the rotating secret itself.
    #[n(4)]
    pub login_secret: Option<SecretName>,
    #[n(5)]
    pub ssl_mode: SslMode,
}

/// How the password is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum TargetKind {
    /// `ALTER ROLE … PASSWORD` with a SCRAM-SHA-256 verifier. Needs no extension.
    #[n(0)]
    Postgres,
    /// `SELECT replica.rotate_credential(role, password)`.
    #[n(1)]
    PgReplica,
}

impl TargetKind {
    /// Every kind and its text on the wire.
    pub const ALL: [(TargetKind, &'static str); 2] =
        [(TargetKind::Postgres, "postgres"), (TargetKind::PgReplica, "pg_replica")];

    #[must_use]
    pub fn parse(text: &str) -> Option<TargetKind> {
        TargetKind::ALL.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        TargetKind::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// Whose password is changed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum TargetRoles {
    /// The role that the secret's username names.
    #[n(0)]
    Username,
    /// This role, whatever the username is.
    #[n(1)]
    One(#[n(0)] DatabaseIdentifier),
    /// Of two different roles the one that isn't in use, so that clients with the old credential work through
    /// the whole grace period.
    #[n(2)]
    Alternating(#[n(0)] DatabaseIdentifier, #[n(1)] DatabaseIdentifier),
}

/// How the connection to the database is protected: libpq's words, and its meanings but where a mode here says
/// otherwise.
///
/// The default is [`SslMode::Require`] and not libpq's `prefer`, of which PostgreSQL's own documentation says
/// that it "makes no sense from a security point of view": whoever is on the path could have a new password sent
/// in the clear. `verify-full` would be better still, but can't work before its authorities are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum SslMode {
    /// No TLS: for a network that is protected otherwise, such as WireGuard.
    #[n(0)]
    Disable,
    /// TLS where the server offers it. Protects from nobody who can alter traffic.
    #[n(1)]
    Prefer,
    /// TLS, with any certificate. **Stronger than libpq's:** SCRAM with channel binding (RFC 5929) is asked for,
    /// by which a server that isn't the one the password belongs to is found out without any certificate of an
    /// authority. Servers that can't do this need one of the modes below.
    #[default]
    #[n(2)]
    Require,
    /// TLS, with a certificate of one of the authorities that are set up, whatever name it has.
    #[n(3)]
    VerifyCa,
    /// TLS, with a certificate of one of the authorities that are set up, for the name of the host.
    #[n(4)]
    VerifyFull,
}

impl SslMode {
    /// Every mode and its text on the wire.
    pub const ALL: [(SslMode, &'static str); 5] = [
        (SslMode::Disable, "disable"),
        (SslMode::Prefer, "prefer"),
        (SslMode::Require, "require"),
        (SslMode::VerifyCa, "verify-ca"),
        (SslMode::VerifyFull, "verify-full"),
    ];

    #[must_use]
    pub fn parse(text: &str) -> Option<SslMode> {
        SslMode::ALL.iter().find(|(_, name)| *name == text).map(|(mode, _)| *mode)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        SslMode::ALL.iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }
}

/// A description as it was submitted, nothing of it checked. Fields are called as in the HTTP API.
#[derive(Debug, Clone, Copy, Default)]
pub struct TargetText<'a> {
    pub kind: &'a str,
    pub hosts: &'a [String],
    pub database: Option<&'a str>,
    pub role: Option<&'a str>,
    pub strategy: Option<&'a str>,
    pub roles: Option<&'a [String]>,
    pub login_secret: Option<&'a str>,
    pub sslmode: Option<&'a str>,
}

/// Why a text describes no target. Names the field; what was submitted is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("target.type must be one of postgres, pg_replica")]
    Kind,
    #[error("target.hosts must name at least one host, as host:port")]
    NoHosts,
    #[error("target.hosts must have at most {TARGET_HOSTS_MAX} entries")]
    TooManyHosts,
    #[error("target.hosts, entry {position}: {source}")]
    Host { position: usize, source: HostError },
    #[error("target.hosts, entry {position}: stands there twice")]
    DuplicateHost { position: usize },
    #[error("target.{field} {source}")]
    Identifier { field: &'static str, source: IdentifierError },
    #[error("target.login_secret {0}")]
    LoginSecret(NameError),
    #[error("target.sslmode must be one of disable, prefer, require, verify-ca, verify-full")]
    SslMode,
    #[error("target.strategy must be alternating, or left out")]
    Strategy,
    #[error("target.roles must be two different roles, and is for the alternating strategy only")]
    Roles,
    #[error("target.role can't stand beside the alternating strategy: it has target.roles")]
    RoleBesideRoles,
}

impl Target {
    /// # Errors
    /// [`TargetError`] names the first field that is wrong.
    pub fn parse(text: &TargetText<'_>) -> Result<Target, TargetError> {
        Ok(Target {
            kind: TargetKind::parse(text.kind).ok_or(TargetError::Kind)?,
            hosts: parse_hosts(text.hosts)?,
            database: identifier("database", text.database.unwrap_or(DATABASE_DEFAULT))?,
            roles: parse_roles(text)?,
            login_secret: text
                .login_secret
                .map(SecretName::parse)
                .transpose()
                .map_err(TargetError::LoginSecret)?,
            ssl_mode: match text.sslmode {
                None => SslMode::default(),
                Some(mode) => SslMode::parse(mode).ok_or(TargetError::SslMode)?,
            },
        })
    }
}

fn parse_hosts(texts: &[String]) -> Result<Vec<DatabaseHost>, TargetError> {
    match texts.len() {
        0 => return Err(TargetError::NoHosts),
        1..=TARGET_HOSTS_MAX => {}
        _ => return Err(TargetError::TooManyHosts),
    }
    let mut hosts = Vec::with_capacity(texts.len());
    for (text, position) in texts.iter().zip(1..) {
        let host = DatabaseHost::parse(text).map_err(|source| TargetError::Host { position, source })?;
        if hosts.contains(&host) {
            return Err(TargetError::DuplicateHost { position });
        }
        hosts.push(host);
    }
    Ok(hosts)
}

fn parse_roles(text: &TargetText<'_>) -> Result<TargetRoles, TargetError> {
    match (text.strategy, text.role, text.roles) {
        (None, None, None) => Ok(TargetRoles::Username),
        (None, Some(role), None) => Ok(TargetRoles::One(identifier("role", role)?)),
        (Some(STRATEGY_ALTERNATING), None, Some([first, second])) if first != second => {
            Ok(TargetRoles::Alternating(identifier("roles", first)?, identifier("roles", second)?))
        }
        (Some(STRATEGY_ALTERNATING), Some(_), _) => Err(TargetError::RoleBesideRoles),
        (Some(STRATEGY_ALTERNATING) | None, _, _) => Err(TargetError::Roles),
        (Some(_), _, _) => Err(TargetError::Strategy),
    }
}

fn identifier(field: &'static str, text: &str) -> Result<DatabaseIdentifier, TargetError> {
    DatabaseIdentifier::parse(text).map_err(|source| TargetError::Identifier { field, source })
}

#[cfg(test)]
mod tests;
