//! When a secret is due, and how long what it supersedes stays valid.

use crate::limits::PERIOD_MAX;
use crate::time::{Seconds, Timestamp};

/// Why a rotation setting is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    #[error("rotation_interval_secs must be greater than 0")]
    IntervalZero,
    #[error("rotation_interval_secs must be at most {max}", max = PERIOD_MAX.get())]
    IntervalTooLong,
    #[error("grace_period_secs must be at most {max}", max = PERIOD_MAX.get())]
    GraceTooLong,
    #[error("rotation_interval_secs is required for an automatic secret")]
    IntervalMissing,
    #[error("rotation_interval_secs is for automatic secrets only")]
    IntervalOnManual,
}

/// # Errors
/// An interval of zero, or over [`PERIOD_MAX`].
pub fn check_interval(interval: Seconds) -> Result<Seconds, RotationError> {
    match interval {
        Seconds::ZERO => Err(RotationError::IntervalZero),
        long if long > PERIOD_MAX => Err(RotationError::IntervalTooLong),
        fits => Ok(fits),
    }
}

/// # Errors
/// A grace period over [`PERIOD_MAX`].
pub fn check_grace(grace: Seconds) -> Result<Seconds, RotationError> {
    if grace > PERIOD_MAX { Err(RotationError::GraceTooLong) } else { Ok(grace) }
}

/// The next scheduled rotation, counted from the last change of the material or of the schedule.
#[must_use]
pub fn next_rotation(interval: Option<Seconds>, from: Timestamp) -> Option<Timestamp> {
    interval.map(|interval| from.plus(interval))
}

/// Whether something that expires at `expires_at` has expired: at that very millisecond it has.
#[must_use]
pub fn expired(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_years_is_the_longest_interval_and_grace() {
        let over = Seconds::new(PERIOD_MAX.get() + 1);
        assert_eq!(check_interval(PERIOD_MAX), Ok(PERIOD_MAX));
        assert_eq!(check_interval(over), Err(RotationError::IntervalTooLong));
        assert_eq!(check_interval(Seconds::ZERO), Err(RotationError::IntervalZero));
        assert_eq!(check_grace(Seconds::ZERO), Ok(Seconds::ZERO));
        assert_eq!(check_grace(over), Err(RotationError::GraceTooLong));
    }

    #[test]
    fn a_version_expires_at_the_millisecond_it_says() {
        let at = Timestamp::from_unix_ms(1_000);
        assert!(!expired(Some(at), Timestamp::from_unix_ms(999)));
        assert!(expired(Some(at), at));
        assert!(!expired(None, Timestamp::from_unix_ms(u64::MAX)));
    }
}
