//! Appends over one call.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream;
use openraft::errors::RPCError;
use openraft::network::RaftNetworkV2;
use openraft::raft::StreamAppendResult;
use tokio::time::{Instant, timeout};

use super::super::limits::{APPEND_BYTES_MAX, APPENDS_UNDER_WAY_MAX};
use super::*;

type Answered = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

async fn replicate(
    sender: &mut Sender,
    appends: impl futures::Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
) -> Result<Vec<Answered>, RPCError<TypeConfig>> {
    let answers = sender.network.stream_append(appends, within(PATIENCE)).await?;
    Ok(answers.collect().await)
}

#[tokio::test]
async fn appends_arrive_and_are_answered_in_their_order() {
    const COUNT: u64 = 500;
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    let appends = stream::iter(0..COUNT).map(|index| append(index, 10_000));
    let answers = replicate(&mut sender, appends).await.unwrap();
    let expected: Vec<Answered> = (0..COUNT).map(|index| Ok(Ok(Some(log_id(index))))).collect();
    assert_eq!(answers, expected);
    let sent: Vec<Entry> = (0..COUNT).map(|index| entry(index, 10_000)).collect();
    assert_eq!(*callee.node.appended.lock().unwrap(), sent);
    assert_eq!(*sender.told.acknowledged.lock().unwrap(), Some(log_id(COUNT - 1)));
}

#[tokio::test]
async fn the_longest_append_fits() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    // What the log gives at once: 2 MiB of entries. One entry is half of that at most.
    let mut longest = append(0, 1024 * 1024);
    longest.entries.push(entry(1, 1024 * 1024));
    let encoded = super::super::frames::message(longest.clone()).len();
    assert!(encoded < APPEND_BYTES_MAX, "{encoded}");
    let answers = replicate(&mut sender, stream::iter([longest])).await.unwrap();
    assert_eq!(answers, [Ok(Ok(Some(log_id(1))))]);
}

/// The next is sent before the one before it is answered, but not without end.
#[tokio::test]
async fn some_appends_are_under_way_at_once() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let appends = stream::iter(0..100).map(move |index| {
        counted.fetch_add(1, Ordering::SeqCst);
        append(index, 10)
    });
    // In silence from the second on.
    let mut answers = sender.network.stream_append(appends, within(PATIENCE)).await.unwrap();
    callee.node.silent.send_replace(true);
    let answered = async { while timeout(Duration::from_millis(200), answers.next()).await.is_ok() {} };
    answered.await;
    let under_way = sent.load(Ordering::SeqCst) - callee.node.appended.lock().unwrap().len();
    assert_eq!(under_way, APPENDS_UNDER_WAY_MAX);
}

#[tokio::test]
async fn a_stream_to_a_peer_that_falls_silent_fails_within_its_time() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    callee.node.silent.send_replace(true);
    let option = within(Duration::from_millis(100));
    let failed = timeout(PATIENCE, sender.network.stream_append(stream::iter([append(0, 10)]), option));
    let failed = failed.await.expect("in time").map(drop);
    assert!(matches!(failed, Err(RPCError::Timeout(_))), "{failed:?}");
}

#[tokio::test]
async fn a_stream_that_falls_silent_half_way_fails_within_its_time() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    let (next, appends) = tokio::sync::mpsc::unbounded_channel();
    let appends = Box::pin(stream::unfold(
        appends,
        |mut appends: tokio::sync::mpsc::UnboundedReceiver<_>| async move {
            Some((appends.recv().await?, appends))
        },
    ));
    next.send(append(0, 10)).unwrap();
    let option = within(Duration::from_millis(100));
    let mut answers = sender.network.stream_append(appends, option).await.unwrap();
    assert_eq!(answers.next().await, Some(Ok(Ok(Some(log_id(0))))));
    // With nothing under way, silence is no failure.
    assert!(timeout(Duration::from_millis(1_500), answers.next()).await.is_err());
    callee.node.silent.send_replace(true);
    next.send(append(1, 10)).unwrap();
    let failed = timeout(Duration::from_millis(1_500), answers.next()).await.expect("in time");
    assert!(matches!(failed, Some(Err(RPCError::Timeout(_)))), "{failed:?}");
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn a_stream_to_a_node_that_stops_fails() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    let appends = Box::pin(stream::iter([append(0, 10)]).chain(stream::pending()));
    let mut answers = sender.network.stream_append(appends, within(PATIENCE)).await.unwrap();
    assert_eq!(answers.next().await, Some(Ok(Ok(Some(log_id(0))))));
    callee.stop().await;
    let failed = timeout(Duration::from_secs(1), answers.next()).await.expect("at once");
    assert!(matches!(failed, Some(Err(RPCError::Unreachable(_)))), "{failed:?}");
}

/// Consensus locks what its appends are made of until they are dropped.
#[tokio::test]
async fn what_was_to_be_appended_is_dropped_with_the_answers() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    let held = Arc::new(());
    let holder = Arc::clone(&held);
    let appends = Box::pin(stream::iter([append(0, 10)]).chain(stream::pending()).inspect(move |_| {
        let _held = &holder;
    }));
    let mut answers = sender.network.stream_append(appends, within(PATIENCE)).await.unwrap();
    assert_eq!(answers.next().await, Some(Ok(Ok(Some(log_id(0))))));
    assert_eq!(Arc::strong_count(&held), 2);
    drop(answers);
    assert_eq!(Arc::strong_count(&held), 1);
}

/// Consensus waits out its pause between two tries inside of the stream that it hands over.
#[tokio::test]
async fn an_absent_peer_is_not_tried_before_the_stream_gives_an_append() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    callee.stop().await;
    let later = stream::once(async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        append(0, 10)
    });
    let begun = Instant::now();
    let error = replicate(&mut sender, Box::pin(later)).await.unwrap_err();
    assert!(matches!(error, RPCError::Unreachable(_)), "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_rejected_stream_says_that_the_peer_is_another() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    callee.node.reject(Rejection::OtherBoot);
    let answers = replicate(&mut sender, stream::iter([append(0, 10)])).await.unwrap();
    assert!(matches!(&answers[..], [Err(RPCError::Unreachable(_))]), "{answers:?}");
    assert!(*sender.told.doubted.lock().unwrap());
    assert_eq!(*sender.told.acknowledged.lock().unwrap(), None);
}

#[tokio::test]
async fn a_stream_ends_with_the_first_append_that_is_not_taken() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    *callee.node.append_ends_with.lock().unwrap() = Some((2, Rejection::Halted));
    let appends = Box::pin(stream::iter(0..10).map(|index| append(index, 10)));
    let answers = replicate(&mut sender, appends).await.unwrap();
    assert_eq!(answers[..2], [Ok(Ok(Some(log_id(0)))), Ok(Ok(Some(log_id(1))))]);
    assert!(matches!(&answers[2..], [Err(RPCError::Unreachable(_))]), "{answers:?}");
    assert!(!*sender.told.doubted.lock().unwrap());
}

#[tokio::test]
async fn a_granted_vote_is_remembered_and_a_pre_vote_is_not() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let mut sender = Sender::to(&callee).await;
    let request = VoteRequest::new(Vote::new(4, CALLER_ID), None);
    sender.network.pre_vote(request.clone(), within(PATIENCE)).await.unwrap();
    assert_eq!(*sender.told.voted.lock().unwrap(), None);
    sender.network.vote(request.clone(), within(PATIENCE)).await.unwrap();
    assert_eq!(*sender.told.voted.lock().unwrap(), Some(request.vote));
}
