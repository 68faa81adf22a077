//! How long one request waits for key management, however many calls it takes.

use std::time::Duration;

use hyperion_vault_core::name::SecretName;
use hyperion_vault_kms::{KmsError, Outage};
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout_at};

use crate::failure::Failure;
use crate::replica::Replica;

/// Two calls, one after the other, each of which takes as long as it may (4 s), fit in; and a client has his answer
/// within 10 s.
const KEYS_WITHIN: Duration = Duration::from_secs(9);
/// Data keys that one request has unwrapped at once: a batch is done in a few round trips, and leaves others
/// their turn.
pub(super) const UNWRAPS_AT_ONCE: usize = 16;

/// Until when a request waits. What is waited for here changes nothing, so that it can be dropped at any moment.
#[derive(Clone, Copy)]
pub(super) struct KeyWait {
    until: Instant,
}

impl KeyWait {
    pub(super) fn begin() -> KeyWait {
        KeyWait { until: Instant::now() + KEYS_WITHIN }
    }

    /// # Errors
    /// That of the work, or [`Failure::Unavailable`] when it isn't done in time.
    pub(super) async fn of<T>(self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        timeout_at(self.until, work).await.unwrap_or_else(|_| Err(out_of_time().into()))
    }

    /// The secret's lock: those before this one may wait for key management too.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when it can't be had in time.
    pub(super) async fn lock<'a>(
        self,
        replica: &'a Replica,
        name: &SecretName,
    ) -> Result<Option<MutexGuard<'a, ()>>, Failure> {
        let locked = timeout_at(self.until, replica.lock_name(name)).await;
        locked.map_err(|_| {
            Failure::unavailable("the secret is being changed by many at once", "its lock is held")
        })
    }
}

fn out_of_time() -> KmsError {
    let detail = format!("one request took more than {} s of it", KEYS_WITHIN.as_secs());
    KmsError::Unavailable { outage: Outage::TimedOut, detail }
}
