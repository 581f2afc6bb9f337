//! What an attempt came to for one recipient: the one thing that travels leftward.

use crate::wire::{EnhancedStatus, Reply};
use serde::{Deserialize, Serialize};

/// Why, for the log, the queue listing and the report.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Diagnosis {
    /// `dsn=` and `Status:`; its class (2, 4, 5) always agrees with the outcome.
    pub status: EnhancedStatus,
    /// One line for people: the text in parentheses of the log, such as
    /// `host mx.example[192.0.2.1] said: 550 5.1.1 no such user (in reply to RCPT TO command)`.
    pub text: String,
    /// `Remote-MTA: dns; …`: the host that said it, if one did.
    pub remote_mta: Option<String>,
    /// `Diagnostic-Code: smtp; …`: its reply, if it gave one.
    pub reply: Option<Reply>,
    /// `relay=`: `mx.example[192.0.2.1]:25`, `local`, `virtual`, `none`.
    pub relay: String,
}

impl Diagnosis {
    /// A diagnosis of our own, where no peer said anything.
    #[must_use]
    pub fn ours(status: EnhancedStatus, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), remote_mta: None, reply: None, relay: "none".to_owned() }
    }
}

/// What became of one recipient in one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The next hop answers for it now. `relayed` is set when it does not promise DSN, so a success report is ours to send
    /// (RFC 3461 5.2.2).
    Delivered {
        /// The acceptance.
        diagnosis: Diagnosis,
        /// Success reports end here: final delivery, or a next hop without DSN.
        last_hop_for_dsn: bool,
    },
    /// It will be tried again.
    Deferred(Diagnosis),
    /// It will not.
    Failed(Diagnosis),
    /// It was replaced by its expansion (alias, forward), which is committed in the same batch.
    Expanded(Diagnosis),
    /// The configuration asked that it be thrown away.
    Discarded(Diagnosis),
}

impl Outcome {
    /// True when this recipient needs no further attempt.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Deferred(_))
    }

    /// Why.
    #[must_use]
    pub const fn diagnosis(&self) -> &Diagnosis {
        match self {
            Self::Delivered { diagnosis, .. } => diagnosis,
            Self::Deferred(d) | Self::Failed(d) | Self::Expanded(d) | Self::Discarded(d) => d,
        }
    }

    /// The same, from this relay.
    #[must_use]
    pub fn by(mut self, relay: &str) -> Self {
        let (Self::Delivered { diagnosis, .. }
        | Self::Deferred(diagnosis)
        | Self::Failed(diagnosis)
        | Self::Expanded(diagnosis)
        | Self::Discarded(diagnosis)) = &mut self;
        relay.clone_into(&mut diagnosis.relay);
        self
    }
}
