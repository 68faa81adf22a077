//! A secret, its versions and the sealed form in which alone it is stored, sent and backed up.

use minicbor::{Decode, Encode};

use crate::generator::Generator;
use crate::limits::DESCRIPTION_CHARS_MAX;
use crate::name::SecretName;
use crate::rotation::{PendingVersion, RotationProgress};
use crate::target::Target;
use crate::time::{Seconds, Timestamp};
use crate::wrap::WrapEpoch;

/// The random identity of one secret. A later secret of the same name has another one, which is what keeps
/// a sealed version of the old from opening under the new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct SecretId(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

impl SecretId {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> SecretId {
        SecretId(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The number of a version: 1 for the first, one more with each change of the material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct VersionNumber(#[n(0)] u64);

impl VersionNumber {
    /// The version that a secret is created with.
    pub const FIRST: VersionNumber = VersionNumber(1);

    #[must_use]
    pub const fn new(number: u64) -> VersionNumber {
        VersionNumber(number)
    }

    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> VersionNumber {
        VersionNumber(self.0.saturating_add(1))
    }
}

/// Who changes the material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum SecretKind {
    /// People.
    #[n(0)]
    Manual,
    /// The vault, on a schedule.
    #[n(1)]
    Automatic,
}

/// What the material is; fixed at creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum SecretFormat {
    /// One string.
    #[n(0)]
    Opaque,
    /// A username and a password, sealed together.
    #[n(1)]
    UserPass,
}

/// A description of at most [`DESCRIPTION_CHARS_MAX`] characters.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Description(#[n(0)] String);

/// A description is longer than [`DESCRIPTION_CHARS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("description must be at most {DESCRIPTION_CHARS_MAX} characters")]
pub struct DescriptionTooLong;

impl Description {
    /// # Errors
    /// [`DescriptionTooLong`].
    pub fn parse(text: &str) -> Result<Description, DescriptionTooLong> {
        if text.chars().count() > DESCRIPTION_CHARS_MAX {
            return Err(DescriptionTooLong);
        }
        Ok(Description(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Sealed material: everything that opening it takes, but the master key. What binds it to its name, number
/// and secret is computed by who opens it and is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SealedVersion {
    /// Format of the envelope.
    #[n(0)]
    pub envelope_format: u8,
    /// The master key that wrapped the data key, in the KMS's own words.
    #[n(1)]
    pub kms_key_id: String,
    /// The data key, wrapped by the KMS.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub wrapped_data_key: Vec<u8>,
    /// XChaCha20-Poly1305 nonce, 24 random bytes.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub nonce: [u8; 24],
    /// Ciphertext and its 16 bytes of tag.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub ciphertext: Vec<u8>,
    /// The newest rotation of the master key that is known to be no later than the wrap; absent when none is known.
    #[n(5)]
    pub wrapped_rotation_at: Option<Timestamp>,
}

impl SealedVersion {
    /// By what its data key is wrapped.
    #[must_use]
    pub fn epoch(&self) -> WrapEpoch {
        WrapEpoch { kms_key_id: self.kms_key_id.clone(), rotation_at: self.wrapped_rotation_at }
    }
}

/// A secret, as stored: all but its material.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Secret {
    #[n(0)]
    pub id: SecretId,
    #[n(1)]
    pub name: SecretName,
    #[n(2)]
    pub kind: SecretKind,
    #[n(3)]
    pub format: SecretFormat,
    #[n(4)]
    pub description: Option<Description>,
    /// The version that a read answers with.
    #[n(5)]
    pub current: VersionNumber,
    /// Versions stored, the current and a pending one included; at most `STORED_VERSIONS_MAX`.
    #[n(6)]
    pub stored_versions: u64,
    /// Present exactly when the kind is automatic.
    #[n(7)]
    pub rotation_interval: Option<Seconds>,
    #[n(8)]
    pub grace_period: Seconds,
    /// Present exactly when the kind is automatic.
    #[n(9)]
    pub next_rotation_at: Option<Timestamp>,
    #[n(10)]
    pub created_at: Timestamp,
    #[n(11)]
    pub updated_at: Timestamp,
    /// Where each rotation applies the new password; only on an automatic userpass secret.
    #[n(12)]
    pub target: Option<Target>,
    /// How new material is made; absent: as every secret's.
    #[n(13)]
    pub generator: Option<Generator>,
    /// Absent until the first rotation that is known of.
    #[n(14)]
    pub rotation: Option<RotationProgress>,
}

impl Secret {
    /// When the worker is to look after it: the next attempt where one is to be made again, else the next rotation.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        self.rotation.as_ref().and_then(|rotation| rotation.next_attempt_at).or(self.next_rotation_at)
    }

    /// The version that is stored and not yet current.
    #[must_use]
    pub fn pending(&self) -> Option<&PendingVersion> {
        self.rotation.as_ref().and_then(|rotation| rotation.pending.as_ref())
    }
}

/// One version of a secret, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Version {
    #[n(0)]
    pub sealed: SealedVersion,
    #[n(1)]
    pub created_at: Timestamp,
    /// Absent while the version is pending or current; set when it is superseded.
    #[n(2)]
    pub expires_at: Option<Timestamp>,
}
