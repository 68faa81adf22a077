//! A vault on AWS KMS: a real process on the API of the real service, as an emulator speaks it that is as strict as
//! AWS where a vault depends on it.

mod check;
mod faults;
mod local;
mod outage;
mod rotation;

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::emulator::Emulator;
use crate::vault::{Vault, expect};

/// Nothing that is waited for takes longer, on a busy machine.
const SETTLE_MAX: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// What the vault says when it has no data key.
const UNAVAILABLE: &str = "key management unavailable";

/// A vault, its master key and the service that holds it.
struct AwsVault {
    emulator: Emulator,
    key: String,
    vault: Vault,
}

/// What points a vault, or a command of its, at a key of the emulator.
pub(crate) fn settings_of(emulator: &Emulator, key: &str) -> Vec<(&'static str, String)> {
    let own = [("VAULT_KMS_MODE", "aws".to_owned()), ("VAULT_KMS_KEY_ID", key.to_owned())];
    own.into_iter().chain(emulator.env()).collect()
}

impl AwsVault {
    fn start(settings: &[(&str, &str)]) -> AwsVault {
        let mut vault = AwsVault::prepare(settings);
        vault.vault.resume();
        vault
    }

    fn prepare(settings: &[(&str, &str)]) -> AwsVault {
        let emulator = Emulator::start();
        let key = emulator.create_key();
        let mut vault = Vault::prepare(settings);
        vault.unset("VAULT_LOCAL_MASTER_KEY");
        for (name, value) in settings_of(&emulator, &key) {
            vault.set(name, &value);
        }
        AwsVault { emulator, key, vault }
    }

    async fn create(&self, name: &str, value: &str) {
        create(&self.vault, name, value).await;
    }

    async fn expect_value(&self, name: &str, value: &str) {
        expect_value(&self.vault, name, value).await;
    }

    /// Reads a secret that can't be read now, and says how long the answer took.
    async fn expect_unavailable(&self, name: &str) -> Duration {
        let begun = Instant::now();
        let answer = self.read(name).await;
        expect_unavailable(answer).await;
        begun.elapsed()
    }

    async fn read(&self, name: &str) -> Response {
        self.vault.request(Method::GET, &format!("/v1/secrets/{name}")).send().await.unwrap()
    }

    /// What `/readyz` says, and its status.
    async fn readiness(&self) -> (u16, String) {
        readiness(&self.vault).await
    }

    async fn wait_ready(&self) {
        until("the vault is ready", async || (self.readiness().await.0 == 200).then_some(())).await;
    }
}

async fn create(vault: &Vault, name: &str, value: &str) {
    let body = json!({"name": name, "kind": "manual", "value": value, "grace_period_secs": 3_600});
    vault.expect(Method::POST, "/v1/secrets", body, 201).await;
}

async fn expect_value(vault: &Vault, name: &str, value: &str) {
    let read = expect(vault.request(Method::GET, &format!("/v1/secrets/{name}")), 200).await;
    assert_eq!(read["value"], value, "{name}");
}

async fn expect_unavailable(answer: Response) {
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "error": UNAVAILABLE }));
}

async fn readiness(vault: &Vault) -> (u16, String) {
    let answer = vault.request(Method::GET, "/readyz").send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// One figure of the metrics; absent ones are 0.
async fn metric(vault: &Vault, name: &str) -> f64 {
    let text = vault.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |figure| figure.parse().unwrap())
}

async fn rewrap_status(vault: &Vault) -> Value {
    vault.expect(Method::GET, "/v1/admin/kms/rewrap/status", Value::Null, 200).await
}

async fn rewrap(vault: &Vault) -> Value {
    vault.expect(Method::POST, "/v1/admin/kms/rewrap", Value::Null, 200).await
}

/// Looks again and again until there is something, but not for ever.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < SETTLE_MAX, "waited in vain until {what}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
