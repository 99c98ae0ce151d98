//! Values in the words of the operator.

/// The servers as one list, without passwords that a URL may contain.
pub(crate) fn servers(servers: &[String]) -> String {
    let shown: Vec<String> = servers.iter().map(|server| without_password(server)).collect();
    shown.join(" ")
}

fn without_password(server: &str) -> String {
    let (scheme, rest) = server.split_once("://").map_or(("", server), |(s, r)| (s, r));
    let Some((_, host)) = rest.rsplit_once('@') else { return String::from(server) };
    if scheme.is_empty() { String::from(host) } else { format!("{scheme}://{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_not_shown() {
        let given = ["nats://u:p@h:4222", "nats://h:4222", "u:p@h", "h"].map(String::from);
        assert_eq!(servers(&given), "nats://h:4222 nats://h:4222 h h");
    }
}
