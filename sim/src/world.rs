//! The world: machines, what lies between them, and the one loop that moves time.
//!
//! An actor hears of what reaches its machine through the methods of [`Actor`] and acts through [`Scope`]. What an actor
//! planned before its machine went down never reaches it afterwards. All chance comes from the world's seed.

mod fault;
mod scope;
#[cfg(test)]
mod tests;

pub use fault::{Fault, Word};
pub use scope::Scope;

use crate::disk::Disk;
use crate::edges::Edges;
use crate::faults::{Class, Fired};
use crate::kernel::{Kernel, Trace};
use crate::network::{Arrival, NetEvent, Network, NodeId};
use crate::oracle::Ledger;
use crate::words;
use postrider_core::event::Event as LogLine;
use postrider_core::prng::Prng;
use postrider_core::queue::{DiskError, Done, File, Op};
use postrider_core::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::IpAddr;

/// An event of the world.
#[derive(Debug, Clone)]
pub enum Event {
    /// Of the network.
    Net(NetEvent),
    /// An actor's timer: machine, incarnation, tag.
    Timer(NodeId, u32, u64),
    /// The disk has finished its operation: machine, incarnation.
    Disk(NodeId, u32),
    /// Something goes wrong, or right again.
    Fault(Fault),
}

/// Something that lives on a machine.
pub trait Actor {
    /// The machine starts.
    fn boot(&mut self, scope: &mut Scope<'_>);
    /// Something came over the network.
    fn arrival(&mut self, scope: &mut Scope<'_>, arrival: Arrival);
    /// A timer ran out.
    fn timer(&mut self, scope: &mut Scope<'_>, tag: u64);
    /// A spool operation ended.
    fn disk(&mut self, _scope: &mut Scope<'_>, _tag: u64, _result: Result<Done, DiskError>) {}
    /// The program dies: what was in memory is gone.
    fn crash(&mut self) {}
    /// A word from the world.
    fn told(&mut self, _scope: &mut Scope<'_>, _word: Word) {}
    /// What it still has to do and what it waits for, in words; `None` when nothing. What is shared, and its machine, are there to be asked.
    fn pending(&self, _node: NodeId, _fabric: &Fabric) -> Option<String> {
        None
    }
}

/// One of several kinds of actors: whatever comes is for the one that it is.
pub trait OneOf {
    /// That one, to be asked.
    fn actor(&self) -> &dyn Actor;
    /// That one, to be told.
    fn actor_mut(&mut self) -> &mut dyn Actor;
}

impl<T: OneOf> Actor for T {
    fn boot(&mut self, scope: &mut Scope<'_>) {
        self.actor_mut().boot(scope);
    }

    fn arrival(&mut self, scope: &mut Scope<'_>, arrival: Arrival) {
        self.actor_mut().arrival(scope, arrival);
    }

    fn timer(&mut self, scope: &mut Scope<'_>, tag: u64) {
        self.actor_mut().timer(scope, tag);
    }

    fn disk(&mut self, scope: &mut Scope<'_>, tag: u64, result: Result<Done, DiskError>) {
        self.actor_mut().disk(scope, tag, result);
    }

    fn crash(&mut self) {
        self.actor_mut().crash();
    }

    fn told(&mut self, scope: &mut Scope<'_>, word: Word) {
        self.actor_mut().told(scope, word);
    }

    fn pending(&self, node: NodeId, fabric: &Fabric) -> Option<String> {
        self.actor().pending(node, fabric)
    }
}

/// Tag, operation, and its result if it has happened already.
type Running = (u64, Op, Option<Result<Done, DiskError>>);

/// A disk and what it is doing: one operation at a time, in order.
#[derive(Debug)]
struct Spindle {
    disk: Disk,
    waiting: VecDeque<(u64, Op)>,
    busy: Option<Running>,
    /// Microseconds that an operation takes, at least and at most.
    latency: (u64, u64),
    /// Operations until the power goes.
    fuse: Option<u64>,
}

impl Spindle {
    /// The machine is down: what waited is forgotten.
    fn stop(&mut self, power: bool) {
        self.waiting.clear();
        self.busy = None;
        self.fuse = None;
        if power {
            self.disk.crash();
        }
    }
}

/// What the world knows of a machine besides its actor.
#[derive(Debug, Default)]
struct Machine {
    spindle: Option<Spindle>,
    /// Microseconds that its wall clock is off.
    skew: i64,
    /// Effects until the end, and whether that is a loss of power.
    effects: Option<(u64, bool)>,
}

/// All that actors share.
#[derive(Debug)]
pub struct Fabric {
    /// Time and order.
    pub kernel: Kernel<Event>,
    /// Links.
    pub network: Network,
    /// Who answers for what.
    pub ledger: Ledger,
    /// The world's chance.
    pub prng: Prng,
    /// Faults that did harm, but for those of the network and the disks.
    pub fired: Fired,
    /// Edges of state tables that were taken.
    pub edges: Edges,
    /// What hosts log of fates, reports and troubles, where somebody wants it and takes it out.
    pub logged: Option<Vec<(Instant, LogLine)>>,
    /// How the machines are called, for people.
    pub names: Vec<String>,
    /// Of the faults that did harm, what listeners have been told.
    told: Fired,
    machines: Vec<Machine>,
    /// The machine that has carried out its last effect, until it is down.
    blown: Option<NodeId>,
}

impl Fabric {
    fn settle_network(&mut self) {
        for (at, event) in self.network.planned.drain(..) {
            self.kernel.at(at, Event::Net(event));
        }
    }

    fn spindle(&mut self, node: NodeId) -> Option<&mut Spindle> {
        self.machines.get_mut(usize::from(node.0))?.spindle.as_mut()
    }

    /// Starts the next operation of a disk that is idle. What changes the page cache changes it now, a sync is done when it ends.
    fn spin(&mut self, node: NodeId, incarnation: u32) {
        let machine = self.machines.get_mut(usize::from(node.0));
        let Some(spindle) = machine.and_then(|machine| machine.spindle.as_mut()) else { return };
        if spindle.busy.is_some() {
            return;
        }
        let Some((tag, op)) = spindle.waiting.pop_front() else { return };
        let sync = matches!(op, Op::Sync(_) | Op::SyncDirectory);
        let early = if sync { None } else { Some(spindle.disk.carry_out(&op)) };
        spindle.busy = Some((tag, op, early));
        let (least, most) = spindle.latency;
        let wait = Duration::from_micros(least + self.prng.below(most.saturating_sub(least) + 1));
        let blown = match &mut spindle.fuse {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if blown {
            spindle.fuse = None;
            self.fired.note(Class::CrashAtOperation);
            let half = Duration::from_micros(self.prng.below(wait.as_micros() as u64 + 1));
            self.kernel.after(half, Event::Fault(Fault::Crash(node, true)));
        }
        self.kernel.after(wait, Event::Disk(node, incarnation));
    }

    /// What the disk of a machine does, for people.
    #[must_use]
    pub fn disk_in_words(&self, node: NodeId) -> String {
        let machine = self.machines.get(usize::from(node.0));
        let Some(spindle) = machine.and_then(|machine| machine.spindle.as_ref()) else {
            return "it has no disk".to_owned();
        };
        match &spindle.busy {
            Some((_, op, _)) => {
                let op = words::operation(op);
                format!("its disk is busy with {op}, operations behind it: {}", spindle.waiting.len())
            }
            None => "its disk is idle".to_owned(),
        }
    }

    /// Tells listeners which classes of faults did harm since they were told last, and on which machine, where that is known.
    fn tell_fired(&mut self, node: Option<NodeId>) {
        if !self.kernel.trace.spoken {
            return;
        }
        let all = self.all_fired();
        for class in all.since(&self.told) {
            let place = node.map_or_else(String::new, |node| format!("[{}] ", node.0));
            self.kernel.say(|| format!("{place}fault: {}", class.name()));
        }
        self.told = all;
    }

    /// All faults that did harm so far.
    #[must_use]
    pub fn all_fired(&self) -> Fired {
        let mut all = self.fired.clone();
        all.add(&self.network.fired);
        for spindle in self.machines.iter().filter_map(|machine| machine.spindle.as_ref()) {
            all.add(&spindle.disk.fired);
        }
        all
    }
}

struct Slot<A> {
    actor: A,
    address: IpAddr,
    up: bool,
    incarnation: u32,
    /// Words that came while it was down.
    words: Vec<Word>,
    /// It never starts again.
    off: bool,
}

/// The world.
pub struct World<A> {
    /// What actors share.
    pub fabric: Fabric,
    slots: Vec<Slot<A>>,
}

impl<A: Actor> World<A> {
    /// An empty world.
    #[must_use]
    pub fn new(seed: u64, spoken: bool) -> Self {
        let mut prng = Prng::new(seed);
        let network = Network::new(prng.next_u64());
        let fabric = Fabric {
            kernel: Kernel::new(Trace::new(spoken)),
            network,
            ledger: Ledger::default(),
            prng,
            fired: Fired::default(),
            edges: Edges::default(),
            logged: None,
            names: Vec::new(),
            told: Fired::default(),
            machines: Vec::new(),
            blown: None,
        };
        Self { fabric, slots: Vec::new() }
    }

    /// Lets all disks lie: they say that they have synced, and have not. To see whether the oracle sees.
    pub fn let_disks_lie(&mut self) {
        for spindle in self.fabric.machines.iter_mut().filter_map(|machine| machine.spindle.as_mut()) {
            spindle.disk.lies = true;
        }
    }

    /// Adds a machine, with a disk of so many octets, and starts it.
    pub fn add(&mut self, address: IpAddr, disk: Option<u64>, actor: A) -> NodeId {
        let node = NodeId(u16::try_from(self.slots.len()).unwrap_or(u16::MAX));
        self.fabric.network.machine(node, &[address]);
        let spindle = disk.map(|capacity| Spindle {
            disk: Disk::new(self.fabric.prng.next_u64(), capacity),
            waiting: VecDeque::new(),
            busy: None,
            latency: (50, 8_000),
            fuse: None,
        });
        self.fabric.machines.push(Machine { spindle, ..Machine::default() });
        self.slots.push(Slot { actor, address, up: false, incarnation: 0, words: Vec::new(), off: false });
        self.fabric.kernel.at(Instant::default(), Event::Fault(Fault::Boot(node)));
        node
    }

    /// The actor of a machine.
    #[must_use]
    pub fn actor(&self, node: NodeId) -> Option<&A> {
        self.slots.get(usize::from(node.0)).map(|slot| &slot.actor)
    }

    /// Plans a fault.
    pub fn plan(&mut self, at: Instant, fault: Fault) {
        self.fabric.kernel.at(at, Event::Fault(fault));
    }

    /// True when a machine that starts again is down.
    #[must_use]
    pub fn somebody_is_down(&self) -> bool {
        self.slots.iter().any(|slot| !slot.up && !slot.off)
    }

    /// Why the world has not settled: the first thing that somebody who is not down for good still has to do.
    #[must_use]
    pub fn pending(&self) -> Option<String> {
        (0..).map(NodeId).zip(&self.slots).filter(|(_, slot)| !slot.off).find_map(|(node, slot)| {
            let why = slot.actor.pending(node, &self.fabric)?;
            Some(format!("machine {}: {why}", node.0))
        })
    }

    /// Lets time pass until `end` or until `enough` events have happened; true when `end` was reached.
    pub fn run(&mut self, end: Instant, enough: u64) -> bool {
        self.fabric.settle_network();
        let last = self.fabric.kernel.taken.saturating_add(enough);
        while self.fabric.kernel.taken < last {
            let Some(event) = self.fabric.kernel.next(end) else { return true };
            self.happen(event);
            self.fabric.tell_fired(None);
            self.fabric.settle_network();
        }
        false
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Net(event) => {
                let now = self.fabric.kernel.now();
                let Some((node, arrival)) = self.fabric.network.happen(now, event) else { return };
                self.with(node, None, |actor, scope| {
                    scope.note(1, &[number(&arrival)], || words::arrival(&arrival));
                    actor.arrival(scope, arrival);
                });
            }
            Event::Timer(node, incarnation, tag) => {
                self.with(node, Some(incarnation), |actor, scope| actor.timer(scope, tag));
            }
            Event::Disk(node, incarnation) => self.disk(node, incarnation),
            Event::Fault(fault) => self.fault(&fault),
        }
    }

    fn with(&mut self, node: NodeId, incarnation: Option<u32>, act: impl FnOnce(&mut A, &mut Scope<'_>)) {
        let Some(slot) = self.slots.get_mut(usize::from(node.0)) else { return };
        if !slot.up
            || self.fabric.blown == Some(node)
            || incarnation.is_some_and(|incarnation| incarnation != slot.incarnation)
        {
            return;
        }
        let mut scope =
            Scope { node, address: slot.address, fabric: &mut self.fabric, incarnation: slot.incarnation };
        act(&mut slot.actor, &mut scope);
    }

    fn disk(&mut self, node: NodeId, incarnation: u32) {
        let slot = self.slots.get(usize::from(node.0));
        if slot.is_none_or(|slot| !slot.up || slot.incarnation != incarnation) {
            return;
        }
        let Some(spindle) = self.fabric.spindle(node) else { return };
        let Some((tag, op, early)) = spindle.busy.take() else { return };
        let result = early.unwrap_or_else(|| spindle.disk.carry_out(&op));
        let synced = matches!(op, Op::Sync(File::Segment(_))) && result.is_ok() && !spindle.disk.lies;
        if result.is_err() && !matches!(op, Op::Read { .. } | Op::Unlink(_) | Op::List) {
            self.fabric.ledger.disk_failed(node);
            if matches!(op, Op::Write { file: File::Segment(_), .. } | Op::Sync(File::Segment(_))) {
                self.fabric.ledger.log_failed(node);
            }
        }
        self.with(node, Some(incarnation), |actor, scope| {
            scope.note(3, &[tag, u64::from(result.is_ok())], || {
                format!("disk {}: {}", words::operation(&op), words::result(&result))
            });
            actor.disk(scope, tag, result);
        });
        // Behind the actor: what it has been told with this sync is durable with it.
        if synced {
            self.fabric.ledger.synced(node);
        }
        self.fabric.spin(node, incarnation);
    }
}

/// An arrival as a number, for the trace.
fn number(arrival: &Arrival) -> u64 {
    match arrival {
        Arrival::Accepted { socket, port, .. } => socket.0 << 16 | u64::from(*port),
        Arrival::Connected(socket) => socket.0 << 4 | 1,
        Arrival::NotConnected(socket, refused) => socket.0 << 4 | 2 | u64::from(*refused),
        Arrival::Octets(socket, octets) => socket.0 ^ crate::kernel::hash(octets),
        Arrival::End(socket) => socket.0 << 4 | 4,
        Arrival::Gone(socket, reset) => socket.0 << 4 | 6 | u64::from(*reset),
        Arrival::Drained(socket) => socket.0 << 4 | 8,
        Arrival::Datagram { port, octets, .. } => u64::from(*port) ^ crate::kernel::hash(octets),
        Arrival::Unreachable(port) => u64::from(*port),
    }
}
