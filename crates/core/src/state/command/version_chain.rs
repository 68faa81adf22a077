//! What all commands that bring new material share: the current version gives way to the next one.

use crate::limits::STORED_VERSIONS_MAX;
use crate::name::SecretName;
use crate::rotation::{RotationProgress, next_rotation};
use crate::secret::{SealedVersion, Secret, SecretId, Version, VersionNumber};
use crate::state::feature_level::TARGETS_SINCE;
use crate::state::table::rotation_due::{self, RotationDue};
use crate::state::table::{expiry_due, meta, secrets, versions};
use crate::state::{Refusal, Rows, RowsMut, StateFault};
use crate::time::{Seconds, Timestamp};

/// The secret that a command was made for: the same one, still at the version that the proposer saw.
pub(super) fn expected(
    rows: &dyn Rows,
    name: &SecretName,
    id: SecretId,
    version: VersionNumber,
) -> Result<Result<Secret, Refusal>, StateFault> {
    Ok(match secrets::get(rows, name)? {
        Some(secret) if secret.id != id => Err(Refusal::SecretNotFound),
        Some(secret) if secret.current != version => {
            Err(Refusal::VersionConflict { current: secret.current })
        }
        Some(secret) => Ok(secret),
        None => Err(Refusal::SecretNotFound),
    })
}

/// The same, with a pending version that this attempt is the last one to apply.
pub(super) fn attempted(
    rows: &dyn Rows,
    name: &SecretName,
    id: SecretId,
    version: VersionNumber,
    attempt: u32,
) -> Result<Result<Secret, Refusal>, StateFault> {
    let found = expected(rows, name, id, version)?;
    Ok(found.and_then(|secret| match secret.pending().map(|pending| pending.attempts) {
        None => Err(Refusal::NothingPending),
        Some(last) if last != attempt => Err(Refusal::AttemptTakenOver),
        Some(_) => Ok(secret),
    }))
}

/// Makes `sealed` the current version, in place of a pending one too. The one it supersedes stays through the
/// secret's grace period; with no grace it expires in this instant and is removed at once. The caller saves the secret.
pub(super) fn advance(
    rows: &mut dyn RowsMut,
    secret: &mut Secret,
    sealed: &SealedVersion,
    now: Timestamp,
) -> Result<Result<(), Refusal>, StateFault> {
    let stays = secret.stored_versions.saturating_sub(u64::from(secret.pending().is_some()));
    if secret.grace_period > Seconds::ZERO && stays >= STORED_VERSIONS_MAX {
        return Ok(Err(Refusal::TooManyVersions));
    }
    discard_pending(rows, secret)?;
    store_next(rows, secret, sealed, now)?;
    supersede(rows, secret, now)?;
    Ok(Ok(()))
}

/// Stores `sealed` as the version after the current one.
pub(super) fn store_next(
    rows: &mut dyn RowsMut,
    secret: &mut Secret,
    sealed: &SealedVersion,
    now: Timestamp,
) -> Result<(), StateFault> {
    let version = Version { sealed: sealed.clone(), created_at: now, expires_at: None };
    versions::add(rows, &secret.name, secret.current.next(), &version)?;
    secret.stored_versions += 1;
    meta::count(rows, |counts| counts.versions += 1)
}

/// Makes the version after the current one, which is stored, the current one.
pub(super) fn supersede(
    rows: &mut dyn RowsMut,
    secret: &mut Secret,
    now: Timestamp,
) -> Result<(), StateFault> {
    let superseded = secret.current;
    secret.current = superseded.next();
    let Some(mut old) = versions::get(rows, &secret.name, superseded)? else { return Ok(()) };
    if secret.grace_period == Seconds::ZERO {
        return forget(rows, secret, superseded, &old);
    }
    let at = now.plus(secret.grace_period);
    old.expires_at = Some(at);
    versions::amend(rows, &secret.name, superseded, &old)?;
    let due = expiry_due::ExpiryDue { at, name: secret.name.clone(), version: superseded };
    expiry_due::put(rows, &due)
}

fn discard_pending(rows: &mut dyn RowsMut, secret: &mut Secret) -> Result<(), StateFault> {
    let Some(rotation) = secret.rotation.as_mut().filter(|rotation| rotation.pending.is_some()) else {
        return Ok(());
    };
    *rotation = RotationProgress { last_attempt_at: rotation.last_attempt_at, ..RotationProgress::default() };
    let number = secret.current.next();
    match versions::get(rows, &secret.name, number)? {
        Some(pending) => forget(rows, secret, number, &pending),
        None => Ok(()),
    }
}

fn forget(
    rows: &mut dyn RowsMut,
    secret: &mut Secret,
    number: VersionNumber,
    version: &Version,
) -> Result<(), StateFault> {
    versions::remove(rows, &secret.name, number, version)?;
    secret.stored_versions = secret.stored_versions.saturating_sub(1);
    meta::count(rows, |counts| counts.versions = counts.versions.saturating_sub(1))
}

/// Notes that a rotation is done, and schedules the next. The caller saves the secret.
pub(super) fn rotated(rows: &dyn Rows, secret: &mut Secret, now: Timestamp) -> Result<(), StateFault> {
    secret.next_rotation_at = next_rotation(secret.rotation_interval, now);
    // Members of a lower level don't keep it; all must do as they do until none is left.
    if meta::feature_level(rows)? >= TARGETS_SINCE {
        let done = RotationProgress { last_attempt_at: Some(now), ..RotationProgress::default() };
        secret.rotation = Some(done);
    }
    Ok(())
}

/// Writes a secret back, and moves its entry in the index of due rotations from where it was `before` to where it
/// belongs.
pub(super) fn save(
    rows: &mut dyn RowsMut,
    before: Option<&Secret>,
    secret: &Secret,
) -> Result<(), StateFault> {
    let (old, new) = (before.and_then(entry), entry(secret));
    if old != new {
        if let Some(old) = old {
            rotation_due::remove(rows, &old)?;
        }
        if let Some(new) = new {
            rotation_due::put(rows, &new)?;
        }
    }
    secrets::put(rows, secret)
}

/// A secret's entry in the index of due rotations.
pub(super) fn entry(secret: &Secret) -> Option<RotationDue> {
    let at = secret.due_at()?;
    let overdue_since = secret.next_rotation_at.filter(|due| *due < at);
    Some(RotationDue { at, name: secret.name.clone(), overdue_since })
}
