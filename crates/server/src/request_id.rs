//! Names for operations: 16 random bytes in hex.

use std::sync::Arc;

use hyperion_vault_core::ports::Entropy;

/// Makes request ids.
#[derive(Clone)]
pub struct RequestIds {
    entropy: Arc<dyn Entropy>,
}

impl RequestIds {
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>) -> RequestIds {
        RequestIds { entropy }
    }

    /// A new one; no two are the same.
    #[must_use]
    pub fn next(&self) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        hex::encode(bytes)
    }
}
