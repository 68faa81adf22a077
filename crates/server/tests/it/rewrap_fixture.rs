//! Two nodes that share a log, and a key management service that does as it is told.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::name::{SecretName, TokenName};
use hyperion_vault_core::policy::{AdminPermit, Principal, Role};
use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::secret::{SealedVersion, SecretFormat, SecretId, SecretKind, VersionNumber};
use hyperion_vault_core::state::command::{
    CreateSecret, InitializeCluster, InstallIntegrityKey, RaiseFeatureLevel,
};
use hyperion_vault_core::state::table::meta::{self, WrappedIntegrityKey};
use hyperion_vault_core::state::table::rewrap::{self, EndedPass, Pending, Rewrap as Agreed};
use hyperion_vault_core::state::table::versions;
use hyperion_vault_core::state::{Command, Outcome, Proposal, REWRAP_SINCE, Rows, apply};
use hyperion_vault_core::time::{Seconds, Timestamp};
use hyperion_vault_core::wrap::WrapEpoch;
use hyperion_vault_crypto::{DataKey, EncryptionContext};
use hyperion_vault_kms::{CurrentKey, GeneratedDataKey, KeyProvider, KmsError, Outage, WrappedDataKey};
use hyperion_vault_server::adapters::entropy::OsEntropy;
use hyperion_vault_server::audit::{Action, AuditConfig, AuditLog, Record};
use hyperion_vault_server::config;
use hyperion_vault_server::failure::Failure;
use hyperion_vault_server::ports::{Consensus, ProposeFailure, View};
use hyperion_vault_server::replica::Replica;
use hyperion_vault_server::request_id::RequestIds;
use hyperion_vault_server::rewrap::{Overview, Rewrapping};
use hyperion_vault_server::telemetry::Metrics;
use hyperion_vault_server::trail::Trail;
use hyperion_vault_server::worker::{Agenda, Job, Rewrap};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::audit_fixture::{START_MS, log_path, open, records};

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) const CLUSTER_ID: [u8; 16] = [1; 16];
pub(crate) const POLL: Duration = Duration::from_secs(3_600);

/// What the KMS answers to the call of this number, the first being 1, for this context; `None`: as it should.
type Script = Box<dyn Fn(u64, &str) -> Option<KmsError> + Send>;

/// A KMS whose wrapped keys say by what they are wrapped, for which context and how often they were.
pub(crate) struct Kms {
    current: Mutex<CurrentKey>,
    script: Mutex<Script>,
    /// Time of each call to re-wrap.
    pub(crate) calls: Mutex<Vec<Instant>>,
    call_takes_ms: AtomicU64,
    looks: AtomicU64,
    hangs: AtomicBool,
}

impl Kms {
    pub(crate) fn current(&self) -> CurrentKey {
        self.current.lock().unwrap().clone()
    }

    pub(crate) fn rotate_at(&self, ms: u64) {
        self.current.lock().unwrap().rotated_at = Some(Timestamp::from_unix_ms(ms));
    }

    pub(crate) fn use_key(&self, key_id: &str) {
        *self.current.lock().unwrap() = CurrentKey { key_id: key_id.to_owned(), rotated_at: None };
    }

    pub(crate) fn answers(&self, script: impl Fn(u64, &str) -> Option<KmsError> + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    pub(crate) fn call_takes(&self, time: Duration) {
        self.call_takes_ms.store(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Nobody is told any more which key is the current one.
    pub(crate) fn hang(&self) {
        self.hangs.store(true, Ordering::Relaxed);
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    pub(crate) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }
}

pub(crate) fn away() -> KmsError {
    KmsError::Unavailable { outage: Outage::Unreachable, detail: "nobody answers".to_owned() }
}

pub(crate) fn tampered() -> KmsError {
    KmsError::Tampered { detail: "not what was wrapped".to_owned() }
}

/// `<key>|<rotation>|<context>|<times re-wrapped>`
fn wrapped(key: &CurrentKey, context: &str, times: u32) -> Vec<u8> {
    format!("{}|{:?}|{context}|{times}", key.key_id, key.rotated_at).into_bytes()
}

fn words(context: &EncryptionContext) -> String {
    let pairs: Vec<_> = context.pairs().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

#[async_trait]
impl KeyProvider for Kms {
    async fn generate_data_key(&self, _: &EncryptionContext) -> Result<GeneratedDataKey, KmsError> {
        Err(away())
    }

    async fn unwrap_data_key(&self, _: &WrappedDataKey, _: &EncryptionContext) -> Result<DataKey, KmsError> {
        Err(away())
    }

    async fn rewrap_data_key(
        &self,
        before: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError> {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(Instant::now());
            calls.len() as u64
        };
        tokio::time::sleep(Duration::from_millis(self.call_takes_ms.load(Ordering::Relaxed))).await;
        let context = words(context);
        if let Some(error) = (*self.script.lock().unwrap())(number, &context) {
            return Err(error);
        }
        let text = String::from_utf8(before.bytes.clone()).unwrap();
        let [_, _, wrapped_for, times] = text.split('|').collect::<Vec<_>>().try_into().unwrap();
        if wrapped_for != context {
            return Err(tampered());
        }
        let (key, times) = (self.current(), times.parse::<u32>().unwrap() + 1);
        Ok(WrappedDataKey { bytes: wrapped(&key, &context, times), key_id: key.key_id })
    }

    async fn current_key(&self) -> Result<CurrentKey, KmsError> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        // As context of a look stands its own name.
        match (*self.script.lock().unwrap())(0, "look") {
            Some(error) => Err(error),
            None => Ok(self.current()),
        }
    }

    async fn health(&self) -> Result<(), KmsError> {
        Ok(())
    }
}

/// The log of the cluster and who leads it.
pub(crate) struct Cluster {
    rows: Mutex<Arc<Table>>,
    leader: AtomicU64,
    has_quorum: AtomicBool,
    pub(crate) kms: Arc<Kms>,
}

/// A clock that stands, and that keeps tokio's, where a test holds it, from leaping for a moment. It is asked right
/// before something is recorded; the audit log answers from a thread, which a leap to the next timer would make late.
struct Moment;

impl Clock for Moment {
    fn now(&self) -> Timestamp {
        tokio::task::spawn_blocking(hold_time);
        Timestamp::from_unix_ms(START_MS)
    }
}

/// Held time doesn't leap while something blocks.
#[expect(clippy::disallowed_methods, reason = "blocks a thread that is there for it")]
fn hold_time() {
    std::thread::sleep(Duration::from_millis(30));
}

/// One node's part in it.
struct Member {
    id: u64,
    cluster: Weak<Cluster>,
}

#[async_trait]
impl Consensus for Member {
    fn view(&self) -> View {
        self.cluster.upgrade().unwrap().rows() as View
    }

    async fn propose(&self, command: Command) -> Result<Outcome, ProposeFailure> {
        let cluster = self.cluster.upgrade().unwrap();
        if !cluster.has_quorum.load(Ordering::Relaxed) {
            return Err(ProposeFailure::NoQuorum);
        }
        Ok(cluster.apply(command))
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
        self.cluster.upgrade().unwrap().leader.load(Ordering::Relaxed) == self.id
    }

    fn standing(&self) -> Result<(), String> {
        Ok(())
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Cluster {
    /// At the level of re-wrapping, with an integrity key, led by node 1. Its master key was never rotated.
    pub(crate) fn new() -> Arc<Cluster> {
        let cluster = Cluster::of_level_1();
        cluster.raise_level();
        cluster
    }

    pub(crate) fn raise_level(&self) {
        self.apply(Command::RaiseFeatureLevel(RaiseFeatureLevel { level: REWRAP_SINCE }));
    }

    pub(crate) fn of_level_1() -> Arc<Cluster> {
        let kms = Kms {
            current: Mutex::new(CurrentKey { key_id: "key-1".to_owned(), rotated_at: None }),
            script: Mutex::new(Box::new(|_, _| None)),
            calls: Mutex::default(),
            call_takes_ms: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            hangs: AtomicBool::new(false),
        };
        let cluster = Arc::new(Cluster {
            rows: Mutex::default(),
            leader: AtomicU64::new(1),
            has_quorum: AtomicBool::new(true),
            kms: Arc::new(kms),
        });
        cluster.apply(Command::InitializeCluster(InitializeCluster { cluster_id: CLUSTER_ID }));
        let context = words(&EncryptionContext::for_integrity_key(&CLUSTER_ID));
        let key = WrappedIntegrityKey {
            kms_key_id: "key-1".to_owned(),
            wrapped: wrapped(&cluster.kms.current(), &context, 0),
            wrapped_rotation_at: None,
        };
        cluster.apply(Command::InstallIntegrityKey(InstallIntegrityKey { key }));
        cluster
    }

    pub(crate) fn apply(&self, command: Command) -> Outcome {
        let proposal = Proposal { stamp: Timestamp::from_unix_ms(START_MS), command, origin: None };
        let mut rows = self.rows.lock().unwrap();
        apply(&proposal, Arc::<Table>::make_mut(&mut rows)).unwrap()
    }

    fn rows(&self) -> Arc<Table> {
        Arc::clone(&self.rows.lock().unwrap())
    }

    pub(crate) fn lead(&self, node: u64) {
        self.leader.store(node, Ordering::Relaxed);
    }

    pub(crate) fn has_quorum(&self, has: bool) {
        self.has_quorum.store(has, Ordering::Relaxed);
    }

    /// Secrets `<prefix>000`, `<prefix>001` …, sealed by the current key, as who seals says it.
    pub(crate) fn seal(&self, prefix: &str, count: u64) {
        for number in 0..count {
            self.seal_stamped(&format!("{prefix}{number:03}"), None);
        }
    }

    /// A secret that was sealed by who took `rotation_at` for the newest rotation.
    pub(crate) fn seal_stamped(&self, name: &str, rotation_at: Option<Timestamp>) {
        let name = SecretName::parse(name).unwrap();
        let key = self.kms.current();
        let context = words(&EncryptionContext::for_version(&name, VersionNumber::FIRST));
        let sealed = SealedVersion {
            envelope_format: 1,
            wrapped_data_key: wrapped(&key, &context, 0),
            kms_key_id: key.key_id,
            nonce: [7; 24],
            ciphertext: format!("ciphertext of {name}").into_bytes(),
            wrapped_rotation_at: rotation_at,
        };
        let outcome = self.apply(Command::CreateSecret(CreateSecret {
            name,
            id: SecretId::from_bytes([2; 16]),
            kind: SecretKind::Manual,
            format: SecretFormat::Opaque,
            description: None,
            rotation_interval: None,
            grace_period: Seconds::ZERO,
            sealed,
            target: None,
            generator: None,
        }));
        assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
    }

    pub(crate) fn sealed(&self, name: &str) -> SealedVersion {
        let name = SecretName::parse(name).unwrap();
        versions::get(&*self.rows(), &name, VersionNumber::FIRST).unwrap().unwrap().sealed
    }

    /// How often the data key of a version was wrapped anew, as it tells itself.
    pub(crate) fn times_rewrapped(&self, name: &str) -> u32 {
        let text = String::from_utf8(self.sealed(name).wrapped_data_key).unwrap();
        text.rsplit('|').next().unwrap().parse().unwrap()
    }

    pub(crate) fn integrity_key(&self) -> WrappedIntegrityKey {
        meta::integrity_key(&*self.rows()).unwrap().unwrap()
    }

    pub(crate) fn agreed(&self) -> Option<Agreed> {
        rewrap::get(&*self.rows()).unwrap()
    }

    pub(crate) fn last_pass(&self) -> EndedPass {
        self.agreed().and_then(|agreed| agreed.last).expect("a pass that ended")
    }

    pub(crate) fn pending(&self) -> Pending {
        rewrap::pending(&*self.rows() as &dyn Rows).unwrap()
    }

    /// What everything is to be wrapped by after a pass now.
    pub(crate) fn current(&self) -> WrapEpoch {
        let CurrentKey { key_id, rotated_at } = self.kms.current();
        WrapEpoch { kms_key_id: key_id, rotation_at: rotated_at }
    }
}

/// One node: its worker and what can be asked of it.
pub(crate) struct Node {
    pub(crate) worker: Arc<Rewrap>,
    rewrapping: Rewrapping,
    audit: Arc<AuditLog>,
    audit_path: PathBuf,
    pub(crate) stop: CancellationToken,
    _dir: TempDir,
}

/// Looks for rotations and goes as fast as it can.
pub(crate) fn enabled() -> config::Rewrap {
    config::Rewrap { enabled: true, poll: Seconds::new(POLL.as_secs()), versions_per_sec_max: None }
}

pub(crate) fn disabled() -> config::Rewrap {
    config::Rewrap { enabled: false, ..enabled() }
}

impl Node {
    pub(crate) fn of(cluster: &Arc<Cluster>, id: u64, settings: config::Rewrap) -> Node {
        let (dir, stop) = (TempDir::new().unwrap(), CancellationToken::new());
        let audit_path = log_path(dir.path());
        let audit = Arc::new(open(&AuditConfig::at(&audit_path)));
        let member = Arc::new(Member { id, cluster: Arc::downgrade(cluster) });
        let replica = Arc::new(Replica::new(member, Arc::new(Moment)));
        let keys = Arc::clone(&cluster.kms) as Arc<dyn KeyProvider>;
        let worker = Rewrap {
            replica: Arc::clone(&replica),
            keys: Arc::clone(&keys),
            audit: Arc::clone(&audit),
            metrics: Arc::new(Metrics::new(Vec::new())),
            request_ids: RequestIds::new(Arc::new(OsEntropy)),
            settings,
            agenda: Agenda::new(&settings),
            stop: stop.clone(),
        };
        Node {
            worker: Arc::new(worker),
            rewrapping: Rewrapping::new(replica, keys, settings.enabled, stop.clone()),
            audit,
            audit_path,
            stop,
            _dir: dir,
        }
    }

    /// Lets the worker do what is due, and says when it wants to be called again.
    pub(crate) async fn work(&self) -> Duration {
        loop {
            let pause = self.worker.round().await;
            if !pause.is_zero() || !self.worker.replica.is_leader() {
                return pause;
            }
        }
    }

    pub(crate) async fn force(&self) -> Result<EndedPass, Failure> {
        let mut trail =
            Trail::of_request(Arc::clone(&self.audit), "request".to_owned(), IpAddr::from([127, 0, 0, 1]));
        trail.asks(Action::KmsRewrap, 200);
        self.rewrapping.force(permit(), &mut trail).await
    }

    pub(crate) async fn overview(&self) -> Overview {
        self.rewrapping.overview(permit()).await.unwrap()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        records(&self.audit_path)
    }

    /// What the records say was done.
    pub(crate) fn actions(&self) -> Vec<&'static str> {
        self.records().iter().map(|record| record.action.as_str()).collect()
    }
}

fn permit() -> AdminPermit {
    let role = Role::built_in(Timestamp::EPOCH).unwrap();
    Principal { token: TokenName::parse("tester").unwrap(), role }.authorize_admin().unwrap()
}
