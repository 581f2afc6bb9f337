//! What may be done to the world, and what it does to machines.

use super::{Actor, Event, Fabric, World};
use crate::disk::Moods;
use crate::faults::Class;
use crate::network::{Link, NodeId};
use crate::words;
use postrider_core::time::Duration;
use serde::{Deserialize, Serialize};

/// What may be done to the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The program of a machine dies (false), or the machine loses power (true). It starts again after a while.
    Crash(NodeId, bool),
    /// A machine loses power for good.
    Off(NodeId),
    /// A machine starts again.
    Boot(NodeId),
    /// The `n`th spool operation from now on is the last of this machine before it loses power.
    CrashAtOperation(NodeId, u64),
    /// Behind its `n`th effect from now on the machine does nothing more: its program dies (false), or it loses power (true).
    CrashAtEffect(NodeId, u64, bool),
    /// No operation and no effect of this machine is its last any more.
    Disarm(NodeId),
    /// One direction is silent, or (true) both.
    Cut(NodeId, NodeId, bool),
    /// One direction is silent for good.
    Sever(NodeId, NodeId),
    /// The path that all use who have none of their own is this one for good.
    Usual(Link),
    /// These two reach one another again.
    Mend(NodeId, NodeId),
    /// All links are whole again.
    Heal,
    /// Some connection is reset.
    Reset(u64),
    /// The disk of a machine changes its moods.
    Moods(NodeId, Moods),
    /// The disk of a machine has this many octets.
    Capacity(NodeId, u64),
    /// A bit on the disk of a machine changes.
    Rot(NodeId, u64),
    /// The wall clock of a machine jumps to so many microseconds from the true time.
    Skew(NodeId, i64),
    /// A word to an actor, that it understands.
    Tell(NodeId, Word),
}

/// A word to an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// From now on behave well.
    Behave,
    /// The world has healed, but for this one: it stays as it is.
    Persist,
    /// From now on refuse all for now.
    Refuse,
    /// An operator wants all mail tried now.
    Flush,
    /// An operator wants all mail to go through cleanup anew.
    Requeue,
    /// An operator puts all mail on hold.
    Hold,
    /// An operator releases what is on hold.
    Release,
    /// An operator deletes a message, chosen by a number.
    Delete(u64),
    /// Lookup tables fail (true), or work again.
    Tables(bool),
    /// An operator has a host use the configuration of this number, if it has one, from now on.
    Reload(usize),
}

impl<A: Actor> World<A> {
    pub(super) fn fault(&mut self, fault: &Fault) {
        let Fabric { kernel, names, .. } = &mut self.fabric;
        kernel.note(&[9], || format!("fault: {}", words::fault(fault, |node| name(names, node))));
        let now = self.fabric.kernel.now();
        match *fault {
            Fault::Crash(node, power) => self.crash(node, power),
            Fault::Off(node) => {
                self.crash(node, true);
                if let Some(slot) = self.slots.get_mut(usize::from(node.0)) {
                    slot.off = true;
                }
                self.fabric.network.gone(node);
            }
            Fault::Boot(node) => self.boot(node),
            Fault::Heal => self.fabric.network.heal(),
            Fault::Cut(from, to, both) => {
                self.fabric.network.cut(from, to);
                if both {
                    self.fabric.network.cut(to, from);
                }
            }
            Fault::Sever(from, to) => self.fabric.network.sever(from, to),
            Fault::Usual(link) => self.fabric.network.stay(link),
            Fault::Mend(one, other) => self.fabric.network.mend(one, other),
            Fault::Reset(choice) => _ = self.fabric.network.reset_some(now, choice),
            Fault::Tell(node, word) => self.tell(node, word),
            Fault::CrashAtOperation(node, _)
            | Fault::CrashAtEffect(node, ..)
            | Fault::Disarm(node)
            | Fault::Moods(node, _)
            | Fault::Capacity(node, _)
            | Fault::Rot(node, _)
            | Fault::Skew(node, _) => self.fabric.machine_fault(node, fault),
        }
    }

    fn crash(&mut self, node: NodeId, power: bool) {
        if self.fabric.blown == Some(node) {
            self.fabric.blown = None;
        }
        let Some(slot) = self.slots.get_mut(usize::from(node.0)) else { return };
        if !slot.up {
            return;
        }
        slot.up = false;
        let now = self.fabric.kernel.now();
        self.fabric.ledger.crashed(node, power, now);
        self.fabric.fired.note(if power { Class::PowerLost } else { Class::Killed });
        slot.actor.crash();
        self.fabric.network.down(now, node, power);
        let machine = &mut self.fabric.machines[usize::from(node.0)];
        machine.effects = None;
        if let Some(spindle) = &mut machine.spindle {
            spindle.stop(power);
        }
        let wait = Duration::from_millis(500 + self.fabric.prng.below(120_000));
        self.fabric.kernel.after(wait, Event::Fault(Fault::Boot(node)));
    }

    pub(super) fn tell(&mut self, node: NodeId, word: Word) {
        match self.slots.get_mut(usize::from(node.0)) {
            Some(slot) if !slot.up => slot.words.push(word),
            _ => self.with(node, None, |actor, scope| actor.told(scope, word)),
        }
    }

    fn boot(&mut self, node: NodeId) {
        let Some(slot) = self.slots.get_mut(usize::from(node.0)) else { return };
        if slot.up || slot.off {
            return;
        }
        slot.up = true;
        slot.incarnation = self.fabric.network.up(node);
        let words = std::mem::take(&mut slot.words);
        self.with(node, None, |actor, scope| actor.boot(scope));
        for word in words {
            self.tell(node, word);
        }
    }
}

/// How a machine is called.
fn name(names: &[String], node: NodeId) -> String {
    names.get(usize::from(node.0)).cloned().unwrap_or_else(|| format!("machine {}", node.0))
}

impl Fabric {
    fn machine_fault(&mut self, node: NodeId, fault: &Fault) {
        let Some(machine) = self.machines.get_mut(usize::from(node.0)) else { return };
        match *fault {
            Fault::CrashAtEffect(_, count, power) => machine.effects = Some((count, power)),
            Fault::Skew(_, micros) => {
                let forward = micros > machine.skew;
                machine.skew = micros;
                self.fired.note(if forward { Class::ClockForward } else { Class::ClockBack });
                self.ledger.clock_jumped(node);
            }
            _ => {}
        }
        let Some(spindle) = &mut machine.spindle else { return };
        match *fault {
            Fault::CrashAtOperation(_, count) => spindle.fuse = Some(count),
            Fault::Disarm(_) => (spindle.fuse, machine.effects) = (None, None),
            Fault::Moods(_, moods) => spindle.disk.moods = moods,
            Fault::Capacity(_, octets) => spindle.disk.capacity = octets,
            Fault::Rot(_, choice) if spindle.disk.rot(choice) => {
                self.ledger.rotted(node);
            }
            _ => {}
        }
    }
}
