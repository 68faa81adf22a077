//! A stream that loses patience with a peer that begins nothing or takes nothing.
//!
//! `hyper` times the reading of HTTP/1 headers and pings HTTP/2 peers, but both begin only once it knows which
//! of the two is spoken, and nothing in it times a peer that never reads its answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Length of the HTTP/2 connection preface (RFC 9113 §3.4), in bytes. No HTTP/1.1 request is shorter: the
/// shortest, with its obligatory `Host`, has 25.
const OPENING_BYTES: usize = 24;

/// Limits both kinds of silence on `inner`; each ends in [`io::ErrorKind::TimedOut`].
pub(super) struct Patience<T> {
    inner: T,
    /// Until the first [`OPENING_BYTES`] have been read.
    opening: Option<Pin<Box<Sleep>>>,
    opening_bytes: usize,
    /// While the peer takes nothing of what is to be written.
    stalled: Option<Pin<Box<Sleep>>>,
    stall_max: Duration,
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

impl<T: AsyncWrite + Unpin> AsyncWrite for Patience<T> {
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
        let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.limit_stall(cx, shut)
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
