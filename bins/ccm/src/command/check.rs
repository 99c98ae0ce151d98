//! `ccm check`: whether a daemon would take this configuration.

use serde_json::json;

use crate::cli::Shared;
use crate::config::{self, Config};
use crate::exit::{Ended, Exit, Failure};
use crate::print;

pub(crate) fn run(shared: &Shared) -> Ended {
    let path = config::path(shared.config.as_deref());
    let config = Config::load(shared.config.as_deref())?;
    let settings = config.view();
    settings.tunables().probe().map_err(|error| Failure::new(Exit::Usage, error))?;
    if shared.json {
        print::json(&json!({
            "ok": true,
            "path": path,
            "clusterId": settings.cluster,
            "nodeId": settings.node,
        }))?;
    } else {
        let shown = path.display();
        print::line(&format!(
            "✓ {shown} is correct: node {} of cluster {}",
            settings.node, settings.cluster
        ))?;
    }
    Ok(Exit::Done)
}
