//! What the commands leave of the MACs that they bring.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use super::tests::{fingerprint, sealed, secret_name};
use super::*;
use crate::grant::GrantMac;
use crate::name::{RoleName, TokenName};
use crate::policy::{Action, PathPattern, Role, Rule};
use crate::secret::{Description, SecretFormat, SecretId, SecretKind};
use crate::state::table::meta::WrappedIntegrityKey;
use crate::state::table::{meta, roles, tokens};
use crate::state::{Effect, Outcome, Refusal, apply};
use crate::time::Seconds;

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

const MAC: GrantMac = GrantMac::from_bytes([1; 32]);
const OTHER_MAC: GrantMac = GrantMac::from_bytes([2; 32]);

fn run_at(rows: &mut Table, now_ms: u64, command: Command) -> Result<Effect, Refusal> {
    let stamp = Timestamp::from_unix_ms(now_ms);
    match apply(&Proposal { stamp, command, origin: None }, rows).unwrap() {
        Outcome::Applied(effect) => Ok(effect),
        Outcome::Refused(refusal) => Err(refusal),
    }
}

fn run(rows: &mut Table, command: Command) -> Result<Effect, Refusal> {
    run_at(rows, 1_000, command)
}

fn initialized() -> Table {
    let mut rows = Table::new();
    run(&mut rows, Command::InitializeCluster(InitializeCluster { cluster_id: [1; 16] })).unwrap();
    rows
}

fn install() -> Command {
    let key =
        WrappedIntegrityKey { kms_key_id: "k".to_owned(), wrapped: vec![1, 2], wrapped_rotation_at: None };
    Command::InstallIntegrityKey(InstallIntegrityKey { key })
}

fn rule(path: &str) -> Rule {
    Rule { action: Action::Read, path: PathPattern::parse(path).unwrap() }
}

fn ops() -> RoleName {
    RoleName::parse("ops").unwrap()
}

fn create_role() -> CreateRole {
    let description = Some(Description::parse("d").unwrap());
    CreateRole { name: ops(), description, is_admin: false, rules: vec![rule("a/*")], mac: Some(MAC) }
}

fn issue_token() -> IssueToken {
    IssueToken {
        name: TokenName::parse("bot").unwrap(),
        role: ops(),
        fingerprint: fingerprint(1),
        allowed_ips: Some(vec!["10.0.0.0/8".to_owned(), "::1".to_owned()]),
        expires_at: Some(Timestamp::from_unix_ms(9_000)),
        mac: Some(MAC),
    }
}

fn role(rows: &Table) -> Role {
    roles::get(rows, &ops()).unwrap().unwrap()
}

#[test]
fn the_integrity_key_is_installed_once_and_only_over_nothing() {
    assert_eq!(run(&mut Table::new(), install()), Err(Refusal::ClusterNotInitialized));
    let mut rows = initialized();
    assert_eq!(run(&mut rows, install()), Ok(Effect::Done));
    assert_eq!(run(&mut rows, install()), Err(Refusal::IntegrityKeyExists));
    assert_eq!(meta::integrity_key(&rows).unwrap().unwrap().wrapped, [1, 2]);
}

/// Whoever removed the key's row from a disk would have a new key vouch for what he wrote there.
#[test]
fn no_integrity_key_is_installed_over_secrets_roles_or_tokens() {
    let secret = CreateSecret {
        name: secret_name("a"),
        id: SecretId::from_bytes([7; 16]),
        kind: SecretKind::Manual,
        format: SecretFormat::Opaque,
        description: None,
        rotation_interval: None,
        grace_period: Seconds::ZERO,
        sealed: sealed(1),
        target: None,
        generator: None,
    };
    let bootstrap = Bootstrap { fingerprint: fingerprint(3), mac: None };
    let firsts =
        [Command::CreateSecret(secret), Command::CreateRole(create_role()), Command::Bootstrap(bootstrap)];
    for first in firsts {
        let mut rows = initialized();
        run(&mut rows, first).unwrap();
        assert_eq!(run(&mut rows, install()), Err(Refusal::NotPristine));
        assert_eq!(meta::integrity_key(&rows), Ok(None));
    }
}

#[test]
fn a_row_grants_what_its_command_said() {
    let mut rows = initialized();
    run(&mut rows, Command::CreateRole(create_role())).unwrap();
    assert_eq!((role(&rows).granted(), role(&rows).mac), (create_role().granted(), Some(MAC)));

    let Ok(Effect::Token(token)) = run(&mut rows, Command::IssueToken(issue_token())) else { panic!() };
    assert_eq!((token.granted(), token.mac), (issue_token().granted(), Some(MAC)));

    let bootstrap = Bootstrap { fingerprint: fingerprint(3), mac: Some(MAC) };
    run(&mut rows, Command::RevokeToken(RevokeToken { name: issue_token().name })).unwrap();
    let Ok(Effect::Token(admin)) = run(&mut rows, Command::Bootstrap(bootstrap.clone())) else { panic!() };
    assert_eq!((Some(admin.granted()), admin.mac), (bootstrap.granted(), Some(MAC)));
}

#[test]
fn new_rules_bring_their_own_mac_for_this_very_role() {
    let mut rows = initialized();
    run(&mut rows, Command::CreateRole(create_role())).unwrap();
    let rules = vec![rule("b"), rule("c/*")];
    let set = SetRules {
        name: ops(),
        rules,
        mac: Some(OTHER_MAC),
        created_at: Some(Timestamp::from_unix_ms(1_000)),
    };
    let expected = set.granted(&role(&rows));
    run(&mut rows, Command::SetRules(set.clone())).unwrap();
    assert_eq!((role(&rows).granted(), role(&rows).mac), (expected, Some(OTHER_MAC)));

    // Made anew meanwhile, by way of another node.
    run(&mut rows, Command::DeleteRole(DeleteRole { name: ops() })).unwrap();
    run_at(&mut rows, 2_000, Command::CreateRole(create_role())).unwrap();
    let before = role(&rows);
    assert_eq!(run(&mut rows, Command::SetRules(set)), Err(Refusal::RoleNotFound));
    assert_eq!(role(&rows), before);
}

#[test]
fn a_revoked_token_has_no_mac_and_a_used_one_keeps_it() {
    let mut rows = initialized();
    run(&mut rows, Command::CreateRole(create_role())).unwrap();
    run(&mut rows, Command::IssueToken(issue_token())).unwrap();
    let (name, fingerprint) = (issue_token().name, fingerprint(1));
    let uses = vec![TokenUse { name: name.clone(), fingerprint, at: Timestamp::from_unix_ms(1) }];
    run(&mut rows, Command::TouchTokens(TouchTokens { uses })).unwrap();
    let used = tokens::get(&rows, &name).unwrap().unwrap();
    assert_eq!((used.mac, used.granted()), (Some(MAC), issue_token().granted()));
    run(&mut rows, Command::RevokeToken(RevokeToken { name: name.clone() })).unwrap();
    assert_eq!(tokens::get(&rows, &name).unwrap().unwrap().mac, None);
}

#[test]
fn no_two_grants_have_the_same_bytes() {
    let role = create_role();
    let roles = [
        role.clone(),
        CreateRole { is_admin: true, ..role.clone() },
        CreateRole { description: None, ..role.clone() },
        CreateRole { description: Some(Description::parse("").unwrap()), ..role.clone() },
        CreateRole { rules: vec![], ..role.clone() },
        CreateRole { rules: vec![rule("a/*"), rule("a/*")], ..role.clone() },
        CreateRole { rules: vec![rule("a")], ..role.clone() },
        CreateRole { name: RoleName::parse("op").unwrap(), ..role },
    ];
    let token = issue_token();
    let tokens = [
        token.clone(),
        IssueToken { expires_at: None, ..token.clone() },
        IssueToken { expires_at: Some(Timestamp::EPOCH), ..token.clone() },
        IssueToken { allowed_ips: None, ..token.clone() },
        IssueToken { allowed_ips: Some(vec![]), ..token.clone() },
        IssueToken { allowed_ips: Some(vec!["10.0.0.0/8::1".to_owned()]), ..token.clone() },
        IssueToken { fingerprint: fingerprint(2), ..token.clone() },
        IssueToken { role: RoleName::parse("admin").unwrap(), ..token.clone() },
        IssueToken { name: TokenName::parse("bo").unwrap(), ..token },
    ];
    let mut all: Vec<_> =
        roles.iter().map(CreateRole::granted).chain(tokens.iter().map(IssueToken::granted)).collect();
    let made = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), made);
}
