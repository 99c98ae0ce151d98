//! What is refused, and what damage leaves behind: nothing at the output.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use ccm_types::Txid;
use ccm_wal_ltx::codec::{LtxEncoder, LtxHeader};
use ccm_wal_ltx::plan::{Target, TargetError};
use ccm_wal_ltx::restore::{RestoreError, RestoreOptions, preview, restore};
use ccm_wal_ltx::store::{LtxStore as _, StoreError};

use crate::bench::{BUCKET, Bench, to};
use crate::source::{Source, name, timestamp};

async fn bucket() -> (Bench, Source) {
    let bench = Bench::new().await;
    let mut source = Source::new(1024, 11);
    (0..4).for_each(|_| source.commit_random());
    for txid in 1..=5 {
        bench.put(&source, 0, txid, txid).await;
    }
    (bench, source)
}

#[tokio::test]
async fn nothing_that_exists_is_touched() {
    let (bench, _) = bucket().await;
    for name in ["restored.db", "restored.db-wal", "restored.db-shm", "restored.db-journal"] {
        std::fs::write(bench.path(name), b"precious").unwrap();
        let error = bench.restore().await.unwrap_err();
        match name {
            "restored.db" => assert!(matches!(error, RestoreError::Exists { .. }), "{error}"),
            _ => assert!(matches!(error, RestoreError::Remains { .. }), "{error}"),
        }
        assert!(preview(&bench.store, &bench.options()).await.is_err());
        assert_eq!(bench.files(), [name]);
        assert_eq!(std::fs::read(bench.path(name)).unwrap(), b"precious");
        std::fs::remove_file(bench.path(name)).unwrap();
    }
    std::os::unix::fs::symlink("nowhere", bench.path("restored.db")).unwrap();
    assert!(matches!(bench.restore().await.unwrap_err(), RestoreError::Exists { .. }));
}

#[tokio::test]
async fn something_that_comes_to_the_output_meanwhile_is_not_replaced() {
    let (bench, _) = bucket().await;
    let output = bench.path("restored.db");
    let report = |_| std::fs::write(&output, b"precious").unwrap();
    let error = restore(&bench.store, &bench.options(), report).await.unwrap_err();
    assert!(matches!(error, RestoreError::Exists { .. }), "{error}");
    assert_eq!(std::fs::read(&output).unwrap(), b"precious");
}

#[tokio::test]
async fn a_state_that_is_not_there_is_told_and_nothing_is_made() {
    let (bench, _) = bucket().await;
    let cases = [
        (to(6), "there is no transaction 6: the newest is 5, committed 2023-11-14T22:13:25Z"),
        (
            Target::At(timestamp(1) - 1),
            "that is before the history that the bucket keeps: the oldest state is transaction \
             1, committed 2023-11-14T22:13:21Z",
        ),
    ];
    for (target, expected) in cases {
        assert_eq!(bench.restore_to(target).await.unwrap_err().to_string(), expected);
    }
    let options = RestoreOptions { target: to(3), ..bench.options() };
    let plan = preview(&bench.store, &options).await.unwrap();
    assert_eq!((plan.files.len(), plan.state.txid.get()), (3, 3));
    assert!(!bench.path("restored.db").exists());
    let nowhere = RestoreOptions::new(bench.path("no/such/folder/x.db"));
    let error = restore(&bench.store, &nowhere, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("no/such/folder does not exist"), "{error}");
}

#[tokio::test]
async fn an_empty_bucket_is_told() {
    let bench = Bench::new().await;
    let error = bench.restore().await.unwrap_err();
    assert!(matches!(error, RestoreError::Target(TargetError::Empty)), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_named_and_nothing_is_left_at_the_output() {
    let (bench, source) = bucket().await;
    let mut damaged = source.ltx(5, 5);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let six = name(0, 6, 6);
    bench.put_bytes(six, damaged).await;
    let error = bench.restore().await.unwrap_err();
    assert!(error.is_damage() && error.to_string().contains(&six.to_string()), "{error}");
    assert!(bench.files().is_empty());
    // The state before it is whole, and the earlier attempt does no harm.
    bench.restore_to(to(5)).await.unwrap();
    assert!(bench.take() == source.image(5));
}

#[tokio::test]
async fn a_file_of_other_transactions_than_its_name_says_is_named() {
    let (bench, source) = bucket().await;
    bench.put_bytes(name(0, 6, 6), source.ltx(5, 5)).await;
    let error = bench.restore().await.unwrap_err();
    assert!(matches!(error, RestoreError::Unfit { .. }), "{error}");
    assert!(error.is_damage());
}

#[tokio::test]
async fn content_that_does_not_match_its_digest_is_named() {
    for pages in [3, 3000] {
        let bench = Bench::new().await;
        let mut source = Source::new(4096, 12);
        source.commit(&format!("insert into t values (1, randomblob({}))", pages * 4096));
        bench.put(&source, 9, 1, 2).await;
        let object = name(9, 1, 2).to_string();
        let subject = format!("$O.{BUCKET}.M.{}", URL_SAFE.encode(&object));
        let query = serde_json::json!({ "last_by_subj": subject });
        let stream = format!("$JS.API.STREAM.MSG.GET.OBJ_{BUCKET}");
        let found = bench.nats.request(&stream, &query);
        let data = found["message"]["data"].as_str().unwrap();
        let meta = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
        let mut meta: serde_json::Value = serde_json::from_slice(&meta).unwrap();
        meta["digest"] = "SHA-256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=".into();
        assert!(bench.nats.request(&subject, &meta)["error"].is_null());
        let store = crate::bench::open(&bench.nats).await;
        assert_eq!(store.list().await.unwrap().len(), 1);
        let error = restore(&store, &bench.options(), |_| {}).await.unwrap_err();
        let RestoreError::Store(StoreError::Damaged { name, .. }) = &error else {
            panic!("{error}")
        };
        assert_eq!(name.to_string(), object);
        assert!(bench.files().is_empty());
    }
}

#[tokio::test]
async fn a_database_that_was_damaged_when_it_was_shipped_is_found() {
    let bench = Bench::new().await;
    let mut source = Source::new(1024, 13);
    source.commit("insert into t values (1, randomblob(50000)), (2, randomblob(50000))");
    bench.put(&source, 9, 1, 2).await;
    bench.put_bytes(name(0, 3, 3), spoiled(&source)).await;
    let error = bench.restore().await.unwrap_err();
    assert!(matches!(error, RestoreError::Unsound { .. }), "{error}");
    assert_eq!(bench.files(), ["restored.db.ccm-restore"]);
    let unchecked = RestoreOptions { check: false, ..bench.options() };
    restore(&bench.store, &unchecked, |_| {}).await.unwrap();
    assert_eq!(bench.files(), ["restored.db"]);
}

/// A transaction after which page 2 is no page of a database.
fn spoiled(source: &Source) -> Vec<u8> {
    let header = LtxHeader {
        page_size: 1024,
        commit: u32::try_from(source.latest().len() / 1024).unwrap(),
        min: Txid::new(3),
        max: Txid::new(3),
        timestamp_ms: timestamp(3),
        wal_offset: 32,
        wal_size: 0,
        wal_salt1: 1,
        wal_salt2: 2,
    };
    let mut encoder = LtxEncoder::new(Vec::new(), header).unwrap();
    encoder.page(2, &[0xff; 1024]).unwrap();
    encoder.finish().unwrap()
}
