//! What this crate and the real Litestream make of each other's buckets: a table of who wrote, and
//! after every step everyone who can read must see the same rows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod readers;
mod site;

use ccm_harness::NatsServer;
use ccm_wal_ltx::store::{DirStore, NatsStore, NatsStoreConfig};

use site::{Site, Step};

/// Who has the database, one after the other. Each begins with a copy that it has itself restored
/// from the bucket, if there is anything in it.
const MATRIX: [(&str, &[Step]); 9] = [
    ("ours, level 0 only", &[Step::Ours, Step::NoSnapshots]),
    ("ours, merged", &[Step::Ours, Step::Merged]),
    ("ours, from a snapshot", &[Step::Ours, Step::OnlySnapshot]),
    ("Litestream's", &[Step::Stock]),
    ("Litestream's with a snapshot", &[Step::Stock, Step::StockSnapshot]),
    ("we go on with Litestream's", &[Step::Stock, Step::Ours, Step::Merged]),
    ("Litestream goes on with ours", &[Step::Ours, Step::Stock]),
    ("Litestream goes on with what we merged", &[Step::Ours, Step::Merged, Step::Stock]),
    (
        "in turns",
        &[Step::Stock, Step::Ours, Step::OnlySnapshot, Step::Stock, Step::Ours, Step::Merged],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn over_nats_everyone_reads_what_anyone_wrote() {
    let nats = NatsServer::start();
    for (index, (title, steps)) in MATRIX.iter().enumerate() {
        let bucket = format!("matrix-{index}");
        let client = async_nats::connect(nats.url()).await.unwrap();
        let config = NatsStoreConfig::new(bucket.clone());
        let store = NatsStore::open(client, config).await.unwrap();
        let url = format!("{}/{bucket}", nats.url());
        let replica = format!("type: nats\n      url: {url}");
        Site::new(store, url, replica).run(title, steps).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_folder_everyone_reads_what_anyone_wrote() {
    for (title, steps) in MATRIX {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bucket");
        let store = DirStore::open(&path).await.unwrap();
        let path = path.display();
        let replica = format!("type: file\n      path: {path}");
        Site::new(store, format!("file://{path}"), replica).run(title, steps).await;
    }
}
