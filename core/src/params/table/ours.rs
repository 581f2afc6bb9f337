//! TABLE of parameters: parameters that Postfix does not have.

use super::*;

rows! { OURS:
    /// Octets of message contents that are in memory at once, of all clients together, until their commits are answered.
    /// When a slow disk or slow clients bring it to this, further mail is refused with 452 until there is room.
    "content_memory_limit" number(1048576, SIZE_MAX) = "268435456", Queue, Ours;
    /// Records of DNS and their absence are kept no longer, whatever their time to live says. Where mail waits for a wrong record to be
    /// mended, the next attempt learns of it; a longer time carries mail through an outage of the name servers.
    "dns_cache_time_limit" time(Unit::Seconds, 0, INT_MAX) = "1h", Every, Ours;
    /// Name servers to ask, as addresses with an optional `:port`; empty for those of /etc/resolv.conf.
    "dns_servers" LIST = "", Every, Ours;
    /// Log lines as `text` with Postfix's fields, or as `json`.
    "log_format" word(&["text", "json"]) = "text", Every, Ours;
    /// The number of this node in queue ids, so that ids of several nodes never meet.
    "node_number" number(0, 1023) = "0", Queue, Ours;
    /// Messages in the queue at most; each needs some 400 octets of memory. New mail beyond is refused with 452 until some have
    /// left. 0 for no limit. A change takes a new start.
    "queue_message_limit" number(0, SIZE_MAX) = "5000000", Queue, Ours;
    /// Record the contents of messages too. Without it a recording has the size and the SHA-256 of each content, its line ends, and
    /// the header fields that decide something: addresses, Message-Id, Date, trace fields.
    "record_content" FLAG = "no", Every, Ours;
    /// Record what enters the queue manager and the SMTP sessions into a ring of files in this directory, for `postrider-sim explain`;
    /// empty for no recording. An absolute path. A reload starts, stops and changes it; sessions that are open then are not recorded.
    "record_directory" TEXT = "", Every, Ours;
    /// Files of a recording that are kept; the oldest goes when another is begun.
    "record_file_count" number(2, 9999) = "10", Every, Ours;
    /// Octets of one file of a recording. One that waits for the manager's state may become twice as large.
    "record_file_size" number(65536, SIZE_MAX) = "16777216", Every, Ours;
    /// Percent by which each time of retry is moved at random, so that what failed together is not retried
    /// together. 0 is Postfix's behaviour.
    "retry_jitter" number(0, 100) = "10", Qmgr, Ours;
    /// Octets kept free in the queue's file system for outcomes and compaction, so that a full disk can still
    /// be drained.
    "spool_reserve" number(0, SIZE_MAX) = "8388608", Queue, Ours;
    /// Octets of one segment of the queue's log.
    "spool_segment_size" number(65536, SIZE_MAX) = "16777216", Queue, Ours;
}
