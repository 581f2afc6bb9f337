//! How a transaction and a session end, whoever ends them.

use super::stage::{Chunks, Stage};
use super::{Output, Session, replies};
use crate::event::Event;
use crate::time::Now;

impl Session {
    /// Drops the transaction.
    pub(super) fn abandon(&mut self) {
        self.chunks = Chunks::None;
        if self.transaction.take().is_some() {
            self.outbox.put(Output::Abandon);
        }
    }

    /// The connection broke off, as the log tells it.
    pub(super) fn cut(&mut self, what: &'static str) {
        let after = match (&self.stage, &self.transaction) {
            (Stage::Content(_), Some(transaction)) => {
                format!("{} ({} bytes)", self.place, transaction.stored)
            }
            _ => self.place.to_owned(),
        };
        let client = self.client();
        self.event(Event::SessionCut { what, after, client });
    }

    /// The last outputs.
    pub(super) fn end(&mut self) {
        // A message that cleanup and spool have is theirs, whether or not the client hears of it.
        if !matches!(self.stage, Stage::Finishing { .. }) {
            self.abandon();
        }
        let (client, counts) = (self.client(), self.tally.line());
        self.event(Event::Disconnected { client, counts });
        self.close_minutes();
        self.outbox.put(Output::Close);
        self.stage = Stage::Closed;
        self.sleep = None;
        self.discard();
    }

    pub(super) fn timed_out(&mut self, now: Now) {
        let handshake = matches!(self.stage, Stage::Securing { .. });
        self.cut("timeout");
        if !handshake {
            let host = self.params.host.clone();
            self.emit(&replies::TIMEOUT.with(&[&host]));
        }
        self.deadline = now.mono;
        self.closing = true;
        self.flush();
    }
}
