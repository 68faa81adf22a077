//! A graceful stop.

use std::time::Duration;

use hyperion_vault_server::http::serve::{ConnectionLimits, Drained};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::harness::{SOON, Served, get_request, get_until, read_to_close, read_until, short_limits};

/// A connection whose request to `/held` has reached its handler.
async fn hold(served: &Served) -> TcpStream {
    let mut stream = served.connect().await;
    stream.write_all(get_request("/held").as_bytes()).await.unwrap();
    served.held.notified().await;
    stream
}

#[tokio::test]
async fn requests_in_flight_end_and_new_connections_are_refused() {
    let served = Served::start(ConnectionLimits::default(), None).await;
    let mut in_flight = hold(&served).await;
    served.stop.cancel();

    while TcpStream::connect(served.address).await.is_ok() {
        sleep(Duration::from_millis(5)).await;
    }
    served.release.notify_one();
    let answer = read_to_close(&mut in_flight).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("released"), "{answer}");
    assert_eq!(served.ended().await, Drained::Complete);
}

#[tokio::test]
async fn idle_connections_are_closed_at_once() {
    let served = Served::start(ConnectionLimits::default(), None).await;
    let mut used = served.connect().await;
    get_until(&mut used, "/peer", "127.0.0.1").await;
    let mut untouched = served.connect().await;

    served.stop.cancel();
    assert_eq!(read_to_close(&mut used).await, "");
    assert_eq!(read_to_close(&mut untouched).await, "");
    assert_eq!(served.ended().await, Drained::Complete);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_when_time_is_up() {
    let limits = ConnectionLimits { drain_max: Duration::from_millis(200), ..ConnectionLimits::default() };
    let served = Served::start(limits, None).await;
    let mut endless = hold(&served).await;
    served.stop.cancel();
    assert_eq!(read_to_close(&mut endless).await, "");
    assert_eq!(served.ended().await, Drained::Cut { requests: 1 });
}

#[tokio::test]
async fn a_request_whose_client_has_gone_is_carried_out_and_waited_for() {
    let served = Served::start(ConnectionLimits::default(), None).await;
    drop(hold(&served).await);
    // Let the shell see that the client is gone.
    sleep(Duration::from_millis(50)).await;
    served.stop.cancel();
    served.release.notify_one();
    let carried_out = timeout(SOON, served.carried_out.notified());
    carried_out.await.expect("the request should be carried out");
    assert_eq!(served.ended().await, Drained::Complete);
}

#[tokio::test]
async fn a_pipelined_second_request_is_not_begun_after_the_stop() {
    let served = Served::start(short_limits(), None).await;
    let mut stream = hold(&served).await;
    stream.write_all(get_request("/peer").as_bytes()).await.unwrap();
    served.stop.cancel();
    // Let the shell see the stop before the first answer makes room for the second request.
    sleep(Duration::from_millis(50)).await;
    served.release.notify_one();
    let answers = read_until(&mut stream, "released").await;
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    assert_eq!(read_to_close(&mut stream).await, "");
}
