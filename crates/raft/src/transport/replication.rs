//! Appends to one follower, several under way at once over one call.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use openraft::errors::{RPCError, Unreachable};
use openraft::network::RPCTypes;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{Answers, CallError};
use super::frames;
use super::limits::APPENDS_UNDER_WAY_MAX;
use super::network::Exchange;
use crate::types::TypeConfig;

type Append = AppendEntriesRequest<TypeConfig>;
type Appended = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// A call that appends, accepted by the follower.
pub(super) struct Replication {
    exchange: Exchange,
    /// To the body of the call; closed when there is nothing more to append.
    to_send: Option<mpsc::Sender<Bytes>>,
    answers: Answers,
    /// Appends without an answer.
    under_way: usize,
    /// For the next answer, while there is something under way.
    deadline: Instant,
    stall_max: Duration,
}

impl Replication {
    /// Calls the follower, with the first append already on its way.
    pub(super) async fn begin(
        exchange: Exchange,
        first: Append,
        stall_max: Duration,
    ) -> Result<Replication, RPCError<TypeConfig>> {
        // The caller, and as many appends as may be under way: there is always room.
        let (to_send, sent) = mpsc::channel(APPENDS_UNDER_WAY_MAX.saturating_add(1));
        let _has_room = to_send.try_send(frames::call(exchange.caller(), ()));
        let _has_room = to_send.try_send(frames::message(first));
        let called = timeout(stall_max, exchange.connection().append(stream_of(sent)));
        let answers = called.await.unwrap_or(Err(CallError::TimedOut));
        let answers = answers.map_err(|error| exchange.failed(error, RPCTypes::AppendEntries, stall_max))?;
        let deadline = Instant::now() + stall_max;
        Ok(Replication { exchange, to_send: Some(to_send), answers, under_way: 1, deadline, stall_max })
    }

    /// Sends what comes and hands on the answers. Ends with the appends, or with the first that wasn't taken.
    /// Dropping it drops `appends` at once, which consensus relies on: it locks what they are made of.
    pub(super) fn go_on<S>(self, appends: S) -> impl Stream<Item = Appended> + Send
    where
        S: Stream<Item = Append> + Send + Unpin + 'static,
    {
        stream::unfold(Some((self, appends.fuse())), |state| async move {
            let (mut replication, mut appends) = state?;
            let appended = replication.next(&mut appends).await?;
            let goes_on = matches!(appended, Ok(Ok(_)));
            Some((appended, goes_on.then_some((replication, appends))))
        })
    }

    async fn next<S>(&mut self, appends: &mut S) -> Option<Appended>
    where
        S: Stream<Item = Append> + Unpin,
    {
        loop {
            let may_send = self.to_send.is_some() && self.under_way < APPENDS_UNDER_WAY_MAX;
            tokio::select! {
                biased;
                answer = self.answers.next() => return self.judge(answer),
                append = appends.next(), if may_send => self.send(append),
                () = sleep_until(self.deadline), if self.under_way > 0 => {
                    return Some(Err(self.exchange.timed_out(RPCTypes::AppendEntries, self.stall_max)));
                }
            }
        }
    }

    fn send(&mut self, append: Option<Append>) {
        let (Some(append), Some(to_send)) = (append, &self.to_send) else {
            self.to_send = None;
            return;
        };
        // It fails only where the call has ended, which the answers tell.
        let _ended = to_send.try_send(frames::message(append));
        if self.under_way == 0 {
            self.deadline = Instant::now() + self.stall_max;
        }
        self.under_way = self.under_way.saturating_add(1);
    }

    fn judge(&mut self, answer: Option<Result<Bytes, tonic::Status>>) -> Option<Appended> {
        let result = match answer {
            None if self.under_way == 0 && self.to_send.is_none() => return None,
            None => return Some(Err(Unreachable::from_string("the peer ended the stream").into())),
            Some(Err(status)) => Err(status.into()),
            Some(Ok(frame)) => match frames::read_answer::<StreamAppendResult<TypeConfig>>(&frame) {
                Ok(answer) => answer.map_err(CallError::Rejected),
                Err(unreadable) => Err(unreadable.into()),
            },
        };
        self.under_way = self.under_way.saturating_sub(1);
        self.deadline = Instant::now() + self.stall_max;
        if let Ok(Ok(matching)) = &result {
            self.exchange.acknowledged(*matching);
        }
        Some(result.map_err(|error| self.exchange.failed(error, RPCTypes::AppendEntries, self.stall_max)))
    }
}

pub(super) fn stream_of<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> + Send {
    stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}
