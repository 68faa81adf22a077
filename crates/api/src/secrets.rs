//! Secrets on the wire.

use std::fmt;

use hyperion_vault_core::secret as domain;
use hyperion_vault_core::secret::{Secret, Version, VersionNumber};
use hyperion_vault_core::time::{Seconds, Timestamp};
use serde::de::{Error, Unexpected, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::rotation::{GeneratorInfo, RotationInfo, TargetInfo, given};
use crate::text::SecretText;
use crate::time::rfc3339;

/// Who changes the material: `manual` or `automatic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Manual,
    Automatic,
}

/// Written by hand: `serde`'s own takes `{"manual": null}` too.
impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_str(KindVisitor)
    }
}

struct KindVisitor;

impl Visitor<'_> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("manual or automatic")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Kind, E> {
        match text {
            "manual" => Ok(Kind::Manual),
            "automatic" => Ok(Kind::Automatic),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
}

/// What the material is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Opaque,
    UserPass,
}

/// `POST /v1/secrets`. Which of `value` or `username` and `password` is given decides the format; what an
/// automatic secret leaves out is generated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSecretRequest {
    pub name: String,
    pub kind: Kind,
    #[serde(default)]
    pub value: Option<SecretText>,
    #[serde(default)]
    pub username: Option<SecretText>,
    #[serde(default)]
    pub password: Option<SecretText>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub rotation_interval_secs: Option<u64>,
    #[serde(default)]
    pub grace_period_secs: Option<u64>,
    #[serde(default)]
    pub target: Option<TargetInfo>,
    #[serde(default)]
    pub generator: Option<GeneratorInfo>,
}

/// `PUT /v1/secrets/{name}`. What is left out stays as it is; a target or generator of `null` is taken away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateSecretRequest {
    #[serde(default)]
    pub value: Option<SecretText>,
    #[serde(default)]
    pub username: Option<SecretText>,
    #[serde(default)]
    pub password: Option<SecretText>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub rotation_interval_secs: Option<u64>,
    #[serde(default)]
    pub grace_period_secs: Option<u64>,
    #[serde(default, deserialize_with = "given")]
    pub target: Option<Option<TargetInfo>>,
    #[serde(default, deserialize_with = "given")]
    pub generator: Option<Option<GeneratorInfo>>,
}

/// `POST /v1/secrets/{name}/verify`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    pub value: SecretText,
}

/// Whether the value is that of a version which is current or in grace, and of which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyAnswer {
    pub valid: bool,
    pub version: Option<u64>,
}

/// `POST /v1/batch/secrets`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchReadRequest {
    pub names: Vec<String>,
}

/// The material of one version.
pub enum MaterialText {
    Opaque { value: SecretText },
    UserPass { username: SecretText, password: SecretText },
}

/// A secret with its material. It goes to bytes by [`SecretValue::to_json`] alone, which wipes them.
pub struct SecretValue {
    pub name: String,
    pub kind: Kind,
    pub format: Format,
    pub version: u64,
    pub material: MaterialText,
    /// When this version was made.
    pub created_at: Timestamp,
}

/// Bytes for a value beside its material: keys, punctuation, the longest name and a time.
const VALUE_FRAME_BYTES: usize = 512;
impl SecretValue {
    /// The answer's bytes, wiped when dropped.
    ///
    /// # Errors
    /// None in practice: a map of strings has no way to fail.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        SecretValue::all_to_json_sized(self.json_bytes_max(), self)
    }

    /// The bytes of a list of values, wiped when dropped.
    ///
    /// # Errors
    /// None in practice, as above.
    pub fn list_to_json(values: &[SecretValue]) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let size = values.iter().map(SecretValue::json_bytes_max).sum();
        SecretValue::all_to_json_sized(size, values)
    }

    /// Room is made at once, so that no growing buffer leaves a copy behind.
    fn all_to_json_sized<T: Serialize + ?Sized>(
        size: usize,
        what: &T,
    ) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(size + VALUE_FRAME_BYTES));
        serde_json::to_writer(&mut *bytes, what)?;
        Ok(bytes)
    }

    /// Bytes of the answer at most.
    #[must_use]
    pub fn json_bytes_max(&self) -> usize {
        let material = match &self.material {
            MaterialText::Opaque { value } => escaped_bytes(value),
            MaterialText::UserPass { username, password } => {
                escaped_bytes(username) + escaped_bytes(password)
            }
        };
        material + VALUE_FRAME_BYTES
    }
}

/// Bytes of the text as a JSON string: a control character takes six (`\u0000`) at most.
fn escaped_bytes(text: &SecretText) -> usize {
    let escaped = |byte: u8| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    text.expose().bytes().map(escaped).sum()
}

/// Written by hand: a type that holds plaintext derives nothing that could show it.
impl Serialize for SecretValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("kind", &self.kind)?;
        map.serialize_entry("format", &self.format)?;
        map.serialize_entry("version", &self.version)?;
        match &self.material {
            MaterialText::Opaque { value } => map.serialize_entry("value", value.expose())?,
            MaterialText::UserPass { username, password } => {
                map.serialize_entry("username", username.expose())?;
                map.serialize_entry("password", password.expose())?;
            }
        }
        map.serialize_entry("created_at", &rfc3339(self.created_at))?;
        map.end()
    }
}

/// A secret without its material.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretMetadata {
    pub name: String,
    pub kind: Kind,
    pub format: Format,
    pub description: Option<String>,
    pub version: u64,
    pub rotation_interval_secs: Option<u64>,
    pub grace_period_secs: u64,
    pub next_rotation_at: Option<String>,
    pub created_at: String,
    pub updated_at: String,
    pub target: Option<TargetInfo>,
    pub generator: Option<GeneratorInfo>,
    /// How its rotations go; `null` for a manual secret.
    pub rotation: Option<RotationInfo>,
}

/// One version of `GET /v1/versions/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    pub version: u64,
    pub created_at: String,
    pub expires_at: Option<String>,
    pub current: bool,
}

impl From<Kind> for domain::SecretKind {
    fn from(kind: Kind) -> domain::SecretKind {
        match kind {
            Kind::Manual => domain::SecretKind::Manual,
            Kind::Automatic => domain::SecretKind::Automatic,
        }
    }
}

impl From<domain::SecretKind> for Kind {
    fn from(kind: domain::SecretKind) -> Kind {
        match kind {
            domain::SecretKind::Manual => Kind::Manual,
            domain::SecretKind::Automatic => Kind::Automatic,
        }
    }
}

impl From<domain::SecretFormat> for Format {
    fn from(format: domain::SecretFormat) -> Format {
        match format {
            domain::SecretFormat::Opaque => Format::Opaque,
            domain::SecretFormat::UserPass => Format::UserPass,
        }
    }
}

impl From<&Secret> for SecretMetadata {
    fn from(secret: &Secret) -> SecretMetadata {
        SecretMetadata {
            name: secret.name.to_string(),
            kind: secret.kind.into(),
            format: secret.format.into(),
            description: secret.description.as_ref().map(|text| text.as_str().to_owned()),
            version: secret.current.get(),
            rotation_interval_secs: secret.rotation_interval.map(Seconds::get),
            grace_period_secs: secret.grace_period.get(),
            next_rotation_at: secret.next_rotation_at.map(rfc3339),
            created_at: rfc3339(secret.created_at),
            updated_at: rfc3339(secret.updated_at),
            target: secret.target.as_ref().map(TargetInfo::from),
            generator: secret.generator.as_ref().map(GeneratorInfo::from),
            rotation: RotationInfo::of(secret),
        }
    }
}

impl VersionInfo {
    /// What may be told of a version to who may see the secret.
    #[must_use]
    pub fn of(number: VersionNumber, version: &Version, current: VersionNumber) -> VersionInfo {
        VersionInfo {
            version: number.get(),
            created_at: rfc3339(version.created_at),
            expires_at: version.expires_at.map(rfc3339),
            current: number == current,
        }
    }
}
