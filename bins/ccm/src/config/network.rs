//! Addresses: the node's own, the virtual IP, the listeners, and the services that are announced.

use std::net::{IpAddr, SocketAddr};

use ccm_agent::VipSettings;

use super::json::Problem;
use super::section::Section;

/// The longest name of a network interface: IFNAMSIZ without the end mark.
const INTERFACE_LEN_MAX: usize = 15;
/// Announcements of a new holder of the virtual IP.
const ARP_COUNT_MAX: u64 = 100;
/// What a service may speak.
const PROTOCOLS: [&str; 7] = ["tcp", "udp", "http", "https", "grpc", "ws", "wss"];

/// An IP address.
pub(super) fn address(section: &Section<'_>, key: &str) -> Result<Option<IpAddr>, Problem> {
    section.parsed(key, |text| text.parse().map_err(|_| "it must be an IPv4 or IPv6 address"))
}

pub(super) fn vip(vip: &Section<'_>) -> Result<Option<VipSettings>, Problem> {
    vip.allow(&["address", "netmask", "interface", "arpCount", "arpIntervalMs", "refreshMs"])?;
    if !vip.is_there() {
        return Ok(None);
    }
    vip.number("arpCount", (1, ARP_COUNT_MAX))?;
    vip.millis("arpIntervalMs", 10, 1_000)?;
    vip.millis("refreshMs", 100, 60_000)?;
    let address = address(vip, "address")?
        .ok_or_else(|| vip.missing("address", ": leave out vip to have no virtual IP"))?;
    let (bits, usual) = if address.is_ipv4() { (32, 24) } else { (128, 64) };
    let prefix = vip.number("netmask", (1, bits))?.unwrap_or(usual);
    let interface = vip.parsed("interface", |name| {
        let odd = |c: char| c.is_whitespace() || c == '/' || c == ':';
        if name.len() > INTERFACE_LEN_MAX || name.contains(odd) {
            return Err("it must be the name of a network interface");
        }
        Ok(String::from(name))
    });
    let interface =
        interface?.ok_or_else(|| vip.missing("interface", " where vip.address is given"))?;
    Ok(Some(VipSettings { address, prefix: u8::try_from(prefix).unwrap_or(u8::MAX), interface }))
}

/// The listeners are checked here and used by what listens.
pub(super) fn check_http(http: &Section<'_>) -> Result<(), Problem> {
    http.allow(&["healthListen", "metricsListen"])?;
    for key in ["healthListen", "metricsListen"] {
        http.parsed(key, |text| match text {
            "off" => Ok(()),
            _ if text.parse::<SocketAddr>().is_ok() => Ok(()),
            _ => Err("write an address and a port like 0.0.0.0:8080, or \"off\""),
        })?;
    }
    Ok(())
}

/// The services are checked here and used by what announces them.
pub(super) fn check_services(services: &Section<'_>) -> Result<(), Problem> {
    for name in services.keys() {
        let service = services.section(name)?;
        let usable = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(usable) {
            return Err(service.wrong_here("use letters, digits, '-' and '_' in its name"));
        }
        service.allow(&["port", "protocol", "path", "healthPath", "metadata", "tags"])?;
        service
            .number("port", (1, u64::from(u16::MAX)))?
            .ok_or_else(|| service.missing("port", ""))?;
        service.parsed("protocol", |text| {
            let known = PROTOCOLS.contains(&text);
            if known { Ok(()) } else { Err(format!("use one of {}", PROTOCOLS.join(", "))) }
        })?;
        for key in ["path", "healthPath"] {
            let begins = |text: &str| {
                if text.starts_with('/') { Ok(()) } else { Err("it must begin with /") }
            };
            service.parsed(key, begins)?;
        }
        let metadata = service.section("metadata")?;
        for key in metadata.keys() {
            metadata.text(key)?;
        }
        service.texts("tags")?;
    }
    Ok(())
}
