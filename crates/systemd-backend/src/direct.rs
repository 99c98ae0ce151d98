//! systemd without a bus, as far as it takes to end a unit: systemctl(1) asks it through a socket
//! of its own, which is open to root, or to the user whose systemd it is.

use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::decide::verdict;
use crate::{ActiveState, Bus, Verdict};

/// Bytes of an answer that are read: it has four lines.
const ANSWER_MAX: u64 = 16 << 10;

/// What it says of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) verdict: Verdict,
    /// A job waits or runs.
    pub(crate) job: bool,
    pub(crate) group: String,
}

/// `None` when it does not answer.
pub(crate) async fn show(bus: &Bus, unit: &str) -> Option<Shown> {
    let what = "--property=ActiveState,SubState,Job,ControlGroup";
    parse(&run(bus, &["show", what, "--", unit]).await?)
}

/// Queues a stop job; whether that worked.
pub(crate) async fn stop(bus: &Bus, unit: &str) -> bool {
    let how = ["stop", "--no-block", "--job-mode=replace-irreversibly", "--", unit];
    run(bus, &how).await.is_some()
}

/// SIGKILL to everything in it; whether that worked.
pub(crate) async fn kill(bus: &Bus, unit: &str) -> bool {
    run(bus, &["kill", "--kill-who=all", "--signal=KILL", "--", unit]).await.is_some()
}

/// What it prints; `None` when it fails. The caller bounds it, and it ends with the call.
async fn run(bus: &Bus, args: &[&str]) -> Option<String> {
    let mut systemctl = Command::new("systemctl");
    match bus {
        Bus::System => {}
        Bus::Session => {
            systemctl.arg("--user");
        }
        Bus::Address(_) => return None,
    }
    systemctl.args(["--no-ask-password", "--no-pager", "--quiet"]).args(args);
    systemctl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = systemctl.kill_on_drop(true).spawn().ok()?;
    let mut text = String::new();
    child.stdout.take()?.take(ANSWER_MAX).read_to_string(&mut text).await.ok()?;
    child.wait().await.ok()?.success().then_some(text)
}

fn parse(text: &str) -> Option<Shown> {
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find_map(|(name, value)| (name == key).then_some(value))
    };
    Some(Shown {
        verdict: verdict(ActiveState::parse(value("ActiveState")?), value("SubState")?),
        job: !matches!(value("Job").unwrap_or_default(), "" | "0"),
        group: String::from(value("ControlGroup").unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows_is_read_and_half_an_answer_is_none() {
        let running =
            "ActiveState=active\nSubState=running\nControlGroup=/system.slice/x.service\n";
        let shown = parse(running).unwrap();
        assert_eq!((shown.verdict, shown.job), (Verdict::Up, false));
        assert_eq!(shown.group, "/system.slice/x.service");
        for (job, expected) in [("", false), ("0", false), ("1234", true)] {
            let text = format!("Job={job}\nControlGroup=\nActiveState=inactive\nSubState=dead\n");
            let shown = parse(&text).unwrap();
            assert_eq!((shown.verdict, shown.job), (Verdict::Down, expected), "{job}");
            assert_eq!(shown.group, "");
        }
        for half in ["", "ActiveState=inactive\n", "SubState=dead\n"] {
            assert_eq!(parse(half), None, "{half}");
        }
    }
}
