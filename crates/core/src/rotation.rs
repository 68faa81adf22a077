//! When a secret is due, how long what it supersedes stays valid, and how far a rotation is that takes several steps.

use minicbor::{Decode, Encode};
use xxhash_rust::xxh3::xxh3_64;

use crate::limits::PERIOD_MAX;
use crate::name::SecretName;
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

/// How the rotations of a secret go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct RotationProgress {
    /// Present while the version after the current one is stored, and its password perhaps applied.
    #[n(0)]
    pub pending: Option<PendingVersion>,
    #[n(1)]
    pub last_attempt_at: Option<Timestamp>,
    /// Why the last attempt failed; absent after one that didn't.
    #[n(2)]
    pub last_fault: Option<RotationFault>,
    /// Attempts that failed since the last one that didn't.
    #[n(3)]
    pub failures: u32,
    /// Present while there is something to be tried again, or for the first time.
    #[n(4)]
    pub next_attempt_at: Option<Timestamp>,
}

/// A version that is stored and not yet current: its number is the one after the current version's.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PendingVersion {
    #[n(0)]
    pub prepared_at: Timestamp,
    /// Attempts to apply it that were begun. The database may have it as soon as there is one.
    #[n(1)]
    pub attempts: u32,
    /// While the last attempt may be running, and nobody else may decide about the version.
    #[n(2)]
    pub attempt_until: Option<Timestamp>,
}

impl PendingVersion {
    /// Whether an attempt may be running at `now`.
    #[must_use]
    pub fn is_being_applied(&self, now: Timestamp) -> bool {
        self.attempt_until.is_some_and(|until| now < until)
    }
}

/// Why a rotation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum RotationFault {
    #[n(0)]
    Internal,
    #[n(1)]
    KeyManagement,
    #[n(2)]
    LoginSecret,
    #[n(3)]
    Username,
    #[n(4)]
    Unreachable,
    #[n(5)]
    NoPrimary,
    #[n(6)]
    SeveralPrimaries,
    #[n(7)]
    Tls,
    #[n(8)]
    LoginRefused,
    #[n(9)]
    NotPermitted,
    #[n(10)]
    NoSuchRole,
    #[n(11)]
    NoSuchFunction,
    #[n(12)]
    TimedOut,
    #[n(13)]
    NotProven,
    #[n(14)]
    Refused,
    #[n(15)]
    TooManyVersions,
    #[n(16)]
    Cluster,
    #[n(17)]
    Changed,
}

impl RotationFault {
    /// Every fault, its word in metrics, and what happened and what to do about it.
    pub const ALL: [(RotationFault, &'static str, &'static str); 18] = [
        (RotationFault::Internal, "internal", "an internal error, which the leader's log tells of"),
        (RotationFault::KeyManagement, "key_management", "key management is unavailable"),
        (
            RotationFault::LoginSecret,
            "login_secret",
            "the login_secret doesn't exist or is no userpass secret",
        ),
        (RotationFault::Username, "username", "the secret's username can't be that of a database role"),
        (RotationFault::Unreachable, "unreachable", "no host of the target can be reached"),
        (RotationFault::NoPrimary, "no_primary", "all hosts of the target that answer are in recovery"),
        (
            RotationFault::SeveralPrimaries,
            "several_primaries",
            "more than one host of the target is a primary; take the wrong one out of it",
        ),
        (RotationFault::Tls, "tls", "TLS with the database can't be set up as the target's sslmode asks for"),
        (
            RotationFault::LoginRefused,
            "login_refused",
            "the database refuses the login; tell the vault the right password with ?apply=false",
        ),
        (RotationFault::NotPermitted, "not_permitted", "the login may not change the role's password"),
        (RotationFault::NoSuchRole, "no_such_role", "the database has no such role"),
        (
            RotationFault::NoSuchFunction,
            "no_such_function",
            "the database has no function replica.rotate_credential(text, text)",
        ),
        (RotationFault::TimedOut, "timed_out", "the database took too long"),
        (
            RotationFault::NotProven,
            "not_proven",
            "the database took the new password and doesn't let the role log in with it",
        ),
        (
            RotationFault::Refused,
            "refused",
            "the database refused the change, which the leader's log tells of",
        ),
        (RotationFault::TooManyVersions, "too_many_versions", "too many versions are in their grace period"),
        (RotationFault::Cluster, "cluster", "the cluster can't take a change now"),
        (RotationFault::Changed, "changed", "the secret was changed at the same time"),
    ];

    /// A word for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.entry().1
    }

    /// What happened, for people, without anything secret.
    #[must_use]
    pub fn message(self) -> &'static str {
        self.entry().2
    }

    /// Whether something can't be asked now, and nothing has said no.
    #[must_use]
    pub fn is_unavailability(self) -> bool {
        matches!(
            self,
            RotationFault::KeyManagement
                | RotationFault::Unreachable
                | RotationFault::NoPrimary
                | RotationFault::TimedOut
                | RotationFault::Cluster
        )
    }

    fn entry(self) -> (RotationFault, &'static str, &'static str) {
        let found = RotationFault::ALL.into_iter().find(|(fault, _, _)| *fault == self);
        found.unwrap_or((self, "", ""))
    }
}

/// Share of the interval over which rotations that are due in the same instant are spread.
const SPREAD_OF_INTERVAL: u64 = 20;
/// Longest delay by which they are spread, in milliseconds.
const SPREAD_MS_MAX: u64 = 60_000;

/// How much later than it is due a scheduled rotation begins, so that many which are due in one instant don't load a
/// database in one instant: under a twentieth of the interval and under a minute. The same on every node.
#[must_use]
pub fn spread_ms(name: &SecretName, due_at: Timestamp, interval: Seconds) -> u64 {
    let max = (interval.get().saturating_mul(1_000) / SPREAD_OF_INTERVAL).min(SPREAD_MS_MAX);
    let place = xxh3_64(name.as_str().as_bytes()) ^ xxh3_64(&due_at.as_unix_ms().to_be_bytes());
    if max == 0 { 0 } else { place % max }
}

/// First pause after a failed rotation, in milliseconds; it doubles with each further one.
const RETRY_MS_FIRST: u64 = 1_000;
/// Longest pause before it is spread, in milliseconds.
const RETRY_MS_MAX: u64 = 300_000;

/// When a rotation is tried again that failed `failures` times before: after a pause that doubles up to five minutes,
/// a quarter shorter or longer as `random` says, so that what failed together isn't tried again together.
#[must_use]
pub fn retry_after_ms(failures: u32, random: u64) -> u64 {
    let pause = RETRY_MS_FIRST.saturating_mul(1 << failures.min(16)).min(RETRY_MS_MAX);
    pause - pause / 4 + random % (pause / 2 + 1)
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
#[allow(clippy::unwrap_used)]
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
    fn what_is_due_at_once_is_spread_over_a_twentieth_of_the_interval_and_a_minute_at_most() {
        for (interval_secs, max_ms) in [(1, 50), (60, 3_000), (3_600, 60_000), (31_557_600, 60_000)] {
            let delays: Vec<u64> = (0..1_000)
                .map(|number| SecretName::parse(&format!("s/{number}")).unwrap())
                .map(|name| spread_ms(&name, Timestamp::from_unix_ms(5), Seconds::new(interval_secs)))
                .collect();
            assert!(delays.iter().all(|delay| *delay < max_ms));
            let early = delays.iter().filter(|delay| **delay < max_ms / 2).count();
            assert!((400..600).contains(&early), "{early} of 1,000 in the first half");
        }
    }

    #[test]
    fn what_failed_is_tried_again_after_a_pause_that_doubles_up_to_five_minutes_more_or_less() {
        for (failures, pause) in
            [(0, 1_000), (1, 2_000), (5, 32_000), (8, 256_000), (9, 300_000), (99, 300_000)]
        {
            assert_eq!(retry_after_ms(failures, 0), pause * 3 / 4);
            assert_eq!(retry_after_ms(failures, pause / 2), pause * 5 / 4);
            assert!(retry_after_ms(failures, u64::MAX) <= pause * 5 / 4);
        }
    }

    #[test]
    fn every_fault_has_words_of_its_own() {
        for (fault, word, message) in RotationFault::ALL {
            assert_eq!((fault.as_str(), fault.message()), (word, message));
            assert!(!word.is_empty() && !message.is_empty());
        }
        let words: std::collections::BTreeSet<_> = RotationFault::ALL.map(|(_, word, _)| word).into();
        assert_eq!(words.len(), RotationFault::ALL.len());
    }

    #[test]
    fn a_version_expires_at_the_millisecond_it_says() {
        let at = Timestamp::from_unix_ms(1_000);
        assert!(!expired(Some(at), Timestamp::from_unix_ms(999)));
        assert!(expired(Some(at), at));
        assert!(!expired(None, Timestamp::from_unix_ms(u64::MAX)));
    }
}
