//! Passwords of PostgreSQL's roles.
//!
//! **Where a password can be seen.** `postgres` sends a SCRAM-SHA-256 verifier: that, and no password, may stand in the
//! server's log, in `pg_stat_activity` and in `pg_stat_statements`. `pg_replica` sends the password as a parameter of
//! its function. Parameters are logged with the statements that `log_statement = all`, `log_min_duration_statement` and
//! their like ask for. Where they would be, the vault sets `log_parameter_max_length = 0` for its session, and where it
//! isn't permitted that, it refuses: let a superuser `ALTER ROLE <login> SET log_parameter_max_length = 0`, or, since
//! version 15, `GRANT SET ON PARAMETER log_parameter_max_length TO <login>`. What the function itself makes of the
//! password can't be prevented from here: a statement with it that fails within the function is logged as the error's
//! context, `auto_explain.log_nested_statements` shows it, and so does `pg_stat_statements.track = all`.
//!
//! **In memory.** The client library holds copies of passwords that it doesn't wipe when it frees them.
//!
//! **Ways to log in.** SCRAM, by which the server shows that it knows the password too. By `md5` or `password` only
//! where the server's certificate was verified. A server that lets the account in without a password (`trust`, `peer`,
//! `cert`) is refused: it would take any password for the right one.
//!
//! **Proofs.** A server that lets the role in has said that the password is right, whatever it says next: that the role
//! may not log in, has no right to connect to the database, or that there is no room. Before that, "password
//! authentication failed" (28P01) is the one refusal of a password, and is said as well of roles that don't exist, have
//! no password or have expired. That `pg_hba.conf` has no place for the role (28000) says nothing of its password.

mod change;
mod channel;
mod channel_binding;
mod fault;
mod login_watch;
mod primary;
mod scram;
mod session;
mod tls;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::ports::Entropy;
use hyperion_vault_core::target::{DatabaseIdentifier, Target, TargetKind};
use hyperion_vault_crypto::Plaintext;
use tokio::time::timeout;

use self::fault::Fault;
use self::scram::SALT_BYTES;
use self::session::{Account, Session};
use self::tls::TlsModes;
use super::{CredentialTarget, Login, Proof, TargetFault};

pub use self::tls::AuthoritiesError;

/// Longest wait for one host until it has let the account in and said what it is. All are asked at once.
const CONNECT_SECONDS_MAX: u64 = 3;
/// Longest that a server works on one statement.
const STATEMENT_SECONDS_MAX: u64 = 5;
/// Longest that applying takes, or proving, finding the primary included.
pub const TARGET_SECONDS_MAX: u64 = 10;

/// PostgreSQL, of all versions that have SCRAM: 10 and later.
pub struct PostgresTarget {
    entropy: Arc<dyn Entropy>,
    tls: TlsModes,
}

impl PostgresTarget {
    /// `authorities` is a PEM file, for `sslmode` `verify-ca` and `verify-full`. It is read here and not again.
    ///
    /// # Errors
    /// [`AuthoritiesError`].
    pub fn new(
        entropy: Arc<dyn Entropy>,
        authorities: Option<&Path>,
    ) -> Result<PostgresTarget, AuthoritiesError> {
        Ok(PostgresTarget { entropy, tls: TlsModes::new(authorities)? })
    }

    async fn change(
        &self,
        session: &mut Session,
        kind: TargetKind,
        role: &DatabaseIdentifier,
        new_password: &Plaintext,
    ) -> Result<(), Fault> {
        change::check_role(session, role).await?;
        match kind {
            TargetKind::Postgres => {
                let mut salt = [0; SALT_BYTES];
                self.entropy.fill(&mut salt);
                change::alter_role(session, role, new_password, &salt).await
            }
            TargetKind::PgReplica => change::rotate_credential(session, role, new_password).await,
        }
    }
}

#[async_trait]
impl CredentialTarget for PostgresTarget {
    async fn apply(
        &self,
        target: &Target,
        login: &Login,
        role: &DatabaseIdentifier,
        new_password: &Plaintext,
    ) -> Result<(), TargetFault> {
        let account = Account { role: &login.username, password: usable(&login.password)? };
        usable(new_password)?;
        in_time(async {
            let answers = primary::survey(target, account, &self.tls).await;
            let mut session = primary::primary(&target.hosts, answers).await?;
            let changed = self.change(&mut session, target.kind, role, new_password).await;
            session.close().await;
            changed
        })
        .await
    }

    async fn prove(
        &self,
        target: &Target,
        role: &DatabaseIdentifier,
        password: &Plaintext,
    ) -> Result<Proof, TargetFault> {
        let account = Account { role, password: usable(password)? };
        in_time(async {
            let answers = primary::survey(target, account, &self.tls).await;
            primary::proof(&target.hosts, answers).await
        })
        .await
    }
}

/// PostgreSQL takes an empty password for none, and keeps passwords as C has its strings.
fn usable(password: &Plaintext) -> Result<&[u8], Fault> {
    if password.is_empty() || password.expose().contains(&0) {
        Err(Fault::PasswordUnusable)
    } else {
        Ok(password.expose())
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, TargetFault> {
    let worked = timeout(Duration::from_secs(TARGET_SECONDS_MAX), work).await;
    worked.unwrap_or(Err(Fault::TimedOut)).map_err(TargetFault::from)
}
