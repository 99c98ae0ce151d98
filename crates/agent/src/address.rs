//! This node's own address: where the way to NATS begins.

use std::net::{IpAddr, UdpSocket};

/// NATS' own port, for servers that are named without one.
const NATS_PORT: u16 = 4222;

/// The local address of the route to a server. On a host that also runs a server and names it as
/// `localhost`, the route to another one says more: a loopback address is only taken when there
/// is no other. Nothing is sent.
pub(crate) fn of_route(servers: &[String]) -> Option<IpAddr> {
    let mut found = None;
    for server in servers {
        match local_address(server) {
            Some(address) if !address.is_loopback() => return Some(address),
            Some(address) => found = found.or(Some(address)),
            None => {}
        }
    }
    found
}

fn local_address(server: &str) -> Option<IpAddr> {
    let host = host_and_port(server);
    // One of them cannot reach the other family.
    ["0.0.0.0:0", "[::]:0"].iter().find_map(|any| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(&host).ok()?;
        Some(socket.local_addr().ok()?.ip())
    })
}

/// `host:port` of `nats://user:password@host:port`.
fn host_and_port(server: &str) -> String {
    let host = server.rsplit_once("://").map_or(server, |(_, host)| host);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.split(['/', '?']).next().unwrap_or(host);
    let has_port = host.rsplit_once(':').is_some_and(|(before, port)| {
        port.parse::<u16>().is_ok() && (!before.contains(':') || before.ends_with(']'))
    });
    if has_port { String::from(host) } else { format!("{host}:{NATS_PORT}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_in_many_ways() {
        for (server, expected) in [
            ("nats://h:4223", "h:4223"),
            ("nats://h", "h:4222"),
            ("h", "h:4222"),
            ("tls://u:p@h:1/", "h:1"),
            ("nats://[fd00::7]:4222", "[fd00::7]:4222"),
            ("nats://[fd00::7]", "[fd00::7]:4222"),
        ] {
            assert_eq!(host_and_port(server), expected, "{server}");
        }
    }

    #[test]
    fn the_route_to_this_host_is_only_taken_when_there_is_no_other() {
        let servers = |all: &[&str]| all.iter().map(|&one| String::from(one)).collect::<Vec<_>>();
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(of_route(&servers(&["nats://127.0.0.1"])), Some(loopback));
        assert_eq!(of_route(&servers(&["nats://no-such-host.invalid"])), None);
        let both = of_route(&servers(&["nats://127.0.0.1:4222", "nats://192.0.2.1:4222"]));
        // A host without any other network has no other.
        assert!(both.is_some());
        if let Some(other) = of_route(&servers(&["nats://192.0.2.1:4222"])) {
            assert_eq!(both, Some(other));
        }
    }
}
