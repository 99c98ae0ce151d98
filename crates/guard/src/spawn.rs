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
/// How long systemd may take to start it.
const UNIT_WITHIN: Duration = Duration::from_secs(3);
/// The guard's output, beside its socket.
const LOG: &str = "guard.log";

/// What a service manager tells its service through the environment (systemd.exec(5)): meant for
/// the daemon, and wrong in everything that it starts.
pub(crate) const MANAGER_VARIABLES: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// The program that is the guard, and where it runs.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where it runs.
    pub home: GuardHome,
}

/// Where a guard runs that outlives its daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum GuardHome {
    /// In a session of its own, nobody's child, but in the cgroup of the daemon; its output at the
    /// end of `guard.log` beside the socket.
    #[default]
    Detached,
    /// As this systemd unit, whose file names program and arguments.
    Unit(String),
    /// As a systemd unit of this name that is made for it: program and arguments are ours. The
    /// variables go with it.
    Transient {
        /// The unit.
        name: String,
        /// Variables of the environment, by name and value.
        variables: Vec<(String, String)>,
    },
}

impl GuardClient {
    /// Connects to the guard at `socket`; when there is none, starts one that outlives the
    /// daemon. The guard has answered when this returns. A unit that does not start is logged,
    /// and a detached guard takes its place.
    ///
    /// # Errors
    /// [`GuardError::Spawn`] and [`GuardError::NotUp`] when it cannot be started or does not answer
    /// `within`; [`GuardError::Silent`] when one is there and hangs.
    pub async fn connect_or_launch(
        launch: &Launch,
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
                start(launch, &log, deadline - now).await?;
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

async fn start(launch: &Launch, log: &Path, within: Duration) -> Result<(), GuardError> {
    let mut command = match &launch.home {
        GuardHome::Detached => return detach(launch, log, within).await,
        GuardHome::Unit(unit) => unit_command(unit),
        GuardHome::Transient { name, variables } => transient_command(launch, name, variables),
    };
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let problem = match tokio::time::timeout(within.min(UNIT_WITHIN), run).await {
        Ok(Ok(output)) if output.status.success() => return Ok(()),
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => format!("systemd has not answered within {UNIT_WITHIN:?}"),
    };
    tracing::warn!(
        %problem,
        "the guard cannot be a unit of its own, so it runs in the daemon's: mend that, or see that \
         KillMode=process is set there, because it must outlive the daemon"
    );
    detach(launch, log, within).await
}

fn unit_command(unit: &str) -> Command {
    let mut command = Command::new("systemctl");
    command.args(["start", unit]);
    command
}

/// `mixed`: only the guard is asked to end, and knows when it may.
fn transient_command(launch: &Launch, name: &str, variables: &[(String, String)]) -> Command {
    let mut command = Command::new("systemd-run");
    command.args(["--quiet", "--collect", "--service-type=exec", "--property=KillMode=mixed"]);
    command.arg(format!("--unit={name}"));
    command.args(variables.iter().map(|(name, value)| format!("--setenv={name}={value}")));
    command.arg("--").arg(&launch.program).args(&launch.args);
    command
}

async fn detach(launch: &Launch, log: &Path, within: Duration) -> Result<(), GuardError> {
    let program = &launch.program;
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
    command.arg("--fork").arg(program).args(&launch.args);
    for variable in MANAGER_VARIABLES {
        command.env_remove(variable);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_is_made_for_the_guard_has_its_program_and_its_variables() {
        let launch = Launch {
            program: PathBuf::from("/usr/bin/ccm"),
            args: vec![OsString::from("guard"), OsString::from("--socket")],
            home: GuardHome::Detached,
        };
        let variables = [(String::from("CCM_LOG"), String::from("debug"))];
        let command = transient_command(&launch, "ccm-guard-c-n.service", &variables);
        let args: Vec<_> = command.as_std().get_args().collect();
        let expected = [
            "--quiet",
            "--collect",
            "--service-type=exec",
            "--property=KillMode=mixed",
            "--unit=ccm-guard-c-n.service",
            "--setenv=CCM_LOG=debug",
            "--",
            "/usr/bin/ccm",
            "guard",
            "--socket",
        ];
        assert_eq!(args, expected);
    }
}
