//! Starts, stops, kills or watches a unit.
//!
//! ```text
//! cargo run -p ccm-systemd-backend --example unit -- ssh state
//! cargo run -p ccm-systemd-backend --example unit -- --user my-backend watch
//! ```

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ccm_systemd_backend::{Bus, Unit};

/// How long systemd may take for what is asked.
const WITHIN: Duration = Duration::from_secs(30);

const USAGE: &str = "usage: unit [--user] NAME state|start|stop|kill|watch";

#[tokio::main]
async fn main() -> Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let user = words.first().is_some_and(|word| word == "--user");
    if user {
        words.remove(0);
    }
    let [name, verb] = words.as_slice() else { bail!(USAGE) };
    let unit = Unit::connect(if user { Bus::Session } else { Bus::System }, name).await?;
    let verb = verb.as_str();
    match verb {
        "state" => {}
        "start" => unit.start(WITHIN).await?,
        "stop" => unit.stop(WITHIN).await?,
        "kill" => unit.kill(WITHIN).await?,
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
