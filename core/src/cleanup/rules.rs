//! header_checks(5): what a table says of a field, and how that is logged.
//!
//! Knows nothing of tables: it reads the value that one gave.

use crate::event::Event;
use crate::mail::{ClientFacts, Envelope, QueueId};
use crate::wire::{Mailbox, address_list, header};

/// Octets of a field that a log line shows, as in Postfix.
const SHOWN_MAX: usize = 200;

/// What a rule wants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// DUNNO, OK.
    Nothing,
    /// IGNORE, and STRIP, which is logged.
    Drop { logged: bool },
    /// REJECT.
    Reject,
    /// DISCARD.
    Discard,
    /// HOLD.
    Hold,
    /// PASS: no more rules for this message.
    Pass,
    /// WARN and INFO: only logged.
    Log,
    /// REPLACE: the field as octets, with its CRLF.
    Replace(Vec<u8>),
    /// PREPEND: the same.
    Prepend(Vec<u8>),
    /// FILTER.
    Filter(String),
    /// REDIRECT.
    Redirect(Mailbox),
    /// BCC.
    Bcc(Mailbox),
    /// The rule makes no sense: why.
    Faulty(String),
}

/// A rule's action, the verb of its log line, and its text.
pub(super) fn read(value: &str) -> (Action, &'static str, &str) {
    let value = value.trim();
    let (word, text) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    let text = text.trim_start();
    let (action, verb) = match word.to_ascii_uppercase().as_str() {
        "DUNNO" | "OK" => (Action::Nothing, ""),
        "IGNORE" => (Action::Drop { logged: false }, ""),
        "STRIP" => (Action::Drop { logged: true }, "strip"),
        "REJECT" => (Action::Reject, "reject"),
        "DISCARD" => (Action::Discard, "discard"),
        "HOLD" => (Action::Hold, "hold"),
        "PASS" => (Action::Pass, "pass"),
        "WARN" => (Action::Log, "warning"),
        "INFO" => (Action::Log, "info"),
        "REPLACE" => (field(text).map_or_else(Action::Faulty, Action::Replace), "replace"),
        "PREPEND" => (field(text).map_or_else(Action::Faulty, Action::Prepend), "prepend"),
        "FILTER" => (filter(text), "filter"),
        "REDIRECT" => (address(text).map_or_else(Action::Faulty, Action::Redirect), "redirect"),
        "BCC" => (address(text).map_or_else(Action::Faulty, Action::Bcc), "bcc"),
        _ => (Action::Faulty(format!("unknown command in header checks: {word}")), ""),
    };
    (action, verb, text)
}

/// What is wrong with a value of `header_checks`, if anything: mail that it matches passes, with a warning in the log.
#[must_use]
pub fn fault_of(value: &str) -> Option<String> {
    match read(value).0 {
        Action::Faulty(why) => Some(why),
        _ => None,
    }
}

fn filter(text: &str) -> Action {
    // Without the colon it would be read as a domain to route by.
    if text.contains(':') {
        Action::Filter(text.to_owned())
    } else {
        Action::Faulty(format!("bad FILTER command {text}, need transport:destination"))
    }
}

fn address(text: &str) -> Result<Mailbox, String> {
    let bad = || format!("bad address {text} in header checks, need user@domain");
    let mailbox = address_list::mailboxes(text).into_iter().next().ok_or_else(bad)?;
    if mailbox.domain().is_empty() { Err(bad()) } else { Ok(mailbox) }
}

/// A field out of a rule's text. A captured fold stays a fold; no line may pass for a field of its own.
fn field(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim_end().replace('\r', "").replace('\n', "\r\n");
    if !matches!(header::classify(text.as_bytes()), header::Line::Field { .. }) {
        return Err(format!("bad header text {text}, need \"headername: headervalue\""));
    }
    let mut octets = Vec::with_capacity(text.len() + 2);
    for (place, line) in text.split("\r\n").enumerate() {
        if place > 0 && !line.starts_with([' ', '\t']) {
            octets.push(b' ');
        }
        octets.extend_from_slice(line.as_bytes());
        octets.extend_from_slice(b"\r\n");
    }
    Ok(octets)
}

/// The log line of a rule that acted.
pub(super) fn event(id: QueueId, verb: &'static str, field: &str, envelope: &Envelope, text: &str) -> Event {
    let mut shown = field;
    if let Some((end, _)) = field.char_indices().take_while(|(at, _)| *at <= SHOWN_MAX).last()
        && field.len() > SHOWN_MAX
    {
        shown = field.get(..end).unwrap_or(field);
    }
    let client = &envelope.client;
    let mut details = format!("from {}; from=<{}>", origin(client), envelope.sender.external());
    if let Some(last) = envelope.recipients.last() {
        details.push_str(&format!(" to=<{}>", last.address.external()));
    }
    if !client.protocol.is_empty() {
        details.push_str(&format!(" proto={}", client.protocol));
    }
    if !client.helo.is_empty() {
        details.push_str(&format!(" helo=<{}>", client.helo));
    }
    let text = if verb == "reject" { &super::replies::refusal(text) } else { text };
    if !text.is_empty() {
        details.push_str(&format!(": {text}"));
    }
    Event::HeaderRule { id, verb, header: shown.to_owned(), details }
}

fn origin(client: &ClientFacts) -> String {
    match client.address {
        Some(address) => format!("{}[{address}]", client.name),
        None => "local".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_read_in_any_case() {
        assert_eq!(read("reject  no way"), (Action::Reject, "reject", "no way"));
        assert_eq!(read("Warn"), (Action::Log, "warning", ""));
        assert_eq!(read("REPLACE X-A: b").0, Action::Replace(b"X-A: b\r\n".to_vec()));
        assert_eq!(read("redirect a@b.example").0, Action::Redirect(Mailbox::new("a", "b.example")));
    }

    #[test]
    fn faulty_rules_are_named_and_not_obeyed() {
        for value in ["", "FROB", "REPLACE no field", "BCC nobody", "FILTER smtp", "REDIRECT"] {
            assert!(matches!(read(value).0, Action::Faulty(_)), "{value}");
        }
    }

    #[test]
    fn a_rule_can_not_smuggle_a_field_in() {
        assert_eq!(read("PREPEND A: x\nB: y").0, Action::Prepend(b"A: x\r\n B: y\r\n".to_vec()));
        assert_eq!(read("REPLACE A: x,\n y").0, Action::Replace(b"A: x,\r\n y\r\n".to_vec()));
    }
}
