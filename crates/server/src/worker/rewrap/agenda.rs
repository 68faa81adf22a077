//! When something that is done again and again is due next.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// First pause after a failure; it doubles with each further one.
const FAILURE_PAUSE_FIRST: Duration = Duration::from_secs(60);

/// Something that is due at once at first, and then at a pace of its own.
pub(super) struct Recurring {
    /// After a time that ended well.
    pause: Duration,
    /// After one that didn't.
    failure_pause_max: Duration,
    next: Mutex<Next>,
}

#[derive(Default)]
struct Next {
    at: Option<Instant>,
    failures: u32,
}

impl Recurring {
    pub(super) fn new(pause: Duration, failure_pause_max: Duration) -> Recurring {
        Recurring { pause, failure_pause_max, next: Mutex::default() }
    }

    /// How long it isn't due.
    pub(super) fn due_in(&self) -> Duration {
        let at = self.lock().at;
        at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }

    pub(super) fn is_due(&self) -> bool {
        self.due_in().is_zero()
    }

    pub(super) fn succeeded(&self) {
        *self.lock() = Next { at: Some(Instant::now() + self.pause), failures: 0 };
    }

    pub(super) fn failed(&self) {
        let mut next = self.lock();
        let pause =
            FAILURE_PAUSE_FIRST.saturating_mul(1 << next.failures.min(16)).min(self.failure_pause_max);
        next.failures = next.failures.saturating_add(1);
        next.at = Some(Instant::now() + pause);
    }

    fn lock(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses after so many failures in a row, in seconds.
    fn pauses(recurring: &Recurring, failures: usize) -> Vec<u64> {
        let pause = |_| {
            recurring.failed();
            recurring.due_in().as_secs()
        };
        (0..failures).map(pause).collect()
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test(start_paused = true)]
    async fn it_is_due_at_once_and_again_after_its_pause() {
        let recurring = Recurring::new(HOUR, HOUR);
        assert!(recurring.is_due());
        recurring.succeeded();
        assert_eq!(recurring.due_in(), HOUR);
        tokio::time::advance(HOUR).await;
        assert!(recurring.is_due());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_make_it_rarer_up_to_a_limit() {
        let recurring = Recurring::new(HOUR, Duration::from_secs(1_000));
        assert_eq!(pauses(&recurring, 7), [60, 120, 240, 480, 960, 1_000, 1_000]);
        recurring.succeeded();
        assert_eq!(pauses(&recurring, 1), [60]);
        let frequent = Recurring::new(HOUR, Duration::from_secs(5));
        assert_eq!(pauses(&frequent, 2), [5, 5]);
    }
}
