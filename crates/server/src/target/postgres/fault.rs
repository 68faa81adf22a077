//! Why a password was not applied or could not be tried, as PostgreSQL has it.

use std::error::Error as _;
use std::io::{self, ErrorKind};

use hyperion_vault_core::rotation::RotationFault;
use hyperion_vault_core::target::DatabaseHost;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::{STATEMENT_SECONDS_MAX, TARGET_SECONDS_MAX};
use crate::target::TargetFault;

/// Sorted by what can be done about it. The texts are the vault's own: of what a server says, only the five
/// characters of an SQLSTATE are repeated, as the rest may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// No connection, or one that broke, or a server that starts or stops. Trying again may help.
    #[error("{host} can't be reached")]
    Unreachable { host: DatabaseHost },
    /// Trying again may help.
    #[error("{host} has no room for another connection")]
    Busy { host: DatabaseHost },
    /// Trying again may help.
    #[error("no answer from the database within {TARGET_SECONDS_MAX} s")]
    TimedOut,
    /// A server gave up a statement, for its own time limit or a lock. Trying again may help.
    #[error("{host} gave the statement up, after at most {STATEMENT_SECONDS_MAX} s")]
    StatementTimedOut { host: DatabaseHost },
    /// Hosts answered, and none of them accepts changes: as in the middle of a failover.
    #[error("none of the hosts that answer is known to be the primary")]
    NoPrimary,
    /// Two servers accept changes, and which one the clients use isn't known here.
    #[error("{first} and {second} both say that they are the primary")]
    SplitBrain { first: DatabaseHost, second: DatabaseHost },
    /// Of the account that logs in the name or the password is wrong, or `pg_hba.conf` doesn't let it in.
    #[error("{host} refuses the login")]
    LoginRefused { host: DatabaseHost },
    /// The account may log in, but not do this.
    #[error("the account is not permitted to do this at {host}")]
    NotPermitted { host: DatabaseHost },
    #[error("there is no such role at {host}")]
    NoSuchRole { host: DatabaseHost },
    /// A new password could not be proved: nothing was changed.
    #[error("the role may not log in at {host}, or its validity has ended")]
    RoleCannotLogIn { host: DatabaseHost },
    #[error("there is no such database at {host}")]
    NoSuchDatabase { host: DatabaseHost },
    #[error("there is no function replica.rotate_credential(text, text) at {host}")]
    NoFunction { host: DatabaseHost },
    /// The server has no TLS, or there is no agreement on it, or its certificate isn't what `sslmode` asks for.
    #[error("no TLS with {host} as sslmode asks for it")]
    Tls { host: DatabaseHost },
    #[error("sslmode verify-ca and verify-full need the file of authorities for targets, and none is set")]
    NoAuthorities,
    /// The server let the account in before it asked for anything: no password can be proved there.
    #[error("{host} asks for no password")]
    PasswordNotAsked { host: DatabaseHost },
    /// Sending it so would show it to whoever answers.
    #[error(
        "{host} asks for the password in another way than by SCRAM-SHA-256, and its certificate is not verified"
    )]
    PasswordUnprotected { host: DatabaseHost },
    /// It may be somebody in between.
    #[error(
        "{host} did not show, by SCRAM and what sslmode asks of it, that it is the server of this account"
    )]
    ServerNotProved { host: DatabaseHost },
    /// Nothing was sent.
    #[error("{host} would log the parameters of the statement, and with them the password")]
    WouldBeLogged { host: DatabaseHost },
    /// Empty, with a NUL, or not UTF-8.
    #[error("the password can't be one of PostgreSQL's")]
    PasswordUnusable,
    /// Anything else that the server said.
    #[error("{host} answers with SQLSTATE {sqlstate}")]
    Other { host: DatabaseHost, sqlstate: String },
    /// What the server sent is not the protocol.
    #[error("{host} does not answer as PostgreSQL does")]
    Protocol { host: DatabaseHost },
}

impl Fault {
    fn class(&self) -> RotationFault {
        match self {
            Fault::Unreachable { .. } | Fault::Busy { .. } => RotationFault::Unreachable,
            Fault::TimedOut | Fault::StatementTimedOut { .. } => RotationFault::TimedOut,
            Fault::NoPrimary => RotationFault::NoPrimary,
            Fault::SplitBrain { .. } => RotationFault::SeveralPrimaries,
            Fault::LoginRefused { .. } => RotationFault::LoginRefused,
            Fault::NotPermitted { .. } => RotationFault::NotPermitted,
            Fault::NoSuchRole { .. } => RotationFault::NoSuchRole,
            Fault::NoFunction { .. } => RotationFault::NoSuchFunction,
            Fault::Tls { .. }
            | Fault::NoAuthorities
            | Fault::PasswordUnprotected { .. }
            | Fault::ServerNotProved { .. } => RotationFault::Tls,
            Fault::RoleCannotLogIn { .. }
            | Fault::NoSuchDatabase { .. }
            | Fault::PasswordNotAsked { .. }
            | Fault::WouldBeLogged { .. }
            | Fault::PasswordUnusable
            | Fault::Other { .. }
            | Fault::Protocol { .. } => RotationFault::Refused,
        }
    }
}

impl From<Fault> for TargetFault {
    fn from(fault: Fault) -> TargetFault {
        TargetFault { fault: fault.class(), detail: fault.to_string() }
    }
}

impl Fault {
    /// Sorts what a server or the way to it said.
    pub(super) fn of(host: &DatabaseHost, error: &Error) -> Fault {
        match error.as_db_error() {
            Some(error) => Fault::of_sqlstate(host, error.code()),
            None if error.is_closed() => Fault::Unreachable { host: host.clone() },
            None => {
                let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
                io.map_or_else(|| Fault::Protocol { host: host.clone() }, |io| Fault::of_io(host, io))
            }
        }
    }

    /// Whether a server refused a login for its password. It says the same of roles that don't exist or have expired.
    pub(super) fn is_wrong_password(error: &Error) -> bool {
        error.code() == Some(&SqlState::INVALID_PASSWORD)
    }

    /// Errors of TLS and of the protocol come as errors of the connection too.
    pub(super) fn of_io(host: &DatabaseHost, error: &io::Error) -> Fault {
        let host = host.clone();
        let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        match error.kind() {
            _ if is_tls => Fault::Tls { host },
            ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::Other => Fault::Protocol { host },
            _ => Fault::Unreachable { host },
        }
    }

    /// By "PostgreSQL Error Codes", appendix A of its documentation.
    fn of_sqlstate(host: &DatabaseHost, state: &SqlState) -> Fault {
        let host = host.clone();
        match *state {
            SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                Fault::LoginRefused { host }
            }
            SqlState::INSUFFICIENT_PRIVILEGE => Fault::NotPermitted { host },
            SqlState::UNDEFINED_OBJECT => Fault::NoSuchRole { host },
            SqlState::UNDEFINED_FUNCTION | SqlState::INVALID_SCHEMA_NAME => Fault::NoFunction { host },
            SqlState::INVALID_CATALOG_NAME => Fault::NoSuchDatabase { host },
            SqlState::READ_ONLY_SQL_TRANSACTION => Fault::NoPrimary,
            SqlState::TOO_MANY_CONNECTIONS => Fault::Busy { host },
            SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE => Fault::StatementTimedOut { host },
            SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => {
                Fault::Unreachable { host }
            }
            _ => Fault::Other { host, sqlstate: sqlstate_text(state) },
        }
    }
}

/// As it is, where it is what one may be: a server could send anything.
fn sqlstate_text(state: &SqlState) -> String {
    let code = state.code();
    let is_one =
        code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    if is_one { code.to_owned() } else { "unknown".to_owned() }
}
