//! What the hosts stand on: a mount namespace that this process alone holds, with a file system in
//! memory for their disks.
//!
//! A thread keeps it. With the thread, which ends with the process, the mounts are gone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use crate::machine::Unable;

/// What all disks of a lab may hold together; only what is written takes memory.
const BYTES: &str = "size=8g,mode=755";

/// Nothing, where mount(2) wants words.
pub(crate) const NONE: Option<&str> = None;

/// The namespace.
#[derive(Debug)]
pub(crate) struct Ground {
    folder: PathBuf,
    namespace: File,
    /// Its root as everybody else sees it.
    root: PathBuf,
    /// Dropped, it lets the thread end.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ground {
    /// Mounts the disks on `folder`, which is made.
    pub(crate) fn make(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        let (end, ended) = channel::<()>();
        let (made, making) = channel();
        let at = folder.clone();
        let thread = std::thread::Builder::new().name(String::from("ground")).spawn(move || {
            let done = lay(&at);
            let failed = done.is_err();
            if made.send(done).is_err() || failed {
                return;
            }
            // Nothing is ever sent: it returns when the other end is dropped.
            ended.recv().ok();
        })?;
        let tid = making.recv().context("the thread of the disks has ended")??;
        let task = format!("/proc/{}/task/{tid}", std::process::id());
        let namespace = File::open(format!("{task}/ns/mnt"))?;
        let root = PathBuf::from(format!("{task}/root"));
        Ok(Self { folder, namespace, root, end: Some(end), thread: Some(thread) })
    }

    /// A path below the folder, as threads inside name it.
    pub(crate) fn inside(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// The same for everybody else.
    pub(crate) fn outside(&self, path: &str) -> PathBuf {
        let below = self.folder.strip_prefix("/").unwrap_or(&self.folder);
        self.root.join(below).join(path)
    }

    /// Moves the calling thread in, for good.
    pub(crate) fn enter(&self) -> Result<()> {
        // A thread that shares its working directory with others may not change the namespace.
        unshare(CloneFlags::CLONE_FS).context("could not unshare the working directory")?;
        setns(&self.namespace, CloneFlags::CLONE_NEWNS).context("could not enter the disks")
    }

    /// Runs `work` inside, on a thread of its own.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                self.enter()?;
                work()
            });
            working.join().map_err(|_| anyhow!("a thread in the disks' namespace panicked"))?
        })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
        std::fs::remove_dir(&self.folder).ok();
    }
}

/// Makes the namespace and the file system; the id of the thread.
fn lay(folder: &Path) -> Result<i32> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| {
        Unable::new(format!("no mount namespace ({error}): a container needs CAP_SYS_ADMIN"))
    })?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .context("could not make the mounts private")?;
    mount(Some("ccm-lab"), folder, Some("tmpfs"), MsFlags::empty(), Some(BYTES))
        .map_err(|error| Unable::new(format!("no tmpfs can be mounted ({error})")))?;
    Ok(rustix::thread::gettid().as_raw_nonzero().get())
}
