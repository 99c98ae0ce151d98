//! What the demo says at the end.

use std::time::Duration;

use super::story::Outcome;

/// What ccm may take beyond the lease.
const BEYOND_TTL: Duration = Duration::from_secs(1);
/// The backend's own start, generously: two cores, unoptimised builds.
const BACKEND_START: Duration = Duration::from_secs(2);
/// How old an acknowledged write may be that is lost with the host.
const LOST_AGE_MAX: Duration = Duration::from_millis(100);

/// The summary, and whether everything promised has held.
pub(super) fn write(outcome: &Outcome) -> (String, bool) {
    let lines = [took_over(outcome), lost(outcome), moved(outcome), two(outcome), check(outcome)];
    let held = lines.iter().all(|(held, _)| *held);
    let mut text = String::from("Summary\n");
    text.push_str(&format!("     {} writes acknowledged\n", outcome.acknowledged));
    for (held, line) in lines {
        text.push_str(&format!("  {}  {line}\n", if held { "✓" } else { "✗" }));
    }
    text.push_str(if held { "Every promise held.\n" } else { "NOT every promise held.\n" });
    (text, held)
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

fn took_over(outcome: &Outcome) -> (bool, String) {
    let limit = outcome.ttl + BEYOND_TTL + BACKEND_START;
    let expiry = match outcome.from_expiry {
        Some(late) => format!("{} after its lease had expired", seconds(late)),
        None => String::from("BEFORE its lease had expired"),
    };
    let kill = seconds(outcome.from_kill);
    let line = format!("first write on the other node {kill} after the kill, {expiry}");
    (outcome.from_kill <= limit && outcome.from_expiry.is_some(), line)
}

fn lost(outcome: &Outcome) -> (bool, String) {
    let lost = &outcome.lost;
    if lost.acks.is_empty() {
        return (true, String::from("the kill lost no acknowledged write"));
    }
    let order = if lost.suffix { "the last ones" } else { "NOT the last ones" };
    let (count, age) = (lost.acks.len(), lost.oldest_age.as_millis());
    let line =
        format!("the kill lost {count} acknowledged writes, {order}, the oldest {age} ms old");
    (lost.suffix && lost.oldest_age <= LOST_AGE_MAX, line)
}

fn moved(outcome: &Outcome) -> (bool, String) {
    let gap = seconds(outcome.gap);
    let lost = match outcome.lost_by_move {
        0 => String::from("no write"),
        count => format!("{count} acknowledged writes"),
    };
    (outcome.lost_by_move == 0, format!("the switchover lost {lost}; clients waited {gap}"))
}

fn two(outcome: &Outcome) -> (bool, String) {
    let looks = outcome.looks;
    let Some(seen) = outcome.two.first() else {
        return (looks > 0, format!("two backends never ran at once ({looks} looks)"));
    };
    (false, format!("two backends ran at once: {seen}"))
}

fn check(outcome: &Outcome) -> (bool, String) {
    let rows: Vec<i64> = outcome.checks.iter().map(|(_, _, rows)| *rows).collect();
    let same = rows.windows(2).all(|two| two[0] == two[1]);
    let sound = outcome.checks.iter().all(|(_, integrity, _)| integrity == "ok");
    let of = |(name, integrity, rows): &(String, String, i64)| {
        format!("{name} {integrity}, {rows} rows")
    };
    let all: Vec<String> = outcome.checks.iter().map(of).collect();
    let holes = match outcome.holes {
        0 => String::from("no row missing in between"),
        count => format!("{count} ROWS MISSING in between"),
    };
    let line = format!("integrity check: {}; {holes}", all.join("; "));
    (same && sound && outcome.holes == 0, line)
}

#[cfg(test)]
mod tests {
    use ccm_harness::Lost;

    use super::*;

    fn good() -> Outcome {
        Outcome {
            ttl: Duration::from_secs(10),
            from_kill: Duration::from_millis(9_500),
            from_expiry: Some(Duration::from_millis(600)),
            acknowledged: 3_000,
            lost: Lost { suffix: true, ..Lost::default() },
            lost_by_move: 0,
            gap: Duration::from_millis(400),
            looks: 5_000,
            two: Vec::new(),
            holes: 0,
            checks: vec![
                (String::from("node-1"), String::from("ok"), 3_000),
                (String::from("node-2"), String::from("ok"), 3_000),
            ],
        }
    }

    #[test]
    fn each_broken_promise_is_named_and_fails_the_demo() {
        let (text, held) = write(&good());
        assert!(held, "{text}");
        assert!(text.contains("9.50 s after the kill, 0.60 s after its lease"), "{text}");
        type Break = fn(&mut Outcome);
        let table: [(Break, &str); 7] = [
            (|o| o.from_kill = Duration::from_secs(14), "✗  first write"),
            (|o| o.from_expiry = None, "BEFORE"),
            (|o| o.lost_by_move = 2, "✗  the switchover lost 2"),
            (|o| o.two = vec![String::from("1 and 2")], "✗  two backends"),
            (|o| o.holes = 1, "1 ROWS MISSING"),
            (|o| o.checks[1].1 = String::from("bad page"), "✗  integrity"),
            (|o| o.checks[1].2 = 2_999, "✗  integrity"),
        ];
        for (spoil, words) in table {
            let mut outcome = good();
            spoil(&mut outcome);
            let (text, held) = write(&outcome);
            assert!(!held && text.contains(words), "{text}");
        }
    }
}
