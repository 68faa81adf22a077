//! What a wrapped key is bound to.

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::secret::VersionNumber;

/// Public facts that a key management service binds to a wrapped key: it unwraps only for a caller who states
/// the same. A service may log them, so nothing secret belongs here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionContext {
    /// Sorted by key, keys unique.
    pairs: Vec<(&'static str, String)>,
}

impl EncryptionContext {
    /// That of a version's data key: `{"secret": <name>, "version": "<number>"}`.
    #[must_use]
    pub fn for_version(name: &SecretName, version: VersionNumber) -> EncryptionContext {
        let pairs = vec![("secret", name.as_str().to_owned()), ("version", version.get().to_string())];
        EncryptionContext { pairs }
    }

    /// That of a cluster's integrity key: `{"cluster": <id, in hexadecimal digits>, "purpose": "integrity"}`.
    #[must_use]
    pub fn for_integrity_key(cluster_id: &[u8; 16]) -> EncryptionContext {
        let cluster = format!("{:032x}", u128::from_be_bytes(*cluster_id));
        EncryptionContext { pairs: vec![("cluster", cluster), ("purpose", "integrity".to_owned())] }
    }

    /// That of a data key that is made to see whether one can be, and thrown away.
    #[must_use]
    pub fn for_probe() -> EncryptionContext {
        EncryptionContext { pairs: vec![("purpose", "probe".to_owned())] }
    }

    /// Keys and values, sorted by key.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// One sequence of bytes for each context, and no two contexts with the same: the number of pairs, then
    /// each key and value behind its length, all numbers u64 BE.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = (self.pairs.len() as u64).to_be_bytes().to_vec();
        for text in self.pairs().flat_map(|(key, value)| [key, value]) {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }
}
