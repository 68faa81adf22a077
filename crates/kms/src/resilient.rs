//! What stands before every key provider: retries, limits of time and number, and a circuit that opens while the
//! provider can't be reached.
//!
//! Only what may go better is tried again: a provider that is throttled, out of time or down. A denied permission or
//! an altered key is an answer.

use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::ports::Entropy;
use hyperion_vault_crypto::{DataKey, EncryptionContext};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::backoff;
use crate::circuit::{Circuit, Got, Leave, Turned};
use crate::observe::{CallResult, KmsObserver, Operation};
use crate::provider::{CurrentKey, GeneratedDataKey, KeyProvider, KmsError, Outage, WrappedDataKey};

/// Longest time of one attempt.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(2);
/// Longest time of one call with all of its attempts. Two calls, the most that one request makes one after the
/// other, leave a client less than ten seconds without an answer.
pub const CALL_MAX: Duration = Duration::from_secs(4);
/// Until when an attempt of a call may begin. What runs out of time then had at least a second, and says something
/// about the provider rather than about the time that was left.
const BEGIN_MAX: Duration = Duration::from_secs(3);
/// Calls to the provider at once; more wait, within the time of their call.
const CALLS_AT_ONCE_MAX: usize = 64;
/// How long a round trip vouches for the provider.
const HEALTHY_FOR: Duration = Duration::from_secs(30);
/// How long a failed one is repeated instead of making another.
const UNHEALTHY_FOR: Duration = Duration::from_secs(5);

/// How patient to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResilientConfig {
    /// How often a call that didn't get through is made again; zero: never.
    pub retries_max: u32,
}

/// A key provider that is called with patience, but not with more than a client has.
pub struct ResilientKeys<P> {
    provider: P,
    config: ResilientConfig,
    entropy: Arc<dyn Entropy>,
    observer: Arc<dyn KmsObserver>,
    circuit: Circuit,
    /// What the circuit was last opened by.
    opened_by: std::sync::Mutex<String>,
    places: Semaphore,
    /// The last round trip, when it ended and how.
    last_trip: Mutex<Option<(Instant, Result<(), KmsError>)>>,
}

impl<P: KeyProvider> ResilientKeys<P> {
    #[must_use]
    pub fn new(
        provider: P,
        config: ResilientConfig,
        entropy: Arc<dyn Entropy>,
        observer: Arc<dyn KmsObserver>,
    ) -> ResilientKeys<P> {
        ResilientKeys {
            provider,
            config,
            entropy,
            observer,
            circuit: Circuit::default(),
            opened_by: std::sync::Mutex::default(),
            places: Semaphore::new(CALLS_AT_ONCE_MAX),
            last_trip: Mutex::new(None),
        }
    }

    /// The first answer, or what the last attempt came to that time and number of retries allow.
    async fn call<T, Calling>(
        &self,
        operation: Operation,
        attempt: impl Fn() -> Calling + Send + Sync,
    ) -> Result<T, KmsError>
    where
        Calling: Future<Output = Result<T, KmsError>> + Send,
        T: Send,
    {
        let begun = Instant::now();
        let mut failures = 0;
        loop {
            let answered = self.attempt(operation, begun, &attempt).await;
            let Err(KmsError::Unavailable { outage, .. }) = &answered else { return answered };
            failures += 1;
            let again_at = Instant::now() + backoff::pause(*outage, failures, &*self.entropy);
            let late = again_at > begun + BEGIN_MAX;
            if late || failures > self.config.retries_max || !self.circuit.is_closed() {
                return answered;
            }
            sleep_until(again_at).await;
        }
    }

    /// One attempt of the call that was begun then.
    async fn attempt<T, Calling>(
        &self,
        operation: Operation,
        call_begun: Instant,
        attempt: &(impl Fn() -> Calling + Send + Sync),
    ) -> Result<T, KmsError>
    where
        Calling: Future<Output = Result<T, KmsError>> + Send,
        T: Send,
    {
        let (_place, leave) = match self.enter(call_begun + BEGIN_MAX).await {
            Ok(entered) => entered,
            Err(turned_away) => {
                let turned_away = Err(turned_away);
                self.observer.called(operation, CallResult::of(&turned_away), Duration::ZERO);
                return turned_away;
            }
        };
        let begun = Instant::now();
        let until = (begun + ATTEMPT_MAX).min(call_begun + CALL_MAX);
        let answered = timeout_at(until, attempt()).await;
        let answered = answered.unwrap_or_else(|_| Err(timed_out(begun.elapsed())));
        self.observer.called(operation, CallResult::of(&answered), begun.elapsed());
        let turned = leave.ended(got(&answered));
        self.report(turned, answered.as_ref().err());
        answered
    }

    /// A place among the calls, by then, and the circuit's leave to make one.
    async fn enter(&self, by: Instant) -> Result<(SemaphorePermit<'_>, Leave<'_>), KmsError> {
        let Ok(Ok(place)) = timeout_at(by, self.places.acquire()).await else { return Err(crowded()) };
        let leave = self.circuit.enter().ok_or_else(|| self.circuit_open())?;
        Ok((place, leave))
    }

    fn report(&self, turned: Option<Turned>, error: Option<&KmsError>) {
        match (turned, error) {
            (Some(Turned::Closed), _) => tracing::info!("key management can be reached again"),
            (Some(Turned::Open), Some(error)) => {
                tracing::warn!("key management is not asked for a while: {error}");
                *self.opened_by.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
            }
            _ => {}
        }
    }

    fn circuit_open(&self) -> KmsError {
        let why = self.opened_by.lock().unwrap_or_else(PoisonError::into_inner);
        KmsError::Unavailable {
            outage: Outage::CircuitOpen,
            detail: format!("it is not asked for now, as {why}"),
        }
    }

    async fn round_trip(&self) -> Result<(), KmsError> {
        let context = EncryptionContext::for_probe();
        let made = self.generate_data_key(&context).await?;
        self.unwrap_data_key(&made.wrapped, &context).await.map(|_| ())
    }
}

/// It is this process that asks for too much.
fn crowded() -> KmsError {
    let detail = format!("{CALLS_AT_ONCE_MAX} calls at once left no place for this one");
    KmsError::Unavailable { outage: Outage::Throttled, detail }
}

fn timed_out(after: Duration) -> KmsError {
    let detail = format!("no answer within {:.1} s", after.as_secs_f32());
    KmsError::Unavailable { outage: Outage::TimedOut, detail }
}

fn got<T>(answered: &Result<T, KmsError>) -> Got {
    match answered {
        Err(KmsError::Unavailable { outage: Outage::TimedOut, .. }) => Got::TimedOut,
        Err(KmsError::Unavailable { outage, .. }) if *outage != Outage::Throttled => Got::Nowhere,
        _ => Got::Through,
    }
}

#[async_trait]
impl<P: KeyProvider> KeyProvider for ResilientKeys<P> {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, KmsError> {
        self.call(Operation::Generate, || self.provider.generate_data_key(context)).await
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        self.call(Operation::Unwrap, || self.provider.unwrap_data_key(wrapped, context)).await
    }

    async fn rewrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError> {
        self.call(Operation::Rewrap, || self.provider.rewrap_data_key(wrapped, context)).await
    }

    async fn current_key(&self) -> Result<CurrentKey, KmsError> {
        self.call(Operation::CurrentKey, || self.provider.current_key()).await
    }

    /// Fine when a key could be made and unwrapped lately; else tries, for all who ask at once.
    async fn health(&self) -> Result<(), KmsError> {
        let mut last = self.last_trip.lock().await;
        match &*last {
            Some((at, Ok(()))) if self.circuit.is_closed() && at.elapsed() < HEALTHY_FOR => return Ok(()),
            Some((at, failed @ Err(_))) if at.elapsed() < UNHEALTHY_FOR => return failed.clone(),
            _ => {}
        }
        let tripped = self.round_trip().await;
        *last = Some((Instant::now(), tripped.clone()));
        tripped
    }

    fn is_reachable(&self) -> bool {
        self.circuit.is_closed() && self.provider.is_reachable()
    }
}
