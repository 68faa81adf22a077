#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::limits::{DATABASE_IDENTIFIER_BYTES_MAX, HOST_NAME_BYTES_MAX};

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// The smallest description.
fn minimal() -> TargetText<'static> {
    static HOSTS: LazyLock<Vec<String>> = LazyLock::new(|| strings(&["db-1:5432"]));
    TargetText { kind: "postgres", hosts: &HOSTS, ..TargetText::default() }
}

fn parsed_hosts(hosts: &[&str]) -> Result<Vec<String>, TargetError> {
    let hosts = strings(hosts);
    let target = Target::parse(&TargetText { hosts: &hosts, ..minimal() })?;
    Ok(target.hosts.iter().map(ToString::to_string).collect())
}

#[test]
fn type_and_hosts_are_enough() {
    let target = Target::parse(&minimal()).unwrap();
    assert_eq!(target.kind, TargetKind::Postgres);
    assert_eq!(target.database.as_str(), "postgres");
    assert_eq!(target.roles, TargetRoles::Username);
    assert_eq!(target.login_secret, None);
    assert_eq!(target.ssl_mode, SslMode::Require);
}

#[test]
fn kinds_and_modes_are_called_as_on_the_wire() {
    for (kind, text) in TargetKind::ALL {
        assert_eq!(Target::parse(&TargetText { kind: text, ..minimal() }).unwrap().kind, kind);
        assert_eq!(kind.as_str(), text);
    }
    for (mode, text) in SslMode::ALL {
        assert_eq!(Target::parse(&TargetText { sslmode: Some(text), ..minimal() }).unwrap().ssl_mode, mode);
        assert_eq!(mode.as_str(), text);
    }
    assert_eq!(Target::parse(&TargetText { kind: "mysql", ..minimal() }), Err(TargetError::Kind));
    for unknown in ["", "allow", "Require"] {
        assert_eq!(
            Target::parse(&TargetText { sslmode: Some(unknown), ..minimal() }),
            Err(TargetError::SslMode)
        );
    }
}

#[test]
fn hosts_are_names_or_addresses_with_a_port() {
    let hosts = ["DB-1.example:5433", "db_2", "10.0.0.7:5432", "[2001:DB8:0::7]:6000", "[::1]"];
    let written = ["db-1.example:5433", "db_2:5432", "10.0.0.7:5432", "[2001:db8::7]:6000", "[::1]:5432"];
    assert_eq!(parsed_hosts(&hosts).unwrap(), written);
}

#[test]
fn the_entry_that_names_no_host_is_counted_out() {
    let long = "x".repeat(HOST_NAME_BYTES_MAX + 1);
    for (bad, source) in [
        ("", HostError::Name),
        (":5432", HostError::Name),
        (&long, HostError::Name),
        ("db 1:5432", HostError::Name),
        ("db/1", HostError::Name),
        ("[db-1]:5432", HostError::Name),
        ("::1", HostError::Name),
        ("db:5432:1", HostError::Malformed),
        ("[::1", HostError::Malformed),
        ("[::1]5432", HostError::Malformed),
        ("db:", HostError::Port),
        ("db:0", HostError::Port),
        ("db:65536", HostError::Port),
        ("db:+1", HostError::Port),
    ] {
        assert_eq!(parsed_hosts(&["db-1", bad]), Err(TargetError::Host { position: 2, source }), "{bad:?}");
    }
}

#[test]
fn there_are_1_to_16_hosts_and_no_two_the_same() {
    let hosts: Vec<String> = (0..=TARGET_HOSTS_MAX).map(|number| format!("db-{number}")).collect();
    let parse = |hosts| Target::parse(&TargetText { hosts, ..minimal() });
    assert_eq!(parse(&[]), Err(TargetError::NoHosts));
    assert_eq!(parse(&hosts[..TARGET_HOSTS_MAX]).unwrap().hosts.len(), 16);
    assert_eq!(parse(&hosts), Err(TargetError::TooManyHosts));
    assert_eq!(parsed_hosts(&["a", "b", "A:5432"]), Err(TargetError::DuplicateHost { position: 3 }));
}

#[test]
fn identifiers_may_hold_what_is_special_in_sql_but_nothing_unseen() {
    for fine in ["app", "App \"x\"; DROP ROLE y; --", "it's", "größe", "\\"] {
        assert_eq!(
            Target::parse(&TargetText { role: Some(fine), ..minimal() }).unwrap().roles,
            one_role(fine)
        );
    }
    let long = "ä".repeat(DATABASE_IDENTIFIER_BYTES_MAX / 2 + 1);
    for (bad, source) in [
        ("", IdentifierError::Empty),
        (long.as_str(), IdentifierError::TooLong),
        ("a\0", IdentifierError::ControlCharacter),
        ("a\n", IdentifierError::ControlCharacter),
    ] {
        let expected = |field| Err(TargetError::Identifier { field, source });
        assert_eq!(Target::parse(&TargetText { role: Some(bad), ..minimal() }), expected("role"));
        assert_eq!(Target::parse(&TargetText { database: Some(bad), ..minimal() }), expected("database"));
    }
}

fn one_role(name: &str) -> TargetRoles {
    TargetRoles::One(DatabaseIdentifier::parse(name).unwrap())
}

#[test]
fn the_alternating_strategy_has_two_different_roles() {
    let (pair, same, three) = (strings(&["a", "b"]), strings(&["a", "a"]), strings(&["a", "b", "c"]));
    let parse = |strategy, role, roles| {
        Target::parse(&TargetText { strategy, role, roles, ..minimal() }).map(|target| target.roles)
    };
    let TargetRoles::Alternating(first, second) =
        parse(Some("alternating"), None, Some(pair.as_slice())).unwrap()
    else {
        panic!("not alternating")
    };
    assert_eq!((first.as_str(), second.as_str()), ("a", "b"));
    for (strategy, role, roles, expected) in [
        (Some("alternating"), None, None, TargetError::Roles),
        (Some("alternating"), None, Some(same.as_slice()), TargetError::Roles),
        (Some("alternating"), None, Some(three.as_slice()), TargetError::Roles),
        (None, None, Some(pair.as_slice()), TargetError::Roles),
        (None, Some("a"), Some(pair.as_slice()), TargetError::Roles),
        (Some("alternating"), Some("a"), Some(pair.as_slice()), TargetError::RoleBesideRoles),
        (Some("single"), None, None, TargetError::Strategy),
    ] {
        assert_eq!(parse(strategy, role, roles), Err(expected), "{strategy:?} {role:?} {roles:?}");
    }
}

#[test]
fn a_login_secret_is_the_name_of_a_secret() {
    let target = Target::parse(&TargetText { login_secret: Some("db/admin"), ..minimal() }).unwrap();
    assert_eq!(target.login_secret.unwrap().as_str(), "db/admin");
    let expected = Err(TargetError::LoginSecret(NameError::EmptySegment));
    assert_eq!(Target::parse(&TargetText { login_secret: Some("db//admin"), ..minimal() }), expected);
}

#[test]
fn a_message_names_the_field_and_repeats_nothing() {
    let message = |target: Result<Target, TargetError>| target.unwrap_err().to_string();
    assert_eq!(
        message(Target::parse(&TargetText { database: Some("x\0y"), ..minimal() })),
        "target.database must not contain control characters"
    );
    assert_eq!(
        parsed_hosts(&["db:x"]).unwrap_err().to_string(),
        "target.hosts, entry 1: the port must be a number from 1 to 65535"
    );
}

/// A target with every field, and its bytes: written once, read for ever.
#[test]
fn a_stored_target_is_these_bytes() {
    let hosts = strings(&["db-1:5432", "[::1]:6000"]);
    let text = TargetText {
        kind: "pg_replica",
        hosts: &hosts,
        database: Some("app"),
        role: Some("svc"),
        login_secret: Some("db/admin"),
        sslmode: Some("verify-full"),
        ..TargetText::default()
    };
    let target = Target::parse(&text).unwrap();
    let golden = concat!(
        "8601", // a record of six fields; pg_replica
        "82",
        "6964622d313a35343332",
        "6a5b3a3a315d3a36303030", // hosts
        "63617070",               // database
        "82018163737663",         // one role
        "6864622f61646d696e",     // login secret
        "04"                      // verify-full
    );
    assert_eq!(hex::encode(minicbor::to_vec(&target).unwrap()), golden);
    assert_eq!(minicbor::decode::<Target>(&hex::decode(golden).unwrap()).unwrap(), target);
}

#[test]
fn a_bad_host_or_identifier_does_not_decode_from_disk() {
    for bad in ["db:0", ""] {
        let bytes = minicbor::to_vec(bad).unwrap();
        assert!(minicbor::decode::<DatabaseHost>(&bytes).is_err());
    }
    assert!(minicbor::decode::<DatabaseIdentifier>(&minicbor::to_vec("a\0").unwrap()).is_err());
}

proptest! {
    #[test]
    fn a_host_is_read_as_it_is_written(text in "[a-zA-Z0-9._-]{1,30}(:[1-9][0-9]{0,3})?") {
        let host = DatabaseHost::parse(&text).unwrap();
        prop_assert_eq!(DatabaseHost::parse(&host.to_string()), Ok(host));
    }

    #[test]
    fn no_text_panics(text in ".{0,64}") {
        let _ = DatabaseHost::parse(&text);
        let _ = DatabaseIdentifier::parse(&text);
    }
}
