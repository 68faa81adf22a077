//! Proposals of this node whose outcome somebody waits for.
//!
//! A proposal may reach the log by way of another node, and more than once. Its outcome is that of its first
//! entry, as *this* node applies it: whoever waited then reads his own write here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyperion_vault_core::state::Origin;
use tokio::sync::oneshot;

use super::Applied;

type Waiting = BTreeMap<u64, oneshot::Sender<Applied>>;

/// Those who wait, by the sequence number of their proposal.
pub(crate) struct Pending {
    node_id: u64,
    /// This start of the node; sequences begin anew with each.
    session: u64,
    last_sequence: AtomicU64,
    waiting: Mutex<Waiting>,
}

/// A place among those who wait; given up when dropped.
pub(crate) struct Ticket {
    pending: Arc<Pending>,
    pub(crate) origin: Origin,
    outcome: oneshot::Receiver<Applied>,
}

impl Pending {
    pub(crate) fn new(node_id: u64, session: u64) -> Arc<Pending> {
        let (last_sequence, waiting) = (AtomicU64::new(0), Mutex::default());
        Arc::new(Pending { node_id, session, last_sequence, waiting })
    }

    /// Takes a place for a new proposal.
    pub(crate) fn begin(self: &Arc<Pending>) -> Ticket {
        let sequence = self.last_sequence.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let (applied, outcome) = oneshot::channel();
        self.waiting().insert(sequence, applied);
        let origin = Origin { node_id: self.node_id, session: self.session, sequence };
        Ticket { pending: Arc::clone(self), origin, outcome }
    }

    /// Tells whoever waits for it, if it is of this start of this node. Called in the order of the log.
    pub(crate) fn resolve(&self, origin: Origin, applied: Applied) {
        if origin.node_id == self.node_id
            && origin.session == self.session
            && let Some(waiting) = self.waiting().remove(&origin.sequence)
        {
            // Nobody waits any more: so be it.
            let _ = waiting.send(applied);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// What came of it, once this node has applied it. Pending for ever if that never happens.
    pub(crate) async fn applied(&mut self) -> Applied {
        match (&mut self.outcome).await {
            Ok(applied) => applied,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pending.waiting().remove(&self.origin.sequence);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use hyperion_vault_core::state::{Effect, Outcome};

    use super::*;

    fn applied(log_index: u64) -> Applied {
        Applied { log_index, outcome: Outcome::Applied(Effect::Done) }
    }

    #[test]
    fn each_hears_of_his_own_and_of_the_first_entry_only() {
        let pending = Pending::new(1, 7);
        let (mut first, mut second) = (pending.begin(), pending.begin());
        pending.resolve(second.origin, applied(10));
        pending.resolve(second.origin, applied(11));
        assert_eq!(second.applied().now_or_never().map(|applied| applied.log_index), Some(10));
        assert!(first.applied().now_or_never().is_none());
    }

    #[test]
    fn what_another_node_or_another_start_asked_for_is_nobody_s_here() {
        let pending = Pending::new(1, 7);
        let mut ticket = pending.begin();
        pending.resolve(Origin { node_id: 2, ..ticket.origin }, applied(1));
        pending.resolve(Origin { session: 8, ..ticket.origin }, applied(1));
        assert!(ticket.applied().now_or_never().is_none());
    }

    #[test]
    fn whoever_goes_away_leaves_nothing_behind() {
        let pending = Pending::new(1, 7);
        drop(pending.begin());
        assert!(pending.waiting().is_empty());
    }
}
