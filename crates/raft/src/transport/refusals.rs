//! A log of refused connections and calls that whoever is refused can't fill.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::limits::REFUSALS_LOG_INTERVAL;

/// Logs one refusal now and then, with the number of those between.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Unlogged>);

#[derive(Default)]
struct Unlogged {
    count: u64,
    logged_at: Option<Instant>,
}

impl Refusals {
    pub(super) fn note(&self, address: SocketAddr, reason: &dyn fmt::Display) {
        if let Some(others) = self.due() {
            tracing::warn!(%address, %reason, others, "turned somebody away from the port for other members");
        }
    }

    /// How many were left out since the last line, when it is time for another.
    fn due(&self) -> Option<u64> {
        let mut unlogged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if unlogged.logged_at.is_some_and(|at| at.elapsed() < REFUSALS_LOG_INTERVAL) {
            unlogged.count = unlogged.count.saturating_add(1);
            return None;
        }
        unlogged.logged_at = Some(Instant::now());
        Some(std::mem::take(&mut unlogged.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_one_line_in_an_interval() {
        let refusals = Refusals::default();
        assert_eq!(refusals.due(), Some(0));
        for _ in 0..1_000 {
            assert_eq!(refusals.due(), None);
        }
        tokio::time::advance(REFUSALS_LOG_INTERVAL).await;
        assert_eq!(refusals.due(), Some(1_000));
    }
}
