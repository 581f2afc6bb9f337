//! TABLE of what cleanup says to the client in place of "queued", and why a pass over the message stops.

use crate::ask::{Pause, Question, TableFailure};
use crate::mail::NoticeClass;
use crate::wire::{EnhancedStatus, Reply};

/// Why a pass does not reach its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// It needs an answer.
    Need(Question),
    /// The message is refused; what kind of trouble that is; a line for the log, if the reply does not say it all.
    Refuse(Reply, NoticeClass, Option<String>),
    /// A header rule wants it thrown away.
    Discard,
}

impl From<Pause> for Stop {
    fn from(pause: Pause) -> Self {
        match pause {
            Pause::Need(question) => Self::Need(question),
            Pause::Broken(failure) => broken_table(&failure),
        }
    }
}

fn reply(code: u16, status: (u8, u16, u16), text: &str) -> Reply {
    Reply::new(code, Some(EnhancedStatus::new(status.0, status.1, status.2)), text)
}

/// A table does not answer: the client keeps the message.
fn broken_table(failure: &TableFailure) -> Stop {
    let warning = format!(
        "{} map lookup problem ({}) -- message not accepted, try again later",
        failure.table.0, failure.why
    );
    Stop::Refuse(reply(451, (4, 3, 0), "Error: queue file write error"), NoticeClass::Resource, Some(warning))
}

/// `what` is `nesting`, `expansion size` or `result`.
pub(super) fn unreasonable(what: &str, kind: &str, address: &str) -> Stop {
    let warning =
        format!("unreasonable {kind} map {what} for {address} -- message not accepted, try again later");
    Stop::Refuse(reply(451, (4, 6, 0), "Alias expansion error"), NoticeClass::Software, Some(warning))
}

/// RFC 5321 6.3: a loop is found by counting Received fields.
pub(super) fn too_many_hops() -> Stop {
    Stop::Refuse(reply(554, (5, 4, 0), "Error: too many hops"), NoticeClass::Bounce, None)
}

/// Everybody was removed, or nobody was named.
pub(super) fn no_recipients() -> Stop {
    Stop::Refuse(reply(550, (5, 1, 0), "Error: no recipients specified"), NoticeClass::Bounce, None)
}

/// A header rule says REJECT. Its text may begin with an enhanced status of class 4 or 5.
pub(super) fn rejected(text: &str) -> Stop {
    let (status, text) = split_status(text);
    let status = status.unwrap_or(EnhancedStatus::new(5, 7, 1));
    let text = if text.is_empty() { "message content rejected" } else { text };
    let code = if status.class == 4 { 451 } else { 550 };
    Stop::Refuse(Reply::new(code, Some(status), text), NoticeClass::Policy, None)
}

/// Why a rule refuses, as the log has it: with the status that the client is told.
pub(super) fn refusal(text: &str) -> String {
    let (status, text) = split_status(text);
    let status = status.unwrap_or(EnhancedStatus::new(5, 7, 1));
    format!("{status} {}", if text.is_empty() { "message content rejected" } else { text })
}

/// `4.7.1 text` as status and text; the status only if its class is 4 or 5.
fn split_status(text: &str) -> (Option<EnhancedStatus>, &str) {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let mut parts = first.split('.').map(|part| part.parse::<u16>().ok().filter(|n| *n < 1000));
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Some(class @ (4 | 5))), Some(Some(subject)), Some(Some(detail)), None) => {
            (Some(EnhancedStatus::new(if class == 4 { 4 } else { 5 }, subject, detail)), rest.trim_start())
        }
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_may_choose_its_status() {
        let said = |text: &str| match rejected(text) {
            Stop::Refuse(reply, ..) => format!("{} {} {}", reply.code, reply.status.unwrap(), reply.lines[0]),
            other => format!("{other:?}"),
        };
        assert_eq!(said(""), "550 5.7.1 message content rejected");
        assert_eq!(said("no spam"), "550 5.7.1 no spam");
        assert_eq!(said("4.7.2 later"), "451 4.7.2 later");
        assert_eq!(said("2.0.0 odd"), "550 5.7.1 2.0.0 odd");
        assert_eq!(said("5.6.7"), "550 5.6.7 message content rejected");
    }
}
