//! What paths do to what travels on them: they are slow, lose, are silent, and heal or do not.

use super::{Link, Network, NodeId, Power, RESEND, RESEND_MAX, SLOW};
use crate::faults::Class;
use postrider_core::time::Duration;

impl Network {
    /// Gives a pair of machines a path of its own, in one direction.
    pub fn link(&mut self, from: NodeId, to: NodeId, link: Link) {
        self.links.insert((from, to), link);
    }

    /// Silences one direction.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cut.insert((from, to));
    }

    /// Silences one direction for good.
    pub fn sever(&mut self, from: NodeId, to: NodeId) {
        self.severed.insert((from, to));
    }

    /// A machine that has no power never has any again.
    pub fn gone(&mut self, node: NodeId) {
        self.gone.insert(node);
    }

    /// The usual path is this one for good.
    pub const fn stay(&mut self, link: Link) {
        self.usual = link;
        self.worn = true;
    }

    /// Ends the silence between two machines, but for what is for good.
    pub fn mend(&mut self, one: NodeId, other: NodeId) {
        self.cut.remove(&(one, other));
        self.cut.remove(&(other, one));
    }

    /// Ends all partitions that are not for good, and lets links behave.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.links.clear();
        self.usual = Link::default();
    }

    pub(super) fn link_between(&self, from: NodeId, to: NodeId) -> Link {
        self.links.get(&(from, to)).copied().unwrap_or(self.usual)
    }

    pub(super) fn silent(&mut self, from: NodeId, to: NodeId) -> bool {
        let off = self.machines.get(&to).is_none_or(|machine| machine.power == Power::Off);
        if off && self.gone.contains(&to) {
            self.fired.note(Class::Lasting);
        }
        off || self.is_cut(from, to)
    }

    /// Something is to pass that does not.
    pub(super) fn is_cut(&mut self, from: NodeId, to: NodeId) -> bool {
        if self.cut.is_empty() && self.severed.is_empty() {
            return false;
        }
        let severed = self.severed.contains(&(from, to));
        if !severed && !self.cut.contains(&(from, to)) {
            return false;
        }
        let both = self.cut.contains(&(to, from)) || self.severed.contains(&(to, from));
        self.fired.note(if both { Class::CutBoth } else { Class::CutOneWay });
        if severed {
            self.fired.note(Class::LastingCut);
        }
        true
    }

    /// Something on a path was late or lost.
    pub(super) fn suffers(&mut self, class: Class, (from, to): (NodeId, NodeId)) {
        self.fired.note(class);
        if self.worn && !self.links.contains_key(&(from, to)) {
            self.fired.note(Class::LastingPath);
        }
    }

    /// Time on the way, losses of TCP included.
    pub(super) fn travel(&mut self, from: NodeId, to: NodeId, octets: usize) -> Duration {
        let link = self.link_between(from, to);
        let spread = link.latency.1.saturating_sub(link.latency.0);
        let mut micros = link.latency.0 + self.prng.below(spread + 1);
        micros += link.drip(octets);
        let mut time = Duration::from_micros(micros);
        let mut resend = RESEND;
        while link.loss > 0 && resend < RESEND_MAX && self.prng.chance(u64::from(link.loss), 1_000) {
            time += resend;
            resend *= 2;
            self.suffers(Class::Loss, (from, to));
        }
        if time > SLOW {
            self.suffers(Class::Delay, (from, to));
        }
        time
    }
}
