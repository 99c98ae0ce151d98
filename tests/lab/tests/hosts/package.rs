//! The Debian package in the hands of an operator: installed, configured from its own sample,
//! upgraded under load, removed, and purged.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ccm_lab::{Host, PATIENCE, Site, SiteOptions, Source, wait_for};

use crate::debs::Debs;
use crate::stage::{given_away, on_installed, outage};

const DAEMON: &str = "convex-cluster-manager.service";
const GUARD: &str = "convex-cluster-guard.service";
const BACKEND: &str = "convex-backend.service";
/// Longer than a client ever waits for an answer on a busy machine, shorter than the lease.
const NO_OUTAGE: Duration = Duration::from_secs(2);

/// What the sample says of NATS.
const SAMPLE_NATS: &str = r#"
      "nats://10.0.1.10:4222",
      "nats://10.0.1.11:4222",
      "nats://10.0.1.12:4222"
    ],
    "credentials": "/etc/convex/nats.creds"
"#;

/// Files whose names end with `.db`, with their sums.
const SUMS: &str = "sha256sum /var/lib/convex/*.db";

#[test]
fn a_package_is_installed_upgraded_removed_and_purged_under_load() {
    let test = "a_package_is_installed_upgraded_removed_and_purged_under_load";
    let how = SiteOptions {
        // The sample's.
        ttl: Duration::from_secs(10),
        heartbeat: Duration::from_secs(3),
        source: Source::Package,
        ..SiteOptions::default()
    };
    on_installed(test, 2, how, |site: &Site| {
        let debs = Debs::make()?;
        for host in site.lab().hosts() {
            put(host, &debs)?;
            install(host)?;
            configure(site, host)?;
        }
        start(site)?;

        let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("package")?);
        load.wait_more(300)?;
        let began = Instant::now();
        upgrade(site, 2)?;
        site.wait_follows(2)?;
        upgrade(site, 1)?;
        load.wait_more(100)?;
        ensure!(site.epoch(2)? == 1, "the upgrade was a failover");
        let took = outage("both nodes upgraded", &load, began)?;
        ensure!(took < NO_OUTAGE, "clients were not served for {took:?}");

        remove(site, 2, "dpkg --remove")?;
        ensure!(site.epoch(1)? == 1, "a passive node that goes has moved the primary");
        sh(site.host(2)?, "dpkg --install /root/second.deb")?;
        // Removed with its link still in place: an administrator's enabling is kept.
        sh(site.host(2)?, &format!("systemctl start {DAEMON}"))?;
        site.wait_follows(2)?;

        let asked = Instant::now();
        remove(site, 1, "apt-get -q remove --yes")?;
        site.wait_serves(2)?;
        load.wait_more(100)?;
        outage("removed on the primary", &load, asked)?;
        given_away(site, 2, 2)?;
        let attempts = load.stop()?;
        let (lost, _) = site.lost(&attempts, asked)?;
        ensure!(lost == 0, "{lost} of {} acknowledged writes lost", attempts.len());
        watch.one_backend()?;
        watch.one_address()?;
        wire.never_two()?;
        purge(site.host(1)?)?;
        again(site, site.host(1)?)
    });
}

fn sh(host: &Host, line: &str) -> Result<String> {
    host.sh(line)?.ok().with_context(|| format!("{line} on {}", host.name()))
}

/// The packages on its disk, as if somebody had downloaded them.
fn put(host: &Host, debs: &Debs) -> Result<()> {
    let deb = |from: &Path, to: &str| host.copy(from, &format!("root/{to}.deb"));
    deb(&debs.first, "first")?;
    deb(&debs.second, "second")?;
    // Images for containers leave documents out, which hosts do not.
    sh(host, "grep -ls path-exclude /etc/dpkg/dpkg.cfg.d/* | xargs --no-run-if-empty rm")?;
    // It would read every page of the system again at each step.
    sh(host, "rm -f /var/lib/man-db/auto-update").map(drop)
}

/// Everything is there, and nothing runs.
fn install(host: &Host) -> Result<()> {
    // The first as the README says it, which needs what `Depends:` names.
    let install = if host.number() == 1 { "apt-get -q install --yes" } else { "dpkg --install" };
    let said = sh(host, &format!("DEBIAN_FRONTEND=noninteractive {install} /root/first.deb 2>&1"))?;
    ensure!(said.contains("nothing runs yet"), "{install} prints\n{said}");
    let state = |unit: &str| sh(host, &format!("systemctl is-enabled {unit}; true"));
    let (daemon, guard) = (state(DAEMON)?, state(GUARD)?);
    ensure!((daemon.trim(), guard.trim()) == ("disabled", "static"), "{daemon}{guard}");
    ensure!(host.unit(DAEMON).is_empty() && host.unit(GUARD).is_empty(), "it runs already");
    sh(host, "dpkg --verify ccm && getent passwd ccm && getent group ccm")?;
    let owner = sh(host, "stat --format %U:%G /var/lib/convex")?;
    ensure!(owner == "convex:convex\n", "/var/lib/convex belongs to {owner}");

    let (name, second) = (sh(host, "ccm version")?, sh(host, "convex-cluster-manager version")?);
    ensure!(name.starts_with("ccm ") && name == second, "{name}{second}");
    for page in ["ccm", "convex-cluster-manager", "ccm-switchover"] {
        let shown = sh(host, &format!("MANPAGER=cat man {page}"))?;
        ensure!(shown.contains("SYNOPSIS"), "man {page} shows\n{shown}");
    }
    for name in ["ccm", "convex-cluster-manager"] {
        let file = format!("/usr/share/bash-completion/completions/{name}");
        let offered = sh(
            host,
            &format!(
                "bash -c '. {file}; f=$(complete -p {name} | sed \"s/.*-F //; s/ .*//\"); \
                 COMP_WORDS=({name} switch); COMP_CWORD=1; $f {name} switch {name}; \
                 echo ${{COMPREPLY[@]}}'"
            ),
        )?;
        ensure!(offered == "switchover\n", "{file} offers {offered}");
        for file in [
            format!("/usr/share/zsh/vendor-completions/_{name}"),
            format!("/usr/share/fish/vendor_completions.d/{name}.fish"),
        ] {
            sh(host, &format!("grep -q switchover {file}"))?;
        }
    }
    sh(host, "test -s /usr/share/polkit-1/rules.d/50-convex-cluster-manager.rules")?;
    sh(host, "grep -q convex-cluster-guard /etc/needrestart/conf.d/convex.conf").map(drop)
}

/// From the sample and the backend's unit that came with it.
fn configure(site: &Site, host: &Host) -> Result<()> {
    let examples = "usr/share/doc/ccm/deploy";
    let sample = std::fs::read_to_string(host.path(&format!("{examples}/cluster.json")))?;
    let edit = |text: &str, from: &str, to: &str| {
        ensure!(text.contains(from), "the sample does not say {from}");
        Ok(text.replace(from, to))
    };
    let own = format!("\"nodeId\": \"{}\"", host.name());
    let config = edit(&sample, "\"nodeId\": \"node-1\"", &own)?;
    let nats = format!("\"{}\" ]\n", site.nats_urls());
    let config = edit(&config, SAMPLE_NATS, &nats)?;
    host.write("etc/convex/cluster.json", &config)?;
    sh(host, "convex-cluster-manager check")?;
    sh(host, &format!("cp /{examples}/{BACKEND} /etc/systemd/system/"))?;
    sh(host, "systemctl daemon-reload").map(drop)
}

/// Both nodes, by the units of the package.
fn start(site: &Site) -> Result<()> {
    let (one, two) = (site.host(1)?, site.host(2)?);
    sh(one, &format!("systemctl enable --quiet --now {DAEMON}"))?;
    site.wait_serves(1)?;
    sh(two, "convex-cluster-manager join")?;
    sh(two, &format!("systemctl enable --quiet --now {DAEMON}"))?;
    site.wait_follows(2)?;
    for unit in [DAEMON, GUARD] {
        let shown = sh(one, &format!("systemctl show -P FragmentPath {unit}"))?;
        let file = format!("/lib/systemd/system/{unit}\n");
        ensure!(shown.ends_with(&file) && !shown.starts_with("/etc"), "{unit} is {shown}");
        ensure!(!one.unit(unit).is_empty(), "{unit} does not run");
    }
    ensure!(!one.unit(BACKEND).is_empty() && two.unit(BACKEND).is_empty());
    let held = sh(one, "ip -o addr show eth0")?;
    ensure!(held.contains("10.0.1.100/24"), "the addresses are\n{held}");
    Ok(())
}

/// The daemon is another one and runs the new program; backend, guard and leadership stay.
fn upgrade(site: &Site, number: u8) -> Result<()> {
    let host = site.host(number)?;
    let (daemon, guard, backend) = (host.unit(DAEMON), host.unit(GUARD), host.unit(BACKEND));
    let status = site.status(number)?;
    sh(host, "dpkg --install /root/second.deb")?;
    let version = sh(host, "dpkg-query --show --showformat '${Version}' ccm")?;
    ensure!(version.ends_with("-2"), "{version} is installed");
    site.wait_status(number, "as it was before the upgrade", |now| {
        let same = |key: &str| now[key] == status[key];
        ["role", "epoch", "backendStatus"].into_iter().all(same)
            && now["vip"]["held"] == status["vip"]["held"]
            && now["problem"].is_null()
    })?;
    let now = host.unit(DAEMON);
    ensure!(now.len() == 1 && now != daemon, "the daemon is {now:?}, it was {daemon:?}");
    ensure!(host.unit(BACKEND) == backend, "the backend was {backend:?}");
    ensure!(host.unit(GUARD) == guard, "the guard was {guard:?}");
    let runs = format!(
        "cmp /proc/$(systemctl show -P MainPID {DAEMON})/exe /usr/bin/ccm && \
         tail -c 6 /usr/bin/ccm"
    );
    ensure!(sh(host, &runs)? == "second", "it does not run the new program");
    sh(host, "dpkg --verify ccm && convex-cluster-manager version").map(drop)
}

/// Nothing of ccm is left but the configuration and the data.
fn remove(site: &Site, number: u8, remove: &str) -> Result<()> {
    let host = site.host(number)?;
    sh(host, &format!("{remove} ccm"))?;
    for unit in [DAEMON, GUARD, BACKEND] {
        wait_for(PATIENCE, &format!("{unit} to be gone from node-{number}"), || {
            host.unit(unit).is_empty().then_some(())
        })?;
    }
    ensure!(!host.has(ccm_lab::VIP), "it has the virtual IP");
    sh(host, "test ! -e /usr/bin/ccm && test ! -e /usr/bin/convex-cluster-manager")?;
    sh(host, "test -s /etc/convex/cluster.json && ls /var/lib/convex/replica.db").map(drop)
}

/// The configuration goes, the data does not.
fn purge(host: &Host) -> Result<()> {
    let before = sh(host, SUMS)?;
    let said = sh(host, "dpkg --purge ccm 2>&1")?;
    ensure!(said.contains("ccm: kept: /var/lib/convex/replica.db\n"), "dpkg prints\n{said}");
    ensure!(sh(host, SUMS)? == before, "the data has changed");
    sh(host, "test ! -e /etc/convex && test ! -e /etc/needrestart/conf.d/convex.conf")?;
    let wanted = format!("/etc/systemd/system/multi-user.target.wants/{DAEMON}");
    sh(host, &format!("test ! -L {wanted} && ! dpkg-query --show ccm")).map(drop)
}

/// What was kept is good for another life.
fn again(site: &Site, host: &Host) -> Result<()> {
    sh(host, "dpkg --install /root/second.deb")?;
    configure(site, host)?;
    sh(host, "convex-cluster-manager join")?;
    sh(host, &format!("systemctl enable --quiet --now {DAEMON}"))?;
    site.wait_follows(host.number())
}
