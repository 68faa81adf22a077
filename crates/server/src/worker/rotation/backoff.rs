//! What keeps failed rotations from being tried again at once where the state can't be told of them: below the feature
//! level that can, or without a quorum.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::time::{Seconds, Timestamp};

/// Failing secrets that are remembered; more are tried in every round.
const FAILING_MAX: usize = 65_536;
/// First pause after a failed rotation; it doubles with each further one.
const BACKOFF_FIRST: Seconds = Seconds::new(1);
/// Longest pause after failed rotations.
const BACKOFF_MAX: Seconds = Seconds::new(300);

/// Keeps what fails from being tried again at once.
#[derive(Default)]
pub(super) struct Backoff {
    failing: Mutex<BTreeMap<SecretName, (u32, Timestamp)>>,
}

impl Backoff {
    pub(super) fn not_before(&self, name: &SecretName) -> Timestamp {
        self.lock().get(name).map_or(Timestamp::EPOCH, |(_, at)| *at)
    }

    pub(super) fn failed(&self, name: &SecretName, now: Timestamp) {
        let mut failing = self.lock();
        if failing.len() >= FAILING_MAX {
            // Those whose time has come will fail anew, or are gone.
            failing.retain(|_, (_, at)| *at > now);
        }
        if failing.len() >= FAILING_MAX {
            return;
        }
        let failures = failing.get(name).map_or(0, |(failures, _)| *failures);
        let pause = BACKOFF_FIRST.get().saturating_mul(1 << failures.min(16)).min(BACKOFF_MAX.get());
        failing.insert(name.clone(), (failures + 1, now.plus(Seconds::new(pause))));
    }

    pub(super) fn succeeded(&self, name: &SecretName) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SecretName, (u32, Timestamp)>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_again_after_a_pause_that_doubles_up_to_five_minutes() {
        let (backoff, name) = (Backoff::default(), SecretName::parse("a").unwrap());
        let mut pauses = Vec::new();
        for _ in 0..10 {
            backoff.failed(&name, Timestamp::EPOCH);
            pauses.push(backoff.not_before(&name).as_unix_ms() / 1_000);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        backoff.succeeded(&name);
        assert_eq!(backoff.not_before(&name), Timestamp::EPOCH);
    }
}
