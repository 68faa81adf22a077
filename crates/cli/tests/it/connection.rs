//! One HTTP/1.1 connection, written by hand: the order of requests on it is the test's own.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A keep-alive connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The header of this name (in lower case); the first when there are several.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn request_id(&self) -> &str {
        self.header("x-request-id").unwrap()
    }
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Connection {
        Connection { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) }
    }

    /// Sends a request and waits for its answer. A body goes with its length.
    pub(crate) async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let length = body.len().to_string();
        let mut all = headers.to_vec();
        if !body.is_empty() {
            all.push(("content-length", &length));
        }
        self.send(method, path, &all, body).await;
        self.answer().await
    }

    /// Sends exactly these headers and this body, whatever they claim.
    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: vault\r\n{headers}\r\n{body}");
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// Sends the rest of a body.
    pub(crate) async fn finish(&mut self, rest: &str) {
        self.stream.write_all(rest.as_bytes()).await.unwrap();
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        let status = self.line().await;
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await.unwrap();
        assert!(read > 0, "the vault closed the connection");
        line.trim_end().to_owned()
    }
}
