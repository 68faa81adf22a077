//! A session with one server: logging in, and statements one after the other.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use futures::future::{Either, select};
use hyperion_vault_core::target::{DatabaseHost, DatabaseIdentifier, SslMode, Target};
use tokio::time::timeout;
use tokio_postgres::config::{ChannelBinding, SslMode as LibrarySslMode, SslNegotiation};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Connection, Error, Row, SimpleQueryMessage};

use super::channel::{AlreadyOpen, Channel};
use super::fault::Fault;
use super::login_watch::{Seen, Stop};
use super::tls::TlsModes;

/// What the server's `pg_stat_activity` and log call the vault.
const APPLICATION_NAME: &str = "hyperion-vault";
/// How long a server is given to take leave; it isn't waited for any longer.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

/// Who logs in.
#[derive(Clone, Copy)]
pub(super) struct Account<'a> {
    pub(super) role: &'a DatabaseIdentifier,
    pub(super) password: &'a [u8],
}

/// Why there is no session.
pub(super) enum NoSession {
    /// The server says that the password is not the role's, or that there is no such role or it has expired: it makes
    /// no difference between them.
    WrongPassword,
    /// The password is right; the server has other reasons.
    RightPassword(Fault),
    /// Whether the password is right isn't known.
    Fault(Fault),
}

/// An open session.
pub(super) struct Session {
    pub(super) host: DatabaseHost,
    client: Client,
    connection: Connection<Channel, Channel>,
}

impl Session {
    /// # Errors
    /// [`NoSession`].
    pub(super) async fn open(
        host: &DatabaseHost,
        target: &Target,
        account: Account<'_>,
        tls: &TlsModes,
    ) -> Result<Session, NoSession> {
        let channel = Channel::open(host, target.ssl_mode, tls).await.map_err(NoSession::Fault)?;
        let seen = channel.login_seen();
        let opened = library_config(target, account).connect_raw(channel, AlreadyOpen).await;
        let (client, connection) = opened.map_err(|error| no_session(host, &error, seen.get()))?;
        Ok(Session { host: host.clone(), client, connection })
    }

    /// The rows of a statement with parameters. They are never in what the client library logs.
    pub(super) async fn query(
        &mut self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Fault> {
        let asked = self.client.query_typed(statement, parameters);
        drive(&mut self.connection, asked).await.map_err(|error| Fault::of(&self.host, &error))
    }

    /// The fields of the one row that statements without parameters come to.
    pub(super) async fn fields(&mut self, statements: &str) -> Result<Vec<Option<String>>, Fault> {
        let asked = self.client.simple_query(statements);
        let answered = drive(&mut self.connection, asked).await;
        let answered = answered.map_err(|error| Fault::of(&self.host, &error))?;
        let row = answered.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.ok_or_else(|| Fault::Protocol { host: self.host.clone() })?;
        Ok((0..row.len()).map(|at| row.try_get(at).ok().flatten().map(str::to_owned)).collect())
    }

    /// Statements that come to nothing.
    pub(super) async fn execute(&mut self, statements: &str) -> Result<(), Fault> {
        let asked = self.client.batch_execute(statements);
        drive(&mut self.connection, asked).await.map_err(|error| Fault::of(&self.host, &error))
    }

    /// Takes leave, so that the server has nothing to note.
    pub(super) async fn close(self) {
        let Session { client, mut connection, .. } = self;
        drop(client);
        let _ = timeout(CLOSE_WITHIN, ended(&mut connection)).await;
    }
}

fn library_config(target: &Target, account: Account<'_>) -> Config {
    let mut config = Config::new();
    config
        .user(account.role.as_str())
        .password(account.password)
        .dbname(target.database.as_str())
        .application_name(APPLICATION_NAME)
        // What `AlreadyOpen` is for.
        .ssl_mode(LibrarySslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct)
        .channel_binding(match target.ssl_mode {
            SslMode::Require => ChannelBinding::Require,
            _ => ChannelBinding::Prefer,
        });
    config
}

fn no_session(host: &DatabaseHost, error: &Error, seen: Seen) -> NoSession {
    let host_of = || host.clone();
    match seen.stopped {
        Some(Stop::NotAsked) => return NoSession::Fault(Fault::PasswordNotAsked { host: host_of() }),
        Some(Stop::Unprotected) => return NoSession::Fault(Fault::PasswordUnprotected { host: host_of() }),
        None => {}
    }
    match Fault::of(host, error) {
        fault if seen.authenticated => NoSession::RightPassword(fault),
        _ if Fault::is_wrong_password(error) => NoSession::WrongPassword,
        Fault::Protocol { .. } if seen.asked => NoSession::Fault(Fault::ServerNotProved { host: host_of() }),
        fault => NoSession::Fault(fault),
    }
}

/// Waits for an answer while the connection does its part. What ends the connection is the better reason.
async fn drive<T>(
    connection: &mut Connection<Channel, Channel>,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match select(pin!(ended(connection)), pin!(answer)).await {
        Either::Left((Err(error), _)) => Err(error),
        Either::Left((Ok(()), answer)) => answer.await,
        Either::Right((answered, _)) => answered,
    }
}

/// Notices of the server's go nowhere: they may hold parts of statements.
async fn ended(connection: &mut Connection<Channel, Channel>) -> Result<(), Error> {
    poll_fn(|cx| {
        while let Some(message) = ready!(connection.poll_message(cx)) {
            message?;
        }
        Poll::Ready(Ok(()))
    })
    .await
}
