//! A provider that answers as it is told to, and counts.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_crypto::DataKey;
use hyperion_vault_kms::{
    CallResult, CurrentKey, EncryptionContext, GeneratedDataKey, KeyProvider, KmsError, KmsObserver,
    LocalProvider, Operation, Outage, WrappedDataKey,
};

use crate::fixture::local_provider;

/// How a call ends.
#[derive(Clone)]
pub(crate) enum Ends {
    Well,
    With(KmsError),
    Never,
}

/// What is scripted comes first; then every call ends as `afterwards` says.
pub(crate) struct Scripted {
    local: LocalProvider,
    script: Mutex<VecDeque<Ends>>,
    afterwards: Mutex<Ends>,
    takes: Mutex<Duration>,
    calls: AtomicUsize,
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
}

pub(crate) fn outage(outage: Outage) -> Ends {
    Ends::With(KmsError::Unavailable { outage, detail: "scripted".to_owned() })
}

impl Scripted {
    pub(crate) fn new(script: impl IntoIterator<Item = Ends>, afterwards: Ends) -> Scripted {
        Scripted {
            local: local_provider(),
            script: Mutex::new(script.into_iter().collect()),
            afterwards: Mutex::new(afterwards),
            takes: Mutex::default(),
            calls: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            at_once_max: AtomicUsize::new(0),
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn at_once_max(&self) -> usize {
        self.at_once_max.load(Ordering::SeqCst)
    }

    pub(crate) fn end_from_now_on(&self, ends: Ends) {
        *self.afterwards.lock().unwrap() = ends;
    }

    pub(crate) fn take(&self, takes: Duration) {
        *self.takes.lock().unwrap() = takes;
    }

    async fn end(&self) -> Result<(), KmsError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once_max.fetch_max(at_once, Ordering::SeqCst);
        let _under_way = UnderWay(&self.at_once);
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        let scripted = self.script.lock().unwrap().pop_front();
        match scripted.unwrap_or_else(|| self.afterwards.lock().unwrap().clone()) {
            Ends::Well => Ok(()),
            Ends::With(error) => Err(error),
            Ends::Never => std::future::pending().await,
        }
    }
}

/// Counted out also when nobody waits for the end any more.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl KeyProvider for Scripted {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, KmsError> {
        self.end().await?;
        self.local.generate_data_key(context).await
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        self.end().await?;
        self.local.unwrap_data_key(wrapped, context).await
    }

    async fn rewrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError> {
        self.end().await?;
        self.local.rewrap_data_key(wrapped, context).await
    }

    async fn current_key(&self) -> Result<CurrentKey, KmsError> {
        self.end().await?;
        self.local.current_key().await
    }

    async fn health(&self) -> Result<(), KmsError> {
        self.end().await
    }
}

/// Remembers what it was told.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<(Operation, CallResult)>>);

impl KmsObserver for Told {
    fn called(&self, operation: Operation, result: CallResult, _: Duration) {
        self.0.lock().unwrap().push((operation, result));
    }
}

impl Told {
    pub(crate) fn all(&self) -> Vec<(Operation, CallResult)> {
        self.0.lock().unwrap().clone()
    }
}
