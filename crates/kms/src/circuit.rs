//! Whether it is worth calling at all.
//!
//! **Closed**: everybody calls. After some attempts in a row that didn't get through it is **open**: nobody calls,
//! and whoever wants to is told so at once. After a pause one caller is let through to see; if he gets an answer,
//! whichever, it is closed again, else the next pause is longer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Attempts in a row that didn't get through, after which nobody calls.
const FAILURES_MAX: u32 = 5;
/// What an attempt that ran out of time counts: it cost its caller more than one that was refused.
const TIMED_OUT_COUNTS: u32 = 3;
/// First pause before somebody is let through; it doubles with each that fails.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How an attempt ended, as far as that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    /// An answer, even a no.
    Through,
    /// No answer.
    Nowhere,
    /// No answer in time.
    TimedOut,
}

#[derive(Default)]
pub(crate) struct Circuit(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

struct Open {
    until: Instant,
    pause: Duration,
    /// Somebody was let through and is not back yet.
    probing: bool,
}

/// The leave for one attempt. An attempt that is given up without an end counts as none.
pub(crate) struct Leave<'a> {
    circuit: &'a Circuit,
    probe: bool,
}

impl Circuit {
    /// None when nobody is to call now.
    pub(crate) fn enter(&self) -> Option<Leave<'_>> {
        let mut state = self.lock();
        let probe = match &mut state.open {
            None => false,
            Some(open) if open.probing || Instant::now() < open.until => return None,
            Some(open) => {
                open.probing = true;
                true
            }
        };
        Some(Leave { circuit: self, probe })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().open.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the end of an attempt did to the circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    Open,
    Closed,
}

impl Leave<'_> {
    pub(crate) fn ended(self, got: Got) -> Option<Turned> {
        let mut state = self.circuit.lock();
        let was_open = state.open.is_some();
        match got {
            Got::Through => *state = State::default(),
            Got::Nowhere => state.failed(1, self.probe),
            Got::TimedOut => state.failed(TIMED_OUT_COUNTS, self.probe),
        }
        match (was_open, state.open.is_some()) {
            (false, true) => Some(Turned::Open),
            (true, false) => Some(Turned::Closed),
            _ => None,
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.probe
            && let Some(open) = &mut self.circuit.lock().open
        {
            open.probing = false;
        }
    }
}

impl State {
    fn failed(&mut self, counts: u32, probe: bool) {
        self.failures = self.failures.saturating_add(counts);
        let pause = match &self.open {
            // Called before it was opened, and says nothing new.
            Some(_) if !probe => return,
            Some(open) => PAUSE_MAX.min(open.pause * 2),
            None if self.failures < FAILURES_MAX => return,
            None => PAUSE_FIRST,
        };
        self.open = Some(Open { until: Instant::now() + pause, pause, probing: false });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn end(circuit: &Circuit, got: Got) {
        circuit.enter().unwrap().ended(got);
    }

    fn opened() -> Circuit {
        let circuit = Circuit::default();
        for _ in 0..FAILURES_MAX {
            end(&circuit, Got::Nowhere);
        }
        circuit
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_five_failures_in_a_row_or_two_that_took_their_time() {
        let circuit = Circuit::default();
        for _ in 0..3 {
            for _ in 0..FAILURES_MAX - 1 {
                end(&circuit, Got::Nowhere);
            }
            end(&circuit, Got::Through);
        }
        assert!(circuit.is_closed());
        assert!(!opened().is_closed() && opened().enter().is_none());
        end(&circuit, Got::TimedOut);
        assert!(circuit.is_closed());
        end(&circuit, Got::TimedOut);
        assert!(!circuit.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn one_is_let_through_after_each_pause_and_an_answer_closes_it() {
        let circuit = opened();
        for pause_secs in [1, 2, 4, 5, 5] {
            tokio::time::advance(Duration::from_millis(pause_secs * 1_000 - 1)).await;
            assert!(circuit.enter().is_none(), "{pause_secs}");
            tokio::time::advance(Duration::from_millis(1)).await;
            let probe = circuit.enter().unwrap();
            assert!(circuit.enter().is_none(), "one at a time");
            probe.ended(Got::Nowhere);
            assert!(circuit.enter().is_none(), "the next pause has begun");
        }
        tokio::time::advance(PAUSE_MAX).await;
        end(&circuit, Got::Through);
        assert!(circuit.is_closed() && circuit.enter().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn it_tells_of_each_turn_once() {
        let circuit = Circuit::default();
        let turns: Vec<_> = (0..FAILURES_MAX).map(|_| circuit.enter().unwrap().ended(Got::Nowhere)).collect();
        assert_eq!(turns, [None, None, None, None, Some(Turned::Open)]);
        tokio::time::advance(PAUSE_FIRST).await;
        assert_eq!(circuit.enter().unwrap().ended(Got::Nowhere), None, "still open");
        tokio::time::advance(PAUSE_MAX).await;
        assert_eq!(circuit.enter().unwrap().ended(Got::Through), Some(Turned::Closed));
        assert_eq!(circuit.enter().unwrap().ended(Got::Through), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_gives_up_lets_the_next_one_try() {
        let circuit = opened();
        tokio::time::advance(PAUSE_FIRST).await;
        drop(circuit.enter().unwrap());
        assert!(circuit.enter().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_before_it_opened_make_no_pause_longer() {
        let circuit = Circuit::default();
        let early: Vec<_> = (0..50).map(|_| circuit.enter().unwrap()).collect();
        for leave in early {
            leave.ended(Got::Nowhere);
        }
        tokio::time::advance(PAUSE_FIRST).await;
        assert!(circuit.enter().is_some());
    }
}
