//! How a daemon talks to its guard.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ccm_types::{BootClock, Monotonic};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::wire::{Envelope, LINE_MAX, Line, Request};
use crate::{Armed, GuardError, Hello};

/// How long connecting, and an answer that needs no waiting, may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long the guard may need beyond the grace until nothing of a stopped backend is left.
const GONE_AFTER_KILL: Duration = Duration::from_secs(10);
/// How much later than `gone_by` it is worth to wait for the word that a backend is gone.
const LATE_WORD: Duration = Duration::from_secs(1);
/// Questions under way at once; a daemon has a handful.
const QUESTIONS_MAX: usize = 64;
/// Events that may wait for the daemon.
const EVENTS_WAITING: usize = 16;

/// What a guard says unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardEvent {
    /// The backend has ended without a daemon asking for it, and nothing of it is left.
    BackendExited {
        /// Exit status or signal, or the lease that ran out, in words.
        why: String,
    },
    /// The connection has ended: a process backend has most likely ended with the guard. The last
    /// event.
    GuardLost,
}

/// A connection to a guard; clones share it. It ends with the last clone.
///
/// Questions do not wait for each other's answers: a renewal goes through while a stop waits for
/// the end of the backend.
#[derive(Debug, Clone)]
pub struct GuardClient {
    questions: mpsc::Sender<Question>,
    _ends: Arc<DropGuard>,
}

#[derive(Debug)]
struct Question {
    request: Request,
    answer: oneshot::Sender<Line>,
}

impl GuardClient {
    /// Connects to the guard at `socket`. Its events go to every connection.
    ///
    /// # Errors
    /// [`GuardError::Unreachable`], or [`GuardError::Silent`] when nobody accepts within 2 s.
    pub async fn connect(socket: &Path) -> Result<(Self, mpsc::Receiver<GuardEvent>), GuardError> {
        let silent = |_| GuardError::Silent { what: "the connection", within: ANSWER_WITHIN };
        let connecting = tokio::time::timeout(ANSWER_WITHIN, UnixStream::connect(socket));
        let stream = connecting
            .await
            .map_err(silent)?
            .map_err(|source| GuardError::Unreachable { socket: socket.to_owned(), source })?;
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let (tell, events) = mpsc::channel(EVENTS_WAITING);
        let ends = CancellationToken::new();
        let until = ends.clone();
        TaskTracker::new().spawn(async move {
            if let Some(Err(error)) =
                until.run_until_cancelled(talk(stream, asked, tell.clone())).await
            {
                tracing::debug!("the connection to the guard has ended: {error}");
                // Not taken means that nobody listens any more.
                tell.try_send(GuardEvent::GuardLost).ok();
            }
        });
        Ok((Self { questions, _ends: Arc::new(ends.drop_guard()) }, events))
    }

    /// What the guard knows. Answered within 2 s, like everything that names no other time.
    ///
    /// # Errors
    /// [`GuardError`]; transient when there is no answer.
    pub async fn hello(&self) -> Result<Hello, GuardError> {
        let what = "hello";
        self.ask(what, Request::Hello, ANSWER_WITHIN).await?.hello.ok_or(GuardError::Lost { what })
    }

    /// Sets or moves the deadline.
    ///
    /// # Errors
    /// Refused for an epoch below the armed one, for an earlier deadline of the same epoch, when
    /// the new deadline or that of the same epoch has passed. Without an answer the deadline
    /// may have moved or not: count with the earlier one.
    pub async fn arm(&self, armed: Armed) -> Result<(), GuardError> {
        self.ask("to arm", Request::Arm { armed }, ANSWER_WITHIN).await.map(drop)
    }

    /// There is nothing to guard any more.
    ///
    /// # Errors
    /// Refused while the guard's backend runs.
    pub async fn disarm(&self) -> Result<(), GuardError> {
        self.ask("to disarm", Request::Disarm, ANSWER_WITHIN).await.map(drop)
    }

    /// Starts the backend and returns its process id. It runs, which does not mean that it serves.
    ///
    /// # Errors
    /// Refused when it runs already or is still being ended, when no deadline covers it, and when
    /// it cannot be started.
    pub async fn start(&self, argv: &[String]) -> Result<u32, GuardError> {
        let what = "to start the backend";
        let request = Request::Start { argv: argv.to_owned() };
        self.ask(what, request, ANSWER_WITHIN).await?.pid.ok_or(GuardError::Lost { what })
    }

    /// Ends the backend: SIGTERM, SIGKILL after `grace`; returns when nothing of it is left, at
    /// once when nothing runs. Also hurries an end that has begun with a longer grace.
    ///
    /// # Errors
    /// [`GuardError::Silent`] when something is left 10 s after the grace; the guard goes on.
    pub async fn stop(&self, grace: Duration) -> Result<(), GuardError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let within = grace.saturating_add(GONE_AFTER_KILL);
        self.ask("to stop the backend", Request::Stop { grace_ms }, within).await.map(drop)
    }

    /// Ends the backend before `gone_by`: SIGTERM now, SIGKILL after half of the time; returns
    /// when nothing of it is left.
    ///
    /// # Errors
    /// [`GuardError::Silent`] when something is left 1 s after `gone_by`; the guard goes on.
    pub async fn kill(&self, gone_by: Monotonic) -> Result<(), GuardError> {
        let within = gone_by.since(BootClock.now()) + LATE_WORD;
        self.ask("to kill the backend", Request::Kill { gone_by }, within).await.map(drop)
    }

    /// Ends the guard.
    ///
    /// # Errors
    /// Refused while there is a backend, or a virtual IP is being taken off.
    pub async fn quit(&self) -> Result<(), GuardError> {
        self.ask("to quit", Request::Quit, ANSWER_WITHIN).await.map(drop)
    }

    async fn ask(
        &self,
        what: &'static str,
        request: Request,
        within: Duration,
    ) -> Result<Line, GuardError> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.questions.send(Question { request, answer }).await.ok()?;
            answered.await.ok()
        };
        // Far enough for every wait, near enough for the clock to count.
        let far = Duration::from_secs(24 * 3600);
        match timeout_at(Instant::now() + within.min(far), asking).await {
            Err(_) => Err(GuardError::Silent { what, within }),
            Ok(None) => Err(GuardError::Lost { what }),
            Ok(Some(Line { refused: Some(refusal), .. })) => {
                Err(GuardError::Refused { what, code: refusal.code, words: refusal.words })
            }
            Ok(Some(line)) => Ok(line),
        }
    }
}

/// Carries questions, answers and events until the connection ends.
async fn talk(
    stream: UnixStream,
    mut asked: mpsc::Receiver<Question>,
    events: mpsc::Sender<GuardEvent>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader).take(LINE_MAX);
    let mut pending: BTreeMap<u64, oneshot::Sender<Line>> = BTreeMap::new();
    let mut asked_before = 0;
    let mut line = Vec::new();
    loop {
        tokio::select! {
            question = asked.recv() => {
                let Some(Question { request, answer }) = question else { return Ok(()) };
                // Those whose time is up are not waited for any more.
                pending.retain(|_, answer| !answer.is_closed());
                asked_before += 1;
                pending.insert(asked_before, answer);
                let envelope = Envelope { id: asked_before, request };
                let mut text = serde_json::to_vec(&envelope)?;
                text.push(b'\n');
                writer.write_all(&text).await?;
            }
            // A read that is interrupted goes on with the same buffer.
            read = reader.read_until(b'\n', &mut line) => {
                read?;
                if line.last() != Some(&b'\n') {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                take(&line, &mut pending, &events)?;
                line.clear();
                reader.set_limit(LINE_MAX);
            }
        }
    }
}

fn take(
    line: &[u8],
    pending: &mut BTreeMap<u64, oneshot::Sender<Line>>,
    events: &mpsc::Sender<GuardEvent>,
) -> io::Result<()> {
    let line: Line = serde_json::from_slice(line)?;
    if let Some(id) = line.id {
        if let Some(answer) = pending.remove(&id) {
            // Not taken means that its time was up.
            answer.send(line).ok();
        }
    } else if let Some(why) = line.exited
        && events.try_send(GuardEvent::BackendExited { why }).is_err()
    {
        tracing::debug!("nobody takes the guard's events");
    }
    Ok(())
}
