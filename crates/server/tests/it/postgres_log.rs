//! What a PostgreSQL that logs every statement has of a password, and the function that takes the password itself.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyperion_vault_core::rotation::RotationFault;
use hyperion_vault_server::target::Proof;

use crate::postgres_fixture::{APP, Described, FIRST_PASSWORD, ROTATOR, server};
use crate::postgres_server::Server;

const NEW: &str = "c0rrect-horse-battery-staple";

/// The function as a server has it that brings one.
const FUNCTION: &str = "CREATE SCHEMA replica;
CREATE FUNCTION replica.rotate_credential(role text, password text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN EXECUTE format('ALTER ROLE %I PASSWORD %L', role, password); END $$;
GRANT USAGE ON SCHEMA replica TO rotator";

fn assert_is_not_logged(server: &Server, password: &str) {
    let log = server.log();
    let bytes = password.as_bytes();
    for form in
        [password.to_owned(), STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes), hex::encode(bytes)]
    {
        assert!(!log.contains(&form), "{form} stands in the log:\n{log}");
    }
}

fn replica(server: &Server) -> Described {
    Described { kind: "pg_replica", ..Described::of(&[server]) }
}

#[tokio::test]
async fn alter_role_is_logged_with_a_verifier() {
    let server = server();
    let database = Described::of(&[&server]);
    database.apply(APP, NEW).await.unwrap();
    database.prove(APP, NEW).await.unwrap();
    assert!(server.log().contains("ALTER ROLE \"app\" PASSWORD 'SCRAM-SHA-256$4096:"));
    server.sql(&format!("ALTER ROLE {ROTATOR} NOCREATEROLE"));
    database.apply(APP, NEW).await.unwrap_err();
    assert_is_not_logged(&server, NEW);
}

#[tokio::test]
async fn the_function_takes_the_password_where_the_log_leaves_parameters_out() {
    for setting in [
        "ALTER ROLE rotator SET log_parameter_max_length = 0",
        "GRANT SET ON PARAMETER log_parameter_max_length TO rotator",
        "ALTER ROLE rotator SET log_statement = 'none'",
        "ALTER ROLE rotator SUPERUSER",
    ] {
        let server = server();
        server.sql(FUNCTION);
        server.sql(setting);
        let database = replica(&server);
        database.apply(APP, NEW).await.unwrap();
        assert_eq!(database.prove(APP, NEW).await, Ok(Proof::Accepted), "{setting}");
        assert!(server.lets_in(APP, NEW), "{setting}");
        assert_is_not_logged(&server, NEW);
    }
}

#[tokio::test]
async fn the_function_is_not_called_where_the_log_would_have_the_password() {
    let server = server();
    server.sql(FUNCTION);
    let database = replica(&server);
    for setting in [
        "log_statement = 'all'",
        "log_statement = 'none'; ALTER ROLE rotator SET log_min_duration_statement = 0",
    ] {
        server.sql(&format!("ALTER ROLE rotator SET {setting}"));
        let fault = database.apply(APP, NEW).await.unwrap_err();
        assert_eq!(fault.fault, RotationFault::Refused);
        let said = "would log the parameters of the statement, and with them the password";
        assert_eq!(fault.detail, format!("{} {said}", server.host()));
        assert!(server.lets_in(APP, FIRST_PASSWORD));
        assert_is_not_logged(&server, NEW);
    }
}

#[tokio::test]
async fn a_function_that_fails_leaves_no_parameter_behind_and_one_that_is_missing_is_named() {
    let server = server();
    server.sql("ALTER ROLE rotator SET log_parameter_max_length = 0");
    server.sql("ALTER SYSTEM SET log_parameter_max_length_on_error = -1");
    server.sql("SELECT pg_reload_conf()");
    let database = replica(&server);
    assert_eq!(database.apply(APP, NEW).await.unwrap_err().fault, RotationFault::NoSuchFunction);

    server.sql(FUNCTION);
    server.sql("REVOKE EXECUTE ON FUNCTION replica.rotate_credential FROM PUBLIC");
    assert_eq!(database.apply(APP, NEW).await.unwrap_err().fault, RotationFault::NotPermitted);
    server.sql("GRANT EXECUTE ON FUNCTION replica.rotate_credential TO rotator");
    server.sql(
        "CREATE OR REPLACE FUNCTION replica.rotate_credential(role text, password text) RETURNS void \
         LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no: %', length(password) USING ERRCODE = 'XX123'; END $$",
    );
    let fault = database.apply(APP, NEW).await.unwrap_err();
    assert_eq!(fault.fault, RotationFault::Refused);
    assert_eq!(fault.detail, format!("{} answers with SQLSTATE XX123", server.host()));
    assert!(server.lets_in(APP, FIRST_PASSWORD));
    assert_is_not_logged(&server, NEW);
}

/// The fault of the vault's must not carry a server's words: here they hold the password.
#[tokio::test]
async fn nothing_that_the_server_says_is_repeated() {
    let server = server();
    server.sql("ALTER ROLE rotator SET log_parameter_max_length = 0");
    server.sql(FUNCTION);
    server.sql(
        "CREATE OR REPLACE FUNCTION replica.rotate_credential(role text, password text) RETURNS void \
         LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no: %', password; END $$",
    );
    let fault = replica(&server).apply(APP, NEW).await.unwrap_err();
    assert!(!format!("{fault} {fault:?}").contains(NEW), "{fault:?}");
}
