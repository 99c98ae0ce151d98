//! The daemon: the shell around the role machine.

mod settings;

pub use settings::{
    BackendKind, BackendSettings, FileSettings, NatsSettings, Settings, VipSettings,
};
