//! Whether this node can serve: what `/readyz` answers.

use std::sync::Arc;

use crate::audit::AuditLog;
use crate::grants::Grants;
use crate::replica::Replica;
use crate::sealing::Sealing;

/// Looks at everything that serving takes.
pub struct Readiness {
    replica: Arc<Replica>,
    grants: Arc<Grants>,
    sealing: Arc<Sealing>,
    audit: Arc<AuditLog>,
}

impl Readiness {
    #[must_use]
    pub fn new(
        replica: Arc<Replica>,
        grants: Arc<Grants>,
        sealing: Arc<Sealing>,
        audit: Arc<AuditLog>,
    ) -> Readiness {
        Readiness { replica, grants, sealing, audit }
    }

    /// # Errors
    /// The first reason why not, for people; nothing in it is secret.
    pub async fn check(&self) -> Result<(), String> {
        // Why the start doesn't come to its end says more than that it hasn't.
        if let Some(fault) = self.grants.fault() {
            return Err(fault);
        }
        self.replica.readiness()?;
        self.audit.health().map_err(|error| error.to_string())?;
        self.grants.standing().map_err(|failure| failure.to_string())?;
        self.sealing.health().await.map_err(|error| error.to_string())
    }
}
