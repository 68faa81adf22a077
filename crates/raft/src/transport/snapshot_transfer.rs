//! Sending a snapshot: its header, then its file in pieces, read by a thread of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use openraft::errors::{RPCError, StreamingError};
use openraft::network::RPCTypes;
use openraft::raft::SnapshotResponse;
use openraft::{ErrorSubject, ErrorVerb, StorageError};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::frames::{self, SnapshotHeader};
use super::limits::{SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNKS_AHEAD};
use super::network::Exchange;
use super::replication::stream_of;
use crate::snapshot::SnapshotFile;
use crate::types::{TypeConfig, Vote};

/// Sends `file` and waits until it is installed. Gives up when nothing was taken, or it wasn't installed, for
/// `stall_max`; however long all of it takes.
pub(super) async fn send(
    exchange: &Exchange,
    vote: Vote,
    file: SnapshotFile,
    stall_max: Duration,
) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
    let bytes = file.bytes().map_err(|error| unreadable(&error))?;
    let header = frames::call(exchange.caller(), SnapshotHeader { vote, bytes });
    let (pieces, reading) = read_ahead(file);
    let progress = Arc::new(Notify::new());
    let body = watched(stream::iter([header]).chain(pieces), Arc::clone(&progress));
    let response = tokio::select! {
        response = exchange.connection().snapshot(body) => response,
        () = stalled(&progress, stall_max) => {
            return Err(exchange.timed_out(RPCTypes::InstallSnapshot, stall_max).into());
        }
    };
    match response {
        Ok(response) => Ok(response),
        Err(error) => {
            // What this node can't read from its own disk is no fault of the peer's.
            if reading.is_finished()
                && let Ok(Err(error)) = reading.await
            {
                return Err(unreadable(&error));
            }
            Err(RPCError::into(exchange.failed(error, RPCTypes::InstallSnapshot, stall_max)))
        }
    }
}

/// The pieces of the file, a few of them read before they are asked for.
fn read_ahead(file: SnapshotFile) -> (impl Stream<Item = Bytes> + Send, JoinHandle<io::Result<()>>) {
    let (read, pieces) = mpsc::channel(SNAPSHOT_CHUNKS_AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        let mut position = 0;
        loop {
            let piece = file.read_at(position, SNAPSHOT_CHUNK_BYTES)?;
            position = position.saturating_add(piece.len() as u64);
            // Nobody waits for it once the call has ended.
            if piece.is_empty() || read.blocking_send(piece).is_err() {
                return Ok(());
            }
        }
    });
    (stream_of(pieces), reading)
}

fn watched(
    pieces: impl Stream<Item = Bytes> + Send,
    progress: Arc<Notify>,
) -> impl Stream<Item = Bytes> + Send {
    pieces.inspect(move |_| progress.notify_one())
}

/// Ends when there was no progress for `stall_max`.
async fn stalled(progress: &Notify, stall_max: Duration) {
    while timeout(stall_max, progress.notified()).await.is_ok() {}
}

fn unreadable(error: &io::Error) -> StreamingError<TypeConfig> {
    let (subject, verb) = (ErrorSubject::Snapshot(None), ErrorVerb::Read);
    StorageError::from_io_error(subject, verb, io::Error::new(error.kind(), error.to_string())).into()
}
