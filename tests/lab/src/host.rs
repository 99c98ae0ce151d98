//! One host: its power switch, its port, its disk, and commands on it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};
use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;
use crate::cgroup::Cgroup;
use crate::deadline::wait_for;
use crate::disk::Disk;
use crate::ground::Ground;
use crate::machine::Unable;
use crate::network::{Namespace, is_here};
use crate::run::Ran;
use crate::switch::{FIRST, Port, Switch};

/// Sockets that are there when systemd takes orders.
const TAKES_ORDERS: [&str; 2] = ["run/systemd/private", "run/dbus/system_bus_socket"];
/// The environment of commands on a host.
const ENVIRONMENT: [&str; 4] = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "TERM=dumb",
];
/// Lines of the console that a failed boot is reported with.
const CONSOLE_LINES: usize = 20;

/// Whether a host is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// No process of it exists; its disk does.
    Off,
    /// It runs, or is coming up.
    On,
    /// It stands still: no process of it runs, its kernel still answers.
    Frozen,
}

/// One host.
#[derive(Debug, Clone)]
pub struct Host {
    own: Arc<Own>,
}

#[derive(Debug)]
struct Own {
    number: u8,
    /// `ccm-lab`, which becomes the host's first process.
    program: PathBuf,
    ground: Arc<Ground>,
    switch: Switch,
    disk: Disk,
    cgroup: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    /// A thread keeps it going, from power on to power off, reboots included.
    powered: bool,
    /// It does not come back by itself: the power was cut.
    stay_off: bool,
    boots: u32,
    /// How it last ended, in words.
    ended: String,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone)]
struct Running {
    /// The first process, as this process numbers it.
    pid: i32,
    cgroup: Cgroup,
    namespace: Namespace,
}

impl Host {
    pub(crate) fn new(
        number: u8,
        hosts: u8,
        program: &Path,
        ground: &Arc<Ground>,
        switch: &Switch,
        cgroup: PathBuf,
    ) -> Result<Self> {
        let own = Own {
            number,
            program: program.to_path_buf(),
            ground: Arc::clone(ground),
            switch: switch.clone(),
            disk: Disk::make(ground, number, hosts)?,
            cgroup,
            state: Mutex::new(State::default()),
        };
        Ok(Self { own: Arc::new(own) })
    }

    /// Its number, 1 for the first.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.own.number
    }

    /// Its name, `node-1` for the first.
    #[must_use]
    pub fn name(&self) -> String {
        format!("node-{}", self.own.number)
    }

    /// Its own address.
    #[must_use]
    pub fn address(&self) -> std::net::Ipv4Addr {
        self.port().address()
    }

    /// Its Ethernet address.
    #[must_use]
    pub fn mac(&self) -> String {
        self.port().mac()
    }

    fn port(&self) -> Port {
        Port(FIRST + self.own.number - 1)
    }

    // Power

    /// Whether it is on.
    #[must_use]
    pub fn power(&self) -> Power {
        match &self.state().running {
            None => Power::Off,
            Some(running) if running.cgroup.is_frozen() => Power::Frozen,
            Some(_) => Power::On,
        }
    }

    /// How often it has been booted.
    #[must_use]
    pub fn boots(&self) -> u32 {
        self.state().boots
    }

    /// Switches it on and waits until its systemd takes orders.
    ///
    /// # Errors
    /// When it is on already, and with the console when it does not come up.
    pub fn boot(&self) -> Result<()> {
        {
            let mut state = self.state();
            ensure!(!state.powered, "{} is on", self.name());
            state.powered = true;
            state.stay_off = false;
        }
        let own = Arc::clone(&self.own);
        let name = format!("power of {}", self.name());
        let thread = std::thread::Builder::new().name(name).spawn(move || own.power())?;
        self.state().thread = Some(thread);
        self.wait_orders()
    }

    /// Waits until its systemd takes orders.
    ///
    /// # Errors
    /// With the console when it does not.
    pub fn wait_orders(&self) -> Result<()> {
        let what = format!("{} to boot", self.name());
        let up = wait_for(PATIENCE, &what, || {
            let state = self.state();
            if !state.powered {
                return Some(Err(anyhow!("{} ended: {}", self.name(), state.ended)));
            }
            let root = PathBuf::from(format!("/proc/{}/root", state.running.as_ref()?.pid));
            TAKES_ORDERS.iter().all(|socket| root.join(socket).exists()).then_some(Ok(()))
        });
        up.and_then(|up| up).with_context(|| self.console())
    }

    /// Waits until it has booted through: the word of `systemctl is-system-running`.
    ///
    /// # Errors
    /// When it is not up in time.
    pub fn wait_running(&self) -> Result<String> {
        self.wait_orders()?;
        let ran = self.exec(&["systemctl", "is-system-running", "--wait"])?;
        Ok(String::from(ran.out.trim()))
    }

    /// Waits until it has come back from a reboot by itself, and runs.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_booted_again(&self, boots_before: u32) -> Result<()> {
        wait_for(PATIENCE, &format!("{} to reboot", self.name()), || {
            (self.boots() > boots_before).then_some(())
        })?;
        self.wait_orders()
    }

    /// Cuts its power: the cable is dead at once, and every process gone. What is on its disk
    /// stays, what was in `/run` and `/tmp` does not.
    ///
    /// # Errors
    /// When the kernel does not kill it.
    pub fn cut(&self) -> Result<()> {
        let running = {
            let mut state = self.state();
            state.stay_off = true;
            state.running.clone()
        };
        if let Some(running) = running {
            self.own.switch.unplug(self.port()).ok();
            running.cgroup.kill()?;
            // One that has not reached its cgroup yet.
            kill_process(pid(running.pid)?, Signal::KILL).ok();
        }
        self.wait_off()
    }

    /// Tells it to power off in order, and waits until it is.
    ///
    /// # Errors
    /// When it does not.
    pub fn power_off(&self) -> Result<()> {
        self.exec(&["systemctl", "poweroff"])?;
        self.wait_off()
    }

    fn wait_off(&self) -> Result<()> {
        let what = format!("{} to be off", self.name());
        wait_for(PATIENCE, &what, || (!self.state().powered).then_some(()))
    }

    /// Tells it to reboot in order; it goes down and comes back by itself.
    ///
    /// # Errors
    /// When it is off.
    pub fn reboot(&self) -> Result<()> {
        // It may be gone before the command has ended.
        self.exec(&["systemctl", "reboot"]).map(drop)
    }

    /// Cuts its power, and waits until nothing of it is held any more.
    pub(crate) fn end(&self) {
        // One that cannot be cut ends with this process.
        let off = self.cut().is_ok();
        let thread = self.state().thread.take();
        if let Some(thread) = thread.filter(|_| off) {
            thread.join().ok();
        }
    }

    /// Stops every process of it where it stands. Its kernel still answers for its addresses: a
    /// machine that hangs is frozen and silent.
    ///
    /// # Errors
    /// When it is off.
    pub fn freeze(&self) -> Result<()> {
        self.running()?.cgroup.freeze()
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it is off.
    pub fn thaw(&self) -> Result<()> {
        self.running()?.cgroup.thaw()
    }

    // Cable

    /// Pulls the cable out of the switch: it loses its carrier.
    ///
    /// # Errors
    /// When it is off.
    pub fn unplug(&self) -> Result<()> {
        self.own.switch.unplug(self.port())
    }

    /// Puts the cable back.
    ///
    /// # Errors
    /// When it is off.
    pub fn plug(&self) -> Result<()> {
        self.own.switch.plug(self.port())
    }

    /// Nothing passes between it and the others; its carrier stays.
    ///
    /// # Errors
    /// When it is off.
    pub fn silence(&self) -> Result<()> {
        self.own.switch.silence(self.port())
    }

    /// Nobody hears it; it hears everybody.
    ///
    /// # Errors
    /// When it is off.
    pub fn mute(&self) -> Result<()> {
        self.own.switch.mute(self.port())
    }

    /// It hears nobody; everybody hears it.
    ///
    /// # Errors
    /// When it is off.
    pub fn deafen(&self) -> Result<()> {
        self.own.switch.deafen(self.port())
    }

    /// It and other isolated hosts do not hear each other; everybody else hears them.
    ///
    /// # Errors
    /// When it is off.
    pub fn isolate(&self) -> Result<()> {
        self.own.switch.isolate(self.port())
    }

    /// Ends [`Host::silence`], [`Host::mute`], [`Host::deafen`] and [`Host::isolate`].
    ///
    /// # Errors
    /// When it is off.
    pub fn heal(&self) -> Result<()> {
        self.own.switch.heal(self.port())
    }

    /// Moves it to a second switch, where those are who were moved there before.
    ///
    /// # Errors
    /// When it is off.
    pub fn island(&self) -> Result<()> {
        self.own.switch.island(self.port())
    }

    /// And back.
    ///
    /// # Errors
    /// When it is off.
    pub fn mainland(&self) -> Result<()> {
        self.own.switch.mainland(self.port())
    }

    // On the host

    /// Runs a command on it.
    ///
    /// # Errors
    /// When the host is off. That the command fails is no error: [`Ran::ok`].
    pub fn exec(&self, command: &[&str]) -> Result<Ran> {
        Ran::of(&self.command(command)?)
    }

    /// Runs a line of shell on it.
    ///
    /// # Errors
    /// As [`Host::exec`].
    pub fn sh(&self, line: &str) -> Result<Ran> {
        self.exec(&["sh", "-c", line])
    }

    /// Runs a command on it that has to succeed; its standard output.
    ///
    /// # Errors
    /// With the command's words.
    pub fn done(&self, command: &[&str]) -> Result<String> {
        let ran = self.exec(command)?.ok();
        ran.with_context(|| format!("{} on {}", command.join(" "), self.name()))
    }

    /// A command on it, to be started.
    ///
    /// # Errors
    /// When it is off.
    pub fn command(&self, command: &[&str]) -> Result<Command> {
        Ok(enter(self.running()?.pid, command))
    }

    /// Its first process, as this machine numbers it.
    ///
    /// # Errors
    /// When it is off.
    pub fn first_process(&self) -> Result<i32> {
        Ok(self.running()?.pid)
    }

    /// The processes of a unit on it, as this machine numbers them.
    #[must_use]
    pub fn unit(&self, name: &str) -> Vec<i32> {
        let running = self.state().running.clone();
        running.map(|running| running.cgroup.unit(name)).unwrap_or_default()
    }

    /// Whether its kernel has the address at this moment.
    #[must_use]
    pub fn has(&self, address: std::net::IpAddr) -> bool {
        let namespace = self.namespace();
        namespace.is_some_and(|own| own.run(|| Ok(is_here(address))).unwrap_or(false))
    }

    /// Runs `work` on a thread whose sockets are the host's.
    ///
    /// # Errors
    /// When the host is off, and what `work` fails with.
    pub fn in_network<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.running()?.namespace.run(work)
    }

    pub(crate) fn namespace(&self) -> Option<Namespace> {
        self.state().running.as_ref().map(|running| running.namespace.clone())
    }

    // Disk

    /// A file on its disk, whether or not it is on. An absolute symbolic link leads out of it.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.own.disk.path(path)
    }

    /// Writes a file on its disk.
    ///
    /// # Errors
    /// With the file's name.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        self.own.disk.write(path, text)
    }

    /// Writes an executable file on its disk.
    ///
    /// # Errors
    /// With the file's name.
    pub fn write_program(&self, path: &str, text: &str) -> Result<()> {
        self.own.disk.write_program(path, text)
    }

    /// Copies a file of this machine to its disk.
    ///
    /// # Errors
    /// With the file's name.
    pub fn copy(&self, from: &Path, path: &str) -> Result<()> {
        self.own.disk.copy(from, path)
    }

    /// Makes a symbolic link on its disk.
    ///
    /// # Errors
    /// With the link's name.
    pub fn link(&self, target: &str, path: &str) -> Result<()> {
        self.own.disk.link(target, path)
    }

    /// The end of what its first process has printed, and how it ended last.
    #[must_use]
    pub fn console(&self) -> String {
        let text = std::fs::read_to_string(self.own.console()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n  ");
        let ended = self.state().ended.clone();
        let ended = if ended.is_empty() { String::from("it has never ended") } else { ended };
        format!("{}: {ended}; its console ends with\n  {last}", self.name())
    }

    fn running(&self) -> Result<Running> {
        let running = self.state().running.clone();
        running.with_context(|| format!("{} is off", self.name()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.own.state()
    }
}

/// A command in the namespaces of a process of a host.
pub(crate) fn enter(pid: i32, command: &[&str]) -> Command {
    let mut entering = Command::new("nsenter");
    entering.args(["-t", &pid.to_string()]);
    entering.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"]);
    entering.args(["env", "--ignore-environment", "--chdir=/"]).args(ENVIRONMENT).args(command);
    entering
}

fn pid(raw: i32) -> Result<Pid> {
    Pid::from_raw(raw).context("not a process")
}

impl Own {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn port(&self) -> Port {
        Port(FIRST + self.number - 1)
    }

    fn console(&self) -> PathBuf {
        self.ground.outside(&format!("n{}/console.log", self.number))
    }

    /// From power on to power off: boots, and boots again for as long as it reboots.
    fn power(self: Arc<Self>) {
        loop {
            let ended = self.live();
            let mut state = self.state();
            state.running = None;
            let again = matches!(&ended, Ok(status) if is_reboot(*status)) && !state.stay_off;
            state.ended = match ended {
                Ok(status) => format!("it ended with {status}"),
                Err(error) => format!("it did not boot: {error:#}"),
            };
            if !again {
                state.powered = false;
                return;
            }
        }
    }

    /// One boot, to its end.
    fn live(&self) -> Result<ExitStatus> {
        let namespace = Namespace::new()?;
        let connected = self.switch.connect(self.port(), &namespace);
        let cgroup = Cgroup::make(self.cgroup.clone());
        let ended = connected.and(cgroup).and_then(|cgroup| {
            let ended = self.run(&namespace, &cgroup);
            // Else a dead host's kernel still answers for its addresses.
            self.switch.disconnect(self.port());
            cgroup.end();
            ended
        });
        self.switch.disconnect(self.port());
        ended
    }

    /// On a thread of its own: who has made a namespace for processes has one for good, and the
    /// host ends with the thread that started it.
    fn run(&self, namespace: &Namespace, cgroup: &Cgroup) -> Result<ExitStatus> {
        std::thread::scope(|scope| {
            let living = scope.spawn(|| {
                self.ground.enter()?;
                namespace.enter()?;
                unshare(CloneFlags::CLONE_NEWPID).map_err(|error| {
                    Unable::new(format!("no namespace for processes can be made ({error})"))
                })?;
                let console = std::fs::File::create(self.console())?;
                let mut first = Command::new(&self.program);
                first.arg("init").arg("--root").arg(self.disk.inside());
                first.arg("--hostname").arg(format!("node-{}", self.number));
                first.arg("--cgroup").arg(cgroup.dir());
                first.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
                let mut child =
                    first.spawn().with_context(|| format!("could not run {first:?}"))?;
                {
                    let mut state = self.state();
                    state.boots += 1;
                    state.running = Some(Running {
                        pid: i32::try_from(child.id())?,
                        cgroup: cgroup.clone(),
                        namespace: namespace.clone(),
                    });
                    if state.stay_off {
                        child.kill()?;
                    }
                }
                Ok(child.wait()?)
            });
            living.join().map_err(|_| anyhow!("the thread of a host panicked"))?
        })
    }
}

/// What the kernel makes of reboot(2) in a namespace: the first process ends by SIGHUP.
fn is_reboot(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::HUP.as_raw())
}
