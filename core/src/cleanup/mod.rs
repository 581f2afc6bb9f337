//! What happens to a message between the door and the queue: cleanup(8).
//!
//! Missing headers, canonical addresses, virtual aliases, bcc, header checks. It sees the header only; the body
//! passes by and is never copied. Used for mail from sessions, `send`, reports and forwards alike.
//!
//! A decision that pauses goes on where it paused ([`Cleanup::resume`]), so that a thousand questions cost a thousand
//! answers and no more.

mod context;
mod edit;
mod expand;
mod known;
mod mapping;
mod maps;
mod params;
mod recipients;
mod replies;
mod rules;
#[cfg(test)]
mod tests;

pub use known::decides;
pub use params::{Classes, Params};
pub use rules::fault_of;

use crate::ask::{Facts, Pause};
use crate::event::Event;
use crate::limits::INLINE_CONTENT_MAX;
use crate::mail::{BodyType, ContentPlace, Envelope, Message, NoticeClass, Origin, QueueId, Sender};
use crate::rewrite::Rewrite;
use crate::time::{Now, Timestamp};
use crate::wire::Reply;
use crate::wire::header::HeaderReader;
use context::Context;
use maps::Maps;
use replies::{Stop, too_many_hops};

/// Octets of header that are kept and looked at. What is beyond is handed on unread: no program writes such a header, and
/// a session must not be made to hold more.
pub const HEADER_MAX: usize = 1024 * 1024;

/// What a message is, before cleanup.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Draft {
    /// Its name.
    pub id: QueueId,
    /// As given, addresses canonical by [`Rewrite::canonical`]. Recipients may become more.
    pub envelope: Envelope,
    /// What made it.
    pub origin: Origin,
    /// Our own trace header fields, complete with CRLF, in front of all others.
    pub trace: Vec<u8>,
    /// Header fields that access rules prepend, without CRLF, behind the trace.
    pub prepend: Vec<String>,
    /// An access rule said HOLD.
    pub hold: bool,
    /// Add bcc recipients, check headers. Off for reports (internal_mail_filter_classes is empty). Addresses are mapped
    /// and virtual aliases expanded in any case: a report to an alias must find its way.
    pub filtered: bool,
}

/// What cleanup comes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Finished {
    /// Commit this.
    Message(Box<Message>),
    /// A header rule or a limit refuses it: the reply to the end of data.
    Refused(Reply, NoticeClass),
    /// A header rule says that it is to be accepted and thrown away.
    Discarded,
}

/// Cleanup of one message. Feed it the content as it comes, then finish it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cleanup {
    reader: HeaderReader,
    stored: u64,
    work: Option<Work>,
}

/// How far [`Cleanup::resume`] has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Work {
    events: Vec<Event>,
    /// Received fields have been counted.
    counted: bool,
    context: Option<Context>,
    sender: Option<Sender>,
    header: edit::Pass,
    recipients: recipients::Pass,
}

impl Cleanup {
    /// Begins.
    #[must_use]
    pub const fn new() -> Self {
        Self { reader: HeaderReader::new(HEADER_MAX), stored: 0, work: None }
    }

    /// Looks at the next octets of the stored content: collects the header (bounded), counts the rest.
    pub fn content(&mut self, octets: &[u8]) {
        self.reader.push(octets);
        self.stored = self.stored.saturating_add(octets.len() as u64);
    }

    /// Octets of content so far.
    #[must_use]
    pub const fn stored(&self) -> u64 {
        self.stored
    }

    /// Octets of memory that its header takes.
    #[must_use]
    pub const fn held(&self) -> u64 {
        self.reader.held() as u64
    }

    /// Hops so far: `Received:` fields in the content (with ours, hopcount_limit is checked in [`Cleanup::finish`]).
    #[must_use]
    pub fn hops(&self) -> u32 {
        edit::hops(self.reader.octets(), self.reader.fields())
    }

    /// Steps of [`Cleanup::resume`] that are behind us (fields, recipients). Facts are needed within a step only: whoever sees
    /// this number grow may forget them, and bound the questions of one step instead of those of a large message.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.work.as_ref().map_or(0, |work| work.header.done() + work.recipients.done())
    }

    /// Makes the message. Runs again from its start whenever it paused: it changes nothing of itself.
    /// A broken table is not a pause but a refusal: 451 4.3.0. Where many questions are asked, [`Cleanup::resume`] is cheaper.
    ///
    /// # Errors
    /// Only [`Pause::Need`].
    pub fn finish(
        &self,
        now: Now,
        draft: &Draft,
        params: &Params,
        rewrite: &Rewrite,
        facts: &Facts,
    ) -> Result<(Finished, Vec<Event>), Pause> {
        self.clone().resume(now, draft, params, rewrite, facts)
    }

    /// The same as [`Cleanup::finish`], but goes on where it paused. Between its calls neither the draft nor the parameters
    /// change, and facts are forgotten only when [`Cleanup::steps`] has grown.
    ///
    /// # Errors
    /// Only [`Pause::Need`].
    pub fn resume(
        &mut self,
        now: Now,
        draft: &Draft,
        params: &Params,
        rewrite: &Rewrite,
        facts: &Facts,
    ) -> Result<(Finished, Vec<Event>), Pause> {
        self.reader.finish();
        let maps = Maps { rewrite, facts };
        let mut work = self.work.take().unwrap_or_else(|| Work::new(draft));
        let result = work.run(&self.reader, self.stored, now, draft, params, maps);
        let finished = match result {
            Ok(message) => Finished::Message(Box::new(message)),
            Err(Stop::Need(question)) => {
                self.work = Some(work);
                return Err(Pause::Need(question));
            }
            Err(Stop::Refuse(reply, class, why)) => {
                let warning = |text| Event::Warning { program: "cleanup", id: Some(draft.id), text };
                work.events.extend(why.map(warning));
                Finished::Refused(reply, class)
            }
            Err(Stop::Discard) => Finished::Discarded,
        };
        Ok((finished, work.events))
    }
}

impl Work {
    fn new(draft: &Draft) -> Self {
        Self {
            events: Vec::new(),
            counted: false,
            context: None,
            sender: None,
            header: edit::Pass::new(draft),
            recipients: recipients::Pass::default(),
        }
    }

    fn run(
        &mut self,
        reader: &HeaderReader,
        stored: u64,
        now: Now,
        draft: &Draft,
        params: &Params,
        maps: Maps<'_>,
    ) -> Result<Message, Stop> {
        if !self.counted {
            let hops = self.header.hops().saturating_add(edit::hops(reader.octets(), reader.fields()));
            if hops >= params.hopcount_limit {
                return Err(too_many_hops());
            }
            self.counted = true;
        }
        let context = match self.context {
            Some(context) => context,
            None => *self.context.insert(context::of(&draft.envelope.client, params, maps.facts)?),
        };
        let sender = match &self.sender {
            Some(sender) => sender.clone(),
            None => self.sender.insert(mapping::mapped_sender(&draft.envelope.sender, params, maps)?).clone(),
        };
        let bench = edit::Bench { draft, params, maps, context };
        self.header.run(reader, bench, &mut self.events)?;
        let recipients = match self.header.redirect.take() {
            // The one address replaces all; aliases and filters are not for it.
            Some(mailbox) => {
                self.header.filter = None;
                vec![crate::mail::Recipient::redirected(
                    maps.rewrite.canonical(&mailbox),
                    draft.envelope.recipients.first(),
                )]
            }
            None => {
                let bcc = std::mem::take(&mut self.header.bcc);
                let bench = recipients::Bench { draft, params, maps, sender: &sender, bcc: &bcc };
                let recipients = self.recipients.run(bench);
                self.header.bcc = bcc;
                recipients?
            }
        };
        let at =
            if draft.envelope.arrived == Timestamp::default() { now.wall } else { draft.envelope.arrived };
        let missing = self.header.add_missing(bench, &sender, at, &mut self.events);
        let filter = self.header.filter.take().or_else(|| draft.envelope.filter.clone());
        let body = if self.header.eight_bit { BodyType::EightBitMime } else { draft.envelope.body };
        let envelope = Envelope { sender, recipients, filter, body, ..draft.envelope.clone() };
        Ok(Message {
            id: draft.id,
            envelope,
            pieces: self.header.pieces(reader, &missing, stored),
            place: if stored > INLINE_CONTENT_MAX { ContentPlace::File } else { ContentPlace::Inline },
            stored,
            origin: draft.origin,
            message_id: std::mem::take(&mut self.header.message_id),
            hold: draft.hold || self.header.hold,
            checksum: None,
            unknown: Vec::new(),
        })
    }
}

impl Default for Cleanup {
    fn default() -> Self {
        Self::new()
    }
}
