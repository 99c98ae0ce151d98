//! The cluster as a command reaches it: over NATS, and through NATS its daemons.

use std::time::Duration;

use anyhow::anyhow;
use async_nats::Client;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::{self, ErrorCode};
use ccm_agent::Settings;

use crate::cli::Shared;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::leader::{self, Lease};

/// How long a command tries to reach NATS.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long NATS may take to answer one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A connection and what it is for.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) settings: Settings,
    pub(crate) client: Client,
}

impl Cluster {
    /// Loads the configuration and connects.
    pub(crate) async fn connect(shared: &Shared) -> Result<Self, Failure> {
        Self::with(Config::load(shared.config.as_deref())?.settings()).await
    }

    /// Connects as these settings say.
    pub(crate) async fn with(settings: Settings) -> Result<Self, Failure> {
        let name = format!("ccm command on {}", settings.node);
        let client = ccm_agent::connect(&settings.nats, &name, CONNECT_WITHIN).await?;
        Ok(Self { settings, client })
    }

    /// The lease as NATS has it; `None` when nobody has ever led.
    pub(crate) async fn lease(&self) -> Result<Option<Lease>, Failure> {
        leader::read(&self.client, &self.settings.cluster).await
    }

    /// Whether a stream is there.
    pub(crate) async fn has_stream(&self, name: &str) -> Result<bool, Failure> {
        let mut jetstream = jetstream::new(self.client.clone());
        jetstream.set_timeout(ANSWER_WITHIN);
        let Err(error) = jetstream.get_stream(name).await else { return Ok(true) };
        if let GetStreamErrorKind::JetStream(reply) = error.kind()
            && reply.error_code() == ErrorCode::STREAM_NOT_FOUND
        {
            return Ok(false);
        }
        let what = format!("could not look at the stream {name}: JetStream does not answer");
        Err(Failure::new(Exit::NatsUnreachable, anyhow!(error).context(what)))
    }
}
