//! Every fixed bound, with its unit and the reason for its value. What operators may change is a parameter instead.

/// Questions of one decision (an access list, a routing, an expansion): a decision that asks more is a loop in the
/// configuration and is answered "try again later". Postfix has no such bound; a restriction list of 1000 table lookups is beyond use.
pub const QUESTIONS_PER_DECISION_MAX: usize = 10_000;

/// Octets of a content that lie in the log itself; a larger one is streamed to a file of its own, so that a
/// slow client or an aborted large message pins no segment.
pub const INLINE_CONTENT_MAX: u64 = 128 * 1024;

/// Octets that a driver hands to a machine at once.
pub const CHUNK_MAX: usize = 64 * 1024;

/// Octets of replies and commands that one machine lets wait; beyond it asks the driver to stop reading.
pub const BACKLOG_MAX: usize = 16 * 1024;

/// Octets of one reply that are kept; the rest is read and dropped. RFC 5321 4.5.3.1.5 wants 512 for a line; the longest
/// offers of extensions seen are below 2 KiB.
pub const REPLY_TEXT_MAX: usize = 8 * 1024;

/// Lines of one reply that are kept; the rest is read and dropped.
pub const REPLY_LINES_MAX: usize = 128;

/// Octets of commands that wait for their replies while we pipeline. Well below the smallest socket buffer (RFC 2920 3.1),
/// so that no server that stops reading until we read can hold us.
pub const PIPELINED_MAX: usize = 8 * 1024;

/// Mail exchangers of one domain that are looked up, best first. Postfix has no bound here, though it tries no more than
/// `smtp_mx_address_limit` addresses.
pub const MX_HOSTS_MAX: usize = 50;

/// Notices to the postmaster about connections in a minute; of the others the next one tells how many there were. Postfix has no
/// such bound but its hundred processes: who is refused a thousand times a second for want of disk must not fill it with notices.
pub const NOTICES_PER_MINUTE_MAX: u32 = 30;

/// Messages that the manager has the log read at once: enough to keep a disk busy, few enough that a backlog after a restart
/// does not fill memory with envelopes before the first is delivered.
pub const LOADS_MAX: usize = 64;

/// Recipients of one message that are routed at once; the rest of a large mailing waits unrouted.
pub const ROUTE_PAGE_MAX: usize = 2_000;

/// Changes that the manager has written in one batch for many messages (an order, a dead destination).
pub const CHANGES_PER_APPEND_MAX: usize = 500;

/// Next hops of one attempt, fallback relays among them. A list beyond it is a mistake in a table.
pub const NEXTHOPS_MAX: usize = 100;
