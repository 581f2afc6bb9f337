//! The text of a report: multipart/report (RFC 6522) with a notification, a delivery status (RFC 3464), and what is returned
//! of the message. Internationalised forms (RFC 6533) where the message needed SMTPUTF8.
//!
//! Emits only. Every text of a peer is folded and cleaned: it can not end its line, its part, or the report.

use super::words::{Words, words};
use super::{Kind, Params, Plan};
use crate::mail::{Diagnosis, Outcome, Recipient, Ret};
use crate::time::{Now, Timestamp};
use crate::wire::date;
use std::borrow::Cow;

/// Columns of a line of text, as in Postfix's reports.
const COLUMNS: usize = 79;
/// A word longer than this is cut: no line may be longer than 998 (RFC 5322 2.1.1).
const WORD_MAX: usize = 900;

/// What is returned of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Returned {
    Full,
    Headers,
}

/// RFC 3461 4.3: RET is about failures only; others return the header. What is too large is not returned whole.
fn returned(plan: &Plan, params: &Params) -> Returned {
    let copy = plan.double_bounce && plan.about.envelope.sender.mailbox().is_some();
    let whole = plan.kind == Kind::Failure
        && plan.about.envelope.ret != Some(Ret::Headers)
        && !copy
        && plan.about.pieces.size() <= params.bounce_size_limit;
    if whole { Returned::Full } else { Returned::Headers }
}

/// Octets from the start of the message that [`compose`] wants to see.
#[must_use]
pub fn octets_wanted(plan: &Plan, params: &Params) -> u64 {
    plan.about.pieces.size().min(params.bounce_size_limit)
}

/// The content of a report, CRLF throughout. `original` is the message as it stands in its pieces, the first
/// [`octets_wanted`] of it. `offset` is minutes east of UTC. Message-Id and trace are added by cleanup.
#[must_use]
pub fn compose(plan: &Plan, params: &Params, now: Now, offset: i32, original: &[u8]) -> Vec<u8> {
    let words = words(plan.kind);
    let returned = returned(plan, params);
    let attached = match returned {
        Returned::Full => original,
        Returned::Headers => header_of(original),
    };
    let sender = plan.about.envelope.sender.external();
    let sender = clean(&sender);
    let attached = [format!("Return-Path: <{sender}>\r\n").as_bytes(), attached].concat();
    let notification = notification(plan, params, words);
    let global = plan.about.envelope.smtputf8;
    let status = status(plan, params, offset, global);
    let boundary = boundary(plan, now, params, &[notification.as_bytes(), status.as_bytes(), &attached]);
    let eight = !attached.is_ascii() || !notification.is_ascii() || !status.is_ascii();
    let mut out = top(plan, words, now, offset, &boundary, eight).into_bytes();
    let mut part = |description: &str, kind: &str, octets: &[u8]| {
        let encoding = if octets.is_ascii() { "" } else { "Content-Transfer-Encoding: 8bit\r\n" };
        let head = format!(
            "--{boundary}\r\nContent-Description: {description}\r\nContent-Type: {kind}\r\n{encoding}\r\n"
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(octets);
        out.extend_from_slice(b"\r\n");
    };
    let charset = if notification.is_ascii() { "us-ascii" } else { "utf-8" };
    part("Notification", &format!("text/plain; charset={charset}"), notification.as_bytes());
    let kind = if global { "message/global-delivery-status" } else { "message/delivery-status" };
    part("Delivery report", kind, status.as_bytes());
    let (suffix, kind) = match (returned, global) {
        (Returned::Full, false) => ("", "message/rfc822"),
        (Returned::Full, true) => ("", "message/global"),
        (Returned::Headers, false) => (" Headers", "text/rfc822-headers"),
        (Returned::Headers, true) => (" Headers", "message/global-headers"),
    };
    part(&format!("{}Message{suffix}", words.returned), kind, &attached);
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    out
}

/// The header of the report and its preamble.
fn top(plan: &Plan, words: &Words, now: Now, offset: i32, boundary: &str, eight: bool) -> String {
    let subject = if plan.double_bounce { words.postmaster_subject } else { words.subject };
    let encoding = if eight { "Content-Transfer-Encoding: 8bit\r\n" } else { "" };
    format!(
        "Date: {}\r\nFrom: Mail Delivery System <MAILER-DAEMON>\r\nSubject: {subject}\r\nTo: {}\r\n\
         Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n{encoding}\r\n\
         This is a MIME-encapsulated message.\r\n\r\n",
        date::rfc5322(now.wall, offset),
        clean(&plan.to.external()),
    )
}

/// A line that stands nowhere in what it separates, whatever the sender wrote.
fn boundary(plan: &Plan, now: Now, params: &Params, parts: &[&[u8]]) -> String {
    let mut number = now.wall.seconds();
    loop {
        let boundary = format!("{}.{number}/{}", plan.about.id, params.myhostname);
        let inside = |part: &&[u8]| memchr::memmem::find(part, boundary.as_bytes()).is_some();
        if !parts.iter().any(inside) {
            return boundary;
        }
        number = number.wrapping_add(1);
    }
}

/// The fields of a message, without the blank line; whole lines only.
fn header_of(original: &[u8]) -> &[u8] {
    let end = match memchr::memmem::find(original, b"\r\n\r\n") {
        Some(place) => place + 2,
        None => memchr::memmem::rfind(original, b"\r\n").map_or(0, |place| place + 2),
    };
    original.get(..end).unwrap_or_default()
}

fn recipients(plan: &Plan) -> impl Iterator<Item = (&Recipient, &Outcome)> {
    plan.recipients.iter().filter_map(|(index, outcome)| {
        let recipient = plan.about.envelope.recipients.get(usize::try_from(*index).ok()?)?;
        Some((recipient, outcome))
    })
}

fn notification(plan: &Plan, params: &Params, words: &Words) -> String {
    let mut text = format!("This is the mail system at host {}.\r\n\r\n", params.myhostname);
    for line in words.text {
        text.push_str(line);
        text.push_str("\r\n");
    }
    for (recipient, outcome) in recipients(plan) {
        let expanded = recipient.original.as_ref().filter(|original| **original != recipient.address);
        let expanded = expanded.map(|original| format!(" (expanded from <{}>)", original.external()));
        let line = format!(
            "<{}>{}: {}",
            recipient.address.external(),
            expanded.unwrap_or_default(),
            account(plan.kind, outcome)
        );
        text.push_str("\r\n");
        fold(&mut text, &clean(&line));
    }
    text
}

/// RFC 3464 2.2, 2.3: fields of the message, then a group of fields for each recipient.
fn status(plan: &Plan, params: &Params, offset: i32, global: bool) -> String {
    let envelope = &plan.about.envelope;
    let ours: String = params.mail_name.chars().map(|c| if c.is_whitespace() { '-' } else { c }).collect();
    let mut text = String::new();
    let mut field = |name: &str, value: &str| put_field(&mut text, name, value, global);
    field("Reporting-MTA", &format!("dns; {}", params.myhostname));
    if let Some(envid) = &envelope.envid {
        field("Original-Envelope-Id", envid);
    }
    field(&format!("X-{ours}-Queue-ID"), &plan.about.id.to_string());
    let sender = envelope.sender.external();
    field(&format!("X-{ours}-Sender"), &format!("{}; {sender}", address_type(&sender, global)));
    field("Arrival-Date", &date::rfc5322(envelope.arrived, offset));
    let retried_until = envelope.arrived.after(params.maximal_queue_lifetime);
    for (recipient, outcome) in recipients(plan) {
        text.push_str("\r\n");
        put_recipient(&mut text, plan.kind, recipient, outcome, &ours, global);
        if plan.kind == Kind::Delay {
            put_field(&mut text, "Will-Retry-Until", &retry_date(retried_until, offset), global);
        }
    }
    text
}

fn retry_date(until: Timestamp, offset: i32) -> String {
    date::rfc5322(until, offset)
}

fn put_recipient(
    text: &mut String,
    kind: Kind,
    recipient: &Recipient,
    outcome: &Outcome,
    ours: &str,
    global: bool,
) {
    let mut field = |name: &str, value: &str| put_field(text, name, value, global);
    let address = recipient.address.external();
    field("Final-Recipient", &format!("{}; {address}", address_type(&address, global)));
    if let Some(orcpt) = &recipient.orcpt {
        field("Original-Recipient", &format!("{};{}", orcpt.kind, orcpt.address));
    } else {
        let original = recipient.original.as_ref().unwrap_or(&recipient.address).external();
        field("Original-Recipient", &format!("{};{original}", address_type(&original, global)));
    }
    let diagnosis = outcome.diagnosis();
    field("Action", action(kind, outcome));
    field("Status", &diagnosis.status.to_string());
    if let Some(host) = &diagnosis.remote_mta {
        field("Remote-MTA", &format!("dns; {host}"));
    }
    field("Diagnostic-Code", &diagnostic_code(kind, outcome, ours));
}

/// What happened, for people; of a success also by what way.
fn account(kind: Kind, outcome: &Outcome) -> String {
    let Diagnosis { relay, text, .. } = outcome.diagnosis();
    if kind == Kind::Success { format!("delivery via {relay}: {text}") } else { text.clone() }
}

/// RFC 3464 2.3.3.
const fn action(kind: Kind, outcome: &Outcome) -> &'static str {
    match (kind, outcome) {
        (Kind::Failure, _) => "failed",
        (Kind::Delay, _) => "delayed",
        (Kind::Success, Outcome::Expanded(_)) => "expanded",
        (Kind::Success, outcome) if outcome.diagnosis().remote_mta.is_some() => "relayed",
        (Kind::Success, _) => "delivered",
    }
}

/// What a peer said, or our own words under a type of our own.
fn diagnostic_code(kind: Kind, outcome: &Outcome, ours: &str) -> String {
    let Some(reply) = &outcome.diagnosis().reply else {
        return format!("X-{ours}; {}", account(kind, outcome));
    };
    format!("smtp; {}", reply.text())
}

/// RFC 6533 3: `utf-8` for addresses that ASCII can not hold.
const fn address_type(address: &str, global: bool) -> &'static str {
    if global && !address.is_ascii() { "utf-8" } else { "rfc822" }
}

/// A field, folded. Outside the internationalised form only ASCII may stand in it (RFC 3464 2.1).
fn put_field(text: &mut String, name: &str, value: &str, global: bool) {
    let line = [name, ": ", value].concat();
    let line = clean(&line);
    if global || line.is_ascii() {
        fold(text, &line);
    } else {
        let ascii: String = line.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
        fold(text, &ascii);
    }
}

/// Without control characters: what a peer said stays one line.
fn clean(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

/// Adds a line, broken at white space, continued behind four spaces.
fn fold(text: &mut String, line: &str) {
    let mut column = 0;
    for word in line.split(' ').flat_map(pieces).filter(|word| !word.is_empty()) {
        if column > 0 && column + 1 + word.len() > COLUMNS {
            text.push_str("\r\n   ");
            column = 3;
        }
        if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text.push_str("\r\n");
}

/// A word in pieces of at most [`WORD_MAX`] octets.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = rest.len().min(WORD_MAX);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}
