//! Asks every other node where it stands, several times a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::roster::{Asked, Roster};
use crate::transport::connection::Connection;

/// Between two questions to one peer.
pub(crate) const BEAT_INTERVAL: Duration = Duration::from_millis(250);
/// Within this, a peer that can be reached answers, however busy it is.
const BEAT_TIMEOUT: Duration = Duration::from_secs(1);

/// The task that asks one peer.
struct Asking {
    connection: Arc<Connection>,
    task: AbortHandle,
}

/// Keeps asking whoever is in the roster. Ends when it is dropped.
pub(crate) async fn run(roster: Arc<Roster>) {
    let mut changes = roster.changes();
    let mut tasks = JoinSet::new();
    let mut asking: BTreeMap<u64, Asking> = BTreeMap::new();
    loop {
        changes.mark_unchanged();
        let asked = roster.asked();
        asking.retain(|id, asking| {
            let stays = asked.get(id).is_some_and(|asked| Arc::ptr_eq(&asked.connection, &asking.connection));
            if !stays {
                asking.task.abort();
            }
            stays
        });
        for (id, asked) in asked {
            asking.entry(id).or_insert_with(|| Asking {
                connection: Arc::clone(&asked.connection),
                task: tasks.spawn(keep_asking(Arc::clone(&roster), id, asked)),
            });
        }
        while tasks.try_join_next().is_some() {}
        // The roster, which this task holds, is what sends the changes.
        let _ = changes.changed().await;
    }
}

async fn keep_asking(roster: Arc<Roster>, id: u64, asked: Asked) {
    loop {
        let next = Instant::now() + BEAT_INTERVAL;
        let asked_at = Instant::now();
        if let Ok(answer) = asked.connection.beat(roster.caller(id, None), BEAT_TIMEOUT).await {
            roster.heard(id, answer, asked_at);
        }
        // Woken or due: either way it is asked again.
        let _ = timeout(next.saturating_duration_since(Instant::now()), asked.wake.notified()).await;
    }
}
