//! One daemon's connection, as the guard sees it.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::wire::{LINE_MAX, Line};

/// Lines that may wait for a daemon that does not read; then it is cut off.
const LINES_WAITING: usize = 64;
/// How long the last lines may take when the guard ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What comes from a connection: its number with a line, or with `None` when it has ended.
pub(crate) type Heard = (u64, Option<String>);

/// The writing end.
#[derive(Debug)]
pub(crate) struct Connection {
    lines: mpsc::Sender<String>,
    ended: CancellationToken,
}

impl Connection {
    /// Serves the stream with two tasks; what it says goes to `heard`.
    pub(crate) fn open(
        number: u64,
        stream: UnixStream,
        heard: mpsc::Sender<Heard>,
        tasks: &TaskTracker,
    ) -> Self {
        let (reader, writer) = stream.into_split();
        let (lines, waiting) = mpsc::channel(LINES_WAITING);
        let ended = CancellationToken::new();
        let stop = ended.clone();
        tasks.spawn(async move {
            let reading = read(number, reader, &heard);
            stop.run_until_cancelled(reading).await;
            // Fails only when the guard itself ends.
            heard.send((number, None)).await.ok();
        });
        let stop = ended.clone();
        tasks.spawn(async move {
            if let Err(error) = write(writer, waiting).await {
                tracing::debug!("a daemon has gone away: {error}");
            }
            stop.cancel();
        });
        Self { lines, ended }
    }

    /// Says a line. A daemon that does not read is cut off: it must not hold up the guard.
    pub(crate) fn say(&self, line: &Line) {
        let text = match serde_json::to_string(line) {
            Ok(text) => text,
            Err(error) => return tracing::error!("could not write {line:?} as JSON: {error}"),
        };
        if self.lines.try_send(text).is_err() {
            tracing::debug!("a daemon does not read its answers: it is cut off");
            self.ended.cancel();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The writer ends by itself when it has said what waits.
        self.ended.cancel();
    }
}

async fn read(number: u64, reader: OwnedReadHalf, heard: &mpsc::Sender<Heard>) {
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line).await {
            Ok(_) if line.last() == Some(&b'\n') => {}
            // The end, in the middle of a line too, or a line without an end.
            Ok(_) | Err(_) => return,
        }
        let Ok(text) = String::from_utf8(line) else { return };
        if heard.send((number, Some(text))).await.is_err() {
            return;
        }
    }
}

async fn write(
    mut writer: OwnedWriteHalf,
    mut lines: mpsc::Receiver<String>,
) -> std::io::Result<()> {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        writer.write_all(line.as_bytes()).await?;
    }
    Ok(())
}

/// Waits until everything that was said has been written, for a short time.
pub(crate) async fn drain(tasks: &TaskTracker) {
    tasks.close();
    if tokio::time::timeout(LAST_WORDS, tasks.wait()).await.is_err() {
        tracing::debug!("a daemon does not read the guard's last answers");
    }
}
