//! What changes in the bucket, pushed by the server; a look at the whole now and then finds what
//! a watch that has died in silence has not told.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::kv;
use futures_util::StreamExt as _;
use tokio::time::{Interval, MissedTickBehavior, timeout};

use crate::view::{Seen, View};
use crate::{Change, DiscoveryError, ServiceRecord, Services};

/// Between two looks at the whole bucket.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long the server may take to begin a watch.
const OPEN_WITHIN: Duration = Duration::from_secs(2);

/// Tells what changes. Made by [`Services::watch`].
pub struct Watch {
    services: Services,
    view: View,
    looks: Interval,
    pushed: Option<kv::Watch>,
    /// Whether the bucket has been looked at.
    began: bool,
    /// Whether the last look has failed, which has been told.
    away: bool,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { services, view, looks: _, pushed, began, away } = self;
        let mut shown = f.debug_struct("Watch");
        shown.field("services", services).field("view", view);
        shown.field("pushed", &pushed.is_some()).field("began", began).field("away", away);
        shown.finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) fn new(services: Services) -> Self {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { services, view: View::default(), looks, pushed: None, began: false, away: false }
    }

    /// The records as they are known, by service and node.
    #[must_use]
    pub fn records(&self) -> Vec<ServiceRecord> {
        self.view.records()
    }

    /// Waits for the next changes. The first answer has every record as registered and may be
    /// empty; later ones have one change or more. Never ends; cancel safe.
    ///
    /// # Errors
    /// When NATS cannot be asked, once until it can be asked again. What is known stays known:
    /// call this again to go on.
    pub async fn next(&mut self) -> Result<Vec<Change>, DiscoveryError> {
        loop {
            tokio::select! {
                biased;
                entry = pushed(&mut self.pushed) => {
                    if let Some(change) = self.take(entry) {
                        return Ok(vec![change]);
                    }
                }
                _ = self.looks.tick() => match self.look().await {
                    Ok(Some(changes)) => return Ok(changes),
                    Ok(None) => {}
                    Err(error) if self.away => {
                        tracing::debug!(%error, "the services are still not known");
                    }
                    Err(error) => {
                        self.away = true;
                        return Err(error);
                    }
                },
            }
        }
    }

    /// What the server has pushed.
    fn take(&mut self, entry: Option<kv::Entry>) -> Option<Change> {
        let Some(entry) = entry else {
            // It has ended; the next look begins another.
            self.pushed = None;
            return None;
        };
        let value: &[u8] = match entry.operation {
            kv::Operation::Put => &entry.value,
            kv::Operation::Delete | kv::Operation::Purge => &[],
        };
        let record = self.services.read(&entry.key, entry.revision, value).unwrap_or_default();
        // Before the first look nobody knows what is new.
        if !self.began {
            return None;
        }
        self.view.note(entry.key, Seen { revision: entry.revision, record })
    }

    /// Looks at the whole bucket; `None` when that tells nothing new.
    async fn look(&mut self) -> Result<Option<Vec<Change>>, DiscoveryError> {
        if self.pushed.is_none() {
            // Before the look, so that nothing falls between the two.
            self.pushed = self.open().await;
        }
        let (snapshot, _) = self.services.snapshot().await?;
        let changes = self.view.replace(snapshot);
        self.away = false;
        if !self.began {
            self.began = true;
            return Ok(Some(changes));
        }
        if changes.is_empty() {
            return Ok(None);
        }
        if self.pushed.take().is_some() {
            tracing::debug!("the watch on the services has missed news: beginning another");
            self.looks.reset_immediately();
        }
        Ok(Some(changes))
    }

    /// A watch that begins now; `None` when there is no bucket yet, or NATS is away.
    async fn open(&self) -> Option<kv::Watch> {
        let bucket = self.services.bucket();
        let opening = async {
            let mut jetstream = jetstream::new(bucket.client().clone());
            jetstream.set_timeout(OPEN_WITHIN);
            jetstream.get_key_value(bucket.name()).await.ok()?.watch_all().await.ok()
        };
        timeout(OPEN_WITHIN, opening).await.ok()?
    }
}

/// The next entry; `None` when the watch has ended. Never, when there is none.
async fn pushed(watch: &mut Option<kv::Watch>) -> Option<kv::Entry> {
    let Some(watch) = watch else { return std::future::pending().await };
    watch.next().await?.ok()
}
