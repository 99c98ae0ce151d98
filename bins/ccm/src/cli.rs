//! The command line.

pub(crate) mod history;
pub(crate) mod services;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::logging::Format;

/// High availability for self-hosted Convex backends: one PRIMARY that serves, PASSIVE nodes that
/// follow and take over, coordinated through NATS.
#[derive(Debug, Parser)]
#[command(name = "ccm", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 64 wrong usage or configuration, 69 NATS \
                          unreachable, 70 internal error, 75 not done, try again.";

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Shared {
    /// The configuration file [default: $CCM_CONFIG, else /etc/convex/cluster.json]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the configuration of this node
    Init(Box<Init>),
    /// Check the configuration, and do nothing else
    Check,
    /// Bring this node's replica up to date with the cluster, before its daemon starts
    Join,
    /// Take part in the cluster until told to end (SIGTERM; a second one hurries)
    Daemon(Daemon),
    /// Show the cluster as this node sees it
    Status,
    /// Watch the cluster on the terminal: nodes, lease, lag, services, history; q quits
    Watch,
    /// Make this node the PRIMARY; the present one hands over without losing a write
    Promote,
    /// Make the present PRIMARY hand over to another node
    Demote,
    /// Make the named node the PRIMARY
    Switchover {
        /// The node that is to become PRIMARY
        #[arg(long, value_name = "NODE")]
        to: String,
    },
    /// Take this node out of the cluster until `join`
    Leave,
    /// Look at the virtual IP on this host, or take it off: needs neither daemon nor NATS
    Vip {
        #[command(subcommand)]
        command: VipCommand,
    },
    /// What the nodes offer: services, where they are, and how they are
    #[command(subcommand)]
    Services(services::Services),
    /// What has happened in the cluster: failovers, changes of role, outages, and why
    History(history::History),
    /// Restore the cluster's database, or an earlier state of it, into a file of its own
    Restore(Restore),
    /// Have the PRIMARY put a snapshot of the whole database into the bucket, now
    Snapshot {
        /// How long to wait for it; it goes on after that
        #[arg(long, value_name = "DURATION", default_value = "10m")]
        timeout: String,
    },
    /// Look at the LTX files in the bucket
    #[command(subcommand)]
    Ltx(Ltx),
    /// Check this node's replica against the bucket, page by page
    Verify {
        /// Leave out SQLite's own check of the restored database
        #[arg(long)]
        no_check: bool,
    },
    /// Data files of this node that were set aside
    #[command(subcommand)]
    Diverged(Diverged),
    /// Keep the deadline of the lease for a daemon, which starts this by itself
    #[command(hide = true)]
    Guard(Guard),
    /// Print the completions of the command line for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
        /// The name under which the program is called
        #[arg(long, value_name = "NAME", default_value = "ccm")]
        name: String,
    },
    /// Write the man pages
    #[command(hide = true)]
    Man {
        /// The folder that they go to
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Print the version
    Version,
}

/// `ccm vip`
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum VipCommand {
    /// Show whether the kernel has it
    Status,
    /// Take it off, unless this node is PRIMARY
    Release {
        /// Also where this node is PRIMARY; a daemon that runs puts it back at once
        #[arg(long)]
        force: bool,
    },
}

/// `ccm daemon`
#[derive(Debug, Clone, Args)]
pub(crate) struct Daemon {
    /// How lines of the log are written [default: $CCM_LOG_FORMAT, else log.format, else to the
    /// journal where systemd leads standard error there, else as text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) log_format: Option<Format>,
}

/// `ccm guard`
#[derive(Debug, Clone, Args)]
pub(crate) struct Guard {
    /// Where the daemon finds it; without it, everything is as the configuration says
    #[arg(long, value_name = "FILE")]
    pub(crate) socket: Option<PathBuf>,
    /// The systemd unit to end; without it, the guard starts the backend as its child
    #[arg(long, value_name = "UNIT", requires = "socket")]
    pub(crate) unit: Option<String>,
    /// The virtual IP to take off
    #[arg(long, value_name = "ADDRESS/PREFIX", requires_all = ["vip_interface", "socket"])]
    pub(crate) vip: Option<String>,
    /// The interface of the virtual IP
    #[arg(long, value_name = "IF", requires = "vip")]
    pub(crate) vip_interface: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Restore {
    /// The file to make; nothing may be there
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// The last state that was committed at this moment or before it, RFC 3339 with a zone
    #[arg(long, value_name = "TIME", conflicts_with = "txid")]
    pub(crate) timestamp: Option<String>,
    /// The state after this transaction: a number, or 16 hexadecimal digits as in file names
    #[arg(long, value_name = "N")]
    pub(crate) txid: Option<String>,
    /// Say what would be restored, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave out SQLite's own check of the result; checksums are checked all the same
    #[arg(long)]
    pub(crate) no_check: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Ltx {
    /// List the files
    List {
        /// Of this level only: 0 to 8, 9 for snapshots
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=9))]
        level: Option<u8>,
    },
    /// Show what is in a file
    Show {
        /// The file, as `list` names it
        name: String,
    },
    /// Read files to their end and check them, and whether they fit together
    Verify {
        /// Only this file, as `list` names it
        name: Option<String>,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Diverged {
    /// List the files
    List,
    /// Show what a file has that the cluster does not have
    Show {
        /// The file, as `list` names it
        name: String,
    },
    /// Remove a file for good
    Drop {
        /// The file, as `list` names it
        name: String,
        /// Really
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Init {
    /// The cluster: letters, digits, '-' and '_'
    #[arg(long)]
    pub(crate) cluster_id: String,
    /// This node: letters, digits, '-', '_' and '.'
    #[arg(long)]
    pub(crate) node_id: String,
    /// NATS servers
    #[arg(long, value_name = "URL[,URL…]", value_delimiter = ',', required = true)]
    pub(crate) nats: Vec<String>,
    /// The NATS credentials file
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
    /// Replicas of the buckets in NATS [default: 1 on one server, 3 on three or more]
    #[arg(long, value_name = "N")]
    pub(crate) nats_replicas: Option<u64>,
    /// The virtual IP
    #[arg(long, value_name = "IP", requires = "interface")]
    pub(crate) vip: Option<IpAddr>,
    /// Prefix length of the virtual IP [default: 24, IPv6: 64]
    #[arg(long, value_name = "N", requires = "vip")]
    pub(crate) vip_netmask: Option<u64>,
    /// The interface of the virtual IP
    #[arg(long, value_name = "IF", requires = "vip")]
    pub(crate) interface: Option<String>,
    /// This node's own address [default: that of the route to NATS]
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
    /// Who runs the backend
    #[arg(long, value_enum, default_value_t = Kind::Systemd)]
    pub(crate) backend_kind: Kind,
    /// The unit of the backend [default: convex-backend]
    #[arg(long, value_name = "UNIT")]
    pub(crate) service_name: Option<String>,
    /// The backend's program and arguments, for `--backend-kind process`: split at spaces, or a
    /// JSON list of strings
    #[arg(long, value_name = "COMMAND")]
    pub(crate) backend_command: Option<String>,
    /// The file that the backend serves [default: /var/lib/convex/data.db]
    #[arg(long, value_name = "FILE")]
    pub(crate) data_path: Option<PathBuf>,
    /// The file that follows the primary [default: /var/lib/convex/replica.db]
    #[arg(long, value_name = "FILE")]
    pub(crate) replica_path: Option<PathBuf>,
    /// What is asked whether the backend is healthy, or `off` [default:
    /// http://localhost:3210/health]
    #[arg(long, value_name = "URL")]
    pub(crate) health_endpoint: Option<String>,
    /// How long a silent primary keeps the lease [default: 10000]
    #[arg(long, value_name = "MS")]
    pub(crate) ttl_ms: Option<u64>,
    /// Between two renewals of the lease [default: 3000]
    #[arg(long, value_name = "MS")]
    pub(crate) heartbeat_ms: Option<u64>,
    /// Between two snapshots [default: 3600000]
    #[arg(long, value_name = "MS")]
    pub(crate) snapshot_interval_ms: Option<u64>,
    /// How long history is kept [default: 24h]
    #[arg(long, value_name = "DURATION")]
    pub(crate) retention: Option<String>,
    /// Where /health, /ready and /status are served, or `off` [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) health_listen: Option<String>,
    /// Where /metrics is served, or `off` [default: 0.0.0.0:9090]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<String>,
    /// Replace a configuration that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// `backend.kind`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A systemd unit
    Systemd,
    /// A process of the guard
    Process,
}
