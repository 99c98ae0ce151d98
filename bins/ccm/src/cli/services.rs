//! `ccm services`

use std::path::PathBuf;

use ccm_discovery::{Filter, Health, export};
use ccm_types::{NodeId, ServiceName};
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Services {
    /// List the services of all nodes
    List {
        #[command(flatten)]
        which: Which,
    },
    /// Show everything that is known of one service
    Show {
        /// The service, as `list` names it
        name: ServiceName,
    },
    /// Print what changes, until told to end
    Watch {
        #[command(flatten)]
        which: Which,
    },
    /// Write the services as other programs read them
    Export(Export),
}

/// Which services are meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct Which {
    /// With this tag; more than once: with all of them
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Of this name
    #[arg(long, value_name = "NAME")]
    name: Option<ServiceName>,
    /// On this node
    #[arg(long, value_name = "NODE")]
    node: Option<NodeId>,
    /// Of this health: passing, standby or critical
    #[arg(long, value_name = "HEALTH")]
    health: Option<Health>,
}

impl Which {
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            name: self.name.clone(),
            node: self.node.clone(),
            tags: self.tag.clone(),
            health: self.health,
            ..Filter::default()
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Export {
    /// For whom
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,
    /// The file to write, as a whole or not at all [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Keep the file current until told to end
    #[arg(long, requires = "output")]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Targets for file_sd_configs of Prometheus: services that speak http or https
    Prometheus,
    /// Targets in the same shape for collectors of logs: services that speak tcp or udp
    Syslog,
    /// Service definitions for a Consul agent
    Consul,
    /// The records as they are
    Json,
}

impl Format {
    pub(crate) fn of_export(self) -> export::Format {
        match self {
            Self::Prometheus => export::Format::Prometheus,
            Self::Syslog => export::Format::Syslog,
            Self::Consul => export::Format::Consul,
            Self::Json => export::Format::Json,
        }
    }
}
