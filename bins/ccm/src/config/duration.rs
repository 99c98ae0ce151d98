//! Durations as Go writes them: `24h`, `1h30m`, `90s`, `500ms`, `1.5h`.

use std::time::Duration;

/// The units, longest name first where one begins like another, in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];
/// Digits after the point that are looked at: nanoseconds of an hour.
const FRACTION_DIGITS_MAX: usize = 13;

/// Reads a duration; `None` when it is none, or too long to count in nanoseconds.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut nanos: u128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let (unit, scale) = UNITS.into_iter().find(|(unit, _)| tail.starts_with(unit))?;
        nanos = nanos.checked_add(scaled(number, scale)?)?;
        rest = tail.strip_prefix(unit)?;
    }
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// `number` times `scale`; a decimal point is allowed.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = fraction.get(..FRACTION_DIGITS_MAX).unwrap_or(fraction);
    let tenths: u128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let power = 10_u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    whole.checked_mul(scale)?.checked_add(tenths.checked_mul(scale)? / power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let table = [
            ("24h", Some(86_400_000)),
            ("1h30m", Some(5_400_000)),
            ("90s", Some(90_000)),
            ("500ms", Some(500)),
            ("1.5h", Some(5_400_000)),
            (".5s", Some(500)),
            ("2m0.25s", Some(120_250)),
            ("1500us", Some(1)),
            ("0s", Some(0)),
            ("", None),
            ("24", None),
            ("h", None),
            (".h", None),
            ("1.2.3h", None),
            ("-1h", None),
            ("1d", None),
            ("1h ", None),
            ("99999999999999999999h", None),
        ];
        for (text, millis) in table {
            assert_eq!(parse(text).map(|d| d.as_millis()), millis, "{text}");
        }
    }
}
