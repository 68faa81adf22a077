//! Each call, there and back.

use hyperion_vault_core::state::Origin;

use super::*;

#[tokio::test]
async fn every_call_arrives_and_is_answered_in_the_clear() {
    every_call_is_answered(TransportSecurity::Plain, TransportSecurity::Plain).await;
}

#[tokio::test]
async fn every_call_arrives_and_is_answered_between_certified_nodes() {
    every_call_is_answered(tls(CALLEE_ID), tls(CALLER_ID)).await;
}

async fn every_call_is_answered(callees: TransportSecurity, callers: TransportSecurity) {
    let callee = Callee::start(callees).await;
    let to = callee.connection(callers);
    assert_eq!(to.beat(caller(), PATIENCE).await, Ok(a_beat()));

    let request = VoteRequest::new(Vote::new(4, CALLER_ID), Some(log_id(9)));
    let granted = VoteResponse::new(request.vote, request.last_log_id, true);
    assert_eq!(to.vote(caller(), request.clone(), PATIENCE).await, Ok(granted));
    let refused = VoteResponse::new(request.vote, None, false);
    assert_eq!(to.pre_vote(caller(), request, PATIENCE).await, Ok(refused));

    let request = TransferLeaderRequest::new(leader(), CALLEE_ID, Some(log_id(9)));
    let behind = TransferLeaderError::LogNotFlushed { expected: Some(log_id(9)), actual: None };
    assert_eq!(to.transfer_leader(caller(), request, PATIENCE).await, Ok(Err(behind)));

    let command = Bytes::from(vec![7; crate::config::PROPOSAL_BYTES_MAX]);
    let origin = Origin { node_id: CALLER_ID, session: 1, sequence: 1 };
    let forwarded = Forwarded { command: command.clone(), origin };
    let written = Ok(LeaderAnswer::Done(command.len() as u64));
    assert_eq!(to.propose(caller(), forwarded, PATIENCE).await, written, "the longest command");

    let elsewhere = Ok(LeaderAnswer::NotLeader { leader: Some(3) });
    assert_eq!(to.read_index(caller(), PATIENCE).await, elsewhere);
    let change = MemberChange::Promote { node_id: 3 };
    let refused = Ok(LeaderAnswer::Refused("Promote { node_id: 3 }".to_owned()));
    assert_eq!(to.change_members(caller(), change, PATIENCE).await, refused);
}

#[tokio::test]
async fn a_rejection_arrives_as_what_it_is() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    callee.node.reject(Rejection::OtherDisk(CALLER_ID));
    let to = callee.connection(TransportSecurity::Plain);
    let rejected = Err(CallError::Rejected(Rejection::OtherDisk(CALLER_ID)));
    assert_eq!(to.beat(caller(), PATIENCE).await, rejected);
}

#[tokio::test]
async fn a_call_in_another_nodes_name_is_refused() {
    let callee = Callee::start(tls(CALLEE_ID)).await;
    let third = callee.connection(tls(3));
    let rejected = Err(CallError::Rejected(Rejection::Certificate { claimed: CALLER_ID }));
    assert_eq!(third.beat(caller(), PATIENCE).await, rejected);
}

#[tokio::test]
async fn a_call_meant_for_another_node_is_refused() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let to = callee.connection(TransportSecurity::Plain);
    let rejected = Err(CallError::Rejected(Rejection::OtherNode { here: CALLEE_ID, meant: 3 }));
    assert_eq!(to.beat(Caller { to: 3, ..caller() }, PATIENCE).await, rejected);
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_up() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    callee.node.silent.send_replace(true);
    let to = callee.connection(TransportSecurity::Plain);
    assert_eq!(to.beat(caller(), Duration::from_millis(50)).await, Err(CallError::TimedOut));
    callee.node.silent.send_replace(false);
    assert_eq!(to.beat(caller(), PATIENCE).await, Ok(a_beat()), "the connection serves the next call");
}

#[tokio::test]
async fn many_calls_share_a_connection() {
    let callee = Callee::start(tls(CALLEE_ID)).await;
    let to = callee.connection(tls(CALLER_ID));
    let calls = (0..500).map(|_| to.read_index(caller(), PATIENCE));
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// A peer that comes back is reached within a few tenths of a second, by the same connection.
#[tokio::test]
async fn a_node_that_comes_back_is_reached_again() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let to = callee.connection(TransportSecurity::Plain);
    assert_eq!(to.beat(caller(), PATIENCE).await, Ok(a_beat()));
    let address = callee.stop().await;
    for _ in 0..3 {
        let gone = to.beat(caller(), PATIENCE).await;
        assert!(matches!(gone, Err(CallError::Unreachable(_))), "{gone:?}");
    }
    let _back = Callee::start_at(address, TransportSecurity::Plain).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(to.beat(caller(), PATIENCE).await, Ok(a_beat()));
}

/// A caller with little patience must not keep a slow connection from ever being made.
#[tokio::test]
async fn a_connection_is_made_even_if_nobody_waits_so_long() {
    let callee = Callee::start(tls(CALLEE_ID)).await;
    let to = callee.connection(tls(CALLER_ID));
    let impatient = to.beat(caller(), Duration::from_micros(1)).await;
    assert_eq!(impatient, Err(CallError::TimedOut));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(to.beat(caller(), Duration::from_millis(100)).await, Ok(a_beat()));
}
