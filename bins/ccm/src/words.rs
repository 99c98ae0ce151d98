//! Values in the words of the operator.

use ccm_agent::without_secret;
use ccm_vip::VipConfig;

/// `address/prefix`
pub(crate) fn vip(config: &VipConfig) -> String {
    format!("{}/{}", config.address(), config.prefix_len())
}

/// The servers as one list, without passwords that a URL may contain.
pub(crate) fn servers(servers: &[String]) -> String {
    let shown: Vec<String> = servers.iter().map(|server| without_secret(server)).collect();
    shown.join(" ")
}

/// How long ago a moment in RFC 3339 was, by the clock of this host.
pub(crate) fn since(moment: &str) -> String {
    moment.parse().map_or_else(|_| String::from(moment), |then| ago(jiff::Timestamp::now(), then))
}

fn ago(now: jiff::Timestamp, then: jiff::Timestamp) -> String {
    match now.duration_since(then).as_secs() {
        ..2 => String::from("now"),
        seconds @ 2..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_since_is_said_as_people_say_it() {
        let at = |seconds| jiff::Timestamp::from_second(seconds).unwrap();
        let table =
            [(0, "now"), (-5, "now"), (90, "90 s ago"), (300, "5 min ago"), (90_000, "25 h ago")];
        for (seconds, expected) in table {
            assert_eq!(ago(at(1_000_000 + seconds), at(1_000_000)), expected);
        }
        assert_eq!(since("whenever"), "whenever");
    }

    #[test]
    fn passwords_in_urls_are_not_shown() {
        let given = ["nats://u:p@h:4222", "nats://h:4222", "u:p@h", "h"].map(String::from);
        assert_eq!(servers(&given), "nats://h:4222 nats://h:4222 h h");
    }
}
