//! Passwords that the vault sets and tries at a PostgreSQL, and what it makes of a server that says no.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use futures::future::join_all;
use hyperion_vault_core::rotation::RotationFault;
use hyperion_vault_server::target::postgres::TARGET_SECONDS_MAX;
use hyperion_vault_server::target::{Proof, TargetFault};
use tokio::time::Instant;

use crate::postgres_fixture::{
    APP, Described, FIRST_PASSWORD, ROTATOR, ROTATOR_PASSWORD, create_role, create_roles, server,
};
use crate::postgres_server::{SUPERUSER, SUPERUSER_PASSWORD, Server, quoted};

#[tokio::test]
async fn the_new_password_logs_in_and_the_old_one_does_not() {
    let server = server();
    let database = Described::of(&[&server]);
    assert_eq!(database.prove(APP, FIRST_PASSWORD).await, Ok(Proof::Accepted));
    assert_eq!(database.prove(APP, "the second password").await, Ok(Proof::Refused));

    database.apply(APP, "the second password").await.unwrap();
    assert_eq!(database.prove(APP, "the second password").await, Ok(Proof::Accepted));
    assert_eq!(database.prove(APP, FIRST_PASSWORD).await, Ok(Proof::Refused));
    assert!(server.lets_in(APP, "the second password"));
    assert!(!server.lets_in(APP, FIRST_PASSWORD));
}

#[tokio::test]
async fn applying_a_password_again_changes_nothing_but_the_salt() {
    let server = server();
    let database = Described::of(&[&server]);
    let verifier = || server.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'");
    database.apply(APP, "new").await.unwrap();
    let first = verifier();
    assert!(first.starts_with("SCRAM-SHA-256$4096:"), "{first}");
    database.apply(APP, "new").await.unwrap();
    assert_ne!(verifier(), first);
    assert_eq!(database.prove(APP, "new").await, Ok(Proof::Accepted));
}

#[tokio::test]
async fn a_role_may_change_its_own_password() {
    let server = server();
    let database = Described::of(&[&server]);
    database.apply_as((APP, FIRST_PASSWORD), APP, "second").await.unwrap();
    database.apply_as((APP, "second"), APP, "third").await.unwrap();
    assert_eq!(database.prove(APP, "third").await, Ok(Proof::Accepted));
}

#[tokio::test]
async fn whatever_a_role_is_called_only_its_own_password_changes() {
    let server = server();
    let database = Described::of(&[&server]);
    for role in [
        "\"; DROP ROLE app; --",
        "o'brien",
        "back\\slash",
        "with space; and more",
        "Ünï-日本",
        "$1",
        "all",
        "PASSWORD 'x'",
        "\"\"",
        "%s{}",
    ] {
        create_role(&server, role);
        database.apply(role, "new").await.unwrap();
        assert_eq!(database.prove(role, "new").await, Ok(Proof::Accepted), "{role}");
        assert!(server.lets_in(role, "new"), "{role}");
    }
    assert_eq!(database.prove(APP, FIRST_PASSWORD).await, Ok(Proof::Accepted));
}

#[tokio::test]
async fn a_password_of_any_characters_is_the_one_that_other_clients_log_in_with() {
    let server = server();
    let database = Described::of(&[&server]);
    for password in [
        "quote ' and \" and ''",
        "back\\slash \\' $1 %s",
        "line\nbreak\ttab",
        "naïve – 日本語 🔑",
        // SASLprep: a space for a non-breaking one, nothing for a soft hyphen, compatibility forms.
        "a\u{a0}b",
        "soft\u{ad}hyphen",
        "\u{2168}\u{ff21}\u{fb01}",
        // Not allowed by SASLprep, and so taken as they are.
        "bell\u{7}",
        "\u{627}1",
        "\u{e000}private",
        "long ".repeat(2_000).as_str(),
    ] {
        database.apply(APP, password).await.unwrap();
        assert!(server.lets_in(APP, password), "{password:?}");
        assert_eq!(database.prove(APP, password).await, Ok(Proof::Accepted), "{password:?}");
    }
}

#[tokio::test]
async fn a_password_that_postgresql_cannot_have_is_not_sent() {
    let database = Described::at(vec!["127.0.0.1:1".to_owned()]);
    for password in ["", "nul\0inside"] {
        let fault = database.apply(APP, password).await.unwrap_err();
        assert_eq!(fault.detail, "the password can't be one of PostgreSQL's");
    }
}

#[tokio::test]
async fn a_login_that_the_server_refuses_is_told_apart_from_one_that_may_not() {
    let server = server();
    let database = Described::of(&[&server]);
    let fault = |result: Result<(), _>| Result::unwrap_err(result);
    let class = |fault: TargetFault| fault.fault;

    let wrong = database.apply_as((ROTATOR, "wrong"), APP, "new").await;
    assert_eq!(class(fault(wrong)), RotationFault::LoginRefused);
    let unknown = database.apply_as(("nobody", "wrong"), APP, "new").await;
    assert_eq!(class(fault(unknown)), RotationFault::LoginRefused);

    server.sql("CREATE ROLE guest LOGIN PASSWORD 'guest'");
    let guest = database.apply_as(("guest", "guest"), APP, "new").await;
    assert_eq!(class(fault(guest)), RotationFault::NotPermitted);
    let superuser = database.apply(SUPERUSER, "new").await;
    assert_eq!(class(fault(superuser)), RotationFault::NotPermitted);

    let missing = database.apply("missing", "new").await;
    assert_eq!(class(fault(missing)), RotationFault::NoSuchRole);
    assert_eq!(database.prove(APP, FIRST_PASSWORD).await, Ok(Proof::Accepted), "nothing was changed");
    assert!(server.lets_in(SUPERUSER, SUPERUSER_PASSWORD));
}

#[tokio::test]
async fn a_role_that_could_not_log_in_with_a_new_password_gets_none() {
    let server = server();
    let database = Described::of(&[&server]);
    for (change, back) in [("NOLOGIN", "LOGIN"), ("VALID UNTIL '2001-01-01'", "VALID UNTIL 'infinity'")] {
        server.sql(&format!("ALTER ROLE {APP} {change}"));
        let fault = database.apply(APP, "new").await.unwrap_err();
        assert_eq!(fault.fault, RotationFault::Refused, "{change}");
        assert!(fault.detail.starts_with("the role may not log in at 127.0.0.1:"), "{}", fault.detail);
        server.sql(&format!("ALTER ROLE {APP} {back}"));
    }
    assert!(server.lets_in(APP, FIRST_PASSWORD));
}

#[tokio::test]
async fn the_right_password_is_accepted_whatever_else_keeps_the_role_out() {
    let server = server();
    server.sql("CREATE DATABASE closed");
    server.sql("REVOKE CONNECT ON DATABASE closed FROM PUBLIC");
    let open = Described::of(&[&server]);
    let closed = Described { database: "closed", ..Described::of(&[&server]) };
    let missing = Described { database: "missing", ..Described::of(&[&server]) };
    for (change, database) in [
        ("NOLOGIN", &open),
        ("LOGIN CONNECTION LIMIT 0", &open),
        ("CONNECTION LIMIT -1", &closed),
        ("CONNECTION LIMIT -1", &missing),
    ] {
        server.sql(&format!("ALTER ROLE {APP} {change}"));
        assert_eq!(database.prove(APP, FIRST_PASSWORD).await, Ok(Proof::Accepted), "{change}");
        assert_eq!(database.prove(APP, "wrong").await, Ok(Proof::Refused), "{change}");
    }
    let fault = missing.apply(APP, "new").await.unwrap_err();
    assert!(fault.detail.starts_with("there is no such database at "), "{}", fault.detail);
}

/// Nobody can log in as them, and more the server doesn't say.
#[tokio::test]
async fn a_role_that_is_gone_or_has_expired_is_refused_with_whatever_password() {
    let server = server();
    let database = Described::of(&[&server]);
    assert_eq!(database.prove("missing", "any").await, Ok(Proof::Refused));
    server.sql(&format!("ALTER ROLE {APP} VALID UNTIL '2001-01-01'"));
    assert_eq!(database.prove(APP, FIRST_PASSWORD).await, Ok(Proof::Refused));
}

#[tokio::test]
async fn that_the_server_has_no_place_for_a_role_says_nothing_of_its_password() {
    let server = Server::with_hba("host all app 127.0.0.1/32 reject");
    create_roles(&server);
    let database = Described::of(&[&server]);
    let fault = database.prove(APP, FIRST_PASSWORD).await.unwrap_err();
    assert_eq!(fault.fault, RotationFault::LoginRefused);
}

#[tokio::test]
async fn a_server_that_does_not_ask_or_asks_in_the_clear_gets_no_password_and_gives_no_proof() {
    for (method, said) in [
        ("trust", " asks for no password"),
        (
            "password",
            " asks for the password in another way than by SCRAM-SHA-256, and its certificate is not verified",
        ),
    ] {
        let server = Server::with_hba(&format!("host all all 127.0.0.1/32 {method}"));
        create_roles(&server);
        let database = Described::of(&[&server]);
        let said = format!("{}{said}", server.host());
        assert_eq!(database.prove(APP, "any").await.unwrap_err().detail, said);
        assert_eq!(database.apply(APP, "new").await.unwrap_err().detail, said);
    }
}

#[tokio::test]
async fn a_server_that_has_no_room_or_works_too_long_can_be_tried_again() {
    let server = server();
    server.sql(&format!("ALTER ROLE {ROTATOR} CONNECTION LIMIT 0"));
    let database = Described::of(&[&server]);
    let fault = database.apply(APP, "new").await.unwrap_err();
    assert_eq!(fault.fault, RotationFault::Unreachable);
    assert_eq!(fault.detail, format!("{} has no room for another connection", server.host()));
    server.sql(&format!("ALTER ROLE {ROTATOR} CONNECTION LIMIT -1"));

    let held = server.hold("BEGIN; ALTER ROLE app CONNECTION LIMIT 5");
    let since = Instant::now();
    let fault = database.apply(APP, "new").await.unwrap_err();
    assert!(since.elapsed() < Duration::from_secs(TARGET_SECONDS_MAX));
    assert_eq!(fault.fault, RotationFault::TimedOut);
    drop(held);
    database.apply(APP, "new").await.unwrap();
    assert!(server.lets_in(APP, "new"));
}

#[tokio::test]
async fn a_database_that_is_down_or_swallows_everything_is_unreachable_in_time() {
    let mut server = server();
    let database = Described::of(&[&server]);
    server.kill();
    let since = Instant::now();
    assert_eq!(database.apply(APP, "new").await.unwrap_err().fault, RotationFault::Unreachable);
    assert_eq!(database.prove(APP, "new").await.unwrap_err().fault, RotationFault::Unreachable);
    assert!(since.elapsed() < Duration::from_secs(1), "a refused connection is known at once");

    // Connections are taken into its queue, and nothing is ever said.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let since = Instant::now();
    join_all(["disable", "require"].map(async |sslmode| {
        let database = Described { sslmode, ..Described::at(vec![silent.local_addr().unwrap().to_string()]) };
        assert_eq!(database.apply(APP, "new").await.unwrap_err().fault, RotationFault::Unreachable);
    }))
    .await;
    assert!(since.elapsed() < Duration::from_secs(TARGET_SECONDS_MAX));
    server.restart();
    let database = Described::of(&[&server]);
    database.apply(APP, "new").await.unwrap();
    assert!(server.lets_in(APP, "new"));
}

#[tokio::test]
async fn the_superuser_can_be_rotated_by_itself_under_any_name() {
    let server = server();
    server.sql(&format!("CREATE ROLE {} SUPERUSER LOGIN PASSWORD 'x'", quoted("Über \"root\"")));
    let database = Described::of(&[&server]);
    database.apply_as(("Über \"root\"", "x"), "Über \"root\"", "y").await.unwrap();
    database.apply_as(("Über \"root\"", "y"), SUPERUSER, ROTATOR_PASSWORD).await.unwrap();
    assert!(server.lets_in(SUPERUSER, ROTATOR_PASSWORD));
}
