//! Attempts to rotate a secret with a target: wherever one is cut off, the password that the database has is stored, and
//! the next attempt makes it current.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use hyperion_vault_core::rotation::RotationFault;
use hyperion_vault_core::secret::Secret;
use hyperion_vault_core::state::command::{InitializeCluster, RaiseFeatureLevel, Setting, UpdateSecret};
use hyperion_vault_core::state::table::secrets;
use hyperion_vault_core::state::{Command, FEATURE_LEVEL};
use hyperion_vault_core::target::{DatabaseIdentifier, Target, TargetText};
use hyperion_vault_crypto::{Material, Plaintext};
use hyperion_vault_kms::KmsError;
use hyperion_vault_server::adapters::entropy::OsEntropy;
use hyperion_vault_server::audit::{Outcome, Query};
use hyperion_vault_server::request_id::RequestIds;
use hyperion_vault_server::secrets::{FailedAttempt, Means};
use hyperion_vault_server::target::{CredentialTarget, Login, Proof, TargetFault};
use tokio::sync::Notify;
use tokio::task::yield_now;

use crate::vault_fixture::{Vault, name, user_pass};

const NAME: &str = "db/app";

/// A database with two roles, that does as it is told.
#[derive(Default)]
struct Database {
    passwords: Mutex<Vec<(String, String)>>,
    says: Mutex<Option<RotationFault>>,
    loses_answers: Mutex<bool>,
    /// Holds up the next proof.
    holds: Mutex<Option<Arc<Notify>>>,
    applied: AtomicUsize,
}

impl Database {
    fn password(&self, role: &str) -> Option<String> {
        let passwords = self.passwords.lock().unwrap();
        passwords.iter().find(|(known, _)| known == role).map(|(_, password)| password.clone())
    }

    fn set(&self, role: &str, password: &str) {
        let mut passwords = self.passwords.lock().unwrap();
        passwords.retain(|(known, _)| known != role);
        passwords.push((role.to_owned(), password.to_owned()));
    }

    fn says(&self, fault: Option<RotationFault>) {
        *self.says.lock().unwrap() = fault;
    }

    fn answer(&self) -> Result<(), TargetFault> {
        match *self.says.lock().unwrap() {
            Some(fault) => Err(TargetFault { fault, detail: "told to".to_owned() }),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl CredentialTarget for Database {
    async fn apply(
        &self,
        _: &Target,
        login: &Login,
        role: &DatabaseIdentifier,
        new_password: &Plaintext,
    ) -> Result<(), TargetFault> {
        yield_now().await;
        self.answer()?;
        if self.password(login.username.as_str()) != Some(text(&login.password)) {
            return Err(TargetFault { fault: RotationFault::LoginRefused, detail: "28P01".to_owned() });
        }
        yield_now().await;
        self.applied.fetch_add(1, Ordering::Relaxed);
        self.set(role.as_str(), &text(new_password));
        yield_now().await;
        match *self.loses_answers.lock().unwrap() {
            true => Err(TargetFault { fault: RotationFault::Unreachable, detail: "broken off".to_owned() }),
            false => Ok(()),
        }
    }

    async fn prove(
        &self,
        _: &Target,
        role: &DatabaseIdentifier,
        password: &Plaintext,
    ) -> Result<Proof, TargetFault> {
        yield_now().await;
        let held = self.holds.lock().unwrap().take();
        if let Some(release) = held {
            release.notified().await;
        }
        self.answer()?;
        let is_it = self.password(role.as_str()) == Some(text(password));
        Ok(if is_it { Proof::Accepted } else { Proof::Refused })
    }
}

fn text(plaintext: &Plaintext) -> String {
    String::from_utf8(plaintext.expose().to_vec()).unwrap()
}

/// A vault with one secret, whose target is the database.
struct World {
    vault: Vault,
    database: Arc<Database>,
    means: Means,
}

impl World {
    async fn new() -> World {
        World::with(&TargetText { kind: "postgres", ..TargetText::default() }).await
    }

    async fn with(target: &TargetText<'_>) -> World {
        let vault = Vault::new();
        vault.apply(Command::InitializeCluster(InitializeCluster { cluster_id: [1; 16] })).await;
        vault.apply(Command::RaiseFeatureLevel(RaiseFeatureLevel { level: FEATURE_LEVEL })).await;
        vault.create(NAME, user_pass(Some("app"), "first")).await.unwrap();
        let database = Arc::new(Database::default());
        database.set("app", "first");
        let hosts = ["db1".to_owned()];
        let target = Target::parse(&TargetText { hosts: &hosts, ..*target }).unwrap();
        let world = World {
            means: Means {
                target: Arc::clone(&database) as Arc<_>,
                audit: vault.audit(),
                request_ids: RequestIds::new(Arc::new(OsEntropy)),
                pause_at: None,
            },
            database,
            vault,
        };
        world.set_target(target).await;
        world
    }

    async fn set_target(&self, target: Target) {
        let Secret { name, id, current, .. } = self.secret();
        let update = UpdateSecret {
            name,
            id,
            expected: current,
            description: None,
            rotation_interval: None,
            grace_period: None,
            sealed: None,
            target: Some(Setting::Set(target)),
            generator: None,
            is_applied: None,
        };
        self.vault.apply(Command::UpdateSecret(update)).await;
    }

    fn secret(&self) -> Secret {
        secrets::get(&*self.vault.view(), &name(NAME)).unwrap().unwrap()
    }

    async fn attempt(&self) -> Result<(), FailedAttempt> {
        self.vault.secrets().attempt(self.secret(), &self.means).await
    }

    async fn fault(&self) -> RotationFault {
        self.attempt().await.map_err(|failed| failed.failure.fault()).unwrap_err()
    }

    /// Username and password as they are read.
    async fn current(&self) -> (String, String) {
        match self.vault.read(NAME).await.material {
            Material::UserPass { username, password } => (text(&username), text(&password)),
            Material::Opaque(_) => panic!("a userpass secret"),
        }
    }

    async fn assert_in_step(&self) {
        let (username, password) = self.current().await;
        assert_eq!(self.database.password(&username), Some(password));
        assert!(self.secret().pending().is_none());
    }
}

/// A future that is dropped after it was polled so many times.
struct CutOff<F> {
    work: F,
    polls: usize,
}

impl<F: Future + Unpin> Future for CutOff<F> {
    /// `None`: it was cut off.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(left) = self.polls.checked_sub(1) else { return Poll::Ready(None) };
        self.polls = left;
        Pin::new(&mut self.work).poll(context).map(Some)
    }
}

#[tokio::test]
async fn the_new_password_is_applied_proved_and_current() {
    let world = World::new().await;
    world.attempt().await.unwrap();
    world.assert_in_step().await;
    assert_eq!((world.secret().current.get(), world.current().await.0), (2, "app".to_owned()));
    assert_ne!(world.database.password("app").unwrap(), "first");
    let records = world.means.audit.query(Query { limit: 3, ..Query::default() }).await.unwrap().records;
    let told: Vec<_> = records.iter().map(|record| (record.action.as_str(), record.version)).collect();
    assert_eq!(told, [("secret.rotate", Some(2)), ("secret.apply", Some(2)), ("secret.prepare", Some(2))]);
    assert!(records.iter().all(|record| record.outcome == Outcome::Ok));
}

/// As by a crash, or a change of leader: the attempt ends at any of the points where it waits for something.
#[tokio::test]
async fn cut_off_anywhere_it_is_taken_up_by_the_next_attempt() {
    let mut cut_off = 0;
    for polls in 0.. {
        let world = World::new().await;
        let ended = CutOff { work: pin!(world.attempt()), polls }.await;
        let (_, password) = world.current().await;
        let applied = world.database.password("app").unwrap();
        assert!(applied == password || world.secret().pending().is_some(), "after {polls} polls");
        if let Some(ended) = ended {
            ended.unwrap();
            break;
        }
        cut_off += 1;
        world.attempt().await.unwrap();
        world.assert_in_step().await;
        assert_eq!(world.secret().current.get() - u64::from(applied == password && applied != "first"), 2);
    }
    assert!(cut_off > 8, "{cut_off} points");
}

/// The database has it, and nobody was told so.
#[tokio::test]
async fn a_password_whose_answer_was_lost_is_found_out_and_not_applied_again() {
    let world = World::new().await;
    *world.database.loses_answers.lock().unwrap() = true;
    assert_eq!(world.fault().await, RotationFault::Unreachable);
    assert_eq!(world.current().await.1, "first");
    *world.database.loses_answers.lock().unwrap() = false;
    world.attempt().await.unwrap();
    world.assert_in_step().await;
    assert_eq!(world.database.applied.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn while_the_database_is_away_the_current_password_stays_and_the_same_new_one_is_tried() {
    let world = World::new().await;
    world.database.says(Some(RotationFault::Unreachable));
    for _ in 0..3 {
        assert_eq!(world.fault().await, RotationFault::Unreachable);
    }
    assert_eq!(world.current().await.1, "first");
    let prepared = world.vault.sealed(NAME, 2);
    world.database.says(None);
    world.attempt().await.unwrap();
    world.assert_in_step().await;
    assert_eq!(world.vault.sealed(NAME, 2).ciphertext, prepared.ciphertext);
}

#[tokio::test]
async fn a_wrong_login_is_told_and_nothing_is_changed() {
    let world = World::new().await;
    world.database.set("app", "changed by somebody else");
    for _ in 0..2 {
        assert_eq!(world.fault().await, RotationFault::LoginRefused);
    }
    assert_eq!(world.database.password("app").unwrap(), "changed by somebody else");
}

#[tokio::test]
async fn the_login_secret_logs_in_where_one_is_named() {
    let login = TargetText { kind: "postgres", login_secret: Some("db/admin"), ..TargetText::default() };
    let world = World::with(&login).await;
    assert_eq!(world.fault().await, RotationFault::LoginSecret);
    world.vault.create("db/admin", crate::vault_fixture::opaque("no login")).await.unwrap();
    assert_eq!(world.fault().await, RotationFault::LoginSecret);

    let world = World::with(&login).await;
    world.vault.create("db/admin", user_pass(Some("root"), "of root")).await.unwrap();
    world.database.set("root", "of root");
    // What the vault knew of the role's own password doesn't matter.
    world.database.set("app", "forgotten");
    world.attempt().await.unwrap();
    world.assert_in_step().await;
}

#[tokio::test]
async fn two_roles_take_turns_and_the_one_in_use_keeps_its_password() {
    let roles = ["app".to_owned(), "app_b".to_owned()];
    let text = TargetText {
        kind: "postgres",
        strategy: Some("alternating"),
        roles: Some(&roles),
        ..TargetText::default()
    };
    let world = World::with(&text).await;
    world.database.set("app_b", "unknown");
    let mut before = world.current().await;
    for turn in ["app_b", "app", "app_b"] {
        world.attempt().await.unwrap();
        world.assert_in_step().await;
        assert_eq!(world.current().await.0, turn);
        assert_eq!(world.database.password(&before.0), Some(before.1));
        before = world.current().await;
    }
}

#[tokio::test]
async fn a_role_that_is_named_is_changed_whatever_the_username_is() {
    let text = TargetText { kind: "postgres", role: Some("service"), ..TargetText::default() };
    let world = World::with(&text).await;
    world.database.set("service", "first");
    world.attempt().await.unwrap();
    assert_eq!(world.database.password("service"), Some(world.current().await.1));
    assert_eq!(world.database.password("app").unwrap(), "first");
}

#[tokio::test]
async fn with_key_management_away_nothing_is_prepared_and_the_database_not_asked() {
    let world = World::new().await;
    world.vault.keys.says(KmsError::Misconfigured { detail: "disabled".to_owned() });
    let failed = world.attempt().await.unwrap_err();
    assert_eq!((failed.failure.fault(), failed.attempt), (RotationFault::KeyManagement, None));
    assert!(world.secret().pending().is_none());
    assert_eq!(world.database.applied.load(Ordering::Relaxed), 0);
}

/// The first is of a leader that was; it comes back to itself when another one has gone on with its work.
#[tokio::test]
async fn what_another_attempt_took_over_is_not_promoted_by_the_first() {
    let world = World::new().await;
    let release = Arc::new(Notify::new());
    *world.database.holds.lock().unwrap() = Some(Arc::clone(&release));
    let (first, ()) = tokio::join!(world.attempt(), async {
        while world.database.applied.load(Ordering::Relaxed) == 0 {
            yield_now().await;
        }
        world.attempt().await.unwrap();
        release.notify_one();
    });
    assert_eq!(first.unwrap_err().failure.fault(), RotationFault::Changed);
    world.assert_in_step().await;
    assert_eq!(world.secret().current.get(), 2);
}
