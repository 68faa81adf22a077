//! The border: whatever is sent, the vault answers with its own words, in bounded time, and goes on.

mod body;
mod headers;
mod target;
mod text;
mod wire;

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::vault::{ADMIN, Vault};

/// Stands in everything odd that is sent, and may stand in no answer.
const CANARY: &str = "CANARY";

/// Longer than any limit of time that the vault sets for a request, on a busy machine.
const BOUNDED: Duration = Duration::from_secs(40);

/// One answer as it came over the wire.
#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// The first answer in these bytes.
    fn parse(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {text:?}"));
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// A refusal: this status, JSON with nothing but an error, and nothing of what was sent.
    #[track_caller]
    fn refused(&self, status: u16, what: &str) {
        assert_eq!(self.status, status, "{what}: {self:?}");
        self.says_nothing(what);
        assert!(self.head.to_lowercase().contains("content-type: application/json"), "{what}: {self:?}");
        let error: Value = serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{what}: {self:?}"));
        let members = error.as_object().unwrap();
        assert!(members.len() == 1 && members["error"].is_string(), "{what}: {self:?}");
    }

    /// No fault of the vault's own, and nothing of what was sent.
    #[track_caller]
    fn says_nothing(&self, what: &str) {
        assert!(self.status < 500, "{what}: {self:?}");
        assert!(!self.head.contains(CANARY) && !self.body.contains(CANARY), "{what}: {self:?}");
    }
}

/// A request whose every byte is the test's, from the method to the body; the admin's, and the last of its
/// connection.
fn request(method: &str, target: &[u8], headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = [method.as_bytes(), b" ", target, b" HTTP/1.1\r\n"].concat();
    let own =
        ["Host: vault", "Connection: close", &format!("Authorization: Bearer {ADMIN}")].map(str::to_owned);
    for header in own.iter().map(String::as_str).chain(headers.iter().copied()) {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    [&bytes, body].concat()
}

/// Sends these bytes on a connection of their own and reads until the vault closes it.
async fn send(vault: &Vault, bytes: &[u8]) -> Vec<u8> {
    let stream = TcpStream::connect(vault.address()).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let mut answer = Vec::new();
    let exchange = async {
        // The vault may answer, and stop listening, before it has everything.
        let (_, read) = tokio::join!(writing.write_all(bytes), reading.read_to_end(&mut answer));
        let _ = read;
    };
    timeout(BOUNDED, exchange).await.expect("the vault should answer and close");
    answer
}

async fn ask(vault: &Vault, bytes: &[u8]) -> Answer {
    Answer::parse(&send(vault, bytes).await)
}

/// The vault still serves, and says nothing of a panic or an error of its own.
async fn assert_unharmed(vault: &Vault) {
    let health = vault.request(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(health.status(), 200);
    let log = vault.log();
    for word in ["panicked", "\"level\":\"ERROR\"", CANARY] {
        let line = log.lines().find(|line| line.contains(word));
        assert_eq!(line, None, "in the log");
    }
}
