//! The shell around the role machine: ports, tasks, shutdown.

mod settings;

pub use settings::{
    BackendKind, BackendSettings, NatsSettings, Settings, TlsSettings, VipSettings,
};
