//! How fast a pass goes, when it pauses, and when it is given up.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// First pause of a pass that doesn't get through to key management; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Pauses in a row after which a pass ends: some three minutes. Whoever waits for it learns why.
const PAUSES_MAX: u32 = 10;
/// Refusals in a row after which a pass ends: what is refused so often isn't the fault of single versions.
const REFUSALS_MAX: u32 = 20;

/// Keeps the calls of a pass apart.
pub(super) struct Pace {
    /// Between the beginnings of two calls.
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// `per_sec_max`: absent for as fast as it goes.
    pub(super) fn new(per_sec_max: Option<u32>) -> Pace {
        let interval = per_sec_max.map_or(Duration::ZERO, |calls| Duration::from_secs(1) / calls.max(1));
        Pace { interval, next: Mutex::new(Instant::now()) }
    }

    /// Waits for the next call's time. Who doesn't wait to its end leaves a gap, no more.
    pub(super) async fn turn(&self) {
        if !self.interval.is_zero() {
            sleep_until(self.take_turn()).await;
        }
    }

    fn take_turn(&self) -> Instant {
        let mut next = lock(&self.next);
        let turn = Instant::now().max(*next);
        *next = turn + self.interval;
        turn
    }
}

/// What went wrong lately in a pass, all its calls taken together.
#[derive(Default)]
pub(super) struct Setbacks(Mutex<Row>);

/// Since something succeeded last.
#[derive(Default)]
struct Row {
    pauses: u32,
    pause_ends: Option<Instant>,
    refusals: u32,
}

impl Setbacks {
    /// A call got nowhere. Those that were under way at once are one reason to pause; says for how long, if it is
    /// a new one.
    pub(super) fn outage(&self) -> Option<Duration> {
        let (now, mut row) = (Instant::now(), lock(&self.0));
        if row.pause_ends.is_some_and(|ends| ends > now) {
            return None;
        }
        let pause = PAUSE_FIRST.saturating_mul(1 << row.pauses.min(16)).min(PAUSE_MAX);
        row.pauses = row.pauses.saturating_add(1);
        row.pause_ends = Some(now + pause);
        Some(pause)
    }

    /// One key can't be re-wrapped, whenever it is tried.
    pub(super) fn refusal(&self) {
        let mut row = lock(&self.0);
        row.refusals = row.refusals.saturating_add(1);
    }

    pub(super) fn success(&self) {
        *lock(&self.0) = Row::default();
    }

    /// Waits until the pause, if there is one, is over.
    pub(super) async fn pause(&self) {
        let ends = lock(&self.0).pause_ends;
        if let Some(ends) = ends {
            sleep_until(ends).await;
        }
    }

    /// Whether going on leads nowhere.
    pub(super) fn are_too_many(&self) -> bool {
        let row = lock(&self.0);
        row.pauses > PAUSES_MAX || row.refusals >= REFUSALS_MAX
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_begin_as_far_apart_as_the_pace_says() {
        let begun = Instant::now();
        let pace = Pace::new(Some(10));
        futures::future::join_all((0..21).map(|_| pace.turn())).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_nobody_used_is_not_made_up_for() {
        let pace = Pace::new(Some(10));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begun = Instant::now();
        futures::future::join_all((0..11).map(|_| pace.turn())).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_pace_nobody_waits() {
        let begun = Instant::now();
        let pace = Pace::new(None);
        futures::future::join_all((0..1_000).map(|_| pace.turn())).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_half_a_minute_and_end_the_pass_after_three() {
        let (setbacks, mut pauses) = (Setbacks::default(), Vec::new());
        loop {
            // Eight calls at once are one reason.
            let begun_by: Vec<_> = (0..8).filter_map(|_| setbacks.outage()).collect();
            assert_eq!(begun_by.len(), 1);
            if setbacks.are_too_many() {
                break;
            }
            let begun = Instant::now();
            setbacks.pause().await;
            pauses.push(begun.elapsed().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]);
        setbacks.success();
        assert!(!setbacks.are_too_many());
    }

    #[test]
    fn only_refusals_in_a_row_end_a_pass() {
        let setbacks = Setbacks::default();
        (1..REFUSALS_MAX).for_each(|_| setbacks.refusal());
        assert!(!setbacks.are_too_many());
        setbacks.success();
        (1..REFUSALS_MAX).for_each(|_| setbacks.refusal());
        assert!(!setbacks.are_too_many());
        setbacks.refusal();
        assert!(setbacks.are_too_many());
    }
}
