#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use super::*;
use crate::limits::STORED_VERSIONS_MAX;
use crate::name::{RoleName, SecretName, TokenName};
use crate::policy::{Action, PathPattern, Rule};
use crate::secret::{Description, SealedVersion, Secret, SecretFormat, SecretId, SecretKind, VersionNumber};
use crate::state::table::{expiry_due, meta, rotation_due, secrets, tokens, versions};
use crate::state::{Effect, Outcome, Refusal, apply};
use crate::time::Seconds;
use crate::token::TokenFingerprint;

#[derive(Default)]
struct Vault {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    now_ms: u64,
}

impl Vault {
    fn new() -> Vault {
        let mut vault = Vault { now_ms: 1_000_000, ..Vault::default() };
        vault.run(Command::InitializeCluster(InitializeCluster { cluster_id: [1; 16] })).unwrap();
        vault
    }

    fn run(&mut self, command: Command) -> Result<Effect, Refusal> {
        let proposal = Proposal { stamp: Timestamp::from_unix_ms(self.now_ms), command, origin: None };
        let decoded = Proposal::decode(&proposal.encode()).unwrap();
        assert_eq!(decoded, proposal);
        match apply(&decoded, &mut self.rows).unwrap() {
            Outcome::Applied(effect) => Ok(effect),
            Outcome::Refused(refusal) => Err(refusal),
        }
    }

    fn secret(&mut self, command: Command) -> Result<Secret, Refusal> {
        match self.run(command)? {
            Effect::Secret(secret) => Ok(*secret),
            other => panic!("{other:?}"),
        }
    }

    fn create(&mut self, name: &str, interval: Option<u64>, grace: u64) -> Result<Secret, Refusal> {
        self.secret(Command::CreateSecret(CreateSecret {
            name: secret_name(name),
            id: SecretId::from_bytes([7; 16]),
            kind: if interval.is_some() { SecretKind::Automatic } else { SecretKind::Manual },
            format: SecretFormat::Opaque,
            description: Some(Description::parse("d").unwrap()),
            rotation_interval: interval.map(Seconds::new),
            grace_period: Seconds::new(grace),
            sealed: sealed(1),
            target: None,
            generator: None,
        }))
    }

    fn update(&mut self, secret: &Secret, material: bool) -> Result<Secret, Refusal> {
        self.secret(Command::UpdateSecret(UpdateSecret {
            name: secret.name.clone(),
            id: secret.id,
            expected: secret.current,
            description: None,
            rotation_interval: None,
            grace_period: None,
            sealed: material.then(|| sealed(9)),
            target: None,
            generator: None,
            is_applied: None,
        }))
    }

    fn rotate(&mut self, secret: &Secret) -> Result<Secret, Refusal> {
        self.secret(Command::RotateSecret(RotateSecret {
            name: secret.name.clone(),
            id: secret.id,
            expected: secret.current,
            sealed: sealed(8),
        }))
    }

    fn role(&mut self, name: &str, is_admin: bool) -> Result<Effect, Refusal> {
        let name = RoleName::parse(name).unwrap();
        self.run(Command::CreateRole(CreateRole {
            name,
            description: None,
            is_admin,
            rules: vec![],
            mac: None,
        }))
    }

    fn token(&mut self, name: &str, role: &str, byte: u8) -> Result<Effect, Refusal> {
        self.run(Command::IssueToken(IssueToken {
            name: TokenName::parse(name).unwrap(),
            role: RoleName::parse(role).unwrap(),
            fingerprint: fingerprint(byte),
            allowed_ips: None,
            expires_at: None,
            mac: None,
        }))
    }

    fn revoke(&mut self, name: &str) -> Result<Effect, Refusal> {
        self.run(Command::RevokeToken(RevokeToken { name: TokenName::parse(name).unwrap() }))
    }

    fn delete_role(&mut self, name: &str) -> Result<Effect, Refusal> {
        self.run(Command::DeleteRole(DeleteRole { name: RoleName::parse(name).unwrap() }))
    }

    fn bootstrap(&mut self, byte: u8) -> Result<Effect, Refusal> {
        self.run(Command::Bootstrap(Bootstrap { fingerprint: fingerprint(byte), mac: None }))
    }

    fn live_versions(&self, name: &str) -> Vec<u64> {
        let stored = versions::of_secret(&self.rows, &secret_name(name)).unwrap();
        stored.iter().map(|(number, _)| number.get()).collect()
    }

    fn expire(&mut self) -> usize {
        let due = expiry_due::first(&self.rows, 10).unwrap();
        match self.run(Command::RemoveExpired(RemoveExpired { due })).unwrap() {
            Effect::Removed(removed) => removed.len(),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn secret_name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

pub(super) fn fingerprint(byte: u8) -> TokenFingerprint {
    TokenFingerprint::of(&[byte])
}

pub(super) fn sealed(byte: u8) -> SealedVersion {
    SealedVersion {
        envelope_format: 1,
        kms_key_id: "local:k".to_owned(),
        wrapped_data_key: vec![byte; 60],
        nonce: [byte; 24],
        ciphertext: vec![byte; 32],
        wrapped_rotation_at: None,
    }
}

#[test]
fn a_name_is_created_once() {
    let mut vault = Vault::new();
    assert_eq!(vault.create("a", None, 0).unwrap().current, VersionNumber::FIRST);
    assert_eq!(vault.create("a", None, 0), Err(Refusal::SecretExists));
    assert_eq!(meta::counts(&vault.rows).unwrap().secrets, 1);
}

#[test]
fn metadata_alone_keeps_the_version_and_material_moves_it() {
    let mut vault = Vault::new();
    let first = vault.create("a", None, 0).unwrap();
    vault.now_ms += 1;
    let described = vault.update(&first, false).unwrap();
    assert_eq!(described.current, first.current);
    assert!(described.updated_at > first.updated_at);
    assert_eq!(vault.update(&described, true).unwrap().current.get(), 2);
}

#[test]
fn a_command_made_for_another_version_is_refused() {
    let mut vault = Vault::new();
    let first = vault.create("a", Some(60), 0).unwrap();
    vault.rotate(&first).unwrap();
    let conflict = Refusal::VersionConflict { current: VersionNumber::new(2) };
    assert_eq!(vault.rotate(&first), Err(conflict.clone()));
    assert_eq!(vault.update(&first, true), Err(conflict));
}

#[test]
fn a_command_made_for_a_deleted_secret_does_not_touch_its_namesake() {
    let mut vault = Vault::new();
    let first = vault.create("a", None, 0).unwrap();
    vault.run(Command::DeleteSecret(DeleteSecret { name: first.name.clone() })).unwrap();
    vault.create("a", None, 0).unwrap();
    let other = Secret { id: SecretId::from_bytes([8; 16]), ..first };
    assert_eq!(vault.update(&other, true), Err(Refusal::SecretNotFound));
}

#[test]
fn without_grace_the_superseded_version_is_gone_at_once() {
    let mut vault = Vault::new();
    let first = vault.create("a", None, 0).unwrap();
    vault.update(&first, true).unwrap();
    assert_eq!(vault.live_versions("a"), [2]);
    assert_eq!(meta::counts(&vault.rows).unwrap().versions, 1);
}

#[test]
fn with_grace_it_stays_until_its_second_and_is_then_removed() {
    let mut vault = Vault::new();
    let first = vault.create("a", None, 10).unwrap();
    vault.update(&first, true).unwrap();
    vault.now_ms += 9_999;
    assert_eq!(vault.expire(), 0, "grace is not over");
    assert_eq!(vault.live_versions("a"), [1, 2]);
    vault.now_ms += 1;
    assert_eq!(vault.expire(), 1);
    assert_eq!(vault.live_versions("a"), [2]);
    assert_eq!(secrets::get(&vault.rows, &secret_name("a")).unwrap().unwrap().stored_versions, 1);
    assert!(expiry_due::first(&vault.rows, 1).unwrap().is_empty());
}

#[test]
fn the_clock_never_goes_back() {
    let mut vault = Vault::new();
    let first = vault.create("a", None, 10).unwrap();
    vault.now_ms -= 500_000;
    let second = vault.update(&first, true).unwrap();
    assert_eq!(second.updated_at, first.updated_at);
    assert_eq!(vault.expire(), 0);
}

#[test]
fn versions_in_grace_are_limited() {
    let mut vault = Vault::new();
    let mut secret = vault.create("a", None, 3_600).unwrap();
    for _ in 1..STORED_VERSIONS_MAX {
        secret = vault.update(&secret, true).unwrap();
    }
    assert_eq!(vault.update(&secret, true), Err(Refusal::TooManyVersions));
    assert_eq!(vault.live_versions("a").len() as u64, STORED_VERSIONS_MAX);
}

#[test]
fn only_automatic_secrets_rotate_and_are_scheduled() {
    let mut vault = Vault::new();
    let manual = vault.create("m", None, 0).unwrap();
    assert_eq!(vault.rotate(&manual), Err(Refusal::NotAutomatic));
    let automatic = vault.create("a", Some(60), 0).unwrap();
    let due = rotation_due::first(&vault.rows, 10).unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(Some(due.first().unwrap().at), automatic.next_rotation_at);
    vault.now_ms += 61_000;
    let rotated = vault.rotate(&automatic).unwrap();
    let due = rotation_due::first(&vault.rows, 10).unwrap();
    assert_eq!(due.len(), 1, "the old entry of the index is gone");
    assert_eq!(Some(due.first().unwrap().at), rotated.next_rotation_at);
}

#[test]
fn deleting_leaves_nothing_of_the_secret_behind() {
    let mut vault = Vault::new();
    let before = vault.rows.len();
    let secret = vault.create("a", Some(60), 60).unwrap();
    vault.create("ab", None, 0).unwrap();
    vault.rotate(&secret).unwrap();
    for name in ["a", "ab"] {
        vault.run(Command::DeleteSecret(DeleteSecret { name: secret_name(name) })).unwrap();
    }
    assert_eq!(vault.rows.len(), before);
    assert_eq!(meta::counts(&vault.rows).unwrap().versions, 0);
}

#[test]
fn pages_are_by_prefix_and_after_a_name() {
    let mut vault = Vault::new();
    for name in ["a", "b/1", "b/2", "b/3", "c"] {
        vault.create(name, None, 0).unwrap();
    }
    let page = |prefix: &str, after: Option<&str>, limit| {
        let found = secrets::page(&vault.rows, prefix, after, limit).unwrap();
        found.iter().map(|secret| secret.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(page("", None, 2), ["a", "b/1"]);
    assert_eq!(page("b/", None, 10), ["b/1", "b/2", "b/3"]);
    assert_eq!(page("b/", Some("b/1"), 10), ["b/2", "b/3"]);
    assert_eq!(page("b/", Some("a"), 1), ["b/1"]);
    assert_eq!(page("b/", Some("c"), 10), [""; 0]);
}

#[test]
fn the_admin_role_is_there_from_the_start_and_nobodys_to_change() {
    let mut vault = Vault::new();
    let admin = RoleName::parse("admin").unwrap();
    assert_eq!(vault.role("admin", false), Err(Refusal::RoleExists));
    assert_eq!(vault.delete_role("admin"), Err(Refusal::RoleBuiltIn));
    let rules = vec![Rule { action: Action::Any, path: PathPattern::parse("*").unwrap() }];
    assert_eq!(
        vault.run(Command::SetRules(SetRules { name: admin, rules, mac: None, created_at: None })),
        Err(Refusal::RoleBuiltIn)
    );
}

#[test]
fn a_role_with_unrevoked_tokens_stays() {
    let mut vault = Vault::new();
    vault.role("r", false).unwrap();
    vault.token("t", "r", 1).unwrap();
    assert_eq!(vault.delete_role("r"), Err(Refusal::RoleInUse));
    vault.revoke("t").unwrap();
    vault.delete_role("r").unwrap();
    assert_eq!(vault.delete_role("r"), Err(Refusal::RoleNotFound));
}

#[test]
fn a_token_name_is_free_again_once_revoked() {
    let mut vault = Vault::new();
    assert_eq!(vault.token("t", "none", 1), Err(Refusal::RoleNotFound));
    vault.token("t", "admin", 1).unwrap();
    assert_eq!(vault.token("t", "admin", 2), Err(Refusal::TokenExists));
    vault.revoke("t").unwrap();
    assert_eq!(vault.revoke("t"), Err(Refusal::TokenNotFound));
    vault.token("t", "admin", 2).unwrap();
    let token = tokens::get(&vault.rows, &TokenName::parse("t").unwrap()).unwrap().unwrap();
    assert_eq!((token.fingerprint, token.revoked_at), (fingerprint(2), None));
    assert_eq!(meta::counts(&vault.rows).unwrap().tokens, 1);
}

#[test]
fn a_use_is_noted_for_the_token_it_was_of_and_never_goes_back() {
    let mut vault = Vault::new();
    vault.token("t", "admin", 1).unwrap();
    let mut touch = |byte, at| {
        let name = TokenName::parse("t").unwrap();
        let uses = vec![TokenUse {
            name: name.clone(),
            fingerprint: fingerprint(byte),
            at: Timestamp::from_unix_ms(at),
        }];
        vault.run(Command::TouchTokens(TouchTokens { uses })).unwrap();
        let token = tokens::get(&vault.rows, &name).unwrap().unwrap();
        token.last_used_at.map(Timestamp::as_unix_ms)
    };
    assert_eq!(touch(2, 5), None);
    assert_eq!(touch(1, 5), Some(5));
    assert_eq!(touch(1, 3), Some(5));
}

#[test]
fn a_revoked_bootstrap_token_never_comes_back_and_another_only_without_a_live_admin() {
    let mut vault = Vault::new();
    vault.bootstrap(1).unwrap();
    assert_eq!(vault.bootstrap(1), Err(Refusal::BootstrapTaken));
    assert_eq!(vault.bootstrap(2), Err(Refusal::LiveAdminExists));
    vault.token("second", "admin", 3).unwrap();
    vault.revoke("bootstrap-admin").unwrap();
    assert_eq!(vault.bootstrap(1), Err(Refusal::BootstrapTaken));
    assert_eq!(vault.bootstrap(2), Err(Refusal::LiveAdminExists));
    vault.revoke("second").unwrap();
    assert_eq!(vault.bootstrap(1), Err(Refusal::BootstrapTaken));
    vault.bootstrap(2).unwrap();
    vault.revoke("bootstrap-admin").unwrap();
    for byte in [1, 2] {
        assert_eq!(vault.bootstrap(byte), Err(Refusal::BootstrapTaken));
    }
}
