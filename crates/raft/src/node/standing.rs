//! Whether this node has a state to answer from.
//!
//! A node that has just started may know less than it has shown before, and one that is new knows nothing: until
//! it has caught up with a leader, once, it must not answer. From then on it answers, whoever leads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::participant::Participant;

/// How often a node that is behind looks whether it has caught up.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);

/// Whether a node has a state to answer from, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It belongs to no cluster, or knows no leader; says what it waits for.
    Waiting(String),
    /// It follows a leader and isn't there yet; says how far it is.
    CatchingUp(String),
    /// It has caught up since it was started.
    Ready,
}

/// Follows where the node stands until it is ready, and then keeps the watch open as long as consensus runs: a
/// closed one would read as a node that has halted.
pub(super) async fn follow(
    participant: Arc<Participant>,
    waits_for: watch::Receiver<String>,
    standing: watch::Sender<Standing>,
) {
    let raft = participant.raft.clone();
    let recovery = tokio::spawn(async move { raft.wait_for_recovery(None).await.is_ok() });
    let mut goal = None;
    loop {
        let now = look(&participant, recovery.is_finished(), &waits_for, &mut goal);
        let ready = now == Standing::Ready;
        standing.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
        if ready {
            return standing.closed().await;
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// `goal`: what a leader had applied when this node first heard of it.
fn look(
    participant: &Participant,
    recovered: bool,
    waits_for: &watch::Receiver<String>,
    goal: &mut Option<u64>,
) -> Standing {
    let leadership = *participant.leadership.borrow();
    let Some(leader) = leadership.leader else { return Standing::Waiting(waits_for.borrow().clone()) };
    if leadership.is_here() {
        return if recovered { Standing::Ready } else { behind("replaying the log") };
    }
    *goal = goal.or_else(|| participant.roster.applied_index(leader));
    let applied = participant.state.view().applied_index();
    match *goal {
        Some(goal) if recovered && applied >= Some(goal) => Standing::Ready,
        Some(goal) => behind(&format!("applied {} of {goal} entries", applied.unwrap_or(0))),
        None => behind("nothing heard from the leader yet"),
    }
}

fn behind(how: &str) -> Standing {
    Standing::CatchingUp(format!("catching up with the cluster: {how}"))
}
