//! Objects in pieces, from NATS.

use ccm_wal_ltx::store::{LtxStore as _, Mark, StoreError};

use crate::bench::{Bench, open};
use crate::source::name;

async fn read(bench: &Bench, mut mark: Option<Mark>) -> (Vec<u8>, usize) {
    let (mut bytes, mut pieces) = (Vec::new(), 0);
    loop {
        let piece = bench.store.piece(name(0, 1, 1), mark.as_ref()).await.unwrap();
        pieces += 1;
        bytes.extend(piece.chunks.concat());
        if piece.last.is_some() {
            return (bytes, pieces);
        }
        mark = Some(piece.next);
    }
}

#[tokio::test]
async fn an_object_is_read_from_any_mark_also_by_another_process() {
    let bench = Bench::new().await;
    let content: Vec<u8> = (0..20_000_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    bench.put_bytes(name(0, 1, 1), content.clone()).await;
    let (bytes, pieces) = read(&bench, None).await;
    assert!(bytes == content);
    assert!(pieces >= 3, "{pieces} pieces");

    let first = bench.store.piece(name(0, 1, 1), None).await.unwrap();
    assert_eq!(first.offset, 0);
    let kept = serde_json::to_string(&first.next).unwrap();
    let mark: Mark = serde_json::from_str(&kept).unwrap();
    let other = open(&bench.nats).await;
    let second = other.piece(name(0, 1, 1), Some(&mark)).await.unwrap();
    assert_eq!(second.offset, first.next.offset());
    let (rest, _) = read(&bench, Some(mark)).await;
    let offset = usize::try_from(second.offset).unwrap();
    assert!(rest == content[offset..]);
}

#[tokio::test]
async fn a_mark_of_other_content_begins_again_and_a_missing_object_is_told() {
    let bench = Bench::new().await;
    bench.put_bytes(name(0, 1, 1), vec![1; 300_000]).await;
    bench.put_bytes(name(0, 2, 2), vec![2; 300_000]).await;
    let mark = bench.store.piece(name(0, 1, 1), None).await.unwrap().next;
    let piece = bench.store.piece(name(0, 2, 2), Some(&mark)).await.unwrap();
    assert_eq!(piece.offset, 0);
    assert!(piece.chunks.concat() == vec![2; 300_000]);
    let missing = bench.store.piece(name(0, 3, 3), None).await.unwrap_err();
    assert!(matches!(missing, StoreError::NotFound { .. }), "{missing}");
}
