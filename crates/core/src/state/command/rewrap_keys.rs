//! Puts re-wrapped data keys in the place of those that they are the same as. Nonces and ciphertexts stay.

use minicbor::{Decode, Encode};

use crate::name::SecretName;
use crate::secret::VersionNumber;
use crate::state::table::meta::{self, WrappedIntegrityKey};
use crate::state::table::rewrap::{self, Pass};
use crate::state::table::versions;
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::time::Timestamp;
use crate::wrap::{WrapEpoch, wrapped_fingerprint};

/// A data key that was wrapped anew.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RewrappedKey {
    /// [`wrapped_fingerprint`] of the wrapped key that it was made from, and whose place alone it may take.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub replaces: [u8; 32],
    #[n(1)]
    pub kms_key_id: String,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub wrapped: Vec<u8>,
}

/// A version whose data key was wrapped anew.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RewrappedVersion {
    #[n(0)]
    pub name: SecretName,
    #[n(1)]
    pub version: VersionNumber,
    #[n(2)]
    pub key: RewrappedKey,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RewrapKeys {
    /// The number of the pass.
    #[n(0)]
    pub pass: u64,
    /// At most `COMMAND_ITEMS_MAX`.
    #[n(1)]
    pub versions: Vec<RewrappedVersion>,
    /// The cluster's integrity key, wrapped anew.
    #[n(2)]
    pub integrity_key: Option<RewrappedKey>,
    /// Versions looked at since the last such command, failed ones included.
    #[n(3)]
    pub scanned: u64,
    #[n(4)]
    pub failed: u64,
}

impl RewrapKeys {
    /// What was done before, or is no more what it was made from, is passed over.
    pub(in crate::state) fn apply(&self, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
        let Some(mut rewrap) = rewrap::get(rows)?.filter(|rewrap| number(rewrap.pass) == Some(self.pass))
        else {
            return Ok(Refusal::RewrapEnded.outcome());
        };
        let mut replaced = 0;
        for rewrapped in &self.versions {
            replaced += u64::from(replace(rows, rewrapped, &rewrap.target)?);
        }
        if let Some(key) = &self.integrity_key {
            replace_integrity_key(rows, key, &rewrap.target)?;
        }
        if let Some(pass) = &mut rewrap.pass {
            pass.scanned = pass.scanned.saturating_add(self.scanned);
            pass.rewrapped = pass.rewrapped.saturating_add(replaced);
            pass.failed = pass.failed.saturating_add(self.failed);
        }
        rewrap::put(rows, &rewrap)?;
        Ok(Effect::Rewrapped(replaced).outcome())
    }
}

fn number(pass: Option<Pass>) -> Option<u64> {
    pass.map(|pass| pass.number)
}

impl RewrappedKey {
    fn replaces(&self, wrapped: &[u8]) -> bool {
        self.replaces == wrapped_fingerprint(wrapped)
    }

    /// What is known of another key than the target is its name alone.
    fn rotation_at(&self, target: &WrapEpoch) -> Option<Timestamp> {
        target.rotation_at.filter(|_| self.kms_key_id == target.kms_key_id)
    }
}

fn replace(
    rows: &mut dyn RowsMut,
    rewrapped: &RewrappedVersion,
    target: &WrapEpoch,
) -> Result<bool, StateFault> {
    let (name, number, key) = (&rewrapped.name, rewrapped.version, &rewrapped.key);
    let found = versions::get(rows, name, number)?;
    let Some(before) = found.filter(|version| key.replaces(&version.sealed.wrapped_data_key)) else {
        return Ok(false);
    };
    let mut after = before.clone();
    after.sealed.kms_key_id = key.kms_key_id.clone();
    after.sealed.wrapped_data_key = key.wrapped.clone();
    after.sealed.wrapped_rotation_at = key.rotation_at(target);
    versions::rewrap(rows, name, number, &before, &after)?;
    Ok(true)
}

fn replace_integrity_key(
    rows: &mut dyn RowsMut,
    key: &RewrappedKey,
    target: &WrapEpoch,
) -> Result<(), StateFault> {
    match meta::integrity_key(rows)?.filter(|stored| key.replaces(&stored.wrapped)) {
        Some(_) => meta::put_integrity_key(
            rows,
            &WrappedIntegrityKey {
                kms_key_id: key.kms_key_id.clone(),
                wrapped: key.wrapped.clone(),
                wrapped_rotation_at: key.rotation_at(target),
            },
        ),
        None => Ok(()),
    }
}
