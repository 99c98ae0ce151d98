//! The daemon: the shell around the role machine.

mod nats;
mod settings;

pub use nats::{ConnectError, connect};
pub use settings::{
    BackendKind, BackendSettings, FileSettings, NatsSettings, Settings, VipSettings,
};
