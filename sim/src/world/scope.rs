//! What an actor may do, and for which machine.

use super::{Event, Fabric, Fault};
use crate::faults::Class;
use crate::kernel::Planned;
use crate::network::{NodeId, Socket};
use crate::words;
use postrider_core::prng::Prng;
use postrider_core::queue::Op;
use postrider_core::time::{Duration, Instant, Now};
use std::net::{IpAddr, SocketAddr};

/// What an actor may do, and for which machine.
#[derive(Debug)]
pub struct Scope<'a> {
    /// Its machine.
    pub node: NodeId,
    /// Its first address.
    pub address: IpAddr,
    /// All that is shared.
    pub fabric: &'a mut Fabric,
    pub(super) incarnation: u32,
}

impl Scope<'_> {
    /// The clocks of this machine.
    #[must_use]
    pub fn now(&self) -> Now {
        let skew = self.fabric.machines.get(usize::from(self.node.0)).map_or(0, |machine| machine.skew);
        self.fabric.kernel.clocks(skew)
    }

    /// The world's chance.
    pub fn prng(&mut self) -> &mut Prng {
        &mut self.fabric.prng
    }

    /// True with these odds of 1000. What has no odds draws nothing, so that old plans tell their stories.
    pub fn lot(&mut self, of_thousand: u16) -> bool {
        of_thousand > 0 && self.fabric.prng.chance(u64::from(of_thousand), 1_000)
    }

    /// True with these odds of 1000; then the class of fault has fired.
    pub fn odds(&mut self, of_thousand: u16, class: Class) -> bool {
        let fires = self.lot(of_thousand);
        if fires {
            self.fired(class);
        }
        fires
    }

    /// A fault has done harm.
    pub fn fired(&mut self, class: Class) {
        self.fabric.fired.note(class);
        self.fabric.tell_fired(Some(self.node));
    }

    /// An effect is about to be carried out; false when the machine has carried out its last one.
    fn effect(&mut self) -> bool {
        if self.fabric.blown == Some(self.node) {
            return false;
        }
        let Some(machine) = self.fabric.machines.get_mut(usize::from(self.node.0)) else { return true };
        match &mut machine.effects {
            Some((0, power)) => {
                let crash = Fault::Crash(self.node, *power);
                machine.effects = None;
                self.fabric.blown = Some(self.node);
                self.fabric.fired.note(Class::CrashAtEffect);
                self.fabric.kernel.after(Duration::ZERO, Event::Fault(crash));
                false
            }
            Some((left, _)) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    /// Connects.
    pub fn connect(&mut self, to: SocketAddr) -> Socket {
        _ = self.effect();
        let now = self.fabric.kernel.now();
        self.fabric.network.connect(now, self.node, self.address, to)
    }

    /// Accepts connections.
    pub fn listen(&mut self, port: u16) {
        self.fabric.network.listen(self.node, port);
    }

    /// Sends octets.
    pub fn send(&mut self, socket: Socket, octets: &[u8]) {
        _ = self.send_and(socket, octets, false);
    }

    /// Sends octets; true when the buffer took them all. Otherwise `Arrival::Drained` follows once it has room.
    pub fn send_and_hear(&mut self, socket: Socket, octets: &[u8]) -> bool {
        self.send_and(socket, octets, true)
    }

    fn send_and(&mut self, socket: Socket, octets: &[u8], tell: bool) -> bool {
        if !self.effect() {
            return false;
        }
        self.note(2, &[socket.0, crate::kernel::hash(octets)], || {
            format!("send {} {}", socket.0, words::octets(octets))
        });
        let now = self.fabric.kernel.now();
        self.fabric.network.send(now, socket, octets, tell)
    }

    /// Sends no more, and goes on listening.
    pub fn finish(&mut self, socket: Socket) {
        let now = self.fabric.kernel.now();
        self.fabric.network.finish(now, socket);
    }

    /// Closes.
    pub fn close(&mut self, socket: Socket) {
        if self.effect() {
            let now = self.fabric.kernel.now();
            self.fabric.network.close(now, socket);
        }
    }

    /// Resets.
    pub fn abort(&mut self, socket: Socket) {
        if self.effect() {
            let now = self.fabric.kernel.now();
            self.fabric.network.abort(now, socket);
        }
    }

    /// Stops or resumes reading.
    pub fn read(&mut self, socket: Socket, reading: bool) {
        let now = self.fabric.kernel.now();
        self.fabric.network.read(now, socket, reading);
    }

    /// Sends a datagram from a bound port of the first address.
    pub fn datagram(&mut self, port: u16, to: SocketAddr, octets: Vec<u8>) {
        if self.effect() {
            let now = self.fabric.kernel.now();
            self.fabric.network.datagram(now, SocketAddr::new(self.address, port), to, octets);
        }
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

    /// Gives the disk an operation; it ends in [`super::Actor::disk`].
    pub fn disk(&mut self, tag: u64, op: Op) {
        if !self.effect() {
            return;
        }
        if let Some(spindle) = self.fabric.spindle(self.node) {
            spindle.waiting.push_back((tag, op));
        }
        self.fabric.spin(self.node, self.incarnation);
    }

    /// Octets free on the disk.
    #[must_use]
    pub fn free(&self) -> u64 {
        let machine = self.fabric.machines.get(usize::from(self.node.0));
        machine.and_then(|machine| machine.spindle.as_ref()).map_or(0, |spindle| spindle.disk.free())
    }

    /// Notes what happened; `kind` and `numbers` are hashed, `words` are for listeners.
    pub fn note(&mut self, kind: u64, numbers: &[u64], words: impl FnOnce() -> String) {
        let node = self.node;
        self.fabric.kernel.trace.numbers(&[kind, u64::from(node.0)]);
        self.fabric.kernel.note(numbers, || format!("[{}] {}", node.0, words()));
    }
}
