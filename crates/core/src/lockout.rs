//! Lockout arithmetic: how many failures lock a client address out, and for how long.
//!
//! IPv4 is counted by address, an IPv4-mapped address as IPv4, IPv6 by /64: the smallest network a site gets
//! (RFC 6177), in which one client owns every address.
//!
//! # Bounded memory
//!
//! Failing clients and locked ones stand in two tables of at most `entries_max` each. A full one makes room:
//!
//! - among the failing, the client whose last failure is the longest ago is forgotten;
//! - among the locked, the client that would be free the soonest is let go.
//!
//! Nobody gains by filling them. A failure never displaces a locked client, so that flooding frees nobody; to
//! be pushed out of the locked table, a client needs `entries_max` other addresses to be locked out after it,
//! at `failures_max` failures each. To have its own failures forgotten it needs `entries_max` other addresses
//! to fail, each of which is worth more guesses than the ones it wins back. And nobody is locked out for the
//! failures of another: there is no wider network, and no rule for a full table, that a stranger could trip.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::time::{Seconds, Timestamp};

/// Most failures that may be asked for before a lockout: each is remembered by its time, 8 bytes. A higher
/// `failures_max` counts as this.
pub const LOCKOUT_FAILURES_LIMIT: u32 = 100;

/// Network bits that tell one client from another.
const IPV4_CLIENT_BITS: u8 = 32;
const IPV6_CLIENT_BITS: u8 = 64;

/// Entries of each table that are over and that one failure drops.
const ENDED_DROPPED_MAX: usize = 4;

/// When a client is locked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutConfig {
    /// Failures count for this long.
    pub window: Seconds,
    /// Failures within the window that lock a client out; 0 turns lockout off.
    pub failures_max: u32,
    /// How long a lockout lasts.
    pub lockout: Seconds,
    /// Failing clients remembered at once, and as many locked ones; at least 1.
    pub entries_max: usize,
}

/// The client is locked out: every request is refused without a look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failures; try again in {} seconds", .retry_after.get())]
pub struct LockedOut {
    /// Until the lockout ends, rounded up.
    pub retry_after: Seconds,
}

/// One lockout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lockout {
    /// Whom it concerns: one IPv4 address (/32) or one IPv6 network (/64).
    pub client: IpNet,
    /// The first moment at which it no longer holds.
    pub until: Timestamp,
}

/// The failures and lockouts of one node.
#[derive(Debug)]
pub struct Lockouts {
    config: LockoutConfig,
    /// Times of each failing client's failures, oldest first, at most `failures_max`.
    failures: HashMap<IpNet, VecDeque<Timestamp>>,
    /// The clients of `failures` by their last failure.
    failures_by_last: BTreeSet<(Timestamp, IpNet)>,
    locked: HashMap<IpNet, Timestamp>,
    /// The clients of `locked` by the end of their lockout.
    locked_by_end: BTreeSet<(Timestamp, IpNet)>,
}

impl Lockouts {
    #[must_use]
    pub fn new(config: LockoutConfig) -> Lockouts {
        Lockouts {
            config: LockoutConfig {
                failures_max: config.failures_max.min(LOCKOUT_FAILURES_LIMIT),
                entries_max: config.entries_max.max(1),
                ..config
            },
            failures: HashMap::new(),
            failures_by_last: BTreeSet::new(),
            locked: HashMap::new(),
            locked_by_end: BTreeSet::new(),
        }
    }

    /// Whether `client` may be listened to.
    ///
    /// # Errors
    /// [`LockedOut`] with the time left.
    pub fn check(&self, client: IpAddr, now: Timestamp) -> Result<(), LockedOut> {
        match self.locked.get(&client_network(client)) {
            Some(until) if now < *until => Err(LockedOut { retry_after: until.since(now) }),
            _ => Ok(()),
        }
    }

    /// Counts a failure of `client`; the answer is the lockout that it brought about. A client that is locked
    /// out already is neither counted nor locked out longer.
    pub fn record_failure(&mut self, client: IpAddr, now: Timestamp) -> Option<Lockout> {
        if self.config.failures_max == 0 || self.check(client, now).is_err() {
            return None;
        }
        self.forget_ended(now);
        let client = client_network(client);
        if self.count_failure(client, now) < self.config.failures_max as usize {
            return None;
        }
        self.forget_failures(client);
        Some(self.lock(client, now))
    }

    /// All lockouts that hold at `now`, the one that ends first in front.
    #[must_use]
    pub fn list(&self, now: Timestamp) -> Vec<Lockout> {
        let holding = self.locked_by_end.iter().filter(|(until, _)| now < *until);
        holding.map(|(until, client)| Lockout { client: *client, until: *until }).collect()
    }

    /// Frees `client`, for IPv6 its whole /64, and forgets its failures. Says whether it was locked out.
    pub fn lift(&mut self, client: IpAddr, now: Timestamp) -> bool {
        let was_locked = self.check(client, now).is_err();
        let client = client_network(client);
        self.forget_failures(client);
        self.unlock(client);
        was_locked
    }

    /// Adds one failure and answers how many there are within the window.
    fn count_failure(&mut self, client: IpNet, now: Timestamp) -> usize {
        let mut times = self.forget_failures(client);
        while times.front().is_some_and(|time| time.plus(self.config.window) <= now) {
            times.pop_front();
        }
        times.push_back(now);
        let count = times.len();
        self.make_room_for_failures();
        self.failures.insert(client, times);
        self.failures_by_last.insert((now, client));
        count
    }

    fn lock(&mut self, client: IpNet, now: Timestamp) -> Lockout {
        self.unlock(client);
        while self.locked.len() >= self.config.entries_max
            && let Some((_, soonest)) = self.locked_by_end.pop_first()
        {
            self.locked.remove(&soonest);
        }
        let until = now.plus(self.config.lockout);
        self.locked.insert(client, until);
        self.locked_by_end.insert((until, client));
        Lockout { client, until }
    }

    fn unlock(&mut self, client: IpNet) {
        if let Some(until) = self.locked.remove(&client) {
            self.locked_by_end.remove(&(until, client));
        }
    }

    fn forget_failures(&mut self, client: IpNet) -> VecDeque<Timestamp> {
        let times = self.failures.remove(&client).unwrap_or_default();
        if let Some(last) = times.back() {
            self.failures_by_last.remove(&(*last, client));
        }
        times
    }

    fn make_room_for_failures(&mut self) {
        while self.failures.len() >= self.config.entries_max
            && let Some((_, longest_ago)) = self.failures_by_last.pop_first()
        {
            self.failures.remove(&longest_ago);
        }
    }

    /// Drops what is over: memory only, since `check` and `count_failure` judge by the time. Each failure
    /// adds one entry and drops up to [`ENDED_DROPPED_MAX`], so that none pays for a whole table at once.
    fn forget_ended(&mut self, now: Timestamp) {
        for _ in 0..ENDED_DROPPED_MAX {
            if let Some((until, client)) = self.locked_by_end.first().copied()
                && until <= now
            {
                self.unlock(client);
            }
            if let Some((last, client)) = self.failures_by_last.first().copied()
                && last.plus(self.config.window) <= now
            {
                self.forget_failures(client);
            }
        }
    }
}

/// What a client is counted by.
fn client_network(client: IpAddr) -> IpNet {
    let client = client.to_canonical();
    let bits = if client.is_ipv6() { IPV6_CLIENT_BITS } else { IPV4_CLIENT_BITS };
    IpNet::new(client, bits).map_or_else(|_| IpNet::from(client), |network| network.trunc())
}

#[cfg(test)]
#[path = "lockout_tests.rs"]
mod tests;
