//! Bounds of the runtime, with the reason for each value. Those of decisions are in core.

use std::time::Duration;

/// A command that says nothing on the control socket for so long is gone.
pub const CONTROL_PATIENCE: Duration = Duration::from_secs(10);

/// Commands of ordinary users that are served at once (listings and flushes; root and `mail_owner` do not count).
pub const CONTROL_PUBLIC_MAX: usize = 100;

/// The maildrop is looked at so often, whether somebody woke us or not (pickup's wake-up time in Postfix).
pub const MAILDROP_LOOK: Duration = Duration::from_secs(60);

/// Messages of the maildrop that are taken in at a time: the commands that left them do not wait.
pub const MAILDROP_AT_ONCE: usize = 20;

/// A daemon that ends waits so long for the log to say that all of it is durable, which takes a tenth of a second on a disk that works.
pub const REST_MAX: Duration = Duration::from_secs(1);

/// Contents that are read from the device at a time; each takes a thread while the disk has not answered. A disk that stands still must
/// not take those that mailboxes on other disks are written by.
pub const READS_MAX: usize = 64;

/// Octets of a message that are read at once for a report that returns it.
pub const REPORT_CHUNK: usize = 64 * 1024;
