//! The bytes of what nodes say to each other.
//!
//! A frame is one byte of format and one CBOR value with explicit field indices; it is carried as a gRPC message,
//! which says its length. Adding an optional field keeps the format; anything else is a new format number, or a
//! new call. `tests/vectors/wire_*.hex` holds the bytes of each.
//!
//! ```text
//! one answer    call: {0: caller, 1: body}            answer: [0, [body]] or [1, [rejection]]
//! append        call: {0: caller}, append ...         answer, for each append
//! snapshot      call: {0: caller, 1: vote and length}, that many bytes of the file in pieces      answer
//! ```

mod append;
mod beat;
mod leadership;
mod own;
mod snapshot;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod golden_tests;

use bytes::Bytes;
use minicbor::{Decode, Decoder, Encode};

pub(super) use snapshot::SnapshotHeader;

use super::message::{Caller, Rejection};

/// Frame format 1: CBOR by `minicbor`.
const FRAME_FORMAT: u8 = 1;

/// What a node says, as a record with a stable encoding.
pub(super) trait Wire: Sized {
    type Record: Encode<()> + for<'b> Decode<'b, ()>;

    fn into_record(self) -> Self::Record;
    fn from_record(record: Self::Record) -> Result<Self, &'static str>;
}

/// A frame that says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(pub(super) &'static str);

#[derive(Encode, Decode)]
struct CallRecord<T> {
    #[n(0)]
    caller: Caller,
    #[n(1)]
    body: T,
}

#[derive(Encode, Decode)]
enum AnswerRecord<T> {
    #[n(0)]
    Answered(#[n(0)] T),
    #[n(1)]
    Rejected(#[n(0)] Rejection),
}

/// The first frame of a call; the only one of most.
pub(super) fn call<T: Wire>(caller: Caller, body: T) -> Bytes {
    encode(&CallRecord { caller, body: body.into_record() })
}

pub(super) fn read_call<T: Wire>(frame: &[u8]) -> Result<(Caller, T), Unreadable> {
    let record: CallRecord<T::Record> = decode(frame)?;
    Ok((record.caller, T::from_record(record.body).map_err(Unreadable)?))
}

pub(super) fn answer<T: Wire>(answer: Result<T, Rejection>) -> Bytes {
    encode(&match answer {
        Ok(body) => AnswerRecord::Answered(body.into_record()),
        Err(rejection) => AnswerRecord::Rejected(rejection),
    })
}

pub(super) fn read_answer<T: Wire>(frame: &[u8]) -> Result<Result<T, Rejection>, Unreadable> {
    Ok(match decode::<AnswerRecord<T::Record>>(frame)? {
        AnswerRecord::Answered(body) => Ok(T::from_record(body).map_err(Unreadable)?),
        AnswerRecord::Rejected(rejection) => Err(rejection),
    })
}

/// A frame that follows the first.
pub(super) fn message<T: Wire>(message: T) -> Bytes {
    encode(&message.into_record())
}

pub(super) fn read_message<T: Wire>(frame: &[u8]) -> Result<T, Unreadable> {
    T::from_record(decode(frame)?).map_err(Unreadable)
}

fn encode<T: Encode<()>>(record: &T) -> Bytes {
    let mut frame = vec![FRAME_FORMAT];
    // Writing into a vector can't fail; a failure would leave a frame that nobody can read.
    let _infallible = minicbor::encode(record, &mut frame);
    Bytes::from(frame)
}

fn decode<'b, T: Decode<'b, ()>>(frame: &'b [u8]) -> Result<T, Unreadable> {
    match frame.split_first() {
        Some((&FRAME_FORMAT, cbor)) => {
            let mut decoder = Decoder::new(cbor);
            let record = decoder.decode().map_err(|_| Unreadable("unreadable frame"))?;
            if decoder.position() == cbor.len() { Ok(record) } else { Err(Unreadable("bytes after a frame")) }
        }
        Some(_) => Err(Unreadable("unknown frame format")),
        None => Err(Unreadable("empty frame")),
    }
}
