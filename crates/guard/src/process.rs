//! A backend that the guard starts itself, with everything that backend starts.
//!
//! The guard is its parent and the subreaper of all descendants, so whatever detaches itself comes
//! back to the guard: nothing is left exactly when the guard has no child.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process_group, set_child_subreaper, wait,
};

use crate::leftover::{self, MARK};
use crate::proctable;
use crate::spawn::MANAGER_VARIABLES;
use crate::target::Target;
use crate::vip::GuardedVip;

/// Ends itself when the guard died before the kernel was told to kill this process with it.
const ENTRY: &str = r#"[ "$PPID" = "$1" ] || exit 125; shift; exec "$@""#;

/// Walks over the process table in one kill; more follow until nothing is left.
const WALKS: usize = 3;

/// A backend that is a process of the guard.
///
/// Its main process ends with the guard, whatever ends the guard. When the main process ends by
/// itself the backend counts as ended and what it has left is killed: a program that puts itself
/// into the background cannot be a backend. Only one per guard process: it reaps every child.
#[derive(Debug)]
pub struct ProcessTarget {
    log: Option<PathBuf>,
    vip: Option<GuardedVip>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    socket: PathBuf,
    main: Option<Pid>,
    ended: Option<String>,
}

impl ProcessTarget {
    /// A backend whose output goes to the end of `log`, or where the guard's own goes.
    #[must_use]
    pub fn new(log: Option<PathBuf>) -> Self {
        Self { log, vip: None, state: Mutex::default() }
    }

    /// The same, with a virtual IP that ends with the lease.
    #[must_use]
    pub fn with_vip(self, vip: Option<GuardedVip>) -> Self {
        Self { vip, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> Result<(Stdio, Stdio), String> {
        let Some(path) = &self.log else { return Ok((Stdio::inherit(), Stdio::inherit())) };
        let open = || {
            let file = File::options().append(true).create(true).open(path)?;
            Ok::<_, std::io::Error>((file.try_clone()?, file))
        };
        let (out, err) = open().map_err(|error| {
            format!("could not open {} for the backend's output: {error}", path.display())
        })?;
        Ok((out.into(), err.into()))
    }

    /// Takes in what has ended; whether no child is left.
    fn reap(&self) -> bool {
        let mut state = self.state();
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if state.main == Some(pid) => {
                    state.main = None;
                    state.ended = Some(words(status));
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Err(Errno::CHILD) => return true,
                Ok(None) | Err(_) => return false,
            }
        }
    }
}

impl Target for ProcessTarget {
    const STARTS: bool = true;

    fn claimed(&self, socket: &Path) -> Result<(), String> {
        set_child_subreaper(Some(getpid()))
            .map_err(|error| format!("could not become the subreaper: {error}"))?;
        let killed = leftover::kill(socket)?;
        if killed > 0 {
            tracing::warn!(
                "killed {killed} processes that an earlier guard had left: find out what killed it"
            );
        }
        self.state().socket = socket.to_owned();
        Ok(())
    }

    fn start(&self, argv: &[String]) -> Result<u32, String> {
        let program = argv.first().ok_or("the backend's command is empty")?;
        if program.contains('/') && !Path::new(program).exists() {
            return Err(format!("there is no {program}: check backend.command"));
        }
        let (out, err) = self.output()?;
        let mut state = self.state();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "/bin/sh", "-c", ENTRY, "sh"]);
        command.arg(std::process::id().to_string()).args(argv);
        command.env(MARK, &state.socket).process_group(0);
        for variable in MANAGER_VARIABLES {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        // Reaped together with all other children of the guard.
        let child = command
            .spawn()
            .map_err(|error| format!("could not run setpriv (of util-linux): {error}"))?;
        let pid = child.id();
        state.main = i32::try_from(pid).ok().and_then(Pid::from_raw);
        state.ended = None;
        Ok(pid)
    }

    fn ended(&self) -> Option<String> {
        self.reap();
        self.state().ended.take()
    }

    fn vip(&self) -> Option<&GuardedVip> {
        self.vip.as_ref()
    }

    async fn stop(&self) -> Result<(), String> {
        // Until it is reaped its id cannot name another group.
        let main = self.state().main;
        if let Some(main) = main {
            match kill_process_group(main, Signal::TERM) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(format!("could not send SIGTERM to the group: {error}")),
            }
        }
        let group = main.map(Pid::as_raw_pid);
        for process in proctable::descendants(getpid().as_raw_pid()) {
            if Some(process.group) != group && !process.zombie {
                let sent = process.signal(Signal::TERM);
                sent.map_err(|e| format!("could not send SIGTERM to {}: {e}", process.pid))?;
            }
        }
        Ok(())
    }

    async fn kill(&self) -> Result<(), String> {
        let own = getpid().as_raw_pid();
        let mut failed = None;
        for _ in 0..WALKS {
            let alive = proctable::descendants(own).into_iter().filter(|process| !process.zombie);
            let mut any = false;
            for process in alive {
                any = true;
                if let Err(error) = process.signal(Signal::KILL) {
                    failed = Some(format!("could not kill process {}: {error}", process.pid));
                }
            }
            if !any {
                return Ok(());
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn is_gone(&self) -> bool {
        self.reap()
    }
}

fn words(status: WaitStatus) -> String {
    if let Some(signal) = status.terminating_signal() {
        return format!("it was killed by signal {signal}");
    }
    match status.exit_status() {
        Some(code @ (126 | 127)) => {
            format!("it exited with status {code}: its program could not be run")
        }
        Some(code) => format!("it exited with status {code}"),
        None => "it ended".to_owned(),
    }
}
