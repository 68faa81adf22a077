//! A client that writes, one change after the other, and remembers what it was told.

use fastrand::Rng;
use reqwest::Method;
use serde_json::Value;

use super::known::{Change, Known};
use crate::vault::{ADMIN, Vault, expect};

/// Secrets of each client.
const SECRETS: usize = 5;
/// A secret with so many versions is deleted next.
const VERSIONS_MAX: usize = 12;

/// A change that was made, as the audit log must know it.
#[derive(Debug)]
pub(super) struct Done {
    /// Of its answer; none when the answer never came.
    pub(super) request_id: Option<String>,
    name: String,
    action: &'static str,
    /// The version that the change left behind; a deletion leaves none.
    version: Option<u64>,
}

impl Done {
    pub(super) fn is_told_by(&self, record: &Value) -> bool {
        record["name"] == self.name.as_str()
            && record["action"] == self.action
            && record["outcome"] == "ok"
            && self.version.is_none_or(|version| record["version"] == version)
    }
}

pub(super) struct Client {
    number: usize,
    rng: Rng,
    /// Counts the changes, so that no two write the same text.
    changes: u64,
    secrets: Vec<Option<Known>>,
    /// The change whose answer never came, and of which secret.
    pending: Option<(usize, Change)>,
    done: Vec<Done>,
}

impl Client {
    pub(super) fn new(number: usize, seed: u64) -> Client {
        let (rng, secrets) = (Rng::with_seed(seed), vec![None; SECRETS]);
        Client { number, rng, changes: 0, secrets, pending: None, done: Vec::new() }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    fn name(&self, index: usize) -> String {
        format!("client-{}/secret-{index}", self.number)
    }

    /// Makes changes until the vault is gone.
    pub(super) async fn write_until_cut(mut self, url: String, http: reqwest::Client) -> Client {
        loop {
            let index = self.rng.usize(..SECRETS);
            let change = self.next_change(index);
            let name = self.name(index);
            let method = change.method().parse::<Method>().unwrap();
            let mut request = http.request(method, url.clone() + &change.path(&name)).bearer_auth(ADMIN);
            if let Some(body) = change.body(&name) {
                request = request.json(&body);
            }
            match answer(request, &change).await {
                Some((request_id, generated)) => self.acknowledge(index, &change, request_id, generated),
                None => {
                    self.pending = Some((index, change));
                    return self;
                }
            }
        }
    }

    fn next_change(&mut self, index: usize) -> Change {
        self.changes += 1;
        let text = format!("{}-{}", self.number, self.changes);
        let Some(known) = &self.secrets[index] else {
            return Change::Create { automatic: self.rng.bool(), text };
        };
        match self.rng.u8(..10) {
            _ if known.values.len() >= VERSIONS_MAX => Change::Delete,
            0 => Change::Delete,
            1 | 2 => Change::Describe { text },
            _ if known.automatic => Change::Rotate,
            _ => Change::Update { text },
        }
    }

    fn acknowledge(&mut self, index: usize, change: &Change, id: String, generated: Option<String>) {
        let after = change.of(self.secrets[index].as_ref(), generated);
        self.note(index, change, Some(id), after);
    }

    fn note(&mut self, index: usize, change: &Change, request_id: Option<String>, after: Option<Known>) {
        let version = after.as_ref().map(Known::version);
        self.done.push(Done { request_id, name: self.name(index), action: change.action(), version });
        self.secrets[index] = after;
    }

    /// Compares every secret with what is known of it. The change without an answer may have been made or not;
    /// which, is known from here on.
    pub(super) async fn settle(&mut self, vault: &Vault, round: u64) -> Vec<Done> {
        let pending = self.pending.take();
        for index in 0..SECRETS {
            let name = self.name(index);
            let seen = look(vault, &name).await;
            let before = self.secrets[index].take();
            let change = pending.as_ref().filter(|(of, _)| *of == index).map(|(_, change)| change);
            let after = change.map(|change| change.of(before.as_ref(), None));
            if matches(before.as_ref(), seen.as_ref()) {
                self.secrets[index] = seen;
            } else if after.is_some_and(|after| matches(after.as_ref(), seen.as_ref())) {
                self.note(index, change.unwrap(), None, seen);
            } else {
                panic!("round {round}: {name} was {before:?}, then maybe {change:?}, and is {seen:?}");
            }
        }
        std::mem::take(&mut self.done)
    }
}

fn matches(known: Option<&Known>, seen: Option<&Known>) -> bool {
    match (known, seen) {
        (None, None) => true,
        (Some(known), Some(seen)) => known.is(seen),
        _ => false,
    }
}

/// The id of the request and the value in the answer; nothing when the connection broke.
async fn answer(request: reqwest::RequestBuilder, change: &Change) -> Option<(String, Option<String>)> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body = response.text().await.ok()?;
    assert_eq!(status, change.success(), "{change:?}: {body}");
    let body: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
    Some((id, body["value"].as_str().map(str::to_owned)))
}

/// The whole secret as the vault shows it; every part of it from another table.
async fn look(vault: &Vault, name: &str) -> Option<Known> {
    let list = vault.admin(Method::GET, &format!("/v1/secrets?limit=1&prefix={name}"));
    let metadata = expect(list, 200).await[0].clone();
    let path = format!("/v1/secrets/{name}");
    if metadata.is_null() {
        expect(vault.request(Method::GET, &path), 404).await;
        expect(vault.admin(Method::GET, &format!("/v1/versions/{name}")), 404).await;
        return None;
    }
    let current = expect(vault.request(Method::GET, &path), 200).await;
    let versions = expect(vault.admin(Method::GET, &format!("/v1/versions/{name}")), 200).await;
    let versions = versions.as_array().unwrap();
    let mut values = Vec::new();
    for (listed, number) in versions.iter().zip(1..) {
        assert_eq!(
            (&listed["version"], &listed["current"]),
            (&number.into(), &(number == versions.len()).into())
        );
        let read = vault.request(Method::GET, &format!("{path}?version={number}"));
        values.push(expect(read, 200).await["value"].as_str().map(str::to_owned));
    }
    assert_eq!(metadata["version"], versions.len(), "{name}");
    assert_eq!(current["version"], versions.len(), "{name}");
    assert_eq!(current["value"].as_str(), values.last().unwrap().as_deref(), "{name}");
    let description = metadata["description"].as_str().unwrap().to_owned();
    Some(Known { automatic: metadata["kind"] == "automatic", description, values })
}
