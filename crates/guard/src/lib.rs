//! The process that outlives the daemon and stops the backend when the lease runs out.
