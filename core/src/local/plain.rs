//! error(8) and discard(8): the next hop is the reason.

use super::diagnosis;
use crate::mail::{Attempt, Outcome};
use crate::wire::EnhancedStatus;

/// What the `error` and `retry` transports do with every recipient. `retry` defers.
#[must_use]
pub fn failed(attempt: &Attempt, retry: bool) -> Outcome {
    let class = if retry { 4 } else { 5 };
    let (status, text) = split(&attempt.nexthop, class);
    let diagnosis = diagnosis((status.class, status.subject, status.detail), text, "none");
    if retry { Outcome::Deferred(diagnosis) } else { Outcome::Failed(diagnosis) }
}

/// What the `discard` transport does with every recipient.
#[must_use]
pub fn discarded(attempt: &Attempt) -> Outcome {
    let (status, text) = split(&attempt.nexthop, 2);
    Outcome::Discarded(diagnosis((status.class, status.subject, status.detail), text, "none"))
}

/// `x.y.z text`, where the status may be missing. Its class is that of the outcome, whatever it says.
fn split(nexthop: &str, class: u8) -> (EnhancedStatus, &str) {
    let nexthop = nexthop.trim();
    let (first, rest) = nexthop.split_once(char::is_whitespace).unwrap_or((nexthop, ""));
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number < 1000);
    let parts: Vec<Option<u16>> = first.split('.').map(number).collect();
    match parts[..] {
        [Some(2 | 4 | 5), Some(subject), Some(detail)] => {
            (EnhancedStatus::new(class, subject, detail), rest.trim_start())
        }
        _ => (EnhancedStatus::new(class, 0, 0), nexthop),
    }
}
