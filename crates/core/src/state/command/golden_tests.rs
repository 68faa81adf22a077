//! The bytes of what stands in the log: written once, read by every later build.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::tests::{fingerprint, sealed, secret_name};
use super::*;
use crate::generator::Generator;
use crate::grant::GrantMac;
use crate::name::{RoleName, TokenName};
use crate::policy::{Action, PathPattern, Rule};
use crate::rotation::RotationFault;
use crate::secret::{Description, SealedVersion, SecretFormat, SecretId, SecretKind, VersionNumber};
use crate::state::table::expiry_due;
use crate::state::table::meta::WrappedIntegrityKey;
use crate::target::{Target, TargetText};
use crate::time::Seconds;
use crate::wrap::WrapEpoch;

const STAMP: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
const ORIGIN: Origin = Origin { node_id: 3, session: 0x0123_4567_89ab_cdef, sequence: 300 };

const MAC: Option<GrantMac> = Some(GrantMac::from_bytes([9; 32]));

/// The lines of a file of vectors that aren't remarks.
fn lines(vectors: &str) -> Vec<&str> {
    vectors.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn an_unknown_command_is_an_error_and_not_skipped() {
    let mut bytes = Vec::new();
    let mut encoder = minicbor::Encoder::new(&mut bytes);
    encoder.array(2).unwrap().u64(1).unwrap().array(2).unwrap().u32(99).unwrap().array(0).unwrap();
    let error = Proposal::decode(&bytes).unwrap_err().to_string();
    assert!(error.contains("run the version that wrote it"), "{error}");
}

/// The bytes of every command at level 1: a log written by this build must be readable by all later ones.
#[test]
fn the_commands_of_level_1_are_these_bytes() {
    let expected = lines(include_str!("../../../tests/vectors/commands_level_1.txt"));
    let encoded: Vec<String> = one_of_each_of_level_1()
        .into_iter()
        .map(|command| Proposal { stamp: STAMP, command, origin: None })
        .map(|proposal| hex::encode(proposal.encode()))
        .collect();
    assert_eq!(encoded, expected, "\n{}\n", encoded.join("\n"));
}

#[test]
fn what_level_2_adds_is_these_bytes() {
    let expected = lines(include_str!("../../../tests/vectors/commands_level_2.txt"));
    let encoded = level_2_additions().map(|proposal| hex::encode(proposal.encode()));
    assert_eq!(encoded.to_vec(), expected, "\n{}\n", encoded.join("\n"));
}

#[test]
fn what_level_3_adds_is_these_bytes() {
    let expected = lines(include_str!("../../../tests/vectors/commands_level_3.txt"));
    let encoded = level_3_additions().map(|proposal| hex::encode(proposal.encode()));
    assert_eq!(encoded.to_vec(), expected, "\n{}\n", encoded.join("\n"));
}

#[test]
fn what_level_4_adds_is_these_bytes() {
    let expected = lines(include_str!("../../../tests/vectors/commands_level_4.txt"));
    let encoded: Vec<String> =
        level_4_additions().iter().map(|proposal| hex::encode(proposal.encode())).collect();
    assert_eq!(encoded, expected, "\n{}\n", encoded.join("\n"));
    assert!(level_4_additions().iter().all(|proposal| proposal.command.level() == 4));
}

#[test]
fn every_golden_proposal_is_read_as_what_it_was_written_from() {
    let level_1 =
        one_of_each_of_level_1().into_iter().map(|command| Proposal { stamp: STAMP, command, origin: None });
    let written: Vec<Proposal> =
        level_1.chain(level_2_additions()).chain(level_3_additions()).chain(level_4_additions()).collect();
    let vectors = [
        include_str!("../../../tests/vectors/commands_level_1.txt"),
        include_str!("../../../tests/vectors/commands_level_2.txt"),
        include_str!("../../../tests/vectors/commands_level_3.txt"),
        include_str!("../../../tests/vectors/commands_level_4.txt"),
    ];
    let read: Vec<Proposal> = vectors
        .into_iter()
        .flat_map(lines)
        .map(|line| Proposal::decode(&hex::decode(line).unwrap()).unwrap())
        .collect();
    assert_eq!(read, written);
}

/// Until the cluster's level is raised, members of level 1 apply what newer ones propose.
#[test]
fn a_build_that_knows_no_origins_reads_past_one() {
    #[derive(Debug, PartialEq, Decode)]
    struct ProposalOfLevel1 {
        #[n(0)]
        stamp: Timestamp,
        #[n(1)]
        command: Command,
    }
    for command in one_of_each_of_level_1() {
        let bytes = Proposal { stamp: STAMP, command: command.clone(), origin: Some(ORIGIN) }.encode();
        let read: ProposalOfLevel1 = minicbor::decode(&bytes).unwrap();
        assert_eq!(read, ProposalOfLevel1 { stamp: STAMP, command });
    }
}

fn level_2_additions() -> [Proposal; 3] {
    let raise = Command::RaiseFeatureLevel(RaiseFeatureLevel { level: 2 });
    let delete = Command::DeleteSecret(DeleteSecret { name: secret_name("db/pw") });
    [
        Proposal { stamp: STAMP, command: raise.clone(), origin: None },
        Proposal { stamp: STAMP, command: raise, origin: Some(ORIGIN) },
        Proposal { stamp: STAMP, command: delete, origin: Some(ORIGIN) },
    ]
}

fn level_3_additions() -> [Proposal; 5] {
    let at = Some(Timestamp::from_unix_ms(7));
    let target = WrapEpoch { kms_key_id: "arn:k".to_owned(), rotation_at: at };
    let key = RewrappedKey { replaces: [3; 32], kms_key_id: "arn:k".to_owned(), wrapped: vec![4; 8] };
    let version =
        RewrappedVersion { name: secret_name("db/pw"), version: VersionNumber::new(3), key: key.clone() };
    let sealed = SealedVersion { wrapped_rotation_at: at, ..sealed(1) };
    let rewrap =
        RewrapKeys { pass: 2, versions: vec![version], integrity_key: Some(key), scanned: 2, failed: 1 };
    [
        Command::AdoptRotation(AdoptRotation { target: target.clone() }),
        Command::BeginRewrap(BeginRewrap { target }),
        Command::RewrapKeys(rewrap),
        Command::EndRewrap(EndRewrap { pass: 2 }),
        // What is sealed once a rotation is known says so.
        Command::RotateSecret(RotateSecret {
            name: secret_name("db/pw"),
            id: SecretId::from_bytes([7; 16]),
            expected: VersionNumber::new(3),
            sealed,
        }),
    ]
    .map(|command| Proposal { stamp: STAMP, command, origin: None })
}

fn level_4_additions() -> Vec<Proposal> {
    let (name, id, expected) = (secret_name("db/pw"), SecretId::from_bytes([7; 16]), VersionNumber::new(3));
    let (hosts, roles) = (["db1:5432".to_owned(), "[::1]:1".to_owned()], ["a".to_owned(), "b".to_owned()]);
    let target = Target::parse(&TargetText {
        kind: "postgres",
        hosts: &hosts,
        strategy: Some("alternating"),
        roles: Some(&roles),
        login_secret: Some("db/admin"),
        sslmode: Some("verify-full"),
        ..TargetText::default()
    })
    .unwrap();
    let generator = Generator::new(20, "abcdefghij").unwrap();
    let create = CreateSecret {
        name: name.clone(),
        id,
        kind: SecretKind::Automatic,
        format: SecretFormat::UserPass,
        description: None,
        rotation_interval: Some(Seconds::new(60)),
        grace_period: Seconds::ZERO,
        sealed: sealed(1),
        target: Some(target.clone()),
        generator: Some(generator.clone()),
    };
    let set = UpdateSecret {
        name: name.clone(),
        id,
        expected,
        description: None,
        rotation_interval: None,
        grace_period: None,
        sealed: None,
        target: Some(Setting::Set(target)),
        generator: Some(Setting::Set(generator)),
        is_applied: None,
    };
    let clear = UpdateSecret {
        sealed: Some(sealed(2)),
        target: Some(Setting::Clear),
        generator: Some(Setting::Clear),
        is_applied: Some(true),
        ..set.clone()
    };
    let fault = RotationFault::Unreachable;
    let fail =
        FailRotation { name: name.clone(), id, expected, attempt: Some(2), fault, retry_after_ms: 1_500 };
    let commands = [
        Command::CreateSecret(create),
        Command::UpdateSecret(set),
        Command::UpdateSecret(clear),
        Command::PrepareRotation(PrepareRotation { name: name.clone(), id, expected, sealed: sealed(3) }),
        Command::BeginAttempt(BeginAttempt { name: name.clone(), id, expected }),
        Command::PromoteVersion(PromoteVersion { name: name.clone(), id, expected, attempt: 2 }),
        Command::FailRotation(FailRotation { attempt: None, ..fail.clone() }),
        Command::FailRotation(fail),
        Command::HastenRotation(HastenRotation { name, id, expected }),
    ];
    commands.into_iter().map(|command| Proposal { stamp: STAMP, command, origin: None }).collect()
}

fn one_of_each_of_level_1() -> Vec<Command> {
    let (name, id) = (secret_name("db/pw"), SecretId::from_bytes([7; 16]));
    let (role, token) = (RoleName::parse("ops").unwrap(), TokenName::parse("bot").unwrap());
    let rules = vec![Rule { action: Action::Rotate, path: PathPattern::parse("db/*").unwrap() }];
    let (expected, at) = (VersionNumber::new(3), Timestamp::from_unix_ms(5));
    let description = Some(Description::parse("d").unwrap());
    vec![
        Command::InitializeCluster(InitializeCluster { cluster_id: [1; 16] }),
        Command::Bootstrap(Bootstrap { fingerprint: fingerprint(1), mac: MAC }),
        Command::CreateSecret(CreateSecret {
            name: name.clone(),
            id,
            kind: SecretKind::Automatic,
            format: SecretFormat::UserPass,
            description: description.clone(),
            rotation_interval: Some(Seconds::new(60)),
            grace_period: Seconds::new(5),
            sealed: sealed(1),
            target: None,
            generator: None,
        }),
        Command::UpdateSecret(UpdateSecret {
            name: name.clone(),
            id,
            expected,
            description: description.clone(),
            rotation_interval: None,
            grace_period: Some(Seconds::ZERO),
            sealed: Some(sealed(2)),
            target: None,
            generator: None,
            is_applied: None,
        }),
        Command::RotateSecret(RotateSecret { name: name.clone(), id, expected, sealed: sealed(3) }),
        Command::DeleteSecret(DeleteSecret { name: name.clone() }),
        Command::RemoveExpired(RemoveExpired {
            due: vec![expiry_due::ExpiryDue { at, name, version: expected }],
        }),
        Command::CreateRole(CreateRole {
            name: role.clone(),
            description,
            is_admin: false,
            rules: rules.clone(),
            mac: MAC,
        }),
        Command::SetRules(SetRules { name: role.clone(), rules, mac: MAC, created_at: Some(at) }),
        Command::DeleteRole(DeleteRole { name: role.clone() }),
        Command::IssueToken(IssueToken {
            name: token.clone(),
            role,
            fingerprint: fingerprint(2),
            allowed_ips: Some(vec!["10.0.0.0/8".to_owned()]),
            expires_at: Some(at),
            mac: MAC,
        }),
        Command::RevokeToken(RevokeToken { name: token.clone() }),
        Command::TouchTokens(TouchTokens {
            uses: vec![TokenUse { name: token, fingerprint: fingerprint(2), at }],
        }),
        Command::InstallIntegrityKey(InstallIntegrityKey {
            key: WrappedIntegrityKey {
                kms_key_id: "local:k".to_owned(),
                wrapped: vec![5; 8],
                wrapped_rotation_at: None,
            },
        }),
    ]
}
