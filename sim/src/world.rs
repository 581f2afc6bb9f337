//! The world: machines, what lies between them, and the one loop that moves time.
//!
//! An actor hears of what reaches its machine through the methods of [`Actor`] and acts through [`Scope`]. What an actor
//! planned before its machine went down never reaches it afterwards. All chance comes from the world's seed.

use crate::disk::Disk;
use crate::kernel::{Kernel, Planned, Trace};
use crate::network::{Arrival, NetEvent, Network, NodeId, Socket};
use crate::oracle::Ledger;
use postrider_core::prng::Prng;
use postrider_core::queue::{DiskError, Done, Op};
use postrider_core::time::{Duration, Instant, Now};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

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

/// What may be done to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The program of a machine dies (false), or the machine loses power (true).
    Crash(NodeId, bool),
    /// A machine starts again.
    Boot(NodeId),
    /// The `n`th spool operation from now on is the last of this machine before it loses power.
    CrashAtOperation(NodeId, u64),
    /// No operation of this machine is its last any more.
    Disarm(NodeId),
    /// One direction is silent.
    Cut(NodeId, NodeId),
    /// All links are whole again.
    Heal,
    /// Some connection is reset.
    Reset(u64),
    /// The disk of a machine changes its moods.
    Moods(NodeId, crate::disk::Moods),
    /// The disk of a machine has this many octets.
    Capacity(NodeId, u64),
    /// The wall clock of a machine jumps to so many microseconds from the true time.
    Skew(NodeId, i64),
    /// A word to an actor, that it understands.
    Tell(NodeId, Word),
}

/// A word to an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// From now on behave well.
    Behave,
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
    /// What it still has to do, in words; `None` when nothing.
    fn pending(&self) -> Option<String> {
        None
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
    spindles: BTreeMap<NodeId, Spindle>,
    skews: BTreeMap<NodeId, i64>,
}

impl Fabric {
    fn settle_network(&mut self) {
        for (at, event) in std::mem::take(&mut self.network.planned) {
            self.kernel.at(at, Event::Net(event));
        }
    }

    /// Starts the next operation of a disk that is idle. What changes the page cache changes it now, a sync is done when it ends.
    fn spin(&mut self, node: NodeId, incarnation: u32) {
        let Some(spindle) = self.spindles.get_mut(&node) else { return };
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
            let half = Duration::from_micros(self.prng.below(wait.as_micros() as u64 + 1));
            self.kernel.after(half, Event::Fault(Fault::Crash(node, true)));
        }
        self.kernel.after(wait, Event::Disk(node, incarnation));
    }
}

/// What an actor may do, and for which machine.
#[derive(Debug)]
pub struct Scope<'a> {
    /// Its machine.
    pub node: NodeId,
    /// Its first address.
    pub address: IpAddr,
    /// All that is shared.
    pub fabric: &'a mut Fabric,
    incarnation: u32,
}

impl Scope<'_> {
    /// The clocks of this machine.
    #[must_use]
    pub fn now(&self) -> Now {
        self.fabric.kernel.clocks(self.fabric.skews.get(&self.node).copied().unwrap_or(0))
    }

    /// The world's chance.
    pub fn prng(&mut self) -> &mut Prng {
        &mut self.fabric.prng
    }

    /// Connects.
    pub fn connect(&mut self, to: SocketAddr) -> Socket {
        let now = self.fabric.kernel.now();
        self.fabric.network.connect(now, self.node, self.address, to)
    }

    /// Accepts connections.
    pub fn listen(&mut self, port: u16) {
        self.fabric.network.listen(self.node, port);
    }

    /// Sends octets.
    pub fn send(&mut self, socket: Socket, octets: &[u8]) {
        self.note(2, &[socket.0, crate::kernel::hash(octets)], || {
            format!("send {} {}", socket.0, String::from_utf8_lossy(octets).escape_debug())
        });
        let now = self.fabric.kernel.now();
        self.fabric.network.send(now, socket, octets);
    }

    /// Sends no more.
    pub fn finish(&mut self, socket: Socket) {
        let now = self.fabric.kernel.now();
        self.fabric.network.finish(now, socket);
    }

    /// Closes.
    pub fn close(&mut self, socket: Socket) {
        let now = self.fabric.kernel.now();
        self.fabric.network.close(now, socket);
    }

    /// Resets.
    pub fn abort(&mut self, socket: Socket) {
        let now = self.fabric.kernel.now();
        self.fabric.network.abort(now, socket);
    }

    /// Stops or resumes reading.
    pub fn read(&mut self, socket: Socket, reading: bool) {
        let now = self.fabric.kernel.now();
        self.fabric.network.read(now, socket, reading);
    }

    /// Sends a datagram from a bound port of the first address.
    pub fn datagram(&mut self, port: u16, to: SocketAddr, octets: Vec<u8>) {
        let now = self.fabric.kernel.now();
        self.fabric.network.datagram(now, SocketAddr::new(self.address, port), to, octets);
    }

    /// Plans a timer.
    pub fn timer(&mut self, wait: Duration, tag: u64) -> Planned {
        self.fabric.kernel.after(wait, Event::Timer(self.node, self.incarnation, tag))
    }

    /// Plans a timer at an instant.
    pub fn timer_at(&mut self, at: Instant, tag: u64) -> Planned {
        self.fabric.kernel.at(at, Event::Timer(self.node, self.incarnation, tag))
    }

    /// Calls a timer off.
    pub fn cancel(&mut self, planned: Planned) {
        self.fabric.kernel.cancel(planned);
    }

    /// Gives the disk an operation; it ends in [`Actor::disk`].
    pub fn disk(&mut self, tag: u64, op: Op) {
        if let Some(spindle) = self.fabric.spindles.get_mut(&self.node) {
            spindle.waiting.push_back((tag, op));
        }
        self.fabric.spin(self.node, self.incarnation);
    }

    /// Octets free on the disk.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.fabric.spindles.get(&self.node).map_or(0, |spindle| spindle.disk.free())
    }

    /// Notes what happened; `kind` and `numbers` are hashed, `words` are for listeners.
    pub fn note(&mut self, kind: u64, numbers: &[u64], words: impl FnOnce() -> String) {
        let node = self.node;
        self.fabric.kernel.trace.numbers(&[kind, u64::from(node.0)]);
        self.fabric.kernel.note(numbers, || format!("[{}] {}", node.0, words()));
    }
}

struct Slot<A> {
    actor: A,
    address: IpAddr,
    up: bool,
    incarnation: u32,
    /// Words that came while it was down.
    words: Vec<Word>,
}

/// The world.
pub struct World<A> {
    /// What actors share.
    pub fabric: Fabric,
    slots: BTreeMap<NodeId, Slot<A>>,
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
            spindles: BTreeMap::new(),
            skews: BTreeMap::new(),
        };
        Self { fabric, slots: BTreeMap::new() }
    }

    /// Lets all disks lie: they say that they have synced, and have not. To see whether the oracle sees.
    pub fn let_disks_lie(&mut self) {
        for spindle in self.fabric.spindles.values_mut() {
            spindle.disk.lies = true;
        }
    }

    /// Adds a machine, with a disk of so many octets, and starts it.
    pub fn add(&mut self, address: IpAddr, disk: Option<u64>, actor: A) -> NodeId {
        let node = NodeId(u16::try_from(self.slots.len()).unwrap_or(u16::MAX));
        self.fabric.network.machine(node, &[address]);
        if let Some(capacity) = disk {
            let disk = Disk::new(self.fabric.prng.next_u64(), capacity);
            let spindle =
                Spindle { disk, waiting: VecDeque::new(), busy: None, latency: (50, 8_000), fuse: None };
            self.fabric.spindles.insert(node, spindle);
        }
        self.slots.insert(node, Slot { actor, address, up: false, incarnation: 0, words: Vec::new() });
        self.fabric.kernel.at(Instant::default(), Event::Fault(Fault::Boot(node)));
        node
    }

    /// The actor of a machine.
    #[must_use]
    pub fn actor(&self, node: NodeId) -> Option<&A> {
        self.slots.get(&node).map(|slot| &slot.actor)
    }

    /// All machines.
    pub fn actors(&self) -> impl Iterator<Item = (NodeId, &A)> {
        self.slots.iter().map(|(&node, slot)| (node, &slot.actor))
    }

    /// Plans a fault.
    pub fn plan(&mut self, at: Instant, fault: Fault) {
        self.fabric.kernel.at(at, Event::Fault(fault));
    }

    /// Machines that are down.
    #[must_use]
    pub fn down(&self) -> Vec<NodeId> {
        self.slots.iter().filter(|(_, slot)| !slot.up).map(|(&node, _)| node).collect()
    }

    /// Why the world has not settled: the first thing that somebody still has to do.
    #[must_use]
    pub fn pending(&self) -> Option<String> {
        self.slots.iter().find_map(|(node, slot)| {
            let why = slot.actor.pending()?;
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
                    scope.note(1, &[number(&arrival)], || format!("{arrival:.120?}"));
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
        let Some(slot) = self.slots.get_mut(&node) else { return };
        if !slot.up || incarnation.is_some_and(|incarnation| incarnation != slot.incarnation) {
            return;
        }
        let mut scope =
            Scope { node, address: slot.address, fabric: &mut self.fabric, incarnation: slot.incarnation };
        act(&mut slot.actor, &mut scope);
    }

    fn disk(&mut self, node: NodeId, incarnation: u32) {
        if self.slots.get(&node).is_none_or(|slot| !slot.up || slot.incarnation != incarnation) {
            return;
        }
        let Some(spindle) = self.fabric.spindles.get_mut(&node) else { return };
        let Some((tag, op, early)) = spindle.busy.take() else { return };
        let result = early.unwrap_or_else(|| spindle.disk.carry_out(&op));
        self.with(node, Some(incarnation), |actor, scope| {
            scope.note(3, &[tag, u64::from(result.is_ok())], || format!("disk {op:.80?}: {result:.60?}"));
            actor.disk(scope, tag, result);
        });
        self.fabric.spin(node, incarnation);
    }

    fn fault(&mut self, fault: &Fault) {
        self.fabric.kernel.note(&[9], || format!("FAULT {fault:?}"));
        let now = self.fabric.kernel.now();
        let Fabric { network, ledger, spindles, skews, .. } = &mut self.fabric;
        match *fault {
            Fault::Crash(node, power) => self.crash(node, power),
            Fault::Boot(node) => self.boot(node),
            Fault::CrashAtOperation(node, count) => {
                _ = spindles.get_mut(&node).map(|spindle| spindle.fuse = Some(count));
            }
            Fault::Disarm(node) => _ = spindles.get_mut(&node).map(|spindle| spindle.fuse = None),
            Fault::Cut(from, to) => {
                network.cut(from, to);
                ledger.disturbed();
            }
            Fault::Heal => network.heal(),
            Fault::Reset(choice) => {
                if network.reset_some(now, choice) {
                    ledger.disturbed();
                }
            }
            Fault::Moods(node, moods) => {
                _ = spindles.get_mut(&node).map(|spindle| spindle.disk.moods = moods);
                if moods != crate::disk::Moods::default() {
                    ledger.disk_failed();
                }
            }
            Fault::Capacity(node, octets) => {
                _ = spindles.get_mut(&node).map(|spindle| spindle.disk.capacity = octets);
            }
            Fault::Skew(node, micros) => _ = skews.insert(node, micros),
            Fault::Tell(node, word) => self.tell(node, word),
        }
    }

    fn crash(&mut self, node: NodeId, power: bool) {
        let Some(slot) = self.slots.get_mut(&node) else { return };
        if !slot.up {
            return;
        }
        slot.up = false;
        slot.actor.crash();
        let now = self.fabric.kernel.now();
        self.fabric.network.down(now, node, power);
        if let Some(spindle) = self.fabric.spindles.get_mut(&node) {
            spindle.waiting.clear();
            spindle.busy = None;
            spindle.fuse = None;
            if power {
                spindle.disk.crash();
            }
        }
        self.fabric.ledger.crashed();
        let wait = Duration::from_millis(500 + self.fabric.prng.below(120_000));
        self.fabric.kernel.after(wait, Event::Fault(Fault::Boot(node)));
    }

    fn tell(&mut self, node: NodeId, word: Word) {
        match self.slots.get_mut(&node) {
            Some(slot) if !slot.up => slot.words.push(word),
            _ => self.with(node, None, |actor, scope| actor.told(scope, word)),
        }
    }

    fn boot(&mut self, node: NodeId) {
        let Some(slot) = self.slots.get_mut(&node) else { return };
        if slot.up {
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

#[cfg(test)]
mod tests;
