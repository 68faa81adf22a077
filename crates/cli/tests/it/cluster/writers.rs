//! Clients that write in the background and remember exactly what was acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Reply, Seen};

/// So long that no version expires during a test.
const GRACE_SECS: u64 = 86_400;

/// What was acknowledged of one secret.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acknowledged {
    /// 1 or 2.
    pub(super) versions: u64,
    /// The length of its values, but for short ones, which are as long as what they say.
    value_bytes: usize,
}

impl Acknowledged {
    /// The value that writers give to a version of the secret of this name.
    pub(super) fn value(self, name: &str, version: u64) -> String {
        let says = format!("{name}, version {version}");
        says.repeat(self.value_bytes.div_ceil(says.len()).max(1))
    }
}

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// By name.
    pub(super) acknowledged: BTreeMap<String, Acknowledged>,
    /// Sent and never answered, or answered with what no client expects.
    pub(super) failed: Vec<String>,
    pub(super) seen: Seen,
}

impl Written {
    pub(super) fn merge(mut self, other: Written) -> Written {
        self.acknowledged.extend(other.acknowledged);
        self.failed.extend(other.failed);
        Written { seen: self.seen.merge(other.seen), ..self }
    }

    pub(super) fn count(&self) -> usize {
        self.acknowledged.len()
    }

    #[track_caller]
    pub(super) fn expect_no_failure(&self) {
        assert_eq!(self.failed, Vec::<String>::new());
    }
}

/// They write until they are stopped.
pub(super) struct Writers {
    stop: CancellationToken,
    writing: JoinSet<Written>,
}

impl Writers {
    /// So many at once, each to secrets below `prefix` that no other writes, each beginning with another node.
    pub(super) fn start(client: &Client, prefix: &str, count: usize) -> Writers {
        Writers::start_paced(client, prefix, count, Duration::ZERO)
    }

    /// The same, with a rest between two writes.
    pub(super) fn start_paced(client: &Client, prefix: &str, count: usize, rest: Duration) -> Writers {
        let (stop, mut writing) = (CancellationToken::new(), JoinSet::new());
        for number in 0..count {
            let writer = Writer::new(client.beginning_with(number), 0);
            writing.spawn(writer.write_until(stop.clone(), format!("{prefix}/{number}"), rest));
        }
        Writers { stop, writing }
    }

    /// Lets them finish what they are at.
    pub(super) async fn stop(self) -> Written {
        self.stop.cancel();
        let all = self.writing.join_all().await.into_iter().fold(Written::default(), Written::merge);
        println!("{} secrets written: {:?}", all.count(), all.seen);
        all
    }
}

/// Creates one secret.
pub(super) async fn create_one(client: &Client, name: &str) -> Written {
    create_many(client, name, 1, 1, 0).await
}

/// Creates so many secrets of so many bytes, by so many clients at once, and fails with the first failure.
pub(super) async fn create_many(
    client: &Client,
    prefix: &str,
    secrets: usize,
    clients: usize,
    value_bytes: usize,
) -> Written {
    let mut writing = JoinSet::new();
    for first in 0..clients {
        let mut writer = Writer::new(client.beginning_with(first), value_bytes);
        let names: Vec<_> =
            (first..secrets).step_by(clients).map(|number| format!("{prefix}/{number}")).collect();
        writing.spawn(async move {
            for name in names {
                assert!(writer.create(&name).await, "{:?}", writer.written.failed);
            }
            writer.finish()
        });
    }
    writing.join_all().await.into_iter().fold(Written::default(), Written::merge)
}

struct Writer {
    client: Client,
    value_bytes: usize,
    written: Written,
}

impl Writer {
    fn new(client: Client, value_bytes: usize) -> Writer {
        Writer { client, value_bytes, written: Written::default() }
    }

    fn of(&self, versions: u64) -> Acknowledged {
        Acknowledged { versions, value_bytes: self.value_bytes }
    }

    async fn write_until(mut self, stop: CancellationToken, prefix: String, rest: Duration) -> Written {
        for number in 0.. {
            let name = format!("{prefix}/{number}");
            if self.create(&name).await && number % 2 == 0 {
                self.update(&name).await;
            }
            tokio::time::sleep(rest).await;
            if stop.is_cancelled() {
                break;
            }
        }
        self.finish()
    }

    fn finish(self) -> Written {
        Written { seen: self.client.seen, ..self.written }
    }

    /// Only this writer writes the name: that it exists means that an earlier attempt was done.
    async fn create(&mut self, name: &str) -> bool {
        let value = self.of(1).value(name, 1);
        let body = json!({"name": name, "kind": "manual", "value": value, "grace_period_secs": GRACE_SECS});
        let reply = self.client.send(Method::POST, "/v1/secrets", &[], &body).await;
        self.note(name, 1, (201, 409), reply)
    }

    /// Only if version 1 is the current one: that it isn't means that an earlier attempt was done.
    async fn update(&mut self, name: &str) -> bool {
        let (path, body) = (format!("/v1/secrets/{name}"), json!({"value": self.of(2).value(name, 2)}));
        let reply = self.client.send(Method::PUT, &path, &[("if-match", "\"1\"")], &body).await;
        self.note(name, 2, (200, 412), reply)
    }

    /// `done` and, after an attempt of which nothing is known, `done_before` acknowledge.
    fn note(
        &mut self,
        name: &str,
        version: u64,
        (done, done_before): (u16, u16),
        reply: Option<Reply>,
    ) -> bool {
        let acknowledged = reply.as_ref().is_some_and(|reply| {
            let now = reply.status == done && reply.body["version"] == version;
            now || (reply.maybe_before && reply.status == done_before)
        });
        if acknowledged {
            self.written.acknowledged.insert(name.to_owned(), self.of(version));
        } else {
            self.written.failed.push(format!("{name}, version {version}: {reply:?}"));
        }
        acknowledged
    }
}
