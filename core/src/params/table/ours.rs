//! TABLE of parameters: parameters that Postfix does not have.

use super::*;

rows! { OURS:
    /// Octets of message contents that are in memory at once, of all clients together, until their commits are answered.
    /// When a slow disk or slow clients bring it to this, further mail is refused with 452 until there is room.
    "content_memory_limit" number(1048576, SIZE_MAX) = "268435456", Queue, Ours;
    /// Name servers to ask, as addresses with an optional `:port`; empty for those of /etc/resolv.conf.
    "dns_servers" LIST = "", Every, Ours;
    /// Log lines as `text` with Postfix's fields, or as `json`.
    "log_format" word(&["text", "json"]) = "text", Every, Ours;
    /// The number of this node in queue ids, so that ids of several nodes never meet.
    "node_number" number(0, 1023) = "0", Queue, Ours;
    /// Percent by which each time of retry is moved at random, so that what failed together is not retried
    /// together. 0 is Postfix's behaviour.
    "retry_jitter" number(0, 100) = "10", Qmgr, Ours;
    /// Octets kept free in the queue's file system for outcomes and compaction, so that a full disk can still
    /// be drained.
    "spool_reserve" number(0, SIZE_MAX) = "8388608", Queue, Ours;
    /// Octets of one segment of the queue's log.
    "spool_segment_size" number(65536, SIZE_MAX) = "16777216", Queue, Ours;
}
