//! What the audit log is told of one operation, gathered on its way.
//!
//! An operation leaves one record. A change is recorded as done before it is proposed, because nothing may
//! change without its record; should it then end otherwise, a second record with the same request id says
//! so. Everything else is recorded when its end is known, before the answer leaves.

use std::net::IpAddr;
use std::sync::Arc;

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::state::table::rewrap::Pass;

use crate::audit::{Action, Actor, AuditLog, AuditUnavailable, BatchSecret, Event, Outcome, PassRecord};

/// How an operation ended: the outcome and, for a request, the status of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub status: Option<u16>,
    pub outcome: Outcome,
}

/// The trail of one operation.
pub struct Trail {
    log: Arc<AuditLog>,
    event: Event,
    success_status: Option<u16>,
    /// How it was last recorded to have ended, and at which version.
    recorded: Option<(End, Option<u64>)>,
}

impl Trail {
    /// Of a request, before anything is known of it but where it came from.
    #[must_use]
    pub fn of_request(log: Arc<AuditLog>, request_id: String, client: IpAddr) -> Trail {
        let mut trail = Trail::start(log, request_id, Action::Unknown, Actor::Anonymous);
        trail.event.client = Some(client);
        trail
    }

    /// Of something that the vault does of itself.
    #[must_use]
    pub fn of_worker(log: Arc<AuditLog>, request_id: String, worker: &'static str, action: Action) -> Trail {
        Trail::start(log, request_id, action, Actor::System(worker))
    }

    fn start(log: Arc<AuditLog>, request_id: String, action: Action, actor: Actor) -> Trail {
        let event = Event {
            request_id,
            actor,
            client: None,
            action,
            name: None,
            secrets: Vec::new(),
            version: None,
            pass: None,
            status: None,
            outcome: Outcome::Ok,
            detail: None,
        };
        Trail { log, event, success_status: None, recorded: None }
    }

    /// What is asked for, and the status that success will have.
    pub fn asks(&mut self, action: Action, success_status: u16) {
        self.event.action = action;
        self.success_status = Some(success_status);
    }

    /// Who asks.
    pub fn actor(&mut self, token: &str) {
        self.event.actor = Actor::Token(token.to_owned());
    }

    /// The secret, role or token that it is about, as it was given.
    pub fn about(&mut self, name: &str) {
        self.event.name = Some(name.to_owned());
    }

    /// The secrets that a batch asks for; nothing of them is revealed yet.
    pub fn about_all(&mut self, names: &[SecretName]) {
        let asked = names.iter().map(|name| BatchSecret { name: name.clone(), version: None });
        self.event.secrets = asked.collect();
    }

    /// The version that it is about.
    pub fn version(&mut self, version: u64) {
        self.event.version = Some(version);
    }

    /// The pass of re-wrapping that it begins or ends.
    pub fn pass(&mut self, pass: &Pass) {
        let Pass { number, scanned, rewrapped, failed } = *pass;
        self.event.pass = Some(PassRecord { number, scanned, rewrapped, failed });
    }

    /// What the answer reveals of a batch: for each secret, in the order asked, the version or none.
    pub fn versions(&mut self, versions: impl IntoIterator<Item = Option<u64>>) {
        for (secret, version) in self.event.secrets.iter_mut().zip(versions) {
            secret.version = version;
        }
    }

    /// Why it ended as it did, in fixed words.
    pub fn detail(&mut self, detail: &'static str) {
        self.event.detail = Some(detail);
    }

    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.event.request_id
    }

    /// Records a change as done, before it is.
    ///
    /// # Errors
    /// [`AuditUnavailable`]: the change must not be made.
    pub async fn record_before_change(&mut self) -> Result<(), AuditUnavailable> {
        let end = End { status: self.success_status, outcome: Outcome::Ok };
        self.record(end).await
    }

    /// Records how it ended, unless that is what was recorded already.
    ///
    /// # Errors
    /// [`AuditUnavailable`]: nothing may be revealed.
    pub async fn finish(&mut self, end: End) -> Result<(), AuditUnavailable> {
        if self.recorded == Some((end, self.event.version)) { Ok(()) } else { self.record(end).await }
    }

    /// Records that a change was not made, if it was recorded as made.
    ///
    /// # Errors
    /// [`AuditUnavailable`].
    pub async fn take_back(&mut self, outcome: Outcome) -> Result<(), AuditUnavailable> {
        match self.recorded {
            Some(_) => self.finish(End { status: None, outcome }).await,
            None => Ok(()),
        }
    }

    async fn record(&mut self, end: End) -> Result<(), AuditUnavailable> {
        let event = Event { status: end.status, outcome: end.outcome, ..self.event.clone() };
        self.log.append(event).await?;
        self.recorded = Some((end, self.event.version));
        Ok(())
    }
}
