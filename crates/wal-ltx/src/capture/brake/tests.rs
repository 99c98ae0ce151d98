//! The brake on a real database, with applications that wait as SQLite does by itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ccm_harness::wait;

use super::*;

const WITHIN: Duration = Duration::from_secs(60);

#[expect(clippy::unnecessary_wraps, reason = "as the brake takes it")]
fn hold(hold: Duration) -> Option<Pressure> {
    Some(Pressure { hold, free: Duration::from_millis(1) })
}

fn database(dir: &Path) -> PathBuf {
    let path = dir.join("data.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t(v)").unwrap();
    path
}

/// An application that waits for the write lock as SQLite does by itself.
fn writer(path: &Path, commits: &Arc<AtomicU64>, end: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (path, commits, end) = (path.to_path_buf(), Arc::clone(commits), Arc::clone(end));
    std::thread::spawn(move || {
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(WITHIN).unwrap();
        connection.execute_batch("PRAGMA synchronous = normal").unwrap();
        while !end.load(Ordering::Relaxed) {
            connection.execute("INSERT INTO t VALUES (1)", []).unwrap();
            commits.fetch_add(1, Ordering::Relaxed);
        }
    })
}

#[test]
fn writers_are_held_back_and_never_shut_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = database(dir.path());
    let mut brake = Brake::new(&path);
    let (commits, end) = (Arc::default(), Arc::default());
    let writers: Vec<_> = (0..2).map(|_| writer(&path, &commits, &end)).collect();
    brake.apply(hold(Duration::from_millis(20))).unwrap();
    let held = || (brake.held() > Duration::from_millis(200)).then_some(());
    wait::until(WITHIN, "the lock to have been held ten times", held);
    let before = commits.load(Ordering::Relaxed);
    let more = || (commits.load(Ordering::Relaxed) > before + 20).then_some(());
    wait::until(WITHIN, "commits while the brake is applied", more);
    end.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

#[test]
fn a_paused_brake_and_one_that_is_dropped_leave_the_lock_free() {
    let dir = tempfile::tempdir().unwrap();
    let path = database(dir.path());
    let connection = Connection::open(&path).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    let lock = || connection.execute_batch("BEGIN IMMEDIATE");
    let mut brake = Brake::new(&path);
    brake.apply(hold(WITHIN)).unwrap();
    let taken = || lock().is_err_and(|e| is_busy(&e)).then_some(());
    let taken = || taken().or_else(|| connection.execute_batch("ROLLBACK").err().map(drop));
    wait::until(WITHIN, "the brake to hold the lock", taken);
    let paused = brake.pause();
    lock().unwrap();
    connection.execute_batch("INSERT INTO t VALUES (1); COMMIT").unwrap();
    drop(paused);
    wait::until(WITHIN, "the brake to hold the lock again", taken);
    drop(brake);
    lock().unwrap();
    connection.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn a_brake_that_is_never_applied_opens_nothing() {
    let mut brake = Brake::new(Path::new("/nowhere/data.db"));
    brake.apply(None).unwrap();
    drop(brake.pause());
    assert!(brake.apply(hold(Duration::from_millis(1))).is_err());
}
