//! One systemd unit over D-Bus.
