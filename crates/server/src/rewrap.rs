//! The use cases of re-wrapping: moving every data key onto the newest material of the current master key.
//!
//! Which key that is, and whether a pass is running, is part of the replicated state. Any node begins a pass; the
//! leader's worker runs it (`worker/rewrap.rs`).

use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::policy::AdminPermit;
use hyperion_vault_core::state::command::BeginRewrap;
use hyperion_vault_core::state::table::meta;
use hyperion_vault_core::state::table::rewrap::{self, EndedPass, Pending, Rewrap};
use hyperion_vault_core::state::{Command, Effect, REWRAP_SINCE, Refusal, StateFault};
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_core::wrap::WrapEpoch;
use hyperion_vault_kms::KeyProvider;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::ports::{ProposeFailure, View};
use crate::replica::{ChangeFailure, Replica};
use crate::trail::Trail;

/// How long who asked for a pass waits for its end.
const PASS_WAIT_MAX: Duration = Duration::from_secs(600);
/// How often he looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long a report waits for the KMS to name its newest rotation.
const LATEST_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long who asks for a pass right after a start or an upgrade waits until the cluster knows of passes.
const LEVEL_WAIT_MAX: Duration = Duration::from_secs(3);
/// Where to look for the end of a pass that nobody waits for any more.
const GOES_ON: &str = "the pass goes on; GET /v1/admin/kms/rewrap/status tells how it ends";

/// What can be done about re-wrapping.
pub struct Rewrapping {
    replica: Arc<Replica>,
    keys: Arc<dyn KeyProvider>,
    enabled: bool,
    stop: CancellationToken,
}

/// How far re-wrapping is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Whether the vault looks for rotations of itself.
    pub enabled: bool,
    /// Absent before there was a reason for any pass.
    pub agreed: Option<Rewrap>,
    pub pending: Pending,
    /// The newest that the KMS knows, or, while it can't be asked, the state.
    pub latest_rotation_at: Option<Timestamp>,
}

impl Rewrapping {
    /// `stop` tells those who wait that this node ends.
    #[must_use]
    pub fn new(
        replica: Arc<Replica>,
        keys: Arc<dyn KeyProvider>,
        enabled: bool,
        stop: CancellationToken,
    ) -> Rewrapping {
        Rewrapping { replica, keys, enabled, stop }
    }

    /// Begins a pass over all data keys and waits for its end.
    ///
    /// # Errors
    /// [`Failure::Conflict`] while another one is running, or while a member is of a version that knows of none;
    /// [`Failure::Unavailable`] when the KMS can't be asked, or the pass takes longer than anybody waits.
    pub async fn force(&self, _: AdminPermit, trail: &mut Trail) -> Result<EndedPass, Failure> {
        self.level_reached().await?;
        // Not worth a call to the KMS.
        self.replica.consult(may_begin).await??;
        let current = self.keys.current_key().await?;
        let target = WrapEpoch { kms_key_id: current.key_id, rotation_at: current.rotated_at };
        match self.replica.change(Command::BeginRewrap(BeginRewrap { target }), trail).await {
            Ok(Effect::RewrapBegun { number }) => self.end_of(number, trail).await,
            Ok(_) => Err(Failure::internal("a command on re-wrapping had another effect")),
            Err(ChangeFailure::Refused(refusal @ Refusal::RotationPassed)) => {
                Err(Failure::unavailable("key management doesn't show its newest rotation yet", refusal))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// A cluster that was formed just now is about to raise its level; one of mixed versions stays below it.
    async fn level_reached(&self) -> Result<(), Failure> {
        let until = Instant::now() + LEVEL_WAIT_MAX;
        while meta::feature_level(&*self.replica.view())? < REWRAP_SINCE && Instant::now() < until {
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// Waits in this node's view, whichever node runs the pass, and whoever leads by then.
    async fn end_of(&self, number: u64, trail: &mut Trail) -> Result<EndedPass, Failure> {
        let until = Instant::now() + PASS_WAIT_MAX;
        loop {
            let last = rewrap::get(&*self.replica.view())?.and_then(|rewrap| rewrap.last);
            match last {
                Some(ended) if ended.pass.number == number => return Ok(ended),
                Some(later) if later.pass.number > number => {
                    return Err(Failure::unavailable("the pass has ended, and others since", "overtaken"));
                }
                _ if self.stop.is_cancelled() || Instant::now() >= until => {
                    trail.detail("the pass goes on");
                    return Err(Failure::unavailable(GOES_ON, "nobody waits for the pass any longer"));
                }
                _ => sleep(LOOK_INTERVAL).await,
            }
        }
    }

    /// How far re-wrapping is, without a look at any version.
    ///
    /// # Errors
    /// [`Failure`] when the state can't be read.
    pub async fn overview(&self, _: AdminPermit) -> Result<Overview, Failure> {
        let view = self.replica.view();
        let (agreed, pending) = (rewrap::get(&*view)?, rewrap::pending(&*view)?);
        drop(view);
        let known = agreed.as_ref().and_then(|agreed| agreed.target.rotation_at);
        let latest_rotation_at = match timeout(LATEST_WAIT_MAX, self.keys.current_key()).await {
            Ok(Ok(current)) => current.rotated_at,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the newest rotation of the master key can't be asked for");
                known
            }
            Err(_) => known,
        };
        Ok(Overview { enabled: self.enabled, agreed, pending, latest_rotation_at })
    }
}

/// Whether a pass can begin, as far as the state says.
fn may_begin(view: &View) -> Result<Result<(), Failure>, StateFault> {
    let level = meta::feature_level(&**view)?;
    if level < REWRAP_SINCE {
        return Ok(Err(ProposeFailure::NotYetSupported { needed: REWRAP_SINCE, level }.into()));
    }
    let running = rewrap::get(&**view)?.is_some_and(|rewrap| rewrap.pass.is_some());
    Ok(if running { Err(Refusal::RewrapRunning.into()) } else { Ok(()) })
}
