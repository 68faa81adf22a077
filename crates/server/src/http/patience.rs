//! A stream that loses patience with a peer that begins nothing or takes nothing, and that closes in a way
//! that the peer can hear the last word.
//!
//! `hyper` times the reading of HTTP/1 headers and pings HTTP/2 peers, but both begin only once it knows which
//! of the two is spoken, and nothing in it times a peer that never reads its answer. And it closes as soon as
//! it has answered: when the peer is still sending, as the client of a body that is too large is, the kernel
//! meets what comes with a reset, which can take the answer away from under the peer (RFC 9112 §9.6).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use zeroize::Zeroizing;

/// Length of the HTTP/2 connection preface (RFC 9113 §3.4), in bytes. No HTTP/1.1 request is shorter: the
/// shortest, with its obligatory `Host`, has 25.
const OPENING_BYTES: usize = 24;

/// How long a closed stream waits for the peer to go on with what it was sending, and for it to end.
const LINGER_IDLE_MAX: Duration = Duration::from_millis(500);
const LINGER_MAX: Duration = Duration::from_secs(5);
/// How much of it is read at all, in bytes, and at once.
const LINGER_BYTES_MAX: usize = 16 << 20;
const LINGER_CHUNK_BYTES: usize = 16 << 10;

/// Limits both kinds of silence on `inner`; each ends in [`io::ErrorKind::TimedOut`].
pub(super) struct Patience<T> {
    inner: T,
    /// Until the first [`OPENING_BYTES`] have been read.
    opening: Option<Pin<Box<Sleep>>>,
    opening_bytes: usize,
    /// While the peer takes nothing of what is to be written.
    stalled: Option<Pin<Box<Sleep>>>,
    stall_max: Duration,
    /// Once the last word is written.
    lingering: Option<Linger>,
}

impl<T> Patience<T> {
    /// `opening_max` for the first bytes of all, `stall_max` for each write.
    pub(super) fn new(inner: T, opening_max: Duration, stall_max: Duration) -> Patience<T> {
        Patience {
            inner,
            opening: Some(Box::pin(sleep(opening_max))),
            opening_bytes: 0,
            stalled: None,
            stall_max,
            lingering: None,
        }
    }

    /// Passes on what a write came to, or ends it once it has been pending for too long.
    fn limit_stall<R>(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        let stall_max = self.stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_max)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patience<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        let Some(opening) = &mut self.opening else { return read };
        if read.is_pending() {
            ready!(opening.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.opening_bytes += buf.filled().len() - before;
        if self.opening_bytes >= OPENING_BYTES {
            self.opening = None;
        }
        read
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patience<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.limit_stall(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.limit_stall(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.limit_stall(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
            ready!(self.limit_stall(cx, shut))?;
        }
        let Patience { inner, lingering, .. } = &mut *self;
        let lingering = lingering.get_or_insert_with(Linger::new);
        ready!(lingering.poll_end(inner, cx));
        Poll::Ready(Ok(()))
    }
}

/// Reads on for a while and throws away what comes, so that the peer gets to read what it was told last.
struct Linger {
    idle: Pin<Box<Sleep>>,
    total: Pin<Box<Sleep>>,
    bytes_left: usize,
    chunk: Zeroizing<Vec<u8>>,
}

impl Linger {
    fn new() -> Linger {
        Linger {
            idle: Box::pin(sleep(LINGER_IDLE_MAX)),
            total: Box::pin(sleep(LINGER_MAX)),
            bytes_left: LINGER_BYTES_MAX,
            chunk: Zeroizing::new(vec![0; LINGER_CHUNK_BYTES]),
        }
    }

    /// Ready when the peer has closed its side or is waited for no longer.
    fn poll_end<T: AsyncRead + Unpin>(&mut self, inner: &mut T, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut buf = ReadBuf::new(&mut self.chunk);
            let read = Pin::new(&mut *inner).poll_read(cx, &mut buf);
            let bytes = buf.filled().len();
            match read {
                Poll::Pending if self.idle.as_mut().poll(cx).is_ready() => return Poll::Ready(()),
                Poll::Pending => return self.total.as_mut().poll(cx),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) if bytes == 0 || bytes > self.bytes_left => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {
                    self.bytes_left -= bytes;
                    self.idle.as_mut().reset(Instant::now() + LINGER_IDLE_MAX);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;

    use super::*;

    fn patient(pipe_bytes: usize) -> (Patience<DuplexStream>, DuplexStream) {
        let (ours, peers) = duplex(pipe_bytes);
        (Patience::new(ours, Duration::from_secs(10), Duration::from_secs(30)), peers)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_get_going_is_cut() {
        for opening in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n"] {
            let (mut ours, mut peers) = patient(1_024);
            peers.write_all(opening).await.unwrap();
            let start = Instant::now();
            let error = ours.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 10));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_got_going_may_then_be_silent() {
        let (mut ours, mut peers) = patient(1_024);
        peers.write_all(&[b'x'; OPENING_BYTES]).await.unwrap();
        let mut read = Vec::new();
        let mut reading = Box::pin(ours.read_to_end(&mut read));
        assert!(tokio::time::timeout(Duration::from_secs(3_600), &mut reading).await.is_err());
    }

    /// The answer to a body of 8 MiB was lost to a reset, because the connection was closed under its sender.
    #[tokio::test(start_paused = true)]
    async fn who_is_still_sending_when_the_stream_closes_is_heard_out_within_bounds() {
        // How far apart chunks of 1 KiB come, how many, and after how many
        // milliseconds the stream is closed.
        for (pause_ms, chunks, closed_after_ms) in
            [(0, 0, 0), (0, 1_000, 0), (400, 5, 2_000), (400, 60, 5_000), (600, 60, 500), (0, 20_000, 0)]
        {
            let (mut ours, mut peers) = patient(1_024);
            let sending = tokio::spawn(async move {
                for _ in 0..chunks {
                    sleep(Duration::from_millis(pause_ms)).await;
                    if peers.write_all(&[b'x'; 1_024]).await.is_err() {
                        return;
                    }
                }
            });
            let start = Instant::now();
            ours.shutdown().await.unwrap();
            assert_eq!(start.elapsed().as_millis(), closed_after_ms, "{chunks} each {pause_ms} ms");
            drop(ours);
            sending.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_cut_and_a_slow_one_is_not() {
        let (mut ours, mut peers) = patient(16);
        let slow = tokio::spawn(async move {
            for _ in 0..4 {
                sleep(Duration::from_secs(29)).await;
                peers.read_exact(&mut [0; 16]).await.unwrap();
            }
            peers
        });
        ours.write_all(&[b'x'; 80]).await.unwrap();
        let _peers = slow.await.unwrap();
        let start = Instant::now();
        let error = ours.write_all(b"y").await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
    }
}
