//! Whoever else connects to the port: changes nothing, and costs little.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::super::frames;
use super::super::limits::{HANDSHAKE_TIME_MAX, HANDSHAKES_PER_ADDRESS_MAX};
use super::*;

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const NO_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Sends `bytes` and waits until the node closes the connection.
async fn is_closed_on(callee: &Callee, bytes: &[u8]) {
    let mut stream = TcpStream::connect(callee.address).await.unwrap();
    // It may be closed while it is written to.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let closed = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "still open after {:02x?}", &bytes[..bytes.len().min(40)]);
}

fn hostile_bytes() -> Vec<Vec<u8>> {
    let settings_of_16_mib = [&[0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0][..], &[0; 4096]].concat();
    vec![
        b"GET / HTTP/1.1\r\nHost: vault\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        (0..=255).cycle().take(100_000).collect(),
        [0xff, 0xff, 0xff, 0xff].repeat(1_000),
        [HTTP2_PREFACE, &vec![0xff; 100_000]].concat(),
        [HTTP2_PREFACE, &settings_of_16_mib].concat(),
        // A TLS record that says it is as long as one can be, and then nothing that it should be.
        [&[22, 3, 3, 0xff, 0xff][..], &vec![0; 0xffff]].concat(),
    ]
}

#[tokio::test]
async fn garbage_closes_a_connection_and_nothing_else() {
    for (callees, callers) in
        [(TransportSecurity::Plain, TransportSecurity::Plain), (tls(CALLEE_ID), tls(CALLER_ID))]
    {
        let callee = Callee::start(callees).await;
        for bytes in hostile_bytes() {
            is_closed_on(&callee, &bytes).await;
        }
        assert_eq!(callee.connection(callers).beat(caller(), PATIENCE).await, Ok(a_beat()));
    }
}

/// A gRPC message that announces 4 GiB, on a connection that is otherwise in order.
#[tokio::test]
async fn a_message_of_four_gibibytes_is_refused_at_its_length() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    // HPACK (RFC 7541): indexed :method POST and :scheme http, then literal :path and :authority.
    let path = b"/hyperion.vault.Node/Beat";
    let mut headers = vec![0x83, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    headers.extend_from_slice(path);
    headers.extend_from_slice(&[0x01, 1, b'x']);
    let mut bytes = [HTTP2_PREFACE, NO_SETTINGS].concat();
    bytes.extend_from_slice(&[0, 0, u8::try_from(headers.len()).unwrap(), 1, 4, 0, 0, 0, 1]);
    bytes.extend_from_slice(&headers);
    bytes.extend_from_slice(&[0, 0, 5, 0, 0, 0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff]);

    let mut stream = TcpStream::connect(callee.address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = [0; 4096];
    let mut heard = Vec::new();
    let rejected = frames::answer::<()>(Err(Rejection::Malformed("unreadable message")));
    while !heard.windows(rejected.len()).any(|window| window == rejected) {
        let read = timeout(PATIENCE, stream.read(&mut answer)).await.expect("an answer").unwrap();
        assert_ne!(read, 0, "closed without an answer: {heard:02x?}");
        heard.extend_from_slice(&answer[..read]);
    }
    let to = callee.connection(TransportSecurity::Plain);
    assert_eq!(to.beat(caller(), PATIENCE).await, Ok(a_beat()));
}

#[tokio::test]
async fn a_frame_that_says_nothing_is_rejected_and_nothing_is_done() {
    let callee = Callee::start(TransportSecurity::Plain).await;
    let to = callee.connection(TransportSecurity::Plain);
    let garbage = futures::stream::iter([Bytes::from_static(&[0xff; 100])]);
    let mut answers = to.append(garbage).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    let rejected = frames::read_answer::<()>(&answer).unwrap();
    assert!(matches!(rejected, Err(Rejection::Malformed(_))), "{rejected:?}");

    // The same after a caller who was let in: what came before it counts, what comes after it doesn't.
    let frames_sent = [
        frames::call(caller(), ()),
        frames::message(append(0, 10)),
        Bytes::from_static(&[0xff; 100]),
        frames::message(append(1, 10)),
    ];
    let answers: Vec<_> = to.append(futures::stream::iter(frames_sent)).await.unwrap().collect().await;
    assert_eq!(answers.len(), 2, "{answers:?}");
    let rejected = frames::read_answer::<()>(answers[1].as_ref().unwrap()).unwrap();
    assert!(matches!(rejected, Err(Rejection::Malformed(_))), "{rejected:?}");
    assert_eq!(*callee.node.appended.lock().unwrap(), [entry(0, 10)]);
}

#[tokio::test]
async fn a_node_without_a_certificate_of_this_cluster_gets_no_answer() {
    let callee = Callee::start(tls(CALLEE_ID)).await;
    let secret = ClusterSecret::from_text(b"incorrect horse battery staple").unwrap();
    let other = NodeTls::derived(&secret, CALLER_ID, Arc::new(Noon)).unwrap();
    for stranger in [TransportSecurity::Plain, TransportSecurity::Tls(Arc::new(other))] {
        let refused = callee.connection(stranger).beat(caller(), PATIENCE).await;
        assert!(matches!(refused, Err(CallError::Unreachable(_))), "{refused:?}");
    }
}

/// Whoever connects and says nothing holds a place no longer than a handshake may take, and not every place.
#[tokio::test]
async fn silent_connections_are_closed_and_leave_room() {
    let callee = Callee::start(tls(CALLEE_ID)).await;
    let begun = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..HANDSHAKES_PER_ADDRESS_MAX + 10 {
        silent.push(TcpStream::connect(callee.address).await.unwrap());
    }
    for mut stream in silent {
        let mut answer = Vec::new();
        timeout(HANDSHAKE_TIME_MAX + PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().ok();
    }
    assert!(begun.elapsed() < HANDSHAKE_TIME_MAX + PATIENCE);
    assert_eq!(callee.connection(tls(CALLER_ID)).beat(caller(), PATIENCE).await, Ok(a_beat()));
}
