//! `ccm history`

use ccm_history::Kind;
use ccm_types::NodeId;
use clap::Args;

/// Events that are shown unless the operator says otherwise.
const LIMIT: usize = 20;

#[derive(Debug, Clone, Args)]
pub(crate) struct History {
    /// Go on with what comes, until told to end; with --json one object a line
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// At most so many: the newest ones
    #[arg(long, short = 'n', value_name = "N", default_value_t = LIMIT)]
    pub(crate) limit: usize,
    /// Of this node
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<NodeId>,
    /// Of this kind: role, failover, move, backend, divergence, nats-outage or refused
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<Kind>,
    /// That happened at this moment (RFC 3339 with a zone) or so long ago (`90m`, `24h`), or later
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
}
