//! Linearizable reads by ReadIndex: before it reads, a node learns an index from a leader that a quorum has just
//! confirmed, and waits until it has applied so much. Reads that come while a round is under way share the next
//! one, so that a thousand readers cost no more than one.

use std::sync::Arc;
use std::time::Duration;

use openraft::LinearizerOption;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use super::participant::Participant;
use crate::config::{LEADER_CALL_TIMEOUT, PROPOSE_RETRY_PAUSE, PROPOSE_TIMEOUT};
use crate::error::ProposeError;
use crate::transport::message::LeaderAnswer;

/// Reads that may wait for a round; past it, asking for one waits.
const WAITING_READS_MAX: usize = 4_096;
/// How long a leader waits for its quorum to confirm it. Several heartbeats.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);

type ReadIndex = Result<u64, ProposeError>;

/// Where reads ask for an index.
pub(crate) struct Rounds {
    asked: mpsc::Sender<oneshot::Sender<ReadIndex>>,
}

/// What [`serve`] takes its work from.
pub(crate) struct Asked(mpsc::Receiver<oneshot::Sender<ReadIndex>>);

impl Rounds {
    pub(crate) fn new() -> (Rounds, Asked) {
        let (asked, waiting) = mpsc::channel(WAITING_READS_MAX);
        (Rounds { asked }, Asked(waiting))
    }

    /// An index that covers everything acknowledged before this was called.
    pub(crate) async fn read_index(&self) -> ReadIndex {
        let (answer, waiting) = oneshot::channel();
        self.asked.send(answer).await.map_err(|_| ProposeError::Halted)?;
        waiting.await.map_err(|_| ProposeError::Halted)?
    }
}

/// Answers readers, round after round, until nobody can ask any more.
pub(crate) async fn serve(participant: Arc<Participant>, mut asked: Asked) {
    while let Some(first) = asked.0.recv().await {
        let mut readers = vec![first];
        while let Ok(reader) = asked.0.try_recv() {
            readers.push(reader);
        }
        let index = round(&participant).await;
        for reader in readers {
            // A reader that went away needs no answer.
            let _ = reader.send(index.clone());
        }
    }
}

async fn round(participant: &Participant) -> ReadIndex {
    let deadline = Instant::now() + PROPOSE_TIMEOUT;
    let mut leadership = participant.leadership();
    loop {
        let known = leadership.wait_for(|now| now.leader.is_some());
        let now = match timeout_at(deadline, known).await {
            Ok(Ok(now)) => *now,
            Ok(Err(_)) => return Err(ProposeError::Halted),
            Err(_) => return Err(ProposeError::NoLeader),
        };
        let asked = tokio::select! {
            index = ask(participant, now.leader) => index,
            _ = leadership.wait_for(|later| *later != now) => None,
        };
        match asked {
            Some(index) => return Ok(index),
            None if Instant::now() >= deadline => return Err(ProposeError::NoQuorum),
            None => sleep(PROPOSE_RETRY_PAUSE).await,
        }
    }
}

async fn ask(participant: &Participant, leader: Option<u64>) -> Option<u64> {
    match leader {
        Some(leader) if leader == participant.node_id() => confirm_here(participant).await,
        Some(leader) => {
            let route = participant.roster.route(leader).ok()?;
            let answer = route.connection.read_index(route.caller, LEADER_CALL_TIMEOUT).await.ok()?;
            if let LeaderAnswer::Done(index) = answer { Some(index) } else { None }
        }
        None => None,
    }
}

/// The index as the leader knows it, once a quorum has confirmed that it still leads.
async fn confirm_here(participant: &Participant) -> Option<u64> {
    let fresh = LinearizerOption::new(Some(Duration::ZERO), true).with_wait_timeout(CONFIRM_TIMEOUT);
    let linearizer = participant.raft.get_read_linearizer(fresh).await.ok()?;
    Some(linearizer.read_log_id().index())
}
