//! What stands before every key provider: retries, limits of time and number, and a circuit that opens while the
//! provider can't be reached.
//!
//! Only what may go better is tried again: a provider that is throttled, out of time or down. A denied permission or
//! an altered key is an answer.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::ports::Entropy;
use hyperion_vault_crypto::{DataKey, EncryptionContext};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::backoff;
use crate::circuit::{Circuit, Got};
use crate::observe::{CallResult, KmsObserver, Operation};
use crate::provider::{CurrentKey, GeneratedDataKey, KeyProvider, KmsError, Outage, WrappedDataKey};

/// Longest time of one attempt.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(2);
/// Longest time of one call with all of its attempts. Two calls, the most that one request makes one after the
/// other, leave a client less than ten seconds without an answer.
pub const CALL_MAX: Duration = Duration::from_secs(4);
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
            places: Semaphore::new(CALLS_AT_ONCE_MAX),
            last_trip: Mutex::new(None),
        }
    }

    async fn call<T, Calling>(
        &self,
        operation: Operation,
        attempt: impl Fn() -> Calling + Send + Sync,
    ) -> Result<T, KmsError>
    where
        Calling: Future<Output = Result<T, KmsError>> + Send,
        T: Send,
    {
        match timeout(CALL_MAX, self.attempts(operation, attempt)).await {
            Ok(answered) => answered,
            Err(_) => {
                let detail = format!("no answer within {} s", CALL_MAX.as_secs());
                Err(KmsError::Unavailable { outage: Outage::TimedOut, detail })
            }
        }
    }

    async fn attempts<T, Calling>(
        &self,
        operation: Operation,
        attempt: impl Fn() -> Calling + Send + Sync,
    ) -> Result<T, KmsError>
    where
        Calling: Future<Output = Result<T, KmsError>> + Send,
        T: Send,
    {
        let mut failures = 0;
        loop {
            let answered = self.attempt(operation, attempt()).await;
            let Err(KmsError::Unavailable { outage, .. }) = &answered else { return answered };
            failures += 1;
            if failures > self.config.retries_max || !self.circuit.is_closed() {
                return answered;
            }
            sleep(backoff::pause(*outage, failures, &*self.entropy)).await;
        }
    }

    async fn attempt<T>(
        &self,
        operation: Operation,
        calling: impl Future<Output = Result<T, KmsError>> + Send,
    ) -> Result<T, KmsError> {
        // A semaphore that nobody closes has a place in the end.
        let _place = self.places.acquire().await;
        let Some(leave) = self.circuit.enter() else {
            self.observer.called(operation, CallResult::Unavailable(Outage::CircuitOpen), Duration::ZERO);
            return Err(circuit_open());
        };
        let begun = Instant::now();
        let answered = timeout(ATTEMPT_MAX, calling).await.unwrap_or_else(|_| Err(attempt_timed_out()));
        leave.ended(got(&answered));
        self.observer.called(operation, CallResult::of(&answered), begun.elapsed());
        answered
    }

    async fn round_trip(&self) -> Result<(), KmsError> {
        let context = EncryptionContext::for_probe();
        let made = self.generate_data_key(&context).await?;
        self.unwrap_data_key(&made.wrapped, &context).await.map(|_| ())
    }
}

fn circuit_open() -> KmsError {
    let detail = "it could not be reached lately and is not asked for now".to_owned();
    KmsError::Unavailable { outage: Outage::CircuitOpen, detail }
}

fn attempt_timed_out() -> KmsError {
    let detail = format!("no answer within {} s", ATTEMPT_MAX.as_secs());
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
