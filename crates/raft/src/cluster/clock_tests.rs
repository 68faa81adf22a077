//! The time of clusters with right and wrong clocks in them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use tokio::time::{advance, timeout};

use super::*;
use crate::cluster::fixture::members;

const NOON_MS: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;

/// A wall clock that only the test moves.
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::SeqCst))
    }
}

/// The clock of node 1, whose own wall clock shows `own_ms`.
fn clock(own_ms: u64, voters: &[u64]) -> (ClusterClock, Arc<SetClock>) {
    let wall = Arc::new(SetClock(AtomicU64::new(own_ms)));
    let clock = ClusterClock::new(1, Arc::clone(&wall) as Arc<dyn Clock>);
    clock.set_membership(&members(voters, &[]));
    (clock, wall)
}

fn hear(clock: &ClusterClock, peer: u64, shows_ms: u64) {
    let now = Instant::now();
    clock.heard(peer, Timestamp::from_unix_ms(shows_ms), now, now);
}

fn now_ms(clock: &ClusterClock) -> u64 {
    clock.now().as_unix_ms()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_one_has_the_time_of_its_node() {
    let (clock, wall) = clock(NOON_MS, &[1]);
    assert!(clock.heard_majority());
    assert_eq!(now_ms(&clock), NOON_MS);
    wall.0.store(NOON_MS + 5, Ordering::SeqCst);
    advance(Duration::from_secs(70)).await;
    assert_eq!(now_ms(&clock), NOON_MS + 5, "the wall clock, not this machine's other one");
    assert_eq!(clock.skew_ms(1), Some(0));
}

#[tokio::test(start_paused = true)]
async fn one_clock_that_is_an_hour_off_moves_nothing() {
    for wrong in [NOON_MS + HOUR_MS, NOON_MS - HOUR_MS] {
        let (own_wrong, _) = clock(wrong, &[1, 2, 3]);
        hear(&own_wrong, 2, NOON_MS);
        hear(&own_wrong, 3, NOON_MS + 20);
        assert!((NOON_MS..=NOON_MS + 20).contains(&now_ms(&own_wrong)));

        let (others_wrong, _) = clock(NOON_MS, &[1, 2, 3]);
        hear(&others_wrong, 2, wrong);
        hear(&others_wrong, 3, NOON_MS + 20);
        assert!((NOON_MS..=NOON_MS + 20).contains(&now_ms(&others_wrong)));
        assert!(others_wrong.skew_ms(2).unwrap().unsigned_abs() > HOUR_MS - 100, "and it shows");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_clocks_the_earlier_counts() {
    let (clock, _) = clock(NOON_MS + HOUR_MS, &[1, 2, 3]);
    hear(&clock, 2, NOON_MS);
    assert_eq!(now_ms(&clock), NOON_MS);
    assert_eq!((clock.skew_ms(1), clock.skew_ms(2)), (Some(3_600_000), Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_majority_of_the_voters_must_have_been_heard() {
    let (clock, _) = clock(NOON_MS, &[1, 2, 3, 4, 5]);
    assert!(!clock.heard_majority());
    hear(&clock, 9, NOON_MS);
    hear(&clock, 2, NOON_MS);
    assert!(!clock.heard_majority(), "who is no member counts for nothing");
    let clock = Arc::new(clock);
    let waiting = tokio::spawn({
        let clock = Arc::clone(&clock);
        async move { clock.wait_heard().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    hear(&clock, 3, NOON_MS);
    timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stranger_s_clock_is_not_counted() {
    let (clock, _) = clock(NOON_MS, &[1, 2, 3]);
    hear(&clock, 2, NOON_MS + 10);
    hear(&clock, 8, 0);
    hear(&clock, 9, 0);
    assert_eq!(now_ms(&clock), NOON_MS);
    assert_eq!(clock.skew_ms(9), None);
}

#[tokio::test(start_paused = true)]
async fn the_way_of_an_answer_is_allowed_for() {
    let (clock, wall) = clock(0, &[1, 2]);
    let asked = Instant::now();
    advance(Duration::from_millis(80)).await;
    // It showed this at the middle of the way, 40 ms ago.
    clock.heard(2, Timestamp::from_unix_ms(NOON_MS), asked, Instant::now());
    wall.0.store(NOON_MS + HOUR_MS, Ordering::SeqCst);
    assert_eq!(now_ms(&clock), NOON_MS + 40);
}

#[tokio::test(start_paused = true)]
async fn the_time_goes_on_without_answers_until_they_are_too_old() {
    let (clock, _) = clock(NOON_MS + HOUR_MS, &[1, 2]);
    hear(&clock, 2, NOON_MS);
    advance(Duration::from_secs(60)).await;
    assert_eq!(now_ms(&clock), NOON_MS + 60_000);
    advance(CLOCK_SAMPLE_LIFE).await;
    assert_eq!(clock.skew_ms(2), None);
    assert!(!clock.heard_majority());
}

proptest! {
    /// However far a minority of the clocks is off, the time lies among those of the majority.
    #[test]
    fn a_minority_of_wrong_clocks_moves_nothing(
        right in prop::collection::vec(-50_i64..50, 3..6),
        wrong in prop::collection::vec(any::<i32>(), 0..3),
    ) {
        let all = right.iter().copied().chain(wrong.iter().map(|&ms| i64::from(ms)));
        prop_assert!((-50..50).contains(&lower_median(all).unwrap()));
    }
}
