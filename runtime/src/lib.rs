//! Postrider: the daemon.
