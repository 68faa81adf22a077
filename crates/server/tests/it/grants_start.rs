//! What a start does about the cluster's integrity key: made once, opened by each node, and while it can't be, no token
//! counts and everything that needs none goes on.

use std::time::Duration;

use hyperion_vault_core::state::command::InstallIntegrityKey;
use hyperion_vault_core::state::table::meta::{self, WrappedIntegrityKey};
use hyperion_vault_core::state::{Command, Outcome, Refusal};
use hyperion_vault_core::token::Token;
use hyperion_vault_crypto::EncryptionContext;
use hyperion_vault_kms::KeyProvider;
use hyperion_vault_server::access::Reader;
use hyperion_vault_server::audit::Action;
use hyperion_vault_server::bootstrap::StartFault;
use hyperion_vault_server::failure::Failure;
use hyperion_vault_server::ports::Consensus;
use hyperion_vault_server::worker::Job;
use tokio::task::JoinHandle;

use crate::disk_fixture::{Table, edit, put, record};
use crate::grants_fixture::{ADMIN, CLIENT, Kms, Node, World};

const INTEGRITY_KEY: &[u8] = b"\x01integrity key";
const CLUSTER: &[u8] = b"\x01cluster";
const COUNTS: &[u8] = b"\x01counts";

const CLOSED: &str = "key management unavailable: roles and tokens can't be checked yet";

/// Begins a start that goes on in the background, and waits until it can't go on for now.
async fn starting(node: &Node) -> JoinHandle<()> {
    let starting = tokio::spawn(node.first_work().done_in_time());
    while node.grants.fault().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    starting
}

/// No token counts, and what needs none goes on.
async fn assert_closed(node: &Node, reason: &str) {
    for token in [ADMIN, "hvt_one-that-nobody-knows"] {
        let answered = node.authenticate(token).unwrap_err();
        assert_eq!(answered.to_string(), CLOSED);
        assert!(matches!(answered, Failure::Unavailable { .. }), "{answered:?}");
        let reader = node.access.admit_reader(Some(token.as_bytes()), CLIENT, &mut node.trail());
        assert!(matches!(reader, Ok(Reader::Address)));
        let reader = node.access_by_token.admit_reader(Some(token.as_bytes()), CLIENT, &mut node.trail());
        assert!(matches!(reader, Err(Failure::Unavailable { .. })));
    }
    let none = node.access.authenticate(None, CLIENT, &mut node.trail());
    assert!(
        matches!(none, Err(Failure::Unauthenticated { .. })),
        "no token is none, whatever is known of others"
    );
    assert_eq!(node.replica.standing(), Ok(()), "reads go on");
    let ready = node.readiness.check().await.unwrap_err();
    assert!(ready.contains(reason), "{ready}");
}

async fn assert_open(node: &Node) {
    assert!(node.authenticate(ADMIN).unwrap().role.is_admin);
    assert_eq!(node.readiness.check().await, Ok(()));
}

fn key_of(world: &World) -> Option<WrappedIntegrityKey> {
    meta::integrity_key(&*world.disk.view()).unwrap()
}

/// Writes the rows of a stopped node.
fn write(world: &World, change: impl FnOnce(&mut Table)) {
    let mut rows = world.disk.rows();
    change(&mut rows);
    world.disk.overwrite(rows);
}

#[tokio::test]
async fn the_first_start_makes_the_key_and_later_ones_open_it() {
    let world = World::new();
    assert_open(&world.started().await).await;
    let key = key_of(&world).unwrap();
    assert_open(&world.started().await).await;
    assert_eq!(key_of(&world).unwrap(), key);
    let actions: Vec<_> = world.records().iter().map(|record| record.action).collect();
    assert_eq!(actions, [Action::ClusterInitialize, Action::IntegrityKeyInstall, Action::TokenBootstrap]);
}

#[tokio::test]
async fn who_does_not_lead_waits_until_the_leader_has_made_the_key() {
    let world = World::new();
    world.disk.follows(true);
    let follower = world.node();
    let start = tokio::spawn(follower.first_work().done_in_time());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(follower.replica.standing().is_err(), "there is no cluster yet");
    world.disk.follows(false);
    assert_open(&world.started().await).await;
    world.disk.follows(true);
    start.await.unwrap();
    assert_open(&follower).await;
}

#[tokio::test]
async fn with_key_management_away_no_token_counts_until_it_is_back() {
    let world = World::new();
    world.started().await;
    world.kms.goes_away();
    let node = world.node();
    let start = starting(&node).await;
    assert_closed(&node, "the cluster's integrity key can't be opened").await;
    assert!(node.readiness.check().await.unwrap_err().contains("nobody answers"));
    world.kms.is_back();
    start.await.unwrap();
    assert_open(&node).await;
}

#[tokio::test]
async fn a_new_cluster_waits_for_key_management() {
    let world = World::new();
    world.kms.goes_away();
    let node = world.node();
    let start = starting(&node).await;
    assert_eq!(key_of(&world), None);
    assert!(node.replica.standing().is_err(), "there is nothing to read");
    let ready = node.readiness.check().await.unwrap_err();
    assert!(ready.contains("the cluster's integrity key can't be made: key management is unavailable"));
    world.kms.is_back();
    start.await.unwrap();
    assert_open(&node).await;
}

#[tokio::test]
async fn a_node_with_another_master_key_says_so_and_recovers_when_it_is_mended() {
    let world = World::new();
    world.started().await;
    world.kms.use_master_key(2);
    let node = world.node();
    let start = starting(&node).await;
    assert_closed(&node, "but the master key is local:").await;
    world.kms.use_master_key(1);
    start.await.unwrap();
    assert_open(&node).await;
}

/// A random master key opens nothing of an earlier run: there is nothing to wait for.
#[tokio::test]
async fn a_random_master_key_says_what_to_do() {
    let world = World::new();
    world.started().await;
    world.kms.use_master_key(2);
    let node = world.node();
    let mut first_work = node.first_work();
    first_work.ephemeral_master_key = true;
    assert!(matches!(first_work.done().await, Err(StartFault::KeyOfEarlierRun)));
    assert_closed(&node, "set VAULT_LOCAL_MASTER_KEY and begin with an empty data directory").await;
}

#[tokio::test]
async fn a_key_that_is_missing_where_there_are_grants_is_not_made_anew() {
    let world = World::new();
    world.started().await;
    let intact = world.disk.rows();
    let removals: [fn(&mut Table); 2] = [
        |rows| drop(rows.remove(INTEGRITY_KEY)),
        // The counts stand on the same disk, and the state machine believes them.
        |rows| rows.retain(|key, _| key != INTEGRITY_KEY && key != COUNTS),
    ];
    for remove in removals {
        write(&world, remove);
        let node = world.node();
        let start = starting(&node).await;
        assert_closed(&node, "is missing from a state that holds secrets or grants").await;
        assert_eq!(key_of(&world), None);
        world.disk.overwrite(intact.clone());
        start.await.unwrap();
        assert_open(&node).await;
    }
}

#[tokio::test]
async fn a_key_that_is_not_the_cluster_s_is_not_opened() {
    let (world, other) = (World::new(), World::new());
    world.started().await;
    other.started().await;
    let intact = world.disk.rows();
    let foreign = record::<WrappedIntegrityKey>(&other.disk.rows(), INTEGRITY_KEY);
    type Change = (&'static str, fn(&mut WrappedIntegrityKey, &WrappedIntegrityKey));
    let changes: [Change; 3] = [
        ("a flipped bit", |key, _| key.wrapped[40] ^= 1),
        ("that of another cluster under the same master key", |key, foreign| *key = foreign.clone()),
        ("nothing", |key, _| key.wrapped.clear()),
    ];
    for (what, change) in changes {
        write(&world, |rows| {
            edit(rows, INTEGRITY_KEY, |key: &mut WrappedIntegrityKey| change(key, &foreign));
        });
        let node = world.node();
        assert!(matches!(node.first_work().done().await, Err(StartFault::KeyNotOpened(_))), "{what}");
        assert_closed(&node, "is not authentic").await;
        world.disk.overwrite(intact.clone());
        node.first_work().done().await.unwrap();
        assert_open(&node).await;
    }
}

/// Another cluster's key together with its identity: that is another cluster, whose key vouches for nothing here.
#[tokio::test]
async fn under_another_cluster_s_identity_no_token_of_this_one_counts() {
    let (world, other) = (World::new(), World::new());
    world.started().await;
    other.started().await;
    let foreign = other.disk.rows();
    write(&world, |rows| {
        for key in [INTEGRITY_KEY, CLUSTER] {
            let row: Vec<u8> = foreign[key].clone();
            rows.insert(key.to_vec(), row);
        }
    });
    let node = world.started().await;
    assert!(matches!(node.authenticate(ADMIN), Err(Failure::Unauthenticated { .. })));
}

/// He who writes the Raft log can have any key installed in a state that he emptied, but none that a KMS opens.
#[tokio::test]
async fn a_forged_installation_of_a_key_vouches_for_nothing() {
    let world = World::new();
    world.started().await;
    let own = Kms::with_master_key(9);
    let made = own.generate_data_key(&EncryptionContext::for_probe()).await.unwrap().wrapped;
    let key = WrappedIntegrityKey {
        kms_key_id: key_of(&world).unwrap().kms_key_id,
        wrapped: made.bytes,
        wrapped_rotation_at: None,
    };
    let install = || Command::InstallIntegrityKey(InstallIntegrityKey { key: key.clone() });
    let refused = |refusal| Ok(Outcome::Refused(refusal));
    assert_eq!(world.disk.propose(install()).await, refused(Refusal::IntegrityKeyExists));
    write(&world, |rows| drop(rows.remove(INTEGRITY_KEY)));
    assert_eq!(world.disk.propose(install()).await, refused(Refusal::NotPristine));
    write(&world, |rows| drop(rows.remove(COUNTS)));
    assert!(matches!(world.disk.propose(install()).await, Ok(Outcome::Applied(_))));
    let node = world.node();
    assert!(matches!(node.first_work().done().await, Err(StartFault::KeyNotOpened(_))));
    assert_closed(&node, "is not authentic").await;
}

/// Before the key is open nothing could be said of a row; afterwards its check says what it finds.
#[tokio::test]
async fn rows_are_checked_as_soon_as_they_can_be() {
    let world = World::new();
    world.started().await;
    let key = b"\x07bootstrap-admin";
    write(&world, |rows| {
        let mut admin = record::<Token>(rows, key);
        admin.expires_at = Some(admin.created_at);
        put(rows, key, &admin);
    });
    world.kms.goes_away();
    let node = world.node();
    let start = starting(&node).await;
    assert!(node.check.round().await <= Duration::from_secs(1));
    assert_eq!(node.grants.altered(), 0);
    world.kms.is_back();
    start.await.unwrap();
    assert!(node.check.round().await >= Duration::from_secs(10));
    assert_eq!(node.grants.altered(), 1);
}
