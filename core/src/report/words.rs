//! TABLE of the sentences that people read in a report; one row for each kind.
//!
//! Subjects are Postfix's, because people and filters sort by them.

use super::Kind;

/// The words of one kind of report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Words {
    pub(super) subject: &'static str,
    /// Of the postmaster's copy.
    pub(super) postmaster_subject: &'static str,
    /// `Content-Description` of what is returned, in front of `Message`.
    pub(super) returned: &'static str,
    /// What happened; behind a line that names this host.
    pub(super) text: &'static [&'static str],
}

/// Failure, delay, success.
const TABLE: [Words; 3] = [
    Words {
        subject: "Undelivered Mail Returned to Sender",
        postmaster_subject: "Postmaster Copy: Undelivered Mail",
        returned: "Undelivered ",
        text: &[
            "Your message did not reach the recipients listed below, and we have",
            "stopped trying. The message, or its header, is attached.",
            "",
            "If you need help, write to the postmaster and include this report;",
            "you may leave your own text out of it.",
        ],
    },
    Words {
        subject: "Delayed Mail (still being retried)",
        postmaster_subject: "Postmaster Warning: Delayed Mail",
        returned: "Delayed ",
        text: &[
            "THIS IS ONLY A WARNING. THERE IS NO NEED TO SEND YOUR MESSAGE AGAIN.",
            "",
            "Your message has not reached the recipients listed below yet.",
            "We go on trying until the time given in the attached details.",
        ],
    },
    Words {
        subject: "Successful Mail Delivery Report",
        postmaster_subject: "Postmaster Copy: Successful Mail Delivery",
        returned: "",
        text: &[
            "You asked to be told: your message has reached the recipients listed",
            "below, or a mail system that does not send such reports itself.",
            "From the latter you may still hear of problems.",
        ],
    },
];

/// The words of a kind.
pub(super) const fn words(kind: Kind) -> &'static Words {
    match kind {
        Kind::Failure => &TABLE[0],
        Kind::Delay => &TABLE[1],
        Kind::Success => &TABLE[2],
    }
}
