//! Reading a request's body within bounds of size and time.

use std::pin::pin;
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::timeout;
use zeroize::{Zeroize, Zeroizing};

/// Largest request body, in bytes.
pub const REQUEST_BODY_BYTES_MAX: usize = 1 << 20;

/// Memory set aside for a body before any of it has come, in bytes, whatever size it claims to have.
const RESERVED_BYTES_MAX: usize = 64 * 1024;

/// How much of a body is read, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    pub bytes_max: usize,
    /// Without a single byte.
    pub idle_max: Duration,
    /// From the first look to the last byte.
    pub total_max: Duration,
}

impl Default for BodyLimits {
    fn default() -> BodyLimits {
        BodyLimits {
            bytes_max: REQUEST_BODY_BYTES_MAX,
            idle_max: Duration::from_secs(10),
            total_max: Duration::from_secs(30),
        }
    }
}

/// Why there is no body. Nothing of what was read is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the body came too slowly")]
    TooSlow,
    #[error("the body broke off")]
    Broken,
}

/// The whole body, zeroized on drop. What passed through on the way is zeroized too as far as it was ours
/// alone; the connection's own buffer isn't.
///
/// # Errors
/// [`BodyError::TooLarge`] before anything is read when the request says so itself, and as soon as a byte is
/// too many when it doesn't.
pub async fn read_body<B>(body: B, limits: BodyLimits) -> Result<Zeroizing<Vec<u8>>, BodyError>
where
    B: HttpBody<Data = Bytes>,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limits.bytes_max {
        return Err(BodyError::TooLarge { bytes_max: limits.bytes_max });
    }
    let whole = Zeroizing::new(Vec::with_capacity(announced.min(RESERVED_BYTES_MAX)));
    timeout(limits.total_max, collect(body, whole, limits)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect<B>(
    body: B,
    mut whole: Zeroizing<Vec<u8>>,
    limits: BodyLimits,
) -> Result<Zeroizing<Vec<u8>>, BodyError>
where
    B: HttpBody<Data = Bytes>,
{
    let mut body = pin!(body);
    loop {
        let next = timeout(limits.idle_max, body.frame()).await.map_err(|_| BodyError::TooSlow)?;
        let Some(frame) = next else { return Ok(whole) };
        // Trailers say nothing that the vault listens to.
        let Ok(chunk) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        let fits = whole.len() + chunk.len() <= limits.bytes_max;
        if fits {
            append(&mut whole, &chunk);
        }
        wipe(chunk);
        if !fits {
            return Err(BodyError::TooLarge { bytes_max: limits.bytes_max });
        }
    }
}

/// Appends by moving into a larger buffer where needed, so that the smaller one is zeroized: a growing `Vec`
/// would free it as it is.
fn append(whole: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = whole.len() + chunk.len();
    if needed > whole.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(whole.capacity() * 2)));
        larger.extend_from_slice(whole);
        *whole = larger;
    }
    whole.extend_from_slice(chunk);
}

fn wipe(chunk: Bytes) {
    if let Ok(mut ours) = chunk.try_into_mut() {
        ours.as_mut().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use futures::stream;

    use super::*;

    const LIMITS: BodyLimits =
        BodyLimits { bytes_max: 10, idle_max: Duration::from_secs(10), total_max: Duration::from_secs(30) };

    fn chunked(chunks: &[&'static str]) -> Body {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok::<_, Infallible>(Bytes::from(*chunk))).collect();
        Body::from_stream(stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_at_the_limit_is_read_whole() {
        for body in [Body::from("0123456789"), chunked(&["01234", "", "56789"])] {
            assert_eq!(read_body(body, LIMITS).await.unwrap().as_slice(), b"0123456789");
        }
        assert!(read_body(Body::empty(), LIMITS).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn one_byte_more_is_too_large_announced_or_not() {
        for body in [Body::from("0123456789x"), chunked(&["01234", "56789", "x"])] {
            assert_eq!(read_body(body, LIMITS).await.unwrap_err(), BodyError::TooLarge { bytes_max: 10 });
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error() {
        let chunks = [Ok(Bytes::from("0123")), Err("reset")];
        let body = Body::from_stream(stream::iter(chunks));
        assert_eq!(read_body(body, LIMITS).await.unwrap_err(), BodyError::Broken);
    }

    /// A body of one-byte chunks, this long apart, without an end.
    fn drip(pause: Duration) -> Body {
        Body::from_stream(stream::unfold((), move |()| async move {
            tokio::time::sleep(pause).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), ()))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_dripping_are_cut_each_in_its_time() {
        for (pause_secs, cut_after_secs) in [(11, 10), (4, 30)] {
            let start = tokio::time::Instant::now();
            let read = read_body(drip(Duration::from_secs(pause_secs)), LIMITS).await;
            assert_eq!(read.unwrap_err(), BodyError::TooSlow);
            assert_eq!(start.elapsed().as_secs(), cut_after_secs);
        }
    }
}
