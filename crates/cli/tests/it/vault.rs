//! A vault as its users have it: the binary, in a process of its own, on a data directory of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// The admin token of every vault that a test starts.
pub(crate) const ADMIN: &str = "hvt_the-bootstrap-token-of-the-tests";
/// 32 bytes in base64.
pub(crate) const MASTER_KEY: &str = "dGhpcyBpcyBhIDMyIGJ5dGUgbWFzdGVyIGtleSAhISE=";

/// How long a start may take on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A data directory and the settings of a vault on it, whether it runs or not.
pub(crate) struct Vault {
    dir: TempDir,
    /// Words before the program's own: what starts it elsewhere than beside the test.
    launcher: Vec<String>,
    settings: BTreeMap<String, String>,
    running: Option<Running>,
    pub(crate) http: Client,
}

struct Running {
    child: Child,
    address: String,
}

impl Vault {
    /// A vault with loopback allowed to read and no lockout, but for what `settings` say.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Vault {
        let mut vault = Vault::prepare(settings);
        vault.resume();
        vault
    }

    /// The same, not started yet.
    pub(crate) fn prepare(settings: &[(&str, &str)]) -> Vault {
        let defaults = [
            ("VAULT_KMS_MODE", "local"),
            ("VAULT_LOCAL_MASTER_KEY", MASTER_KEY),
            ("VAULT_BOOTSTRAP_TOKEN", ADMIN),
            ("VAULT_ALLOWED_IPS", "127.0.0.0/8"),
            ("VAULT_AUTH_MAX_FAILURES", "0"),
            ("VAULT_API_LISTEN", "127.0.0.1:0"),
            ("VAULT_LOG", "info"),
            ("VAULT_LOG_FORMAT", "json"),
        ];
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings = defaults.iter().chain(settings).map(owned).collect();
        let dir = TempDir::new().unwrap();
        Vault { dir, launcher: Vec::new(), settings, running: None, http: Client::new() }
    }

    /// The same vault, started by this command, which must replace itself with the vault's process.
    pub(crate) fn launched_by(mut self, launcher: Vec<String>) -> Vault {
        self.launcher = launcher;
        self
    }

    /// Changes a setting; it counts from the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// Takes a setting away; it counts from the next start.
    pub(crate) fn unset(&mut self, name: &str) {
        self.settings.remove(name);
    }

    /// Starts the process on the data that is there.
    pub(crate) fn resume(&mut self) {
        assert!(self.running.is_none(), "runs already");
        let child = self.command().spawn().unwrap();
        let mut running = Running { child, address: String::new() };
        running.address = wait_for_address(&mut running.child, &self.log_path());
        self.running = Some(running);
    }

    /// Starts the process and doesn't wait for it. `VAULT_API_LISTEN` must name a port.
    pub(crate) fn spawn(&mut self) {
        assert!(self.running.is_none(), "runs already");
        let child = self.command().spawn().unwrap();
        self.running = Some(Running { child, address: self.settings["VAULT_API_LISTEN"].clone() });
    }

    /// Starts the process and kills it so soon after, however far it has come.
    pub(crate) fn resume_and_kill(&mut self, after: Duration) {
        assert!(self.running.is_none(), "runs already");
        let mut child = self.command().spawn().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test that waits for a process")]
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The process as [`Vault::resume`] starts it, its output into the files of this start.
    pub(crate) fn command(&self) -> Command {
        let own = [env!("CARGO_BIN_EXE_hyperion-vault").to_owned(), "server".to_owned()];
        let words: Vec<_> = self.launcher.iter().chain(&own).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs(&self.settings)
            .env("VAULT_DATA_DIR", self.data_dir())
            .stdin(Stdio::null())
            .stdout(File::create(self.home().join("stdout.log")).unwrap())
            .stderr(File::create(self.log_path()).unwrap());
        command
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().unwrap();
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    }

    /// SIGTERM, and how the process ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.ask_to_stop();
        self.ended()
    }

    /// SIGTERM.
    pub(crate) fn ask_to_stop(&self) {
        self.signal("TERM");
    }

    /// Sends the signal of this name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits until the process has ended, and how.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.running.take().unwrap().child.wait().unwrap()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().child.id()
    }

    /// What there is of it on the disk: its data directory and what the latest start said.
    pub(crate) fn home(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Standard error of the latest start.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.dir.path().join("stderr.log")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub(crate) fn audit_path(&self) -> PathBuf {
        self.data_dir().join("audit/audit.jsonl")
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn address(&self) -> &str {
        &self.running.as_ref().unwrap().address
    }

    /// A request without a token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address()))
    }

    /// A request with the admin token.
    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(ADMIN)
    }

    /// Sends JSON as the admin and expects this status; the answer's JSON, or null.
    pub(crate) async fn expect(&self, method: Method, path: &str, body: Value, status: u16) -> Value {
        let mut request = self.admin(method, path);
        if !body.is_null() {
            request = request.json(&body);
        }
        expect(request, status).await
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

/// Sends the request and expects this status; the answer's JSON, or null.
pub(crate) async fn expect(request: RequestBuilder, status: u16) -> Value {
    let response = request.send().await.unwrap();
    let (got, url) = (response.status(), response.url().clone());
    let text = response.text().await.unwrap();
    assert_eq!(got, StatusCode::from_u16(status).unwrap(), "{url}: {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// Resident memory of the vault's process, in bytes.
pub(crate) fn resident_bytes(vault_pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{vault_pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
}

fn wait_for_address(child: &mut Child, log: &Path) -> String {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let serving = lines.map(|line| line["fields"].clone()).find(|fields| fields["message"] == "serving");
        if let Some(fields) = serving {
            return fields["address"].as_str().unwrap().to_owned();
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the vault ended with {status}: {text}");
        }
        assert!(begun.elapsed() < START_WITHIN, "the vault doesn't start: {text}");
        #[expect(clippy::disallowed_methods, reason = "a test that waits for a process")]
        std::thread::sleep(Duration::from_millis(20));
    }
}
