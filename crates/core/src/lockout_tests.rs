//! What locks a client out, what frees it, and what a full table can't be made to do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const CONFIG: LockoutConfig = LockoutConfig {
    window: Seconds::new(300),
    failures_max: 5,
    lockout: Seconds::new(900),
    entries_max: 100,
};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(seconds * 1_000)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn nth(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number).into()
}

/// Fails until locked out; answers the lockout.
fn lock_out(lockouts: &mut Lockouts, client: IpAddr, now: Timestamp) -> Lockout {
    (0..CONFIG.failures_max).find_map(|_| lockouts.record_failure(client, now)).unwrap()
}

fn locked(lockouts: &Lockouts, client: &str, now: Timestamp) -> bool {
    lockouts.check(address(client), now).is_err()
}

#[test]
fn the_last_failure_allowed_locks_out_and_says_so_once() {
    let mut lockouts = Lockouts::new(CONFIG);
    let client = address("192.0.2.1");
    for second in 0..4 {
        assert_eq!(lockouts.record_failure(client, at(second)), None);
        assert_eq!(lockouts.check(client, at(second)), Ok(()));
    }
    let lockout = Lockout { client: "192.0.2.1/32".parse().unwrap(), until: at(904) };
    assert_eq!(lockouts.record_failure(client, at(4)), Some(lockout));
    assert_eq!(lockouts.check(client, at(4)), Err(LockedOut { retry_after: Seconds::new(900) }));
    assert_eq!(lockouts.record_failure(client, at(5)), None);
    assert_eq!(lockouts.list(at(5)), [lockout]);
}

#[test]
fn a_lockout_ends_on_the_second_and_is_not_prolonged_by_trying() {
    let mut lockouts = Lockouts::new(CONFIG);
    let client = address("192.0.2.1");
    lock_out(&mut lockouts, client, at(0));
    lockouts.record_failure(client, at(899));
    let almost = Timestamp::from_unix_ms(899_999);
    assert_eq!(lockouts.check(client, almost), Err(LockedOut { retry_after: Seconds::new(1) }));
    assert_eq!(lockouts.check(client, at(900)), Ok(()));
    assert_eq!(lockouts.list(at(900)), []);
}

#[test]
fn after_a_lockout_the_count_begins_anew() {
    let mut lockouts = Lockouts::new(CONFIG);
    let client = address("192.0.2.1");
    lock_out(&mut lockouts, client, at(0));
    for _ in 0..4 {
        assert_eq!(lockouts.record_failure(client, at(900)), None);
    }
    assert!(lockouts.record_failure(client, at(900)).is_some());
}

#[test]
fn failures_count_within_a_sliding_window() {
    let mut lockouts = Lockouts::new(CONFIG);
    let client = address("192.0.2.1");
    for second in [0, 100, 200, 299] {
        assert_eq!(lockouts.record_failure(client, at(second)), None);
    }
    assert_eq!(lockouts.record_failure(client, at(300)), None, "the first is 300 seconds old");
    assert!(lockouts.record_failure(client, at(399)).is_some(), "100, 200, 299, 300 and 399");
}

#[test]
fn zero_turns_it_off() {
    let mut lockouts = Lockouts::new(LockoutConfig { failures_max: 0, ..CONFIG });
    for _ in 0..50 {
        assert_eq!(lockouts.record_failure(nth(1), at(0)), None);
    }
    assert_eq!(lockouts.check(nth(1), at(0)), Ok(()));
}

#[test]
fn more_failures_than_are_remembered_can_not_be_asked_for() {
    let mut lockouts = Lockouts::new(LockoutConfig { failures_max: u32::MAX, ..CONFIG });
    for _ in 1..LOCKOUT_FAILURES_LIMIT {
        assert_eq!(lockouts.record_failure(nth(1), at(0)), None);
    }
    assert!(lockouts.record_failure(nth(1), at(0)).is_some());
}

#[test]
fn ipv6_is_counted_by_64_and_mapped_ipv4_as_ipv4() {
    let mut lockouts = Lockouts::new(CONFIG);
    for host in 1..=5 {
        lockouts.record_failure(address(&format!("2001:db8:0:1::{host}")), at(0));
    }
    assert!(locked(&lockouts, "2001:db8:0:1:ffff::9", at(0)));
    assert!(!locked(&lockouts, "2001:db8:0:2::1", at(0)));
    assert_eq!(lockouts.list(at(0))[0].client.to_string(), "2001:db8:0:1::/64");

    lock_out(&mut lockouts, address("::ffff:192.0.2.1"), at(0));
    assert!(locked(&lockouts, "192.0.2.1", at(0)));
    assert!(!locked(&lockouts, "::ffff:192.0.2.2", at(0)));
}

#[test]
fn lifting_frees_at_once_and_with_a_clean_slate() {
    let mut lockouts = Lockouts::new(CONFIG);
    let client = address("2001:db8::1");
    lock_out(&mut lockouts, client, at(0));
    assert!(lockouts.lift(address("2001:db8::2"), at(1)));
    assert_eq!(lockouts.check(client, at(1)), Ok(()));
    assert_eq!(lockouts.list(at(1)), []);
    assert_eq!(lockouts.record_failure(client, at(1)), None);
    assert!(!lockouts.lift(client, at(1)), "not locked out, but its failure is forgotten");
    for _ in 0..4 {
        assert_eq!(lockouts.record_failure(client, at(1)), None);
    }
}

#[test]
fn flooding_with_failures_frees_nobody() {
    let mut lockouts = Lockouts::new(CONFIG);
    lock_out(&mut lockouts, nth(0), at(0));
    for other in 1..=10_000 {
        lockouts.record_failure(nth(other), at(1));
    }
    assert!(lockouts.check(nth(0), at(1)).is_err());
    assert!(lockouts.failures.len() <= CONFIG.entries_max);
}

#[test]
fn a_full_table_of_lockouts_lets_go_the_one_that_ends_first() {
    let mut lockouts = Lockouts::new(CONFIG);
    for client in 0..100 {
        lock_out(&mut lockouts, nth(client), at(u64::from(client)));
    }
    lock_out(&mut lockouts, nth(100), at(100));
    assert_eq!(lockouts.check(nth(0), at(100)), Ok(()));
    assert!((1..=100).all(|client| lockouts.check(nth(client), at(100)).is_err()));
    assert_eq!(lockouts.list(at(100)).len(), CONFIG.entries_max);
}

#[test]
fn a_full_table_locks_out_no_bystander() {
    let mut lockouts = Lockouts::new(CONFIG);
    for client in 0..1_000 {
        lock_out(&mut lockouts, nth(client), at(0));
    }
    assert_eq!(lockouts.check(address("192.0.2.1"), at(0)), Ok(()));
    assert_eq!(lockouts.record_failure(address("192.0.2.1"), at(0)), None);
}

#[test]
fn of_the_failing_the_one_silent_for_longest_is_forgotten() {
    let mut lockouts = Lockouts::new(CONFIG);
    for client in 0..100 {
        lockouts.record_failure(nth(client), at(0));
    }
    for _ in 0..3 {
        lockouts.record_failure(nth(0), at(1));
    }
    lockouts.record_failure(nth(200), at(2));
    assert!(lockouts.record_failure(nth(0), at(3)).is_some(), "recent, so still remembered");
}

#[test]
fn a_clock_that_steps_back_frees_nobody_early() {
    let mut lockouts = Lockouts::new(CONFIG);
    lock_out(&mut lockouts, nth(1), at(5_000));
    assert!(lockouts.check(nth(1), at(1_000)).is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Fail(u32),
    Lift(u32),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0u32..4).prop_map(Step::Fail),
        1 => (0u32..4).prop_map(Step::Lift),
        3 => (0u64..400).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The same by plain lists, with neither index nor limit.
#[derive(Default)]
struct Model {
    failures: Vec<(u32, u64)>,
    locked: Vec<(u32, u64)>,
}

impl Model {
    fn locked(&self, client: u32, now: u64) -> bool {
        self.locked.iter().any(|(locked, until)| *locked == client && now < *until)
    }

    fn forget(&mut self, client: u32) {
        self.failures.retain(|(failed, _)| *failed != client);
        self.locked.retain(|(locked, _)| *locked != client);
    }

    fn fail(&mut self, client: u32, now: u64) -> bool {
        if self.locked(client, now) {
            return false;
        }
        self.failures.push((client, now));
        let recent = self.failures.iter().filter(|(failed, when)| *failed == client && now < when + 300);
        if recent.count() < 5 {
            return false;
        }
        self.forget(client);
        self.locked.push((client, now + 900));
        true
    }
}

proptest! {
    #[test]
    fn it_agrees_with_a_plain_model(steps in steps()) {
        let (mut lockouts, mut model, mut now) = (Lockouts::new(CONFIG), Model::default(), 0);
        for step in steps {
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Lift(client) => {
                    prop_assert_eq!(lockouts.lift(nth(client), at(now)), model.locked(client, now));
                    model.forget(client);
                }
                Step::Fail(client) => {
                    let newly = lockouts.record_failure(nth(client), at(now)).is_some();
                    prop_assert_eq!(newly, model.fail(client, now));
                }
            }
            for client in 0..4 {
                let refused = lockouts.check(nth(client), at(now)).is_err();
                prop_assert_eq!(refused, model.locked(client, now));
            }
        }
    }

    #[test]
    fn memory_stays_within_its_bounds(failing in proptest::collection::vec((0u32..60, 0u64..50), 0..400)) {
        let mut lockouts = Lockouts::new(LockoutConfig { entries_max: 8, ..CONFIG });
        let mut now = 0;
        for (client, wait) in failing {
            now += wait;
            lockouts.record_failure(nth(client), at(now));
            prop_assert!(lockouts.failures.len() <= 8 && lockouts.locked.len() <= 8);
            prop_assert_eq!(lockouts.failures.len(), lockouts.failures_by_last.len());
            prop_assert_eq!(lockouts.locked.len(), lockouts.locked_by_end.len());
            prop_assert!(lockouts.failures.values().all(|times| times.len() < 5));
        }
    }
}
