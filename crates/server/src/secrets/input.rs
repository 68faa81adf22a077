//! What a new secret or a change of one is, checked once: behind here nothing checks it again.

use hyperion_vault_core::generator::Generator;
use hyperion_vault_core::limits::MATERIAL_BYTES_MAX;
use hyperion_vault_core::rotation::{RotationError, check_grace, check_interval};
use hyperion_vault_core::secret::{Description, Secret, SecretFormat, SecretKind, VersionNumber};
use hyperion_vault_core::state::Refusal;
use hyperion_vault_core::state::command::Setting;
use hyperion_vault_core::target::{DatabaseIdentifier, Target, TargetRoles};
use hyperion_vault_core::time::Seconds;
use hyperion_vault_crypto::{Material, Plaintext};

use crate::failure::Failure;

/// Material as a caller gives it: what is left out is generated, or carried over from the current version.
pub enum NewMaterial {
    Opaque(Option<Plaintext>),
    UserPass { username: Option<Plaintext>, password: Option<Plaintext> },
}

impl NewMaterial {
    /// # Errors
    /// [`Failure::Invalid`] when both formats are mixed, something is too long, or an empty username or
    /// password is given.
    pub fn parse(
        value: Option<Plaintext>,
        username: Option<Plaintext>,
        password: Option<Plaintext>,
    ) -> Result<Option<NewMaterial>, Failure> {
        for (field, text) in [("value", &value), ("username", &username), ("password", &password)] {
            check_length(field, text.as_ref())?;
        }
        for (field, text) in [("username", &username), ("password", &password)] {
            if text.as_ref().is_some_and(Plaintext::is_empty) {
                return Err(Failure::Invalid(format!("{field} must not be empty")));
            }
        }
        match (value, username, password) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                Err(Failure::Invalid("give either value, or username and password".to_owned()))
            }
            (Some(value), None, None) => Ok(Some(NewMaterial::Opaque(Some(value)))),
            (None, None, None) => Ok(None),
            (None, username, password) => Ok(Some(NewMaterial::UserPass { username, password })),
        }
    }

    fn format(&self) -> SecretFormat {
        match self {
            NewMaterial::Opaque(_) => SecretFormat::Opaque,
            NewMaterial::UserPass { .. } => SecretFormat::UserPass,
        }
    }

    /// All there is for a new secret: what an automatic one leaves out comes from `generate`.
    pub(super) fn complete(
        self,
        kind: SecretKind,
        generate: impl Fn() -> Plaintext,
    ) -> Result<Material, Failure> {
        let or_generated = |given: Option<Plaintext>, field: &str| match (given, kind) {
            (Some(given), _) => Ok(given),
            (None, SecretKind::Automatic) => Ok(generate()),
            (None, SecretKind::Manual) => {
                Err(Failure::Invalid(format!("{field} is required for a manual secret")))
            }
        };
        match self {
            NewMaterial::Opaque(value) => Ok(Material::Opaque(or_generated(value, "value")?)),
            NewMaterial::UserPass { username, password } => {
                let username = username
                    .ok_or_else(|| Failure::Invalid("username is required with a password".to_owned()))?;
                Ok(Material::UserPass { username, password: or_generated(password, "password")? })
            }
        }
    }

    /// All there is for the next version: what is left out comes from the current one.
    pub(super) fn carry_over(&self, current: Option<&Material>) -> Result<Material, Failure> {
        let missing = || Failure::internal("the current version was not opened");
        match (self, current) {
            (NewMaterial::Opaque(Some(value)), _) => Ok(Material::Opaque(copy(value))),
            (NewMaterial::UserPass { username: Some(username), password: Some(password) }, _) => {
                Ok(Material::UserPass { username: copy(username), password: copy(password) })
            }
            (
                NewMaterial::UserPass { username, password },
                Some(Material::UserPass { username: old_username, password: old_password }),
            ) => Ok(Material::UserPass {
                username: copy(username.as_ref().unwrap_or(old_username)),
                password: copy(password.as_ref().unwrap_or(old_password)),
            }),
            _ => Err(missing()),
        }
    }

    pub(super) fn needs_current(&self) -> bool {
        matches!(
            self,
            NewMaterial::UserPass { username: None, .. } | NewMaterial::UserPass { password: None, .. }
        )
    }
}

fn copy(text: &Plaintext) -> Plaintext {
    Plaintext::from(text.expose())
}

fn check_length(field: &str, text: Option<&Plaintext>) -> Result<(), Failure> {
    if text.is_some_and(|text| text.len() > MATERIAL_BYTES_MAX) {
        return Err(Failure::Invalid(format!("{field} must be at most {MATERIAL_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// A secret to be created.
pub struct NewSecret {
    pub(super) kind: SecretKind,
    pub(super) material: NewMaterial,
    pub(super) description: Option<Description>,
    pub(super) rotation_interval: Option<Seconds>,
    pub(super) grace_period: Seconds,
    pub(super) target: Option<Target>,
    pub(super) generator: Option<Generator>,
}

impl NewSecret {
    /// With a way to make its material and a place to apply it.
    ///
    /// # Errors
    /// [`Failure::Invalid`] when they don't fit the secret.
    pub fn rotated_by(
        mut self,
        target: Option<Target>,
        generator: Option<Generator>,
    ) -> Result<NewSecret, Failure> {
        if let Some(target) = &target {
            check_targeted(self.kind, self.material.format())?;
            check_login(target, &self.material)?;
        }
        if generator.is_some() {
            check_generated(self.kind)?;
        }
        (self.target, self.generator) = (target, generator);
        Ok(self)
    }

    /// # Errors
    /// [`Failure::Invalid`] names the field and the rule.
    pub fn parse(
        kind: SecretKind,
        material: Option<NewMaterial>,
        description: Option<&str>,
        rotation_interval: Option<Seconds>,
        grace_period: Option<Seconds>,
    ) -> Result<NewSecret, Failure> {
        let rotation_interval = match (kind, rotation_interval) {
            (SecretKind::Automatic, Some(interval)) => Some(check_interval(interval).map_err(invalid)?),
            (SecretKind::Automatic, None) => return Err(invalid(RotationError::IntervalMissing)),
            (SecretKind::Manual, Some(_)) => return Err(invalid(RotationError::IntervalOnManual)),
            (SecretKind::Manual, None) => None,
        };
        Ok(NewSecret {
            kind,
            material: material.unwrap_or(NewMaterial::Opaque(None)),
            description: description.map(Description::parse).transpose().map_err(invalid)?,
            rotation_interval,
            grace_period: check_grace(grace_period.unwrap_or(Seconds::ZERO)).map_err(invalid)?,
            target: None,
            generator: None,
        })
    }
}

fn check_targeted(kind: SecretKind, format: SecretFormat) -> Result<(), Failure> {
    match (kind, format) {
        (SecretKind::Automatic, SecretFormat::UserPass) => Ok(()),
        _ => Err(Failure::Invalid(
            "target is for automatic secrets with username and password only".to_owned(),
        )),
    }
}

fn check_generated(kind: SecretKind) -> Result<(), Failure> {
    match kind {
        SecretKind::Automatic => Ok(()),
        SecretKind::Manual => Err(Failure::Invalid("generator is for automatic secrets only".to_owned())),
    }
}

/// The first version is what the database has already.
fn check_login(target: &Target, material: &NewMaterial) -> Result<(), Failure> {
    let NewMaterial::UserPass { username: Some(username), password: Some(_) } = material else {
        let message = "with a target, username and password are required: those that the database has";
        return Err(Failure::Invalid(message.to_owned()));
    };
    let name = std::str::from_utf8(username.expose()).map_err(|_| invalid("username must be UTF-8"))?;
    match &target.roles {
        TargetRoles::One(_) => Ok(()),
        TargetRoles::Username => {
            DatabaseIdentifier::check(name).map_err(|error| Failure::Invalid(format!("username {error}")))
        }
        TargetRoles::Alternating(first, second)
            if [first, second].map(|role| role.as_str()).contains(&name) =>
        {
            Ok(())
        }
        TargetRoles::Alternating(..) => Err(invalid("username must be one of target.roles")),
    }
}

/// A change of a secret; what is absent stays as it is.
pub struct SecretChange {
    pub(super) material: Option<NewMaterial>,
    pub(super) description: Option<Description>,
    pub(super) rotation_interval: Option<Seconds>,
    pub(super) grace_period: Option<Seconds>,
    pub(super) target: Option<Setting<Target>>,
    pub(super) generator: Option<Setting<Generator>>,
    /// Whether the material is what the target has already.
    pub(super) is_applied: bool,
    /// The version that the caller saw (`If-Match`).
    pub(super) if_match: Option<VersionNumber>,
}

impl SecretChange {
    /// # Errors
    /// [`Failure::Invalid`] names the field and the rule.
    pub fn parse(
        material: Option<NewMaterial>,
        description: Option<&str>,
        rotation_interval: Option<Seconds>,
        grace_period: Option<Seconds>,
        if_match: Option<VersionNumber>,
    ) -> Result<SecretChange, Failure> {
        Ok(SecretChange {
            material,
            description: description.map(Description::parse).transpose().map_err(invalid)?,
            rotation_interval: rotation_interval.map(check_interval).transpose().map_err(invalid)?,
            grace_period: grace_period.map(check_grace).transpose().map_err(invalid)?,
            target: None,
            generator: None,
            is_applied: false,
            if_match,
        })
    }

    /// Also in how its material is made and where it is applied.
    #[must_use]
    pub fn rotated_by(
        self,
        target: Option<Setting<Target>>,
        generator: Option<Setting<Generator>>,
        is_applied: bool,
    ) -> SecretChange {
        SecretChange { target, generator, is_applied, ..self }
    }

    /// # Errors
    /// [`Failure::Invalid`] when nothing would change.
    pub fn not_empty(self) -> Result<SecretChange, Failure> {
        if self.is_empty() { Err(invalid("give at least one field to change")) } else { Ok(self) }
    }

    fn is_empty(&self) -> bool {
        self.material.is_none()
            && self.description.is_none()
            && self.rotation_interval.is_none()
            && self.grace_period.is_none()
            && self.target.is_none()
            && self.generator.is_none()
    }

    /// Whether it can be a change of this secret.
    pub(super) fn check_against(&self, secret: &Secret) -> Result<(), Failure> {
        if self.if_match.is_some_and(|expected| expected != secret.current) {
            return Err(Failure::Precondition { current: secret.current.get() });
        }
        if self.rotation_interval.is_some() && secret.kind == SecretKind::Manual {
            return Err(invalid(RotationError::IntervalOnManual));
        }
        if matches!(self.target, Some(Setting::Set(_))) {
            check_targeted(secret.kind, secret.format)?;
        }
        if matches!(self.generator, Some(Setting::Set(_))) {
            check_generated(secret.kind)?;
        }
        if self.material.is_some() && secret.target.is_some() && !self.is_applied {
            return Err(Refusal::HasTarget.into());
        }
        match (&self.material, secret.format) {
            (Some(material), format) if material.format() != format => Err(Failure::Invalid(match format {
                SecretFormat::Opaque => "the secret's format is opaque: it takes value".to_owned(),
                SecretFormat::UserPass => {
                    "the secret's format is userpass: it takes username and password".to_owned()
                }
            })),
            _ => Ok(()),
        }
    }
}

fn invalid(error: impl ToString) -> Failure {
    Failure::Invalid(error.to_string())
}
