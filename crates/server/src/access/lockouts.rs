//! The lockouts of this node: core's arithmetic, this node's clock and one lock around both.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyperion_vault_core::lockout::{LockedOut, Lockout, LockoutConfig, Lockouts};
use hyperion_vault_core::policy::AdminPermit;
use hyperion_vault_core::ports::Clock;

use crate::audit::AuditUnavailable;
use crate::failure::Failure;
use crate::trail::Trail;

/// Counts failures by client address, and turns away who had too many.
pub struct LockoutGuard {
    lockouts: Mutex<Lockouts>,
    clock: Arc<dyn Clock>,
}

impl LockoutGuard {
    #[must_use]
    pub fn new(config: LockoutConfig, clock: Arc<dyn Clock>) -> LockoutGuard {
        LockoutGuard { lockouts: Mutex::new(Lockouts::new(config)), clock }
    }

    /// # Errors
    /// [`Failure::LockedOut`].
    pub fn check(&self, client: IpAddr) -> Result<(), Failure> {
        let checked = self.lock().check(client, self.clock.now());
        checked.map_err(locked_out)
    }

    /// Counts one failure of the client.
    pub fn record_failure(&self, client: IpAddr) {
        let begun = self.lock().record_failure(client, self.clock.now());
        if let Some(lockout) = begun {
            tracing::warn!(client = %lockout.client, "locked out after too many failures");
        }
    }

    /// Looks once more before a verdict leaves, and counts it if it is a failure, in one step: of many
    /// guesses that were let in at once, no more than the limit are answered.
    ///
    /// # Errors
    /// [`Failure::LockedOut`].
    pub fn judge(&self, client: IpAddr, failed: bool) -> Result<(), Failure> {
        let now = self.clock.now();
        let mut lockouts = self.lock();
        lockouts.check(client, now).map_err(locked_out)?;
        if failed {
            lockouts.record_failure(client, now);
        }
        Ok(())
    }

    /// The lockouts that hold now.
    #[must_use]
    pub fn list(&self, _: AdminPermit) -> Vec<Lockout> {
        self.lock().list(self.clock.now())
    }

    /// Frees a client. Says whether it was locked out.
    ///
    /// # Errors
    /// [`AuditUnavailable`]: it was not freed.
    pub async fn lift(
        &self,
        _: AdminPermit,
        client: IpAddr,
        trail: &mut Trail,
    ) -> Result<bool, AuditUnavailable> {
        if self.lock().check(client, self.clock.now()).is_ok() {
            return Ok(false);
        }
        trail.record_before_change().await?;
        Ok(self.lock().lift(client, self.clock.now()))
    }

    fn lock(&self) -> MutexGuard<'_, Lockouts> {
        self.lockouts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn locked_out(locked: LockedOut) -> Failure {
    Failure::LockedOut { retry_after: locked.retry_after }
}
