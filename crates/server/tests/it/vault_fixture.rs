//! The use cases of secrets on a cluster of one, with a key provider that does as it is told.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::name::{SecretName, TokenName};
use hyperion_vault_core::policy::{
    Action, Principal, Role, permit_read_by_address, permit_scheduled_rotation,
};
use hyperion_vault_core::secret::{SealedVersion, SecretKind, VersionNumber};
use hyperion_vault_core::state::table::versions;
use hyperion_vault_core::state::{Command, Outcome, Proposal, apply};
use hyperion_vault_core::time::{Seconds, Timestamp};
use hyperion_vault_crypto::{DataKey, EncryptionContext, Material, Plaintext};
use hyperion_vault_kms::{
    CurrentKey, GeneratedDataKey, KeyProvider, KmsError, LocalProvider, WrappedDataKey,
};
use hyperion_vault_server::adapters::entropy::OsEntropy;
use hyperion_vault_server::audit::{AuditConfig, AuditLog};
use hyperion_vault_server::failure::Failure;
use hyperion_vault_server::ports::{Consensus, ProposeFailure, View};
use hyperion_vault_server::replica::Replica;
use hyperion_vault_server::sealing::Sealing;
use hyperion_vault_server::secrets::{NewMaterial, NewSecret, Opened, SecretChange, Secrets, Verdict};
use hyperion_vault_server::trail::Trail;
use tempfile::TempDir;

use crate::audit_fixture::{START_MS, SetClock, log_path, open};

/// In real time; nobody holds it this long.
const HOLD_MAX: Duration = Duration::from_secs(10);

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keeps a held clock from leaping to the next timer while a record is written: the audit log answers from a thread
/// that the clock knows nothing of.
#[derive(Default)]
struct Hold(Mutex<Vec<mpsc::Sender<()>>>);

impl Hold {
    /// From now on, until [`Hold::release`].
    fn take(&self) {
        let (release, released) = mpsc::channel::<()>();
        // Held time doesn't leap while something blocks.
        tokio::task::spawn_blocking(move || released.recv_timeout(HOLD_MAX));
        self.0.lock().unwrap().push(release);
    }

    fn release(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// A provider that does as it is told.
pub(crate) struct Told {
    provider: LocalProvider,
    unwrap_takes: Mutex<Box<dyn Fn(usize) -> Duration + Send>>,
    generate_takes_ms: AtomicU64,
    unwraps: AtomicUsize,
    under_way: AtomicUsize,
    pub(crate) under_way_most: AtomicUsize,
    says_no: Mutex<Option<KmsError>>,
    until_proposed: Arc<Hold>,
}

impl Told {
    fn new(until_proposed: Arc<Hold>) -> Told {
        Told {
            until_proposed,
            provider: LocalProvider::ephemeral(Arc::new(OsEntropy)),
            unwrap_takes: Mutex::new(Box::new(|_| Duration::ZERO)),
            generate_takes_ms: AtomicU64::new(0),
            unwraps: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            under_way_most: AtomicUsize::new(0),
            says_no: Mutex::default(),
        }
    }

    /// `takes` of the number of the call.
    pub(crate) fn unwrap_takes(&self, takes: impl Fn(usize) -> Duration + Send + 'static) {
        *self.unwrap_takes.lock().unwrap() = Box::new(takes);
    }

    pub(crate) fn generate_takes(&self, time: Duration) {
        self.generate_takes_ms.store(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub(crate) fn says(&self, no: KmsError) {
        *self.says_no.lock().unwrap() = Some(no);
    }

    fn answer(&self) -> Result<(), KmsError> {
        self.says_no.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl KeyProvider for Told {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, KmsError> {
        tokio::time::sleep(Duration::from_millis(self.generate_takes_ms.load(Ordering::Relaxed))).await;
        self.answer()?;
        self.until_proposed.take();
        self.provider.generate_data_key(context).await
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        let number = self.unwraps.fetch_add(1, Ordering::Relaxed);
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.under_way_most.fetch_max(under_way, Ordering::Relaxed);
        let takes = (*self.unwrap_takes.lock().unwrap())(number);
        tokio::time::sleep(takes).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.answer()?;
        self.provider.unwrap_data_key(wrapped, context).await
    }

    async fn rewrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError> {
        self.provider.rewrap_data_key(wrapped, context).await
    }

    async fn current_key(&self) -> Result<CurrentKey, KmsError> {
        self.provider.current_key().await
    }

    async fn health(&self) -> Result<(), KmsError> {
        self.answer()
    }
}

/// A cluster of one whose log is this map.
#[derive(Default)]
struct Alone {
    rows: Mutex<Arc<Table>>,
    until_proposed: Arc<Hold>,
}

#[async_trait]
impl Consensus for Alone {
    fn view(&self) -> View {
        Arc::clone(&*self.rows.lock().unwrap()) as View
    }

    async fn propose(&self, command: Command) -> Result<Outcome, ProposeFailure> {
        let proposal = Proposal { stamp: Timestamp::from_unix_ms(START_MS), command, origin: None };
        self.until_proposed.release();
        let mut rows = self.rows.lock().unwrap();
        let rows: &mut Table = Arc::make_mut(&mut rows);
        Ok(apply(&proposal, rows).unwrap())
    }

    async fn barrier(&self) -> Result<(), ProposeFailure> {
        Ok(())
    }

    async fn wait_applied(&self, _index: u64, _limit: Duration) -> bool {
        true
    }

    fn applied_index(&self) -> u64 {
        0
    }

    fn is_leader(&self) -> bool {
        true
    }

    fn standing(&self) -> Result<(), String> {
        Ok(())
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}

pub(crate) struct Vault {
    pub(crate) keys: Arc<Told>,
    cluster: Arc<Alone>,
    secrets: Secrets,
    audit: Arc<AuditLog>,
    _dir: TempDir,
}

impl Vault {
    pub(crate) fn new() -> Vault {
        let dir = TempDir::new().unwrap();
        let cluster = Arc::new(Alone::default());
        let keys = Arc::new(Told::new(Arc::clone(&cluster.until_proposed)));
        let replica = Arc::new(Replica::new(cluster.clone(), SetClock::new()));
        let sealing = Arc::new(Sealing::new(Arc::clone(&keys) as Arc<_>, Arc::new(OsEntropy)));
        Vault {
            keys,
            cluster,
            secrets: Secrets::new(replica, sealing),
            audit: Arc::new(open(&AuditConfig::at(log_path(dir.path())))),
            _dir: dir,
        }
    }

    /// With secrets of these names, each of which is its own value.
    pub(crate) async fn with(names: &[String]) -> Vault {
        let vault = Vault::new();
        for name in names {
            vault.create(name, opaque(name)).await.unwrap();
        }
        vault
    }

    /// Makes a change that is not a secret's.
    pub(crate) async fn apply(&self, command: Command) -> Outcome {
        self.cluster.propose(command).await.unwrap()
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    pub(crate) fn audit(&self) -> Arc<AuditLog> {
        Arc::clone(&self.audit)
    }

    pub(crate) fn view(&self) -> View {
        self.cluster.view()
    }

    /// A version as it is stored.
    pub(crate) fn sealed(&self, secret: &str, version: u64) -> SealedVersion {
        let stored = versions::get(&*self.cluster.view(), &name(secret), VersionNumber::new(version));
        stored.unwrap().unwrap().sealed
    }

    fn trail(&self) -> Trail {
        Trail::of_request(Arc::clone(&self.audit), "request".to_owned(), IpAddr::from([127, 0, 0, 1]))
    }

    pub(crate) async fn create(&self, secret: &str, material: NewMaterial) -> Result<Opened, Failure> {
        let (minute, hour) = (Seconds::new(60), Seconds::new(3_600));
        let new = NewSecret::parse(SecretKind::Automatic, Some(material), None, Some(minute), Some(hour));
        let permit = admin().authorize(Action::Create, &name(secret)).unwrap();
        self.secrets.create(permit, new.unwrap(), &mut self.trail()).await
    }

    pub(crate) async fn update(&self, secret: &str, material: NewMaterial) -> Result<(), Failure> {
        let change = SecretChange::parse(Some(material), None, None, None, None).unwrap();
        let permit = admin().authorize(Action::Update, &name(secret)).unwrap();
        self.secrets.update(permit, change, &mut self.trail()).await.map(|_| ())
    }

    pub(crate) async fn rotate(&self, secret: &str) -> Result<(), Failure> {
        let permit = permit_scheduled_rotation(&name(secret));
        self.secrets.rotate(permit, &mut self.trail()).await.map(|_| ())
    }

    pub(crate) async fn read(&self, secret: &str) -> Opened {
        self.secrets.read(permit_read_by_address(&name(secret)), None).await.unwrap()
    }

    pub(crate) async fn read_batch(&self, names: &[String]) -> Result<Vec<Option<String>>, Failure> {
        let permits = names.iter().map(|secret| permit_read_by_address(&name(secret))).collect();
        let opened = self.secrets.read_batch(permits).await?;
        Ok(opened.into_iter().map(|opened| opened.map(value)).collect())
    }

    pub(crate) async fn verify(&self, secret: &str, value: &str) -> Result<Verdict, Failure> {
        let permit = permit_read_by_address(&name(secret));
        self.secrets.verify(permit, &Plaintext::from(value.as_bytes())).await
    }
}

fn admin() -> Principal {
    let role = Role::built_in(Timestamp::EPOCH).unwrap();
    Principal { token: TokenName::parse("tester").unwrap(), role }
}

pub(crate) fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("app/{number}")).collect()
}

pub(crate) fn opaque(value: &str) -> NewMaterial {
    NewMaterial::parse(Some(Plaintext::from(value.as_bytes())), None, None).unwrap().unwrap()
}

pub(crate) fn user_pass(username: Option<&str>, password: &str) -> NewMaterial {
    let username = username.map(|text| Plaintext::from(text.as_bytes()));
    NewMaterial::parse(None, username, Some(Plaintext::from(password.as_bytes()))).unwrap().unwrap()
}

fn value(opened: Opened) -> String {
    let Material::Opaque(value) = &opened.material else { panic!("an opaque secret") };
    String::from_utf8(value.expose().to_vec()).unwrap()
}
