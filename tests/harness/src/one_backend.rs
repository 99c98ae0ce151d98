//! At most one backend at any moment, as /proc shows it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::processes::{command, is_backend, pids};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// A thread that looks for two backends of one cluster at once.
#[derive(Debug)]
pub struct OneBackend {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl OneBackend {
    /// Watches the demo-backends whose arguments name something under `dir`.
    #[must_use]
    pub fn watch(dir: &Path) -> Self {
        let dir = format!("{}/", dir.display());
        let stop = Arc::new(AtomicBool::new(false));
        let looks = Arc::new(AtomicU64::new(0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stopped, counted, noted) = (Arc::clone(&stop), Arc::clone(&looks), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let mut bystanders = bystanders(&dir);
            while !stopped.load(Ordering::Relaxed) {
                if let Some(two) = look(&dir, &mut bystanders) {
                    noted.lock().unwrap().push(two);
                }
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::park_timeout(LOOK_EVERY);
            }
        });
        Self { stop, looks, seen, thread: Some(thread) }
    }

    /// How often it has looked.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// Every look that found two, in words.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Panics when two were ever seen at once.
    pub fn assert_never_two(&self) {
        let seen = self.violations();
        assert!(seen.is_empty(), "two backends at once:\n{}", seen.join("\n"));
        assert!(self.looks() > 0, "the watch never looked");
    }
}

impl Drop for OneBackend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Processes that are no backend now and will never become one: they are old, and a backend is
/// always a new process. Leaving them out makes a look cheap enough to repeat every few ms.
fn bystanders(dir: &str) -> BTreeSet<i32> {
    pids().into_iter().filter(|pid| !is_backend(*pid, dir)).collect()
}

fn look(dir: &str, bystanders: &mut BTreeSet<i32>) -> Option<String> {
    let all: BTreeSet<i32> = pids().into_iter().collect();
    // A pid that is gone may come back as somebody else.
    bystanders.retain(|pid| all.contains(pid));
    let new = all.difference(bystanders).copied();
    let backends: Vec<i32> = new.filter(|pid| is_backend(*pid, dir)).collect();
    // One look takes time: they were there at once only if all are still there now.
    let together = backends.len() > 1 && backends.iter().all(|pid| is_backend(*pid, dir));
    together.then(|| {
        let shown = |pid: &i32| format!("{pid}: {}", command(*pid).unwrap_or_default());
        backends.iter().map(shown).collect::<Vec<_>>().join(" and ")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;
    use crate::{spawn_bound, wait};

    #[test]
    fn two_at_once_are_seen_and_one_after_the_other_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("demo-backend");
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let backend = || {
            let mut command = Command::new("sh");
            // The shell becomes the program under the name of a backend.
            let script = format!("exec {} 600 # {}/", program.display(), dir.path().display());
            command.arg0("sh").args(["-c", &script]);
            spawn_bound(&command)
        };
        let watch = OneBackend::watch(dir.path());
        let looks = |more: u64| {
            let goal = watch.looks() + more;
            wait::until(Duration::from_secs(20), "looks", || (watch.looks() >= goal).then_some(()));
        };
        let mut first = backend();
        looks(20);
        first.kill().unwrap();
        first.wait().unwrap();
        let (mut second, mut third) = (backend(), backend());
        assert!(watch.violations().is_empty());
        wait::until(Duration::from_secs(20), "two to be seen", || watch.violations().pop());
        for child in [&mut second, &mut third] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
