//! Reading, verifying and listing secrets.

use futures::{StreamExt, TryStreamExt, stream};
use hyperion_vault_core::limits::PAGE_ITEMS_MAX;
use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::policy::{Action, Principal, SecretPermit};
use hyperion_vault_core::rotation::expired;
use hyperion_vault_core::secret::{Secret, Version, VersionNumber};
use hyperion_vault_core::state::Refusal;
use hyperion_vault_core::state::table::{secrets, versions};
use hyperion_vault_crypto::{Material, Plaintext};
use subtle::{Choice, ConstantTimeEq};

use super::key_wait::{KeyWait, UNWRAPS_AT_ONCE};
use super::{Opened, Secrets};
use crate::failure::Failure;
use crate::ports::View;

/// Secrets looked at for one page: a role that sees few of very many gets its page in several requests.
const LIST_SCANNED_MAX: usize = 200_000;
/// Secrets read from the state at once.
const LIST_CHUNK: usize = 1_000;

/// Which secrets a list is of.
#[derive(Debug, Clone)]
pub struct ListQuery {
    pub prefix: String,
    /// Only names after this one.
    pub after: Option<String>,
    /// At most [`PAGE_ITEMS_MAX`].
    pub limit: usize,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    pub secrets: Vec<Secret>,
    /// Where the next page begins; absent when there is none.
    pub next_after: Option<String>,
}

/// What a value was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// That of this version, current or in grace.
    Valid(VersionNumber),
    Invalid,
}

impl Secrets {
    /// Opens the current version, or another that has not expired.
    ///
    /// # Errors
    /// [`Failure::NotFound`] also for a version that has expired, removed or not.
    pub async fn read(
        &self,
        permit: SecretPermit,
        version: Option<VersionNumber>,
    ) -> Result<Opened, Failure> {
        let view = self.replica.view();
        let secret = secrets::get(&*view, permit.name_for(Action::Read)?)?.ok_or(Refusal::SecretNotFound)?;
        let Some(number) = version.filter(|number| *number != secret.current) else {
            return self.open_current(&view, &secret).await;
        };
        let now = self.replica.now(&view)?;
        let version = versions::get(&*view, &secret.name, number)?
            .filter(|version| number < secret.current && !expired(version.expires_at, now))
            .ok_or(Failure::NotFound("no such version, or its grace period is over"))?;
        self.open_version(secret, number, &version).await
    }

    /// Opens the named secrets: one for each permit, in their order, and none for a name that doesn't exist.
    ///
    /// # Errors
    /// [`Failure`] when one that exists can't be opened: a part of the answer would look like the whole.
    pub async fn read_batch(&self, permits: Vec<SecretPermit>) -> Result<Vec<Option<Opened>>, Failure> {
        let view = self.replica.view();
        let found = permits.iter().map(|permit| Ok(secrets::get(&*view, permit.name_for(Action::Read)?)?));
        let found = found.collect::<Result<Vec<_>, Failure>>()?;
        let opened = stream::iter(found)
            .map(|secret| self.open_current_if_any(&view, secret))
            .buffered(UNWRAPS_AT_ONCE)
            .try_collect();
        KeyWait::begin().of(opened).await
    }

    /// Whether `value` is the value (or password) of a version that is current or in grace. Every such
    /// version is compared, each in constant time; an unknown name is invalid.
    ///
    /// # Errors
    /// [`Failure`] when a version can't be opened.
    pub async fn verify(&self, permit: SecretPermit, value: &Plaintext) -> Result<Verdict, Failure> {
        let view = self.replica.view();
        let Some(secret) = secrets::get(&*view, permit.name_for(Action::Read)?)? else {
            return Ok(Verdict::Invalid);
        };
        let now = self.replica.now(&view)?;
        let verdict = stream::iter(versions::live(&*view, &secret, now)?)
            .map(|(number, version)| self.matches(&secret, number, version, value))
            .buffered(UNWRAPS_AT_ONCE)
            .try_fold(Verdict::Invalid, async |verdict, next| Ok(next.unwrap_or(verdict)));
        KeyWait::begin().of(verdict).await
    }

    /// The versions that have not expired, oldest first, and which is current.
    ///
    /// # Errors
    /// [`Failure::NotFound`].
    pub fn versions(
        &self,
        name: &SecretName,
    ) -> Result<(VersionNumber, Vec<(VersionNumber, Version)>), Failure> {
        let view = self.replica.view();
        let secret = secrets::get(&*view, name)?.ok_or(Refusal::SecretNotFound)?;
        let now = self.replica.now(&view)?;
        Ok((secret.current, versions::live(&*view, &secret, now)?))
    }

    /// The secrets that any rule of the principal's role is about. Blocking: it may read much.
    ///
    /// # Errors
    /// [`Failure`] when the state can't be read.
    pub fn list(&self, principal: &Principal, query: &ListQuery) -> Result<Page, Failure> {
        let view = self.replica.view();
        let mut page = Page { secrets: Vec::new(), next_after: None };
        let mut after = query.after.clone();
        let limit = query.limit.min(PAGE_ITEMS_MAX);
        for _ in 0..LIST_SCANNED_MAX / LIST_CHUNK {
            let chunk = secrets::page(&*view, &query.prefix, after.as_deref(), LIST_CHUNK)?;
            let last_chunk = chunk.len() < LIST_CHUNK;
            for secret in chunk {
                if page.secrets.len() == limit {
                    page.next_after = after;
                    return Ok(page);
                }
                after = Some(secret.name.to_string());
                if principal.sees(&secret.name) {
                    page.secrets.push(secret);
                }
            }
            if last_chunk {
                return Ok(page);
            }
        }
        page.next_after = after;
        Ok(page)
    }

    pub(super) async fn open_current(&self, view: &View, secret: &Secret) -> Result<Opened, Failure> {
        let version = versions::get(&**view, &secret.name, secret.current)?
            .ok_or_else(|| Failure::internal(format!("secret {} lacks its current version", secret.name)))?;
        // The number of the current version is not sealed. A superseded one in its place was put there by
        // somebody else than the vault.
        if version.expires_at.is_some() {
            return Err(Failure::internal(format!("secret {}: current version is superseded", secret.name)));
        }
        self.open_version(secret.clone(), secret.current, &version).await
    }

    async fn open_current_if_any(
        &self,
        view: &View,
        secret: Option<Secret>,
    ) -> Result<Option<Opened>, Failure> {
        match secret {
            Some(secret) => Ok(Some(self.open_current(view, &secret).await?)),
            None => Ok(None),
        }
    }

    /// `None`: it doesn't.
    async fn matches(
        &self,
        secret: &Secret,
        number: VersionNumber,
        version: Version,
        value: &Plaintext,
    ) -> Result<Option<Verdict>, Failure> {
        let material = self.sealing.open(secret, number, &version.sealed).await?;
        Ok(bool::from(matches(&material, value)).then_some(Verdict::Valid(number)))
    }

    async fn open_version(
        &self,
        secret: Secret,
        number: VersionNumber,
        version: &Version,
    ) -> Result<Opened, Failure> {
        let material = self.sealing.open(&secret, number, &version.sealed).await?;
        Ok(Opened { secret, version: number, created_at: version.created_at, material })
    }
}

fn matches(material: &Material, value: &Plaintext) -> Choice {
    match material {
        Material::Opaque(own) => own.ct_eq(value),
        Material::UserPass { password, .. } => password.ct_eq(value),
    }
}
