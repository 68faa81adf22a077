//! The machine's wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::time::Timestamp;

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
