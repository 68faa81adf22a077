//! Which of the hosts is the primary, and what follows from their answers.

use std::time::Duration;

use futures::future::join_all;
use hyperion_vault_core::target::{DatabaseHost, Target};
use tokio::time::timeout;

use super::fault::Fault;
use super::session::{Account, NoSession, Session};
use super::tls::TlsModes;
use super::{CONNECT_SECONDS_MAX, STATEMENT_SECONDS_MAX};
use crate::target::Proof;

/// A server that let the account in.
pub(super) struct Server {
    session: Session,
    in_recovery: bool,
    /// When it started, in seconds of Unix time with a fraction: two names of one server have this in common, two
    /// servers don't. Their system identifiers are the same where one is a copy of the other.
    started_at: String,
}

type Answer = Result<Server, NoSession>;

/// Logs in at all hosts at once and asks what they are. As many answers as hosts, in their order.
pub(super) async fn survey(target: &Target, account: Account<'_>, tls: &TlsModes) -> Vec<Answer> {
    join_all(target.hosts.iter().map(|host| async move {
        let limit = Duration::from_secs(CONNECT_SECONDS_MAX);
        let answer = timeout(limit, ask(host, target, account, tls)).await;
        answer.unwrap_or_else(|_| Err(NoSession::Fault(Fault::Unreachable { host: host.clone() })))
    }))
    .await
}

async fn ask(host: &DatabaseHost, target: &Target, account: Account<'_>, tls: &TlsModes) -> Answer {
    let mut session = Session::open(host, target, account, tls).await?;
    let statements = format!(
        "SET statement_timeout = '{STATEMENT_SECONDS_MAX}s'; \
         SELECT pg_catalog.pg_is_in_recovery(), \
         pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())"
    );
    let fields = session.fields(&statements).await.map_err(NoSession::RightPassword)?;
    let [Some(in_recovery), Some(started_at)] = fields.as_slice() else {
        return Err(NoSession::RightPassword(Fault::Protocol { host: host.clone() }));
    };
    Ok(Server { session, in_recovery: in_recovery != "f", started_at: started_at.clone() })
}

/// The session with the primary; the others are closed.
///
/// # Errors
/// [`Fault::SplitBrain`] for two; else what seems to stand most in the way.
pub(super) async fn primary(hosts: &[DatabaseHost], answers: Vec<Answer>) -> Result<Session, Fault> {
    let Answers { primaries, standbys, others } = sort(hosts, answers);
    let has_standby = !standbys.is_empty();
    let split_brain = split_brain(&primaries);
    let mut primaries = primaries.into_iter();
    let primary = primaries.next();
    close(primaries.chain(standbys)).await;
    match (primary, split_brain) {
        (Some(primary), None) => Ok(primary.session),
        (Some(primary), Some(fault)) => {
            primary.session.close().await;
            Err(fault)
        }
        (None, _) => Err(worst(others.into_iter().map(|(host, other)| other.into_fault(&host)), has_standby)),
    }
}

/// What the answers to the role's own login say of its password at the primary.
///
/// # Errors
/// Where they don't say it for certain.
pub(super) async fn proof(hosts: &[DatabaseHost], answers: Vec<Answer>) -> Result<Proof, Fault> {
    let Answers { primaries, standbys, others } = sort(hosts, answers);
    let (is_at_primary, is_at_standby) = (!primaries.is_empty(), !standbys.is_empty());
    let split_brain = split_brain(&primaries);
    close(primaries.into_iter().chain(standbys)).await;
    let all = |is: fn(&NoSession) -> bool| others.iter().all(|(_, other)| is(other));
    match split_brain {
        Some(fault) => Err(fault),
        None if is_at_primary => Ok(Proof::Accepted),
        // One of them is the primary, if there is one.
        None if !is_at_standby && all(|other| matches!(other, NoSession::WrongPassword)) => {
            Ok(Proof::Refused)
        }
        None if !others.is_empty() && all(|other| matches!(other, NoSession::RightPassword(_))) => {
            Ok(Proof::Accepted)
        }
        None => {
            let some_answered = is_at_standby || !all(|other| matches!(other, NoSession::Fault(_)));
            // What some say of the password and not all has no meaning.
            let faults = others.into_iter().filter_map(|(_, other)| match other {
                NoSession::Fault(fault) | NoSession::RightPassword(fault) => Some(fault),
                NoSession::WrongPassword => None,
            });
            Err(worst(faults, some_answered))
        }
    }
}

/// The answers, by what the hosts are.
#[derive(Default)]
struct Answers {
    primaries: Vec<Server>,
    standbys: Vec<Server>,
    others: Vec<(DatabaseHost, NoSession)>,
}

fn sort(hosts: &[DatabaseHost], answers: Vec<Answer>) -> Answers {
    let mut sorted = Answers::default();
    for (host, answer) in hosts.iter().zip(answers) {
        match answer {
            Ok(server) if server.in_recovery => sorted.standbys.push(server),
            Ok(server) => sorted.primaries.push(server),
            Err(other) => sorted.others.push((host.clone(), other)),
        }
    }
    sorted
}

fn split_brain(primaries: &[Server]) -> Option<Fault> {
    let (first, rest) = primaries.split_first()?;
    let second = rest.iter().find(|other| other.started_at != first.started_at)?;
    Some(Fault::SplitBrain { first: first.session.host.clone(), second: second.session.host.clone() })
}

impl NoSession {
    fn into_fault(self, host: &DatabaseHost) -> Fault {
        match self {
            NoSession::WrongPassword => Fault::LoginRefused { host: host.clone() },
            NoSession::RightPassword(fault) | NoSession::Fault(fault) => fault,
        }
    }
}

/// The first that time alone won't mend; else that no primary is among those who answer; else the first.
fn worst(faults: impl Iterator<Item = Fault>, some_answered: bool) -> Fault {
    let faults: Vec<Fault> = faults.collect();
    let lasting =
        faults.iter().find(|fault| !matches!(fault, Fault::Unreachable { .. } | Fault::Busy { .. }));
    match lasting.or(if some_answered { None } else { faults.first() }) {
        Some(fault) => fault.clone(),
        None => Fault::NoPrimary,
    }
}

async fn close(servers: impl IntoIterator<Item = Server>) {
    join_all(servers.into_iter().map(|server| server.session.close())).await;
}
