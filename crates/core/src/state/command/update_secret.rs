//! Changes a secret's metadata, its material, or both. Metadata alone keeps the version.

use minicbor::{Decode, Encode};

use super::version_chain;
use crate::generator::Generator;
use crate::name::SecretName;
use crate::rotation::next_rotation;
use crate::secret::{Description, SealedVersion, Secret, SecretId, VersionNumber};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::target::Target;
use crate::time::{Seconds, Timestamp};

/// Absent fields stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct UpdateSecret {
    #[n(0)]
    pub name: SecretName,
    #[n(1)]
    pub id: SecretId,
    /// The version that the proposer saw; `sealed` is sealed as the one after it.
    #[n(2)]
    pub expected: VersionNumber,
    #[n(3)]
    pub description: Option<Description>,
    #[n(4)]
    pub rotation_interval: Option<Seconds>,
    #[n(5)]
    pub grace_period: Option<Seconds>,
    #[n(6)]
    pub sealed: Option<SealedVersion>,
    /// Like the following from level [`TARGETS_SINCE`](crate::state::TARGETS_SINCE) on.
    #[n(7)]
    pub target: Option<Setting<Target>>,
    #[n(8)]
    pub generator: Option<Setting<Generator>>,
    /// `sealed` is what the target has already: without this word, material of a secret with a target changes by
    /// rotation alone. A pending version is discarded.
    #[n(9)]
    pub is_applied: Option<bool>,
}

/// What becomes of something that may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Setting<T> {
    #[n(0)]
    Set(#[n(0)] T),
    #[n(1)]
    Clear,
}

impl<T: Clone> Setting<T> {
    fn apply_to(&self, setting: &mut Option<T>) {
        *setting = match self {
            Setting::Set(value) => Some(value.clone()),
            Setting::Clear => None,
        };
    }
}

impl UpdateSecret {
    /// Whether it says what members of a lower level would read past.
    pub(super) const fn needs_targets(&self) -> bool {
        self.target.is_some() || self.generator.is_some() || self.is_applied.is_some()
    }

    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        let before = match version_chain::expected(rows, &self.name, self.id, self.expected)? {
            Ok(secret) => secret,
            Err(refusal) => return Ok(refusal.outcome()),
        };
        if let Err(refusal) = self.check_target(&before, now) {
            return Ok(refusal.outcome());
        }
        let mut secret = before.clone();
        self.change_metadata(&mut secret);
        if let Some(sealed) = &self.sealed
            && let Err(refusal) = version_chain::advance(rows, &mut secret, sealed, now)?
        {
            return Ok(refusal.outcome());
        }
        if self.sealed.is_some() || self.rotation_interval.is_some() {
            secret.next_rotation_at = next_rotation(secret.rotation_interval, now);
        }
        if self.target.is_some() {
            try_again_now(&mut secret, now);
        }
        secret.updated_at = now;
        version_chain::save(rows, Some(&before), &secret)?;
        Ok(Effect::Secret(Box::new(secret)).outcome())
    }

    /// Nobody decides about a password that may be on its way to a database, and the only copy of one that a database
    /// may have isn't given up but for one that it does have.
    fn check_target(&self, secret: &Secret, now: Timestamp) -> Result<(), Refusal> {
        let is_applied = self.is_applied == Some(true);
        if self.sealed.is_some() && secret.target.is_some() && !is_applied {
            return Err(Refusal::HasTarget);
        }
        let Some(pending) = secret.pending() else { return Ok(()) };
        if (self.sealed.is_some() || self.target.is_some()) && pending.is_being_applied(now) {
            return Err(Refusal::RotationRunning);
        }
        if self.target == Some(Setting::Clear) && self.sealed.is_none() {
            return Err(Refusal::RotationPending);
        }
        Ok(())
    }

    fn change_metadata(&self, secret: &mut Secret) {
        if let Some(description) = &self.description {
            secret.description = Some(description.clone());
        }
        if let Some(interval) = self.rotation_interval {
            secret.rotation_interval = Some(interval);
        }
        if let Some(grace) = self.grace_period {
            secret.grace_period = grace;
        }
        if let Some(target) = &self.target {
            target.apply_to(&mut secret.target);
        }
        if let Some(generator) = &self.generator {
            generator.apply_to(&mut secret.generator);
        }
    }
}

/// What failed with the target as it was may be done with it as it is. An attempt on the old one counts no more.
fn try_again_now(secret: &mut Secret, now: Timestamp) {
    if let Some(rotation) = &mut secret.rotation
        && let Some(pending) = &mut rotation.pending
    {
        pending.attempts = pending.attempts.saturating_add(1);
        pending.attempt_until = None;
        rotation.next_attempt_at = Some(now);
    }
}
