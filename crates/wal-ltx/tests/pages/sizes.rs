//! Every page size with every kind of vacuum, growing and shrinking.

use crate::bench::{Bench, WITHIN, application, assert_same};

const PAGE_SIZES: [u32; 8] = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];

/// What makes a database grow, change and shrink.
fn life(page_size: u32) -> Vec<String> {
    let blob = page_size * 5 / 2;
    let insert = |rows: u32, size: u32| {
        format!(
            "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO t(v) SELECT randomblob({size}) FROM n"
        )
    };
    vec![
        insert(40, blob),
        insert(200, page_size / 10),
        String::from("DELETE FROM t WHERE id % 3 = 0"),
        String::from("PRAGMA incremental_vacuum(7)"),
        format!("UPDATE t SET v = randomblob({}) WHERE id % 2 = 0", blob / 3),
        format!("INSERT INTO t(v) VALUES (randomblob({}))", page_size * 30),
        String::from("CREATE INDEX by_length ON t(length(v), id); DROP INDEX by_length"),
        String::from("DELETE FROM t WHERE id > 20"),
        String::from("PRAGMA incremental_vacuum"),
        String::from("VACUUM"),
        insert(30, blob),
        String::from("DELETE FROM t"),
        String::from("VACUUM"),
        insert(5, blob),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_every_page_size_comes_out_as_it_was() {
    for page_size in PAGE_SIZES {
        for auto_vacuum in ["none", "full", "incremental"] {
            let what = format!("page size {page_size}, auto_vacuum {auto_vacuum}");
            let bench = Bench::new().await;
            let shape =
                format!("PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {auto_vacuum}");
            let application = application(&bench.data(), &shape);
            let mut capture = bench.capture().await;
            let mut progress = capture.progress();
            for (n, sql) in life(page_size).iter().enumerate() {
                let before = progress.borrow().txid;
                application.execute_batch(sql).unwrap();
                if n % 2 == 0 {
                    // Not all as one file.
                    let shipped = progress.wait_for(|p| p.txid > before);
                    tokio::time::timeout(WITHIN, shipped).await.unwrap().unwrap();
                }
                if n % 3 == 0 {
                    bench.follow().await;
                }
            }
            drop(application);
            capture.flush(WITHIN).await.unwrap();
            let data = bench.checkpointed();
            assert_same(&bench.follow().await, &data, &what);
            assert_same(&bench.restored("restored.db").await, &data, &what);
            let connection = rusqlite::Connection::open(data).unwrap();
            let size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
            assert_eq!(size, page_size);
        }
    }
}
