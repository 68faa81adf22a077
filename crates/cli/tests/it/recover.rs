//! `hyperion-vault cluster recover` on the files of one node.

use std::path::Path;
use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::vault::{Vault, expect};

fn recover(data_dir: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hyperion-vault"))
        .env_clear()
        .args(["cluster", "recover", "--data-dir"])
        .arg(data_dir)
        .args(more)
        .output()
        .unwrap()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

async fn cluster_id(vault: &Vault) -> String {
    let cluster = vault.expect(Method::GET, "/v1/admin/cluster", Value::Null, 200).await;
    cluster["cluster_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_recovered_node_has_what_it_had_and_is_another_cluster() {
    let mut vault = Vault::start(&[]);
    vault
        .expect(Method::POST, "/v1/secrets", json!({"name": "a", "kind": "manual", "value": "x"}), 201)
        .await;
    let formed = cluster_id(&vault).await;
    vault.kill();
    let output = recover(&vault.data_dir(), &["--yes"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("node 1 is a cluster of one; its log is kept up to entry "), "{said}");
    vault.resume();
    assert_eq!(expect(vault.request(Method::GET, "/v1/secrets/a"), 200).await["value"], "x");
    assert_ne!(cluster_id(&vault).await, formed);
}

#[tokio::test]
async fn nothing_is_done_unasked_or_to_a_node_that_runs() {
    let mut vault = Vault::start(&[]);
    let formed = cluster_id(&vault).await;
    let in_use = complaint(&recover(&vault.data_dir(), &["--yes"]));
    assert!(
        in_use.contains("nothing was changed") && in_use.contains("in use by another process"),
        "{in_use}"
    );
    vault.terminate();
    let unasked = complaint(&recover(&vault.data_dir(), &[]));
    assert!(unasked.contains("say --yes where nobody can be asked"), "{unasked}");
    vault.resume();
    assert_eq!(cluster_id(&vault).await, formed);
}

#[test]
fn where_there_is_no_vault_none_is_made() {
    let home = TempDir::new().unwrap();
    let data_dir = home.path().join("data");
    let said = complaint(&recover(&data_dir, &["--yes"]));
    assert!(
        said.contains(&format!("there is no vault at {}", data_dir.join("vault.redb").display())),
        "{said}"
    );
    assert!(!data_dir.exists());
}
