//! Making one node a cluster of one, after the majority was lost for good.

use std::path::Path;

use hyperion_vault_core::ports::Entropy;
use hyperion_vault_raft::{DataDir, RecoverError, StartError, recover};

pub use hyperion_vault_raft::Recovery;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Recovering makes nothing out of nothing, not even the directory.
    #[error("there is no vault at {0}")]
    Missing(String),
    #[error(transparent)]
    Files(#[from] StartError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
}

/// Makes the node with this state file, which isn't running, the only member of its cluster, and the cluster one
/// that the other members of before can't speak to. Blocks.
///
/// # Errors
/// [`RecoveryError`].
pub fn recover_node(state_file: &Path, entropy: &dyn Entropy) -> Result<Recovery, RecoveryError> {
    if !state_file.is_file() {
        return Err(RecoveryError::Missing(state_file.display().to_string()));
    }
    let mut lineage = [0; 16];
    entropy.fill(&mut lineage);
    Ok(recover(&DataDir::beside(state_file)?, lineage)?)
}
