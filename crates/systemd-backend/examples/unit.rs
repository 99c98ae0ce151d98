//! Starts, ends, kills or watches a unit, says who else starts it and what it wrote last.
//!
//! ```text
//! cargo run -p ccm-systemd-backend --example unit -- ssh state
//! cargo run -p ccm-systemd-backend --example unit -- --user my-backend watch
//! ```

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ccm_systemd_backend::{Bus, Patience, Unit};

/// How long systemd may take for what is asked.
const WITHIN: Duration = Duration::from_secs(30);

/// From the stop job to SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

const USAGE: &str =
    "usage: unit [--user] NAME state|start|stop|end|kill|watch|starters|disable|log";

#[tokio::main]
async fn main() -> Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let user = words.first().is_some_and(|word| word == "--user");
    if user {
        words.remove(0);
    }
    let [name, verb] = words.as_slice() else { bail!(USAGE) };
    let unit = Unit::new(if user { Bus::Session } else { Bus::System }, name);
    let verb = verb.as_str();
    match verb {
        "state" => {}
        "start" => unit.start(WITHIN).await?,
        "stop" => unit.stop(WITHIN).await?,
        "end" => unit.end(Patience { grace: GRACE, within: WITHIN }).await?,
        "kill" => unit.kill(WITHIN).await?,
        "starters" => return say(&format!("{:?}", unit.starts_itself().await?)),
        "disable" => return say(&format!("{:?}", unit.disable().await?)),
        "log" => return say(&unit.last_lines().await.lines().join("\n")),
        "watch" => return watch(&unit).await,
        _other => bail!(USAGE),
    }
    let state = unit.state().await.with_context(|| format!("after {verb}"))?;
    let left = if unit.is_gone().await? { "nothing left" } else { "not gone" };
    say(&format!("{}: {}, up {:?}, {left}", unit.name(), state.in_words(), state.uptime()))
}

async fn watch(unit: &Unit) -> Result<()> {
    let mut watch = unit.watch().await?;
    say(&watch.state().in_words())?;
    loop {
        let words = watch.changed().await?.in_words();
        say(&words)?;
    }
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
