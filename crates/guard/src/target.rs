//! What a guard stops.

use std::path::Path;

/// The backend as the guard sees it: something to be ended.
///
/// The guard calls these while it keeps a deadline. They must not wait for the end itself: the
/// guard asks [`Target::is_gone`] until it is. A call that takes longer than a second is given up
/// and made again.
pub trait Target: Send + Sync + 'static {
    /// Whether [`Target::start`] works: the guard starts the backend and sees it end.
    const STARTS: bool;

    /// Called once, before anything else, when this guard has become the only one of `socket`:
    /// the place to end what a killed guard has left behind.
    ///
    /// # Errors
    /// In words, when the guard cannot do its work; it then ends.
    fn claimed(&self, socket: &Path) -> Result<(), String> {
        let _ = socket;
        Ok(())
    }

    /// Starts the backend on the calling thread and returns its process id.
    ///
    /// # Errors
    /// In words, for the daemon.
    fn start(&self, argv: &[String]) -> Result<u32, String> {
        let _ = argv;
        Err("the guard does not start this backend".to_owned())
    }

    /// How the process that [`Target::start`] returned has ended; once.
    fn ended(&self) -> Option<String> {
        None
    }

    /// Asks the backend to end (SIGTERM).
    ///
    /// # Errors
    /// In words, for the log.
    fn stop(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// Ends everything that is left of the backend (SIGKILL). Repeated until nothing is.
    ///
    /// # Errors
    /// In words, for the log.
    fn kill(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// Whether there is a virtual IP that ends with the lease.
    fn has_vip(&self) -> bool {
        false
    }

    /// Takes the virtual IP away; done when the kernel no longer has it. Repeated until it works.
    ///
    /// # Errors
    /// In words, for the log.
    fn drop_vip(&self) -> impl Future<Output = Result<(), String>> + Send {
        std::future::ready(Ok(()))
    }

    /// Whether nothing of the backend is left, as measured at this moment. When in doubt: no.
    fn is_gone(&self) -> impl Future<Output = bool> + Send;
}
