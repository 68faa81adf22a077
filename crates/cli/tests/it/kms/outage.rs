//! AWS KMS away, slow and throttled, and back.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{AwsVault, expect_unavailable, metric, until};
use crate::emulator::EVERY_OPERATION;
use crate::vault::{ADMIN, expect};

/// Time in which a vault says that key management is away. The rest is the machine's.
const SAYS_SO_WITHIN: Duration = Duration::from_millis(1_000);
/// No client waits longer for key management.
const ANSWER_MAX: Duration = Duration::from_secs(10);

#[tokio::test]
async fn while_kms_is_stopped_cached_reads_go_on_and_the_rest_is_refused_within_a_second() {
    let aws = AwsVault::start(&[]);
    for name in ["read/lately", "not/read"] {
        aws.create(name, "v").await;
    }
    aws.expect_value("read/lately", "v").await;
    aws.emulator.close_port();

    for _ in 0..20 {
        aws.expect_value("read/lately", "v").await;
        let took = aws.expect_unavailable("not/read").await;
        assert!(took < SAYS_SO_WITHIN, "{took:?}");
    }
    let begun = Instant::now();
    let write = json!({"name": "new", "kind": "manual", "value": "v"});
    expect_unavailable(aws.vault.admin(Method::POST, "/v1/secrets").json(&write).send().await.unwrap()).await;
    assert!(begun.elapsed() < SAYS_SO_WITHIN, "{:?}", begun.elapsed());
    let (status, reason) = aws.readiness().await;
    assert!(status == 503 && reason.contains("key management"), "{status} {reason}");

    // What takes no data key goes on.
    aws.vault.expect(Method::GET, "/v1/secrets", Value::Null, 200).await;
    let token = json!({"name": "bot", "role": "admin"});
    aws.vault.expect(Method::POST, "/v1/tokens", token, 201).await;
    aws.vault.expect(Method::DELETE, "/v1/secrets/read/lately", Value::Null, 204).await;

    let refused = aws.emulator.seen().total();
    aws.emulator.open_port();
    let back = Instant::now();
    until("it recovers by itself", async || (aws.read("not/read").await.status() == 200).then_some(())).await;
    assert!(back.elapsed() < Duration::from_secs(8), "{:?}", back.elapsed());
    assert!(aws.emulator.seen().total() > refused);
    aws.wait_ready().await;
    aws.create("new", "v").await;
}

#[tokio::test]
async fn a_kms_that_never_answers_holds_no_client_longer_than_ten_seconds() {
    let aws = AwsVault::start(&[("VAULT_DEK_CACHE_TTL_SECS", "0")]);
    for number in 0..4 {
        aws.create(&format!("s{number}"), "v").await;
    }
    aws.emulator.stall(EVERY_OPERATION, Duration::from_secs(60));
    let begun = Instant::now();
    let names: Vec<_> = (0..4).map(|number| format!("s{number}")).collect();
    let batch = aws.vault.request(Method::POST, "/v1/batch/secrets").json(&json!({ "names": names }));
    let (one, all) = tokio::join!(aws.read("s0"), batch.send());
    assert_eq!((one.status(), all.unwrap().status()), (503.try_into().unwrap(), 503.try_into().unwrap()));
    assert!(begun.elapsed() < ANSWER_MAX, "{:?}", begun.elapsed());
    let took = aws.expect_unavailable("s1").await;
    assert!(took < SAYS_SO_WITHIN, "the circuit is open: {took:?}");

    aws.emulator.heal();
    until("it recovers by itself", async || (aws.read("s0").await.status() == 200).then_some(())).await;
}

/// 200 clients at once for four seconds and more, at a service that takes 20 calls in each.
#[tokio::test]
async fn a_throttled_kms_serves_whom_it_can_and_the_others_are_told_to_come_back() {
    let aws = AwsVault::start(&[]);
    let names: Vec<_> = (0..200).map(|number| format!("s{number}")).collect();
    for name in &names {
        aws.create(name, name).await;
    }
    aws.emulator.throttle(20);
    let begun = Instant::now();
    let answers = join_all(names.iter().map(|name| aws.read(name))).await;
    assert!(begun.elapsed() < ANSWER_MAX, "{:?}", begun.elapsed());
    let mut served = 0;
    for (name, answer) in names.iter().zip(answers) {
        if answer.status() == 200 {
            assert_eq!(answer.json::<Value>().await.unwrap()["value"], **name);
            served += 1;
        } else {
            expect_unavailable(answer).await;
        }
    }
    assert!(served >= 20, "{served}");
    assert!(aws.emulator.seen().throttled > 0);
    assert_eq!(metric(&aws.vault, "hyperion_vault_kms_circuit_open").await, 0.0, "throttling is no outage");

    // Whoever comes back is served in the end, at the pace of the service.
    for name in &names {
        until("it is served", async || (aws.read(name).await.status() == 200).then_some(())).await;
    }
}

#[tokio::test]
async fn what_was_read_lately_is_readable_through_an_outage_if_that_is_wanted() {
    let mut vaults = Vec::new();
    for outage_ttl in ["0", "600"] {
        let settings = [("VAULT_DEK_CACHE_TTL_SECS", "1"), ("VAULT_DEK_CACHE_OUTAGE_TTL_SECS", outage_ttl)];
        let aws = AwsVault::start(&settings);
        aws.create("a", "v").await;
        aws.expect_value("a", "v").await;
        aws.emulator.close_port();
        vaults.push(aws);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    vaults[0].expect_unavailable("a").await;
    vaults[1].expect_value("a", "v").await;

    // Back, and disabled: the key is gone from memory with the first answer.
    vaults[1].emulator.disable(&vaults[1].key);
    vaults[1].emulator.open_port();
    until("it is refused", async || (vaults[1].read("a").await.status() == 503).then_some(())).await;
    vaults[1].emulator.close_port();
    assert_eq!(vaults[1].read("a").await.status(), 503);
}

/// Nobody is locked out, or let in, because the vault couldn't tell who he is.
#[tokio::test]
async fn a_start_without_kms_serves_what_it_can_and_all_of_it_once_kms_is_back() {
    let mut aws = AwsVault::start(&[("VAULT_AUTH_MAX_FAILURES", "3")]);
    aws.create("a", "v").await;
    assert_eq!(aws.vault.terminate().code(), Some(0));
    aws.emulator.close_port();
    aws.vault.resume();

    for _ in 0..10 {
        let listed = aws.vault.request(Method::GET, "/v1/tokens").bearer_auth(ADMIN).send().await.unwrap();
        assert_eq!(listed.status(), 503, "management");
        expect(aws.vault.request(Method::GET, "/v1/secrets/no/such"), 404).await;
        aws.expect_unavailable("a").await;
    }
    let (status, reason) = aws.readiness().await;
    assert!(status == 503 && reason.contains("key management"), "{status} {reason}");

    aws.emulator.open_port();
    aws.wait_ready().await;
    until("tokens count again", async || {
        let listed = aws.vault.admin(Method::GET, "/v1/tokens").send().await.unwrap();
        (listed.status() == 200).then_some(())
    })
    .await;
    aws.expect_value("a", "v").await;
}
