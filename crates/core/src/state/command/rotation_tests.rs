//! Rotation in steps: whatever happens between them, the password that the database may have is stored.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::{sealed, secret_name};
use super::*;
use crate::limits::{ATTEMPT_MAX, RETRY_AFTER_MS_MAX, STORED_VERSIONS_MAX};
use crate::rotation::RotationFault;
use crate::secret::{SealedVersion, Secret, SecretFormat, SecretId, SecretKind, Version, VersionNumber};
use crate::state::table::{expiry_due, meta, rotation_due, secrets, versions, wraps};
use crate::state::{Effect, Outcome, Refusal, TARGETS_SINCE, apply};
use crate::target::{Target, TargetText};
use crate::time::Seconds;

const INTERVAL: u64 = 3_600;

struct Vault {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    now_ms: u64,
}

impl Vault {
    fn new() -> Vault {
        let mut vault = Vault { rows: BTreeMap::new(), now_ms: 1_000_000 };
        vault.run(Command::InitializeCluster(InitializeCluster { cluster_id: [1; 16] })).unwrap();
        vault.run(Command::RaiseFeatureLevel(RaiseFeatureLevel { level: TARGETS_SINCE })).unwrap();
        vault
    }

    /// One whose one secret has a target.
    fn with_target(grace_secs: u64) -> Vault {
        let mut vault = Vault::new();
        vault.create(Some(target("db1")), grace_secs).unwrap();
        vault
    }

    fn run(&mut self, command: Command) -> Result<Secret, Refusal> {
        let proposal = Proposal { stamp: Timestamp::from_unix_ms(self.now_ms), command, origin: None };
        let before = self.rows.clone();
        match apply(&proposal, &mut self.rows).unwrap() {
            Outcome::Applied(Effect::Secret(secret) | Effect::Pending(secret)) => Ok(*secret),
            Outcome::Applied(_) => Ok(self.secret_or(before)),
            Outcome::Refused(refusal) => {
                let changed = self.rows.iter().filter(|(key, value)| before.get(*key) != Some(value));
                // The clock alone.
                assert!(changed.count() <= 1 && self.rows.len() >= before.len(), "{refusal}");
                Err(refusal)
            }
        }
    }

    fn secret_or(&self, before: BTreeMap<Vec<u8>, Vec<u8>>) -> Secret {
        let found = secrets::get(&self.rows, &name()).unwrap();
        found.or(secrets::get(&before, &name()).unwrap()).unwrap_or_else(nobody)
    }

    fn create(&mut self, target: Option<Target>, grace_secs: u64) -> Result<Secret, Refusal> {
        self.run(Command::CreateSecret(CreateSecret {
            name: name(),
            id: ID,
            kind: SecretKind::Automatic,
            format: SecretFormat::UserPass,
            description: None,
            rotation_interval: Some(Seconds::new(INTERVAL)),
            grace_period: Seconds::new(grace_secs),
            sealed: sealed(1),
            target,
            generator: None,
        }))
    }

    fn secret(&self) -> Secret {
        secrets::get(&self.rows, &name()).unwrap().unwrap()
    }

    fn expected(&self) -> VersionNumber {
        self.secret().current
    }

    fn prepare(&mut self, mark: u8) -> Result<Secret, Refusal> {
        let (name, expected) = (name(), self.expected());
        self.run(Command::PrepareRotation(PrepareRotation { name, id: ID, expected, sealed: sealed(mark) }))
    }

    /// The number of the attempt.
    fn begin(&mut self) -> Result<u32, Refusal> {
        let (name, expected) = (name(), self.expected());
        let begun = self.run(Command::BeginAttempt(BeginAttempt { name, id: ID, expected }))?;
        Ok(begun.pending().unwrap().attempts)
    }

    fn promote(&mut self, attempt: u32) -> Result<Secret, Refusal> {
        let (name, expected) = (name(), self.expected());
        self.run(Command::PromoteVersion(PromoteVersion { name, id: ID, expected, attempt }))
    }

    fn fail(&mut self, attempt: Option<u32>, retry_after_ms: u64) -> Result<Secret, Refusal> {
        let (name, expected, fault) = (name(), self.expected(), RotationFault::Unreachable);
        self.run(Command::FailRotation(FailRotation {
            name,
            id: ID,
            expected,
            attempt,
            fault,
            retry_after_ms,
        }))
    }

    fn hasten(&mut self) -> Result<Secret, Refusal> {
        let (name, expected) = (name(), self.expected());
        self.run(Command::HastenRotation(HastenRotation { name, id: ID, expected }))
    }

    fn rotate(&mut self) -> Result<Secret, Refusal> {
        let (name, expected) = (name(), self.expected());
        self.run(Command::RotateSecret(RotateSecret { name, id: ID, expected, sealed: sealed(8) }))
    }

    fn update(
        &mut self,
        sealed: Option<SealedVersion>,
        target: Option<Setting<Target>>,
        is_applied: Option<bool>,
    ) -> Result<Secret, Refusal> {
        let (name, expected) = (name(), self.expected());
        self.run(Command::UpdateSecret(UpdateSecret {
            name,
            id: ID,
            expected,
            description: None,
            rotation_interval: None,
            grace_period: None,
            sealed,
            target,
            generator: None,
            is_applied,
        }))
    }

    fn stored(&self) -> Vec<(VersionNumber, Version)> {
        versions::of_secret(&self.rows, &name()).unwrap()
    }

    /// The material of the versions that count, by the marks that they were sealed with.
    fn live(&self) -> Vec<u8> {
        let now = Timestamp::from_unix_ms(self.now_ms);
        let live = versions::live(&self.rows, &self.secret(), now).unwrap();
        live.iter().map(|(_, version)| mark(&version.sealed)).collect()
    }

    /// What the tables say of each other, whatever was done.
    fn check(&self) {
        let stored = self.stored();
        let counts = meta::counts(&self.rows).unwrap();
        let wrapped: u64 = wraps::epochs(&self.rows).unwrap().iter().map(|epoch| epoch.versions).sum();
        assert_eq!((counts.versions, wrapped), (stored.len() as u64, stored.len() as u64));
        let due = rotation_due::first(&self.rows, 10).unwrap();
        let Some(secret) = secrets::get(&self.rows, &name()).unwrap() else {
            assert!(stored.is_empty() && due.is_empty());
            return;
        };
        assert_eq!(secret.stored_versions, stored.len() as u64);
        assert_eq!(due.iter().map(|due| Some(due.at)).collect::<Vec<_>>(), [secret.due_at()]);
        let newest = stored.last().map(|(number, _)| *number);
        let pending = secret.pending().map(|_| secret.current.next());
        assert_eq!(newest, Some(pending.unwrap_or(secret.current)));
        assert!(secret.pending().is_none() || secret.target.is_some());
        let current = versions::get(&self.rows, &name(), secret.current).unwrap().unwrap();
        assert_eq!(current.expires_at, None);
    }
}

const ID: SecretId = SecretId::from_bytes([7; 16]);

fn name() -> crate::name::SecretName {
    secret_name("db/app")
}

fn mark(sealed: &SealedVersion) -> u8 {
    *sealed.ciphertext.first().unwrap()
}

fn target(host: &str) -> Target {
    let hosts = [host.to_owned()];
    Target::parse(&TargetText { kind: "postgres", hosts: &hosts, ..TargetText::default() }).unwrap()
}

/// Stands in where a command left no secret behind.
fn nobody() -> Secret {
    let mut vault = Vault { rows: BTreeMap::new(), now_ms: 0 };
    vault.create(None, 0).unwrap()
}

#[test]
fn a_pending_version_is_stored_and_read_by_nobody_until_it_is_promoted() {
    let mut vault = Vault::with_target(60);
    vault.prepare(2).unwrap();
    assert_eq!((vault.stored().len(), vault.live()), (2, vec![1]));
    let attempt = vault.begin().unwrap();
    vault.now_ms += 5;
    let promoted = vault.promote(attempt).unwrap();
    assert_eq!((promoted.current.get(), vault.live()), (2, vec![1, 2]));
    assert_eq!(promoted.next_rotation_at, Some(Timestamp::from_unix_ms(vault.now_ms + INTERVAL * 1_000)));
    let version = versions::get(&vault.rows, &name(), promoted.current).unwrap().unwrap();
    assert_eq!(version.created_at, promoted.updated_at);
    vault.now_ms += 60_000;
    assert_eq!(vault.live(), [2]);
    vault.check();
}

#[test]
fn without_grace_the_old_version_goes_in_the_instant_of_the_promotion() {
    let mut vault = Vault::with_target(0);
    vault.prepare(2).unwrap();
    let attempt = vault.begin().unwrap();
    vault.promote(attempt).unwrap();
    assert_eq!((vault.stored().len(), vault.live()), (1, vec![2]));
    vault.check();
}

#[test]
fn a_second_password_is_not_prepared_while_the_database_may_have_the_first() {
    let mut vault = Vault::with_target(0);
    vault.prepare(2).unwrap();
    assert_eq!(vault.prepare(3), Err(Refusal::RotationPending));
    let attempt = vault.begin().unwrap();
    vault.fail(Some(attempt), 1_000).unwrap();
    assert_eq!(vault.prepare(3), Err(Refusal::RotationPending));
    let attempt = vault.begin().unwrap();
    vault.promote(attempt).unwrap();
    assert_eq!(vault.live(), [2]);
    vault.prepare(3).unwrap();
}

#[test]
fn nothing_is_promoted_that_was_never_attempted_or_that_another_attempt_took_over() {
    let mut vault = Vault::with_target(0);
    assert_eq!(vault.promote(0), Err(Refusal::NothingPending));
    assert_eq!(vault.begin(), Err(Refusal::NothingPending));
    assert_eq!(vault.hasten(), Err(Refusal::NothingPending));
    vault.prepare(2).unwrap();
    assert_eq!(vault.promote(1), Err(Refusal::AttemptTakenOver));
    let (first, second) = (vault.begin().unwrap(), vault.begin().unwrap());
    assert_eq!(vault.promote(first), Err(Refusal::AttemptTakenOver));
    assert_eq!(vault.fail(Some(first), 0), Err(Refusal::AttemptTakenOver));
    vault.promote(second).unwrap();
}

#[test]
fn a_failed_attempt_keeps_both_versions_and_says_when_it_is_made_again() {
    let mut vault = Vault::with_target(0);
    vault.prepare(2).unwrap();
    for failures in 1..=3 {
        let attempt = vault.begin().unwrap();
        let failed = vault.fail(Some(attempt), 5_000).unwrap();
        let rotation = failed.rotation.clone().unwrap();
        let now = Timestamp::from_unix_ms(vault.now_ms);
        assert_eq!((rotation.failures, rotation.last_fault), (failures, Some(RotationFault::Unreachable)));
        assert_eq!((rotation.last_attempt_at, failed.due_at()), (Some(now), Some(now.plus_ms(5_000))));
        assert_eq!((vault.live(), vault.stored().len()), (vec![1], 2));
        vault.check();
        vault.now_ms += 5_000;
    }
    vault.hasten().unwrap();
    let attempt = vault.begin().unwrap();
    let rotation = vault.promote(attempt).unwrap().rotation.unwrap();
    assert_eq!((rotation.failures, rotation.last_fault, rotation.next_attempt_at), (0, None, None));
}

#[test]
fn a_pause_has_a_limit_and_can_be_cut_short() {
    let mut vault = Vault::with_target(0);
    vault.prepare(2).unwrap();
    let attempt = vault.begin().unwrap();
    let now = Timestamp::from_unix_ms(vault.now_ms);
    let failed = vault.fail(Some(attempt), u64::MAX).unwrap();
    assert_eq!(failed.due_at(), Some(now.plus_ms(RETRY_AFTER_MS_MAX)));
    assert_eq!(vault.hasten().unwrap().due_at(), Some(now));
    vault.check();
}

/// Also a rotation without a target can fail, while key management is away.
#[test]
fn what_fails_before_anything_is_pending_is_told_and_tried_again_too() {
    let mut vault = Vault::new();
    vault.create(None, 0).unwrap();
    vault.now_ms += INTERVAL * 1_000;
    let due = Timestamp::from_unix_ms(vault.now_ms);
    let failed = vault.fail(None, 2_000).unwrap();
    assert_eq!((failed.next_rotation_at, failed.due_at()), (Some(due), Some(due.plus_ms(2_000))));
    let [entry] = rotation_due::first(&vault.rows, 9).unwrap().try_into().unwrap();
    assert_eq!(entry.overdue_since, Some(due));
    let rotated = vault.rotate().unwrap();
    assert_eq!(rotated.rotation.unwrap().failures, 0);
    vault.check();
}

#[test]
fn the_password_of_a_secret_with_a_target_changes_by_rotation_alone_or_by_a_word() {
    let mut vault = Vault::with_target(0);
    assert_eq!(vault.rotate(), Err(Refusal::HasTarget));
    assert_eq!(vault.update(Some(sealed(5)), None, None), Err(Refusal::HasTarget));
    assert_eq!(vault.update(Some(sealed(5)), Some(Setting::Clear), None), Err(Refusal::HasTarget));
    vault.update(Some(sealed(5)), None, Some(true)).unwrap();
    assert_eq!(vault.live(), [5]);
    vault.update(None, Some(Setting::Clear), None).unwrap();
    vault.rotate().unwrap();
    vault.check();
}

#[test]
fn a_pending_password_gives_way_only_to_one_that_the_database_has() {
    let mut vault = Vault::with_target(60);
    vault.prepare(2).unwrap();
    assert_eq!(vault.update(None, Some(Setting::Clear), None), Err(Refusal::RotationPending));
    vault.update(None, None, None).unwrap();
    assert_eq!(vault.stored().len(), 2);
    let updated = vault.update(Some(sealed(5)), None, Some(true)).unwrap();
    assert_eq!((vault.live(), updated.pending()), (vec![1, 5], None));
    vault.check();
}

#[test]
fn nobody_decides_about_a_password_while_it_is_being_applied() {
    let mut vault = Vault::with_target(0);
    vault.prepare(2).unwrap();
    let attempt = vault.begin().unwrap();
    let moved = Some(Setting::Set(target("db2")));
    assert_eq!(vault.update(Some(sealed(5)), None, Some(true)), Err(Refusal::RotationRunning));
    assert_eq!(vault.update(None, moved.clone(), None), Err(Refusal::RotationRunning));
    vault.now_ms += ATTEMPT_MAX.get() * 1_000;
    let updated = vault.update(None, moved, None).unwrap();
    assert_eq!(updated.due_at(), Some(Timestamp::from_unix_ms(vault.now_ms)));
    assert_eq!(vault.promote(attempt), Err(Refusal::AttemptTakenOver), "that was another database");
    vault.check();
}

#[test]
fn deleting_takes_the_pending_version_along() {
    let mut vault = Vault::with_target(60);
    vault.prepare(2).unwrap();
    vault.begin().unwrap();
    vault.run(Command::DeleteSecret(DeleteSecret { name: name() })).unwrap();
    vault.check();
}

#[test]
fn a_pending_version_counts_towards_the_limit() {
    let mut vault = Vault::with_target(1_000_000);
    for _ in 1..STORED_VERSIONS_MAX {
        vault.prepare(2).unwrap();
        let attempt = vault.begin().unwrap();
        vault.promote(attempt).unwrap();
    }
    assert_eq!(vault.prepare(2), Err(Refusal::TooManyVersions));
    vault.check();
}

/// Rows of a cluster below the level must stay as its older members write them.
#[test]
fn below_the_level_nothing_is_noted_of_rotations() {
    let mut vault = Vault { rows: BTreeMap::new(), now_ms: 1_000 };
    vault.run(Command::InitializeCluster(InitializeCluster { cluster_id: [1; 16] })).unwrap();
    vault.create(None, 0).unwrap();
    assert_eq!(vault.rotate().unwrap().rotation, None);
}

#[derive(Debug, Clone)]
enum Step {
    Prepare,
    Begin,
    Promote,
    Fail,
    Hasten,
    Override,
    Retarget,
    Untarget,
    Delete,
    Create,
    Expire,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Prepare),
        4 => Just(Step::Begin),
        3 => Just(Step::Promote),
        2 => Just(Step::Fail),
        1 => Just(Step::Hasten),
        1 => Just(Step::Override),
        1 => Just(Step::Retarget),
        1 => Just(Step::Untarget),
        1 => Just(Step::Delete),
        2 => Just(Step::Create),
        1 => Just(Step::Expire),
        2 => (1..90_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever the order: tables agree, and a password that a database may have, since an attempt on it was begun, is
    /// stored until another is current that the database was seen or said to have.
    #[test]
    fn no_order_of_steps_loses_a_password(steps in prop::collection::vec(step(), 1..60)) {
        let mut vault = Vault::with_target(30);
        let mut applied = None;
        for (step, mark) in steps.into_iter().zip(10_u8..) {
            let there = secrets::get(&vault.rows, &name()).unwrap();
            let attempt = there.as_ref().and_then(Secret::pending).map_or(0, |pending| pending.attempts);
            match step {
                Step::Create => drop(vault.create(Some(target("db1")), 30)),
                Step::Wait(ms) => vault.now_ms += ms,
                Step::Expire => {
                    let due = expiry_due::first(&vault.rows, 100).unwrap();
                    drop(vault.run(Command::RemoveExpired(RemoveExpired { due })));
                }
                _ if there.is_none() => {}
                Step::Prepare => drop(vault.prepare(mark)),
                Step::Begin => if vault.begin().is_ok() {
                    applied = vault.stored().last().map(|(_, version)| version.sealed.clone());
                },
                Step::Promote => if vault.promote(attempt).is_ok() { applied = None },
                Step::Fail => drop(vault.fail(Some(attempt), 1_000)),
                Step::Hasten => drop(vault.hasten()),
                Step::Override => if vault.update(Some(sealed(mark)), None, Some(true)).is_ok() { applied = None },
                Step::Retarget => drop(vault.update(None, Some(Setting::Set(target("db2"))), None)),
                Step::Untarget => drop(vault.update(None, Some(Setting::Clear), None)),
                Step::Delete => {
                    vault.run(Command::DeleteSecret(DeleteSecret { name: name() })).unwrap();
                    applied = None;
                }
            }
            vault.check();
            if let Some(applied) = &applied {
                prop_assert!(vault.stored().iter().any(|(_, version)| version.sealed == *applied));
            }
        }
    }
}
