//! A client as a deployment has them: it knows every node, and asks the next one when a node can't answer.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::time::Instant;

use super::ANSWER_MAX;
use crate::vault::ADMIN;

/// A request that nobody answered for so long has failed.
const TRY_FOR: Duration = Duration::from_secs(30);
/// Between two tries when all nodes were asked; a node that says when to come back means its own load.
const ROUND_PAUSE: Duration = Duration::from_millis(20);

/// What one node made of one request.
#[derive(Debug)]
pub(super) enum Attempt {
    Answered {
        status: u16,
        headers: HeaderMap,
        body: Value,
    },
    /// No connection: the request was not done.
    Refused,
    /// 503, which must say when to come back: it may be done yet.
    Unavailable,
    /// The connection broke, or there was no answer in time: it may have been done.
    Broken(String),
}

/// What came of a request in the end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    /// An earlier attempt may have been done as well.
    pub(super) maybe_before: bool,
}

#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    urls: Vec<String>,
    /// The node that is asked next.
    next: usize,
    pub(super) seen: Seen,
}

/// How the requests of a client went.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) refused: usize,
    pub(super) unavailable: usize,
    /// What a client that retries on 503 and a refused connection alone has to call a failure.
    pub(super) broken: Vec<String>,
    /// From the first try to the answer, the longest.
    pub(super) longest: Duration,
}

impl Seen {
    pub(super) fn merge(mut self, other: Seen) -> Seen {
        self.refused += other.refused;
        self.unavailable += other.unavailable;
        self.broken.extend(other.broken);
        self.longest = self.longest.max(other.longest);
        self
    }
}

impl Client {
    pub(super) fn new(http: reqwest::Client, urls: Vec<String>) -> Client {
        Client { http, urls, next: 0, seen: Seen::default() }
    }

    /// The same client, which begins with another node.
    pub(super) fn beginning_with(&self, node: usize) -> Client {
        Client { next: node % self.urls.len(), ..self.clone() }
    }

    /// Asks node after node until one answers. None when there was no answer for very long.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &Value,
    ) -> Option<Reply> {
        let (begun, mut maybe_before) = (Instant::now(), false);
        while begun.elapsed() < TRY_FOR {
            match self.attempt(method.clone(), path, headers, body).await {
                Attempt::Answered { status, headers, body } => {
                    self.seen.longest = self.seen.longest.max(begun.elapsed());
                    return Some(Reply { status, headers, body, maybe_before });
                }
                Attempt::Refused => self.seen.refused += 1,
                Attempt::Unavailable => {
                    self.seen.unavailable += 1;
                    maybe_before = true;
                }
                Attempt::Broken(how) => {
                    self.seen.broken.push(format!("{method} {path}: {how}"));
                    maybe_before = true;
                }
            }
            self.next = (self.next + 1) % self.urls.len();
            if self.next == 0 {
                tokio::time::sleep(ROUND_PAUSE).await;
            }
        }
        None
    }

    /// Asks one node, once.
    pub(super) async fn attempt(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &Value,
    ) -> Attempt {
        let mut request = self.http.request(method, self.urls[self.next].clone() + path).bearer_auth(ADMIN);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        match request.timeout(ANSWER_MAX).send().await {
            Ok(answer) => read(answer).await,
            Err(error) if error.is_connect() => Attempt::Refused,
            Err(error) => Attempt::Broken(format!("{error:?}")),
        }
    }
}

async fn read(answer: Response) -> Attempt {
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    if status == 503 {
        assert!(headers.contains_key(RETRY_AFTER), "a 503 without Retry-After");
        return Attempt::Unavailable;
    }
    match answer.text().await {
        Ok(text) => {
            let body = serde_json::from_str(&text).unwrap_or(Value::Null);
            Attempt::Answered { status, headers, body }
        }
        Err(error) => Attempt::Broken(format!("{error:?}")),
    }
}
