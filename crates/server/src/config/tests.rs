//! What the environment may say, and what the vault answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use hyperion_vault_core::client_address::ProxyTrust;

use super::*;

mod cluster;
mod keys;

const NO_FILES: fn(&Path) -> io::Result<Zeroizing<Vec<u8>>> = |_| Err(io::ErrorKind::NotFound.into());

/// 32 bytes in base64.
const MASTER_KEY: &str = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";

/// The smallest environment that starts, and these on top.
fn env(vars: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let local = ("VAULT_KMS_MODE", "local");
    let mode_given = vars.iter().any(|(name, _)| *name == local.0);
    let vars = vars.iter().chain((!mode_given).then_some(&local));
    vars.map(|(name, value)| (name.into(), value.into())).collect()
}

fn read(vars: &[(&str, &str)]) -> (Settings, Vec<Warning>) {
    let read = Settings::from_env(env(vars).into_iter(), NO_FILES);
    read.unwrap_or_else(|errors| panic!("refused: {errors:?}"))
}

fn settings(vars: &[(&str, &str)]) -> Settings {
    read(vars).0
}

fn warnings(vars: &[(&str, &str)]) -> Vec<Warning> {
    read(vars).1
}

fn refusals(vars: &[(&str, &str)]) -> Vec<String> {
    let refused = Settings::from_env(env(vars).into_iter(), NO_FILES).err().expect("should be refused");
    refused.iter().map(ToString::to_string).collect()
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let settings = settings(&[]);
    assert_eq!(settings.listen, Listen::EveryInterface { port: 8200 });
    assert_eq!(settings.tls, None);
    assert_eq!(settings.storage, Storage { state_file: "vault.redb".into() });
    assert_eq!(settings.keys.retries_max, 5);
    assert_eq!(settings.keys.data_key_cache_ttl.get(), 300);
    assert_eq!(settings.keys.data_key_cache_outage_ttl.get(), 0);
    assert!(settings.access.readers.is_empty());
    assert_eq!(settings.access.proxies, ProxyTrust::Nobody);
    assert_eq!(settings.access.read_auth, ReadAuth::None);
    assert!(settings.access.bootstrap_token.is_none());
    let lockout = settings.access.lockout;
    assert_eq!((lockout.failures_max, lockout.window.get(), lockout.lockout.get()), (5, 300, 900));
    assert_eq!(settings.audit, AuditConfig::at("./audit/audit.jsonl"));
    assert_eq!(settings.workers.rotation_poll.get(), 15);
    let rewrap = settings.workers.rewrap;
    assert_eq!((rewrap.enabled, rewrap.poll.get(), rewrap.versions_per_sec_max), (false, 86_400, Some(10)));
    assert_eq!((settings.node.id, settings.node.peers.len()), (1, 0));
    assert_eq!(settings.node.read_consistency, Consistency::Local);
    assert_eq!(settings.node.pretended_feature_level, None);
    assert!(settings.peer_security.is_none());
    assert_eq!(settings.log, Log { filter: "info,openraft=warn".into(), format: LogFormat::Text });
}

#[test]
fn all_errors_are_reported_at_once_in_the_order_of_the_table() {
    let vars = [
        ("VAULT_ROTATION_POLL_SECS", "soon"),
        ("VAULT_API_PORT", "65536"),
        ("VAULT_ALLOWED_IPS", "10.0.0.0/8, 10.0.0.300"),
        ("VAULT_BOOTSTRAP_TOKEN", ""),
        ("VAULT_LOCAL_MASTER_KEY", "c2hvcnQ="),
        ("VAULT_KMS_MAX_RETRIES", "-1"),
    ];
    assert_eq!(
        refusals(&vars),
        [
            "VAULT_API_PORT: \"65536\" is not a whole number from 0 to 65535",
            "VAULT_KMS_MAX_RETRIES: \"-1\" is not a whole number from 0 to 100",
            "VAULT_LOCAL_MASTER_KEY: must be the base64 of 32 bytes, but is that of 5",
            "VAULT_ALLOWED_IPS: \"10.0.0.300\" is neither an IP address nor a network in CIDR notation",
            "VAULT_BOOTSTRAP_TOKEN: is empty; give it a value or unset it",
            "VAULT_ROTATION_POLL_SECS: \"soon\" is not a whole number from 1 to 86400",
        ]
    );
}

#[test]
fn every_refusal_is_one_short_line() {
    let hostile = "a\nb\r\u{2028}".repeat(100);
    for setting in table::TABLE {
        let refused = Settings::from_env(env(&[(setting.name, &hostile)]).into_iter(), NO_FILES);
        for error in refused.err().unwrap_or_default() {
            let line = error.to_string();
            assert!(!line.contains(['\n', '\r', '\u{2028}']), "{line:?}");
            assert!(line.chars().count() < 400, "{line:?}");
        }
    }
}

#[test]
fn no_refusal_or_warning_shows_a_secret() {
    let not_utf8 = OsString::from_vec(b"s3cr3t\xff".to_vec());
    for setting in table::TABLE.iter().filter(|setting| setting.is_secret()) {
        for value in
            ["s3cr3t".into(), "s3cr3t with blanks".into(), "s3cr3t".repeat(1_000).into(), not_utf8.clone()]
        {
            let mut vars = env(&[("VAULT_API_PORT", "x")]);
            vars.push((setting.name.into(), value));
            let errors = Settings::from_env(vars.into_iter(), NO_FILES).err().unwrap();
            assert!(errors.iter().all(|error| !error.to_string().contains("s3cr3t")), "{errors:?}");
        }
    }
}

#[test]
fn numbers_keep_their_bounds() {
    for setting in table::TABLE {
        let table::Values::Number { min, max } = setting.values else { continue };
        let refused = |value: String| {
            let errors = Settings::from_env(env(&[(setting.name, &value)]).into_iter(), NO_FILES).err();
            errors.is_some_and(|errors| errors.iter().any(|error| error.name == setting.name))
        };
        assert!(!refused(min.to_string()) && !refused(max.to_string()), "{}", setting.name);
        assert!(refused((u128::from(max) + 1).to_string()), "{}", setting.name);
        assert!(min == 0 || refused((min - 1).to_string()), "{}", setting.name);
        for text in ["", " 1", "+1", "-1", "1.0", "0x10"] {
            assert!(refused(text.to_owned()), "{} = {text:?}", setting.name);
        }
    }
}

#[test]
fn each_word_of_the_table_is_understood_and_no_other() {
    for setting in table::TABLE.iter().filter(|setting| setting.name != table::KMS_MODE.name) {
        let table::Values::Words(words) = setting.values else { continue };
        for word in words {
            settings(&[(setting.name, word)]);
        }
        assert_eq!(refusals(&[(setting.name, "maybe")]).len(), 1, "{}", setting.name);
    }
}

#[test]
fn empty_values_are_refused_except_for_lists() {
    for setting in table::TABLE {
        let refused = Settings::from_env(env(&[(setting.name, "")]).into_iter(), NO_FILES).is_err();
        assert_eq!(refused, !setting.values.may_be_empty(), "{}", setting.name);
    }
}

#[test]
fn an_address_takes_the_place_of_the_port() {
    let address = |host: &str, port| Listen::Address(HostPort { host: host.into(), port });
    assert_eq!(settings(&[("VAULT_API_LISTEN", "127.0.0.1:1")]).listen, address("127.0.0.1", 1));
    assert_eq!(
        settings(&[("VAULT_API_LISTEN", "[::1]:9"), ("VAULT_API_PORT", "9")]).listen,
        address("::1", 9)
    );
    assert_eq!(
        refusals(&[("VAULT_API_LISTEN", "localhost:9"), ("VAULT_API_PORT", "8200")]),
        ["VAULT_API_LISTEN: names another port than VAULT_API_PORT; set only one"]
    );
    assert_eq!(
        refusals(&[("VAULT_API_LISTEN", "8200")]),
        ["VAULT_API_LISTEN: \"8200\" has no port; write host:port"]
    );
}

#[test]
fn half_a_tls_setup_never_means_plain_http() {
    let (cert, key, ca) =
        (("VAULT_TLS_CERT", "c.pem"), ("VAULT_TLS_KEY", "k.pem"), ("VAULT_TLS_CLIENT_CA", "ca.pem"));
    let tls = settings(&[cert, key, ca]).tls.unwrap();
    assert_eq!(
        (tls.certificate, tls.key, tls.client_ca),
        ("c.pem".into(), "k.pem".into(), Some("ca.pem".into()))
    );
    assert_eq!(refusals(&[cert]), ["VAULT_TLS_KEY: not set, though VAULT_TLS_CERT is"]);
    assert_eq!(refusals(&[key, ca]), ["VAULT_TLS_CERT: not set, though VAULT_TLS_KEY is"]);
    assert_eq!(refusals(&[ca]), ["VAULT_TLS_CLIENT_CA: needs VAULT_TLS_CERT and VAULT_TLS_KEY"]);
}

#[test]
fn plain_http_is_warned_of_unless_nobody_else_can_listen_in() {
    assert!(warnings(&[]).contains(&Warning::PlainHttp));
    for quiet in [
        [("VAULT_API_LISTEN", "127.0.0.1:8200"), ("VAULT_LOG", "info")],
        [("VAULT_API_LISTEN", "[::1]:8200"), ("VAULT_LOG", "info")],
        [("VAULT_API_LISTEN", "localhost:8200"), ("VAULT_LOG", "info")],
        [("VAULT_TLS_CERT", "c"), ("VAULT_TLS_KEY", "k")],
        [("VAULT_TRUST_PROXY", "true"), ("VAULT_TRUSTED_PROXIES", "10.0.0.1")],
    ] {
        assert!(!warnings(&quiet).contains(&Warning::PlainHttp), "{quiet:?}");
    }
}

#[test]
fn the_state_lies_where_the_settings_say() {
    let storage = |vars: &[_]| settings(vars).storage;
    let with_dir = storage(&[("VAULT_DATA_DIR", "/var/lib/vault")]);
    assert_eq!(with_dir.state_file, PathBuf::from("/var/lib/vault/vault.redb"));
    assert_eq!(with_dir.dir(), Path::new("/var/lib/vault"));

    let relative = storage(&[("VAULT_DATA_DIR", "/d"), ("VAULT_DB_PATH", "x/state.db")]);
    assert_eq!(relative.state_file, PathBuf::from("/d/x/state.db"));
    let absolute = storage(&[("VAULT_DATA_DIR", "/d"), ("VAULT_DB_PATH", "/e/state.db")]);
    assert_eq!(absolute.state_file, PathBuf::from("/e/state.db"));
    assert_eq!(storage(&[]).dir(), Path::new("."));
    assert_eq!(refusals(&[("VAULT_DB_PATH", "..")]), ["VAULT_DB_PATH: does not end in the name of a file"]);
}

#[test]
fn the_audit_log_lies_with_the_data_unless_told_otherwise() {
    let path = |vars: &[_]| settings(vars).audit.path;
    assert_eq!(path(&[("VAULT_DATA_DIR", "/d")]), PathBuf::from("/d/audit/audit.jsonl"));
    assert_eq!(path(&[("VAULT_DB_PATH", "/e/v.redb")]), PathBuf::from("/e/audit/audit.jsonl"));
    assert_eq!(path(&[("VAULT_DATA_DIR", "/d"), ("VAULT_AUDIT_PATH", "/a.log")]), PathBuf::from("/a.log"));
}

#[test]
fn proxies_are_believed_as_far_as_they_are_named() {
    let proxies = |vars: &[_]| settings(vars).access.proxies;
    assert_eq!(proxies(&[("VAULT_TRUST_PROXY", "true")]), ProxyTrust::Peer);
    let named = [("VAULT_TRUST_PROXY", "1"), ("VAULT_TRUSTED_PROXIES", "10.0.0.0/8")];
    let ProxyTrust::Proxies(list) = proxies(&named) else { panic!("a list was named") };
    assert!(list.permits("10.1.2.3".parse().unwrap()) && !list.permits("11.0.0.1".parse().unwrap()));
    assert_eq!(proxies(&[("VAULT_TRUSTED_PROXIES", "10.0.0.0/8")]), ProxyTrust::Nobody);

    assert!(warnings(&[("VAULT_TRUST_PROXY", "true")]).contains(&Warning::EveryPeerIsProxy));
    assert!(warnings(&[("VAULT_TRUSTED_PROXIES", "::1")]).contains(&Warning::ProxiesWithoutTrust));
}

#[test]
fn a_bootstrap_token_must_be_one_that_a_client_can_send() {
    let token = |text: &str| settings(&[("VAULT_BOOTSTRAP_TOKEN", text)]).access.bootstrap_token.unwrap();
    assert_eq!(token("0123456789abcdef").expose(), "0123456789abcdef");
    for text in ["two words", "naïve-and-long-enough", "tab\tbed-and-long-enough"] {
        assert_eq!(
            refusals(&[("VAULT_BOOTSTRAP_TOKEN", text)]),
            ["VAULT_BOOTSTRAP_TOKEN: may hold only visible ASCII characters, no blanks"]
        );
    }
    assert_eq!(
        refusals(&[("VAULT_BOOTSTRAP_TOKEN", &"x".repeat(1_025))]),
        ["VAULT_BOOTSTRAP_TOKEN: is longer than 1024 bytes"]
    );
    assert!(
        warnings(&[("VAULT_BOOTSTRAP_TOKEN", "short")]).contains(&Warning::ShortBootstrapToken { bytes: 5 })
    );
    assert!(
        !warnings(&[("VAULT_BOOTSTRAP_TOKEN", "0123456789abcdef")])
            .iter()
            .any(|warning| matches!(warning, Warning::ShortBootstrapToken { .. }))
    );
}

#[test]
fn a_secret_may_come_from_a_file_and_loses_one_newline() {
    for (content, token) in [
        ("0123456789abcdef", "0123456789abcdef"),
        ("0123456789abcdef\n", "0123456789abcdef"),
        ("0123456789abcdef\r\n", "0123456789abcdef"),
    ] {
        let vars = env(&[("VAULT_BOOTSTRAP_TOKEN_FILE", "/run/token")]);
        let file = |path: &Path| {
            assert_eq!(path, Path::new("/run/token"));
            Ok(Zeroizing::new(content.as_bytes().to_vec()))
        };
        let (settings, _) = Settings::from_env(vars.into_iter(), file).unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(settings.access.bootstrap_token.unwrap().expose(), token);
    }
}

#[test]
fn a_secret_file_that_cannot_be_used_keeps_the_vault_from_starting() {
    assert_eq!(
        refusals(&[("VAULT_BOOTSTRAP_TOKEN_FILE", "/none")]),
        ["VAULT_BOOTSTRAP_TOKEN_FILE: can't read \"/none\": entity not found"]
    );
    assert_eq!(
        refusals(&[("VAULT_LOCAL_MASTER_KEY_FILE", "/f"), ("VAULT_LOCAL_MASTER_KEY", MASTER_KEY)]),
        ["VAULT_LOCAL_MASTER_KEY_FILE: set together with VAULT_LOCAL_MASTER_KEY; set only one of them"]
    );
    let empty = Settings::from_env(env(&[("VAULT_BOOTSTRAP_TOKEN_FILE", "/f")]).into_iter(), |_| {
        Ok(Zeroizing::new(b"\n".to_vec()))
    });
    assert_eq!(
        empty.err().unwrap()[0].to_string(),
        "VAULT_BOOTSTRAP_TOKEN: is empty; give it a value or unset it"
    );
}

#[test]
fn secret_files_are_read_up_to_their_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, vec![b'x'; SECRET_FILE_BYTES_MAX]).unwrap();
    assert_eq!(read_secret_file(&path).unwrap().len(), SECRET_FILE_BYTES_MAX);
    std::fs::write(&path, vec![b'x'; SECRET_FILE_BYTES_MAX + 1]).unwrap();
    assert_eq!(read_secret_file(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn an_empty_allowlist_is_warned_of() {
    assert!(warnings(&[("VAULT_ALLOWED_IPS", "")]).contains(&Warning::NobodyMayRead));
    let (settings, warnings) = read(&[("VAULT_ALLOWED_IPS", "127.0.0.1,::1,10.0.0.0/8")]);
    assert!(!warnings.contains(&Warning::NobodyMayRead));
    assert!(settings.access.readers.permits("10.9.8.7".parse().unwrap()));
}

#[test]
fn unknown_names_are_warned_of_with_the_nearest_known_one() {
    for (name, nearest) in [
        ("VAULT_ALOWED_IPS", "VAULT_ALLOWED_IPS"),
        ("VAULT_BOOTSTRAP_TOKE", "VAULT_BOOTSTRAP_TOKEN"),
        ("VAULT_API_PROT", "VAULT_API_PORT"),
        ("VAULT_LOG_FORMAT_FILE", "VAULT_LOG_FORMAT"),
    ] {
        let unknown = Warning::UnknownSetting { name: name.into(), nearest };
        assert!(warnings(&[(name, "x")]).contains(&unknown), "{name}");
        assert_eq!(
            unknown.to_string(),
            format!("{name}: not a setting of this version, ignored; the nearest known one is {nearest}")
        );
    }
    let others = warnings(&[("PATH", "/bin"), ("NODE_NAME", "a"), ("MY_VAULT_X", "b")]);
    assert!(others.iter().all(|warning| !matches!(warning, Warning::UnknownSetting { .. })));
}

#[test]
fn a_log_filter_that_cannot_be_read_is_refused() {
    assert_eq!(
        settings(&[("VAULT_LOG", "warn,hyperion_vault_raft=debug")]).log.filter,
        "warn,hyperion_vault_raft=debug"
    );
    assert_eq!(settings(&[("VAULT_LOG_FORMAT", "json")]).log.format, LogFormat::Json);
    let refused = refusals(&[("VAULT_LOG", "info,=,x=loud")]);
    assert!(refused[0].starts_with("VAULT_LOG: "), "{refused:?}");
}

#[test]
fn the_documentation_is_in_step_with_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == table::document(), "docs/settings.md is out of step: run `cargo xtask fix`");
}

#[test]
fn names_are_told_once_and_fit_in_a_table() {
    for (at, setting) in table::TABLE.iter().enumerate() {
        assert!(table::TABLE[at + 1..].iter().all(|other| other.name != setting.name), "{}", setting.name);
        assert!(!setting.doc.contains(['|', '\n']) && setting.doc.ends_with('.'), "{}", setting.name);
    }
}
