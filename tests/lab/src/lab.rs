//! A whole lab: hosts, a switch, a client.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::client::Client;
use crate::ground::Ground;
use crate::host::{Host, Power};
use crate::machine;
use crate::nats::NatsBox;
use crate::sweep::{self, Name};
use crate::switch::Switch;

/// Hosts at most: their addresses are 10.0.1.10 to 10.0.1.18.
const HOSTS_MAX: u8 = 9;

/// How to set up a lab.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many hosts.
    pub hosts: u8,
    /// The program `ccm-lab`, which becomes the first process of every host.
    pub program: PathBuf,
}

/// A lab. Dropped, it is gone.
#[derive(Debug)]
pub struct Lab {
    hosts: Vec<Host>,
    client: Client,
    switch: Switch,
    name: Name,
    /// Held until everything that stands on it is gone.
    _ground: Arc<Ground>,
}

impl Lab {
    /// Sweeps what dead labs have left, makes the hosts and boots them, all at once; each is up
    /// when this returns.
    ///
    /// # Errors
    /// [`crate::Unable`] with what this machine lacks, or with the console of a host that does
    /// not boot.
    pub fn up(options: &Options) -> Result<Self> {
        machine::check()?;
        ensure!(
            (1..=HOSTS_MAX).contains(&options.hosts),
            "a lab has 1 to {HOSTS_MAX} hosts, not {}",
            options.hosts
        );
        let cgroups = machine::cgroup2()?;
        sweep::sweep(&cgroups);
        let name = Name::new();
        let ground = Arc::new(Ground::make(name.folder())?);
        let switch = Switch::make()?;
        let client = Client::connect(&switch)?;
        let (hosts, _ground) = (Vec::new(), Arc::clone(&ground));
        let mut lab = Self { hosts, client, switch, name, _ground };
        for number in 1..=options.hosts {
            let cgroup = cgroups.join(lab.name.host(number));
            let (all, program) = (options.hosts, &options.program);
            lab.hosts.push(Host::new(number, all, program, &ground, &lab.switch, cgroup)?);
        }
        std::thread::scope(|scope| {
            let booting: Vec<_> = lab
                .hosts
                .iter()
                .map(|host| scope.spawn(|| host.boot().and_then(|()| host.wait_running())))
                .collect();
            booting.into_iter().try_for_each(|boot| {
                boot.join().map_err(|_| anyhow!("the thread of a boot panicked"))?.map(drop)
            })
        })?;
        Ok(lab)
    }

    /// The hosts; the first is number 1.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// A host by its number, the first is 1.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, number: u8) -> Result<&Host> {
        let found = self.hosts.iter().find(|host| host.number() == number);
        found.with_context(|| format!("there are hosts 1 to {}, not {number}", self.hosts.len()))
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Plugs in a further machine that runs nothing but a nats-server.
    ///
    /// # Errors
    /// When the server does not come up.
    pub fn nats(&self) -> Result<NatsBox> {
        NatsBox::start(&self.switch, self.name.nats())
    }

    /// One line for each host.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = String::from("HOST    ADDRESS      POWER   SYSTEM\n");
        for host in &self.hosts {
            let power = host.power();
            let system = match power {
                Power::On => host.exec(&["systemctl", "is-system-running"]).map(|ran| ran.out),
                Power::Off | Power::Frozen => Ok(String::from("-")),
            };
            let system = system.unwrap_or_else(|error| format!("{error:#}"));
            let power = match power {
                Power::Off => "off",
                Power::On => "on",
                Power::Frozen => "frozen",
            };
            let (name, address) = (host.name(), host.address());
            table.push_str(&format!("{name:<7} {address:<12} {power:<7} {}\n", system.trim()));
        }
        table
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // All at once: each has a moment to wait for.
        std::thread::scope(|scope| {
            for host in &self.hosts {
                scope.spawn(|| host.end());
            }
        });
    }
}
