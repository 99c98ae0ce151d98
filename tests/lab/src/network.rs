//! Network namespaces without names: each goes with the last process and the last file in it.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns, unshare};

use crate::machine::{self, Unable};

/// A network of its own: a host's, the switch's, the client's.
#[derive(Debug, Clone)]
pub(crate) struct Namespace {
    file: Arc<File>,
}

impl Namespace {
    /// One that has nothing but a loopback interface.
    pub(crate) fn new() -> Result<Self> {
        let made = std::thread::spawn(|| -> Result<File> {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|error| {
                Unable::new(format!(
                    "no network namespace ({error}): a container needs CAP_SYS_ADMIN and \
                     CAP_NET_ADMIN"
                ))
            })?;
            Ok(File::open("/proc/thread-self/ns/net")?)
        });
        let file = made.join().map_err(|_| anyhow!("the thread of a network has panicked"))??;
        let made = Self { file: Arc::new(file) };
        made.ip("link set lo up").map_err(|error| {
            Unable::new(format!(
                "a network of its own cannot be changed ({error:#}): a container needs \
                 CAP_NET_ADMIN"
            ))
        })?;
        Ok(made)
    }

    /// Moves the calling thread in.
    pub(crate) fn enter(&self) -> Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).context("could not enter a network")
    }

    /// Runs `work` on a thread of its own in here.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                self.enter()?;
                work()
            });
            working.join().map_err(|_| anyhow!("a thread in a network panicked"))?
        })
    }

    /// A thread that lives in here.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T>>> {
        let own = self.clone();
        let thread = std::thread::Builder::new().name(String::from(name)).spawn(move || {
            own.enter()?;
            Ok(work())
        })?;
        Ok(thread)
    }

    /// A command that will run in here when it is started by any thread of this process.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Runs ip(8) in here.
    pub(crate) fn ip(&self, words: &str) -> Result<String> {
        self.tool("ip", words)
    }

    /// Runs a tool of iproute2 in here.
    pub(crate) fn tool(&self, name: &str, words: &str) -> Result<String> {
        let program = machine::find(name).with_context(|| format!("no {name}"))?;
        let run = || Ok(Command::new(&program).args(words.split_whitespace()).output()?);
        let output = self.run(run).with_context(|| format!("{name} {words}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name} {words}: {}", said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The namespace as a file that every process of this machine may open while we live.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()))
    }
}

/// Whether an interface of the calling thread's namespace has the address.
pub(crate) fn is_here(address: IpAddr) -> bool {
    let Ok(mut all) = getifaddrs() else { return false };
    all.any(|one| {
        one.address.is_some_and(|at| {
            let four = at.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
            let six = at.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip()));
            four.or(six) == Some(address)
        })
    })
}
