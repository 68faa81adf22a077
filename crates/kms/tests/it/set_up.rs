//! The environment that the SDK reads, in processes that have no other: what is missing is said, and soon.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use hyperion_vault_kms::{ATTEMPT_MAX, AwsConfig, AwsProvider, KeyProvider};
use tokio::time::{Instant, timeout};

use crate::fixture::context;

const ARN: &str = "arn:aws:kms:eu-central-1:123456789012:key/k";
/// No look at the machine's metadata service.
const ALONE: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");
const REGION: (&str, &str) = ("AWS_REGION", "eu-central-1");

/// What a call comes to that is made in a process with these variables and no others.
fn error(environment: &[(&str, &str)], key: &str) -> String {
    let process = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", &format!("set_up::a_call_with_{key}")])
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8(process.stdout).unwrap();
    assert!(process.status.success(), "{said}");
    said.lines().find_map(|line| line.split_once("ERROR ")).expect(&said).1.to_owned()
}

async fn call(key_id: &str) {
    let provider = AwsProvider::new(AwsConfig { key_id: key_id.to_owned() });
    let begun = Instant::now();
    let (context, longest) = (context("a", 1), ATTEMPT_MAX);
    let made =
        timeout(longest, provider.generate_data_key(&context)).await.expect("in the time of an attempt");
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\nERROR {} ({:?})", made.err().unwrap(), begun.elapsed()).unwrap();
}

#[tokio::test]
#[ignore = "run by those below, in an environment of its own"]
async fn a_call_with_alias() {
    call("alias/vault").await;
}

#[tokio::test]
#[ignore = "run by those below, in an environment of its own"]
async fn a_call_with_arn() {
    call(ARN).await;
}

#[track_caller]
fn assert_says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_missing_region_is_said_with_what_to_set() {
    assert_says(&error(&[ALONE], "alias"), &["misconfigured", "AWS_REGION"]);
}

#[test]
fn the_keys_arn_stands_in_for_a_region() {
    assert_says(&error(&[ALONE], "arn"), &["misconfigured", "no AWS credentials", "AWS_ACCESS_KEY_ID"]);
}

#[test]
fn missing_credentials_are_said_with_what_to_set() {
    assert_says(
        &error(&[ALONE, REGION], "alias"),
        &["misconfigured", "no AWS credentials", "AWS_ACCESS_KEY_ID"],
    );
}

#[test]
fn a_metadata_service_that_never_answers_holds_nothing_up() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let metadata = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.as_str());
    assert_says(&error(&[metadata], "alias"), &["misconfigured", "AWS_REGION"]);
    assert_says(&error(&[metadata, REGION], "alias"), &["misconfigured", "no AWS credentials"]);
}

#[test]
fn an_endpoint_of_the_environment_is_used() {
    let credentials = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let endpoint = ("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1");
    let error = error(&[REGION, credentials[0], credentials[1], endpoint], "alias");
    assert_says(&error, &["unreachable", "refused"]);
    assert!(!error.contains("secret"), "{error}");
}
