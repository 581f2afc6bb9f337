//! Each time that one machine takes a message from another: why a second copy may exist.
//!
//! A hop is clean when its taker's reply was heard, the outcome written, and made durable in time. From a hop that is not clean may come one
//! more copy: the reply was lost, the process ended before the outcome's write (or before it was written again, where the disk failed), or power was lost before its sync. Nothing
//! else excuses a duplicate.

use crate::network::NodeId;
use postrider_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// From the write of an outcome to its sync at the latest: 100 ms, and the operations that the disk had to do before it.
const DURABLE_WITHIN: Duration = Duration::from_millis(600);

/// What is taken: places of recipients of a letter, or a report on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The letter, by number.
    pub letter: usize,
    /// Which of its recipients.
    pub places: Vec<usize>,
    /// It is a report on them, not the letter.
    pub report: bool,
}

/// A message passes from one machine to the next.
#[derive(Debug, Clone)]
pub struct Hop {
    /// What passes.
    pub what: Report,
    /// The host that hands over; `None` for a client, which never hands over twice.
    pub from: Option<NodeId>,
    /// The host that takes; `None` for a server of others.
    pub to: Option<NodeId>,
    /// When.
    pub at: Instant,
    /// The taker answers for it now; false: it has not said so, or has refused.
    pub taken: bool,
    heard: bool,
    written: Option<Instant>,
    /// Something held up the sync: the process was killed, or the disk failed.
    held_up: bool,
    /// The disk failed before it was durable: what was written does not count, and is to be written again.
    unwritten: bool,
    /// Syncs until it is durable: after a failure the first one is that of a fresh segment's header.
    syncs: u8,
    excused: bool,
    /// It was refused because the disk failed, or not answered before a crash, and may be there all the same.
    pub revived: bool,
}

/// All hops.
#[derive(Debug, Clone, Default)]
pub(super) struct Hops {
    pub(super) all: Vec<Hop>,
    marks: BTreeMap<String, usize>,
    /// Hops whose outcome is not known to be durable, by the host that handed over.
    open: BTreeMap<NodeId, Vec<usize>>,
    /// Hops whose taker has not answered yet.
    pending: BTreeMap<NodeId, Vec<usize>>,
    /// Hops that were refused because the disk failed, by the host that refused, until its log works again.
    doubtful: BTreeMap<NodeId, Vec<usize>>,
}

impl Hops {
    /// Somebody is about to take a message, and will say `mark` when it has.
    pub(super) fn begin(&mut self, mark: &str, hop: Hop) {
        self.marks.insert(mark.to_owned(), self.all.len());
        if let Some(node) = hop.to {
            self.pending.entry(node).or_default().push(self.all.len());
        }
        self.all.push(hop);
    }

    pub(super) fn find(&self, mark: &str) -> Option<&Hop> {
        self.all.get(*self.marks.get(mark)?)
    }

    /// The taker's disk has answered.
    pub(super) fn committed(&mut self, node: NodeId, mark: &str, ok: bool) -> Option<&Hop> {
        let at = *self.marks.get(mark)?;
        self.pending.entry(node).or_default().retain(|other| *other != at);
        if !ok {
            self.doubtful.entry(node).or_default().push(at);
        }
        let hop = self.all.get_mut(at)?;
        hop.taken = ok;
        Some(hop)
    }

    /// The log of a host has taken something: what it refused before can not come back.
    pub(super) fn log_works(&mut self, node: NodeId) {
        self.doubtful.remove(&node);
    }

    /// The host that handed over has read the taker's reply.
    pub(super) fn heard(&mut self, node: NodeId, mark: &str) {
        let Some(&at) = self.marks.get(mark) else { return };
        if let Some(hop) = self.all.get_mut(at).filter(|hop| hop.from == Some(node)) {
            hop.heard = true;
            self.open.entry(node).or_default().push(at);
        }
    }

    /// It has been told that the outcome is written.
    pub(super) fn written(&mut self, mark: &str, now: Instant) {
        if let Some(hop) = self.marks.get(mark).and_then(|at| self.all.get_mut(*at)) {
            hop.written.get_or_insert(now);
        }
    }

    /// A sync of the log has succeeded: all that was written is durable.
    pub(super) fn synced(&mut self, node: NodeId) {
        let Some(open) = self.open.get_mut(&node) else { return };
        open.retain(|at| {
            let Some(hop) = self.all.get_mut(*at) else { return false };
            if hop.written.is_some() {
                hop.syncs = hop.syncs.saturating_sub(1);
            }
            hop.syncs > 0
        });
    }

    /// A write or sync of this host's disk failed.
    pub(super) fn disk_failed(&mut self, node: NodeId) {
        for at in self.open.get(&node).into_iter().flatten() {
            if let Some(hop) = self.all.get_mut(*at) {
                hop.held_up = true;
                hop.unwritten = true;
                hop.syncs = 2;
            }
        }
    }

    /// A machine crashed. Gives what should have been durable and was not.
    pub(super) fn crashed(&mut self, node: NodeId, power: bool, now: Instant) -> Vec<String> {
        let mut wrong = Vec::new();
        let doubtful = self.doubtful.remove(&node).into_iter().chain(self.pending.remove(&node));
        for at in doubtful.flatten() {
            if let Some(hop) = self.all.get_mut(at) {
                hop.revived = true;
            }
        }
        let open = self.open.remove(&node).unwrap_or_default();
        for at in open {
            let Some(hop) = self.all.get_mut(at) else { continue };
            let late = hop.written.is_some_and(|written| now.since(written) > DURABLE_WITHIN);
            if power && late && !hop.held_up {
                let since = hop.written.map_or(0, |written| now.since(written).as_millis());
                wrong
                    .push(format!("an outcome was written {since} ms before power was lost, and not synced"));
            }
            if power || hop.written.is_none() || hop.unwritten {
                hop.excused = true;
            } else {
                hop.held_up = true;
                self.open.entry(node).or_default().push(at);
            }
        }
        wrong
    }

    /// How many copies beyond the first may have come from hops of this recipient.
    pub(super) fn excuses(&self) -> BTreeMap<(usize, usize), u32> {
        let mut excuses = BTreeMap::new();
        let unclean = |hop: &&Hop| match (hop.taken, hop.from) {
            (false, _) => hop.revived,
            (true, None) => false,
            (true, Some(_)) => !hop.heard || hop.excused,
        };
        for hop in self.all.iter().filter(unclean) {
            for place in &hop.what.places {
                *excuses.entry((hop.what.letter, *place)).or_default() += 1;
            }
        }
        excuses
    }
}

impl Hop {
    /// A hop that has just begun.
    #[must_use]
    pub const fn new(what: Report, from: Option<NodeId>, to: Option<NodeId>, at: Instant) -> Self {
        Self {
            what,
            from,
            to,
            at,
            taken: false,
            heard: false,
            written: None,
            held_up: false,
            unwritten: false,
            syncs: 1,
            excused: false,
            revived: false,
        }
    }

    /// The taker has lost the thread of the dialogue: whatever its replies were taken for, it is its fault.
    #[must_use]
    pub const fn excused(mut self) -> Self {
        self.excused = true;
        self
    }
}
