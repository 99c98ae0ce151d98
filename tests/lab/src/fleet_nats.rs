//! NATS on the hosts themselves: one server on each, all of them one cluster, as a unit.

use anyhow::Result;
use ccm_harness::nats_server;

use crate::host::Host;

/// The unit.
pub(crate) const UNIT: &str = "nats-server.service";

const SERVICE: &str = "[Unit]
Description=NATS Server
After=network-online.target

[Service]
ExecStart=/usr/bin/nats-server -c /etc/nats/nats.conf
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
";

/// Puts the server on a host, one of `hosts`; it is started with the next boot, or by hand.
pub(crate) fn install(host: &Host, hosts: usize) -> Result<()> {
    host.copy(&nats_server(), "usr/bin/nats-server")?;
    host.write("etc/nats/nats.conf", &config(host.number(), hosts))?;
    host.write(&format!("etc/systemd/system/{UNIT}"), SERVICE)?;
    host.done(&["systemctl", "enable", "--quiet", UNIT]).map(drop)
}

/// The settings that the README recommends for a cluster.
fn config(number: u8, hosts: usize) -> String {
    let routes: Vec<String> = (1..=hosts).map(|n| format!("nats://nats{n}:6222")).collect();
    format!(
        "server_name: nats{number}
listen: 0.0.0.0:4222
http: 0.0.0.0:8222
jetstream {{
  store_dir: /var/lib/nats
  sync_interval: always
}}
cluster {{
  name: convex
  listen: 0.0.0.0:6222
  routes: [{}]
}}
",
        routes.join(", ")
    )
}
