//! The pace of the workers.

use std::path::PathBuf;

use hyperion_vault_core::time::Seconds;

use super::environment::{Environment, PAUSE_ROTATION_AT};
use super::table::{
    KMS_REWRAP_ENABLED, KMS_REWRAP_MAX_PER_SEC, KMS_REWRAP_POLL_SECS, ROTATION_POLL_SECS, TARGET_CA_FILE,
};
use crate::secrets::RotationStep;

/// How often the leader's workers look for something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    /// Between two looks for secrets to rotate and versions to remove; at least 1.
    pub rotation_poll: Seconds,
    /// Certificates of the authorities that vouch for databases, PEM.
    pub target_ca_file: Option<PathBuf>,
    /// Where a debug build is told to stop in the middle of a rotation, to be killed there.
    pub pause_rotation_at: Option<RotationStep>,
    pub rewrap: Rewrap,
}

/// How data keys are re-wrapped after the master key was rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrap {
    /// Whether the leader looks for rotations by itself. A pass that somebody asked for runs either way.
    pub enabled: bool,
    /// Between two looks for a rotation; at least 1.
    pub poll: Seconds,
    /// Pace of a pass; `None`: as fast as it goes.
    pub versions_per_sec_max: Option<u32>,
}

impl Workers {
    pub(super) fn read(env: &mut Environment) -> Workers {
        Workers {
            rotation_poll: Seconds::new(env.number(&ROTATION_POLL_SECS)),
            target_ca_file: env.path(&TARGET_CA_FILE),
            pause_rotation_at: env.for_tests(PAUSE_ROTATION_AT, "a step of a rotation", RotationStep::parse),
            rewrap: Rewrap::read(env),
        }
    }
}

impl Rewrap {
    fn read(env: &mut Environment) -> Rewrap {
        let per_sec = u32::try_from(env.number(&KMS_REWRAP_MAX_PER_SEC)).unwrap_or(u32::MAX);
        Rewrap {
            enabled: env.flag(&KMS_REWRAP_ENABLED),
            poll: Seconds::new(env.number(&KMS_REWRAP_POLL_SECS)),
            versions_per_sec_max: (per_sec > 0).then_some(per_sec),
        }
    }
}
