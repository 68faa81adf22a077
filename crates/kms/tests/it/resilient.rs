//! Bearing with a provider that is slow, throttled or away, on a clock that the tests hold.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hyperion_vault_kms::{
    ATTEMPT_MAX, CALL_MAX, CallResult, KeyProvider, KmsError, Operation, Outage, ResilientConfig,
    ResilientKeys,
};
use tokio::time::Instant;

use crate::fixture::{context, entropy};
use crate::scripted::{Ends, Scripted, Told, outage};

type Keys = ResilientKeys<Arc<Scripted>>;

fn patient(provider: &Arc<Scripted>, retries_max: u32) -> Keys {
    let config = ResilientConfig { retries_max };
    ResilientKeys::new(Arc::clone(provider), config, entropy(), Arc::new(Told::default()))
}

fn scripted(script: impl IntoIterator<Item = Ends>, afterwards: Ends) -> Arc<Scripted> {
    Arc::new(Scripted::new(script, afterwards))
}

/// How a call ended, and how long it took.
async fn call(keys: &Keys) -> (Result<(), KmsError>, Duration) {
    let begun = Instant::now();
    let made = keys.generate_data_key(&context("a", 1)).await;
    (made.map(|_| ()), begun.elapsed())
}

fn of(ended: &Result<(), KmsError>) -> Outage {
    match ended {
        Err(KmsError::Unavailable { outage, .. }) => *outage,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_go_better_is_tried_again_as_often_as_is_set() {
    for failing in [Outage::Throttled, Outage::TimedOut, Outage::Unreachable, Outage::Faulty] {
        let provider = scripted([outage(failing)], Ends::Well);
        assert_eq!(call(&patient(&provider, 1)).await.0, Ok(()), "{failing}");
        assert_eq!(provider.calls(), 2);

        let provider = scripted([], outage(failing));
        assert_eq!(of(&call(&patient(&provider, 0)).await.0), failing);
        assert_eq!(provider.calls(), 1, "no retries");
    }
    let provider = scripted([], outage(Outage::Throttled));
    call(&patient(&provider, 5)).await.0.unwrap_err();
    assert_eq!(provider.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_not_asked_for_again() {
    let detail = String::new();
    for answer in [KmsError::Misconfigured { detail: detail.clone() }, KmsError::Tampered { detail }] {
        let provider = scripted([], Ends::With(answer.clone()));
        assert_eq!(call(&patient(&provider, 5)).await.0, Err(answer));
        assert_eq!(provider.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_refuses_connections_is_given_up_within_a_second() {
    let provider = scripted([], outage(Outage::Unreachable));
    let keys = patient(&provider, 5);
    let (ended, took) = call(&keys).await;
    assert_eq!(of(&ended), Outage::Unreachable);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(!keys.is_reachable());
    for _ in 0..100 {
        let (ended, took) = call(&keys).await;
        assert_eq!((of(&ended), took), (Outage::CircuitOpen, Duration::ZERO));
    }
    assert_eq!(provider.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answers_holds_nobody_longer_than_a_call_may_take() {
    let provider = scripted([], Ends::Never);
    let keys = patient(&provider, 5);
    let (ended, took) = call(&keys).await;
    assert_eq!(of(&ended), Outage::TimedOut);
    assert!(took >= ATTEMPT_MAX && took <= CALL_MAX, "{took:?}");
    assert_eq!(call(&keys).await.1, Duration::ZERO, "the circuit is open");
}

#[tokio::test(start_paused = true)]
async fn it_recovers_by_itself_within_seconds_of_the_provider() {
    let provider = scripted([], outage(Outage::Unreachable));
    let keys = patient(&provider, 5);
    for _ in 0..30 {
        call(&keys).await.0.unwrap_err();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let asked = provider.calls();
    assert!(asked < 5 + 15, "few are let through while it is away: {asked}");
    provider.end_from_now_on(Ends::Well);
    let back = Instant::now();
    while call(&keys).await.0.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(back.elapsed() <= Duration::from_secs(5), "{:?}", back.elapsed());
    assert!(keys.is_reachable());
}

#[tokio::test(start_paused = true)]
async fn of_many_who_call_after_the_pause_one_is_let_through() {
    let provider = scripted([], outage(Outage::Unreachable));
    let keys = patient(&provider, 5);
    call(&keys).await.0.unwrap_err();
    tokio::time::sleep(Duration::from_secs(1)).await;
    provider.end_from_now_on(Ends::Well);
    provider.take(Duration::from_millis(100));
    let before = provider.calls();
    let ended = join_all((0..100).map(|_| call(&keys))).await;
    assert_eq!(provider.calls(), before + 1);
    assert_eq!(ended.iter().filter(|(ended, _)| ended.is_ok()).count(), 1);
    assert!(ended.iter().filter(|(ended, _)| ended.is_err()).all(|(_, took)| took.is_zero()));
    assert_eq!(call(&keys).await.0, Ok(()), "his answer closed it");
}

#[tokio::test(start_paused = true)]
async fn throttling_opens_nothing() {
    let provider = scripted([], outage(Outage::Throttled));
    let keys = patient(&provider, 5);
    for _ in 0..10 {
        assert_eq!(of(&call(&keys).await.0), Outage::Throttled);
    }
    assert!(keys.is_reachable());
    assert!(provider.calls() > 40, "most retries fit into a call's time: {}", provider.calls());
}

#[tokio::test(start_paused = true)]
async fn calls_at_once_are_bounded_and_all_of_them_come_to_an_end_in_time() {
    let provider = scripted([], Ends::Well);
    provider.take(Duration::from_millis(700));
    let keys = patient(&provider, 5);
    let begun = Instant::now();
    let ended = join_all((0..1_000).map(|_| call(&keys))).await;
    assert_eq!(provider.at_once_max(), 64);
    assert!(begun.elapsed() <= CALL_MAX);
    let served = ended.iter().filter(|(ended, _)| ended.is_ok()).count();
    assert_eq!(served, 64 * 5, "five rounds begin within three seconds");
    let crowded = ended.iter().filter(|(ended, _)| ended.is_err());
    assert!(crowded.map(|(ended, _)| of(ended)).all(|outage| outage == Outage::Throttled));
    assert!(keys.is_reachable(), "that they were too many says nothing about the provider");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_runs_out_of_time_says_what_its_last_attempt_came_to() {
    let provider = scripted([], outage(Outage::Throttled));
    let keys = patient(&provider, 1_000);
    let (ended, took) = call(&keys).await;
    assert_eq!(of(&ended), Outage::Throttled);
    assert!(took <= CALL_MAX, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_turned_away_hears_why_nobody_is_asked() {
    let provider = scripted([], outage(Outage::Faulty));
    let keys = patient(&provider, 5);
    call(&keys).await.0.unwrap_err();
    let turned_away = call(&keys).await.0.unwrap_err().to_string();
    assert!(turned_away.contains("circuit open") && turned_away.contains("faulty"), "{turned_away}");
    assert_eq!(keys.health().await.unwrap_err().to_string(), turned_away);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_leaves_his_place_and_the_circuit_as_they_were() {
    let provider = scripted([], Ends::Never);
    let keys = patient(&provider, 0);
    for _ in 0..200 {
        let given_up = tokio::time::timeout(Duration::from_millis(1), call(&keys)).await;
        assert!(given_up.is_err());
    }
    provider.end_from_now_on(Ends::Well);
    assert_eq!(call(&keys).await, (Ok(()), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_told_of() {
    let provider = scripted([outage(Outage::Throttled), outage(Outage::Faulty)], Ends::Well);
    let told = Arc::new(Told::default());
    let keys = ResilientKeys::new(
        Arc::clone(&provider),
        ResilientConfig { retries_max: 5 },
        entropy(),
        Arc::clone(&told) as Arc<_>,
    );
    keys.current_key().await.unwrap();
    let results =
        [CallResult::Unavailable(Outage::Throttled), CallResult::Unavailable(Outage::Faulty), CallResult::Ok];
    assert_eq!(told.all(), results.map(|result| (Operation::CurrentKey, result)));
}

#[tokio::test(start_paused = true)]
async fn health_is_a_round_trip_now_and_then_for_all_who_ask() {
    let provider = scripted([], Ends::Well);
    let keys = patient(&provider, 0);
    for answered in join_all((0..50).map(|_| keys.health())).await {
        assert_eq!(answered, Ok(()));
    }
    assert_eq!(provider.calls(), 2, "a key made and unwrapped");

    provider.end_from_now_on(Ends::With(KmsError::Misconfigured { detail: "disabled".to_owned() }));
    assert_eq!(keys.health().await, Ok(()), "vouched for by the last trip");
    tokio::time::advance(Duration::from_secs(30)).await;
    for _ in 0..10 {
        assert!(matches!(keys.health().await, Err(KmsError::Misconfigured { .. })));
    }
    assert_eq!(provider.calls(), 3);
    provider.end_from_now_on(Ends::Well);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(keys.health().await, Ok(()));
}
