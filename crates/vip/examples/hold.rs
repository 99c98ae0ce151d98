//! Holds an address until it is interrupted, and says what happens to it meanwhile.
//!
//! ```text
//! cargo run -p ccm-vip --example hold -- 10.0.1.100/24 eth0
//! cargo run -p ccm-vip --example hold -- 2001:db8::10/64 eth0 --insist
//! cargo run -p ccm-vip --example hold -- 10.0.1.100/24 eth0 --release
//! ```

use std::io::Write as _;
use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use ccm_vip::{Vip, VipConfig, release_now};

const USAGE: &str = "usage: hold ADDRESS/PREFIX INTERFACE [--insist|--release]";

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (address, interface, option) = match words.as_slice() {
        [address, interface] => (*address, *interface, ""),
        [address, interface, option] => (*address, *interface, *option),
        _other => bail!(USAGE),
    };
    let (address, prefix_len) = address.split_once('/').context(USAGE)?;
    let address: IpAddr = address.parse().context("this is no IP address")?;
    let prefix_len = prefix_len.parse().context("this is no length of a prefix")?;
    let config = VipConfig::new(address, prefix_len, interface)?;
    match option {
        "--release" => say(&format!("{:?}", release_now(&config)?)),
        "" => hold(config, false).await,
        "--insist" => hold(config, true).await,
        _other => bail!(USAGE),
    }
}

async fn hold(config: VipConfig, insist: bool) -> Result<()> {
    let vip = Vip::open(config)?;
    let mut events = vip.watch();
    let acquired = vip.acquire(insist).await?;
    say(&format!("{acquired:?}"))?;
    if let Some(problem) = acquired.link.problem(vip.config().interface()) {
        say(&problem)?;
    }
    loop {
        tokio::select! {
            event = events.next() => say(&format!("{event:?}"))?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                say(&format!("{:?}", vip.release().await?))?;
                return Ok(());
            }
        }
    }
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
