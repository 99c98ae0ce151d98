//! One guard per socket.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::net::UnixListener;

use crate::ServeError;

/// Only the guard's own user may talk to it.
const MODE: u32 = 0o600;

/// The right to be the guard of a socket, held until dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    socket: PathBuf,
    // The kernel drops the lock with the file, so also when the guard is killed. Never removed:
    // a second guard could then lock a new file while a first one still holds the old.
    _lock: File,
}

impl Claim {
    pub(crate) fn take(socket: &Path) -> Result<Self, ServeError> {
        let socket = std::path::absolute(socket).map_err(failed("make absolute", socket))?;
        let lock = with_suffix(&socket, ".lock");
        let open = File::options().create(true).truncate(false).write(true).open(&lock);
        let file = open.map_err(failed("open", &lock))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { socket, _lock: file }),
            Err(Errno::WOULDBLOCK) => Err(ServeError::Taken { lock }),
            Err(error) => Err(failed("lock", &lock)(error.into())),
        }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Listens; a socket that a killed guard has left is replaced.
    ///
    /// Needs a runtime. The socket gets its mode under another name, so that nobody else can
    /// connect in between.
    pub(crate) fn listen(&self) -> Result<UnixListener, ServeError> {
        let new = with_suffix(&self.socket, ".new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &new)(error));
            }
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&new).map_err(failed("listen on", &new))?;
        fs::set_permissions(&new, Permissions::from_mode(MODE)).map_err(failed("protect", &new))?;
        fs::rename(&new, &self.socket).map_err(failed("listen on", &self.socket))?;
        Ok(listener)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Not there when the guard never listened.
        fs::remove_file(&self.socket).ok();
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ServeError + use<> {
    let path = path.to_owned();
    move |source| ServeError::Socket { what, path, source }
}
