//! Putting one file at a time into the bucket, for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use ccm_types::Txid;
use tokio::sync::{mpsc, watch};

use super::batch::Spooled;
use super::error::in_words;
use super::thread::Message;
use super::{CaptureEnd, CaptureProgress, Messages};
use crate::store::{Body, Fence, Level, LtxInfo, LtxName, LtxStore, StoreError};

/// The first pause after a failure; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest pause: how long a bucket may be back before it is noticed. A try without a
/// connection costs nothing.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// One file on its way.
#[derive(Debug)]
pub(super) struct Shipment {
    pub(super) name: LtxName,
    pub(super) timestamp_ms: i64,
    pub(super) body: Body,
    /// The body, when it is a file.
    pub(super) file: Option<Spooled>,
    pub(super) bytes: u64,
}

/// Puts shipments in order.
#[derive(Clone)]
pub(super) struct Shipper<S> {
    pub(super) store: S,
    pub(super) fence: Fence,
    pub(super) progress: Arc<watch::Sender<CaptureProgress>>,
    pub(super) messages: Messages,
}

impl<S: LtxStore + Clone> Shipper<S> {
    pub(super) async fn run(self, mut shipments: mpsc::Receiver<Shipment>) {
        // Ended with this task.
        let mut snapshots = tokio::task::JoinSet::new();
        let mut losses = self.store.losses();
        while let Some(shipment) = shipments.recv().await {
            if shipment.name.level == Level::SNAPSHOT {
                // Beside the stream of commits, so that it never holds them back.
                snapshots.spawn(self.clone().snapshot(shipment));
                continue;
            }
            let put = put(&self.store, self.fence, &shipment).await;
            drop(shipment.file);
            if std::mem::replace(&mut losses, self.store.losses()) != losses {
                tracing::warn!(
                    "the bucket has lost what it had acknowledged: a snapshot makes it whole \
                     again; check the disks of NATS"
                );
                self.messages.send(Message::Lost);
            }
            match put {
                Ok(()) => self.shipped(shipment.name.max, shipment.bytes),
                Err(error) => {
                    self.end(&error);
                    return;
                }
            }
        }
    }

    async fn snapshot(self, shipment: Shipment) {
        let put = put(&self.store, self.fence, &shipment).await;
        match &put {
            Ok(()) => {
                self.progress.send_modify(|p| p.shipped_bytes_total += shipment.bytes);
            }
            Err(error) if error.is_fenced() => self.end(error),
            Err(error) => {
                let error = in_words(error);
                tracing::info!(%error, name = %shipment.name, "the snapshot is tried again");
            }
        }
        let info = LtxInfo {
            name: shipment.name,
            size: shipment.bytes,
            timestamp_ms: shipment.timestamp_ms,
            epoch: Some(self.fence.epoch),
        };
        let stored = put.map(|()| info).map_err(|error| in_words(&error));
        self.messages.send(Message::Snapshot(stored));
    }

    fn shipped(&self, txid: Txid, bytes: u64) {
        self.progress.send_modify(|progress| {
            progress.txid = txid;
            progress.shipped_bytes_total += bytes;
        });
        self.messages.send(Message::Shipped(txid));
    }

    fn end(&self, error: &StoreError) {
        let fenced = error.is_fenced();
        let why = in_words(error);
        self.progress.send_modify(|p| p.ended = Some(CaptureEnd { fenced, why }));
        self.messages.send(Message::Abandon);
    }
}

/// Puts the same bytes until the bucket has them or never will.
async fn put<S: LtxStore>(store: &S, fence: Fence, shipment: &Shipment) -> Result<(), StoreError> {
    let mut pause = PAUSE_MIN;
    loop {
        let body = shipment.body.clone();
        match store.put(fence, shipment.name, shipment.timestamp_ms, body).await {
            Err(error) if error.is_transient() => {
                let error = in_words(&error);
                tracing::debug!(%error, name = %shipment.name, "not stored yet");
            }
            done => return done,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
