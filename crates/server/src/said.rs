//! What the log was told lately, so that what goes wrong with every request alike is one line now and then.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A reason is logged at most once in this time.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Reasons logged within that time. More of them say no more.
const REASONS_MAX: usize = 16;

/// What was said lately.
#[derive(Default)]
pub(crate) struct Said(Mutex<Vec<(String, Instant)>>);

impl Said {
    /// Whether `reason` is to be logged: it wasn't lately.
    pub(crate) fn is_news(&self, reason: &str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|(_, at)| at.elapsed() < SAID_AGAIN_AFTER);
        let news = said.len() < REASONS_MAX && said.iter().all(|(known, _)| known != reason);
        if news {
            said.push((reason.to_owned(), Instant::now()));
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reason_is_said_once_a_minute_however_many_requests_fail_for_it() {
        let said = Said::default();
        assert!(said.is_news("denied") && said.is_news("disabled"));
        for _ in 0..1_000 {
            assert!(!said.is_news("denied") && !said.is_news("disabled"));
        }
        tokio::time::advance(SAID_AGAIN_AFTER).await;
        assert!(said.is_news("denied") && !said.is_news("denied"));
    }

    #[tokio::test(start_paused = true)]
    async fn reasons_that_are_all_different_fill_neither_log_nor_memory() {
        let said = Said::default();
        let lines = (0..1_000).filter(|request| said.is_news(&format!("request {request}"))).count();
        assert_eq!(lines, REASONS_MAX);
        tokio::time::advance(SAID_AGAIN_AFTER).await;
        assert!(said.is_news("request 0"));
    }
}
