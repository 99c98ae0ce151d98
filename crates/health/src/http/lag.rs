//! `?lag=` of `/replica`: how far behind is near enough.

use std::time::Duration;

/// What is not a lag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lag is {0:?}: write milliseconds like 500, or a time like 500ms, 10s or 2m")]
pub struct LagError(String);

/// The bound that `query` names; `None` when it names none. The last one counts.
///
/// # Errors
/// [`LagError`] when it is no time.
pub fn parse_lag(query: &str) -> Result<Option<Duration>, LagError> {
    let given = query.split('&').filter_map(|pair| pair.split_once('='));
    let given = given.rev().find(|(key, _)| *key == "lag");
    given.map(|(_, text)| parse(text).ok_or_else(|| LagError(String::from(text)))).transpose()
}

fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis_each = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(millis_each).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_a_time() {
        let table = [
            ("", Ok(None)),
            ("other=1", Ok(None)),
            ("lag=250", Ok(Some(250))),
            ("lag=250ms", Ok(Some(250))),
            ("a=b&lag=10s", Ok(Some(10_000))),
            ("lag=1s&lag=2m", Ok(Some(120_000))),
            ("lag=", Err("")),
            ("lag=-1", Err("-1")),
            ("lag=1.5s", Err("1.5s")),
            ("lag=1MB", Err("1MB")),
            ("lag=99999999999999999m", Err("99999999999999999m")),
        ];
        for (query, expected) in table {
            let expected = expected
                .map(|bound| bound.map(Duration::from_millis))
                .map_err(|text| LagError(String::from(text)));
            assert_eq!(parse_lag(query), expected, "{query}");
        }
    }
}
