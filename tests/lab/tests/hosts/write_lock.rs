//! Catching a daemon at the moment at which it keeps everybody from committing.

use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ccm_harness::processes::{self, Signal};
use ccm_lab::{Host, PATIENCE, wait_for};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::stage::DAEMON;

const SHM: &str = "var/lib/convex/data.db-shm";
/// `WAL_WRITE_LOCK` of SQLite: this byte of the file.
const WRITE_LOCK: i64 = 120;
/// It is held for milliseconds: looked for without a pause for so long at a time.
const BURST: Duration = Duration::from_millis(100);

/// Sends SIGSTOP to the daemon while it holds SQLite's write lock, for a checkpoint or to hold
/// the application back; it needs some load.
pub(crate) fn stop_its_holder(host: &Host) -> Result<()> {
    let shm = File::open(host.path(SHM))?;
    let daemon = host.unit(DAEMON);
    ensure!(!daemon.is_empty(), "no daemon");
    wait_for(PATIENCE, "the daemon to hold SQLite's write lock", || {
        let begin = Instant::now();
        while begin.elapsed() < BURST {
            let Some(pid) = holder(&shm).filter(|pid| daemon.contains(pid)) else { continue };
            processes::signal(pid, Signal::STOP);
            let stopped =
                wait_for(PATIENCE, "it to stand still", || stands_still(pid).then_some(()));
            if stopped.is_ok() && holder(&shm) == Some(pid) {
                return Some(());
            }
            processes::signal(pid, Signal::CONT);
        }
        None
    })
}

/// Who has the lock, as this process numbers it.
fn holder(shm: &File) -> Option<i32> {
    let mut lock = libc::flock {
        l_type: libc::c_short::try_from(libc::F_WRLCK).ok()?,
        l_whence: libc::c_short::try_from(libc::SEEK_SET).ok()?,
        l_start: WRITE_LOCK,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(shm, FcntlArg::F_GETLK(&mut lock)).ok()?;
    (i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid)
}

/// Every thread of it.
fn stands_still(pid: i32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.filter_map(Result::ok).all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // After the name, which may contain anything.
        stat.rsplit_once(')').is_some_and(|(_, state)| state.trim_start().starts_with('T'))
    })
}
