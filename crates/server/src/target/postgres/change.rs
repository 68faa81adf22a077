//! Changing a role's password in a session with the primary.

use std::fmt;

use bytes::BytesMut;
use hyperion_vault_core::target::DatabaseIdentifier;
use hyperion_vault_crypto::Plaintext;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::fault::Fault;
use super::scram::{SALT_BYTES, verifier};
use super::session::Session;

/// Everybody may read this view. `NULL` is a role without an end of its validity.
const ROLE: &str = "SELECT rolcanlogin AND coalesce(rolvaliduntil > pg_catalog.now(), true) \
     FROM pg_catalog.pg_roles WHERE rolname = $1";
const ROTATE_CREDENTIAL: &str = "SELECT replica.rotate_credential($1, $2)";

/// Whether the server would write parameters of the next statement to its log. Everybody may read these settings; one
/// that this version doesn't have is `NULL`. Before version 13 whatever statement was logged was so with all of its
/// parameters. The extensions that log parameters have settings of their own.
const LOGS_PARAMETERS: &str = "SELECT \
     (coalesce(current_setting('log_parameter_max_length', true), '-1') <> '0' \
       AND (current_setting('log_statement') = 'all' \
         OR current_setting('log_min_duration_statement') <> '-1' \
         OR coalesce(current_setting('log_min_duration_sample', true), '-1') <> '-1' \
         OR coalesce(current_setting('log_transaction_sample_rate', true), '0') <> '0')) \
     OR (coalesce(current_setting('auto_explain.log_min_duration', true), '-1') <> '-1' \
       AND coalesce(current_setting('auto_explain.log_parameter_max_length', true), '0') <> '0') \
     OR coalesce(current_setting('pgaudit.log_parameter', true), 'off') <> 'off'";
/// What an account may do about it, if it is a superuser or was granted to set the parameter.
const LOG_NO_PARAMETERS: &str = "SET log_parameter_max_length = 0";
/// Everybody may do this. Servers before version 13 don't know it, nor log parameters of what fails.
const LOG_NO_PARAMETERS_ON_ERROR: &str = "SET log_parameter_max_length_on_error = 0";

/// A role that can't log in with its new password, once it has it, would leave a rotation without a proof.
///
/// # Errors
/// [`Fault::NoSuchRole`], [`Fault::RoleCannotLogIn`], or what came in between.
pub(super) async fn check_role(session: &mut Session, role: &DatabaseIdentifier) -> Result<(), Fault> {
    let rows = session.query(ROLE, &[(&role.as_str(), Type::NAME)]).await?;
    let host = || session.host.clone();
    let row = rows.first().ok_or_else(|| Fault::NoSuchRole { host: host() })?;
    match row.try_get(0) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::RoleCannotLogIn { host: host() }),
        Err(_) => Err(Fault::Protocol { host: host() }),
    }
}

/// `ALTER ROLE`, which takes no parameters, with a verifier in the place of the password.
pub(super) async fn alter_role(
    session: &mut Session,
    role: &DatabaseIdentifier,
    password: &Plaintext,
    salt: &[u8; SALT_BYTES],
) -> Result<(), Fault> {
    let verifier = verifier(password.expose(), salt);
    session.execute(&format!("ALTER ROLE {} PASSWORD '{verifier}'", quoted(role))).await
}

/// The server's function, with the password itself as a parameter, where that isn't logged.
pub(super) async fn rotate_credential(
    session: &mut Session,
    role: &DatabaseIdentifier,
    password: &Plaintext,
) -> Result<(), Fault> {
    let password = std::str::from_utf8(password.expose()).map_err(|_| Fault::PasswordUnusable)?;
    keep_out_of_log(session).await?;
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&role.as_str(), Type::TEXT), (&Unshown(password), Type::TEXT)];
    session.query(ROTATE_CREDENTIAL, &parameters).await.map(|_| ())
}

/// What isn't permitted goes wrong without harm: the second look decides.
async fn keep_out_of_log(session: &mut Session) -> Result<(), Fault> {
    tolerate(session.execute(LOG_NO_PARAMETERS_ON_ERROR).await)?;
    if logs_parameters(session).await? {
        tolerate(session.execute(LOG_NO_PARAMETERS).await)?;
        if logs_parameters(session).await? {
            return Err(Fault::WouldBeLogged { host: session.host.clone() });
        }
    }
    Ok(())
}

/// The server says no; a connection that is gone stays an error.
fn tolerate(said: Result<(), Fault>) -> Result<(), Fault> {
    match said {
        Err(Fault::NotPermitted { .. } | Fault::NoSuchRole { .. } | Fault::Other { .. }) => Ok(()),
        said => said,
    }
}

async fn logs_parameters(session: &mut Session) -> Result<bool, Fault> {
    let fields = session.fields(LOGS_PARAMETERS).await?;
    Ok(!matches!(fields.as_slice(), [Some(logs)] if logs == "f"))
}

/// As PostgreSQL's `quote_identifier` does it, but always: within double quotes only they are special.
fn quoted(role: &DatabaseIdentifier) -> String {
    format!("\"{}\"", role.as_str().replace('"', "\"\""))
}

/// A parameter of which the client library, which logs parameters by their `Debug`, shows nothing.
struct Unshown<'a>(&'a str);

impl fmt::Debug for Unshown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unshown")
    }
}

impl ToSql for Unshown<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <&str as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}
