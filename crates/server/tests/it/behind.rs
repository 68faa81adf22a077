//! A node whose view is behind what was acknowledged elsewhere refuses nothing for that, and records what happened.
//!
//! Two nodes share a log. One of them sees what the other changed only when it has to: by a barrier, or by having a
//! change of its own applied.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::name::{RoleName, SecretName, TokenName};
use hyperion_vault_core::policy::{Action, Principal, Role, SecretPermit};
use hyperion_vault_core::secret::{SecretKind, VersionNumber};
use hyperion_vault_core::state::command::InitializeCluster;
use hyperion_vault_core::state::table::meta;
use hyperion_vault_core::state::{Command, Outcome, Proposal, apply};
use hyperion_vault_core::time::{Seconds, Timestamp};
use hyperion_vault_crypto::{DataKey, IntegrityKey, MasterKey, Material, Plaintext};
use hyperion_vault_kms::LocalProvider;
use hyperion_vault_server::adapters::entropy::OsEntropy;
use hyperion_vault_server::audit::{AuditConfig, AuditLog, Outcome as Recorded, Record};
use hyperion_vault_server::failure::Failure;
use hyperion_vault_server::grants::Grants;
use hyperion_vault_server::ports::{Consensus, ProposeFailure, View};
use hyperion_vault_server::replica::Replica;
use hyperion_vault_server::roles::{NewRole, Roles};
use hyperion_vault_server::sealing::Sealing;
use hyperion_vault_server::secrets::{NewMaterial, NewSecret, Opened, SecretChange, Secrets};
use hyperion_vault_server::tokens::{NewToken, Tokens};
use hyperion_vault_server::trail::{End, Trail};
use tempfile::TempDir;

use crate::audit_fixture::{START_MS, SetClock, log_path, open, records};

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

const NAME: &str = "db/password";

/// What a quorum has.
type Log = Arc<Mutex<Table>>;

/// One node's part in consensus.
struct Member {
    log: Log,
    here: Mutex<Arc<Table>>,
    barriers: AtomicU64,
    has_quorum: AtomicBool,
}

impl Member {
    fn catch_up(&self) {
        *self.here.lock().unwrap() = Arc::new(self.log.lock().unwrap().clone());
    }
}

#[async_trait]
impl Consensus for Member {
    fn view(&self) -> View {
        Arc::clone(&*self.here.lock().unwrap()) as View
    }

    async fn propose(&self, command: Command) -> Result<Outcome, ProposeFailure> {
        let outcome = {
            let mut log = self.log.lock().unwrap();
            // No two changes are of one moment.
            let stamp = Timestamp::from_unix_ms(meta::clock(&*log).unwrap().as_unix_ms() + 1);
            apply(&Proposal { stamp, command, origin: None }, &mut *log).unwrap()
        };
        self.catch_up();
        Ok(outcome)
    }

    async fn barrier(&self) -> Result<(), ProposeFailure> {
        self.barriers.fetch_add(1, Ordering::Relaxed);
        if !self.has_quorum.load(Ordering::Relaxed) {
            return Err(ProposeFailure::NoQuorum);
        }
        self.catch_up();
        Ok(())
    }

    async fn wait_applied(&self, _index: u64, _limit: Duration) -> bool {
        true
    }

    fn applied_index(&self) -> u64 {
        0
    }

    fn is_leader(&self) -> bool {
        false
    }

    fn standing(&self) -> Result<(), String> {
        Ok(())
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}

struct Node {
    member: Arc<Member>,
    secrets: Secrets,
    roles: Roles,
    tokens: Tokens,
    audit: Arc<AuditLog>,
    audit_path: PathBuf,
    _dir: TempDir,
}

impl Node {
    fn on(log: &Log) -> Node {
        let dir = TempDir::new().unwrap();
        let audit_path = log_path(dir.path());
        let member = Arc::new(Member {
            log: Arc::clone(log),
            here: Mutex::default(),
            barriers: AtomicU64::new(0),
            has_quorum: AtomicBool::new(true),
        });
        member.catch_up();
        let entropy = Arc::new(OsEntropy);
        let keys = LocalProvider::new(MasterKey::from_bytes(&[3; 32]), Vec::new(), entropy.clone());
        let sealing = Arc::new(Sealing::new(Arc::new(keys), entropy));
        let replica = Arc::new(Replica::new(member.clone(), SetClock::new()));
        let grants = Arc::new(Grants::default());
        grants.open(IntegrityKey::from_data_key(&DataKey::filled_by(|key| key.fill(5))));
        Node {
            secrets: Secrets::new(Arc::clone(&replica), Arc::clone(&sealing)),
            roles: Roles::new(Arc::clone(&replica), Arc::clone(&grants)),
            tokens: Tokens::new(replica, sealing, grants),
            audit: Arc::new(open(&AuditConfig::at(&audit_path))),
            member,
            audit_path,
            _dir: dir,
        }
    }

    fn barriers(&self) -> u64 {
        self.member.barriers.load(Ordering::Relaxed)
    }

    fn trail(&self) -> Trail {
        Trail::of_request(Arc::clone(&self.audit), "request".to_owned(), IpAddr::from([127, 0, 0, 1]))
    }

    /// As the last step of a request does.
    async fn end<T>(&self, mut trail: Trail, answered: Result<T, Failure>) -> Result<T, Failure> {
        let outcome = if answered.is_ok() { Recorded::Ok } else { Recorded::Conflict };
        trail.finish(End { status: None, outcome }).await.unwrap();
        answered
    }

    fn last_record(&self) -> Record {
        records(&self.audit_path).pop().unwrap()
    }

    async fn create(&self, kind: SecretKind, value: &str) -> Result<Opened, Failure> {
        let interval = (kind == SecretKind::Automatic).then_some(Seconds::new(60));
        let new = NewSecret::parse(kind, Some(material(value)), None, interval, None).unwrap();
        let mut trail = self.trail();
        let created = self.secrets.create(permit(Action::Create), new, &mut trail).await;
        self.end(trail, created).await
    }

    async fn update(&self, value: &str, if_match: Option<u64>) -> Result<u64, Failure> {
        let if_match = if_match.map(VersionNumber::new);
        let change = SecretChange::parse(Some(material(value)), None, None, None, if_match).unwrap();
        let mut trail = self.trail();
        let updated = self.secrets.update(permit(Action::Update), change, &mut trail).await;
        self.end(trail, updated.map(|secret| secret.current.get())).await
    }

    async fn rotate(&self) -> Result<u64, Failure> {
        let mut trail = self.trail();
        let rotated = self.secrets.rotate(permit(Action::Rotate), &mut trail).await;
        self.end(trail, rotated.map(|opened| opened.version.get())).await
    }

    async fn delete(&self) -> Result<(), Failure> {
        let mut trail = self.trail();
        let deleted = self.secrets.delete(permit(Action::Delete), &mut trail).await;
        self.end(trail, deleted).await
    }

    async fn value(&self) -> String {
        let opened = self.secrets.read(permit(Action::Read), None).await.unwrap();
        let Material::Opaque(value) = &opened.material else { panic!("an opaque secret") };
        String::from_utf8(value.expose().to_vec()).unwrap()
    }
}

/// Two nodes that have seen the same.
fn two_nodes() -> (Node, Node) {
    let log = Log::default();
    let command = Command::InitializeCluster(InitializeCluster { cluster_id: [1; 16] });
    let proposal = Proposal { stamp: Timestamp::from_unix_ms(START_MS), command, origin: None };
    apply(&proposal, &mut *log.lock().unwrap()).unwrap();
    (Node::on(&log), Node::on(&log))
}

fn principal() -> Principal {
    let role = Role::built_in(Timestamp::EPOCH).unwrap();
    Principal { token: TokenName::parse("tester").unwrap(), role }
}

fn permit(action: Action) -> SecretPermit {
    principal().authorize(action, &SecretName::parse(NAME).unwrap()).unwrap()
}

fn material(value: &str) -> NewMaterial {
    NewMaterial::parse(Some(Plaintext::from(value.as_bytes())), None, None).unwrap().unwrap()
}

#[tokio::test]
async fn a_yes_costs_no_round_and_a_no_costs_one() {
    let (node, _) = two_nodes();
    node.create(SecretKind::Manual, "a").await.unwrap();
    node.update("b", Some(1)).await.unwrap();
    assert_eq!(node.barriers(), 0);
    let refused = node.create(SecretKind::Manual, "c").await;
    assert!(matches!(refused, Err(Failure::Conflict(_))));
    assert_eq!(node.barriers(), 1);
}

#[tokio::test]
async fn a_secret_that_was_made_elsewhere_is_there_to_be_changed() {
    let (here, elsewhere) = two_nodes();
    elsewhere.create(SecretKind::Manual, "a").await.unwrap();
    assert_eq!(here.update("b", None).await, Ok(2));

    let (here, elsewhere) = two_nodes();
    elsewhere.create(SecretKind::Automatic, "a").await.unwrap();
    assert_eq!(here.rotate().await, Ok(2));

    let (here, elsewhere) = two_nodes();
    elsewhere.create(SecretKind::Manual, "a").await.unwrap();
    assert_eq!(here.delete().await, Ok(()));
}

#[tokio::test]
async fn a_name_that_was_freed_elsewhere_can_be_taken() {
    let (here, elsewhere) = two_nodes();
    here.create(SecretKind::Manual, "old").await.unwrap();
    elsewhere.delete().await.unwrap();
    here.create(SecretKind::Manual, "new").await.unwrap();
    assert_eq!(here.value().await, "new");
}

#[tokio::test]
async fn a_name_that_was_taken_elsewhere_is_refused_and_the_trail_ends_with_it() {
    let (here, elsewhere) = two_nodes();
    elsewhere.create(SecretKind::Manual, "theirs").await.unwrap();
    let refused = here.create(SecretKind::Manual, "ours").await;
    assert!(matches!(refused, Err(Failure::Conflict(_))));
    assert_eq!(here.value().await, "theirs");
    assert_eq!(here.last_record().outcome, Recorded::Conflict);
}

#[tokio::test]
async fn a_change_is_made_again_on_top_of_one_that_came_first() {
    let (here, elsewhere) = two_nodes();
    here.create(SecretKind::Automatic, "a").await.unwrap();
    elsewhere.update("b", None).await.unwrap();
    assert_eq!(here.update("c", None).await, Ok(3));
    assert_eq!(here.value().await, "c");
    let last = here.last_record();
    assert_eq!((last.outcome, last.version), (Recorded::Ok, Some(3)));

    assert_eq!(elsewhere.rotate().await, Ok(4));
    assert_eq!(here.rotate().await, Ok(5));
    assert_eq!(here.last_record().version, Some(5));
}

#[tokio::test]
async fn a_version_seen_elsewhere_is_one_to_build_on() {
    let (here, elsewhere) = two_nodes();
    here.create(SecretKind::Manual, "a").await.unwrap();
    elsewhere.update("b", Some(1)).await.unwrap();
    assert_eq!(here.update("c", Some(2)).await, Ok(3));
    elsewhere.update("d", None).await.unwrap();
    assert_eq!(here.update("e", Some(3)).await, Err(Failure::Precondition { current: 4 }));
}

#[tokio::test]
async fn a_secret_that_was_made_anew_elsewhere_is_changed_as_the_new_one() {
    let (here, elsewhere) = two_nodes();
    here.create(SecretKind::Manual, "first life").await.unwrap();
    here.update("first life 2", None).await.unwrap();
    elsewhere.delete().await.unwrap();
    elsewhere.create(SecretKind::Automatic, "second life").await.unwrap();
    assert_eq!(here.update("changed", None).await, Ok(2));
    assert_eq!(here.value().await, "changed");

    elsewhere.delete().await.unwrap();
    elsewhere.create(SecretKind::Automatic, "third life").await.unwrap();
    assert_eq!(here.rotate().await, Ok(2));
}

#[tokio::test]
async fn the_trail_of_a_deletion_has_the_version_that_was_deleted() {
    let (here, elsewhere) = two_nodes();
    here.create(SecretKind::Manual, "a").await.unwrap();
    elsewhere.update("b", None).await.unwrap();
    here.delete().await.unwrap();
    let last = here.last_record();
    assert_eq!((last.outcome, last.version), (Recorded::Ok, Some(2)));
}

#[tokio::test]
async fn a_role_made_elsewhere_can_be_given_to_a_token() {
    let (here, elsewhere) = two_nodes();
    let name = || RoleName::parse("ops").unwrap();
    let admin = || principal().authorize_admin().unwrap();
    let new = NewRole { name: name(), description: None, is_admin: false, rules: Vec::new() };
    elsewhere.roles.create(admin(), new, &mut elsewhere.trail()).await.unwrap();
    let new = NewToken::parse(TokenName::parse("t").unwrap(), name(), None, None).unwrap();
    here.tokens.issue(admin(), new, &mut here.trail()).await.unwrap();
    let refused = elsewhere.roles.delete(admin(), name(), &mut elsewhere.trail()).await;
    assert!(matches!(refused, Err(Failure::Conflict(_))), "its token was issued elsewhere: {refused:?}");
}

/// What a MAC is over is a whole role. Rules for one that is gone must not be vouched for as those of its namesake.
#[tokio::test]
async fn rules_are_set_for_the_role_that_is_there_and_not_for_the_one_before() {
    let (here, elsewhere) = two_nodes();
    let name = || RoleName::parse("ops").unwrap();
    let admin = || principal().authorize_admin().unwrap();
    let new = |is_admin| NewRole { name: name(), description: None, is_admin, rules: Vec::new() };
    here.roles.create(admin(), new(false), &mut here.trail()).await.unwrap();
    elsewhere.roles.delete(admin(), name(), &mut elsewhere.trail()).await.unwrap();
    elsewhere.roles.create(admin(), new(true), &mut elsewhere.trail()).await.unwrap();
    let changed = here.roles.set_rules(admin(), name(), Vec::new(), &mut here.trail()).await.unwrap();
    assert!(changed.is_admin);
    assert!(
        elsewhere.roles.read(admin(), &name(), &mut elsewhere.trail()).is_ok(),
        "its MAC is over the new role"
    );
}

#[tokio::test]
async fn a_no_that_nobody_confirms_is_no_answer() {
    let (node, _) = two_nodes();
    node.member.has_quorum.store(false, Ordering::Relaxed);
    for answered in
        [node.update("a", None).await.map(|_| ()), node.delete().await, node.rotate().await.map(|_| ())]
    {
        assert!(matches!(answered, Err(Failure::Unavailable { .. })), "{answered:?}");
    }
}

#[tokio::test]
async fn a_change_is_taken_back_in_the_trail_only_if_it_stands_there() {
    let (node, _) = two_nodes();
    node.trail().take_back(Recorded::Conflict).await.unwrap();
    assert_eq!(records(&node.audit_path).len(), 0);
    let mut trail = node.trail();
    trail.record_before_change().await.unwrap();
    trail.take_back(Recorded::Conflict).await.unwrap();
    let outcomes: Vec<_> = records(&node.audit_path).iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, [Recorded::Ok, Recorded::Conflict]);
}
