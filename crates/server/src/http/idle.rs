//! How long a connection has had no open request.
//!
//! Pings don't count: an HTTP/2 peer that answers them and asks for nothing would keep its connection for ever.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The open requests of one connection. Clones speak of the same connection.
#[derive(Clone)]
pub(super) struct Activity(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Told of the first request.
    first: Notify,
}

struct State {
    /// There was a request.
    begun: bool,
    open: usize,
    /// When the last request ended, or the connection began.
    idle_since: Instant,
}

impl Activity {
    /// Of a connection that begins now.
    pub(super) fn start() -> Activity {
        let state = State { begun: false, open: 0, idle_since: Instant::now() };
        Activity(Arc::new(Shared { state: Mutex::new(state), first: Notify::new() }))
    }

    /// A request is open until what this returns is dropped.
    pub(super) fn open(&self) -> OpenRequest {
        let mut state = self.state();
        state.open += 1;
        if !std::mem::replace(&mut state.begun, true) {
            self.0.first.notify_one();
        }
        drop(state);
        OpenRequest(self.clone())
    }

    /// Ends at the first request of the connection; at once if it was there.
    pub(super) async fn begun(&self) {
        if !self.state().begun {
            self.0.first.notified().await;
        }
    }

    /// Ends when no request has been open for `idle_max`, of which only what lies after this call counts.
    pub(super) async fn idle_for(&self, idle_max: Duration) {
        let from = Instant::now();
        loop {
            let due = self.idle_since().max(from) + idle_max;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }

    fn idle_since(&self) -> Instant {
        let state = self.state();
        if state.open > 0 { Instant::now() } else { state.idle_since }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Two numbers that are never half written.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open request, from the end of its headers until its answer is there to be written.
pub(super) struct OpenRequest(Activity);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        state.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const IDLE_MAX: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn idleness_is_counted_from_the_end_of_the_last_of_the_open_requests() {
        let activity = Activity::start();
        let start = Instant::now();
        let requests = activity.clone();
        tokio::spawn(async move {
            let (first, second) = (requests.open(), requests.open());
            advance(Duration::from_secs(100)).await;
            drop(first);
            advance(Duration::from_secs(100)).await;
            drop(second);
        });
        activity.idle_for(IDLE_MAX).await;
        assert_eq!(start.elapsed().as_secs(), 260);
    }

    #[tokio::test(start_paused = true)]
    async fn idleness_before_the_call_does_not_count() {
        let activity = Activity::start();
        advance(Duration::from_secs(100)).await;
        let start = Instant::now();
        activity.idle_for(IDLE_MAX).await;
        assert_eq!(start.elapsed(), IDLE_MAX);
    }
}
