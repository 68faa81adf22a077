//! Removes versions whose grace is over.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::limits::COMMAND_ITEMS_MAX;
use hyperion_vault_core::state::command::RemoveExpired;
use hyperion_vault_core::state::table::expiry_due::{self, ExpiryDue};
use hyperion_vault_core::state::{Command, Effect, Outcome as Applied, preview};
use hyperion_vault_core::time::Timestamp;

use super::supervisor::{Job, Place};
use crate::audit::{Action, AuditLog, AuditUnavailable, Outcome};
use crate::failure::Failure;
use crate::ports::View;
use crate::replica::Replica;
use crate::request_id::RequestIds;
use crate::telemetry::Metrics;
use crate::trail::{End, Trail};

/// Versions that one round looks at: damaged ones stay, and must not hold up those behind them.
const ROUND_VERSIONS_MAX: usize = 4 * COMMAND_ITEMS_MAX;
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

    fn place(&self) -> Place {
        Place::Leader
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
        let found = expiry_due::first(&*view, ROUND_VERSIONS_MAX)?;
        let next = found.iter().find(|entry| entry.at > now).map(|entry| entry.at);
        let mut due: Vec<_> = found.into_iter().filter(|entry| removable(&view, entry, now)).collect();
        drop(view);
        let more = due.len() > COMMAND_ITEMS_MAX;
        due.truncate(COMMAND_ITEMS_MAX);
        // Another leader finds the same to be due: only one of the two records it as done.
        if !due.is_empty() && self.replica.is_leader() {
            self.remove(due).await?;
        }
        Ok(match next {
            _ if more => Duration::ZERO,
            Some(at) => Duration::from_millis(at.ms_since(now)),
            None => NOTHING_DUE,
        })
    }

    /// Records each removal before any is made, and after it those that did not come about.
    async fn remove(&self, due: Vec<ExpiryDue>) -> Result<(), Failure> {
        let mut trails = futures::future::try_join_all(due.iter().map(|entry| self.record(entry))).await?;
        let command = Command::RemoveExpired(RemoveExpired { due: due.clone() });
        let proposed = self.replica.propose_recorded(command).await;
        let removed = match &proposed {
            Ok(Applied::Applied(Effect::Removed(removed))) => removed.as_slice(),
            _ => &[],
        };
        self.metrics.expired(removed.len() as u64);
        for (entry, trail) in due.iter().zip(&mut trails) {
            if !removed.iter().any(|(name, version)| *name == entry.name && *version == entry.version) {
                trail.finish(End { status: None, outcome: Outcome::Unavailable }).await?;
            }
        }
        proposed.map(|_| ())
    }

    async fn record(&self, entry: &ExpiryDue) -> Result<Trail, AuditUnavailable> {
        let id = self.request_ids.next();
        let mut trail = Trail::of_worker(Arc::clone(&self.audit), id, "expiry", Action::SecretExpire);
        trail.about(entry.name.as_str());
        trail.version(entry.version.get());
        trail.record_before_change().await?;
        Ok(trail)
    }
}

/// Whether the removal would be applied. What can't be read must not be proposed: a command that meets it in
/// the log halts every node that applies it.
fn removable(view: &View, entry: &ExpiryDue, now: Timestamp) -> bool {
    let command = Command::RemoveExpired(RemoveExpired { due: vec![entry.clone()] });
    match preview(&command, now, &**view) {
        Ok(Applied::Applied(Effect::Removed(removed))) => !removed.is_empty(),
        Ok(_) => false,
        Err(fault) => {
            tracing::error!(secret = %entry.name, version = entry.version.get(), "expired version stays: {fault}");
            false
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use hyperion_vault_core::name::SecretName;
    use hyperion_vault_core::secret::{SealedVersion, SecretFormat, SecretId, SecretKind, VersionNumber};
    use hyperion_vault_core::state::command::{CreateSecret, UpdateSecret};
    use hyperion_vault_core::state::table::Tag;
    use hyperion_vault_core::state::{Proposal, apply};
    use hyperion_vault_core::time::Seconds;

    use super::*;

    type Table = BTreeMap<Vec<u8>, Vec<u8>>;

    fn sealed() -> SealedVersion {
        SealedVersion {
            envelope_format: 1,
            kms_key_id: String::new(),
            wrapped_data_key: vec![],
            nonce: [0; 24],
            ciphertext: vec![],
            wrapped_rotation_at: None,
        }
    }

    /// A secret at version 2, whose version 1 expires after a second.
    fn superseded() -> Table {
        let (name, id) = (SecretName::parse("a").unwrap(), SecretId::from_bytes([1; 16]));
        let create = CreateSecret {
            name: name.clone(),
            id,
            kind: SecretKind::Manual,
            format: SecretFormat::Opaque,
            description: None,
            rotation_interval: None,
            grace_period: Seconds::new(1),
            sealed: sealed(),
            target: None,
            generator: None,
        };
        let update = UpdateSecret {
            name,
            id,
            expected: VersionNumber::FIRST,
            description: None,
            rotation_interval: None,
            grace_period: None,
            sealed: Some(sealed()),
            target: None,
            generator: None,
            is_applied: None,
        };
        let mut rows = Table::new();
        for command in [Command::CreateSecret(create), Command::UpdateSecret(update)] {
            apply(&Proposal { stamp: Timestamp::EPOCH, command, origin: None }, &mut rows).unwrap();
        }
        rows
    }

    /// A flipped bit in a superseded version was met only in the log, where it halted the node, and again at
    /// each start.
    #[test]
    fn a_damaged_version_is_not_proposed_for_removal() {
        let mut rows = superseded();
        let due = expiry_due::first(&rows, 1).unwrap().remove(0);
        let later = Timestamp::from_unix_ms(1_000);
        let whole: View = Arc::new(rows.clone());
        assert!(removable(&whole, &due, later));
        assert!(!removable(&whole, &due, Timestamp::from_unix_ms(999)));
        let version = rows.iter_mut().find(|(key, _)| key.first() == Some(&(Tag::Versions as u8))).unwrap().1;
        *version.last_mut().unwrap() ^= 1;
        let damaged: View = Arc::new(rows);
        assert!(!removable(&damaged, &due, later));
    }
}
