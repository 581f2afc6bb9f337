//! Records one session: its facts, in order, with the content of messages covered.
//!
//! Octets may wait for a verdict before it is known whether they are commands or content. Until then they are kept back, and all that
//! comes behind them with them; the session itself bounds how much that is (`limits::BACKLOG_MAX`).

use super::facts::{MASK, Octets, SessionFact};
use super::veil::Veil;
use super::{Digest, Heard, Kind, Opened, Said, frame};
use crate::inbound::{Effect, Inbound, Input};
use crate::time::Now;
use std::collections::VecDeque;

/// A fact that is not yet written down.
#[derive(Debug, Clone)]
struct Kept {
    heard: Heard,
    /// Of [`SessionFact::Bytes`].
    octets: Vec<u8>,
    /// The place of the first of them in all that the client said.
    start: u64,
}

impl Kept {
    fn end(&self) -> u64 {
        self.start + self.octets.len() as u64
    }
}

/// Records one session.
#[derive(Debug, Clone)]
pub struct Scribe {
    opened: Option<Opened>,
    session: u64,
    whole: bool,
    number: u32,
    came: u64,
    kept: VecDeque<Kept>,
    veil: Veil,
    /// A new transaction begins behind this stimulus.
    fresh: bool,
    digest: Digest,
}

impl Scribe {
    /// The session begins; what its machine says at once is filled in later. `whole`: contents are recorded too.
    #[must_use]
    pub fn new(opened: Opened, whole: bool) -> Self {
        Self {
            session: opened.session,
            opened: Some(opened),
            whole,
            number: 0,
            came: 0,
            kept: VecDeque::new(),
            veil: Veil::new(),
            fresh: false,
            digest: Digest::new(whole),
        }
    }

    /// The machine is about to be told this; nothing: that time has passed.
    pub fn begin(&mut self, at: Now, input: Option<&Input<'_>>) {
        let fact = input.map_or(SessionFact::Time, SessionFact::of);
        let octets = if let Some(Input::Bytes(octets)) = input { octets.to_vec() } else { Vec::new() };
        self.number += 1;
        let (start, length) = (self.came, octets.len() as u64);
        self.came += length;
        let heard = Heard { session: self.session, number: self.number, at, fact, said: Said::default() };
        self.kept.push_back(Kept { heard, octets, start });
    }

    /// The machine put this out.
    pub fn effect(&mut self, effect: &Effect) {
        self.fresh |= matches!(effect, Effect::Identify);
        self.digest.effect(effect);
    }

    /// The machine is drained; frames that can be written down go to `put`.
    pub fn end(&mut self, machine: &Inbound, put: &mut dyn FnMut(Vec<u8>)) {
        let said = self.digest.said();
        if let Some(opened) = self.opened.take() {
            return give(Kind::Opened, &Opened { said, ..opened }, put);
        }
        if let Some(last) = self.kept.back_mut() {
            last.heard.said = said;
        }
        if !self.whole {
            for range in machine.content_heard() {
                self.cover(range.start, range.end);
            }
        }
        if std::mem::take(&mut self.fresh) {
            self.veil = Veil::new();
        }
        self.release(machine.understood(), put);
    }

    /// The session is over: what nobody has understood is written down too, and shows nothing.
    pub fn close(&mut self, machine: &Inbound, put: &mut dyn FnMut(Vec<u8>)) {
        let understood = machine.understood();
        if !self.whole {
            for kept in &mut self.kept {
                let known = usize::try_from(understood.saturating_sub(kept.start)).unwrap_or(usize::MAX);
                let hidden = kept.octets.iter_mut().skip(known);
                hidden.filter(|octet| !matches!(octet, b'\r' | b'\n')).for_each(|octet| *octet = MASK);
            }
        }
        self.release(u64::MAX, put);
    }

    fn cover(&mut self, start: u64, end: u64) {
        for kept in &mut self.kept {
            let from = usize::try_from(start.max(kept.start) - kept.start).unwrap_or(usize::MAX);
            let to = usize::try_from(end.min(kept.end()).saturating_sub(kept.start)).unwrap_or(0);
            if let Some(octets) = kept.octets.get_mut(from..to) {
                self.veil.cover(octets);
            }
        }
    }

    fn release(&mut self, understood: u64, put: &mut dyn FnMut(Vec<u8>)) {
        while self.kept.front().is_some_and(|kept| kept.end() <= understood) {
            let Some(mut kept) = self.kept.pop_front() else { return };
            if let SessionFact::Bytes(octets) = &mut kept.heard.fact {
                *octets = Octets::pack(&kept.octets);
            }
            give(Kind::Heard, &kept.heard, put);
        }
    }
}

fn give<T: serde::Serialize>(kind: Kind, value: &T, put: &mut dyn FnMut(Vec<u8>)) {
    if let Some(octets) = frame(kind, value) {
        put(octets);
    }
}
