//! Re-wraps every data key after the master key was rotated or replaced.
//!
//! What is to be done stands in the replicated state: who leads runs the pass that is under way there, whoever began
//! it, and, where it is enabled, begins one itself when the KMS shows a newer rotation or something was left over.

mod agenda;
mod pace;
mod pass;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::state::command::{AdoptRotation, BeginRewrap, EndRewrap};
use hyperion_vault_core::state::table::meta;
use hyperion_vault_core::state::table::rewrap::{self, EndedPass, Rewrap as Agreed};
use hyperion_vault_core::state::{Command, Effect, REWRAP_SINCE};
use hyperion_vault_core::wrap::WrapEpoch;
use hyperion_vault_kms::KeyProvider;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::agenda::Recurring;
use self::pace::{Pace, Setbacks};
use self::pass::{Pass, Went};
use super::supervisor::{Job, Place};
use crate::audit::{Action, AuditLog, Outcome};
use crate::config;
use crate::failure::Failure;
use crate::replica::{ChangeFailure, Replica};
use crate::request_id::RequestIds;
use crate::telemetry::Metrics;
use crate::trail::Trail;

/// Between two passes that this node begins because something was left over, unless it looks for rotations more often.
const PASS_PAUSE: Duration = Duration::from_secs(60);
/// Pause after a round that could not be brought to its end.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);
/// Pause where nothing is to be looked for; the supervisor's is shorter.
const NOTHING_DUE: Duration = Duration::from_secs(3_600);

/// Re-wrapping of data keys.
pub struct Rewrap {
    pub replica: Arc<Replica>,
    pub keys: Arc<dyn KeyProvider>,
    pub audit: Arc<AuditLog>,
    pub metrics: Arc<Metrics>,
    pub request_ids: RequestIds,
    pub settings: config::Rewrap,
    pub agenda: Agenda,
    pub stop: CancellationToken,
}

/// What this node remembers from round to round. Nothing is lost with it: another leader begins with none.
pub struct Agenda {
    /// For a rotation.
    looks: Recurring,
    /// Over what was left.
    passes: Recurring,
    /// Whether the log was told that the cluster is not at the level yet.
    waits_for_level: AtomicBool,
}

impl Agenda {
    #[must_use]
    pub fn new(settings: &config::Rewrap) -> Agenda {
        let poll = Duration::from_secs(settings.poll.get());
        Agenda {
            looks: Recurring::new(poll, poll),
            passes: Recurring::new(PASS_PAUSE.min(poll), poll),
            waits_for_level: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl Job for Rewrap {
    fn name(&self) -> &'static str {
        "rewrap"
    }

    fn place(&self) -> Place {
        Place::Leader
    }

    async fn round(&self) -> Duration {
        match self.do_what_is_due().await {
            Ok(pause) => pause,
            Err(failure) => {
                tracing::error!(detail = failure.detail(), "re-wrapping: {failure}");
                // Not left to the supervisor, who is woken by every change of the state.
                self.stop.run_until_cancelled(sleep(FAILURE_PAUSE)).await;
                Duration::ZERO
            }
        }
    }
}

impl Rewrap {
    async fn do_what_is_due(&self) -> Result<Duration, Failure> {
        let agreed = rewrap::get(&*self.replica.view())?;
        if let Some(Agreed { target, pass: Some(pass), .. }) = agreed {
            self.run(pass.number, target).await?;
            return Ok(Duration::ZERO);
        }
        if !self.settings.enabled || !self.is_at_level()? {
            return Ok(NOTHING_DUE);
        }
        if self.agenda.looks.is_due() {
            self.look_for_rotation(agreed.as_ref()).await?;
        } else if let Some(agreed) = agreed.filter(|_| self.agenda.passes.is_due())
            && !rewrap::pending(&*self.replica.view())?.is_nothing()
        {
            self.begin(agreed.target).await?;
        }
        self.due_in()
    }

    fn due_in(&self) -> Result<Duration, Failure> {
        let look = self.agenda.looks.due_in();
        let nothing_left = rewrap::pending(&*self.replica.view())?.is_nothing();
        Ok(if nothing_left { look } else { look.min(self.agenda.passes.due_in()) })
    }

    /// Enabled too early does no harm.
    fn is_at_level(&self) -> Result<bool, Failure> {
        let level = meta::feature_level(&*self.replica.view())?;
        let waits = level < REWRAP_SINCE;
        if waits && !self.agenda.waits_for_level.swap(true, Ordering::Relaxed) {
            tracing::info!(
                level,
                needed = REWRAP_SINCE,
                "re-wrapping waits until all members are of a version that knows of it"
            );
        }
        Ok(!waits)
    }

    /// Compares what the KMS says with what is agreed.
    async fn look_for_rotation(&self, agreed: Option<&Agreed>) -> Result<(), Failure> {
        let current = match self.keys.current_key().await {
            Ok(key) => WrapEpoch { kms_key_id: key.key_id, rotation_at: key.rotated_at },
            Err(error) => {
                tracing::warn!("looking for a rotation of the master key: {error}");
                self.agenda.looks.failed();
                return Ok(());
            }
        };
        // Another leader sees the same: only one of the two records it as done.
        if !self.goes_on() {
            return Ok(());
        }
        match agreed {
            None => self.adopt(current).await?,
            Some(agreed) if is_newer(&current, &agreed.target) => self.begin(current).await?,
            Some(_) => {}
        }
        self.agenda.looks.succeeded();
        Ok(())
    }

    async fn adopt(&self, current: WrapEpoch) -> Result<(), Failure> {
        let command = Command::AdoptRotation(AdoptRotation { target: current });
        if self.change(command, Action::KmsAdoptRotation).await?.is_some() {
            tracing::info!("later rotations of the master key will be followed by re-wrapping");
        }
        Ok(())
    }

    async fn begin(&self, target: WrapEpoch) -> Result<(), Failure> {
        let command = Command::BeginRewrap(BeginRewrap { target });
        if let Some(Effect::RewrapBegun { number }) = self.change(command, Action::KmsRewrap).await? {
            tracing::info!(pass = number, "re-wrapping begins");
        }
        Ok(())
    }

    /// Goes as far with the pass as this node may, and ends it at its end.
    async fn run(&self, number: u64, target: WrapEpoch) -> Result<(), Failure> {
        let pass = Pass {
            replica: &self.replica,
            keys: &*self.keys,
            stop: &self.stop,
            number,
            target,
            pace: Pace::new(self.settings.versions_per_sec_max),
            setbacks: Setbacks::default(),
            named: AtomicU32::new(0),
        };
        if pass.run().await? == Went::PartOfTheWay || !self.goes_on() {
            return Ok(());
        }
        let command = Command::EndRewrap(EndRewrap { pass: number });
        if let Some(Effect::RewrapEnded(ended)) = self.change(command, Action::KmsRewrapEnd).await? {
            self.note_end(&ended);
        }
        Ok(())
    }

    fn note_end(&self, ended: &EndedPass) {
        let (pass, complete) = (ended.pass, ended.complete);
        self.metrics.rewrap_pass(complete);
        let (scanned, rewrapped, failed) = (pass.scanned, pass.rewrapped, pass.failed);
        if complete {
            self.agenda.passes.succeeded();
            tracing::info!(pass = pass.number, scanned, rewrapped, failed, "re-wrapping has ended");
        } else {
            self.agenda.passes.failed();
            tracing::warn!(pass = pass.number, scanned, rewrapped, failed, "re-wrapping left something over");
        }
    }

    /// A refusal says that another node came first: there is nothing left to do.
    async fn change(&self, command: Command, action: Action) -> Result<Option<Effect>, Failure> {
        let mut trail = Trail::of_worker(Arc::clone(&self.audit), self.request_ids.next(), "rewrap", action);
        match self.replica.change(command, &mut trail).await {
            Ok(effect) => Ok(Some(effect)),
            Err(ChangeFailure::Refused(refusal)) => {
                tracing::debug!("re-wrapping: {refusal}");
                trail.take_back(Outcome::Conflict).await?;
                Ok(None)
            }
            Err(ChangeFailure::Failed(failure)) => {
                trail.take_back(Outcome::Unavailable).await?;
                Err(failure)
            }
        }
    }

    fn goes_on(&self) -> bool {
        self.replica.is_leader() && !self.stop.is_cancelled()
    }
}

/// Whether `current` asks for a pass where `target` is what everything is, or will be, wrapped by.
fn is_newer(current: &WrapEpoch, target: &WrapEpoch) -> bool {
    current.kms_key_id != target.kms_key_id || current.rotation_at > target.rotation_at
}
