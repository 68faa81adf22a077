//! What the documents say, done: the commands of the README and of the API's description, run as they stand there
//! against a vault that was started as they say; and lists in the documents, held against the product.

mod dev_vault;
mod examples;
mod key_management;
mod rotation;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dev_vault::DevVault;
use examples::{examples, run};
use hyperion_vault_api::endpoint::ROUTES;
use hyperion_vault_server::audit::{Action, Outcome};
use tempfile::TempDir;
use tokio::time::Instant;

/// A document of the project, by its path from the root.
fn document(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a command line prints, pasted into a shell.
fn paste(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a program that the documents use is there. Where it isn't, says so: the test is skipped.
#[expect(clippy::print_stderr, reason = "a test that is skipped has to say so")]
fn has(program: &str) -> bool {
    let found =
        Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("SKIPPED: {program}, which the documents use, is not installed");
    }
    found
}

fn run_against_a_dev_vault(path: &str, section: &str) {
    if !has("curl") {
        return;
    }
    let home = TempDir::new().unwrap();
    let vault = DevVault::start(home.path());
    let variables = [("VAULT_ADDR", vault.printed("address")), ("VAULT_TOKEN", vault.printed("token"))];
    run(&examples(&document(path), section), home.path(), &variables);
}

#[test]
fn the_tour_of_the_readme_runs_as_it_is_written() {
    run_against_a_dev_vault("README.md", "## A first tour");
}

#[test]
fn the_examples_of_the_api_document_run_as_they_are_written() {
    run_against_a_dev_vault("docs/api.md", "");
}

#[test]
fn what_a_development_vault_prints_works_when_pasted_and_is_all_it_prints() {
    if !has("curl") {
        return;
    }
    let home = TempDir::new().unwrap();
    let mut vault = DevVault::start(home.path());
    let created = paste(vault.printed("create"));
    assert!(created.contains(r#""value":"world""#), "{created}");
    assert_eq!(paste(vault.printed("read")), created);
    assert!(vault.printed("token").starts_with("hvt_"));

    assert_eq!(vault.interrupt().code(), Some(0));
    assert_eq!(vault.output().lines().count(), 4, "{}", vault.output());
    assert_eq!(vault.errors(), "");
}

#[test]
fn a_second_start_on_the_same_directory_has_the_same_token_and_the_same_secrets() {
    if !has("curl") {
        return;
    }
    let home = TempDir::new().unwrap();
    let mut first = DevVault::start(home.path());
    let created = paste(first.printed("create"));
    let path = first.printed("read").split_once("/v1/").unwrap().1.to_owned();
    assert_eq!(first.interrupt().code(), Some(0));

    let mut second = DevVault::start(home.path());
    assert_eq!(second.printed("token"), first.printed("token"));
    assert_eq!(paste(&format!("curl -sS {}/v1/{path}", second.printed("address"))), created);
    assert_ne!(second.printed("read"), first.printed("read"), "the next create line would be a conflict");
    paste(second.printed("create"));
    assert_eq!(second.interrupt().code(), Some(0));
}

#[test]
fn only_its_owner_can_read_what_a_development_vault_writes() {
    let home = TempDir::new().unwrap();
    let _vault = DevVault::start(home.path());
    let found = modes(&home.path().join("vault-dev"));
    assert!(found.iter().any(|(path, mode)| path.ends_with("master.key") && *mode == 0o600), "{found:?}");
    for (path, mode) in found {
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

/// The directory and all below it, with their permissions.
fn modes(path: &Path) -> Vec<(PathBuf, u32)> {
    let metadata = std::fs::metadata(path).unwrap();
    let mut found = vec![(path.to_owned(), metadata.permissions().mode() & 0o777)];
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            found.extend(modes(&entry.unwrap().path()));
        }
    }
    found
}

#[test]
fn the_production_start_of_the_readme_runs_as_it_is_written() {
    if !(has("curl") && has("openssl")) {
        return;
    }
    let home = TempDir::new().unwrap();
    let all = examples(&document("README.md"), "## A start in production");
    let [prepare, start, ask] = all.as_slice() else { panic!("three blocks: prepare, start, ask") };
    run(std::slice::from_ref(prepare), home.path(), &[]);

    let port = free_port().to_string();
    let commands = start.commands_with(&[("VAULT_API_PORT", &port)]);
    // `exec`, so that what is killed in the end is the vault and not the shell before it.
    let commands =
        commands.replace("\nhyperion-vault ", concat!("\nexec ", env!("CARGO_BIN_EXE_hyperion-vault"), " "));
    let mut server = Server(
        Command::new("sh")
            .args(["-c", &commands])
            .current_dir(home.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    server.wait_until_it_listens(&port);
    let address = format!("https://localhost:{port}");
    run(std::slice::from_ref(ask), home.path(), &[("VAULT_ADDR", &address)]);
}

#[test]
fn three_nodes_come_from_pasting_the_clustering_document() {
    if !has("curl") {
        return;
    }
    let home = TempDir::new().unwrap();
    let [api, raft] = free_decades();
    let document = document("docs/clustering.md")
        .replace("127.0.0.1:820", &format!("127.0.0.1:{api}"))
        .replace("127.0.0.1:830", &format!("127.0.0.1:{raft}"));
    let binaries = Path::new(env!("CARGO_BIN_EXE_hyperion-vault")).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", binaries.display());
    let demo = home.path().join("demo");
    std::fs::create_dir(&demo).unwrap();
    let variables = [("PATH", path.as_str()), ("DEMO", demo.to_str().unwrap())];
    run(&examples(&document, "## Three nodes on one machine"), home.path(), &variables);
    assert!(!demo.exists(), "the last commands clean up");
}

#[test]
fn a_node_takes_the_certificate_that_the_clustering_document_makes() {
    if !has("openssl") {
        return;
    }
    let home = TempDir::new().unwrap();
    run(&examples(&document("docs/clustering.md"), "## How nodes know each other"), home.path(), &[]);
    let port = free_port().to_string();
    let start = |node_id: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hyperion-vault"));
        command.arg("server").current_dir(home.path()).env_clear().envs([
            ("NODE_ID", node_id),
            ("VAULT_PEERS", &format!("1=127.0.0.1:{},2=127.0.0.1:{}", free_port(), free_port())),
            ("VAULT_RAFT_TLS_CERT", "node2.crt"),
            ("VAULT_RAFT_TLS_KEY", "node2.key"),
            ("VAULT_RAFT_TLS_CA", "ca.crt"),
            ("VAULT_KMS_MODE", "local"),
            ("VAULT_LOCAL_MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
            ("VAULT_API_LISTEN", &format!("127.0.0.1:{port}")),
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let other = start("1").output().unwrap();
    let refusal = String::from_utf8(other.stderr).unwrap();
    assert!(refusal.contains("must carry the DNS name node-1.hyperion-vault.internal"), "{refusal}");
    let mut node = Server(start("2").stderr(Stdio::null()).spawn().unwrap());
    node.wait_until_it_listens(&port);
}

/// All but the last digit of two times three ports, which end in 1, 2 and 3 and were free a moment ago. Below those
/// that the system gives to whoever asks for any.
fn free_decades() -> [u16; 2] {
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let first = 1_100 + u16::try_from(std::process::id() % 1_000).unwrap();
    let mut decades = (first..first + 1_000).filter(|decade| (1..=3).all(|node| free(decade * 10 + node)));
    [decades.next().unwrap(), decades.next().unwrap()]
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Server(Child);

impl Server {
    fn wait_until_it_listens(&mut self, port: &str) {
        let begun = Instant::now();
        while std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
            assert!(self.0.try_wait().unwrap().is_none(), "the vault ended");
            assert!(begun.elapsed() < Duration::from_secs(30), "the vault doesn't start");
            #[expect(clippy::disallowed_methods, reason = "a test that waits for a process")]
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_metric_stands_in_the_operations_document() {
    if !has("curl") {
        return;
    }
    let home = TempDir::new().unwrap();
    let vault = DevVault::start(home.path());
    let ask = format!("curl -sS {}/metrics", vault.printed("address"));
    // A family shows once it has been counted in: the second answer counts the first request.
    paste(&ask);
    let metrics = paste(&ask);
    let names: Vec<&str> = metrics.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
    assert!(names.len() > 10, "{metrics}");
    let text = document("docs/operations.md");
    for name in names.iter().filter_map(|line| line.split(' ').next()) {
        assert!(text.contains(&format!("`{name}")), "{name}");
    }
}

#[test]
fn every_word_of_the_audit_log_stands_in_its_document() {
    let text = document("docs/audit.md");
    let actions = Action::ALL.iter().map(|action| action.as_str());
    for word in actions.chain(Outcome::ALL.iter().map(|outcome| outcome.as_str())) {
        assert!(text.contains(&format!("`{word}`")), "{word}");
    }
}

#[test]
fn every_endpoint_stands_in_the_api_document() {
    let text = document("docs/api.md").replace("{address}", "{name}");
    for route in &ROUTES {
        let heading = format!("\n### `{} {}`\n", route.method, route.path);
        assert!(text.contains(&heading), "{heading}");
    }
}

#[test]
fn the_script_of_the_audit_document_finds_a_log_whole_or_names_the_place() {
    if !(has("curl") && has("python3")) {
        return;
    }
    let home = TempDir::new().unwrap();
    let mut vault = DevVault::start(home.path());
    for _ in 0..3 {
        paste(&format!("curl -sS {}/v1/secrets/no/such", vault.printed("address")));
    }
    vault.interrupt();
    let script = home.path().join("verify_audit.py");
    std::fs::write(&script, block(&document("docs/audit.md"), "python")).unwrap();
    let log = home.path().join("vault-dev/audit/audit.jsonl");
    let verify = |kept: &[&str]| {
        let output = Command::new("python3").arg(&script).arg(&log).args(kept).output().unwrap();
        let said = if output.status.success() { output.stdout } else { output.stderr };
        String::from_utf8(said).unwrap()
    };

    let whole = verify(&[]);
    assert!(whole.starts_with("whole: records 1 to "), "{whole}");
    let (seq, hash) = whole.trim().rsplit_once(' ').map(|(rest, hash)| (last_number(rest), hash)).unwrap();
    assert_eq!(verify(&[&seq, hash]), whole);

    let lines = std::fs::read_to_string(&log).unwrap();
    let kept: Vec<&str> = lines.split_inclusive('\n').collect();
    std::fs::write(&log, lines.replacen("not_found", "ok_______", 1)).unwrap();
    assert!(verify(&[]).contains("edited, removed or moved"));
    std::fs::write(&log, [kept[0], kept[2]].concat()).unwrap();
    assert!(verify(&[]).contains("audit.jsonl:2: edited, removed or moved"));
    std::fs::write(&log, kept[..2].concat()).unwrap();
    assert!(verify(&[]).starts_with("whole: records 1 to 2"));
    assert!(verify(&[&seq, hash]).contains("its end was cut off"));
}

fn last_number(text: &str) -> String {
    let mut numbers = text.rsplit(|char: char| !char.is_ascii_digit()).filter(|part| !part.is_empty());
    numbers.next().unwrap().to_owned()
}

/// The first block of `language`.
fn block(document: &str, language: &str) -> String {
    let (_, after) = document.split_once(&format!("```{language}\n")).unwrap();
    after.split_once("```").unwrap().0.to_owned()
}
