//! Looks whether any role or token was altered on this node's disk, so that a forged one is known of before it is used.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::supervisor::{Job, Place};
use crate::audit::{Action, AuditLog, Outcome};
use crate::failure::Failure;
use crate::grants::{AlteredRow, Grants};
use crate::replica::Replica;
use crate::request_id::RequestIds;
use crate::trail::{End, Trail};

/// Every row is looked at this often, wherever it came from: this node's own disk or its leader's snapshot.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// How often it is looked whether rows can be checked at all.
const CLOSED_INTERVAL: Duration = Duration::from_secs(1);
/// Records written in one round. Whoever forges more must not have the log filled for him.
const RECORDS_MAX: usize = 100;

/// The check of all roles and tokens.
pub struct GrantCheck {
    replica: Arc<Replica>,
    grants: Arc<Grants>,
    audit: Arc<AuditLog>,
    request_ids: RequestIds,
    /// Rows that the audit log was told of, and that are still altered.
    recorded: Mutex<BTreeSet<AlteredRow>>,
}

impl GrantCheck {
    #[must_use]
    pub fn new(
        replica: Arc<Replica>,
        grants: Arc<Grants>,
        audit: Arc<AuditLog>,
        request_ids: RequestIds,
    ) -> GrantCheck {
        GrantCheck { replica, grants, audit, request_ids, recorded: Mutex::default() }
    }
}

#[async_trait]
impl Job for GrantCheck {
    fn name(&self) -> &'static str {
        "grant check"
    }

    /// Each disk is one that somebody may have written.
    fn place(&self) -> Place {
        Place::EveryNode
    }

    async fn round(&self) -> Duration {
        if !self.grants.are_in_force() {
            return CLOSED_INTERVAL;
        }
        if let Err(failure) = self.check().await {
            tracing::error!(detail = failure.detail(), "roles and tokens can't be checked: {failure}");
        }
        CHECK_INTERVAL
    }
}

impl GrantCheck {
    async fn check(&self) -> Result<(), Failure> {
        let (grants, view) = (Arc::clone(&self.grants), self.replica.view());
        let found = tokio::task::spawn_blocking(move || grants.find_altered(&view)).await;
        let altered: BTreeSet<_> = found.map_err(Failure::internal)??.into_iter().collect();
        if !altered.is_empty() {
            tracing::error!(
                rows = altered.len(),
                "roles or tokens on this disk were written by somebody else than the vault; they grant nothing"
            );
        }
        for row in self.take_news(&altered) {
            self.record(&row).await?;
            self.recorded().insert(row);
        }
        Ok(())
    }

    /// The altered rows that the audit log is to be told of, and was not.
    fn take_news(&self, altered: &BTreeSet<AlteredRow>) -> Vec<AlteredRow> {
        let mut recorded = self.recorded();
        recorded.retain(|row| altered.contains(row));
        altered.difference(&recorded).take(RECORDS_MAX).cloned().collect()
    }

    async fn record(&self, row: &AlteredRow) -> Result<(), Failure> {
        tracing::error!(name = row.name(), "{}", row.detail());
        let audit = Arc::clone(&self.audit);
        let mut trail = Trail::of_worker(audit, self.request_ids.next(), "grants", Action::GrantsCheck);
        trail.about(row.name());
        trail.detail(row.detail());
        Ok(trail.finish(End { status: None, outcome: Outcome::Error }).await?)
    }

    fn recorded(&self) -> std::sync::MutexGuard<'_, BTreeSet<AlteredRow>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
