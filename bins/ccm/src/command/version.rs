//! `ccm version`.

use serde_json::json;

use crate::cli::Shared;
use crate::exit::{Ended, Exit};
use crate::print;

pub(crate) fn run(shared: &Shared) -> Ended {
    let version = env!("CARGO_PKG_VERSION");
    if shared.json {
        print::json(&json!({ "version": version }))?;
    } else {
        print::line(&format!("ccm {version}"))?;
    }
    Ok(Exit::Done)
}
