//! DATA and BDAT: receiving content, its size, its end.
//!
//! Promise: once 354 is said or a chunk is announced, its octets are content until its end, whatever goes wrong meanwhile.
//!
//! RFC 5321 4.1.1.4, RFC 3030, RFC 1870 6.3.

use super::stage::{Chunks, Pending, Receiving, Stage, Trouble};
use super::{BareNewline, Output, Refused, Session, replies};
use crate::time::{Duration, Now};
use crate::wire::Reply;
use crate::wire::command;
use crate::wire::content::Decoder;

impl Session {
    /// DATA.
    pub(super) fn data(&mut self, now: Now, arguments: &str) {
        let row = if self.chunks != Chunks::None {
            Some(replies::DATA_AFTER_BDAT)
        } else if let Some(row) = self.lacks_recipients() {
            Some(row)
        } else if !arguments.is_empty() {
            Some(replies::DATA_SYNTAX)
        } else {
            None
        };
        match row {
            Some(row) => self.say(now, &row.reply(), false),
            None => self.judge(Pending::Data),
        }
    }

    fn lacks_recipients(&self) -> Option<replies::Row> {
        match &self.transaction {
            None => Some(replies::RCPT_FIRST),
            Some(transaction) if transaction.recipients.is_empty() => Some(replies::NO_VALID_RECIPIENTS),
            Some(_) => None,
        }
    }

    /// DATA may be.
    pub(super) fn go_ahead(&mut self, now: Now) {
        self.stage = Stage::Content(Receiving::Data(Decoder::data()));
        self.reply(now, &replies::GO_AHEAD.reply());
    }

    /// BDAT.
    pub(super) fn bdat(&mut self, now: Now, arguments: &str) {
        if self.discards("CHUNKING") {
            return self.say(now, &replies::BDAT_OFF.reply(), false);
        }
        let Some((count, last)) = command::bdat(arguments) else { return self.lose_count(now, arguments) };
        if let Some(reply) = self.refuses_chunk(count, last) {
            return self.skip_chunk(now, count, last, reply);
        }
        match self.chunks {
            Chunks::None => self.judge(Pending::Bdat { count, last }),
            _ => self.begin_chunk(now, count, last),
        }
    }

    /// BDAT whose chunk is not looked at.
    pub(super) fn refuse_chunk(&mut self, now: Now, arguments: &str, reply: Reply) {
        match command::bdat(arguments) {
            Some((count, last)) => self.skip_chunk(now, count, last, reply),
            None => self.lose_count(now, arguments),
        }
    }

    /// Nobody knows how many octets follow that are not commands: 521 closes the connection.
    fn lose_count(&mut self, now: Now, arguments: &str) {
        let client = self.client();
        self.warn(format!("malformed BDAT command syntax from {client}: BDAT {arguments}"));
        self.say(now, &replies::BDAT_SYNTAX.reply(), false);
    }

    fn refuses_chunk(&self, count: u64, last: bool) -> Option<Reply> {
        if self.chunks == Chunks::Failed {
            return Some(replies::CHUNK_DISCARDED.with(&[&count.to_string()]));
        }
        if let Some(row) = self.lacks_recipients() {
            return Some(row.reply());
        }
        // An endless row of empty chunks would cost nothing to send.
        if count == 0 && !last {
            return Some(replies::NULL_CHUNK.reply());
        }
        let stored = self.transaction.as_ref().map_or(0, |transaction| transaction.stored);
        let limit = self.params.message_size_limit;
        (limit > 0 && stored.saturating_add(count) > limit).then(|| replies::CHUNK_OVER_LIMIT.reply())
    }

    /// A chunk that may be.
    pub(super) fn begin_chunk(&mut self, now: Now, count: u64, last: bool) {
        let decoder = match std::mem::replace(&mut self.chunks, Chunks::Failed) {
            Chunks::Open(decoder) => decoder,
            Chunks::None | Chunks::Failed => Decoder::chunks(),
        };
        self.stage = Stage::Content(Receiving::Chunk { decoder, left: count, count, last });
        self.deadline = now.mono.after(self.params.timeout);
        if count == 0 {
            self.receive(now, b"");
        }
    }

    /// A chunk that may not be: its octets pass, then it is refused.
    pub(super) fn skip_chunk(&mut self, now: Now, count: u64, last: bool, reply: Reply) {
        self.stage = Stage::Content(Receiving::Skip { left: count, last, reply });
        self.deadline = now.mono.after(self.params.timeout);
        if count == 0 {
            self.receive(now, b"");
        }
    }

    /// Takes content off the front of `octets`; says how many it took.
    pub(super) fn receive(&mut self, now: Now, octets: &[u8]) -> usize {
        let Stage::Content(receiving) = std::mem::replace(&mut self.stage, Stage::Command) else { return 0 };
        self.move_deadline(now, octets.len());
        match receiving {
            Receiving::Data(decoder) => self.receive_data(now, decoder, octets),
            Receiving::Chunk { decoder, left, count, last } => {
                let used = portion(left, octets);
                self.receive_chunk(now, decoder, &octets[..used], (left - used as u64, count, last));
                used
            }
            Receiving::Skip { left, last, reply } => {
                let used = portion(left, octets);
                let left = left - used as u64;
                if left > 0 {
                    self.stage = Stage::Content(Receiving::Skip { left, last, reply });
                } else {
                    self.skipped(now, last, &reply);
                }
                used
            }
        }
    }

    fn receive_data(&mut self, now: Now, mut decoder: Decoder, octets: &[u8]) -> usize {
        let mut out = Vec::new();
        let progress = decoder.decode(octets, &mut out);
        self.store(out, decoder.saw_bare_lf());
        if progress.ended {
            self.end_of_data(now, None);
        } else {
            self.stage = Stage::Content(Receiving::Data(decoder));
        }
        progress.used
    }

    fn receive_chunk(
        &mut self,
        now: Now,
        mut decoder: Decoder,
        octets: &[u8],
        (left, count, last): (u64, u64, bool),
    ) {
        let mut out = Vec::new();
        decoder.decode(octets, &mut out);
        if left == 0 && last {
            decoder.finish(&mut out);
        }
        self.store(out, decoder.saw_bare_lf());
        if left > 0 {
            self.stage = Stage::Content(Receiving::Chunk { decoder, left, count, last });
        } else if last {
            self.end_of_data(now, Some(count));
        } else if let Some(reply) = self.trouble() {
            self.skipped(now, false, &reply);
        } else {
            self.chunks = Chunks::Open(decoder);
            self.say(now, &replies::CHUNK_OK.with(&[&count.to_string()]), true);
        }
    }

    /// A refused chunk has passed. Those that the client has under way are discarded up to the last one (RFC 3030 3).
    fn skipped(&mut self, now: Now, last: bool, reply: &Reply) {
        self.note_refusal(reply);
        if last {
            self.abandon();
        } else {
            self.chunks = Chunks::Failed;
        }
        self.deny(now, reply);
    }

    /// Hands decoded content on, unless it will be refused.
    fn store(&mut self, octets: Vec<u8>, bare_lf: bool) {
        let Some(transaction) = &mut self.transaction else { return };
        transaction.stored = transaction.stored.saturating_add(octets.len() as u64);
        if transaction.trouble.is_some() {
            return;
        }
        let limit = self.params.message_size_limit;
        if limit > 0 && transaction.stored > limit {
            transaction.trouble = Some(Trouble::TooBig);
        } else if bare_lf && self.params.bare_newline == BareNewline::Reject {
            transaction.trouble = Some(Trouble::BareLf);
        }
        // What was staged so far is not needed any more; a slow client shall not make us keep it.
        let output = match transaction.trouble {
            Some(_) => Output::Abandon,
            None if octets.is_empty() => return,
            None => Output::Content(octets),
        };
        self.outbox.put(output);
    }

    /// There is no memory for what comes: it passes, and is refused at its end.
    pub(super) fn crowded(&mut self) {
        let comes = matches!(self.stage, Stage::Content(_)) || matches!(self.chunks, Chunks::Open(_));
        let transaction =
            self.transaction.as_mut().filter(|transaction| comes && transaction.trouble.is_none());
        if let Some(transaction) = transaction {
            transaction.trouble = Some(Trouble::Crowded);
            self.outbox.put(Output::Abandon);
        }
    }

    fn trouble(&self) -> Option<Reply> {
        match self.transaction.as_ref()?.trouble? {
            Trouble::Crowded => Some(replies::NO_SPACE.reply()),
            Trouble::TooBig => Some(replies::MESSAGE_TOO_BIG.reply()),
            Trouble::BareLf => {
                let mut reply = replies::BARE_LF.reply();
                reply.code = self.params.bare_newline_code;
                if let Some(status) = &mut reply.status {
                    status.class = if reply.code < 500 { 4 } else { 5 };
                }
                Some(reply)
            }
        }
    }

    fn end_of_data(&mut self, now: Now, chunk: Option<u64>) {
        self.place = "END-OF-MESSAGE";
        self.chunks = Chunks::None;
        match self.trouble() {
            Some(reply) => {
                let text = format!("{} {}{}", reply.code, super::status_of(&reply), reply.lines.join(" "));
                let event = self.policy_event("reject", text);
                self.event(event);
                self.note_refusal(&reply);
                self.abandon();
                self.deny(now, &reply);
            }
            None => self.judge(Pending::EndOfData { chunk }),
        }
    }

    /// Cleanup and spool have answered.
    pub(super) fn finished(&mut self, now: Now, result: Result<(), Refused>) {
        let Stage::Finishing { chunk } = self.stage else { return };
        if let Err(refused) = &result {
            self.note_trouble(refused.class);
        }
        self.stage = Stage::Command;
        let transaction = self.transaction.take();
        let stored = transaction.as_ref().map_or(0, |transaction| transaction.stored);
        let id = transaction.and_then(|transaction| transaction.id).unwrap_or_default().to_string();
        let taken = result.is_ok();
        match (result, chunk) {
            (Err(refused), _) => self.deny(now, &refused.reply),
            (Ok(()), None) => self.say(now, &replies::QUEUED.with(&[&id]), true),
            (Ok(()), Some(_)) => {
                self.say(now, &replies::CHUNKS_QUEUED.with(&[&stored.to_string(), &id]), true);
            }
        }
        if taken {
            self.tally.forgive();
        }
        self.close_long_minutes();
    }

    /// Content that comes moves its deadline on: at the least rate with per-request deadlines, as a whole without.
    fn move_deadline(&mut self, now: Now, octets: usize) {
        let latest = now.mono.after(self.params.timeout);
        if !self.params.per_request_deadline {
            self.deadline = latest;
            return;
        }
        let earned = (octets as u64).saturating_mul(1_000_000_000) / self.params.min_data_rate.max(1);
        self.deadline = self.deadline.after(Duration::from_nanos(earned)).min(latest);
    }
}

/// How many of the octets belong to a chunk of which `left` are to come.
fn portion(left: u64, octets: &[u8]) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(octets.len())
}
