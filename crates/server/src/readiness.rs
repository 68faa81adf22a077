//! Whether this node can serve: what `/readyz` answers.

use std::sync::{Arc, OnceLock};

use crate::audit::AuditLog;
use crate::replica::Replica;
use crate::sealing::Sealing;

/// Looks at everything that serving takes.
pub struct Readiness {
    replica: Arc<Replica>,
    sealing: Arc<Sealing>,
    audit: Arc<AuditLog>,
    key_fault: Arc<KeyFault>,
}

/// What was found wrong with the master key at the start, and stays so.
pub type KeyFault = OnceLock<String>;

impl Readiness {
    #[must_use]
    pub fn new(
        replica: Arc<Replica>,
        sealing: Arc<Sealing>,
        audit: Arc<AuditLog>,
        key_fault: Arc<KeyFault>,
    ) -> Readiness {
        Readiness { replica, sealing, audit, key_fault }
    }

    /// # Errors
    /// The first reason why not, for people; nothing in it is secret.
    pub async fn check(&self) -> Result<(), String> {
        self.replica.readiness()?;
        self.audit.health().map_err(|error| error.to_string())?;
        if let Some(fault) = self.key_fault.get() {
            return Err(fault.clone());
        }
        self.sealing.health().await.map_err(|error| error.to_string())
    }
}
