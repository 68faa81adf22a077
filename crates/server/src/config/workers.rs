//! The pace of the workers.

use hyperion_vault_core::time::Seconds;

use super::environment::Environment;
use super::table::ROTATION_POLL_SECS;

/// How often the leader's workers look for something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// Between two looks for secrets to rotate and versions to remove; at least 1.
    pub rotation_poll: Seconds,
}

impl Workers {
    pub(super) fn read(env: &mut Environment) -> Workers {
        Workers { rotation_poll: Seconds::new(env.number(&ROTATION_POLL_SECS)) }
    }
}
