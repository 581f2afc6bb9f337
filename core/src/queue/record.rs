//! Changes as octets: what a frame of the log carries.
//!
//! A batch is a list of changes, each a kind, a length and a body. The body of a `Commit` is a list of tagged fields: a
//! field of a tag that we do not know is kept as it is ([`Message::unknown`]). The forms inside a field are frozen: a later version that has more to say,
//! also of a single recipient, uses a new tag (with the recipient's index in its value), so that an older one still keeps it.
//!
//! Laws: what is emitted parses back to the same value; parsing is total, and allocates in proportion to its input.

use super::tlv::{Cursor, put_field, put_number, put_octets, put_optional_text, put_signed, put_text};
use crate::mail::{
    BodyType, Change, ClientFacts, ContentPlace, Diagnosis, Envelope, Message, Notify, Origin,
    OriginalRecipient, Outcome, Piece, Pieces, QueueId, Recipient, Ret, Sender, Settlement,
};
use crate::time::Timestamp;
use crate::wire::{EnhancedStatus, Mailbox, Reply, SyntaxError, Wire};
use std::net::IpAddr;

type Read<T> = Result<T, SyntaxError>;

/// Kinds of changes.
mod kind {
    pub(super) const COMMIT: u64 = 1;
    pub(super) const SETTLE: u64 = 2;
    pub(super) const HOLD: u64 = 3;
    pub(super) const RELEASE: u64 = 4;
    pub(super) const RETRY: u64 = 5;
    pub(super) const WARNED: u64 = 6;
    pub(super) const REPORTED: u64 = 7;
    pub(super) const REMOVE: u64 = 8;
}

/// Tags of a message's fields. A value that is the default is not written.
mod tag {
    pub(super) const SENDER: u64 = 1;
    pub(super) const RECIPIENT: u64 = 2;
    pub(super) const ARRIVED: u64 = 3;
    pub(super) const ENVID: u64 = 4;
    pub(super) const RET: u64 = 5;
    pub(super) const EIGHT_BIT: u64 = 6;
    pub(super) const SMTPUTF8: u64 = 7;
    pub(super) const CLIENT: u64 = 8;
    pub(super) const FILTER: u64 = 9;
    pub(super) const STORED_PIECE: u64 = 10;
    pub(super) const LITERAL_PIECE: u64 = 11;
    pub(super) const FILE: u64 = 12;
    pub(super) const STORED: u64 = 13;
    pub(super) const ORIGIN: u64 = 14;
    pub(super) const MESSAGE_ID: u64 = 15;
    pub(super) const HOLD: u64 = 16;
    pub(super) const CHECKSUM: u64 = 17;
    /// The highest tag that this version knows.
    pub(super) const LAST: u64 = CHECKSUM;
}

/// The octets of some changes.
pub(super) fn emit_batch(changes: &[Change]) -> Vec<u8> {
    let mut out = Vec::with_capacity(changes.len().saturating_mul(64).max(512));
    changes.iter().for_each(|change| change.emit(&mut out));
    out
}

/// The changes of some octets; all of them must be used.
pub(super) fn parse_batch(octets: &[u8]) -> Read<Vec<Change>> {
    let mut cursor = Cursor::new(octets);
    let mut changes = Vec::new();
    while !cursor.is_at_end() {
        changes.push(take_change(&mut cursor)?);
    }
    Ok(changes)
}

impl Wire for Change {
    fn parse(input: &[u8]) -> Read<Self> {
        let mut cursor = Cursor::new(input);
        let change = take_change(&mut cursor)?;
        cursor.end()?;
        Ok(change)
    }

    fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Commit(message) => put_field(out, kind::COMMIT, |out| put_message(out, message)),
            Self::Settle(settlement) => put_field(out, kind::SETTLE, |out| put_settlement(out, settlement)),
            Self::Hold(id) => put_field(out, kind::HOLD, |out| put_id(out, *id)),
            Self::Release(id) => put_field(out, kind::RELEASE, |out| put_id(out, *id)),
            Self::Retry(id, at) => put_field(out, kind::RETRY, |out| put_id_at(out, *id, *at)),
            Self::Warned(id, at) => put_field(out, kind::WARNED, |out| put_id_at(out, *id, *at)),
            Self::Reported(id, recipients) => put_field(out, kind::REPORTED, |out| {
                put_id(out, *id);
                recipients.iter().for_each(|index| put_number(out, u64::from(*index)));
            }),
            Self::Remove(id) => put_field(out, kind::REMOVE, |out| put_id(out, *id)),
        }
    }
}

fn take_change(cursor: &mut Cursor<'_>) -> Read<Change> {
    let kind = cursor.number()?;
    let body = &mut Cursor::new(cursor.octets()?);
    let id = QueueId(body.fixed()?);
    let change = match kind {
        kind::COMMIT => Change::Commit(Box::new(take_message(body, id)?)),
        kind::SETTLE => Change::Settle(take_settlement(body, id)?),
        kind::HOLD => Change::Hold(id),
        kind::RELEASE => Change::Release(id),
        kind::RETRY => Change::Retry(id, Timestamp(body.signed()?)),
        kind::WARNED => Change::Warned(id, Timestamp(body.signed()?)),
        kind::REPORTED => Change::Reported(id, take_indexes(body)?),
        kind::REMOVE => Change::Remove(id),
        _ => return cursor.wrong("a kind of change that this version knows"),
    };
    body.end()?;
    Ok(change)
}

fn put_id(out: &mut Vec<u8>, id: QueueId) {
    out.extend_from_slice(&id.0.to_le_bytes());
}

fn put_id_at(out: &mut Vec<u8>, id: QueueId, at: Timestamp) {
    put_id(out, id);
    put_signed(out, at.0);
}

fn take_indexes(cursor: &mut Cursor<'_>) -> Read<Vec<u32>> {
    let mut indexes = Vec::new();
    while !cursor.is_at_end() {
        indexes.push(cursor.small()?);
    }
    Ok(indexes)
}

fn put_message(out: &mut Vec<u8>, message: &Message) {
    put_id(out, message.id);
    put_envelope(out, &message.envelope);
    for piece in &message.pieces.0 {
        match piece {
            Piece::Stored { offset, length } => put_field(out, tag::STORED_PIECE, |out| {
                put_number(out, *offset);
                put_number(out, *length);
            }),
            Piece::Literal(octets) => {
                put_number(out, tag::LITERAL_PIECE);
                put_octets(out, octets);
            }
        }
    }
    put_flag(out, tag::FILE, message.place == ContentPlace::File);
    put_field(out, tag::STORED, |out| put_number(out, message.stored));
    let origin = match message.origin {
        Origin::Submitted => 0,
        Origin::Report => 1,
        Origin::Notice => 2,
        Origin::Forwarded => 3,
    };
    if origin != 0 {
        put_field(out, tag::ORIGIN, |out| out.push(origin));
    }
    put_named_text(out, tag::MESSAGE_ID, (!message.message_id.is_empty()).then_some(&message.message_id));
    put_flag(out, tag::HOLD, message.hold);
    if let Some(checksum) = message.checksum {
        put_field(out, tag::CHECKSUM, |out| put_number(out, u64::from(checksum)));
    }
    for (unknown, value) in message.unknown.iter().filter(|(unknown, _)| u64::from(*unknown) > tag::LAST) {
        put_number(out, u64::from(*unknown));
        put_octets(out, value);
    }
}

fn put_envelope(out: &mut Vec<u8>, envelope: &Envelope) {
    if let Sender::Mailbox(mailbox) = &envelope.sender {
        put_field(out, tag::SENDER, |out| put_mailbox(out, mailbox));
    }
    for recipient in &envelope.recipients {
        put_field(out, tag::RECIPIENT, |out| put_recipient(out, recipient));
    }
    put_field(out, tag::ARRIVED, |out| put_signed(out, envelope.arrived.0));
    put_named_text(out, tag::ENVID, envelope.envid.as_ref());
    if let Some(ret) = envelope.ret {
        put_field(out, tag::RET, |out| out.push(u8::from(ret == Ret::Headers)));
    }
    put_flag(out, tag::EIGHT_BIT, envelope.body == BodyType::EightBitMime);
    put_flag(out, tag::SMTPUTF8, envelope.smtputf8);
    if envelope.client != ClientFacts::default() {
        put_field(out, tag::CLIENT, |out| put_client(out, &envelope.client));
    }
    put_named_text(out, tag::FILTER, envelope.filter.as_ref());
}

fn put_flag(out: &mut Vec<u8>, tag: u64, set: bool) {
    if set {
        put_field(out, tag, |_| ());
    }
}

fn put_named_text(out: &mut Vec<u8>, tag: u64, text: Option<&String>) {
    if let Some(text) = text {
        put_number(out, tag);
        put_text(out, text);
    }
}

fn take_message(cursor: &mut Cursor<'_>, id: QueueId) -> Read<Message> {
    let mut message = Message {
        id,
        envelope: Envelope::default(),
        pieces: Pieces::default(),
        place: ContentPlace::Inline,
        stored: 0,
        origin: Origin::Submitted,
        message_id: String::new(),
        hold: false,
        checksum: None,
        unknown: Vec::new(),
    };
    while !cursor.is_at_end() {
        let tag = cursor.small::<u16>()?;
        let octets = cursor.octets()?;
        let mut value = Cursor::new(octets);
        if u64::from(tag) > tag::LAST {
            message.unknown.push((tag, octets.to_vec()));
        } else if u64::from(tag) >= tag::STORED_PIECE {
            take_storage_field(&mut message, u64::from(tag), octets)?;
        } else {
            take_envelope_field(&mut message.envelope, u64::from(tag), &mut value)?;
            value.end()?;
        }
    }
    if !pieces_fit(&message) {
        return cursor.wrong("pieces inside the stored content");
    }
    Ok(message)
}

/// True when the pieces lie inside the stored content and their sum is a number: what whoever reads them relies on.
pub(super) fn pieces_fit(message: &Message) -> bool {
    let mut size = 0u64;
    message.pieces.0.iter().all(|piece| {
        let (fits, length) = match piece {
            Piece::Stored { offset, length } => {
                (offset.checked_add(*length).is_some_and(|end| end <= message.stored), *length)
            }
            Piece::Literal(octets) => (true, octets.len() as u64),
        };
        let sum = size.checked_add(length);
        size = sum.unwrap_or(u64::MAX);
        fits && sum.is_some()
    })
}

fn take_storage_field(message: &mut Message, tag: u64, octets: &[u8]) -> Read<()> {
    let mut value = Cursor::new(octets);
    match tag {
        tag::STORED_PIECE => {
            let (offset, length) = (value.number()?, value.number()?);
            message.pieces.0.push(Piece::Stored { offset, length });
        }
        tag::LITERAL_PIECE => {
            message.pieces.0.push(Piece::Literal(octets.to_vec()));
            return Ok(());
        }
        tag::FILE => message.place = ContentPlace::File,
        tag::STORED => message.stored = value.number()?,
        tag::ORIGIN => {
            message.origin = match value.octet()? {
                0 => Origin::Submitted,
                1 => Origin::Report,
                2 => Origin::Notice,
                3 => Origin::Forwarded,
                _ => return value.wrong("an origin"),
            }
        }
        tag::MESSAGE_ID => {
            message.message_id = whole_text(octets)?;
            return Ok(());
        }
        tag::CHECKSUM => message.checksum = Some(value.small()?),
        _ => message.hold = true,
    }
    value.end()
}

fn whole_text(octets: &[u8]) -> Read<String> {
    match std::str::from_utf8(octets) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(SyntaxError { at: error.valid_up_to(), expected: "UTF-8" }),
    }
}

fn rest_text(value: &mut Cursor<'_>) -> Read<String> {
    whole_text(value.rest())
}

fn take_envelope_field(envelope: &mut Envelope, tag: u64, value: &mut Cursor<'_>) -> Read<()> {
    match tag {
        tag::SENDER => envelope.sender = Sender::Mailbox(take_mailbox(value)?),
        tag::RECIPIENT => envelope.recipients.push(take_recipient(value)?),
        tag::ARRIVED => envelope.arrived = Timestamp(value.signed()?),
        tag::ENVID => envelope.envid = Some(rest_text(value)?),
        tag::RET => {
            envelope.ret = Some(match value.octet()? {
                0 => Ret::Full,
                1 => Ret::Headers,
                _ => return value.wrong("RET"),
            });
        }
        tag::EIGHT_BIT => envelope.body = BodyType::EightBitMime,
        tag::SMTPUTF8 => envelope.smtputf8 = true,
        tag::CLIENT => envelope.client = take_client(value)?,
        tag::FILTER => envelope.filter = Some(rest_text(value)?),
        _ => return value.wrong("a tag above 0"),
    }
    Ok(())
}

fn put_mailbox(out: &mut Vec<u8>, mailbox: &Mailbox) {
    put_text(out, mailbox.local());
    put_text(out, mailbox.domain());
}

fn take_mailbox(cursor: &mut Cursor<'_>) -> Read<Mailbox> {
    let local = cursor.text()?;
    Ok(Mailbox::new(local, cursor.text()?))
}

fn put_recipient(out: &mut Vec<u8>, recipient: &Recipient) {
    let Notify { success, failure, delay, explicit } = recipient.notify;
    let flags = [success, failure, delay, explicit, recipient.original.is_some(), recipient.orcpt.is_some()];
    out.push(flags.iter().rev().fold(0, |octet, flag| octet << 1 | u8::from(*flag)));
    put_mailbox(out, &recipient.address);
    if let Some(original) = &recipient.original {
        put_mailbox(out, original);
    }
    if let Some(OriginalRecipient { kind, address }) = &recipient.orcpt {
        put_text(out, kind);
        put_text(out, address);
    }
}

fn take_recipient(cursor: &mut Cursor<'_>) -> Read<Recipient> {
    let flags = cursor.octet()?;
    let flag = |place: u8| flags >> place & 1 == 1;
    let notify = Notify { success: flag(0), failure: flag(1), delay: flag(2), explicit: flag(3) };
    let address = take_mailbox(cursor)?;
    let original = if flag(4) { Some(take_mailbox(cursor)?) } else { None };
    let orcpt = if flag(5) {
        let kind = cursor.text()?.to_owned();
        Some(OriginalRecipient { kind, address: cursor.text()?.to_owned() })
    } else {
        None
    };
    Ok(Recipient { address, original, orcpt, notify })
}

fn put_client(out: &mut Vec<u8>, client: &ClientFacts) {
    put_text(out, &client.name);
    match client.address {
        None => put_octets(out, &[]),
        Some(IpAddr::V4(address)) => put_octets(out, &address.octets()),
        Some(IpAddr::V6(address)) => put_octets(out, &address.octets()),
    }
    put_number(out, u64::from(client.port));
    put_text(out, &client.helo);
    put_text(out, &client.protocol);
}

fn take_client(cursor: &mut Cursor<'_>) -> Read<ClientFacts> {
    let name = cursor.text()?.to_owned();
    let address = cursor.octets()?;
    let address = if address.is_empty() {
        None
    } else if let Ok(octets) = <[u8; 4]>::try_from(address) {
        Some(IpAddr::from(octets))
    } else if let Ok(octets) = <[u8; 16]>::try_from(address) {
        Some(IpAddr::from(octets))
    } else {
        return cursor.wrong("an IP address");
    };
    let port = cursor.small()?;
    let helo = cursor.text()?.to_owned();
    Ok(ClientFacts { name, address, port, helo, protocol: cursor.text()?.to_owned() })
}

fn put_settlement(out: &mut Vec<u8>, settlement: &Settlement) {
    put_id_at(out, settlement.id, settlement.at);
    match settlement.retry_at {
        None => out.push(0),
        Some(at) => {
            out.push(1);
            put_signed(out, at.0);
        }
    }
    for (index, outcome) in &settlement.outcomes {
        put_number(out, u64::from(*index));
        put_outcome(out, outcome);
    }
}

fn take_settlement(cursor: &mut Cursor<'_>, id: QueueId) -> Read<Settlement> {
    let at = Timestamp(cursor.signed()?);
    let retry_at = match cursor.octet()? {
        0 => None,
        1 => Some(Timestamp(cursor.signed()?)),
        _ => return cursor.wrong("0 or 1"),
    };
    let mut outcomes = Vec::new();
    while !cursor.is_at_end() {
        let index = cursor.small()?;
        outcomes.push((index, take_outcome(cursor)?));
    }
    Ok(Settlement { id, at, outcomes, retry_at })
}

fn put_outcome(out: &mut Vec<u8>, outcome: &Outcome) {
    out.push(match outcome {
        Outcome::Delivered { last_hop_for_dsn: false, .. } => 1,
        Outcome::Delivered { last_hop_for_dsn: true, .. } => 2,
        Outcome::Deferred(_) => 3,
        Outcome::Failed(_) => 4,
        Outcome::Expanded(_) => 5,
        Outcome::Discarded(_) => 6,
    });
    let diagnosis = outcome.diagnosis();
    put_status(out, diagnosis.status);
    put_text(out, &diagnosis.text);
    put_text(out, &diagnosis.relay);
    put_optional_text(out, diagnosis.remote_mta.as_deref());
    match &diagnosis.reply {
        None => out.push(0),
        Some(reply) => {
            out.push(1);
            put_reply(out, reply);
        }
    }
}

fn take_outcome(cursor: &mut Cursor<'_>) -> Read<Outcome> {
    let kind = cursor.octet()?;
    let status = take_status(cursor)?;
    let text = cursor.text()?.to_owned();
    let relay = cursor.text()?.to_owned();
    let remote_mta = cursor.optional_text()?;
    let reply = match cursor.octet()? {
        0 => None,
        1 => Some(take_reply(cursor)?),
        _ => return cursor.wrong("0 or 1"),
    };
    let diagnosis = Diagnosis { status, text, remote_mta, reply, relay };
    Ok(match kind {
        1 => Outcome::Delivered { diagnosis, last_hop_for_dsn: false },
        2 => Outcome::Delivered { diagnosis, last_hop_for_dsn: true },
        3 => Outcome::Deferred(diagnosis),
        4 => Outcome::Failed(diagnosis),
        5 => Outcome::Expanded(diagnosis),
        6 => Outcome::Discarded(diagnosis),
        _ => return cursor.wrong("an outcome"),
    })
}

fn put_status(out: &mut Vec<u8>, status: EnhancedStatus) {
    out.push(status.class);
    put_number(out, u64::from(status.subject));
    put_number(out, u64::from(status.detail));
}

fn take_status(cursor: &mut Cursor<'_>) -> Read<EnhancedStatus> {
    let class = cursor.octet()?;
    let subject = cursor.small()?;
    Ok(EnhancedStatus { class, subject, detail: cursor.small()? })
}

fn put_reply(out: &mut Vec<u8>, reply: &Reply) {
    put_number(out, u64::from(reply.code));
    match reply.status {
        None => out.push(0),
        Some(status) => {
            out.push(1);
            put_status(out, status);
        }
    }
    put_number(out, reply.lines.len() as u64);
    reply.lines.iter().for_each(|line| put_text(out, line));
}

fn take_reply(cursor: &mut Cursor<'_>) -> Read<Reply> {
    let code = cursor.small()?;
    let status = match cursor.octet()? {
        0 => None,
        1 => Some(take_status(cursor)?),
        _ => return cursor.wrong("0 or 1"),
    };
    // Each line takes at least one octet, so a false count ends at the end of the octets.
    let lines = (0..cursor.number()?).map(|_| cursor.text().map(str::to_owned)).collect::<Read<_>>()?;
    Ok(Reply { code, status, lines })
}

#[cfg(test)]
#[path = "tests/record.rs"]
pub(super) mod tests;
