//! What an operator may ask of the queue, and what the queue says.

use crate::mail::QueueId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The queues of QSHAPE_README; incoming and active are in memory only, the other two states are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueName {
    /// Committed, not yet admitted.
    Incoming,
    /// Admitted: routed, or being delivered.
    Active,
    /// Waiting for its time.
    Deferred,
    /// Waiting for the operator.
    Hold,
    /// Damaged on disk.
    Corrupt,
}

/// Which messages an order is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Selection {
    /// All, or all of one queue.
    All(Option<QueueName>),
    /// One.
    Id(QueueId),
    /// Those with a recipient in this domain (`postqueue -s site`).
    Site(String),
}

/// An operator's order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Order {
    /// List messages.
    List(Selection),
    /// Put on hold.
    Hold(Selection),
    /// Release from hold.
    Release(Selection),
    /// Route and try again as if new.
    Requeue(Selection),
    /// Delete.
    Delete(Selection),
    /// Try deferred mail now; forgets that destinations were dead.
    Flush(Selection),
}

/// A recipient of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListedRecipient {
    /// Its address.
    pub address: String,
    /// Why the last attempt failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delay_reason: Option<String>,
}

/// A message of a listing; the names are those of `postqueue -j`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Listing {
    /// Which queue.
    pub queue_name: QueueName,
    /// Its id.
    pub queue_id: String,
    /// Seconds since 1970.
    pub arrival_time: i64,
    /// Octets.
    pub message_size: u64,
    /// When it is tried next, seconds since 1970; absent when it is being tried or held.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_attempt_time: Option<i64>,
    /// External form; empty for the null sender (`postqueue` shows MAILER-DAEMON).
    pub sender: String,
    /// Those that remain.
    pub recipients: Vec<ListedRecipient>,
}

/// What an order came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrderResult {
    /// How many messages it was for.
    Done(u64),
    /// The messages to be listed: queue, id, next attempt. The driver loads each for its sender and recipients.
    Listed(Vec<(QueueId, QueueName, Option<Timestamp>)>),
    /// It could not be recorded: why.
    Failed(String),
}
