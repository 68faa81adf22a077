//! What somebody can make of roles and tokens who can write a node's disk, or its Raft log, but has no key: nothing
//! that he may then do, and an alarm.
//!
//! He knows the format, computes checksums, and has tokens of his own that are worth little. What he can still do:
//! - put back an older row of the same name, role or token (`what_was_true_once_is_believed_again` shows it);
//! - take rows away, or write that a token is revoked, so that somebody is locked out;
//! - take away the row that says that a bootstrap token was taken, together with the admin tokens: the vault then
//!   takes the one that it is started with again, also a revoked one. Who knows that token is an admin on this node.

use std::net::IpAddr;

use hyperion_vault_core::grant::GrantMac;
use hyperion_vault_core::policy::{Action as Right, Role};
use hyperion_vault_core::state::command::{Bootstrap, CreateRole, IssueToken, SetRules};
use hyperion_vault_core::state::{Command, Outcome};
use hyperion_vault_core::time::{Seconds, Timestamp};
use hyperion_vault_core::token::{Token, TokenFingerprint};
use hyperion_vault_server::audit::{Action, Outcome as Recorded};
use hyperion_vault_server::failure::Failure;
use hyperion_vault_server::ports::Consensus;
use hyperion_vault_server::worker::Job;

use crate::audit_fixture::START_MS;
use crate::disk_fixture::{Table, edit, put, record};
use crate::grants_fixture::{ADMIN, CLIENT, Node, World, permit, role, rule, token};

/// First bytes of the keys of these tables.
const ROLES: u8 = 6;
const TOKENS: u8 = 7;
const FINGERPRINTS: u8 = 8;

/// A token that the vault never issued.
const OWN: &str = "hvt_a-token-that-its-holder-made-up";

/// A vault with two roles and a token of each.
struct Scene {
    world: World,
    node: Node,
    /// May update `app/*`.
    worker: String,
    /// Of an admin role.
    chief: String,
    revoked: String,
}

impl Scene {
    async fn new() -> Scene {
        let world = World::new();
        let node = world.started().await;
        node.create_role("ops", false, vec![rule(Right::Update, "app/*")]).await;
        node.create_role("chiefs", true, Vec::new()).await;
        let worker = node.issue("worker", "ops").await;
        let chief = node.issue("chief", "chiefs").await;
        let revoked = node.issue("revoked", "chiefs").await;
        node.tokens.revoke(permit(), token("revoked"), &mut node.trail()).await.unwrap();
        assert!(node.may(&worker, Right::Update, "app/x") && !node.may(&worker, Right::Read, "app/x"));
        assert!(node.authenticate(&chief).unwrap().role.is_admin);
        assert!(node.authenticate(ADMIN).unwrap().role.is_admin);
        let scene = Scene { world, node, worker, chief, revoked };
        assert_eq!(scene.alarms().await, [], "nobody wrote but the vault");
        scene
    }

    fn write(&self, change: impl FnOnce(&mut Table)) {
        let mut rows = self.world.disk.rows();
        change(&mut rows);
        self.world.disk.overwrite(rows);
    }

    /// The rows that a check finds altered, as the audit log has them.
    async fn alarms(&self) -> Vec<(String, String)> {
        let before = self.world.records().len();
        self.node.check.round().await;
        let records = self.world.records().split_off(before);
        assert!(
            records
                .iter()
                .all(|record| { (record.action, record.outcome) == (Action::GrantsCheck, Recorded::Error) })
        );
        let told = records.into_iter();
        told.map(|record| (record.name.unwrap(), record.detail.unwrap().into_owned())).collect()
    }

    /// The tokens that their holder may have altered rows for: none is one any more, and somebody was told.
    async fn worthless(&self, tokens: &[&str], altered: &[(&str, &str)], what: &str) {
        for token in tokens {
            let answered = self.node.authenticate(token);
            assert!(matches!(answered, Err(Failure::Unauthenticated { .. })), "{what}: {answered:?}");
        }
        let owned = |(name, detail): &(&str, &str)| ((*name).to_owned(), (*detail).to_owned());
        let altered: Vec<_> = altered.iter().map(owned).collect();
        assert_eq!(self.alarms().await, altered, "{what}");
        assert_eq!(self.node.grants.altered(), altered.len() as u64, "{what}");
        assert_eq!(self.alarms().await, [], "{what}: told once");
    }
}

fn role_key(name: &str) -> Vec<u8> {
    [&[ROLES], name.as_bytes()].concat()
}

fn token_key(name: &str) -> Vec<u8> {
    [&[TOKENS], name.as_bytes()].concat()
}

/// Has the vault find the holder of `bearer` under this name.
fn index(rows: &mut Table, bearer: &str, name: &str) {
    let key = [&[FINGERPRINTS], TokenFingerprint::of(bearer.as_bytes()).as_bytes().as_slice()].concat();
    put(rows, &key, &token(name));
}

const ROLE: &str = "altered role row";
const TOKEN: &str = "altered token row";

#[tokio::test]
async fn a_role_that_was_made_more_of_grants_nothing() {
    type Change = (&'static str, fn(&mut Role, &Role));
    let changes: [Change; 6] = [
        ("made an admin", |ops, _| ops.is_admin = true),
        ("made an admin, with an admin role's MAC", |ops, chiefs| {
            (ops.is_admin, ops.mac) = (true, chiefs.mac);
        }),
        ("rules widened", |ops, _| ops.rules = vec![rule(Right::Any, "*")]),
        ("a rule more", |ops, _| ops.rules.push(rule(Right::Read, "app/*"))),
        ("without a MAC", |ops, _| ops.mac = None),
        ("an admin role under its name", |ops, chiefs| {
            *ops = Role { name: ops.name.clone(), ..chiefs.clone() };
        }),
    ];
    for (what, change) in changes {
        let scene = Scene::new().await;
        scene.write(|rows| {
            let chiefs = record::<Role>(rows, &role_key("chiefs"));
            edit(rows, &role_key("ops"), |ops: &mut Role| change(ops, &chiefs));
        });
        scene.worthless(&[&scene.worker], &[("ops", ROLE)], what).await;
        assert!(scene.node.authenticate(&scene.chief).is_ok(), "what nobody altered counts as before");
    }
}

#[tokio::test]
async fn a_token_that_was_made_more_of_grants_nothing() {
    type Change = (&'static str, fn(&mut Token, &Token));
    let changes: [Change; 7] = [
        ("another role", |worker, _| worker.role = role("admin")),
        ("another role, with the MAC of one that has it", |worker, chief| {
            (worker.role, worker.mac) = (chief.role.clone(), chief.mac);
        }),
        ("expires later", |worker, _| {
            worker.expires_at = worker.expires_at.map(|at| at.plus(Seconds::new(1)));
        }),
        ("never expires", |worker, _| worker.expires_at = None),
        ("allowed from anywhere", |worker, _| worker.allowed_ips = None),
        ("allowed from one more", |worker, _| {
            worker.allowed_ips.as_mut().unwrap().push("10.0.0.0/8".to_owned());
        }),
        ("without a MAC", |worker, _| worker.mac = None),
    ];
    for (what, change) in changes {
        let scene = Scene::new().await;
        scene.write(|rows| {
            let chief = record::<Token>(rows, &token_key("chief"));
            edit(rows, &token_key("worker"), |worker: &mut Token| change(worker, &chief));
        });
        scene.worthless(&[&scene.worker], &[("worker", TOKEN)], what).await;
    }
}

#[tokio::test]
async fn a_planted_token_grants_nothing() {
    let macs: [fn(&Table) -> Option<GrantMac>; 3] = [
        |_| None,
        |_| Some(GrantMac::from_bytes([7; 32])),
        |rows| record::<Token>(rows, &token_key("bootstrap-admin")).mac,
    ];
    for mac in macs {
        let scene = Scene::new().await;
        scene.write(|rows| {
            let admin = record::<Token>(rows, &token_key("bootstrap-admin"));
            let fingerprint = TokenFingerprint::of(OWN.as_bytes());
            let planted = Token { name: token("planted"), fingerprint, mac: mac(rows), ..admin };
            put(rows, &token_key("planted"), &planted);
            index(rows, OWN, "planted");
        });
        scene.worthless(&[OWN], &[("planted", TOKEN)], "planted").await;
    }
}

#[tokio::test]
async fn an_admin_s_row_with_another_s_fingerprint_grants_nothing() {
    let scene = Scene::new().await;
    scene.write(|rows| {
        edit(rows, &token_key("bootstrap-admin"), |admin: &mut Token| {
            admin.fingerprint = TokenFingerprint::of(OWN.as_bytes());
        });
        index(rows, OWN, "bootstrap-admin");
    });
    scene.worthless(&[OWN, ADMIN], &[("bootstrap-admin", TOKEN)], "fingerprint").await;
}

/// The index alone leads to a row of another fingerprint, which is nobody's.
#[tokio::test]
async fn a_token_that_leads_to_another_s_row_is_unknown() {
    let scene = Scene::new().await;
    scene.write(|rows| index(rows, OWN, "bootstrap-admin"));
    scene.worthless(&[OWN], &[], "index").await;
    assert!(scene.node.authenticate(ADMIN).is_ok());
}

#[tokio::test]
async fn a_planted_admin_role_grants_nothing_to_whoever_is_given_it() {
    let scene = Scene::new().await;
    scene.write(|rows| {
        let chiefs = record::<Role>(rows, &role_key("chiefs"));
        put(rows, &role_key("planted"), &Role { name: role("planted"), ..chiefs });
    });
    // An admin who is misled into giving it to somebody gives him nothing.
    let misled = scene.node.issue("misled", "planted").await;
    scene.worthless(&[&misled], &[("planted", ROLE)], "planted").await;
}

#[tokio::test]
async fn rows_that_change_places_grant_nothing() {
    let scene = Scene::new().await;
    scene.write(|rows| {
        let (ops, chiefs) = (record::<Role>(rows, &role_key("ops")), record(rows, &role_key("chiefs")));
        put(rows, &role_key("ops"), &Role { name: role("ops"), ..chiefs });
        put(rows, &role_key("chiefs"), &Role { name: role("chiefs"), ..ops });
        let (worker, chief) =
            (record::<Token>(rows, &token_key("worker")), record(rows, &token_key("chief")));
        put(rows, &token_key("worker"), &Token { name: token("worker"), ..chief });
        put(rows, &token_key("chief"), &Token { name: token("chief"), ..worker });
        index(rows, &scene.worker, "chief");
        index(rows, &scene.chief, "worker");
    });
    let altered = [("chiefs", ROLE), ("ops", ROLE), ("chief", TOKEN), ("worker", TOKEN)];
    scene.worthless(&[&scene.worker, &scene.chief], &altered, "swapped").await;
}

/// A row under another's key that still has its own name is damage, and stops the request as such.
#[tokio::test]
async fn a_row_under_another_s_key_is_an_error_and_an_alarm() {
    let scene = Scene::new().await;
    scene.write(|rows| {
        let chiefs = record::<Role>(rows, &role_key("chiefs"));
        put(rows, &role_key("ops"), &chiefs);
    });
    assert!(matches!(scene.node.authenticate(&scene.worker), Err(Failure::Internal { .. })));
    scene.node.check.round().await;
    assert_eq!(scene.node.grants.altered(), 1, "what can't be read is one");
}

#[tokio::test]
async fn a_revoked_token_whose_revocation_is_taken_away_grants_nothing() {
    let scene = Scene::new().await;
    scene.write(|rows| {
        let chief = record::<Token>(rows, &token_key("chief"));
        edit(rows, &token_key("revoked"), |revoked: &mut Token| {
            (revoked.revoked_at, revoked.mac) = (None, chief.mac);
        });
    });
    scene.worthless(&[&scene.revoked], &[("revoked", TOKEN)], "revived").await;
}

/// The vault takes the MAC away when it revokes. Nobody is let in either way, but somebody is told.
#[tokio::test]
async fn a_forged_revocation_is_found_out() {
    let scene = Scene::new().await;
    scene.write(|rows| {
        edit(rows, &token_key("worker"), |worker: &mut Token| {
            worker.revoked_at = Some(Timestamp::from_unix_ms(START_MS));
        });
    });
    scene.worthless(&[&scene.worker], &[("worker", TOKEN)], "revoked").await;
}

/// What it grants is the law, whatever stands in its row; no MAC makes it another.
#[tokio::test]
async fn the_built_in_role_is_held_against_the_law() {
    let scene = Scene::new().await;
    scene.write(|rows| {
        let chiefs = record::<Role>(rows, &role_key("chiefs"));
        edit(rows, &role_key("admin"), |admin: &mut Role| admin.mac = chiefs.mac);
    });
    scene.worthless(&[ADMIN], &[("admin", ROLE)], "the built-in role").await;
}

#[tokio::test]
async fn what_is_written_into_the_raft_log_grants_nothing() {
    let scene = Scene::new().await;
    let fingerprint = TokenFingerprint::of(OWN.as_bytes());
    let rows = scene.world.disk.rows();
    let mac = record::<Token>(&rows, &token_key("bootstrap-admin")).mac;
    let issue = |name: &str, role_name: &str, mac| {
        let (name, role) = (token(name), role(role_name));
        Command::IssueToken(IssueToken { name, role, fingerprint, allowed_ips: None, expires_at: None, mac })
    };
    let commands = [
        issue("forged", "admin", mac),
        Command::CreateRole(CreateRole {
            name: role("forged"),
            description: None,
            is_admin: true,
            rules: Vec::new(),
            mac: record::<Role>(&rows, &role_key("chiefs")).mac,
        }),
        Command::SetRules(SetRules {
            name: role("ops"),
            rules: vec![rule(Right::Any, "*")],
            mac: record::<Role>(&rows, &role_key("ops")).mac,
            created_at: None,
        }),
    ];
    for command in commands {
        assert!(matches!(scene.world.disk.propose(command).await, Ok(Outcome::Applied(_))));
    }
    let altered = [("forged", ROLE), ("ops", ROLE), ("forged", TOKEN)];
    scene.worthless(&[OWN, &scene.worker], &altered, "the log").await;
}

/// Only rows count for whether a live admin token exists, so that every member decides alike. A forged one can keep
/// a bootstrap token from being taken, which is found out; it lets nobody in.
#[tokio::test]
async fn a_forged_bootstrap_grants_nothing() {
    let scene = Scene::new().await;
    for name in ["bootstrap-admin", "chief"] {
        scene.node.tokens.revoke(permit(), token(name), &mut scene.node.trail()).await.unwrap();
    }
    let fingerprint = TokenFingerprint::of(OWN.as_bytes());
    let forged = Bootstrap { fingerprint, mac: Some(GrantMac::from_bytes([7; 32])) };
    let outcome = scene.world.disk.propose(Command::Bootstrap(forged)).await;
    assert!(matches!(outcome, Ok(Outcome::Applied(_))));
    scene.worthless(&[OWN], &[("bootstrap-admin", TOKEN)], "bootstrap").await;
}

/// A forged admin flag must not be vouched for by whoever changes something else about the role.
#[tokio::test]
async fn an_altered_role_is_neither_shown_nor_changed_and_can_be_deleted() {
    let scene = Scene::new().await;
    scene.write(|rows| edit(rows, &role_key("ops"), |ops: &mut Role| ops.is_admin = true));
    let node = &scene.node;
    let internal = |answered: Result<Role, Failure>| matches!(answered, Err(Failure::Internal { .. }));
    assert!(internal(node.roles.read(permit(), &role("ops"), &mut node.trail())));
    let rules = vec![rule(Right::Read, "app/*")];
    assert!(internal(node.roles.set_rules(permit(), role("ops"), rules, &mut node.trail()).await));
    let listed = node.roles.list(permit()).unwrap();
    assert_eq!(listed.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["admin", "chiefs"]);
    node.tokens.revoke(permit(), token("worker"), &mut node.trail()).await.unwrap();
    node.roles.delete(permit(), role("ops"), &mut node.trail()).await.unwrap();
    assert_eq!(scene.alarms().await, []);
}

#[tokio::test]
async fn an_altered_token_is_not_shown_and_can_be_revoked() {
    let scene = Scene::new().await;
    scene.write(|rows| edit(rows, &token_key("worker"), |worker: &mut Token| worker.role = role("admin")));
    let listed = scene.node.tokens.list(permit()).unwrap();
    let names: Vec<_> = listed.iter().map(|token| token.name.as_str()).collect();
    assert_eq!(names, ["bootstrap-admin", "chief", "revoked"]);
    scene.node.tokens.revoke(permit(), token("worker"), &mut scene.node.trail()).await.unwrap();
    assert_eq!(scene.alarms().await, []);
}

#[tokio::test]
async fn the_record_of_a_request_says_that_a_row_was_altered() {
    let scene = Scene::new().await;
    scene.write(|rows| edit(rows, &role_key("ops"), |ops: &mut Role| ops.is_admin = true));
    let answered = scene.node.authenticate(&scene.worker);
    assert_eq!(answered.unwrap_err(), Failure::Unauthenticated { detail: ROLE });
    let reader =
        scene.node.access.admit_reader(Some(scene.worker.as_bytes()), CLIENT, &mut scene.node.trail());
    assert!(reader.is_ok(), "a read that needs no token isn't kept from anybody by one");
}

/// Who has an admin role by the vault's own word changes rules, and what he changed is vouched for.
#[tokio::test]
async fn rules_and_tokens_made_by_the_vault_outlive_its_restart() {
    let scene = Scene::new().await;
    let rules = vec![rule(Right::Rotate, "app/*")];
    scene.node.roles.set_rules(permit(), role("ops"), rules, &mut scene.node.trail()).await.unwrap();
    let restarted = scene.world.started().await;
    assert!(restarted.may(&scene.worker, Right::Rotate, "app/x"));
    assert!(!restarted.may(&scene.worker, Right::Update, "app/x"));
    let elsewhere = IpAddr::from([127, 0, 0, 2]);
    let answered =
        restarted.access.authenticate(Some(scene.worker.as_bytes()), elsewhere, &mut restarted.trail());
    let detail = "token not allowed from this address";
    assert_eq!(answered.unwrap_err(), Failure::Unauthenticated { detail });
    assert!(restarted.authenticate(&scene.chief).is_ok() && restarted.authenticate(ADMIN).is_ok());
}

/// The limit of what can be found out without a word from another node, written down so that nobody takes it for
/// covered.
#[tokio::test]
async fn what_was_true_once_is_believed_again() {
    let scene = Scene::new().await;
    let before = scene.world.disk.rows();
    let node = &scene.node;
    node.roles.set_rules(permit(), role("ops"), Vec::new(), &mut node.trail()).await.unwrap();
    node.tokens.revoke(permit(), token("chief"), &mut node.trail()).await.unwrap();
    assert!(!node.may(&scene.worker, Right::Update, "app/x") && node.authenticate(&scene.chief).is_err());
    scene.write(|rows| {
        for key in [role_key("ops"), token_key("chief")] {
            rows.insert(key.clone(), before[&key].clone());
        }
    });
    assert!(node.may(&scene.worker, Right::Update, "app/x") && node.authenticate(&scene.chief).is_ok());
    assert_eq!(scene.alarms().await, []);
}
