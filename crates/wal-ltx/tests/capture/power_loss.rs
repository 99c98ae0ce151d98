//! A power loss that takes away what the bucket has already.

use std::path::Path;
use std::sync::Arc;

use ccm_types::Epoch;
use ccm_wal_ltx::follow::{catch_up, is_behind};
use ccm_wal_ltx::local::{Local, Paths};
use ccm_wal_ltx::plan::{Verdict, compare};
use ccm_wal_ltx::store::LtxStore as _;

use crate::bench::{Bench, WITHIN, dump, write};

fn copy(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let path = |base: &Path| format!("{}{suffix}", base.display());
        std::fs::copy(path(from), path(to)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_lost_its_end_gives_way_to_the_bucket_and_is_set_aside() {
    let bench = Bench::new().await;
    let application = bench.application();
    let mut capture = bench.capture().await;
    write(&application, 10);
    // What the disk would have kept of the file.
    copy(&bench.data(), &bench.path("kept.db"));
    write(&application, 10);
    capture.flush(WITHIN).await.unwrap();
    let whole = dump(&bench.data());
    drop(application);
    let paths = Paths { data: bench.data(), replica: bench.path("replica.db"), owner: None };
    let local = Arc::new(Local::open(paths).unwrap());
    local.place(Verdict::Keep, Epoch::new(1)).unwrap();
    let files = bench.store.list().await.unwrap();
    assert!(!is_behind(&bench.store, &local, &files).await.unwrap());

    copy(&bench.path("kept.db"), &bench.data());
    std::fs::remove_file(bench.path("data.db-shm")).ok();
    assert_eq!(compare(local.summary().unwrap(), &files).unwrap(), Verdict::Keep);
    assert!(is_behind(&bench.store, &local, &files).await.unwrap());
    catch_up(&bench.store, &local, WITHIN, |_, _| {}).await.unwrap();
    let placed = local.place(Verdict::Swap, Epoch::new(2)).unwrap();
    assert!(placed.set_aside.is_some());
    assert_eq!(dump(&bench.data()), whole);
}
