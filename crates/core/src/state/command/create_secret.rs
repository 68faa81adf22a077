//! Creates a secret with its first version.

use minicbor::{Decode, Encode};

use super::version_chain;
use crate::generator::Generator;
use crate::name::SecretName;
use crate::rotation::next_rotation;
use crate::secret::{
    Description, SealedVersion, Secret, SecretFormat, SecretId, SecretKind, Version, VersionNumber,
};
use crate::state::table::{meta, secrets, versions};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::target::Target;
use crate::time::{Seconds, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CreateSecret {
    #[n(0)]
    pub name: SecretName,
    #[n(1)]
    pub id: SecretId,
    #[n(2)]
    pub kind: SecretKind,
    #[n(3)]
    pub format: SecretFormat,
    #[n(4)]
    pub description: Option<Description>,
    /// Present exactly when the kind is automatic.
    #[n(5)]
    pub rotation_interval: Option<Seconds>,
    #[n(6)]
    pub grace_period: Seconds,
    /// Sealed as version [`VersionNumber::FIRST`].
    #[n(7)]
    pub sealed: SealedVersion,
    /// Only for an automatic secret of format userpass. From level [`TARGETS_SINCE`](crate::state::TARGETS_SINCE) on.
    #[n(8)]
    pub target: Option<Target>,
    /// From the same level on.
    #[n(9)]
    pub generator: Option<Generator>,
}

impl CreateSecret {
    /// Whether it says what members of a lower level would read past.
    pub(super) const fn needs_targets(&self) -> bool {
        self.target.is_some() || self.generator.is_some()
    }

    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        if secrets::get(rows, &self.name)?.is_some() {
            return Ok(Refusal::SecretExists.outcome());
        }
        let secret = self.secret(now);
        let first = Version { sealed: self.sealed.clone(), created_at: now, expires_at: None };
        versions::add(rows, &self.name, secret.current, &first)?;
        version_chain::save(rows, None, &secret)?;
        meta::count(rows, |counts| {
            counts.secrets += 1;
            counts.versions += 1;
        })?;
        Ok(Effect::Secret(Box::new(secret)).outcome())
    }

    fn secret(&self, now: Timestamp) -> Secret {
        Secret {
            id: self.id,
            name: self.name.clone(),
            kind: self.kind,
            format: self.format,
            description: self.description.clone(),
            current: VersionNumber::FIRST,
            stored_versions: 1,
            rotation_interval: self.rotation_interval,
            grace_period: self.grace_period,
            next_rotation_at: next_rotation(self.rotation_interval, now),
            created_at: now,
            updated_at: now,
            target: self.target.clone(),
            generator: self.generator.clone(),
            rotation: None,
        }
    }
}
