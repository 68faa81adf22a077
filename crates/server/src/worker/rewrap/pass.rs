//! One pass: every data key that isn't wrapped by the target, in the order of the index of wraps.
//!
//! What is done has left the index, so that whoever goes on, after a stop or as another leader, begins at its front
//! and does nothing twice.

use std::fmt::Display;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use hyperion_vault_core::limits::COMMAND_ITEMS_MAX;
use hyperion_vault_core::state::command::{RewrapKeys, RewrappedKey, RewrappedVersion};
use hyperion_vault_core::state::table::rewrap;
use hyperion_vault_core::state::table::wraps::{self, Wrap};
use hyperion_vault_core::state::table::{meta, versions};
use hyperion_vault_core::state::{Command, Effect, Outcome, Refusal};
use hyperion_vault_core::wrap::{WrapEpoch, wrapped_fingerprint};
use hyperion_vault_crypto::EncryptionContext;
use hyperion_vault_kms::{KeyProvider, KmsError, WrappedDataKey};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::pace::{Pace, Setbacks};
use crate::failure::Failure;
use crate::replica::Replica;

/// Calls to key management at once: enough to hide how long one takes, too few to be felt by requests.
const CALLS_AT_ONCE: usize = 8;
/// What was re-wrapped within this long is replicated together.
const GATHER: Duration = Duration::from_secs(1);
/// How often a pass that waits looks whether this node still leads.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Failures of one pass that the log names; the rest only count.
const NAMED_FAILURES_MAX: u32 = 100;

/// One pass, on the node that leads.
pub(super) struct Pass<'a> {
    pub(super) replica: &'a Replica,
    pub(super) keys: &'a dyn KeyProvider,
    pub(super) stop: &'a CancellationToken,
    pub(super) number: u64,
    pub(super) target: WrapEpoch,
    pub(super) pace: Pace,
    pub(super) setbacks: Setbacks,
    /// Failures that the log was told.
    pub(super) named: AtomicU32,
}

/// How far a node went with a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Went {
    /// Everything was tried, or going on leads nowhere: the pass is to be ended.
    Through,
    /// Another node goes on with it, or has ended it; or this one goes on after its next start.
    PartOfTheWay,
}

/// What became of one version.
enum Tried {
    Rewrapped(RewrappedVersion),
    /// It was removed meanwhile.
    Gone,
    Failed,
    /// It was not tried.
    Left,
}

/// Why a data key isn't wrapped anew.
enum Miss {
    Failed,
    Left,
}

/// What is to be replicated together.
#[derive(Default)]
struct Batch {
    versions: Vec<RewrappedVersion>,
    integrity_key: Option<RewrappedKey>,
    scanned: u64,
    failed: u64,
    /// Whether nothing of its page comes after it.
    is_last: bool,
}

impl Pass<'_> {
    /// # Errors
    /// [`Failure`] when what was done can't be replicated now, or the state can't be read.
    pub(super) async fn run(&self) -> Result<Went, Failure> {
        let mut last = None;
        while !self.setbacks.are_too_many() {
            let page = wraps::pending(&*self.replica.view(), &self.target, last.as_ref(), COMMAND_ITEMS_MAX)?;
            if page.is_empty() {
                return self.rewrap_integrity_key().await;
            }
            last = page.last().cloned();
            if self.sweep(page).await? == Went::PartOfTheWay {
                return Ok(Went::PartOfTheWay);
            }
        }
        tracing::error!(pass = self.number, "re-wrapping is given up for now: too much failed in a row");
        Ok(Went::Through)
    }

    /// Tries each version of the page, and replicates what came of them.
    async fn sweep(&self, page: Vec<Wrap>) -> Result<Went, Failure> {
        let tries = stream::iter(page).map(|wrap| self.rewrap_version(wrap));
        let mut tried = pin!(tries.buffer_unordered(CALLS_AT_ONCE));
        loop {
            let gathered = self.unless_interrupted(gather(&mut tried)).await;
            let Some(batch) = gathered else { return Ok(Went::PartOfTheWay) };
            let is_last = batch.is_last;
            if self.replicate(batch).await? == Went::PartOfTheWay {
                return Ok(Went::PartOfTheWay);
            }
            if is_last {
                return Ok(Went::Through);
            }
        }
    }

    async fn rewrap_version(&self, wrap: Wrap) -> Tried {
        let of = format!("secret {} version {}", wrap.name, wrap.version.get());
        let stored = match versions::get(&*self.replica.view(), &wrap.name, wrap.version) {
            Ok(Some(version)) => version.sealed,
            Ok(None) => return Tried::Gone,
            Err(fault) => {
                self.note_refusal(&of, &fault);
                return Tried::Failed;
            }
        };
        let wrapped = WrappedDataKey { key_id: stored.kms_key_id, bytes: stored.wrapped_data_key };
        let context = EncryptionContext::for_version(&wrap.name, wrap.version);
        match self.rewrap(&of, &wrapped, &context).await {
            Ok(key) => Tried::Rewrapped(RewrappedVersion { name: wrap.name, version: wrap.version, key }),
            Err(Miss::Failed) => Tried::Failed,
            Err(Miss::Left) => Tried::Left,
        }
    }

    /// The integrity key comes last. It is no version: of the counts it can only raise the failed ones.
    async fn rewrap_integrity_key(&self) -> Result<Went, Failure> {
        let view = self.replica.view();
        let (pending, cluster) = (rewrap::pending(&*view)?.integrity_key, meta::cluster(&*view)?);
        let stored = meta::integrity_key(&*view)?.filter(|_| pending);
        drop(view);
        let (Some(cluster), Some(stored)) = (cluster, stored) else { return Ok(Went::Through) };
        let wrapped = WrappedDataKey { key_id: stored.kms_key_id, bytes: stored.wrapped };
        let context = EncryptionContext::for_integrity_key(&cluster.id);
        let rewrapped = self.rewrap(&"the integrity key", &wrapped, &context);
        let batch = match self.unless_interrupted(rewrapped).await {
            None | Some(Err(Miss::Left)) => return Ok(Went::PartOfTheWay),
            Some(Ok(key)) => Batch { integrity_key: Some(key), ..Batch::default() },
            Some(Err(Miss::Failed)) => Batch { failed: 1, ..Batch::default() },
        };
        self.replicate(batch).await
    }

    /// Has one data key wrapped by the target. What doesn't get through is tried again; what is refused, isn't.
    async fn rewrap(
        &self,
        of: &(dyn Display + Sync),
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<RewrappedKey, Miss> {
        loop {
            self.setbacks.pause().await;
            self.pace.turn().await;
            if !self.goes_on() || self.setbacks.are_too_many() {
                return Err(Miss::Left);
            }
            match self.keys.rewrap_data_key(wrapped, context).await {
                Ok(key) if key.key_id == self.target.kms_key_id => {
                    self.setbacks.success();
                    let replaces = wrapped_fingerprint(&wrapped.bytes);
                    return Ok(RewrappedKey { replaces, kms_key_id: key.key_id, wrapped: key.bytes });
                }
                Ok(key) => {
                    let error = format!(
                        "this node wraps by the master key {}, the pass is for {}; all nodes must be set to one",
                        key.key_id, self.target.kms_key_id
                    );
                    self.note_refusal(of, &error);
                    return Err(Miss::Failed);
                }
                Err(error @ KmsError::Unavailable { .. }) => {
                    self.note_outage(&error);
                    if self.setbacks.are_too_many() {
                        return Err(Miss::Failed);
                    }
                }
                Err(error) => {
                    self.note_refusal(of, &error);
                    return Err(Miss::Failed);
                }
            }
        }
    }

    async fn replicate(&self, batch: Batch) -> Result<Went, Failure> {
        if batch.scanned == 0 && batch.failed == 0 && batch.integrity_key.is_none() {
            return Ok(Went::Through);
        }
        let Batch { versions, integrity_key, scanned, failed, .. } = batch;
        let command = RewrapKeys { pass: self.number, versions, integrity_key, scanned, failed };
        match self.replica.propose_recorded(Command::RewrapKeys(command)).await? {
            Outcome::Applied(Effect::Rewrapped(_)) => Ok(Went::Through),
            Outcome::Refused(Refusal::RewrapEnded) => Ok(Went::PartOfTheWay),
            other => Err(Failure::internal(format!("a command on re-wrapping came to {other:?}"))),
        }
    }

    fn note_refusal(&self, of: &dyn Display, error: &dyn Display) {
        self.setbacks.refusal();
        if self.named.fetch_add(1, Ordering::Relaxed) < NAMED_FAILURES_MAX {
            tracing::error!(pass = self.number, "the data key of {of} can't be re-wrapped: {error}");
        }
    }

    fn note_outage(&self, error: &KmsError) {
        if let Some(pause) = self.setbacks.outage() {
            tracing::warn!(pass = self.number, pause_secs = pause.as_secs(), "re-wrapping pauses: {error}");
        }
    }

    fn goes_on(&self) -> bool {
        self.replica.is_leader() && !self.stop.is_cancelled()
    }

    /// What comes of `work`; nothing once it is no more this node's to do.
    async fn unless_interrupted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let interrupted = async {
            while self.goes_on() {
                self.stop.run_until_cancelled(sleep(LOOK_INTERVAL)).await;
            }
        };
        let done = tokio::select! {
            biased;
            () = interrupted => None,
            done = work => Some(done),
        };
        // It may have ended between two looks, early because this node leads no more.
        done.filter(|_| self.goes_on())
    }
}

/// What comes within [`GATHER`].
async fn gather(tried: &mut (impl Stream<Item = Tried> + Unpin)) -> Batch {
    let mut batch = Batch::default();
    let until = Instant::now() + GATHER;
    while let Ok(next) = timeout_at(until, tried.next()).await {
        match next {
            Some(tried) => batch.add(tried),
            None => {
                batch.is_last = true;
                break;
            }
        }
    }
    batch
}

impl Batch {
    fn add(&mut self, tried: Tried) {
        self.scanned += u64::from(!matches!(tried, Tried::Left));
        match tried {
            Tried::Rewrapped(version) => self.versions.push(version),
            Tried::Failed => self.failed += 1,
            Tried::Gone | Tried::Left => {}
        }
    }
}
