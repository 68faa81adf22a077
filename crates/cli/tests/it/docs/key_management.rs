//! The page on key management: its commands, run in order against an emulator of AWS KMS, and its policy.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::examples::{examples, run};
use super::{block, document, free_port, has};
use crate::emulator::{Emulator, REGION};
use crate::kms::settings_of;
use crate::vault::Vault;

const PAGE: &str = "docs/key-management.md";

#[test]
fn the_commands_of_the_page_run_as_they_are_written() {
    if !has("curl") {
        return;
    }
    let (emulator, home) = (Emulator::start(), TempDir::new().unwrap());
    let binaries = Path::new(env!("CARGO_BIN_EXE_hyperion-vault")).parent().unwrap();
    let mut setting = format!(
        "export PATH={}:{}:/usr/local/bin:/usr/bin:/bin\n",
        binaries.display(),
        Emulator::tools().canonicalize().unwrap().display()
    );
    for (name, value) in emulator.env() {
        setting.push_str(&format!("export {name}='{value}'\n"));
    }
    // The `aws` of version 1, which can be had as a Python package, knows its region by another name.
    setting.push_str(&format!("export AWS_DEFAULT_REGION={REGION}\n"));
    let page = format!("```sh\n{setting}```\n{}", document(PAGE));
    let address = format!("127.0.0.1:{}", free_port());
    run(&examples(&page, ""), home.path(), &[("VAULT_API_LISTEN", &address)]);
}

fn policy() -> Value {
    let mut policy: Value = serde_json::from_str(&block(&document(PAGE), "json policy")).unwrap();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        // The page names a key of its own.
        statement["Resource"] = json!("*");
    }
    policy
}

#[tokio::test]
async fn the_policy_of_the_page_is_enough_and_its_second_statement_is_for_re_wrapping_alone() {
    for rewraps in [true, false] {
        let emulator = Emulator::start();
        let key = emulator.create_key();
        let mut policy = policy();
        assert_eq!(policy["Statement"].as_array().unwrap().len(), 2);
        if !rewraps {
            policy["Statement"].as_array_mut().unwrap().pop();
        }
        emulator.allow_policy(&policy);
        let mut vault = Vault::prepare(&[("VAULT_DEK_CACHE_TTL_SECS", "0")]);
        vault.unset("VAULT_LOCAL_MASTER_KEY");
        for (name, value) in settings_of(&emulator, &key) {
            vault.set(name, &value);
        }
        vault.resume();
        let body = json!({"name": "a", "kind": "manual", "value": "v"});
        vault.expect(Method::POST, "/v1/secrets", body, 201).await;
        vault.expect(Method::GET, "/v1/secrets/a", Value::Null, 200).await;
        let rewrapped = if rewraps { 200 } else { 503 };
        vault.expect(Method::POST, "/v1/admin/kms/rewrap", Value::Null, rewrapped).await;
        vault.expect(Method::GET, "/v1/secrets/a", Value::Null, 200).await;
    }
}
