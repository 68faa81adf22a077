//! A vault that can't start says why, on one line each, and is gone; what it would start with and should be
//! known is a warning.

use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use reqwest::Method;
use serde_json::json;

use crate::leak::{Canaries, canary};
use crate::vault::{ADMIN, MASTER_KEY, Vault, expect};

/// What the vault says of itself on standard error, beside its log.
fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let log_lines = said.lines().take_while(|line| line.starts_with('{')).count();
    let complaint: Vec<_> = said.lines().skip(log_lines).collect();
    complaint.join("\n")
}

fn start_in_vain(vault: &Vault) -> String {
    let mut command = vault.command();
    complaint(&command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap())
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused_and_the_first_goes_on() {
    let vault = Vault::start(&[]);
    let said = start_in_vain(&vault);
    let directory = vault.data_dir();
    let expected =
        format!("hyperion-vault: the data in {} is in use by another process", directory.display());
    assert_eq!(said, expected);
    vault
        .expect(Method::POST, "/v1/secrets", json!({"name": "a", "kind": "manual", "value": "x"}), 201)
        .await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let vault = Vault::start(&[]);
    let address = vault.address();
    let other = Vault::prepare(&[("VAULT_API_LISTEN", address)]);
    let reason = "the port is in use by another process: Address already in use (os error 98)";
    assert_eq!(start_in_vain(&other), format!("hyperion-vault: can't listen on {address}: {reason}"));
    assert!(!other.data_dir().exists(), "what can't start leaves nothing behind");
}

#[test]
fn every_bad_setting_is_named_on_a_line_of_its_own_and_no_secret_is_shown() {
    let key = canary("a key that is") + &canary("too long");
    let token = format!("{} {}", canary("two"), canary("words"));
    let vault = Vault::prepare(&[
        ("VAULT_API_LISTEN", "nowhere"),
        ("VAULT_TLS_CERT", "/no/such/certificate"),
        ("VAULT_KMS_MODE", "paper"),
        ("VAULT_LOCAL_MASTER_KEY", &key),
        ("VAULT_DEK_CACHE_TTL_SECS", "-1"),
        ("VAULT_ALLOWED_IPS", "10.0.0.0/8,10.0.0.0/33"),
        ("VAULT_TRUST_PROXY", "maybe"),
        ("VAULT_READ_AUTH", ""),
        ("VAULT_BOOTSTRAP_TOKEN", &token),
        ("VAULT_AUDIT_SYNC", "sometimes"),
        ("VAULT_ROTATION_POLL_SECS", "0"),
        ("NODE_ID", "one"),
        ("VAULT_PEERS", "1=a:1,1=b:2"),
        ("VAULT_CLUSTER_SECRET", "too short"),
        ("VAULT_RAFT_TLS", "perhaps"),
        ("VAULT_RAFT_TLS_KEY", "/no/such/key"),
        ("VAULT_READ_CONSISTENCY", "eventual"),
        ("VAULT_LOG", "hyperion_vault=loud"),
        ("VAULT_LOG_FORMAT", "xml"),
    ]);
    let said = start_in_vain(&vault);
    let named: Vec<_> =
        said.lines().skip(1).map(|line| line.trim_start().split(':').next().unwrap()).collect();
    assert_eq!(
        named,
        [
            "VAULT_API_LISTEN",
            "VAULT_TLS_KEY",
            "VAULT_KMS_MODE",
            "VAULT_LOCAL_MASTER_KEY",
            "VAULT_DEK_CACHE_TTL_SECS",
            "VAULT_ALLOWED_IPS",
            "VAULT_TRUST_PROXY",
            "VAULT_READ_AUTH",
            "VAULT_BOOTSTRAP_TOKEN",
            "VAULT_AUDIT_SYNC",
            "VAULT_ROTATION_POLL_SECS",
            "NODE_ID",
            "VAULT_PEERS",
            "VAULT_CLUSTER_SECRET",
            "VAULT_RAFT_TLS",
            "VAULT_RAFT_TLS_CERT",
            "VAULT_RAFT_TLS_CA",
            "VAULT_READ_CONSISTENCY",
            "VAULT_LOG",
            "VAULT_LOG_FORMAT",
        ],
        "{said}"
    );
    assert_eq!(said.lines().next(), Some("hyperion-vault: the settings are not valid:"));
    let mut secrets = Canaries::default();
    secrets.add("key", &key);
    secrets.add("token", &token);
    secrets.searcher().expect_none("the complaint", said.as_bytes());
    assert!(!vault.data_dir().exists());
}

/// Any one of them alone, too: the key is looked at by another part of the vault than the rest.
#[test]
fn a_master_key_that_is_none_is_refused_without_being_shown() {
    for (key, reason) in [
        ("not base64, but secret all the same", "is not base64"),
        ("c2hvcnQ=", "must be the base64 of 32 bytes, but is that of 5"),
        ("", "is empty; give it a value or unset it"),
    ] {
        let vault = Vault::prepare(&[("VAULT_LOCAL_MASTER_KEY", key)]);
        let expected = "hyperion-vault: the settings are not valid:\n  VAULT_LOCAL_MASTER_KEY: ".to_owned();
        assert_eq!(start_in_vain(&vault), expected + reason);
    }
}

#[tokio::test]
async fn secrets_are_taken_out_of_files() {
    let mut vault = Vault::prepare(&[]);
    for (name, secret) in [("VAULT_LOCAL_MASTER_KEY", MASTER_KEY), ("VAULT_BOOTSTRAP_TOKEN", ADMIN)] {
        let path = vault.home().join(name);
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        vault.unset(name);
        vault.set(&format!("{name}_FILE"), path.to_str().unwrap());
    }
    vault.resume();
    let body = json!({"name": "a", "kind": "manual", "value": "x"});
    vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    let own_warning = |line: &&str| line.contains("WARN") && line.contains("\"target\":\"hyperion_vault");
    assert_eq!(vault.log().lines().find(own_warning), None);

    // The same key by the other way opens what it sealed.
    assert_eq!(vault.terminate().code(), Some(0));
    vault.unset("VAULT_LOCAL_MASTER_KEY_FILE");
    vault.set("VAULT_LOCAL_MASTER_KEY", MASTER_KEY);
    vault.resume();
    assert_eq!(expect(vault.request(Method::GET, "/v1/secrets/a"), 200).await["value"], "x");
}

#[test]
fn a_file_of_a_secret_that_can_not_be_used_is_named() {
    let mut vault = Vault::prepare(&[]);
    vault.set("VAULT_LOCAL_MASTER_KEY_FILE", "/no/such/file");
    vault.unset("VAULT_BOOTSTRAP_TOKEN");
    vault.set("VAULT_BOOTSTRAP_TOKEN_FILE", "/no/such/file");
    let said = start_in_vain(&vault);
    assert_eq!(
        said.lines().skip(1).map(str::trim_start).collect::<Vec<_>>(),
        [
            "VAULT_LOCAL_MASTER_KEY_FILE: set together with VAULT_LOCAL_MASTER_KEY; set only one of them",
            "VAULT_BOOTSTRAP_TOKEN_FILE: can't read \"/no/such/file\": No such file or directory (os error 2)",
        ]
    );
}

#[test]
fn an_unknown_name_is_warned_of_with_the_nearest_one() {
    let vault = Vault::start(&[("VAULT_ALOWED_IPS", "10.0.0.0/8")]);
    let warning = "VAULT_ALOWED_IPS: not a setting of this version, ignored; the nearest known one is VAULT_ALLOWED_IPS";
    assert!(vault.log().contains(warning), "{}", vault.log());
}

#[test]
fn the_files_of_a_vault_are_its_owners_alone() {
    let vault = Vault::start(&[]);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&vault.data_dir()), 0o700);
    for file in crate::leak::files_under(&vault.data_dir()) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}
