//! What a client may expect to read and to overwrite, whichever node it talks to.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::writers::create_many;
use super::{ANSWER_MAX, Cluster};
use crate::vault::expect;

const PATH: &str = "/v1/secrets/shared/0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_read_at_once_where_it_was_made_and_everywhere_on_request() {
    const ROUNDS: u64 = 30;
    let cluster = Cluster::start(3).await;
    create_many(&cluster.client(), "shared", 1, 1, 0).await;
    for version in 2..2 + ROUNDS {
        let writer = version % 3 + 1;
        let write = cluster.admin(writer, Method::PUT, PATH).json(&json!({"value": version.to_string()}));
        let answer = write.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let index = answer.headers()["x-vault-index"].to_str().unwrap().to_owned();

        let own = expect(cluster.request(writer, Method::GET, &format!("{PATH}?consistency=local")), 200);
        assert_eq!(
            own.await["version"],
            version,
            "a client reads its own write on the node that it talks to"
        );
        for id in cluster.others(&[writer]) {
            let linearizable = cluster.request(id, Method::GET, &format!("{PATH}?consistency=linearizable"));
            assert_eq!(expect(linearizable, 200).await["version"], version, "node {id}");
            let local = cluster.request(id, Method::GET, &format!("{PATH}?consistency=local"));
            let told = local.header("x-vault-index", &index);
            assert_eq!(expect(told, 200).await["version"], version, "node {id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_waits_for_an_index_that_is_not_there_yet_but_not_for_ever() {
    let cluster = Cluster::start(3).await;
    create_many(&cluster.client(), "shared", 1, 1, 0).await;
    let waits = cluster.running().into_iter().map(|id| {
        let read = cluster.request(id, Method::GET, PATH).header("x-vault-index", "1000000000");
        async {
            let asked = Instant::now();
            expect(read, 412).await;
            assert!(asked.elapsed() < ANSWER_MAX, "answered after {:?}", asked.elapsed());
        }
    });
    join_all(waits).await;
    for index in ["-1", "soon", "18446744073709551616"] {
        let read = cluster.request(1, Method::GET, PATH).header("x-vault-index", index);
        assert_ne!(expect(read, 400).await, Value::Null);
    }
}

/// Each change takes the next version, wherever it was sealed: races are the cluster's to settle, not the clients'.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_all_nodes_change_one_secret_at_once_and_all_succeed() {
    const CLIENTS: u64 = 9;
    const CHANGES: u64 = 5;
    let cluster = Cluster::start(3).await;
    create_many(&cluster.client(), "shared", 1, 1, 0).await;
    let changing = (0..CLIENTS).map(|client| {
        let cluster = &cluster;
        async move {
            let mut versions = Vec::new();
            for change in 0..CHANGES {
                let body = json!({"value": format!("{client}/{change}")});
                let write = cluster.admin(client % 3 + 1, Method::PUT, PATH).json(&body);
                versions.push(expect(write, 200).await["version"].as_u64().unwrap());
            }
            versions
        }
    });
    let mut versions: Vec<_> = join_all(changing).await.into_iter().flatten().collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..2 + CLIENTS * CHANGES).collect::<Vec<_>>());
}
