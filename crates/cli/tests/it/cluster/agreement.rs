//! Whether all nodes have the same state, and everything in it that was acknowledged.

use std::collections::BTreeMap;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::writers::{Written, create_one};
use super::{Cluster, until};
use crate::vault::expect;

const PAGE_ITEMS: usize = 10_000;
const BATCH_NAMES: usize = 256;
/// Superseded versions are read one by one: one of so many secrets.
const OLD_VERSIONS_STEP: usize = 10;

/// One node's secrets, as only it has them: metadata and current value, by name.
type Secrets = BTreeMap<String, (Value, Value)>;

impl Cluster {
    /// Every running node shows the same secrets, byte for byte, and all that was acknowledged is among them.
    pub(super) async fn expect_equal_state(&self, written: &Written) {
        let ids = self.running();
        let index = self.settled_index().await;
        let states = join_all(ids.iter().map(|id| self.secrets(*id, &index))).await;
        for (id, state) in ids.iter().zip(&states) {
            assert!(*state == states[0], "node {id} and node {}: {}", ids[0], difference(&states[0], state));
        }
        expect_acknowledged(&states[0], written);
        join_all(ids.iter().map(|id| self.expect_old_versions(*id, written))).await;
    }

    /// Makes one more change, and tells its `X-Vault-Index`: a node that has it has all before it.
    async fn settled_index(&self) -> String {
        let client = self.client_of(&self.running());
        let mark = create_one(&client, &format!("settled/{}", fastrand::u64(..))).await;
        mark.expect_no_failure();
        let reply = client.clone().send(Method::GET, "/v1/secrets?limit=1", &[], &Value::Null).await.unwrap();
        reply.headers["x-vault-index"].to_str().unwrap().to_owned()
    }

    async fn secrets(&self, id: u64, index: &str) -> Secrets {
        let (mut secrets, mut after) = (Secrets::new(), String::new());
        loop {
            let path = format!("/v1/secrets?consistency=local&limit={PAGE_ITEMS}&after={after}");
            let page = self.list(id, &path, index).await;
            let names: Vec<_> = page.iter().map(|secret| text(&secret["name"])).collect();
            let mut values = Vec::new();
            for names in names.chunks(BATCH_NAMES) {
                let batch = self.request(id, Method::POST, "/v1/batch/secrets?consistency=local");
                let found = expect(batch.json(&json!({"names": names})), 200).await;
                values.extend(found.as_array().unwrap().iter().cloned());
            }
            assert_eq!(values.len(), names.len(), "node {id} has values for all that it lists");
            let Some(last) = names.last().cloned() else { return secrets };
            after = last;
            secrets.extend(names.into_iter().zip(page.into_iter().zip(values)));
        }
    }

    /// Once the node has applied the log up to `index`.
    async fn list(&self, id: u64, path: &str, index: &str) -> Vec<Value> {
        let page = until(&format!("node {id} has applied {index}"), async || {
            let request = self.admin(id, Method::GET, path).header("x-vault-index", index);
            let answer = request.send().await.unwrap();
            (answer.status() == 200).then_some(answer)
        })
        .await;
        let page: Value = serde_json::from_str(&page.text().await.unwrap()).unwrap();
        page.as_array().unwrap().clone()
    }

    async fn expect_old_versions(&self, id: u64, written: &Written) {
        let superseded = written.acknowledged.iter().filter(|(_, known)| known.versions > 1);
        for (name, known) in superseded.step_by(OLD_VERSIONS_STEP) {
            let path = format!("/v1/secrets/{name}?version=1&consistency=local");
            let read = expect(self.request(id, Method::GET, &path), 200).await;
            assert!(read["value"] == known.value(name, 1), "{name} on node {id}");
        }
    }
}

/// Whatever is there is what a writer sent, and nothing that was acknowledged is missing. An attempt without an
/// answer may have been done: then there is one version more.
fn expect_acknowledged(secrets: &Secrets, written: &Written) {
    for (name, known) in &written.acknowledged {
        let Some((metadata, current)) = secrets.get(name) else {
            panic!("{name} was acknowledged, and is gone")
        };
        let found = current["version"].as_u64().unwrap();
        assert!(found >= known.versions && found <= 2, "{name}: {known:?}, but {found} found");
        assert_eq!(metadata["version"], found, "{name}");
        assert!(current["value"] == known.value(name, found), "{name}: another value than was sent");
    }
}

fn difference(one: &Secrets, other: &Secrets) -> String {
    let names = one.keys().chain(other.keys());
    let differing = names.filter(|name| one.get(*name) != other.get(*name)).take(3);
    let version = |secrets: &Secrets, name| secrets.get(name).map(|(_, value)| value["version"].clone());
    let shown =
        differing.map(|name| format!("{name}: {:?} or {:?}", version(one, name), version(other, name)));
    shown.collect::<Vec<_>>().join("; ")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
