//! A place in the stream that moves on with what is read, through every reconnect.
//!
//! The server pushes through an ordered consumer. What it has not pushed is found by a look at
//! the newest event now and then, and the consumer is made anew.

use std::fmt;
use std::time::Duration;

use async_nats::datetime;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig, OrderedError};
use async_nats::jetstream::{self, Message};
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::stream::Stream;
use crate::{Event, Filter, HistoryError, Seen};

/// Between two looks at the newest event.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Between two looks while there is no stream.
const LOOK_FOR_STREAM_EVERY: Duration = Duration::from_secs(1);

/// After a consumer that has ended with an error.
const PAUSE: Duration = Duration::from_millis(500);

/// How long the server may take to begin.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// The clocks of the nodes and of the server may differ by so much: what happened after a moment
/// was not published earlier than this before it.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(15 * 60);

/// What one step has brought.
#[derive(Debug)]
pub(crate) enum Step {
    /// An event that is meant.
    Event(Seen),
    /// Something else; the next step may bring an event.
    Other,
    /// There is nothing more at present.
    Quiet,
}

/// A place in the stream.
pub(crate) struct Cursor {
    stream: Stream,
    filter: Filter,
    subject: String,
    /// The sequence up to which everything was read.
    reached: u64,
    messages: Option<Ordered>,
    look_at: Instant,
    ignored: u64,
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, subject, reached, ignored, .. } = self;
        let mut shown = f.debug_struct("Cursor");
        shown.field("stream", stream).field("subject", subject);
        shown.field("reached", reached).field("ignored", ignored).finish_non_exhaustive()
    }
}

impl Cursor {
    /// Before the first event.
    pub(crate) fn new(stream: Stream, filter: Filter) -> Self {
        let subject = filter.subject(stream.subject());
        let look_at = Instant::now() + LOOK_EVERY;
        Self { stream, filter, subject, reached: 0, messages: None, look_at, ignored: 0 }
    }

    /// Goes on behind this sequence.
    pub(crate) fn skip_to(&mut self, sequence: u64) {
        self.reached = sequence;
        self.messages = None;
    }

    pub(crate) fn reached(&self) -> u64 {
        self.reached
    }

    /// What was found that is no event.
    pub(crate) fn ignored(&self) -> u64 {
        self.ignored
    }

    /// The sequence of the newest event that may be meant; 0 when there is none.
    pub(crate) async fn end(&mut self) -> Result<u64, HistoryError> {
        match self.stream.last(&self.subject).await {
            Ok(last) => Ok(last.unwrap_or(0)),
            Err(error) if error.is_no_stream() => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Waits for the next thing. Cancel safe.
    pub(crate) async fn step(&mut self) -> Result<Step, HistoryError> {
        if self.messages.is_none() {
            let config = OrderedConfig {
                filter_subject: self.subject.clone(),
                deliver_policy: self.policy(),
                ..OrderedConfig::default()
            };
            match open(&self.stream, config).await {
                Ok((messages, before)) => {
                    self.messages = Some(messages);
                    self.reached = self.reached.max(before);
                }
                Err(error) if error.is_no_stream() => {
                    self.reached = 0;
                    sleep(LOOK_FOR_STREAM_EVERY).await;
                    return Ok(Step::Quiet);
                }
                Err(error) => return Err(error),
            }
        }
        tokio::select! {
            biased;
            message = pushed(&mut self.messages) => match message {
                Some(Ok(message)) => Ok(self.take(&message)),
                Some(Err(error)) => {
                    tracing::debug!(%error, "the history is read anew from where it was");
                    self.messages = None;
                    sleep(PAUSE).await;
                    Ok(Step::Other)
                }
                None => {
                    self.messages = None;
                    sleep(PAUSE).await;
                    Ok(Step::Other)
                }
            },
            () = sleep_until(self.look_at) => self.look().await,
        }
    }

    fn take(&mut self, message: &Message) -> Step {
        self.look_at = Instant::now() + LOOK_EVERY;
        let Ok(info) = message.info() else { return Step::Other };
        let sequence = info.stream_sequence;
        // A consumer that the library has made anew may begin too early.
        if sequence <= self.reached {
            return Step::Other;
        }
        self.reached = sequence;
        let event = match Event::read(&message.subject, &message.payload) {
            Ok(event) => event,
            Err(error) => {
                tracing::debug!(subject = %message.subject, sequence, %error, "ignored");
                self.ignored += 1;
                return Step::Other;
            }
        };
        if !self.filter.meets(&event) {
            return Step::Other;
        }
        let headers = message.headers.as_ref();
        let id = headers.and_then(|headers| headers.get("Nats-Msg-Id"));
        let id = id.map_or_else(|| format!("sequence {sequence}"), ToString::to_string);
        Step::Event(Seen { id, event })
    }

    /// Finds what was not pushed, and a stream that has taken the place of another.
    async fn look(&mut self) -> Result<Step, HistoryError> {
        self.look_at = Instant::now() + LOOK_EVERY;
        let last = match self.stream.last(&self.subject).await {
            Ok(last) => last.unwrap_or(0),
            Err(error) if error.is_no_stream() => {
                self.skip_to(0);
                return Ok(Step::Quiet);
            }
            Err(error) => return Err(error),
        };
        if last > self.reached {
            self.messages = None;
            return Ok(Step::Other);
        }
        if last < self.reached && self.stream.last_sequence().await? < self.reached {
            self.skip_to(0);
            return Ok(Step::Other);
        }
        Ok(Step::Quiet)
    }

    fn policy(&self) -> DeliverPolicy {
        if self.reached > 0 {
            return DeliverPolicy::ByStartSequence { start_sequence: self.reached + 1 };
        }
        let since = self.filter.since.and_then(|since| since.checked_sub(CLOCKS_DIFFER_MAX).ok());
        let start = since.and_then(|since| datetime::from_nanos(since.as_nanosecond()).ok());
        match start {
            Some(start_time) => DeliverPolicy::ByStartTime { start_time },
            None => DeliverPolicy::All,
        }
    }
}

/// A consumer of the stream, and the sequence that it begins behind.
async fn open(stream: &Stream, config: OrderedConfig) -> Result<(Ordered, u64), HistoryError> {
    let mut jetstream = jetstream::new(stream.client().clone());
    jetstream.set_timeout(OPEN_WITHIN);
    let opening = async {
        let consumer = jetstream.create_consumer_on_stream(config, stream.name()).await;
        let consumer = consumer.map_err(|error| stream.no_consumer(error))?;
        let before = consumer.cached_info().delivered.stream_sequence;
        let messages = consumer.messages().await;
        Ok((messages.map_err(|error| stream.unavailable(error.into()))?, before))
    };
    let opened = timeout(OPEN_WITHIN, opening).await;
    opened.unwrap_or_else(|elapsed| Err(stream.unavailable(elapsed.into())))
}

/// The next message; `None` when they have ended. Never, when there are none.
async fn pushed(messages: &mut Option<Ordered>) -> Option<Result<Message, OrderedError>> {
    match messages {
        Some(messages) => messages.next().await,
        None => std::future::pending().await,
    }
}
