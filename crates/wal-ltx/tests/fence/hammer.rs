//! An old primary that writes as fast as it can while others take over, with and without a server
//! that is killed at that moment.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ccm_types::Epoch;
use ccm_wal_ltx::store::{Fence, LtxStore as _, NatsStore};
use tokio::task::JoinSet;

use crate::bench::{Servers, Task, WITHIN, check, content, l0, node, put};

/// Bytes of the files: within a message, about a chunk, several, many.
const SIZES: [usize; 6] = [1, 300, 60_000, 131_073, 900_000, 3_000_000];

/// Puts under way at once.
const WRITERS: usize = 8;

/// What one writer knows when the fence has ended it.
#[derive(Debug, Default)]
struct Written {
    acknowledged: BTreeMap<u64, Bytes>,
    /// Refused, and no attempt may have been stored.
    refused: BTreeSet<u64>,
}

/// Puts one file after another, each until there is an answer, until the fence has moved.
async fn hammer(store: NatsStore, fence: Fence, first: u64) -> Written {
    let mut written = Written::default();
    for (txid, size) in (first..).step_by(WRITERS).zip(SIZES.iter().cycle()) {
        let body = content(txid, *size);
        let mut certain = true;
        loop {
            match put(&store, fence, txid, body.clone()).await {
                Ok(()) => break,
                Err(error) if error.is_fenced() => {
                    if certain {
                        written.refused.insert(txid);
                    }
                    return written;
                }
                Err(error) => {
                    assert!(error.is_transient(), "{error}");
                    certain &= !error.is_ambiguous();
                    tokio::task::yield_now().await;
                }
            }
        }
        written.acknowledged.insert(txid, body);
    }
    written
}

/// Moves the fence, again and again until there is an answer.
async fn move_fence(store: &NatsStore, epoch: u64, by: &str) -> Fence {
    ccm_harness::wait::until_async(WITHIN, "the fence to move", tokio::time::sleep, || async {
        match store.move_fence(Epoch::new(epoch), &node(by)).await {
            Ok(fence) => Some(fence),
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                None
            }
        }
    })
    .await
}

async fn taken_over(mut servers: Servers, rounds: u64, kill: bool) {
    let nodes = [servers.open().await, servers.open().await];
    let mut fence = move_fence(&nodes[1], 1, "b").await;
    let mut acknowledged: BTreeMap<u64, Bytes> = BTreeMap::new();
    let mut refused: BTreeSet<u64> = BTreeSet::new();
    for round in 1..=rounds {
        let (old, new) = if round % 2 == 0 { (0, 1) } else { (1, 0) };
        let mut writers = JoinSet::new();
        for writer in 1..=WRITERS {
            writers.spawn(hammer(nodes[old].clone(), fence, round * 1_000_000 + writer as u64));
        }
        let begun = async || {
            let files = nodes[new].list().await.ok()?;
            let epoch = Some(Epoch::new(round));
            (files.iter().filter(|f| f.epoch == epoch).count() > 30).then_some(())
        };
        ccm_harness::wait::until_async(WITHIN, "the writers", tokio::time::sleep, begun).await;
        let by = if new == 0 { "a" } else { "b" };
        let moving = {
            let new = nodes[new].clone();
            Task::new(async move { move_fence(&new, round + 1, by).await })
        };
        if kill {
            servers.kill_leader();
        }
        fence = moving.end().await;
        let standing = loop {
            match nodes[new].list().await {
                Ok(files) => break files,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
        };
        while let Some(written) = writers.join_next().await {
            let written = written.unwrap();
            acknowledged.extend(written.acknowledged);
            refused.extend(written.refused);
        }
        servers.heal();
        assert_eq!(nodes[new].list().await.unwrap(), standing, "something came after the fence");
        assert!(!refused.is_empty());
        assert!(standing.iter().all(|f| refused.iter().all(|txid| f.name != l0(*txid))));
        check(&servers, &nodes[new], fence, &acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_old_primary_comes_after_the_fence_on_one_server() {
    taken_over(Servers::one(), 6, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_old_primary_comes_after_the_fence_on_three_servers() {
    taken_over(Servers::three(), 4, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_when_the_server_is_killed_while_the_fence_moves() {
    taken_over(Servers::one(), 3, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_when_the_leader_of_three_is_killed_while_the_fence_moves() {
    taken_over(Servers::three(), 2, true).await;
}
