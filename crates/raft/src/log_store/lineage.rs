//! The line of history that the log belongs to: set once, when the node joins a cluster.

use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, mpsc, oneshot};

use super::writer::LogCommand;
use crate::cluster::identity::Lineage;
use crate::fault::Fault;

/// Shared by everything that speaks to peers.
#[derive(Clone)]
pub(crate) struct LineageStore {
    current: Arc<OnceLock<Lineage>>,
    commands: mpsc::Sender<LogCommand>,
    /// Held while it is written, so that a node never joins two.
    joining: Arc<Mutex<()>>,
}

impl LineageStore {
    pub(super) fn new(recovered: Option<Lineage>, commands: mpsc::Sender<LogCommand>) -> LineageStore {
        let current = Arc::new(recovered.map_or_else(OnceLock::new, OnceLock::from));
        LineageStore { current, commands, joining: Arc::default() }
    }

    /// Absent while this node belongs to no cluster.
    pub(crate) fn current(&self) -> Option<Lineage> {
        self.current.get().copied()
    }

    /// Joins the line, durably, unless this node belongs to one; says which it belongs to then.
    ///
    /// # Errors
    /// The fault that ended the writing thread.
    pub(crate) async fn adopt(&self, lineage: Lineage) -> Result<Lineage, Fault> {
        let _turn = self.joining.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let stopped = || Fault::Log("the writing thread has stopped".to_owned());
        let (done, waiting) = oneshot::channel();
        self.commands.send(LogCommand::Lineage { lineage, done }).await.map_err(|_| stopped())?;
        waiting.await.map_err(|_| stopped())?;
        Ok(*self.current.get_or_init(|| lineage))
    }
}

#[cfg(test)]
impl LineageStore {
    /// Of no log.
    pub(crate) fn of(lineage: Option<Lineage>) -> LineageStore {
        LineageStore::new(lineage, mpsc::channel(1).0)
    }
}
