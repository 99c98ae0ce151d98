//! ccm on the hosts of a lab, deployed with the commands and the units that operators use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use crate::PATIENCE;
use crate::deadline::wait_for;
use crate::fleet_nats;
use crate::host::{Host, Power};
use crate::lab::Lab;
use crate::load::{Attempt, Load, LoadOptions};
use crate::nats::NatsBox;
use crate::source::{Source, install};
use crate::switch::INTERFACE;
use crate::watch::Watch;
use crate::wire::Wire;

/// The virtual IP of a site.
pub const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 100));
/// The virtual IP of a site with IPv6.
pub const VIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100));
/// The unit of the daemon, and of the backend.
const DAEMON: &str = "convex-cluster-manager.service";
const BACKEND: &str = "convex-backend.service";
/// Where backends listen.
const BACKEND_PORT: u16 = 3210;
/// The configuration.
const CONFIG: &str = "etc/convex/cluster.json";
/// The cluster of every site.
const CLUSTER: &str = "convex-prod";
/// Lines of a journal that are shown when a test fails.
const JOURNAL_LINES: &str = "60";

/// How to deploy.
#[derive(Debug, Clone)]
pub struct SiteOptions {
    /// `--ttl-ms`
    pub ttl: Duration,
    /// `--heartbeat-ms`
    pub heartbeat: Duration,
    /// `backend.healthIntervalMs`
    pub health_interval: Duration,
    /// `backend.startTimeoutMs`
    pub start_timeout: Duration,
    /// What is installed.
    pub source: Source,
    /// Servers on the hosts themselves, `nats://nats1:4222` and so on; else a machine beside them.
    pub nats_on_hosts: bool,
    /// `--vip`: [`VIP`] or [`VIP6`].
    pub vip: IpAddr,
}

impl Default for SiteOptions {
    /// A short lease: a test waits for several.
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(4),
            heartbeat: Duration::from_secs(1),
            health_interval: Duration::from_secs(1),
            start_timeout: Duration::from_secs(10),
            source: Source::Deploy,
            nats_on_hosts: false,
            vip: VIP,
        }
    }
}

/// A cluster on hosts.
#[derive(Debug)]
pub struct Site {
    nats: Option<NatsBox>,
    options: SiteOptions,
    lab: Lab,
}

impl Site {
    /// Installs programs, user and units on all hosts of `lab`, and starts the machine with NATS
    /// unless the hosts have it. Nothing is configured yet.
    ///
    /// # Errors
    /// With the host and what failed on it.
    pub fn install(lab: Lab, options: SiteOptions) -> Result<Self> {
        let nats = if options.nats_on_hosts { None } else { Some(lab.nats()?) };
        let site = Self { nats, options, lab };
        let hosts = site.lab.hosts();
        each(hosts, |host| install(host, site.options.source))?;
        if site.options.nats_on_hosts {
            each(hosts, |host| fleet_nats::install(host, hosts.len()))?;
            each(hosts, |host| host.done(&["systemctl", "start", fleet_nats::UNIT]).map(drop))?;
            wait_for(PATIENCE, "the NATS servers to elect a leader", || {
                let journal = |host: &Host| host.done(&["journalctl", "-u", fleet_nats::UNIT]).ok();
                let mut journals = hosts.iter().filter_map(journal);
                journals
                    .any(|text| text.contains("JetStream cluster new metadata leader"))
                    .then_some(())
            })?;
        }
        Ok(site)
    }

    /// [`Site::install`], then configures all hosts and starts the daemons, the first one first:
    /// node-1 serves and the others follow when this returns.
    ///
    /// # Errors
    /// With the host and what failed on it.
    pub fn deploy(lab: Lab, options: SiteOptions) -> Result<Self> {
        let site = Self::install(lab, options)?;
        site.start().with_context(|| site.journals())?;
        Ok(site)
    }

    fn start(&self) -> Result<()> {
        each(self.lab.hosts(), |host| {
            self.init(host)?;
            self.edit(host)?;
            host.done(&["systemctl", "enable", "--quiet", DAEMON]).map(drop)
        })?;
        let (first, others) = self.lab.hosts().split_first().context("a site has hosts")?;
        first.done(&["systemctl", "start", DAEMON])?;
        self.wait_serves(first.number())?;
        each(others, |host| {
            host.done(&["convex-cluster-manager", "join"])?;
            host.done(&["systemctl", "start", DAEMON])?;
            self.wait_follows(host.number())
        })
    }

    /// The servers, as `--nats` takes them.
    #[must_use]
    pub fn nats_urls(&self) -> String {
        match &self.nats {
            Some(server) => server.url(),
            None => {
                let url = |host: &Host| format!("nats://nats{}:4222", host.number());
                self.lab.hosts().iter().map(url).collect::<Vec<_>>().join(",")
            }
        }
    }

    /// Configures a host; what `init` prints.
    ///
    /// # Errors
    /// With its words.
    pub fn init(&self, host: &Host) -> Result<String> {
        let (ttl, heartbeat) = (self.options.ttl.as_millis(), self.options.heartbeat.as_millis());
        host.done(&[
            "convex-cluster-manager",
            "init",
            "--cluster-id",
            CLUSTER,
            "--node-id",
            &host.name(),
            "--nats",
            &self.nats_urls(),
            "--vip",
            &self.options.vip.to_string(),
            "--vip-netmask",
            if self.options.vip.is_ipv4() { "24" } else { "64" },
            "--interface",
            INTERFACE,
            "--ttl-ms",
            &ttl.to_string(),
            "--heartbeat-ms",
            &heartbeat.to_string(),
        ])
    }

    /// What `init` has no option for.
    fn edit(&self, host: &Host) -> Result<()> {
        let text = std::fs::read_to_string(host.path(CONFIG))?;
        let mut config: Value = serde_json::from_str(&text).context("the configuration")?;
        let every = u64::try_from(self.options.health_interval.as_millis())?;
        config["backend"]["healthIntervalMs"] = every.into();
        let within = u64::try_from(self.options.start_timeout.as_millis())?;
        config["backend"]["startTimeoutMs"] = within.into();
        host.write(CONFIG, &serde_json::to_string_pretty(&config)?)
    }

    /// The lab.
    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// How it was deployed.
    #[must_use]
    pub fn options(&self) -> &SiteOptions {
        &self.options
    }

    /// A host by its number, the first is 1.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, number: u8) -> Result<&Host> {
        self.lab.host(number)
    }

    /// What `ccm status --json` says on a host; the daemon being down is said in it.
    ///
    /// # Errors
    /// When the host is off or prints no JSON.
    pub fn status(&self, number: u8) -> Result<Value> {
        let ran = self.host(number)?.exec(&["ccm", "status", "--json"])?;
        serde_json::from_str(&ran.out).with_context(|| format!("no status: {ran:?}"))
    }

    /// Waits until the status of a host is as wanted.
    ///
    /// # Errors
    /// With the last status.
    pub fn wait_status(
        &self,
        number: u8,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = None;
        let waited = wait_for(PATIENCE, &format!("node-{number} to be {what}"), || {
            let status = self.status(number).ok();
            let good = status.as_ref().is_some_and(&holds);
            last = status;
            good.then(|| last.clone()).flatten()
        });
        waited.with_context(|| format!("last status: {last:?}"))
    }

    /// Waits until a host serves: PRIMARY, backend running, address held.
    ///
    /// # Errors
    /// With the last status.
    pub fn wait_serves(&self, number: u8) -> Result<()> {
        self.wait_status(number, "PRIMARY and serving", serves).map(drop)
    }

    /// Waits until a host follows without a problem.
    ///
    /// # Errors
    /// With the last status.
    pub fn wait_follows(&self, number: u8) -> Result<()> {
        self.wait_status(number, "PASSIVE and following", |status| {
            status["role"] == "PASSIVE"
                && status["problem"].is_null()
                && status["txid"].as_u64().is_some_and(|txid| txid > 0)
        })
        .map(drop)
    }

    /// Waits until a host other than `not` serves; its number.
    ///
    /// # Errors
    /// When none does.
    pub fn wait_other_serves(&self, not: u8) -> Result<u8> {
        let others = || self.lab.hosts().iter().filter(|host| host.number() != not);
        wait_for(PATIENCE, "another host to serve", || {
            let on = others().filter(|host| host.power() == Power::On);
            let mut numbers = on.map(Host::number);
            numbers.find(|number| self.status(*number).is_ok_and(|status| serves(&status)))
        })
    }

    /// The epoch that a host knows of.
    ///
    /// # Errors
    /// When it does not say.
    pub fn epoch(&self, number: u8) -> Result<u64> {
        let status = self.status(number)?;
        status["epoch"].as_u64().with_context(|| format!("no epoch in {status}"))
    }

    /// Clients that write through the virtual IP: eight, each 25 times a second.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn load(&self, name: &str) -> Result<Load> {
        self.load_with(name, 8, Duration::from_millis(40), Duration::from_millis(500))
    }

    /// [`Site::load`] by other clients.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn load_with(
        &self,
        name: &str,
        clients: u32,
        every: Duration,
        within: Duration,
    ) -> Result<Load> {
        let name = String::from(name);
        let service = self.service();
        Load::start(self.lab.client(), LoadOptions { service, name, clients, every, within })
    }

    /// Looks into every host.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn watch(&self) -> Result<Watch> {
        Watch::start(self.lab.hosts(), self.options.vip, BACKEND)
    }

    /// Asks the wire.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn wire(&self) -> Result<Wire> {
        Wire::watch(self.lab.client(), self.options.vip)
    }

    /// The acknowledged of `attempts` that the service has not, and the age of the oldest of them
    /// at `at`. What was acknowledged and is there has the row that was acknowledged.
    ///
    /// # Errors
    /// When the service does not answer, and when a row is another than was acknowledged.
    pub fn lost(&self, attempts: &[Attempt], at: Instant) -> Result<(usize, Duration)> {
        let mut clients: Vec<&str> = attempts.iter().map(|one| one.client.as_str()).collect();
        clients.sort_unstable();
        clients.dedup();
        let (mut lost, mut age) = (0, Duration::ZERO);
        for client in clients {
            let rows = self.rows(client)?;
            let acknowledged = attempts.iter().filter(|one| one.client == client);
            for attempt in acknowledged.filter(|one| one.row.is_some()) {
                match rows.iter().find(|(_, n)| *n == attempt.n) {
                    Some((id, _)) => ensure!(
                        Some(*id) == attempt.row,
                        "row {id} of {client} is another than was acknowledged: {attempt:?}"
                    ),
                    None => {
                        lost += 1;
                        age = age.max(at.saturating_duration_since(attempt.ended));
                    }
                }
            }
        }
        Ok((lost, age))
    }

    /// Where clients find the service.
    fn service(&self) -> SocketAddr {
        SocketAddr::from((self.options.vip, BACKEND_PORT))
    }

    /// The rows of a client: id and the client's count.
    fn rows(&self, client: &str) -> Result<Vec<(i64, i64)>> {
        let mut rows = Vec::new();
        let mut after = 0;
        loop {
            let path = format!("/rows?client={client}&after={after}");
            let (code, body) = wait_for(PATIENCE, "the service to list rows", || {
                self.lab.client().get(self.service(), &path, PATIENCE).ok()
            })?;
            ensure!(code == 200, "GET {path}: {code} {body}");
            let page: Value = serde_json::from_str(&body)?;
            let more: Vec<(i64, i64)> = serde_json::from_value(page["rows"].clone())?;
            rows.extend(more);
            match page["next"].as_i64() {
                Some(next) => after = next,
                None => return Ok(rows),
            }
        }
    }

    /// What daemon and backend of a host have logged since its boot.
    ///
    /// # Errors
    /// When the host is off.
    pub fn journal(&self, number: u8) -> Result<String> {
        self.host(number)?.done(&[
            "journalctl",
            "--no-pager",
            "-o",
            "short-precise",
            "-u",
            "convex-*",
        ])
    }

    /// The last lines of all journals, for whoever looks at a failed test.
    #[must_use]
    pub fn journals(&self) -> String {
        let mut text = String::new();
        for host in self.lab.hosts() {
            let lines = host.exec(&[
                "journalctl",
                "--no-pager",
                "-o",
                "short-precise",
                "-n",
                JOURNAL_LINES,
                "-u",
                "convex-*",
            ]);
            let lines = lines.map_or_else(|error| format!("{error:#}"), |ran| ran.out);
            text.push_str(&format!("--- {}\n{lines}\n", host.name()));
        }
        text
    }
}

fn serves(status: &Value) -> bool {
    status["role"] == "PRIMARY"
        && status["backendStatus"] == "running"
        && status["vip"]["held"] == true
}

/// Runs `work` for all hosts at once.
fn each(hosts: &[Host], work: impl Fn(&Host) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let work = &work;
        let working: Vec<_> = hosts.iter().map(|host| scope.spawn(move || work(host))).collect();
        for (host, one) in hosts.iter().zip(working) {
            let done = one.join().map_err(|_| anyhow!("a thread panicked"))?;
            done.with_context(|| host.name())?;
        }
        Ok(())
    })
}
