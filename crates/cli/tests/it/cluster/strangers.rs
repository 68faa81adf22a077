//! Strangers on the port that is for other nodes: whoever they are and whatever they send, they change nothing, and
//! cost a bounded amount of memory for a bounded time.

mod dialler;
mod flood;
mod frames;
mod replay;
mod siege;

use std::net::SocketAddr;
use std::sync::Arc;

use base64::engine::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyperion_vault_core::name::RoleName;
use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::state::Command;
use hyperion_vault_core::state::command::CreateRole;
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_crypto::MasterKey;
use hyperion_vault_raft::Boot;
use hyperion_vault_raft::tls::ClusterSecret;
use hyperion_vault_server::adapters::clock::SystemClock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::vault::MASTER_KEY;
use dialler::{Dialler, PATIENCE, call_over, reach};
use frames::{Answer, Anything, Beat, Call, Caller, Rejection};
use siege::Siege;

/// No member.
const OUTSIDER: u64 = 9;
const TRIES: usize = 200;
const CALLS: [&str; 9] = [
    "Beat",
    "Vote",
    "PreVote",
    "Append",
    "Snapshot",
    "TransferLeader",
    "Propose",
    "ReadIndex",
    "ChangeMembers",
];
const HTTP_1: &[u8] = b"GET /v1/secrets HTTP/1.1\r\nHost: vault\r\n\r\n";

/// What the nodes in local mode derive from their master key to know each other by.
fn secret() -> ClusterSecret {
    let key = STANDARD.decode(MASTER_KEY).unwrap();
    ClusterSecret::from_bytes(MasterKey::from_bytes(&key.try_into().unwrap()).cluster_secret())
}

/// With a certificate that nothing is wrong with, but who shows it.
fn certified(id: u64) -> Dialler {
    Dialler::with_certificate(&secret(), id, Arc::new(SystemClock))
}

struct LastWeek;

impl Clock for LastWeek {
    fn now(&self) -> Timestamp {
        const WEEK_MS: u64 = 7 * 24 * 3_600 * 1_000;
        Timestamp::from_unix_ms(SystemClock.now().as_unix_ms() - WEEK_MS)
    }
}

/// Somebody who knows of no cluster yet.
fn newcomer(from: u64, to: u64) -> Caller {
    Caller { lineage: None, from, boot: Boot { disk_id: [9; 16], count: 1, nonce: 9 }, to, to_boot: None }
}

/// What a node tells whoever holds a certificate.
async fn look_at(siege: &Siege, id: u64) -> Beat {
    let stranger = newcomer(OUTSIDER, id);
    let answer = certified(OUTSIDER).call(siege.port(id), &frames::beat(&stranger)).await.unwrap();
    match frames::read::<Beat>(&answer) {
        Answer::Answered(beat) => beat,
        Answer::Rejected(rejection) => panic!("{rejection:?}"),
    }
}

/// As `from`, with all that can be known of the cluster and of the node that is called.
fn informed(from: u64, callee: &Beat) -> Caller {
    let (lineage, to_boot) = (callee.lineage, Some(callee.boot));
    Caller { lineage, to_boot, ..newcomer(from, callee.node_id) }
}

/// A command that would be seen if it were written.
fn create_role(name: &str) -> Vec<u8> {
    let (name, rules) = (RoleName::parse(name).unwrap(), Vec::new());
    let role = CreateRole { name, description: None, is_admin: true, rules, mac: None };
    minicbor::to_vec(Command::CreateRole(role)).unwrap()
}

/// Sends all of `bytes` and nothing more, and expects the end of the connection. What was answered.
async fn is_closed_after(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let exchange = async {
        // It may be closed while it is written to.
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
        let _ = stream.read_to_end(&mut answer).await;
    };
    assert!(
        timeout(PATIENCE, exchange).await.is_ok(),
        "still open after {:02x?}",
        &bytes[..bytes.len().min(40)]
    );
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_no_certificate_of_this_cluster_gets_no_answer() {
    let siege = Siege::begin().await;
    let targets = siege.leader_and_follower();
    let beat_to = |id| frames::beat(&newcomer(OUTSIDER, id));
    let other_cluster = ClusterSecret::from_text(b"the secret of another cluster").unwrap();
    for (what, stranger) in [
        ("no certificate", Dialler::without_certificate()),
        ("another cluster's", Dialler::with_certificate(&other_cluster, targets[1], Arc::new(SystemClock))),
        ("expired", Dialler::with_certificate(&secret(), targets[1], Arc::new(LastWeek))),
    ] {
        let attempt = async |number| {
            let target = targets[number % 2];
            let answer = stranger.call(siege.port(target), &beat_to(target)).await;
            assert!(answer.is_err(), "{what}: {answer:02x?}");
        };
        siege.bear(what, TRIES, attempt).await;
    }
    let plain_http_1 = async |number| {
        let stream = reach(siege.port(targets[number % 2])).await.unwrap();
        let answer = is_closed_after(stream, HTTP_1).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:02x?}");
    };
    siege.bear("plain HTTP/1", TRIES, plain_http_1).await;
    let plain_http_2 = async |number| {
        let target = targets[number % 2];
        let answer = call_over(reach(siege.port(target)).await.unwrap(), &beat_to(target)).await;
        assert!(answer.is_err(), "{answer:02x?}");
    };
    siege.bear("plain HTTP/2", TRIES, plain_http_2).await;
    siege.end().await;
}

/// Makes every call that would change something, and a beat, in one go; each must be rejected so.
async fn expect_rejections(
    stranger: &Dialler,
    port: SocketAddr,
    (caller, callee): (&Caller, &Beat),
    expected: &Rejection,
) {
    for call in frames::hostile_calls(caller, callee, &create_role("planted")) {
        let answer = stranger.call(port, &call).await.unwrap();
        let answer = frames::read::<Anything>(&answer);
        assert_eq!(answer, Answer::Rejected(expected.clone()), "{}", call.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_speaks_for_no_other_node() {
    let siege = Siege::begin().await;
    let [leader, follower] = siege.leader_and_follower();
    let third = siege.cluster.others(&[leader, follower])[0];
    for (target, owner, claimed) in [(leader, follower, third), (follower, third, leader)] {
        let (stranger, port) = (certified(owner), siege.port(target));
        let callee = look_at(&siege, target).await;
        // It knows even on which start of its disk the other is.
        let boot = look_at(&siege, claimed).await.boot;
        let caller = Caller { boot, ..informed(claimed, &callee) };
        let rejection = Rejection::Certificate(claimed);
        let attempt = async |_| {
            let beat = stranger.call(port, &frames::beat(&caller)).await.unwrap();
            assert_eq!(frames::read::<Anything>(&beat), Answer::Rejected(rejection.clone()));
            expect_rejections(&stranger, port, (&caller, &callee), &rejection).await;
        };
        siege.bear("in another's name", TRIES / 10, attempt).await;
    }
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_member_may_look_and_nothing_else() {
    let siege = Siege::begin().await;
    for target in siege.leader_and_follower() {
        let callee = look_at(&siege, target).await;
        let caller = informed(OUTSIDER, &callee);
        let (stranger, rejection) = (certified(OUTSIDER), Rejection::NotAMember(OUTSIDER));
        let attempt = async |_| {
            expect_rejections(&stranger, siege.port(target), (&caller, &callee), &rejection).await;
        };
        siege.bear("no member", TRIES / 10, attempt).await;
    }
    siege.end().await;
}

/// Bodies that say nothing, and what of them is wrong.
fn garbage() -> Vec<(&'static str, Bytes)> {
    let mut noise = vec![0; 5_000];
    fastrand::fill(&mut noise);
    let call = frames::frame((newcomer(OUTSIDER, 1), [0_u8; 0]));
    let mut other_format = call.clone();
    other_format[0] = 2;
    vec![
        ("nothing", Bytes::new()),
        ("an empty message", frames::grpc(&[b""])),
        ("a message of noise", frames::grpc(&[&noise])),
        ("a frame of noise", frames::grpc(&[&[&[1], &noise[..]].concat()])),
        ("a frame cut short", frames::grpc(&[&call[..call.len() / 2]])),
        ("a frame and more", frames::grpc(&[&[&call[..], &noise[..]].concat()])),
        ("a frame of another format", frames::grpc(&[&other_format])),
        ("an array of 2^60 items", frames::grpc(&[&[1, 0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0]])),
        ("a message of 4 GiB", Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff, 1, 0x82])),
        ("a compressed message", Bytes::from_static(&[1, 0, 0, 0, 1, 0])),
        ("noise", noise.into()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_refused_whoever_sends_it() {
    let siege = Siege::begin().await;
    let targets = siege.leader_and_follower();
    // The worst case: it comes from a member.
    let stranger = certified(targets[1]);
    let attempt = async |number: usize| {
        let port = siege.port(targets[number % 2]);
        let name = CALLS[number % CALLS.len()];
        for (what, body) in garbage() {
            let answer = stranger.call(port, &Call { name, body }).await.unwrap();
            let rejected = matches!(
                frames::read::<Anything>(&answer),
                Answer::Rejected(Rejection::Malformed(_) | Rejection::Certificate(_))
            );
            assert!(rejected, "{name}, {what}: {answer:02x?}");
        }
        let unknown = Call { name: "Unseal", body: frames::grpc(&[b"x"]) };
        assert_eq!(stranger.call(port, &unknown).await.unwrap(), Bytes::new());
        for bytes in [HTTP_1, &[0xff; 40_000], &[0; 40_000]] {
            is_closed_after(stranger.connect(port).await.unwrap(), bytes).await;
        }
    };
    siege.bear("garbage", TRIES / 10, attempt).await;
    siege.end().await;
}
