//! Removes versions whose grace is over.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::limits::COMMAND_ITEMS_MAX;
use hyperion_vault_core::state::command::RemoveExpired;
use hyperion_vault_core::state::table::expiry_due::{self, ExpiryDue};
use hyperion_vault_core::state::{Command, Effect, Outcome as Applied};

use super::supervisor::Job;
use crate::audit::{Action, AuditLog, AuditUnavailable};
use crate::failure::Failure;
use crate::replica::Replica;
use crate::request_id::RequestIds;
use crate::telemetry::Metrics;
use crate::trail::Trail;

/// Pause when nothing will expire at all; the supervisor's is shorter.
const NOTHING_DUE: Duration = Duration::from_secs(3_600);

/// Removal of expired versions.
pub struct Expiry {
    pub replica: Arc<Replica>,
    pub audit: Arc<AuditLog>,
    pub metrics: Arc<Metrics>,
    pub request_ids: RequestIds,
}

#[async_trait]
impl Job for Expiry {
    fn name(&self) -> &'static str {
        "expiry"
    }

    async fn round(&self) -> Duration {
        match self.remove_expired().await {
            Ok(pause) => pause,
            Err(failure) => {
                tracing::error!(detail = failure.detail(), "expiry: {failure}");
                NOTHING_DUE
            }
        }
    }
}

impl Expiry {
    async fn remove_expired(&self) -> Result<Duration, Failure> {
        let view = self.replica.view();
        let now = self.replica.now(&view)?;
        let mut due = expiry_due::first(&*view, COMMAND_ITEMS_MAX)?;
        drop(view);
        let next = due.iter().find(|entry| entry.at > now).map(|entry| entry.at);
        due.retain(|entry| entry.at <= now);
        let more = due.len() == COMMAND_ITEMS_MAX;
        if !due.is_empty() {
            self.record(&due).await?;
            self.remove(due).await?;
        }
        Ok(match next {
            _ if more => Duration::ZERO,
            Some(at) => Duration::from_millis(at.ms_since(now)),
            None => NOTHING_DUE,
        })
    }

    /// One record for each version, before any is gone.
    async fn record(&self, due: &[ExpiryDue]) -> Result<(), AuditUnavailable> {
        let records = due.iter().map(|entry| async move {
            let id = self.request_ids.next();
            let mut trail = Trail::of_worker(Arc::clone(&self.audit), id, "expiry", Action::SecretExpire);
            trail.about(entry.name.as_str());
            trail.version(entry.version.get());
            trail.record_before_change().await
        });
        futures::future::try_join_all(records).await.map(|_| ())
    }

    async fn remove(&self, due: Vec<ExpiryDue>) -> Result<(), Failure> {
        let command = Command::RemoveExpired(RemoveExpired { due });
        if let Applied::Applied(Effect::Removed(removed)) = self.replica.propose_recorded(command).await? {
            self.metrics.expired(removed.len() as u64);
        }
        Ok(())
    }
}
