//! What a machine hears that runs alone: nothing is in any table or in any zone.

use postrider_core::ask::{Answer, DnsFailure, Question};

/// The answer of an empty world.
#[must_use]
pub fn nothing(question: &Question) -> Answer {
    match question {
        Question::Lookup { .. } => Answer::Lookup(Ok(None)),
        Question::Resolve { .. } => Answer::Resolve(Err(DnsFailure::NoSuchName)),
        Question::ListedHost { .. } => Answer::ListedHost(Ok(Vec::new())),
        Question::ListedName { .. } => Answer::ListedName(Ok(None)),
        Question::FreeSpace => Answer::FreeSpace(u64::MAX),
    }
}
