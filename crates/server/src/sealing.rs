//! Material into sealed versions and back: a data key from the key provider, a nonce, the envelope. The one
//! place where plaintext meets what goes into the state.

use std::sync::Arc;

use hyperion_vault_core::generator::Generator;
use hyperion_vault_core::ports::Entropy;
use hyperion_vault_core::secret::{SealedVersion, Secret, SecretId, VersionNumber};
use hyperion_vault_core::state::table::rewrap;
use hyperion_vault_crypto::{
    AssociatedData, EncryptionContext, GENERATED_RANDOM_BYTES, Material, NONCE_BYTES, Plaintext,
    generated_from, generated_value, open, seal,
};
use hyperion_vault_kms::{KeyProvider, KmsError, WrappedDataKey};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::ports::View;

/// Seals and opens, and makes the random bytes that either needs.
pub struct Sealing {
    keys: Arc<dyn KeyProvider>,
    entropy: Arc<dyn Entropy>,
}

impl Sealing {
    #[must_use]
    pub fn new(keys: Arc<dyn KeyProvider>, entropy: Arc<dyn Entropy>) -> Sealing {
        Sealing { keys, entropy }
    }

    /// A new identity for a new secret.
    #[must_use]
    pub fn new_id(&self) -> SecretId {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        SecretId::from_bytes(bytes)
    }

    /// A new random value: 32 bytes in base64url, 43 characters.
    #[must_use]
    pub fn generate(&self) -> Plaintext {
        let mut random = Zeroizing::new([0; GENERATED_RANDOM_BYTES]);
        self.entropy.fill(random.as_mut_slice());
        generated_value(&random)
    }

    /// New random material of a secret: as its generator says, or as everybody's.
    #[must_use]
    pub fn generate_with(&self, generator: Option<&Generator>) -> Plaintext {
        match generator {
            Some(generator) => {
                let length = usize::try_from(generator.length()).unwrap_or(usize::MAX);
                generated_from(generator.alphabet().as_bytes(), length, |bytes| self.entropy.fill(bytes))
            }
            None => self.generate(),
        }
    }

    /// Seals `material` for `place`, under a data key of its own. `view` tells which rotation of the master key is
    /// known.
    ///
    /// # Errors
    /// [`Failure`] when key management can't make a data key.
    pub async fn seal(
        &self,
        view: &View,
        place: &AssociatedData<'_>,
        material: &Material,
    ) -> Result<SealedVersion, Failure> {
        // What is known before the data key is made is older than the wrap. What is learnt afterwards need not be.
        let known = rewrap::get(&**view)?.map(|rewrap| rewrap.target);
        let plaintext = material.encode().map_err(Failure::internal)?;
        let context = EncryptionContext::for_version(place.name, place.version);
        let data_key = self.keys.generate_data_key(&context).await?;
        let mut nonce = [0; NONCE_BYTES];
        self.entropy.fill(&mut nonce);
        let sealed = seal(data_key.plaintext, nonce, place, &plaintext).map_err(Failure::internal)?;
        let sealed = sealed.with_wrapped_key(data_key.wrapped.key_id, data_key.wrapped.bytes);
        let known = known.filter(|known| known.kms_key_id == sealed.kms_key_id);
        Ok(SealedVersion { wrapped_rotation_at: known.and_then(|known| known.rotation_at), ..sealed })
    }

    /// Opens what was sealed as `version` of the secret.
    ///
    /// # Errors
    /// [`Failure`] when key management can't unwrap the data key, or when what is sealed was altered,
    /// belongs elsewhere, or isn't what the secret's format says.
    pub async fn open(
        &self,
        secret: &Secret,
        version: VersionNumber,
        sealed: &SealedVersion,
    ) -> Result<Material, Failure> {
        let wrapped =
            WrappedDataKey { key_id: sealed.kms_key_id.clone(), bytes: sealed.wrapped_data_key.clone() };
        let context = EncryptionContext::for_version(&secret.name, version);
        let data_key = self.keys.unwrap_data_key(&wrapped, &context).await?;
        let place = AssociatedData { secret_id: &secret.id, name: &secret.name, version };
        let plaintext = open(&data_key, sealed, &place).map_err(|error| altered(secret, version, error))?;
        let material = Material::decode(&plaintext).map_err(|error| altered(secret, version, error))?;
        if material.format() != secret.format {
            return Err(altered(secret, version, "the material is of another format than the secret"));
        }
        Ok(material)
    }

    /// Whether key management can be used now.
    ///
    /// # Errors
    /// [`KmsError`] says why not.
    pub async fn health(&self) -> Result<(), KmsError> {
        self.keys.health().await
    }
}

fn altered(secret: &Secret, version: VersionNumber, what: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("secret {} version {}: {what}", secret.name, version.get()))
}
