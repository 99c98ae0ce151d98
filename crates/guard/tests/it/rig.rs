//! A guard in a folder of its own, and what tests do with it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ccm_guard::{Armed, GuardClient, GuardError, GuardEvent, GuardHome, Launch, RefusalCode};
use ccm_harness::{processes, wait};
use ccm_types::{BootClock, Epoch};
use tokio::sync::mpsc;

pub(crate) const GUARD: &str = env!("CARGO_BIN_EXE_ccm-guard");
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Kills everything that names its folder when dropped: guards, backends, daemons.
pub(crate) struct Rig {
    dir: tempfile::TempDir,
    idle_exit: Duration,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with_idle_exit(Duration::from_secs(60))
    }

    pub(crate) fn with_idle_exit(idle_exit: Duration) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), idle_exit }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("guard.sock")
    }

    fn args(&self) -> Vec<std::ffi::OsString> {
        let idle_exit = self.idle_exit.as_millis().to_string();
        vec![
            "--socket".into(),
            self.socket().into(),
            "--log".into(),
            self.path("backend.log").into(),
            "--idle-exit-ms".into(),
            idle_exit.into(),
        ]
    }

    pub(crate) async fn guard(&self) -> (GuardClient, mpsc::Receiver<GuardEvent>) {
        self.try_guard().await.unwrap()
    }

    pub(crate) async fn try_guard(
        &self,
    ) -> Result<(GuardClient, mpsc::Receiver<GuardEvent>), GuardError> {
        let launch = launch(Path::new(GUARD), self.args());
        GuardClient::connect_or_launch(&launch, &self.socket(), PATIENCE).await
    }

    /// A guard that is this process's child, not started yet.
    pub(crate) fn foreground(&self) -> Command {
        let mut command = Command::new(GUARD);
        command.args(self.args());
        command
    }

    /// Epoch, and a deadline so many milliseconds from now.
    pub(crate) fn armed(&self, epoch: u64, in_ms: u64) -> Armed {
        let valid_until = BootClock.now() + Duration::from_millis(in_ms);
        Armed {
            epoch: Epoch::new(epoch),
            instance: "test".to_owned(),
            valid_until,
            kill_at: valid_until + Duration::from_millis(300),
            // Two tests at once on two slow cores: more than a lease's margin would need.
            gone_by: valid_until + Duration::from_millis(2300),
        }
    }

    /// Everything that the guard has started and that lives.
    pub(crate) fn backends(&self) -> Vec<i32> {
        let guard = GUARD.to_owned();
        let mark = format!("CCM_GUARD={}", self.socket().display());
        let marked = |pid: i32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        };
        let all = processes::under(self.dir.path()).into_iter();
        let others = all.filter(|process| !process.command.starts_with(&guard));
        others.map(|process| process.pid).filter(|pid| marked(*pid)).collect()
    }

    /// A daemon as a process of its own that says what it is told.
    pub(crate) fn daemon(&self) -> Daemon {
        let script = "import socket,sys\n\
            s=socket.socket(socket.AF_UNIX)\n\
            s.connect(sys.argv[1])\n\
            for line in sys.stdin: s.sendall(line.encode()); s.recv(65536)\n";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(self.socket()).stdin(Stdio::piped());
        Daemon(command.spawn().unwrap())
    }
}

/// A guard in a session of its own.
pub(crate) fn launch(program: &Path, args: Vec<std::ffi::OsString>) -> Launch {
    Launch { program: program.to_owned(), args, home: GuardHome::Detached }
}

impl Drop for Rig {
    fn drop(&mut self) {
        processes::kill_all_under(self.dir.path());
    }
}

pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    pub(crate) fn ask(&mut self, question: &serde_json::Value) {
        writeln!(self.0.stdin.as_ref().unwrap(), "{question}").unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

pub(crate) fn sh(script: &str) -> Vec<String> {
    vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()]
}

pub(crate) fn words(argv: &str) -> Vec<String> {
    argv.split(' ').map(str::to_owned).collect()
}

pub(crate) fn code(error: &GuardError) -> Option<RefusalCode> {
    if let GuardError::Refused { code, .. } = error { Some(*code) } else { None }
}

/// Whether it lives; a zombie does not.
pub(crate) fn alive(pid: u32) -> bool {
    // Not the command line: it is empty for a moment while a program is replaced.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

pub(crate) async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let look = || {
        let seen = look().then_some(());
        async move { seen }
    };
    wait::until_async(PATIENCE, what, tokio::time::sleep, look).await;
}

pub(crate) async fn number_in(path: &Path) -> u32 {
    until("a number to be written", || path.exists()).await;
    std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
}
