//! Re-wrapping: what is pending is what a look at every version says, and nothing is replaced by what isn't the same.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::name::SecretName;
use crate::secret::{SealedVersion, SecretFormat, SecretId, SecretKind, VersionNumber};
use crate::state::table::meta::WrappedIntegrityKey;
use crate::state::table::rewrap::{self, Pass, Pending};
use crate::state::table::{expiry_due, meta, secrets, versions, wraps};
use crate::state::{Effect, Outcome, Refusal, apply};
use crate::time::Seconds;
use crate::wrap::{WrapEpoch, wrapped_fingerprint};

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// Secrets, with the wrapped key of each version told apart by a number.
struct Vault {
    rows: Table,
    now_ms: u64,
    wrapped: u64,
}

impl Vault {
    fn new() -> Vault {
        let mut vault = Vault { rows: Table::new(), now_ms: 1_000, wrapped: 0 };
        vault.run(Command::InitializeCluster(InitializeCluster { cluster_id: [1; 16] })).unwrap();
        let key = WrappedIntegrityKey {
            kms_key_id: "k1".to_owned(),
            wrapped: vec![7; 9],
            wrapped_rotation_at: None,
        };
        vault.run(Command::InstallIntegrityKey(InstallIntegrityKey { key })).unwrap();
        vault
    }

    fn run(&mut self, command: Command) -> Result<Effect, Refusal> {
        self.now_ms += 1;
        let proposal = Proposal { stamp: Timestamp::from_unix_ms(self.now_ms), command, origin: None };
        match apply(&proposal, &mut self.rows).unwrap() {
            Outcome::Applied(effect) => Ok(effect),
            Outcome::Refused(refusal) => Err(refusal),
        }
    }

    fn sealed(&mut self, epoch: &WrapEpoch) -> SealedVersion {
        self.wrapped += 1;
        SealedVersion {
            envelope_format: 1,
            kms_key_id: epoch.kms_key_id.clone(),
            wrapped_data_key: self.wrapped.to_be_bytes().to_vec(),
            nonce: [3; 24],
            ciphertext: vec![4; 20],
            wrapped_rotation_at: epoch.rotation_at,
        }
    }

    fn create(&mut self, name: &SecretName, epoch: &WrapEpoch, grace_secs: u64) -> Result<Effect, Refusal> {
        let sealed = self.sealed(epoch);
        self.run(Command::CreateSecret(CreateSecret {
            name: name.clone(),
            id: SecretId::from_bytes([7; 16]),
            kind: SecretKind::Manual,
            format: SecretFormat::Opaque,
            description: None,
            rotation_interval: None,
            grace_period: Seconds::new(grace_secs),
            sealed,
            target: None,
            generator: None,
        }))
    }

    fn update(&mut self, name: &SecretName, epoch: &WrapEpoch) {
        let Some(secret) = secrets::get(&self.rows, name).unwrap() else { return };
        let sealed = Some(self.sealed(epoch));
        let (id, expected) = (secret.id, secret.current);
        self.run(Command::UpdateSecret(UpdateSecret {
            name: name.clone(),
            id,
            expected,
            description: None,
            rotation_interval: None,
            grace_period: None,
            sealed,
            target: None,
            generator: None,
            is_applied: None,
        }))
        .unwrap();
    }

    fn delete(&mut self, name: &SecretName) {
        let _ = self.run(Command::DeleteSecret(DeleteSecret { name: name.clone() }));
    }

    fn expire(&mut self) {
        self.now_ms += 5_000;
        let due = expiry_due::first(&self.rows, 100).unwrap();
        self.run(Command::RemoveExpired(RemoveExpired { due })).unwrap();
    }

    fn begin(&mut self, target: &WrapEpoch) -> Result<Effect, Refusal> {
        self.run(Command::BeginRewrap(BeginRewrap { target: target.clone() }))
    }

    fn pass(&self) -> u64 {
        rewrap::get(&self.rows).unwrap().unwrap().pass.unwrap().number
    }

    /// What a worker would propose for a version, wrapped by `key_id`.
    fn rewrapped(&mut self, name: &SecretName, version: VersionNumber, key_id: &str) -> RewrappedVersion {
        let stored = versions::get(&self.rows, name, version).unwrap().unwrap();
        self.wrapped += 1;
        let key = RewrappedKey {
            replaces: wrapped_fingerprint(&stored.sealed.wrapped_data_key),
            kms_key_id: key_id.to_owned(),
            wrapped: self.wrapped.to_be_bytes().to_vec(),
        };
        RewrappedVersion { name: name.clone(), version, key }
    }

    fn rewrap(&mut self, versions: Vec<RewrappedVersion>) -> Result<Effect, Refusal> {
        let (pass, scanned) = (self.pass(), versions.len() as u64);
        self.run(Command::RewrapKeys(RewrapKeys { pass, versions, integrity_key: None, scanned, failed: 0 }))
    }

    fn rewrap_integrity_key(&mut self, key_id: &str) {
        let stored = meta::integrity_key(&self.rows).unwrap().unwrap();
        let key = RewrappedKey {
            replaces: wrapped_fingerprint(&stored.wrapped),
            kms_key_id: key_id.to_owned(),
            wrapped: vec![8; 9],
        };
        let pass = self.pass();
        let integrity_key = Some(key);
        let rewrap = RewrapKeys { pass, versions: vec![], integrity_key, scanned: 0, failed: 0 };
        self.run(Command::RewrapKeys(rewrap)).unwrap();
    }

    fn end(&mut self) -> Result<Effect, Refusal> {
        let pass = self.pass();
        self.run(Command::EndRewrap(EndRewrap { pass }))
    }

    fn pending(&self) -> Pending {
        rewrap::pending(&self.rows).unwrap()
    }

    /// Every stored version, from the rows of the versions themselves.
    fn scanned(&self, names: &[SecretName]) -> Vec<(WrapEpoch, SecretName, VersionNumber)> {
        let of = |name: &SecretName| versions::of_secret(&self.rows, name).unwrap();
        let all = names.iter().flat_map(|name| {
            of(name).into_iter().map(|(number, version)| (version.sealed.epoch(), name.clone(), number))
        });
        all.collect()
    }
}

fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

fn epoch(key_id: &str, rotation_at: Option<u64>) -> WrapEpoch {
    WrapEpoch { kms_key_id: key_id.to_owned(), rotation_at: rotation_at.map(Timestamp::from_unix_ms) }
}

#[test]
fn a_baseline_leaves_nothing_to_do_and_is_adopted_once() {
    let mut vault = Vault::new();
    vault.create(&name("a"), &epoch("k1", None), 0).unwrap();
    let target = epoch("k1", Some(5));
    vault.run(Command::AdoptRotation(AdoptRotation { target: target.clone() })).unwrap();
    assert_eq!(vault.pending(), Pending { total_versions: 1, versions: 0, integrity_key: false });
    let adopted = rewrap::get(&vault.rows).unwrap().unwrap();
    assert_eq!(adopted.completed_rotation_at, Some(Timestamp::from_unix_ms(5)));
    let again = vault.run(Command::AdoptRotation(AdoptRotation { target: epoch("k1", Some(9)) }));
    assert_eq!(again, Err(Refusal::RotationAdopted));
}

#[test]
fn a_pass_is_complete_when_versions_and_integrity_key_are_wrapped_by_the_target() {
    let mut vault = Vault::new();
    let (old, target) = (epoch("k1", None), epoch("k1", Some(5)));
    for secret in ["a", "b"] {
        vault.create(&name(secret), &old, 0).unwrap();
    }
    assert_eq!(vault.begin(&target), Ok(Effect::RewrapBegun { number: 1 }));
    assert_eq!(vault.pending(), Pending { total_versions: 2, versions: 2, integrity_key: true });

    let before = versions::get(&vault.rows, &name("a"), VersionNumber::FIRST).unwrap().unwrap();
    let a = vault.rewrapped(&name("a"), VersionNumber::FIRST, "k1");
    assert_eq!(vault.rewrap(vec![a.clone()]), Ok(Effect::Rewrapped(1)));
    let after = versions::get(&vault.rows, &name("a"), VersionNumber::FIRST).unwrap().unwrap();
    let mut expected = before;
    expected.sealed.wrapped_data_key = a.key.wrapped.clone();
    expected.sealed.wrapped_rotation_at = target.rotation_at;
    assert_eq!(after, expected);
    assert_eq!(vault.rewrap(vec![a]), Ok(Effect::Rewrapped(0)), "the same once more changes nothing");

    let Ok(Effect::RewrapEnded(ended)) = vault.end() else { panic!("not ended") };
    assert!(!ended.complete);
    assert_eq!(ended.pass, Pass { number: 1, scanned: 2, rewrapped: 1, failed: 0 });
    assert_eq!(rewrap::get(&vault.rows).unwrap().unwrap().completed_rotation_at, None);

    vault.begin(&target).unwrap();
    let b = vault.rewrapped(&name("b"), VersionNumber::FIRST, "k1");
    vault.rewrap(vec![b]).unwrap();
    vault.rewrap_integrity_key("k1");
    assert!(vault.pending().is_nothing());
    let Ok(Effect::RewrapEnded(ended)) = vault.end() else { panic!("not ended") };
    assert!(ended.complete);
    assert_eq!(rewrap::get(&vault.rows).unwrap().unwrap().completed_rotation_at, target.rotation_at);
}

#[test]
fn a_key_is_replaced_only_by_what_was_made_from_it() {
    let mut vault = Vault::new();
    let old = epoch("k1", None);
    vault.create(&name("a"), &old, 0).unwrap();
    vault.begin(&epoch("k1", Some(5))).unwrap();
    let made_of_the_first = vault.rewrapped(&name("a"), VersionNumber::FIRST, "k1");
    vault.delete(&name("a"));
    assert_eq!(vault.rewrap(vec![made_of_the_first.clone()]), Ok(Effect::Rewrapped(0)));
    // Another secret of the same name and number.
    vault.create(&name("a"), &old, 0).unwrap();
    let before = vault.rows.clone();
    assert_eq!(vault.rewrap(vec![made_of_the_first]), Ok(Effect::Rewrapped(0)));
    let changed: Vec<_> = vault.rows.iter().filter(|(key, row)| before.get(*key) != Some(*row)).collect();
    assert!(changed.iter().all(|(key, _)| key[0] == 1), "only the counts of the pass: {changed:?}");
}

#[test]
fn what_was_wrapped_by_another_key_than_the_target_stays_pending() {
    let mut vault = Vault::new();
    vault.create(&name("a"), &epoch("k1", None), 0).unwrap();
    vault.begin(&epoch("k2", Some(5))).unwrap();
    let a = vault.rewrapped(&name("a"), VersionNumber::FIRST, "k3");
    assert_eq!(vault.rewrap(vec![a]), Ok(Effect::Rewrapped(1)));
    let stored = versions::get(&vault.rows, &name("a"), VersionNumber::FIRST).unwrap().unwrap();
    assert_eq!(stored.sealed.epoch(), epoch("k3", None));
    assert_eq!(vault.pending().versions, 1);
}

#[test]
fn one_pass_runs_at_a_time_and_its_number_is_asked_for() {
    let mut vault = Vault::new();
    let ended = Err(Refusal::RewrapEnded);
    assert_eq!(vault.run(Command::EndRewrap(EndRewrap { pass: 1 })), ended);
    vault.begin(&epoch("k1", Some(5))).unwrap();
    assert_eq!(vault.begin(&epoch("k1", Some(6))), Err(Refusal::RewrapRunning));
    let stale = RewrapKeys { pass: 9, versions: vec![], integrity_key: None, scanned: 1, failed: 1 };
    assert_eq!(vault.run(Command::RewrapKeys(stale)), ended);
    assert_eq!(vault.run(Command::EndRewrap(EndRewrap { pass: 9 })), ended);
    assert_eq!(vault.pass(), 1);
    vault.end().unwrap();
    assert_eq!(vault.begin(&epoch("k1", Some(5))), Ok(Effect::RewrapBegun { number: 2 }));
}

#[test]
fn a_rotation_before_the_known_one_leads_not_back() {
    let mut vault = Vault::new();
    vault.begin(&epoch("k1", Some(5))).unwrap();
    vault.end().unwrap();
    for earlier in [Some(4), None] {
        assert_eq!(vault.begin(&epoch("k1", earlier)), Err(Refusal::RotationPassed));
    }
    assert!(vault.begin(&epoch("k2", None)).is_ok(), "another key has rotations of its own");
}

#[test]
fn the_index_goes_on_after_the_last_one_seen() {
    let mut vault = Vault::new();
    let epochs = [epoch("k1", None), epoch("k1", Some(2)), epoch("k0", None)];
    let names: Vec<_> = (0..30).map(|number| name(&format!("s{number:02}"))).collect();
    for (number, name) in names.iter().enumerate() {
        vault.create(name, &epochs[number % 3], 0).unwrap();
    }
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let page = wraps::pending(&vault.rows, &epochs[1], last.as_ref(), 7).unwrap();
        assert!(page.len() <= 7);
        let Some(end) = page.last().cloned() else { break };
        seen.extend(page);
        last = Some(end);
    }
    let found: BTreeSet<_> = seen.iter().map(|wrap| wrap.name.to_string()).collect();
    assert_eq!((seen.len(), found.len()), (20, 20));
}

#[derive(Debug, Clone)]
enum Step {
    Create(usize, usize, u64),
    Update(usize, usize),
    Delete(usize),
    Expire,
    Begin(usize),
    Rewrap(usize, usize),
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_usize, 0..4_usize, 0..3_u64).prop_map(|(name, epoch, grace)| Step::Create(name, epoch, grace)),
        (0..4_usize, 0..4_usize).prop_map(|(name, epoch)| Step::Update(name, epoch)),
        (0..4_usize).prop_map(Step::Delete),
        Just(Step::Expire),
        (0..4_usize).prop_map(Step::Begin),
        (0..4_usize, 0..4_usize).prop_map(|(name, epoch)| Step::Rewrap(name, epoch)),
        Just(Step::End),
    ]
}

proptest! {
    #[test]
    fn the_index_and_the_counts_are_what_a_look_at_every_version_says(
        steps in prop::collection::vec(step(), 0..60)
    ) {
        let names = ["a", "a/b", "ab", "b"].map(name);
        let epochs = [epoch("k1", None), epoch("k1", Some(1)), epoch("k1", Some(2)), epoch("k2", None)];
        let mut vault = Vault::new();
        for step in steps {
            match step {
                Step::Create(name, epoch, grace) => drop(vault.create(&names[name], &epochs[epoch], grace)),
                Step::Update(name, epoch) => vault.update(&names[name], &epochs[epoch]),
                Step::Delete(name) => vault.delete(&names[name]),
                Step::Expire => vault.expire(),
                Step::Begin(epoch) => drop(vault.begin(&epochs[epoch])),
                Step::Rewrap(name, epoch) => rewrap_current(&mut vault, &names[name], &epochs[epoch]),
                Step::End if rewrap::get(&vault.rows).unwrap().is_some_and(|r| r.pass.is_some()) => {
                    drop(vault.end());
                }
                Step::End => {}
            }
            agree(&vault, &names);
        }
    }
}

fn rewrap_current(vault: &mut Vault, name: &SecretName, epoch: &WrapEpoch) {
    let running = rewrap::get(&vault.rows).unwrap().is_some_and(|rewrap| rewrap.pass.is_some());
    if let (Some(secret), true) = (secrets::get(&vault.rows, name).unwrap(), running) {
        let rewrapped = vault.rewrapped(name, secret.current, &epoch.kms_key_id);
        vault.rewrap(vec![rewrapped]).unwrap();
    }
}

fn agree(vault: &Vault, names: &[SecretName]) {
    let stored = vault.scanned(names);
    let mut counts: BTreeMap<[u8; 16], u64> = BTreeMap::new();
    for (epoch, _, _) in &stored {
        *counts.entry(epoch.id()).or_default() += 1;
    }
    let counted = wraps::epochs(&vault.rows).unwrap();
    let counted: BTreeMap<_, _> =
        counted.into_iter().map(|count| (count.epoch.id(), count.versions)).collect();
    assert_eq!(counted, counts);
    assert_eq!(meta::counts(&vault.rows).unwrap().versions, stored.len() as u64);

    let target = rewrap::get(&vault.rows).unwrap().map(|rewrap| rewrap.target);
    let target = target.unwrap_or(epoch("none", None));
    let expected: BTreeSet<_> = stored
        .iter()
        .filter(|(epoch, _, _)| *epoch != target)
        .map(|(epoch, name, number)| (epoch.id(), name.clone(), *number))
        .collect();
    let found = wraps::pending(&vault.rows, &target, None, 1_000).unwrap();
    let found: BTreeSet<_> = found.into_iter().map(|wrap| (wrap.epoch, wrap.name, wrap.version)).collect();
    assert_eq!(found, expected);
    if rewrap::get(&vault.rows).unwrap().is_some_and(|rewrap| rewrap.sweeps) {
        assert_eq!(vault.pending().versions, expected.len() as u64);
    }
}
