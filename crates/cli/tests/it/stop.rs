//! SIGTERM under load: nothing new is accepted, what is in flight is answered, the process ends well, and the next
//! one has everything that was acknowledged and nothing that was not.

#![allow(clippy::print_stdout, reason = "a test says what it measured and how to have it again")]

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::vault::{ADMIN, Vault, expect};

/// What a stop may take, everything included.
const STOP_MAX: Duration = Duration::from_secs(10);
const CLIENTS: usize = 16;

/// What a client of the load saw.
#[derive(Default)]
struct Seen {
    acknowledged: BTreeSet<String>,
    /// Neither acknowledged nor refused: the connection broke.
    unanswered: BTreeSet<String>,
}

/// Creates secrets until it can't connect any more.
async fn create_until_refused(client: usize, url: String, http: reqwest::Client) -> Seen {
    let mut seen = Seen::default();
    for number in 0.. {
        let name = format!("load/{client}/{number}");
        let body = json!({"name": name, "kind": "manual", "value": name});
        let request = http.post(format!("{url}/v1/secrets")).bearer_auth(ADMIN).json(&body);
        match request.send().await {
            Ok(response) if response.status() == 201 => seen.acknowledged.insert(name),
            Ok(response) => panic!("{name}: {}", response.status()),
            Err(error) if error.is_connect() => return seen,
            Err(_) => seen.unanswered.insert(name),
        };
    }
    seen
}

/// A creation whose last byte isn't sent yet.
struct Unfinished {
    stream: TcpStream,
    rest: u8,
}

impl Unfinished {
    async fn begin(vault: &Vault, name: &str) -> Unfinished {
        let body = json!({"name": name, "kind": "manual", "value": name}).to_string();
        let (last, most) = body.as_bytes().split_last().unwrap();
        let head = format!(
            "POST /v1/secrets HTTP/1.1\r\nhost: vault\r\nauthorization: Bearer {ADMIN}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(vault.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(most).await.unwrap();
        Unfinished { stream, rest: *last }
    }

    /// Sends what was missing and takes the answer, to the end of the connection.
    async fn finish(mut self) -> String {
        self.stream.write_all(&[self.rest]).await.unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// Waits until nobody can connect any more.
async fn refused(address: &str) {
    let begun = Instant::now();
    while TcpStream::connect(address).await.is_ok() {
        assert!(begun.elapsed() < STOP_MAX, "still accepts");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn names(vault: &Vault) -> BTreeSet<String> {
    let (mut names, mut after) = (BTreeSet::new(), String::new());
    loop {
        let path = format!("/v1/secrets?limit=10000&after={after}");
        let page = expect(vault.admin(Method::GET, &path), 200).await;
        let found: Vec<_> = page.as_array().unwrap().iter().map(|secret| text(&secret["name"])).collect();
        let Some(last) = found.last() else { return names };
        after.clone_from(last);
        names.extend(found);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_answers_what_is_in_flight_and_loses_nothing() {
    let mut vault = Vault::start(&[]);
    let url = format!("http://{}", vault.address());
    let mut load = JoinSet::new();
    for client in 0..CLIENTS {
        load.spawn(create_until_refused(client, url.clone(), vault.http.clone()));
    }
    let unfinished = Unfinished::begin(&vault, "unfinished").await;
    tokio::time::sleep(Duration::from_millis(500)).await;

    let asked = Instant::now();
    vault.ask_to_stop();
    refused(&url["http://".len()..]).await;
    let answer = unfinished.finish().await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(vault.ended().code(), Some(0));
    assert!(asked.elapsed() < STOP_MAX, "took {:?}", asked.elapsed());

    let seen = load.join_all().await;
    let mut acknowledged = BTreeSet::from(["unfinished".to_owned()]);
    let mut unanswered = BTreeSet::new();
    for seen in seen {
        acknowledged.extend(seen.acknowledged);
        unanswered.extend(seen.unanswered);
    }
    println!("{} acknowledged, {} cut before they were read", acknowledged.len(), unanswered.len());
    assert!(acknowledged.len() > CLIENTS, "too little load");
    vault.resume();
    assert_eq!(names(&vault).await, acknowledged, "of those without an answer, none: {unanswered:?}");
    for name in acknowledged.iter().step_by(10) {
        let read = expect(vault.request(Method::GET, &format!("/v1/secrets/{name}")), 200).await;
        assert_eq!(read["value"], name.as_str());
    }
}

#[tokio::test]
async fn a_client_that_never_ends_its_request_does_not_keep_the_vault_from_stopping() {
    let mut vault = Vault::start(&[]);
    let _unfinished = Unfinished::begin(&vault, "unfinished").await;
    vault
        .expect(Method::POST, "/v1/secrets", json!({"name": "a", "kind": "manual", "value": "x"}), 201)
        .await;
    let asked = Instant::now();
    assert_eq!(vault.terminate().code(), Some(0));
    let slack = Duration::from_secs(3);
    assert!(asked.elapsed() < STOP_MAX + slack, "took {:?}", asked.elapsed());
    vault.resume();
    assert_eq!(names(&vault).await, BTreeSet::from(["a".to_owned()]));
}
