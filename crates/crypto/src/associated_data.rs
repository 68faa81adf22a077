//! What a sealed version is bound to.

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::secret::{SecretId, VersionNumber};

/// Keeps this use of the AEAD apart from every other; ends in a byte that no label contains.
const DOMAIN: &[u8] = b"hyperion-vault sealed version\0";

/// Where a sealed version belongs. Computed by whoever seals or opens, from what it asked for; never stored
/// and never read from beside the ciphertext. A row that was moved therefore doesn't open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssociatedData<'a> {
    pub secret_id: &'a SecretId,
    pub name: &'a SecretName,
    pub version: VersionNumber,
}

impl AssociatedData<'_> {
    /// The bytes that are authenticated:
    ///
    /// ```text
    /// domain, ends in 0 | format u8 | secret id, 16 bytes | version u64 BE | name length u64 BE | name
    /// ```
    ///
    /// All but the name is of fixed length and the name's length is stated, so that two different places never
    /// have the same bytes.
    pub(crate) fn encode(&self, format: u8) -> Vec<u8> {
        let name = self.name.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(DOMAIN.len() + 1 + 16 + 8 + 8 + name.len());
        bytes.extend_from_slice(DOMAIN);
        bytes.push(format);
        bytes.extend_from_slice(self.secret_id.as_bytes());
        bytes.extend_from_slice(&self.version.get().to_be_bytes());
        bytes.extend_from_slice(&(name.len() as u64).to_be_bytes());
        bytes.extend_from_slice(name);
        bytes
    }
}
