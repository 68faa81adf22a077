//! What all commands that bring new material share: the current version gives way to the next one.

use crate::limits::STORED_VERSIONS_MAX;
use crate::name::SecretName;
use crate::secret::{SealedVersion, Secret, SecretId, Version, VersionNumber};
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

/// Makes `sealed` the current version. The one it supersedes stays through the secret's grace period; with
/// no grace it expires in this instant and is removed at once. The caller writes the secret back.
pub(super) fn advance(
    rows: &mut dyn RowsMut,
    secret: &mut Secret,
    sealed: &SealedVersion,
    now: Timestamp,
) -> Result<Result<(), Refusal>, StateFault> {
    let keeps_old = secret.grace_period > Seconds::ZERO;
    if keeps_old && secret.stored_versions >= STORED_VERSIONS_MAX {
        return Ok(Err(Refusal::TooManyVersions));
    }
    supersede(rows, secret, keeps_old, now)?;
    secret.current = secret.current.next();
    let version = Version { sealed: sealed.clone(), created_at: now, expires_at: None };
    versions::add(rows, &secret.name, secret.current, &version)?;
    if keeps_old {
        secret.stored_versions += 1;
        meta::count(rows, |counts| counts.versions += 1)?;
    }
    Ok(Ok(()))
}

fn supersede(rows: &mut dyn RowsMut, secret: &Secret, keep: bool, now: Timestamp) -> Result<(), StateFault> {
    let Some(mut old) = versions::get(rows, &secret.name, secret.current)? else { return Ok(()) };
    if !keep {
        return versions::remove(rows, &secret.name, secret.current, &old);
    }
    let at = now.plus(secret.grace_period);
    old.expires_at = Some(at);
    versions::amend(rows, &secret.name, secret.current, &old)?;
    let due = expiry_due::ExpiryDue { at, name: secret.name.clone(), version: secret.current };
    expiry_due::put(rows, &due)
}

/// Moves the secret's entry in the index of due rotations to `next`.
pub(super) fn reschedule(
    rows: &mut dyn RowsMut,
    secret: &mut Secret,
    next: Option<Timestamp>,
) -> Result<(), StateFault> {
    if let Some(at) = secret.next_rotation_at {
        rotation_due::remove(rows, &RotationDue { at, name: secret.name.clone() })?;
    }
    if let Some(at) = next {
        rotation_due::put(rows, &RotationDue { at, name: secret.name.clone() })?;
    }
    secret.next_rotation_at = next;
    Ok(())
}
