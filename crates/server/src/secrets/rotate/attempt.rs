//! One attempt to rotate a secret with a target, in steps between which anything may stop: the next password is stored
//! as a pending version, applied to the database, seen to be accepted by it, and only then current. What each step
//! leaves behind is in the replicated state, and the next attempt goes on from there, on whichever node leads then.

use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::limits::ATTEMPT_MAX;
use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::rotation::RotationFault;
use hyperion_vault_core::secret::{Secret, VersionNumber};
use hyperion_vault_core::state::command::{BeginAttempt, PromoteVersion};
use hyperion_vault_core::state::table::{secrets, versions};
use hyperion_vault_core::state::{Command, Refusal};
use hyperion_vault_core::target::{DatabaseIdentifier, Target, TargetRoles};
use hyperion_vault_crypto::{Material, Plaintext};
use tokio::time::timeout;

use super::target::pending_secret;
use crate::audit::{self, AuditLog};
use crate::failure::Failure;
use crate::ports::View;
use crate::replica::ChangeFailure;
use crate::request_id::RequestIds;
use crate::secrets::Secrets;
use crate::secrets::change::changed_secret;
use crate::secrets::key_wait::KeyWait;
use crate::target::{CredentialTarget, Login, Proof, TargetFault};
use crate::trail::Trail;

/// Longest that one attempt may take; the state counts it as running a little longer.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(ATTEMPT_MAX.get() * 3 / 4);

/// The moments of a rotation between which a crash may fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// The pending version is stored.
    Prepared,
    /// The attempt is announced.
    Begun,
    /// The database has the new password.
    Applied,
    /// It was seen to accept it.
    Proved,
    /// The pending version is current.
    Promoted,
}

/// A version that is to be applied: what the attempt is made of, opened.
struct Pending {
    login: Login,
    role: DatabaseIdentifier,
    password: Plaintext,
}

impl RotationStep {
    /// Its name in lower case.
    #[must_use]
    pub fn parse(name: &str) -> Option<RotationStep> {
        match name {
            "prepared" => Some(RotationStep::Prepared),
            "begun" => Some(RotationStep::Begun),
            "applied" => Some(RotationStep::Applied),
            "proved" => Some(RotationStep::Proved),
            "promoted" => Some(RotationStep::Promoted),
            _ => None,
        }
    }
}

/// An attempt that didn't make the pending version current.
#[derive(Debug)]
pub struct FailedAttempt {
    /// As it was found, or as it was when the attempt began.
    pub secret: Secret,
    /// Its number; absent where it didn't come that far.
    pub attempt: Option<u32>,
    pub failure: AttemptFailure,
}

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", fault.message())]
pub struct AttemptFailure {
    fault: RotationFault,
    /// For the log.
    detail: String,
}

impl AttemptFailure {
    fn of(fault: RotationFault, detail: impl ToString) -> AttemptFailure {
        AttemptFailure { fault, detail: detail.to_string() }
    }

    #[must_use]
    pub fn fault(&self) -> RotationFault {
        self.fault
    }
}

impl From<TargetFault> for AttemptFailure {
    fn from(fault: TargetFault) -> AttemptFailure {
        AttemptFailure { fault: fault.fault, detail: fault.detail }
    }
}

impl From<ChangeFailure> for AttemptFailure {
    fn from(failure: ChangeFailure) -> AttemptFailure {
        match failure {
            ChangeFailure::Refused(Refusal::TooManyVersions) => {
                AttemptFailure::of(RotationFault::TooManyVersions, "no room for another version")
            }
            ChangeFailure::Failed(failure) => {
                AttemptFailure::of(RotationFault::Cluster, failure.detail().unwrap_or_default())
            }
            ChangeFailure::Refused(refusal) => AttemptFailure::of(RotationFault::Changed, refusal),
        }
    }
}

impl From<Failure> for AttemptFailure {
    /// From opening and sealing; changes have failures of their own.
    fn from(failure: Failure) -> AttemptFailure {
        let fault = match failure {
            Failure::Unavailable { .. } | Failure::Misconfigured { .. } => RotationFault::KeyManagement,
            _ => RotationFault::Internal,
        };
        AttemptFailure::of(fault, failure.detail().map_or_else(|| failure.to_string(), str::to_owned))
    }
}

/// What attempts are made with.
pub struct Means {
    pub target: Arc<dyn CredentialTarget>,
    pub audit: Arc<AuditLog>,
    pub request_ids: RequestIds,
    /// Where a test of crashes has attempts stop for ever.
    pub pause_at: Option<RotationStep>,
}

impl Means {
    /// The trail of one change that the worker makes of a secret.
    #[must_use]
    pub fn trail(&self, action: audit::Action, name: &SecretName) -> Trail {
        let mut trail =
            Trail::of_worker(Arc::clone(&self.audit), self.request_ids.next(), "rotation", action);
        trail.about(name.as_str());
        trail
    }

    async fn reached(&self, step: RotationStep) {
        if self.pause_at == Some(step) {
            tracing::warn!("rotation paused: {step:?}");
            std::future::pending().await
        }
    }
}

impl Secrets {
    /// Makes one attempt at the rotation of a secret with a target, for the leader's worker. Dropped at any moment, it
    /// leaves a state that the next attempt goes on from.
    ///
    /// # Errors
    /// [`FailedAttempt`].
    pub async fn attempt(&self, secret: Secret, means: &Means) -> Result<(), FailedAttempt> {
        let begun = match self.begin(&secret, means).await {
            Ok(begun) => begun,
            Err(failure) => return Err(FailedAttempt { secret, attempt: None, failure }),
        };
        let applied = timeout(ATTEMPT_WITHIN, self.apply(&begun, means)).await;
        let applied =
            applied.unwrap_or_else(|_| Err(AttemptFailure::of(RotationFault::TimedOut, "the attempt")));
        applied.map_err(|failure| {
            let attempt = begun.pending().map(|pending| pending.attempts);
            FailedAttempt { secret: begun, attempt, failure }
        })
    }

    async fn begin(&self, secret: &Secret, means: &Means) -> Result<Secret, AttemptFailure> {
        if secret.pending().is_none() {
            let mut trail = means.trail(audit::Action::SecretPrepare, &secret.name);
            self.prepare::<AttemptFailure>(&self.replica.view(), secret.clone(), &mut trail).await?;
            means.reached(RotationStep::Prepared).await;
        }
        let command = BeginAttempt { name: secret.name.clone(), id: secret.id, expected: secret.current };
        let mut trail = means.trail(audit::Action::SecretApply, &secret.name);
        let begun = self.replica.change(Command::BeginAttempt(command), &mut trail).await?;
        means.reached(RotationStep::Begun).await;
        Ok(pending_secret(begun)?)
    }

    async fn apply(&self, begun: &Secret, means: &Means) -> Result<(), AttemptFailure> {
        let (Some(target), Some(attempt)) = (&begun.target, begun.pending().map(|pending| pending.attempts))
        else {
            return Err(AttemptFailure::of(RotationFault::Internal, "nothing to apply"));
        };
        let Pending { login, role, password } = self.open_pending(begun, target).await?;
        // An attempt before this one may have come as far as the database.
        let before = match attempt {
            ..=1 => Ok(Proof::Refused),
            _ => means.target.prove(target, &role, &password).await,
        };
        if before != Ok(Proof::Accepted) {
            let applied = means.target.apply(target, &login, &role, &password).await;
            applied.map_err(|fault| told_apart(fault, before.err()))?;
            means.reached(RotationStep::Applied).await;
            if means.target.prove(target, &role, &password).await? == Proof::Refused {
                return Err(AttemptFailure::of(
                    RotationFault::NotProven,
                    "refused right after it was applied",
                ));
            }
        }
        means.reached(RotationStep::Proved).await;
        self.promote(begun, attempt, means).await?;
        means.reached(RotationStep::Promoted).await;
        Ok(())
    }

    async fn promote(&self, begun: &Secret, attempt: u32, means: &Means) -> Result<(), AttemptFailure> {
        let command =
            PromoteVersion { name: begun.name.clone(), id: begun.id, expected: begun.current, attempt };
        let mut trail = means.trail(audit::Action::SecretRotate, &begun.name);
        let effect = self.replica.change(Command::PromoteVersion(command), &mut trail).await?;
        changed_secret(effect)?;
        Ok(())
    }

    async fn open_pending(&self, begun: &Secret, target: &Target) -> Result<Pending, AttemptFailure> {
        let view = self.replica.view();
        let wait = KeyWait::begin();
        let number = begun.current.next();
        let (username, password) = wait.of(self.open_login(&view, begun, number)).await?;
        let role = match &target.roles {
            TargetRoles::One(role) => role.clone(),
            TargetRoles::Username | TargetRoles::Alternating(..) => identifier(&username)?,
        };
        let login = self.login(&view, begun, target, wait).await?;
        Ok(Pending { login, role, password })
    }

    /// Who logs in: the login secret, or the secret itself as its current version has it.
    async fn login(
        &self,
        view: &View,
        begun: &Secret,
        target: &Target,
        wait: KeyWait,
    ) -> Result<Login, AttemptFailure> {
        let Some(name) = &target.login_secret else {
            let (username, password) = wait.of(self.open_login(view, begun, begun.current)).await?;
            let username = match &target.roles {
                TargetRoles::One(role) => role.clone(),
                TargetRoles::Username | TargetRoles::Alternating(..) => identifier(&username)?,
            };
            return Ok(Login { username, password });
        };
        let unfit = || AttemptFailure::of(RotationFault::LoginSecret, name);
        let secret = secrets::get(&**view, name).map_err(Failure::from)?.ok_or_else(unfit)?;
        match wait.of(self.open_current(view, &secret)).await?.material {
            Material::UserPass { username, password } => {
                Ok(Login { username: identifier(&username)?, password })
            }
            Material::Opaque(_) => Err(unfit()),
        }
    }

    async fn open_login(
        &self,
        view: &View,
        secret: &Secret,
        number: VersionNumber,
    ) -> Result<(Plaintext, Plaintext), Failure> {
        let version = versions::get(&**view, &secret.name, number)?
            .ok_or_else(|| Failure::internal(format!("secret {} lacks a version", secret.name)))?;
        match self.sealing.open(secret, number, &version.sealed).await? {
            Material::UserPass { username, password } => Ok((username, password)),
            Material::Opaque(_) => Err(Failure::internal("an opaque secret with a target")),
        }
    }
}

/// The username of the next version: with two roles that alternate the one that isn't in use.
pub(super) fn next_username(secret: &Secret, current: Plaintext) -> Plaintext {
    match secret.target.as_ref().map(|target| &target.roles) {
        Some(TargetRoles::Alternating(first, second)) => {
            let in_use = if current.expose() == first.as_str().as_bytes() { second } else { first };
            Plaintext::from(in_use.as_str().as_bytes())
        }
        _ => current,
    }
}

/// Where it couldn't be told whether the password is there already, that is why the old one doesn't log in.
fn told_apart(fault: TargetFault, before: Option<TargetFault>) -> TargetFault {
    match before {
        Some(unproved) if fault.fault == RotationFault::LoginRefused => unproved,
        _ => fault,
    }
}

fn identifier(username: &Plaintext) -> Result<DatabaseIdentifier, AttemptFailure> {
    let unfit = |what: &str| AttemptFailure::of(RotationFault::Username, what);
    let text = std::str::from_utf8(username.expose()).map_err(|_| unfit("not UTF-8"))?;
    DatabaseIdentifier::parse(text).map_err(|error| unfit(&error.to_string()))
}
