//! systemd units over D-Bus: awaited start and stop, state by signals, cgroup seen empty.
