//! A target of several hosts: which of them the password goes to, while they change places.

use hyperion_vault_core::rotation::RotationFault;
use hyperion_vault_server::target::Proof;

use crate::postgres_fixture::{APP, Described, FIRST_PASSWORD, create_roles, server};
use crate::postgres_server::Server;

#[tokio::test]
async fn the_primary_is_found_wherever_it_stands_and_whichever_host_has_become_it() {
    let mut primary = server();
    let standby = primary.standby();
    primary.wait_for(&standby);
    let database = Described::of(&[&standby, &primary]);
    database.apply(APP, "second").await.unwrap();
    assert_eq!(database.prove(APP, "second").await, Ok(Proof::Accepted));
    primary.wait_for(&standby);

    primary.kill();
    let fault = database.apply(APP, "third").await.unwrap_err();
    assert_eq!(fault.fault, RotationFault::NoPrimary);
    let unknown = database.prove(APP, "second").await.unwrap_err();
    assert_eq!(unknown.fault, RotationFault::NoPrimary, "what the standby says isn't what holds");

    standby.promote();
    assert_eq!(database.prove(APP, "second").await, Ok(Proof::Accepted));
    database.apply(APP, "third").await.unwrap();
    assert_eq!(database.prove(APP, "third").await, Ok(Proof::Accepted));
    assert!(standby.lets_in(APP, "third"));
    assert!(!standby.lets_in(APP, "second"));
}

#[tokio::test]
async fn a_standby_that_lags_decides_nothing() {
    let primary = server();
    let standby = primary.standby();
    primary.wait_for(&standby);
    standby.sql("SELECT pg_wal_replay_pause()");
    let database = Described::of(&[&standby, &primary]);
    database.apply(APP, "second").await.unwrap();
    assert!(standby.lets_in(APP, FIRST_PASSWORD), "the standby has the old password still");
    assert_eq!(database.prove(APP, "second").await, Ok(Proof::Accepted));
    let stale = database.prove(APP, FIRST_PASSWORD).await.unwrap_err();
    assert_eq!(stale.fault, RotationFault::NoPrimary);
    assert_eq!(database.prove(APP, "never").await, Ok(Proof::Refused), "everybody says so");
}

#[tokio::test]
async fn without_the_primary_a_refusal_is_no_proof() {
    let mut primary = server();
    let standby = primary.standby();
    primary.wait_for(&standby);
    primary.kill();
    let database = Described::of(&[&standby, &primary]);
    assert!(database.prove(APP, "never").await.is_err());
}

#[tokio::test]
async fn of_two_primaries_neither_is_believed() {
    let primary = server();
    let standby = primary.standby();
    primary.wait_for(&standby);
    standby.promote();
    let database = Described::of(&[&primary, &standby]);
    let fault = database.apply(APP, "second").await.unwrap_err();
    assert_eq!(fault.fault, RotationFault::SeveralPrimaries);
    let said = format!("{} and {} both say that they are the primary", primary.host(), standby.host());
    assert_eq!(fault.detail, said);
    assert_eq!(database.prove(APP, FIRST_PASSWORD).await.unwrap_err().fault, RotationFault::SeveralPrimaries);
    assert!(primary.lets_in(APP, FIRST_PASSWORD) && standby.lets_in(APP, FIRST_PASSWORD));
}

#[tokio::test]
async fn two_names_of_one_server_are_one_primary() {
    let server = Server::start();
    create_roles(&server);
    let database = Described::at(vec![format!("localhost:{}", server.port()), server.host()]);
    database.apply(APP, "second").await.unwrap();
    assert_eq!(database.prove(APP, "second").await, Ok(Proof::Accepted));
}
