//! Children: measured through /proc, dead with the program.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ccm_harness::processes::{Signal, signal};

use crate::clock;

/// A child ends within this time when it is told to.
const END_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The kernel's clock ticks per second, the same on every Linux that matters.
const TICK_MS: u64 = 10;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// CPU time of user and system, in milliseconds.
    pub(crate) cpu_ms: u64,
    /// Resident memory, in bytes.
    pub(crate) rss: u64,
    /// The most it ever had.
    pub(crate) rss_max: u64,
    /// It has ended and nobody has taken note.
    ended: bool,
}

impl Usage {
    /// Of a process by its id; `None` when there is none.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok());
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let kib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Self {
            cpu_ms: (ticks(11)? + ticks(12)?) * TICK_MS,
            rss: kib("VmRSS:").unwrap_or(0) * 1024,
            rss_max: kib("VmHWM:").unwrap_or(0) * 1024,
            ended: fields.first() == Some(&"Z"),
        })
    }
}

/// A child and the lines it prints.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// This program again, as one of its children.
    pub(crate) fn own(arguments: &[String]) -> Result<Self> {
        let program = std::env::current_exe().context("could not find this program")?;
        let mut command = Command::new(program);
        command.arg("child").args(arguments);
        let mut command = ccm_harness::bound(&command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("could not start {command:?}"))?;
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        if let Some(out) = child.stdout.take() {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            });
        }
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, lines })
    }

    /// A program of others; what it prints goes to `log`.
    pub(crate) fn other(command: &Command, log: &Path) -> Result<Self> {
        let mut command = ccm_harness::bound(command);
        let log = File::create(log).context("could not create a log file")?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("could not start {command:?}"))?;
        Ok(Self { child, stdin: None, lines: Arc::default() })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.child.id()).unwrap_or_default()
    }

    /// What it has printed so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has printed a line.
    pub(crate) async fn first_line(&mut self, within: Duration) -> Result<String> {
        let begin = clock::now();
        loop {
            if let Some(line) = self.lines().into_iter().next() {
                return Ok(line);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("a child ended with {status} before it was ready");
            }
            if clock::since(begin) > within {
                bail!("waited {within:?} for a child to be ready");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for its end, looking at `watch` meanwhile; what it had used by then, and whether it
    /// succeeded.
    pub(crate) async fn ended(
        &mut self,
        within: Duration,
        mut watch: impl FnMut(),
    ) -> Result<(Usage, bool)> {
        let begin = clock::now();
        let mut last = Usage::default();
        loop {
            let now = self.usage();
            last = Usage { rss_max: now.rss_max.max(last.rss_max), ..now };
            if last.ended {
                let status = self.child.wait()?;
                return Ok((last, status.success()));
            }
            if clock::since(begin) > within {
                bail!("waited {within:?} for a child to end");
            }
            watch();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Tells it to end and waits for that; what it has printed.
    pub(crate) async fn stop(mut self) -> Result<Vec<String>> {
        if self.stdin.take().is_none() {
            signal(i32::try_from(self.child.id()).unwrap_or(0), Signal::TERM);
        }
        if self.ended(END_WITHIN, || {}).await.is_err() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(self.lines())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
