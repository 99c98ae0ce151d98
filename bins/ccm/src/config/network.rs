//! Addresses: the node's own, the virtual IP and the listeners.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ccm_agent::HttpSettings;
use ccm_vip::{AnnounceConfig, ConfigError, VipConfig};

use super::json::Problem;
use super::section::Section;

/// Announcements of a new holder of the virtual IP.
const ARP_COUNT_MAX: u64 = 100;
/// Between two of them.
const ARP_INTERVAL_MS: (u64, u64) = (100, 60_000);
/// Between two after these, up to an hour; 0 for none, else a second at least.
const REFRESH_MS: (u64, u64) = (0, 3_600_000);
/// `http.healthListen` when it is not given.
const HEALTH_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
/// `http.metricsListen` when it is not given.
const METRICS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9090);

/// An IP address.
pub(super) fn address(section: &Section<'_>, key: &str) -> Result<Option<IpAddr>, Problem> {
    section.parsed(key, |text| text.parse().map_err(|_| "it must be an IPv4 or IPv6 address"))
}

pub(super) fn vip(vip: &Section<'_>) -> Result<Option<VipConfig>, Problem> {
    vip.allow(&["address", "netmask", "interface", "arpCount", "arpIntervalMs", "refreshMs"])?;
    if !vip.is_there() {
        return Ok(None);
    }
    let announce = announce(vip)?;
    let address = address(vip, "address")?
        .ok_or_else(|| vip.missing("address", ": leave out vip to have no virtual IP"))?;
    let (bits, usual) = if address.is_ipv4() { (32, 24) } else { (128, 64) };
    let prefix = vip.number("netmask", (1, bits))?.unwrap_or(usual);
    let prefix = u8::try_from(prefix).unwrap_or(u8::MAX);
    let interface = vip
        .text("interface")?
        .ok_or_else(|| vip.missing("interface", " where vip.address is given"))?;
    let config = VipConfig::new(address, prefix, interface);
    let config = config.and_then(|config| config.with_announce(announce));
    config.map(Some).map_err(|error| {
        let key = match &error {
            ConfigError::Address { .. } | ConfigError::Edge { .. } => "address",
            ConfigError::Prefix { .. } => "netmask",
            ConfigError::Interface { .. } => "interface",
            ConfigError::Announce { .. } => "refreshMs",
        };
        vip.wrong(key, &format!("cannot be used: {error}"))
    })
}

/// How often the neighbours are told.
fn announce(vip: &Section<'_>) -> Result<AnnounceConfig, Problem> {
    let usual = AnnounceConfig::default();
    let millis = |key, bounds, usual| {
        let given = vip.number(key, bounds)?;
        Ok::<_, Problem>(given.map_or(usual, Duration::from_millis))
    };
    let count = vip.number("arpCount", (1, ARP_COUNT_MAX))?;
    let count = count.and_then(|count| u32::try_from(count).ok());
    Ok(AnnounceConfig {
        count: count.unwrap_or(usual.count),
        interval: millis("arpIntervalMs", ARP_INTERVAL_MS, usual.interval)?,
        refresh: millis("refreshMs", REFRESH_MS, usual.refresh)?,
    })
}

/// The listeners.
pub(super) fn http(http: &Section<'_>) -> Result<HttpSettings, Problem> {
    http.allow(&["healthListen", "metricsListen"])?;
    let listen = |key, usual: SocketAddr| {
        let given = http.parsed(key, |text| match text {
            "off" => Ok(None),
            _ => text
                .parse()
                .map(Some)
                .map_err(|_| "write an address and a port like 0.0.0.0:8080, or \"off\""),
        })?;
        Ok::<_, Problem>(given.unwrap_or(Some(usual)))
    };
    Ok(HttpSettings {
        health: listen("healthListen", HEALTH_LISTEN)?,
        metrics: listen("metricsListen", METRICS_LISTEN)?,
    })
}
