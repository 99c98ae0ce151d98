//! An application that embeds an SQLite with the WAL-reset bug: 3.46.0, as Convex does.

use std::process::{Command, Stdio};
use std::time::Duration;

use ccm_harness::{affected_sqlite, bound};
use ccm_wal_ltx::capture::Capture;
use ccm_wal_ltx::capture::CaptureConfig;

use crate::bench::{Bench, WITHIN, dump};

/// Writes rows from several connections of one process, each of which copies the WAL whenever
/// ten pages are in it: resets of the WAL meet checkpoints as often as they can.
const APPLICATION: &str = r"
import random, sys, threading, apsw
version = tuple(int(part) for part in apsw.sqlite_lib_version().split('.'))
assert (3, 7, 0) <= version <= (3, 51, 2), version
path, seed, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
failures = []
def work(number):
    try:
        chance = random.Random(seed * 100 + number)
        connection = apsw.Connection(path)
        connection.set_busy_timeout(60000)
        for pragma in ('journal_mode = wal', 'synchronous = normal', 'wal_autocheckpoint = 10'):
            connection.execute('PRAGMA ' + pragma).fetchall()
        for row in range(rows):
            connection.execute('INSERT INTO t(v) VALUES (randomblob(?))', (chance.randrange(3000),))
            if chance.random() < 0.1:
                mode = chance.choice(('PASSIVE', 'FULL', 'RESTART', 'TRUNCATE'))
                connection.set_busy_timeout(1)
                try:
                    connection.execute('PRAGMA wal_checkpoint(%s)' % mode).fetchall()
                except apsw.BusyError:
                    pass
                connection.set_busy_timeout(60000)
    except Exception as failure:
        failures.append(failure)
threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not failures, failures
";

const PROCESSES: usize = 2;
const ROWS: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn an_affected_sqlite_checkpoints_and_resets_beside_us_and_nothing_is_lost() {
    let bench = Bench::new().await;
    drop(bench.application());
    let config = CaptureConfig { snapshot_interval: Duration::from_millis(200), ..bench.config() };
    let capture = Capture::start(bench.store.clone(), bench.fence, config).await;
    let mut capture = capture.unwrap();
    let applications = (0..PROCESSES).map(|seed| {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", affected_sqlite()).args(["-c", APPLICATION]);
        python.arg(bench.data()).args([seed.to_string(), ROWS.to_string()]);
        bound(&python).stderr(Stdio::piped()).spawn().unwrap()
    });
    let applications: Vec<_> = applications.collect();
    let ended = tokio::task::spawn_blocking(move || {
        applications.into_iter().map(|a| a.wait_with_output().unwrap()).collect::<Vec<_>>()
    });
    for output in tokio::time::timeout(WITHIN, ended).await.unwrap().unwrap() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    capture.flush(WITHIN).await.unwrap();
    assert_eq!(dump(&bench.data()).len(), PROCESSES * 3 * ROWS);
    bench.check().await;
}
