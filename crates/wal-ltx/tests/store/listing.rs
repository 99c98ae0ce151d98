//! Listing again and again: what is read, and that nothing is made up.

use std::time::Duration;

use ccm_harness::NatsServer;
use ccm_types::Epoch;
use ccm_wal_ltx::store::{Fence, LtxInfo, LtxName, LtxStore as _, NatsStore};
use futures_util::StreamExt as _;

use crate::place::{Place as _, l0, node, put};

/// Whole listings that were asked for since the last look, as a bystander hears.
async fn whole_listings(client: &async_nats::Client, asked: &mut async_nats::Subscriber) -> usize {
    // What was asked for before this mark is heard before it, within twenty seconds.
    client.publish("mark", bytes::Bytes::new()).await.unwrap();
    let mut count = 0;
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), asked.next()).await;
        let message = next.unwrap().unwrap();
        if message.subject.as_str() == "mark" {
            return count;
        }
        let text = String::from_utf8_lossy(&message.payload);
        count += usize::from(text.contains("subjects_filter"));
    }
}

#[tokio::test]
async fn a_node_that_takes_over_reads_only_what_is_new_unless_something_was_removed() {
    let nats = NatsServer::start();
    let (old, new) = (nats.open().await, nats.open().await);
    let bystander = async_nats::connect(nats.url()).await.unwrap();
    let mut asked = bystander.subscribe(">").await.unwrap();
    let before = old.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    for txid in 1..=3 {
        put(&old, before, txid, b"before").await.unwrap();
    }
    let names = async || -> Vec<LtxName> {
        let listed: Vec<LtxName> = new.list().await.unwrap().iter().map(|i| i.name).collect();
        let other = nats.open().await.list().await.unwrap();
        assert_eq!(listed, other.iter().map(|i| i.name).collect::<Vec<_>>());
        listed
    };
    names().await;
    put(&old, before, 4, b"the last").await.unwrap();
    whole_listings(&bystander, &mut asked).await;

    let fence = new.move_fence(Epoch::new(2), &node("b")).await.unwrap();
    let listed = new.list().await.unwrap();
    assert_eq!(whole_listings(&bystander, &mut asked).await, 0);
    assert_eq!(listed.iter().map(|i| i.name).collect::<Vec<_>>(), [1, 2, 3, 4].map(l0));

    // The tombstone takes the place of the object, and is purged.
    new.delete(fence, l0(1)).await.unwrap();
    new.sweep(fence).await.unwrap();
    let fence = new.move_fence(Epoch::new(3), &node("b")).await.unwrap();
    assert_eq!(names().await, [2, 3, 4].map(l0));
    assert!(whole_listings(&bystander, &mut asked).await >= 2, "the new store's, and this one's");
    put(&new, fence, 5, b"after").await.unwrap();
    new.delete(fence, l0(2)).await.unwrap();
    new.move_fence(Epoch::new(4), &node("b")).await.unwrap();
    assert_eq!(names().await, [3, 4, 5].map(l0));
}

/// The bucket as one who has never listed it sees it.
async fn afresh(nats: &NatsServer) -> Vec<LtxInfo> {
    nats.open().await.list().await.unwrap()
}

/// An application of which this much is random, and this is what came of it so far.
struct Writer {
    store: NatsStore,
    fence: Fence,
    epoch: u64,
    /// Names that are there.
    there: Vec<u64>,
    next: u64,
}

impl Writer {
    async fn act(&mut self, dice: u32) {
        match dice % 8 {
            0..=2 => {
                put(&self.store, self.fence, self.next, &self.next.to_be_bytes()).await.unwrap();
                self.there.push(self.next);
                self.next += 1;
            }
            3 | 4 if !self.there.is_empty() => {
                let gone = self.there.remove(dice as usize % self.there.len());
                self.store.delete(self.fence, l0(gone)).await.unwrap();
            }
            // Under a name that was there before.
            5 if self.next > 1 => {
                let again = u64::from(dice) % self.next + 1;
                if !self.there.contains(&again) && again < self.next {
                    put(&self.store, self.fence, again, &dice.to_be_bytes()).await.unwrap();
                    self.there.push(again);
                }
            }
            6 => {
                self.store.sweep(self.fence).await.unwrap();
            }
            7 => {
                self.epoch += 1;
                let (epoch, writer) = (Epoch::new(self.epoch), node("a"));
                self.fence = self.store.move_fence(epoch, &writer).await.unwrap();
            }
            _nothing_to_remove => {}
        }
    }
}

#[tokio::test]
async fn whoever_lists_again_sees_what_one_sees_who_lists_for_the_first_time() {
    let nats = NatsServer::start();
    let store = nats.open().await;
    let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    let mut writer = Writer { store, fence, epoch: 1, there: Vec::new(), next: 1 };
    let (often, seldom) = (nats.open().await, nats.open().await);
    // xorshift32: the same every time.
    let mut dice = 2_463_534_242_u32;
    for step in 0..600 {
        dice ^= dice << 13;
        dice ^= dice >> 17;
        dice ^= dice << 5;
        writer.act(dice >> 8).await;
        if step % 7 == 0 {
            assert_eq!(often.list().await.unwrap(), afresh(&nats).await, "step {step}");
        }
        if step % 97 == 0 {
            assert_eq!(seldom.list().await.unwrap(), afresh(&nats).await, "step {step}");
            assert_eq!(writer.store.list().await.unwrap(), afresh(&nats).await, "step {step}");
        }
    }
}

#[tokio::test]
async fn what_was_known_of_a_bucket_that_was_set_back_and_has_grown_again_counts_no_more() {
    let mut nats = NatsServer::start();
    let old = nats.open().await;
    let fence = old.move_fence(Epoch::new(1), &node("a")).await.unwrap();
    put(&old, fence, 1, b"one").await.unwrap();
    nats.keep();
    let again = async |nats: &NatsServer, content: &[u8], to: u64| {
        let store = nats.open().await;
        let fence = store.move_fence(Epoch::new(1), &node("a")).await.unwrap();
        for txid in 2..=to {
            put(&store, fence, txid, content).await.unwrap();
        }
        store.delete(fence, l0(2)).await.unwrap();
    };
    again(&nats, b"before", 5).await;
    let store = nats.open().await;
    store.list().await.unwrap();
    nats.go_back();
    ccm_harness::wait::until_async(
        Duration::from_secs(30),
        "the server to be back",
        tokio::time::sleep,
        || async { store.fence().await.ok() },
    )
    .await;
    again(&nats, b"since then", 9).await;
    assert_eq!(store.list().await.unwrap(), afresh(&nats).await);
    assert_eq!(store.get(l0(4)).await.unwrap(), b"since then".as_slice());
}
