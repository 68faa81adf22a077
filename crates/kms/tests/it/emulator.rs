//! AWS KMS as the tests have it: an emulator in a process of its own, strict where a vault depends on it, whose keys
//! and faults a test commands past the interface that is tested.

#![allow(dead_code, reason = "every test binary that includes it uses its own part")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// The region of all keys.
pub(crate) const REGION: &str = "eu-central-1";
/// The one access key that the emulator knows.
pub(crate) const ACCESS_KEY_ID: &str = "AKIAEMULATOREMULATOR";
/// Signatures aren't verified, so that any would do.
pub(crate) const SECRET_ACCESS_KEY: &str = "the-secret-of-the-emulators-access-key";

/// In the place of names of operations: each of them.
pub(crate) const EVERY_OPERATION: &[&str] = &[];

const SET_UP: &str = "the KMS emulator is not set up, or not as it is now: run `cargo xtask setup`";

/// A running emulator with keys of its own. It ends with this value, and with the process that holds it.
pub(crate) struct Emulator {
    /// Its standard input stays open as long as this is held.
    process: Child,
    kms_port: u16,
    control_port: u16,
}

/// What a call comes to that is to fail.
#[derive(Clone, Copy)]
pub(crate) enum Failure {
    /// An error of the service's, with the HTTP status that AWS gives it.
    Code(&'static str),
    /// A status from somebody before the service, with a body that isn't the service's.
    Status(u16),
    /// The connection breaks before there is an answer.
    Hangup,
}

/// What the emulator has seen since its start.
pub(crate) struct Seen {
    /// Calls by operation, whatever became of them.
    pub(crate) calls: BTreeMap<String, u64>,
    /// Calls that were too many.
    pub(crate) throttled: u64,
    /// The most calls at one time.
    pub(crate) in_flight_max: u64,
}

impl Seen {
    pub(crate) fn of(&self, operation: &str) -> u64 {
        self.calls.get(operation).copied().unwrap_or(0)
    }

    pub(crate) fn total(&self) -> u64 {
        self.calls.values().sum()
    }
}

impl Emulator {
    /// Takes about half a second.
    ///
    /// # Panics
    /// When it isn't set up: the tests of AWS KMS are never skipped.
    pub(crate) fn start() -> Emulator {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kms/tests/emulator");
        assert_set_up(&tests);
        let mut process = Command::new(environment().join("bin/python"))
            .arg("-B")
            .arg(tests.join("kms_emulator.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect(SET_UP);
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (kms, control) = line.trim().split_once(' ').expect("the KMS emulator ended before it served");
        Emulator { process, kms_port: kms.parse().unwrap(), control_port: control.parse().unwrap() }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.kms_port)
    }

    /// What points a process with AWS's SDK, or its command line, here.
    pub(crate) fn env(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL_KMS", self.endpoint()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// The folder of the `aws` command, for commands of documents.
    pub(crate) fn tools() -> PathBuf {
        environment().join("bin")
    }

    /// A new master key, by its ARN.
    pub(crate) fn create_key(&self) -> String {
        let made = self.operation("CreateKey", &json!({}));
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    }

    /// `alias` begins with `alias/`.
    pub(crate) fn create_alias(&self, alias: &str, key: &str) {
        self.operation("CreateAlias", &json!({ "AliasName": alias, "TargetKeyId": key }));
    }

    /// Lets an alias name another key.
    pub(crate) fn update_alias(&self, alias: &str, key: &str) {
        self.operation("UpdateAlias", &json!({ "AliasName": alias, "TargetKeyId": key }));
    }

    /// Makes new material for a key, and says when, in milliseconds of Unix time.
    pub(crate) fn rotate(&self, key: &str) -> u64 {
        self.operation("RotateKeyOnDemand", &json!({ "KeyId": key }));
        self.rotations(key).last().copied().unwrap()
    }

    /// When a key was rotated, oldest first, in milliseconds of Unix time. Sees no more than one page.
    pub(crate) fn rotations(&self, key: &str) -> Vec<u64> {
        let listed = self.operation("ListKeyRotations", &json!({ "KeyId": key, "Limit": 1000 }));
        let millis = |rotation: &Value| (rotation["RotationDate"].as_f64().unwrap() * 1000.0).round() as u64;
        listed["Rotations"].as_array().unwrap().iter().map(millis).collect()
    }

    pub(crate) fn disable(&self, key: &str) {
        self.operation("DisableKey", &json!({ "KeyId": key }));
    }

    pub(crate) fn enable(&self, key: &str) {
        self.operation("EnableKey", &json!({ "KeyId": key }));
    }

    pub(crate) fn schedule_deletion(&self, key: &str) {
        self.operation("ScheduleKeyDeletion", &json!({ "KeyId": key, "PendingWindowInDays": 7 }));
    }

    /// The key is disabled then, as AWS leaves it.
    pub(crate) fn cancel_deletion(&self, key: &str) {
        self.operation("CancelKeyDeletion", &json!({ "KeyId": key }));
    }

    /// Deletes all material of a key but the newest, as no real service does: what still opens needs no other.
    pub(crate) fn forget_old_material(&self, key: &str) {
        self.order("forget_old_material", &json!({ "key_id": key }));
    }

    /// Answers so many calls in any second, and refuses the others.
    pub(crate) fn throttle(&self, calls_per_second: u32) {
        self.order("throttle", &json!({ "calls_per_second": calls_per_second }));
    }

    /// Lets calls of these operations, and only of these, take so long.
    pub(crate) fn stall(&self, operations: &[&str], delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap();
        self.order("stall", &json!({ "operations": operations, "millis": millis }));
    }

    /// Lets calls of these operations fail from now on.
    pub(crate) fn fail(&self, operations: &[&str], failure: Failure) {
        self.order("fail", &failure.order(operations, None));
    }

    /// Lets the next so many calls of these operations fail.
    pub(crate) fn fail_times(&self, operations: &[&str], failure: Failure, times: u32) {
        self.order("fail", &failure.order(operations, Some(times)));
    }

    /// Refuses whatever needs other actions than these, such as `kms:Decrypt`.
    pub(crate) fn allow_only(&self, actions: &[&str]) {
        let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
        self.allow_policy(&json!({ "Version": "2012-10-17", "Statement": [statement] }));
    }

    /// Refuses whatever an IAM policy doesn't allow. It may have `Allow` statements without conditions.
    pub(crate) fn allow_policy(&self, policy: &Value) {
        self.order("allow", &json!({ "policy": policy }));
    }

    /// Takes back throttling, stalls, failures and policies.
    pub(crate) fn heal(&self) {
        self.order("heal", &json!({}));
    }

    /// Refuses connections and breaks those that there are. Nothing is forgotten.
    pub(crate) fn close_port(&self) {
        self.order("close", &json!({}));
    }

    pub(crate) fn open_port(&self) {
        self.order("open", &json!({}));
    }

    /// Lists no more rotations than these on a page.
    pub(crate) fn page(&self, rotations_max: u32) {
        self.order("page", &json!({ "rotations_max": rotations_max }));
    }

    pub(crate) fn seen(&self) -> Seen {
        let seen = self.order("seen", &json!({}));
        let calls = seen["calls"].as_object().unwrap();
        Seen {
            calls: calls.iter().map(|(name, count)| (name.clone(), count.as_u64().unwrap())).collect(),
            throttled: seen["throttled"].as_u64().unwrap(),
            in_flight_max: seen["in_flight_max"].as_u64().unwrap(),
        }
    }

    /// Performs an operation of AWS KMS past all faults, also while the port is closed.
    pub(crate) fn operation(&self, operation: &str, request: &Value) -> Value {
        self.order(&format!("operation/{operation}"), request)
    }

    fn order(&self, order: &str, body: &Value) -> Value {
        let (head, answer) = post(self.control_port, order, &body.to_string());
        assert!(head.starts_with("HTTP/1.1 200 "), "{order}: {head}\n{answer}");
        if answer.is_empty() { Value::Null } else { serde_json::from_str(&answer).unwrap() }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Failure {
    fn order(self, operations: &[&str], times: Option<u32>) -> Value {
        match self {
            Failure::Code(code) => json!({ "operations": operations, "times": times, "code": code }),
            Failure::Status(status) => json!({ "operations": operations, "times": times, "status": status }),
            Failure::Hangup => json!({ "operations": operations, "times": times }),
        }
    }
}

/// The Python environment that `cargo xtask setup` makes.
fn environment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/kms-emulator")
}

/// The environment holds a copy of the requirements that it was made from.
fn assert_set_up(tests: &Path) {
    let wanted = std::fs::read(tests.join("requirements.txt")).unwrap();
    let installed = std::fs::read(environment().join("requirements.txt"));
    assert!(installed.is_ok_and(|installed| installed == wanted), "{SET_UP}");
}

/// The head and the body of an answer. Blocks, for a few milliseconds.
fn post(port: u16, path: &str, body: &str) -> (String, String) {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let length = body.len();
    write!(
        connection,
        "POST /{path} HTTP/1.1\r\nHost: emulator\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}
