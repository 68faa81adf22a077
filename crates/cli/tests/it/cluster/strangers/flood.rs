//! Many at once who say little, slowly.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::dialler::{PATIENCE, call_over, call_that_never_begins, reach};
use super::frames::{self, Answer, Anything, Rejection};
use super::siege::Siege;
use super::{CALLS, OUTSIDER, certified, newcomer};

/// At once, at each of two nodes: more than a node keeps connections.
const SILENT: usize = 300;
/// Before one that was closed on comes back.
const RETURN: Duration = Duration::from_millis(400);
const SLOW: usize = 30;
/// Between two bytes of a slow one.
const DRIP: Duration = Duration::from_millis(100);
/// A handshake may take two seconds; the rest is the machine's.
const HANDSHAKE_MAX: Duration = Duration::from_secs(4);
/// A TLS record of a ClientHello of 500 bytes, begun.
const HELLO: &[u8] = &[22, 3, 1, 1, 0xf8, 1, 0, 1, 0xf4, 3, 3];

/// Says nothing until the node has closed the connection. How long that took.
async fn silent(to: SocketAddr) -> Duration {
    let begun = Instant::now();
    // The node closes at once what is too many, which may be before the stranger looks.
    if let Ok(mut stream) = reach(to).await {
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("closed");
        assert_eq!(answer, b"");
    }
    begun.elapsed()
}

/// Says a byte now and then.
async fn slow(to: SocketAddr) -> Duration {
    let begun = Instant::now();
    let Ok(mut stream) = reach(to).await else { return begun.elapsed() };
    let drops = HELLO.iter().copied().chain(std::iter::repeat(0));
    for byte in drops {
        let closed = async {
            let _ = stream.write_all(&[byte]).await;
            stream.read(&mut [0; 64]).await
        };
        if let Ok(Ok(0) | Err(_)) = timeout(DRIP, closed).await {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "a slow one is never closed on");
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_or_says_it_slowly_is_closed_on() {
    let siege = Siege::begin().await;
    let ports = siege.leader_and_follower().map(|id| siege.port(id));
    let before = siege.memory();
    let silent = join_all((0..2 * SILENT).map(|number| silent(ports[number % 2])));
    let slow = join_all((0..SLOW).map(|number| slow(ports[number % 2])));
    let while_they_are_there = async {
        sleep(Duration::from_secs(1)).await;
        siege.expect_no_growth("with silent connections", &before);
    };
    let (silent, slow, ()) = tokio::join!(silent, slow, while_they_are_there);
    let longest = silent.into_iter().chain(slow).max().unwrap();
    assert!(longest < HANDSHAKE_MAX, "{longest:?}");
    siege.expect_no_growth("after silent connections", &before);
    siege.end().await;
}

/// Not even a right certificate lets anybody hold a call open that has not begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_never_begins_is_given_up() {
    const CALLERS: usize = 40;
    let siege = Siege::begin().await;
    let ports = siege.leader_and_follower().map(|id| siege.port(id));
    let (stranger, before) = (certified(OUTSIDER), siege.memory());
    let waiting = (0..CALLERS).map(async |number| {
        let stream = stranger.connect(ports[number % 2]).await.unwrap();
        let answer = call_that_never_begins(stream, CALLS[number % CALLS.len()]).await.unwrap();
        let answer = frames::read::<Anything>(&answer);
        assert!(matches!(answer, Answer::Rejected(Rejection::Malformed(_))), "{answer:?}");
    });
    join_all(waiting).await;
    siege.expect_no_growth("with calls that never begin", &before);
    siege.end().await;
}

/// Takes all the handshakes that it can get, as long as it lives.
struct Flood(Vec<JoinHandle<()>>);

impl Flood {
    fn begin(to: SocketAddr) -> Flood {
        let again_and_again = || {
            tokio::spawn(async move {
                loop {
                    silent(to).await;
                    sleep(RETURN).await;
                }
            })
        };
        Flood((0..SILENT).map(|_| again_and_again()).collect())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_comes_back_through_a_flood_of_connections() {
    let mut siege = Siege::begin().await;
    let [leader, follower] = siege.leader_and_follower();
    let floods = [leader, follower].map(|id| Flood::begin(siege.port(id)));
    sleep(Duration::from_millis(500)).await;
    siege.cluster.terminate(follower).await;
    sleep(Duration::from_millis(500)).await;
    siege.cluster.start_node(follower).await;
    siege.cluster.wait_voter(follower).await;
    drop(floods);
    let beat = frames::beat(&newcomer(OUTSIDER, leader));
    let stream = certified(OUTSIDER).connect(siege.port(leader)).await.unwrap();
    assert!(call_over(stream, &beat).await.is_ok(), "its places are given back");
    let others = siege.cluster.others(&[follower]);
    siege.end_with(&others).await;
}
