//! TABLE of parameters: parameters that Postfix does not have.

use super::*;

rows! { OURS:
    "dns_servers" LIST = "", Every, Ours;
    "log_format" word(&["text", "json"]) = "text", Every, Ours;
    "node_number" number(0, 1023) = "0", Queue, Ours;
    "retry_jitter" number(0, 100) = "10", Qmgr, Ours;
    "spool_reserve" number(0, SIZE_MAX) = "8388608", Queue, Ours;
    "spool_segment_size" number(65536, SIZE_MAX) = "16777216", Queue, Ours;
}
