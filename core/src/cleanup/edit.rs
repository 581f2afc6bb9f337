//! The pass over the header: rules, removed fields, addresses, and what must be added.
//!
//! Fields that stay as they are cost nothing; the others become edits, by the number of the field. The pass goes on at the field at
//! which it paused, and within one field nothing is decided before the last answer is in.

use super::known::{Known, Role, known};
use super::mapping::{Position, mapped};
use super::maps::Maps;
use super::params::Params;
use super::replies::{Stop, rejected};
use super::rules::{self, Action};
use super::{Context, Draft};
use crate::event::Event;
use crate::mail::{Pieces, Sender};
use crate::rewrite::Rewrite;
use crate::time::Timestamp;
use crate::wire::address_list::{self, Place};
use crate::wire::header::{self, End, Field, HeaderReader};
use crate::wire::{Mailbox, date};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What becomes of a field that does not stay as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Edit {
    /// Stands in front of it.
    before: Vec<u8>,
    /// Stands in its place; empty removes it, `None` keeps it.
    instead: Option<Vec<u8>>,
}

/// The addresses of one field: a long list is gone through once, however often it pauses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Rewriting {
    places: Vec<Place>,
    next: usize,
    edits: Vec<(Range<usize>, Mailbox)>,
}

/// The header so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Pass {
    /// Trace and prepended fields, in front of the stored ones.
    front: Vec<u8>,
    front_fields: Vec<Field>,
    next: usize,
    /// The addresses of the field at work, where they were paused.
    rewriting: Option<Rewriting>,
    edits: BTreeMap<usize, Edit>,
    /// Names in the table of known fields that are there.
    seen: BTreeSet<&'static str>,
    resent: bool,
    /// No more rules.
    passed: bool,
    pub(super) message_id: String,
    /// The body has octets beyond ASCII, as `Content-Transfer-Encoding` says (detect_8bit_encoding_header).
    pub(super) eight_bit: bool,
    pub(super) hold: bool,
    pub(super) filter: Option<String>,
    pub(super) redirect: Option<Mailbox>,
    pub(super) bcc: Vec<Mailbox>,
}

/// What the pass works with.
#[derive(Clone, Copy)]
pub(super) struct Bench<'a> {
    pub(super) draft: &'a Draft,
    pub(super) params: &'a Params,
    pub(super) maps: Maps<'a>,
    pub(super) context: Context,
}

impl Pass {
    /// With what stands in front of the stored content.
    pub(super) fn new(draft: &Draft) -> Self {
        let mut front = draft.trace.clone();
        for line in &draft.prepend {
            front.extend_from_slice(line.as_bytes());
            front.extend_from_slice(b"\r\n");
        }
        Self { front_fields: header::fields(&front), front, ..Self::default() }
    }

    /// Fields that are done.
    pub(super) const fn done(&self) -> usize {
        self.next
    }

    /// `Received:` fields in front of the stored content.
    pub(super) fn hops(&self) -> u32 {
        hops(&self.front, &self.front_fields)
    }

    /// Runs to the end of the header, or to the next pause.
    pub(super) fn run(
        &mut self,
        reader: &HeaderReader,
        bench: Bench<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Stop> {
        while let Some((octets, plain)) = self.field(reader) {
            let label: &[u8] = if plain { b"" } else { b"X-Mailbox-Line: " };
            let octets = [label, octets].concat();
            self.step(octets, plain, bench, events)?;
            self.next += 1;
        }
        Ok(())
    }

    /// The field at work, and whether it is one (a mailbox line is not).
    fn field<'a>(&'a self, reader: &'a HeaderReader) -> Option<(&'a [u8], bool)> {
        let (octets, field) = match self.front_fields.get(self.next) {
            Some(field) => (self.front.as_slice(), field),
            None => (reader.octets(), reader.fields().get(self.next - self.front_fields.len())?),
        };
        Some((field.octets(octets), field.name > 0))
    }

    fn step(
        &mut self,
        mut octets: Vec<u8>,
        plain: bool,
        bench: Bench<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Stop> {
        let value = self.rule(&octets, bench)?;
        let (action, verb, text) = value.as_deref().map_or((Action::Nothing, "", ""), rules::read);
        let shown = value.as_ref().map(|_| header::logical(&octets)).unwrap_or_default();
        let mut changed = !plain;
        let mut before = Vec::new();
        // Programs of this host leave a mailbox line in front, which says nothing.
        let mut dropped = !plain && bench.draft.envelope.client.address.is_none();
        match &action {
            Action::Replace(field) => (octets, changed) = (field.clone(), true),
            Action::Prepend(field) => before.clone_from(field),
            Action::Drop { .. } => dropped = true,
            _ => {}
        }
        let row = known(header::name(&octets));
        let listed = |name: &String| header::name(&octets).eq_ignore_ascii_case(name.as_bytes());
        let unwanted = bench.params.message_drop_headers.iter().any(listed);
        if !dropped
            && !unwanted
            && let Some(field) = self.rewritten(&octets, row, bench)?
        {
            (octets, changed) = (field, true);
        }
        // Nothing pauses from here on, so nothing below happens twice.
        if !verb.is_empty() && !matches!(action, Action::Faulty(_)) {
            events.push(rules::event(bench.draft.id, verb, &shown, &bench.draft.envelope, text));
        }
        if !dropped {
            self.note(row, &octets, bench, events);
        }
        if let Some(cut) = cut(&octets, bench.params.header_size_limit) {
            octets.truncate(cut);
            octets.extend_from_slice(b"\r\n");
            changed = true;
        }
        if dropped || unwanted {
            (octets, changed) = (Vec::new(), true);
        }
        if changed || !before.is_empty() {
            self.edits.insert(self.next, Edit { before, instead: changed.then_some(octets) });
        }
        self.obey(action, text, bench, events)
    }

    /// What the tables of rules say of a field.
    fn rule(&self, octets: &[u8], bench: Bench<'_>) -> Result<Option<String>, Stop> {
        let (mime, others) = (&bench.params.mime_header_checks, &bench.params.header_checks);
        let off = self.passed || !bench.draft.filtered || bench.params.no_header_body_checks;
        if off || (mime.is_empty() && others.is_empty()) {
            return Ok(None);
        }
        let tables = match known(header::name(octets)) {
            Some(Known { mime: true, .. }) => mime,
            _ => others,
        };
        if tables.is_empty() {
            return Ok(None);
        }
        let text = header::logical(octets);
        for table in tables {
            if let Some(value) = bench.maps.facts.lookup(table, &text)? {
                return Ok(Some(value.to_owned()));
            }
        }
        Ok(None)
    }

    /// The field with its addresses complete and mapped, if that changes one.
    fn rewritten(
        &mut self,
        octets: &[u8],
        row: Option<&'static Known>,
        bench: Bench<'_>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let Some(role) = row.and_then(|row| row.addresses) else { return Ok(None) };
        if bench.context == Context::Foreign {
            return Ok(None);
        }
        let position = match role {
            Role::Sender => Position::HeaderSender,
            Role::Recipient => Position::HeaderRecipient,
        };
        let value = header::value(octets);
        let work = self.rewriting.get_or_insert_with(|| Rewriting {
            places: address_list::addresses(value, bench.params.header_address_token_limit),
            next: 0,
            edits: Vec::new(),
        });
        while let Some(place) = work.places.get(work.next) {
            let complete = complete(&place.mailbox, bench);
            let mailbox = mapped(&complete, position, bench.params, bench.maps)?;
            if mailbox != place.mailbox {
                work.edits.push((place.range.clone(), mailbox));
            }
            work.next += 1;
        }
        let edits = self.rewriting.take().map(|work| work.edits).unwrap_or_default();
        if edits.is_empty() {
            return Ok(None);
        }
        let label = octets.get(..octets.len() - value.len()).unwrap_or_default();
        Ok(Some([label, &address_list::replace(value, &edits)].concat()))
    }

    fn note(
        &mut self,
        row: Option<&'static Known>,
        octets: &[u8],
        bench: Bench<'_>,
        events: &mut Vec<Event>,
    ) {
        let Some(row) = row else { return };
        self.resent |= row.resent;
        let value = header::value(octets).trim_ascii();
        if row.name == "content-transfer-encoding" && bench.params.detect_8bit_encoding_header {
            self.eight_bit |= value.eq_ignore_ascii_case(b"8bit");
        }
        if self.seen.insert(row.name) && matches!(row.name, "message-id" | "resent-message-id") {
            let logical = header::logical(octets);
            let value = logical.split_once(':').map_or("", |(_, value)| value);
            let message_id = value.trim().replace('\n', " ");
            let resent = row.resent;
            if !resent {
                self.message_id.clone_from(&message_id);
            }
            events.push(Event::MessageId { id: bench.draft.id, resent, message_id });
        }
    }

    fn obey(
        &mut self,
        action: Action,
        text: &str,
        bench: Bench<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Stop> {
        match action {
            Action::Reject => return Err(rejected(text)),
            Action::Discard => return Err(Stop::Discard),
            Action::Hold => self.hold = true,
            Action::Pass => self.passed = true,
            Action::Filter(filter) => self.filter = Some(filter),
            Action::Redirect(mailbox) => self.redirect = Some(mailbox),
            Action::Bcc(mailbox) => self.bcc.push(mailbox),
            Action::Faulty(text) => {
                events.push(Event::Warning { program: "cleanup", id: Some(bench.draft.id), text });
            }
            Action::Nothing | Action::Drop { .. } | Action::Log | Action::Replace(_) | Action::Prepend(_) => {
            }
        }
        Ok(())
    }

    /// Fields that every message has (RFC 5322 3.6), where they are missing and it is ours to add them.
    pub(super) fn add_missing(
        &mut self,
        bench: Bench<'_>,
        sender: &Sender,
        at: Timestamp,
        events: &mut Vec<Event>,
    ) -> Vec<u8> {
        let (params, id) = (bench.params, bench.draft.id);
        let ours = bench.context != Context::Foreign || params.always_add_missing_headers;
        let (resent, message_id, written, from) = if self.resent {
            ("Resent-", "resent-message-id", "resent-date", "resent-from")
        } else {
            ("", "message-id", "date", "from")
        };
        let mut text = String::new();
        if ours && !self.seen.contains(message_id) {
            let time = if params.enable_long_queue_ids { String::new() } else { date::compact(at) + "." };
            let value = format!("<{time}{id}@{}>", params.myhostname);
            text.push_str(&format!("{resent}Message-Id: {value}\r\n"));
            if !self.resent {
                self.message_id.clone_from(&value);
            }
            events.push(Event::MessageId { id, resent: self.resent, message_id: value });
        } else if !self.seen.contains("message-id") {
            events.push(Event::MessageId { id, resent: false, message_id: "<>".to_owned() });
        }
        if ours && !self.seen.contains(written) {
            text.push_str(&format!("{resent}Date: {}\r\n", date::rfc5322(at, params.zone.offset(at))));
        }
        if ours && !self.seen.contains(from) {
            text.push_str(&format!("{resent}From: {}\r\n", author(sender, bench.maps.rewrite)));
        }
        let visible = ["to", "resent-to", "cc", "resent-cc"].iter().any(|name| self.seen.contains(name));
        if ours && !visible && !params.undisclosed_recipients_header.is_empty() {
            text.push_str(&format!("{}\r\n", params.undisclosed_recipients_header));
        }
        text.into_bytes()
    }

    /// The message: front, stored fields with their edits, added fields, body.
    pub(super) fn pieces(&self, reader: &HeaderReader, missing: &[u8], stored: u64) -> Pieces {
        let mut pieces = Pieces::default();
        let front = self.front_fields.iter().map(|field| (field, true));
        let fields = front.chain(reader.fields().iter().map(|field| (field, false)));
        for (number, (field, literal)) in fields.enumerate() {
            let edit = self.edits.get(&number);
            if let Some(edit) = edit {
                pieces.literal(&edit.before);
            }
            match edit.and_then(|edit| edit.instead.as_deref()) {
                Some(instead) => pieces.literal(instead),
                None if literal => pieces.literal(field.octets(&self.front)),
                None => pieces.stored(field.range.start as u64, field.range.len() as u64),
            }
        }
        let header = reader.length() as u64;
        let rest = stored.saturating_sub(header);
        match reader.end() {
            // More header may lie in the rest: whether a field is missing is not known.
            Some(End::Bound) => {}
            Some(End::Blank) => pieces.literal(missing),
            Some(End::NoBlank | End::Content) | None => {
                pieces.literal(missing);
                pieces.literal(b"\r\n");
            }
        }
        pieces.stored(header, rest);
        pieces
    }
}

/// Where to write to the author of a message that does not say so.
fn author(sender: &Sender, rewrite: &Rewrite) -> String {
    match sender {
        Sender::Mailbox(mailbox) => mailbox.external(),
        Sender::Null => rewrite.canonical(&Mailbox::new("MAILER-DAEMON", "")).external(),
    }
}

/// `Received:` fields among these.
pub(super) fn hops(octets: &[u8], fields: &[Field]) -> u32 {
    let received = |field: &&Field| header::name(field.octets(octets)).eq_ignore_ascii_case(b"received");
    u32::try_from(fields.iter().filter(|field| field.name == 8).filter(received).count()).unwrap_or(u32::MAX)
}

fn complete(mailbox: &Mailbox, bench: Bench<'_>) -> Mailbox {
    let remote = &bench.params.remote_header_rewrite_domain;
    match bench.context {
        Context::Foreign => mailbox.clone(),
        Context::Local => bench.maps.rewrite.canonical(mailbox),
        Context::Remote if mailbox.domain().is_empty() => Mailbox::new(mailbox.local(), remote),
        Context::Remote if mailbox.domain().contains(['.', '[']) => mailbox.clone(),
        Context::Remote => Mailbox::new(mailbox.local(), &format!("{}.{remote}", mailbox.domain())),
    }
}

/// Where to cut a field that is larger than the limit: behind its last whole line, or in its first.
fn cut(octets: &[u8], limit: usize) -> Option<usize> {
    if octets.len() <= limit.max(2) {
        return None;
    }
    let within = octets.get(..limit).unwrap_or(octets);
    Some(within.windows(2).rposition(|pair| pair == b"\r\n").unwrap_or(limit.max(2) - 2))
}
