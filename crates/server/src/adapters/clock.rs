//! The machine's wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::time::Timestamp;
use tokio::time::Instant;

/// The operating system's real-time clock. It may jump; nothing that must not is timed by it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one adapter through which wall time enters")]
    fn now(&self) -> Timestamp {
        // A clock that stands before 1970 reads as 1970: the state machine never goes back from later stamps.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ms(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The wall clock as it stood at the start, and from there on a clock that nobody sets: for what must not jump.
#[derive(Debug, Clone, Copy)]
pub struct SteadyClock {
    started_at: Timestamp,
    begun: Instant,
}

impl SteadyClock {
    #[must_use]
    pub fn starting_at(now: Timestamp) -> SteadyClock {
        SteadyClock { started_at: now, begun: Instant::now() }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let since_start = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_unix_ms(self.started_at.as_unix_ms().saturating_add(since_start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_milliseconds_since_1970() {
        let start_of_2026 = Timestamp::from_unix_ms(1_767_225_600_000);
        let start_of_2126 = Timestamp::from_unix_ms(4_922_899_200_000);
        assert!((start_of_2026..start_of_2126).contains(&SystemClock.now()));
    }
}
