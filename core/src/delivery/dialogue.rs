//! A transaction: MAIL, RCPT, DATA, the content, and what the server says to each.
//!
//! RFC 5321 3.3, 4.1.1; RFC 2920 3.1 (what may be grouped); RFC 2033 4.2 (a reply for each recipient);
//! RFC 1870 6.1 (too large is not sent).

use super::plan::{self, Row};
use super::{Delivery, Ended, Fate, Moment, Output, Protocol, Reach, Severity, Stage, Transaction, Verdict};
use super::{agreeing, classify, severity};
use crate::limits::PIPELINED_MAX;
use crate::mail::{BodyType, Diagnosis, NoticeClass};
use crate::time::Now;
use crate::wire::{ContentEncoder, EnhancedStatus, Reply, SevenBit};
use std::collections::VecDeque;

/// Encoded octets that are worth a write of their own: a smaller content goes out in one piece with its final dot.
const WRITE_WORTH: usize = 32 * 1024;

/// A transaction as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Talk {
    pub(super) transaction: Transaction,
    /// One for each place of the transaction, when known.
    verdicts: Vec<Option<Verdict>>,
    plan: Vec<Row>,
    /// Rows of the plan that have been sent.
    sent: usize,
    /// Rows of the plan that have been answered.
    answered: usize,
    /// Octets of each sent row that has not been answered.
    in_flight: VecDeque<usize>,
    /// Places that the server accepted at RCPT, and whose final answer is due.
    accepted: VecDeque<usize>,
    /// MAIL or DATA was refused: no more commands, but the answers to those sent are read.
    refused: bool,
    /// DATA was granted though no recipient was accepted: an empty content follows (RFC 2920 3.1).
    hollow: bool,
    ready: bool,
    mail_answered: bool,
    host_bad: bool,
    tls_failed: bool,
    ended: bool,
    encoder: ContentEncoder,
    /// The server takes no 8-bit content (RFC 6152 3).
    seven_bit: Option<SevenBit>,
    buffer: Vec<u8>,
    /// A piece of the content is being written.
    writing: bool,
}

impl Talk {
    pub(super) fn new(transaction: Transaction, reset: bool) -> Self {
        let verdicts = vec![None; transaction.positions.len()];
        Self {
            transaction,
            verdicts,
            plan: if reset { vec![Row::Rset] } else { Vec::new() },
            sent: 0,
            answered: 0,
            in_flight: VecDeque::new(),
            accepted: VecDeque::new(),
            refused: false,
            hollow: false,
            ready: false,
            mail_answered: false,
            host_bad: false,
            tls_failed: false,
            ended: false,
            encoder: ContentEncoder::new(0),
            seven_bit: None,
            buffer: Vec::new(),
            writing: false,
        }
    }

    /// The row whose answer is due.
    pub(super) fn awaited(&self) -> Option<Row> {
        (self.answered < self.sent).then(|| self.plan.get(self.answered).copied()).flatten()
    }

    /// How many replies are due to what has been sent: LMTP owes one to the dot for each accepted recipient.
    pub(super) fn due(&self) -> usize {
        let more = if self.awaited() == Some(Row::Dot) { self.accepted.len().saturating_sub(1) } else { 0 };
        self.sent - self.answered + more
    }

    /// Refuses all that have no verdict yet.
    pub(super) fn refuse_rest(&mut self, fate: Fate, reach: Reach, diagnosis: &Diagnosis) {
        self.host_bad |= reach == Reach::Host;
        for verdict in &mut self.verdicts {
            if verdict.is_none() || planted!(LmtpAnsweredAgain) {
                *verdict = Some(Verdict::Refused { fate, reach, diagnosis: diagnosis.clone() });
            }
        }
    }

    /// Replies were not to the commands that they seemed to answer, so that those who seemed to be refused may have been taken:
    /// nobody is returned for them. Once content was asked for (354), the replies before it were in step.
    pub(super) fn doubt(&mut self) {
        let granted = self.plan.get(self.answered).is_none_or(|row| *row == Row::Dot);
        if granted {
            return;
        }
        for verdict in self.verdicts.iter_mut().flatten() {
            if let Verdict::Refused { fate, diagnosis, .. } = verdict
                && diagnosis.reply.is_some()
            {
                *fate = Fate::PutOff;
                diagnosis.status.class = 4;
            }
        }
    }

    #[cfg(feature = "planted")]
    pub(super) fn take_for_done(&mut self, peer: &super::Peer) {
        let diagnosis = peer.ours(EnhancedStatus::new(2, 0, 0), "probably".to_owned());
        for place in std::mem::take(&mut self.accepted) {
            self.decide(place, Verdict::Accepted { diagnosis: diagnosis.clone(), last_hop_for_dsn: true });
        }
    }

    fn decide(&mut self, place: usize, verdict: Verdict) {
        if let Some(slot @ None) = self.verdicts.get_mut(place) {
            *slot = Some(verdict);
        }
    }

    fn encode(&mut self, octets: &[u8]) {
        let Some(seven_bit) = &mut self.seven_bit else {
            return self.encoder.encode(octets, &mut self.buffer);
        };
        let mut converted = Vec::with_capacity(octets.len() * 2);
        seven_bit.convert(octets, &mut converted);
        self.encoder.encode(&converted, &mut self.buffer);
    }

    fn end_content(&mut self) {
        if let Some(mut seven_bit) = self.seven_bit.take() {
            let mut converted = Vec::new();
            seven_bit.finish(&mut converted);
            self.encoder.encode(&converted, &mut self.buffer);
        }
        self.encoder.finish(&mut self.buffer);
    }

    pub(super) const fn tls_failed(&mut self) {
        self.tls_failed = true;
    }

    /// What the transaction came to; once.
    pub(super) fn end(&mut self) -> Option<Ended> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let verdicts: Vec<Verdict> = std::mem::take(&mut self.verdicts).into_iter().flatten().collect();
        debug_assert!(
            self.tls_failed || verdicts.len() == self.transaction.positions.len(),
            "each recipient has a verdict: every end refuses the rest first"
        );
        self.buffer = Vec::new();
        Some(Ended {
            verdicts: if self.tls_failed { Vec::new() } else { verdicts },
            ready: self.ready,
            mail_answered: self.mail_answered,
            host_bad: self.host_bad,
            tls_failed: self.tls_failed,
        })
    }
}

impl Delivery {
    /// The server is ready: the transaction begins, unless we know that it would be in vain.
    pub(super) fn begin(&mut self, now: Now) {
        self.talk.ready = true;
        self.out.put(Output::Began);
        if let Some(refusal) = self.refusal_of_message() {
            self.talk.refuse_rest(Fate::Fail, Reach::Transaction, &refusal);
        }
        self.refuse_unspeakable();
        let places: Vec<usize> = (0..self.talk.verdicts.len())
            .filter(|place| matches!(self.talk.verdicts.get(*place), Some(None)))
            .collect();
        if places.is_empty() {
            return self.finish(Stage::Ready);
        }
        let reset = self.talk.plan.first() == Some(&Row::Rset);
        self.talk.plan = plan::rows(&places, reset);
        self.stage = Stage::Dialogue;
        self.pump(now);
    }

    /// What no server of this offer can take.
    fn refusal_of_message(&self) -> Option<Diagnosis> {
        let attempt = &self.talk.transaction.attempt;
        let host = self.peer.plain();
        if let Some(Some(limit)) = self.offer.size
            && attempt.size > limit
        {
            let size = attempt.size;
            let text = format!("message size {size} exceeds size limit {limit} of server {host}");
            return Some(self.peer.ours(EnhancedStatus::new(5, 3, 4), text));
        }
        if plan::needs_utf8(&self.talk.transaction) && !self.offer.smtputf8 {
            let text = format!("SMTPUTF8 is required, but was not offered by host {host}");
            return Some(self.peer.ours(EnhancedStatus::new(5, 6, 7), text));
        }
        if attempt.sender.mailbox().is_some_and(|mailbox| !plan::speakable(mailbox)) {
            let text = "bad sender address syntax".to_owned();
            return Some(self.peer.ours(EnhancedStatus::new(5, 1, 7), text));
        }
        None
    }

    fn refuse_unspeakable(&mut self) {
        for place in 0..self.talk.verdicts.len() {
            let fine = self.talk.transaction.recipient(place).is_some_and(|r| plan::speakable(&r.address));
            if !fine {
                let text = "bad recipient address syntax".to_owned();
                let diagnosis = self.peer.ours(EnhancedStatus::new(5, 1, 3), text);
                let (fate, reach) = (Fate::Fail, Reach::Recipient);
                self.talk.decide(place, Verdict::Refused { fate, reach, diagnosis });
            }
        }
    }

    /// Sends what may be sent before the next answer.
    fn pump(&mut self, now: Now) {
        let mut batch = String::new();
        while let Some(row) = self.talk.plan.get(self.talk.sent).copied() {
            let waiting = self.talk.sent > self.talk.answered;
            let nobody = row == Row::Data && !waiting && self.talk.accepted.is_empty();
            if row == Row::Dot || self.talk.refused || nobody || (waiting && !self.offer.pipelining) {
                break;
            }
            let line = plan::command(row, &self.talk.transaction, &self.params, &self.offer);
            let in_flight: usize = self.talk.in_flight.iter().sum();
            if waiting && in_flight + line.len() > PIPELINED_MAX {
                break;
            }
            self.talk.in_flight.push_back(line.len());
            self.talk.sent += 1;
            batch.push_str(&line);
        }
        if !batch.is_empty() {
            self.send(batch);
        }
        if let Some(row) = self.talk.awaited() {
            return self.arm(now, row.timeout(&self.params.timeouts));
        }
        // Nothing was sent and nothing is due: all recipients have their verdict.
        self.finish(Stage::Ready);
    }

    pub(super) fn row_answered(&mut self, now: Now, reply: Reply) {
        let Some(row) = self.talk.awaited() else {
            return self.cut(Severity::Garbled, "protocol error with");
        };
        let severity = severity(reply.code, row.wanted());
        if let Some(severity) = severity {
            // A server that will not be used again says nothing of the mail.
            if row != Row::Rset {
                self.note_refusal(reply.code);
            }
            let diagnosis = self.said(reply, row, severity);
            return self.row_refused(now, row, severity, diagnosis);
        }
        match row {
            Row::Rset => {}
            Row::Mail => self.talk.mail_answered = true,
            // Behind a refused MAIL it means nothing, and the content must not go to anybody.
            Row::Rcpt(_) if self.talk.refused => {}
            Row::Rcpt(place) => self.talk.accepted.push_back(place),
            Row::Data => return self.data_granted(now),
            Row::Dot => return self.dot_accepted(now, &reply),
        }
        self.row_done();
        self.pump(now);
    }

    fn row_done(&mut self) {
        self.talk.in_flight.pop_front();
        self.talk.answered += 1;
    }

    fn row_refused(&mut self, now: Now, row: Row, severity: Severity, diagnosis: Diagnosis) {
        self.talk.mail_answered |= row == Row::Mail && severity != Severity::Closing;
        let (reach, fate) = match severity {
            // The replies for the others may be as they should.
            Severity::Odd if row == Row::Dot && self.params.protocol == Protocol::Lmtp => {
                (Reach::Recipient, Fate::PutOff)
            }
            Severity::Odd if planted!(OddIsHard) => classify(row.moment(), Severity::Hard),
            _ => classify(row.moment(), severity),
        };
        if reach == Reach::Host {
            let polite = severity != Severity::Closing;
            return self.host_failed(row.moment(), severity, diagnosis, polite);
        }
        let diagnosis = agreeing(diagnosis, fate);
        match row {
            Row::Rcpt(place) => {
                if planted!(RefusedCounts) {
                    self.talk.accepted.push_back(place);
                }
                self.talk.decide(place, Verdict::Refused { fate, reach, diagnosis });
            }
            Row::Dot if self.talk.hollow => return self.finish(Stage::Spent { polite: true }),
            Row::Dot if self.params.protocol == Protocol::Lmtp => {
                if let Some(place) = self.talk.accepted.pop_front() {
                    let reach = Reach::Recipient;
                    self.talk.decide(place, Verdict::Refused { fate, reach, diagnosis });
                }
                return self.dot_answered(now);
            }
            _ => {
                self.talk.refuse_rest(fate, reach, &diagnosis);
                self.talk.accepted.clear();
                self.talk.refused = true;
            }
        }
        self.row_done();
        self.pump(now);
    }

    /// What the server said to a command, as the log has it.
    fn said(&self, reply: Reply, row: Row, severity: Severity) -> Diagnosis {
        let host = self.peer.plain();
        let text = format!("host {host} said: {} (in reply to {})", reply.text(), row.request());
        match severity {
            Severity::Odd => self.peer.odd(reply, &text),
            _ => self.peer.theirs(reply, text),
        }
    }

    fn data_granted(&mut self, now: Now) {
        self.row_done();
        if !self.talk.accepted.is_empty() {
            self.talk.encoder = ContentEncoder::new(self.params.line_length_limit);
            self.talk.seven_bit = self.conversion();
            self.stage = Stage::Body;
            self.out.put(Output::Read(true));
            return self.arm(now, self.params.timeouts.data_xfer);
        }
        self.send(".\r\n".to_owned());
        if self.params.protocol == Protocol::Lmtp {
            // RFC 2033 4.2: as many replies as accepted recipients: none.
            return self.finish(Stage::Spent { polite: true });
        }
        self.talk.hollow = true;
        self.talk.sent += 1;
        self.arm(now, self.params.timeouts.data_done);
    }

    fn dot_accepted(&mut self, now: Now, reply: &Reply) {
        if self.talk.hollow {
            // Whatever the server took, it took it for nobody; it is of no more use to us.
            return self.finish(Stage::Spent { polite: true });
        }
        let verdict = Verdict::Accepted {
            diagnosis: self.peer.theirs(reply.clone(), reply.text()),
            last_hop_for_dsn: !self.offer.dsn,
        };
        if self.params.protocol == Protocol::Lmtp {
            if let Some(place) = self.talk.accepted.pop_front() {
                self.talk.decide(place, verdict);
            }
        } else {
            for place in std::mem::take(&mut self.talk.accepted) {
                self.talk.decide(place, verdict.clone());
            }
        }
        self.dot_answered(now);
    }

    /// One answer to the dot has come; LMTP owes one for each accepted recipient.
    fn dot_answered(&mut self, now: Now) {
        if self.talk.accepted.is_empty() {
            self.row_done();
            self.finish(Stage::Ready);
        } else {
            self.arm(now, self.params.timeouts.data_done);
        }
    }

    fn conversion(&self) -> Option<SevenBit> {
        let wanted = self.talk.transaction.attempt.body == BodyType::EightBitMime
            && !self.offer.eight_bit_mime
            && !self.params.disable_mime_output_conversion;
        wanted.then(|| SevenBit::new(self.params.mime_nesting_limit, self.params.mime_boundary_length_limit))
    }

    pub(super) fn content(&mut self, now: Now, octets: &[u8]) {
        if self.stage != Stage::Body || self.talk.writing {
            return;
        }
        if octets.is_empty() {
            self.talk.end_content();
            if self.talk.encoder.broke_line() {
                let (id, limit) = (self.talk.transaction.attempt.message, self.params.line_length_limit);
                self.note(format!("{id}: breaking line > {limit} bytes with <CR><LF>SPACE"));
            }
            self.write_buffer();
            self.talk.sent += 1;
            self.stage = Stage::Dialogue;
            return self.arm(now, self.params.timeouts.data_done);
        }
        self.talk.encode(octets);
        self.arm(now, self.params.timeouts.data_xfer);
        if self.talk.buffer.len() < WRITE_WORTH {
            self.out.put(Output::Read(false));
        } else {
            self.write_buffer();
            self.talk.writing = true;
        }
    }

    fn write_buffer(&mut self) {
        self.out.put(Output::Send(std::mem::take(&mut self.talk.buffer)));
    }

    pub(super) fn drained(&mut self, now: Now) {
        if self.stage == Stage::Body && std::mem::take(&mut self.talk.writing) {
            self.arm(now, self.params.timeouts.data_xfer);
            self.out.put(Output::Read(false));
        }
    }

    /// The content can not be sent to its end: the dot must not follow, so the connection ends here.
    pub(super) fn content_lost(&mut self, why: &str) {
        if self.stage != Stage::Body {
            return;
        }
        if planted!(HalfContent) {
            self.talk.end_content();
            self.write_buffer();
            self.talk.sent += 1;
            self.stage = Stage::Dialogue;
            return;
        }
        self.note_trouble(NoticeClass::Data);
        let text = format!("message file read error: {why}");
        let diagnosis = self.peer.ours(EnhancedStatus::new(4, 3, 0), text);
        self.talk.refuse_rest(Fate::PutOff, Reach::Transaction, &diagnosis);
        self.finish(Stage::Spent { polite: false });
    }

    /// The server answers before the end of the content: a refusal, or it is out of step. Behind half a content nothing can be
    /// said any more.
    pub(super) fn early_reply(&mut self, reply: &Reply) {
        let Some(severity @ (Severity::Soft | Severity::Hard | Severity::Closing)) = severity(reply.code, 2)
        else {
            return self.cut(Severity::Garbled, "protocol error with");
        };
        self.note_refusal(reply.code);
        let diagnosis = self.said(reply.clone(), Row::Dot, severity);
        let (reach, fate) = classify(Moment::Body, severity);
        self.talk.refuse_rest(fate, reach, &agreeing(diagnosis, fate));
        self.finish(Stage::Spent { polite: false });
    }
}
