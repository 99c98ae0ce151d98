//! The shell around the role machine: ports, tasks, shutdown.
