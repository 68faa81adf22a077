//! What AWS KMS says no to, and what somebody made of the vault's rows.

use reqwest::Method;
use serde_json::{Value, json};

use super::{AwsVault, UNAVAILABLE, metric, until};

#[tokio::test]
async fn a_secret_is_created_read_changed_and_rotated_under_a_key_of_aws() {
    let aws = AwsVault::start(&[]);
    aws.create("a", "one").await;
    aws.expect_value("a", "one").await;
    aws.vault.expect(Method::PUT, "/v1/secrets/a", json!({"value": "two"}), 200).await;
    aws.expect_value("a", "two").await;
    let generated = json!({"name": "b", "kind": "automatic", "rotation_interval_secs": 3_600});
    let first = aws.vault.expect(Method::POST, "/v1/secrets", generated, 201).await;
    let second = aws.vault.expect(Method::POST, "/v1/secrets/b/rotate", Value::Null, 200).await;
    assert_ne!(first["value"], second["value"]);
    // One data key a version, one for the cluster, and one of the probe.
    let seen = aws.emulator.seen();
    assert!((5..=6).contains(&seen.of("GenerateDataKey")), "{:?}", seen.calls);
}

#[tokio::test]
async fn a_key_that_may_not_be_used_is_said_so_at_readyz_and_in_the_log_and_promises_nothing() {
    let aws = AwsVault::start(&[("VAULT_DEK_CACHE_TTL_SECS", "0")]);
    aws.create("a", "v").await;
    aws.emulator.disable(&aws.key);
    for _ in 0..5 {
        let answer = aws.read("a").await;
        assert_eq!(answer.status(), 503);
        assert!(!answer.headers().contains_key("retry-after"), "trying again changes nothing");
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "error": UNAVAILABLE }));
    }
    let said = aws.vault.log().matches("DisabledException").count();
    assert!((1..=3).contains(&said), "once, not for each request: {said}\n{}", aws.vault.log());
    let reason = until("readyz says so", async || {
        let (status, reason) = aws.readiness().await;
        (status == 503).then_some(reason)
    })
    .await;
    assert!(reason.contains("key"), "{reason}");
    let refused = "hyperion_vault_kms_calls_total{operation=\"unwrap\",result=\"misconfigured\"}";
    assert!(metric(&aws.vault, refused).await >= 5.0);

    aws.emulator.enable(&aws.key);
    aws.expect_value("a", "v").await;
    aws.wait_ready().await;
}

#[tokio::test]
async fn a_missing_permission_is_named_in_the_log() {
    let aws = AwsVault::start(&[]);
    aws.emulator.allow_only(&["kms:Decrypt"]);
    let body = json!({"name": "a", "kind": "manual", "value": "v"});
    let answer = aws.vault.admin(Method::POST, "/v1/secrets").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let log = aws.vault.log();
    assert!(log.contains("AccessDeniedException") && log.contains("kms:GenerateDataKey"), "{log}");
}

/// Who can write the disk, or is the KMS, still can't have one value taken for another.
#[tokio::test]
async fn a_data_key_that_kms_does_not_know_for_this_place_is_an_internal_error_and_no_other_value() {
    let aws = AwsVault::start(&[("VAULT_DEK_CACHE_TTL_SECS", "0")]);
    aws.create("a", "v").await;
    for code in ["InvalidCiphertextException", "IncorrectKeyException"] {
        aws.emulator.fail(&["Decrypt"], crate::emulator::Failure::Code(code));
        let answer = aws.read("a").await;
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "error": "internal error" }));
        assert!(aws.vault.log().contains(code), "{code}");
        aws.emulator.heal();
    }
    let tampered = "hyperion_vault_kms_calls_total{operation=\"unwrap\",result=\"tampered\"}";
    assert_eq!(metric(&aws.vault, tampered).await, 2.0);
}
