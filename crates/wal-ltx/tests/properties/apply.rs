//! A replica that was brought up by any files is the database.

use ccm_types::Txid;
use ccm_wal_ltx::apply::{apply, rebuild};
use ccm_wal_ltx::local::{Local, Paths};

use crate::dice::Dice;
use crate::for_all;
use crate::history::History;

#[test]
fn increments_in_any_pieces_make_the_same_replica_as_the_whole() {
    for_all(40, |dice| {
        let transactions = dice.among(3..14);
        let history = History::new(dice, transactions);
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let open = || {
            let (data, replica) = (path("data.db"), path("replica.db"));
            Local::open(Paths { data, replica, owner: None }).unwrap()
        };
        let mut local = open();
        let mut at = dice.among(1..transactions);
        let mut durable = at;
        let mut torn_to = 0;
        rebuild(&local, &history.fetched(dice, 1..=at)).unwrap();
        while at < history.tip() || at < torn_to {
            let batch = batch(dice, &history, &mut at);
            let position = apply(&local, &batch).unwrap();
            assert_eq!(position.txid, Txid::new(at));
            // Pages of what a lost process had applied may be there until that is reached again.
            if at >= torn_to {
                assert!(std::fs::read(path("replica.db")).unwrap() == history.image(at), "at {at}");
            }
            torn_to = torn_to.max(at);
            if dice.once_in(3) {
                local.flush().unwrap();
                durable = at;
            }
            if dice.once_in(3) {
                drop(local);
                local = open();
                at = durable;
                let whole = (durable == torn_to).then_some(durable);
                let found = local.replica_position().unwrap().map(|position| position.txid);
                assert_eq!(found, whole.map(Txid::new));
            }
        }
    });
}

/// Files that go on from `at`, merged or not, some of which begin earlier than they need to.
fn batch(dice: &mut Dice, history: &History, at: &mut u64) -> Vec<ccm_wal_ltx::apply::Fetched> {
    let mut batch = Vec::new();
    for _ in 0..dice.among(1..4) {
        if *at < history.tip() {
            let max = dice.among(*at + 1..history.tip() + 1);
            let min = if dice.once_in(3) { dice.among(1..*at + 1) } else { *at + 1 };
            batch.push(history.fetched(dice, min..=max));
            *at = max;
        }
    }
    batch
}
