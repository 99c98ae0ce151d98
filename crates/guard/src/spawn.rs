//! Finding the guard, or starting one that outlives the daemon.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::client::{GuardClient, GuardEvent};
use crate::error::GuardError;

/// Between two tries to connect to a guard that starts.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A started guard that has not answered by then may have met one that was just ending.
const START_AGAIN: Duration = Duration::from_millis(500);
/// The guard's output, beside its socket.
const LOG: &str = "guard.log";

impl GuardClient {
    /// Connects to the guard at `socket`; when there is none, starts `program args…` as one that
    /// outlives the daemon: a session of its own, nobody's child, its output at the end of
    /// `guard.log` beside the socket. The guard has answered when this returns.
    ///
    /// # Errors
    /// [`GuardError::Spawn`] and [`GuardError::NotUp`] when it cannot be started or does not answer
    /// `within`; [`GuardError::Silent`] when one is there and hangs.
    pub async fn connect_or_spawn(
        program: &Path,
        args: &[OsString],
        socket: &Path,
        within: Duration,
    ) -> Result<(Self, mpsc::Receiver<GuardEvent>), GuardError> {
        let log = socket.with_file_name(LOG);
        let deadline = Instant::now() + within;
        let mut started: Option<Instant> = None;
        loop {
            let error = match Self::greet(socket).await {
                Ok(connected) => return Ok(connected),
                // It lives, so another one could not take its place.
                Err(error @ GuardError::Silent { .. }) => return Err(error),
                Err(error) => error,
            };
            let now = Instant::now();
            if now >= deadline {
                return Err(GuardError::NotUp { log, source: Box::new(error) });
            }
            if started.is_none_or(|started| now - started >= START_AGAIN) {
                spawn(program, args, &log, deadline - now).await?;
                started = Some(Instant::now());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn greet(socket: &Path) -> Result<(Self, mpsc::Receiver<GuardEvent>), GuardError> {
        let (client, events) = Self::connect(socket).await?;
        client.hello().await?;
        Ok((client, events))
    }
}

async fn spawn(
    program: &Path,
    args: &[OsString],
    log: &Path,
    within: Duration,
) -> Result<(), GuardError> {
    let failed = |program: &Path| {
        let program: PathBuf = program.to_owned();
        move |source| GuardError::Spawn { program, source }
    };
    if program.components().count() > 1 {
        // setsid would only say so in the log.
        program.metadata().map_err(failed(program))?;
    }
    let open = || {
        let file = File::options().append(true).create(true).open(log)?;
        Ok::<_, io::Error>((file.try_clone()?, file))
    };
    let (out, err) = open().map_err(failed(log))?;
    let mut command = Command::new("setsid");
    command.arg("--fork").arg(program).args(args);
    command.stdin(Stdio::null()).stdout(out).stderr(err).kill_on_drop(true);
    // Only setsid is waited for: the guard is not its child's child any more but init's.
    let status = tokio::time::timeout(within, command.status())
        .await
        .map_err(|_| io::ErrorKind::TimedOut.into())
        .and_then(|status| status)
        .map_err(failed(Path::new("setsid")))?;
    if !status.success() {
        let source = io::Error::other(format!("setsid: {status}; see {}", log.display()));
        return Err(failed(program)(source));
    }
    Ok(())
}
