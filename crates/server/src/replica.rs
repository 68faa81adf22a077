//! This node's replica of the state: views of it, the time that it is judged by, and the one way to change
//! it.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::state::table::meta;
use hyperion_vault_core::state::table::rewrap::Pass;
use hyperion_vault_core::state::{Command, Effect, Outcome, Refusal, StateFault, preview};
use hyperion_vault_core::time::Timestamp;
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::audit::AuditUnavailable;
use crate::failure::Failure;
use crate::ports::{Consensus, ProposeFailure, View};
use crate::trail::Trail;

/// Locks that the names of secrets share. Two names that fall on one lock wait for each other, no more.
const NAME_LOCKS: usize = 1_024;

/// This node's replica.
pub struct Replica {
    consensus: Arc<dyn Consensus>,
    clock: Arc<dyn Clock>,
    name_locks: Vec<Mutex<()>>,
    grants_lock: Mutex<()>,
    /// Counts the changes after which something may be due earlier than it was.
    schedule_changes: watch::Sender<u64>,
    prepared: OnceLock<()>,
}

/// Why a change was not made.
#[derive(Debug)]
pub enum ChangeFailure {
    /// The state says no.
    Refused(Refusal),
    /// It could not be tried, or nobody knows how it ended.
    Failed(Failure),
}

impl From<ChangeFailure> for Failure {
    fn from(failure: ChangeFailure) -> Failure {
        match failure {
            ChangeFailure::Refused(refusal) => refusal.into(),
            ChangeFailure::Failed(failure) => failure,
        }
    }
}

impl ChangeFailure {
    /// Whether another node changed the secret after this one looked at it: trying again, with what is there now,
    /// may do.
    #[must_use]
    pub fn is_race(&self) -> bool {
        // A secret that was deleted and made anew is another one, and not found as the old.
        matches!(self, ChangeFailure::Refused(Refusal::VersionConflict { .. } | Refusal::SecretNotFound))
    }
}

impl From<Failure> for ChangeFailure {
    fn from(failure: Failure) -> ChangeFailure {
        ChangeFailure::Failed(failure)
    }
}

impl From<AuditUnavailable> for ChangeFailure {
    fn from(unavailable: AuditUnavailable) -> ChangeFailure {
        ChangeFailure::Failed(unavailable.into())
    }
}

impl From<ProposeFailure> for ChangeFailure {
    fn from(failure: ProposeFailure) -> ChangeFailure {
        ChangeFailure::Failed(failure.into())
    }
}

impl Replica {
    #[must_use]
    pub fn new(consensus: Arc<dyn Consensus>, clock: Arc<dyn Clock>) -> Replica {
        Replica {
            consensus,
            clock,
            name_locks: (0..NAME_LOCKS).map(|_| Mutex::new(())).collect(),
            grants_lock: Mutex::new(()),
            schedule_changes: watch::Sender::new(0),
            prepared: OnceLock::new(),
        }
    }

    /// The state as of the latest applied command.
    #[must_use]
    pub fn view(&self) -> View {
        self.consensus.view()
    }

    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.consensus.is_leader()
    }

    /// The last entry that a view taken now shows.
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        self.consensus.applied_index()
    }

    /// Waits until this node has applied the entry at `index`.
    ///
    /// # Errors
    /// [`Failure::Behind`] after `limit`.
    pub async fn wait_applied(&self, index: u64, limit: Duration) -> Result<(), Failure> {
        let applied = self.consensus.wait_applied(index, limit).await;
        if applied { Ok(()) } else { Err(Failure::Behind { applied: self.applied_index() }) }
    }

    /// Makes sure that a view taken from now on shows everything that was acknowledged before this call, on any
    /// node.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when no leader and quorum say so in time.
    pub async fn barrier(&self) -> Result<(), Failure> {
        let passed = self.consensus.barrier().await;
        passed.map_err(|error| Failure::unavailable("no quorum to ask for the latest state now", error))
    }

    /// Looks at the state for what a change rests on. A no of this node's view is only believed when it still is
    /// one with everything applied that was acknowledged by now: it may be another node's change that is missing.
    ///
    /// # Errors
    /// [`Failure`] when the state can't be read, or the no can't be made sure of. Inside, the no.
    pub async fn consult<T, No>(
        &self,
        look: impl Fn(&View) -> Result<Result<T, No>, StateFault>,
    ) -> Result<Result<T, No>, Failure> {
        // The view must not be kept while waiting: it would keep the state's old pages.
        if let Ok(found) = look(&self.view())? {
            return Ok(Ok(found));
        }
        let asked = self.consensus.barrier().await;
        asked.map_err(Failure::from)?;
        Ok(look(&self.view())?)
    }

    /// The time by which expiry and rotation are judged in `view`: the cluster's clock, but never earlier
    /// than a change that has been made.
    ///
    /// # Errors
    /// [`StateFault`].
    pub fn now(&self, view: &View) -> Result<Timestamp, StateFault> {
        Ok(self.clock.now().max(meta::clock(&**view)?))
    }

    /// Keeps this node's other changes of the secret away, so that a version is sealed for the number it
    /// will have. Across nodes the state machine's own check of the version decides.
    pub async fn lock_name(&self, name: &SecretName) -> Option<MutexGuard<'_, ()>> {
        // The hash only spreads names over locks: no result depends on it.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
        let index = usize::try_from(hash % (NAME_LOCKS as u64)).unwrap_or_default();
        Some(self.name_locks.get(index)?.lock().await)
    }

    /// Keeps this node's other changes of roles and tokens away.
    pub async fn lock_grants(&self) -> MutexGuard<'_, ()> {
        self.grants_lock.lock().await
    }

    /// Makes one change: sees what would come of it, records it, proposes it. Another node's change can come
    /// first, and the outcome be another than was foreseen and recorded: whoever ends the trail says how it ended.
    ///
    /// # Errors
    /// [`ChangeFailure`]. A refusal, foreseen or not, changed nothing.
    pub async fn change(&self, command: Command, trail: &mut Trail) -> Result<Effect, ChangeFailure> {
        let foreseen = self.consult(|view| self.foresee(&command, view)).await?;
        note(&foreseen.map_err(ChangeFailure::Refused)?, trail);
        trail.record_before_change().await?;
        let schedules = schedules(&command);
        let outcome = self.consensus.propose(command).await?;
        if schedules {
            self.schedule_changes.send_modify(|changes| *changes = changes.wrapping_add(1));
        }
        match outcome {
            Outcome::Applied(effect) => {
                note(&effect, trail);
                Ok(effect)
            }
            Outcome::Refused(refusal) => Err(ChangeFailure::Refused(refusal)),
        }
    }

    fn foresee(&self, command: &Command, view: &View) -> Result<Result<Effect, Refusal>, StateFault> {
        Ok(match preview(command, self.clock.now(), &**view)? {
            Outcome::Applied(effect) => Ok(effect),
            Outcome::Refused(refusal) => Err(refusal),
        })
    }

    /// Proposes what the vault does of itself and what its worker has recorded, or what is bookkeeping and
    /// leaves no record.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn propose_recorded(&self, command: Command) -> Result<Outcome, Failure> {
        // What meets damage is refused here: in the log it would halt every node that applies it.
        preview(&command, self.clock.now(), &*self.view())?;
        Ok(self.consensus.propose(command).await?)
    }

    /// Wakes when something may have become due earlier than it was.
    #[must_use]
    pub fn schedule_changes(&self) -> watch::Receiver<u64> {
        self.schedule_changes.subscribe()
    }

    /// Whether this node has a state to answer from. One that is not yet prepared is of no cluster, or of one
    /// that can't vouch for anything.
    ///
    /// # Errors
    /// The reason why not.
    pub fn standing(&self) -> Result<(), String> {
        self.consensus.standing()?;
        self.prepared
            .get()
            .ok_or_else(|| "making sure of the cluster's identity and its integrity key".to_owned())?;
        Ok(())
    }

    /// Whether this node can answer for the cluster's state, and have it changed.
    ///
    /// # Errors
    /// The reason why not.
    pub fn readiness(&self) -> Result<(), String> {
        self.standing()?;
        self.consensus.readiness()
    }

    /// Whether the first work of a start can be done.
    ///
    /// # Errors
    /// The reason why not.
    pub(crate) fn can_be_prepared(&self) -> Result<(), String> {
        self.consensus.readiness()
    }

    /// Requests may be let in: this node sees the cluster's identity and its integrity key.
    pub fn note_prepared(&self) {
        self.prepared.get_or_init(|| ());
    }
}

/// What the record says of an effect.
fn note(effect: &Effect, trail: &mut Trail) {
    match effect {
        Effect::Secret(secret) => trail.version(secret.current.get()),
        Effect::Pending(secret) => trail.version(secret.current.next().get()),
        Effect::RewrapBegun { number } => trail.pass(&Pass { number: *number, ..Pass::default() }),
        Effect::RewrapEnded(ended) => trail.pass(&ended.pass),
        _ => {}
    }
}

fn schedules(command: &Command) -> bool {
    matches!(
        command,
        Command::CreateSecret(_)
            | Command::UpdateSecret(_)
            | Command::RotateSecret(_)
            | Command::PrepareRotation(_)
            | Command::HastenRotation(_)
    )
}
