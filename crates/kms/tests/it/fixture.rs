//! Names, contexts and randomness that every run has the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::ports::Entropy;
use hyperion_vault_core::secret::VersionNumber;
use hyperion_vault_kms::{EncryptionContext, LocalProvider, parse_master_key};

/// Never the same bytes twice, and the same in every run.
#[derive(Default)]
pub(crate) struct CountingEntropy(AtomicU64);

impl Entropy for CountingEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&number.to_be_bytes()[..chunk.len()]);
        }
    }
}

pub(crate) fn entropy() -> Arc<dyn Entropy> {
    Arc::new(CountingEntropy::default())
}

pub(crate) fn context(name: &str, version: u64) -> EncryptionContext {
    EncryptionContext::for_version(&SecretName::parse(name).unwrap(), VersionNumber::new(version))
}

/// Base64 of 32 bytes 0x03.
pub(crate) const MASTER_KEY: &str = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";

pub(crate) fn local_provider() -> LocalProvider {
    LocalProvider::new(parse_master_key(MASTER_KEY).unwrap(), Vec::new(), entropy())
}
