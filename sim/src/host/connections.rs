//! Drives one outbound joint for each connection, attempt after attempt. Core chooses among those that are parked.

use super::spool::Reader;
use super::{Live, Owner, Who, Work};
use crate::edges::Machine as Watched;
use crate::network::{Arrival, Socket};
use crate::world::Scope;
use postrider_core::ask::Answer;
use postrider_core::limits::CHUNK_MAX;
use postrider_core::machine::Machine;
use postrider_core::mail::{Attempt, AttemptId, Change, Diagnosis, Outcome, QueueId, Settlement, TlsFacts};
use postrider_core::manager;
use postrider_core::outbound::{self, Effect, Endpoint, Input, Loss, Outbound};
use postrider_core::time::{Duration, Instant};
use postrider_core::wire::EnhancedStatus;
use std::collections::VecDeque;
use std::sync::Arc;

/// What a connection is at.
#[derive(Debug)]
enum At {
    /// It listens to its server.
    Waiting,
    /// Something else must come first: an answer, the content, the manager.
    Busy,
    Connecting(Option<Instant>),
    /// A handshake: what the server has said of it.
    Securing(Vec<u8>),
    /// The kernel has not taken all octets; then this.
    Writing(Box<Next>),
    /// Kept under this name.
    Parked(u64),
}

/// What ends a drain: an effect, or (`None`) listening to the server.
type Next = Option<Effect>;

/// A connection.
#[derive(Debug)]
pub(super) struct Task {
    machine: Outbound,
    socket: Option<Socket>,
    at: At,
    inbox: VecDeque<Arrival>,
    destination: (String, String),
    /// An attempt has not been settled.
    trying: bool,
    /// The message of the attempt.
    message: QueueId,
    /// Mail had to be encrypted when the attempt began.
    encrypts: bool,
    /// When the attempt began.
    began: Instant,
    /// For the oracle: the line that the server is saying, and the marks of what it has taken and nobody has written down.
    line: Vec<u8>,
    marks: Vec<String>,
}

impl Task {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.at {
            At::Busy => None,
            At::Connecting(limit) => *limit,
            At::Waiting | At::Writing(_) | At::Parked(_) | At::Securing(_) => self.machine.next_timeout(),
        }
    }

    fn is_for(&self, transport: &str, nexthop: &str) -> bool {
        self.destination.0 == transport && self.destination.1 == nexthop
    }
}

impl Live {
    /// Gives an attempt to a parked connection of its destination, or to a new one.
    pub(super) fn deliver(
        &mut self,
        scope: &mut Scope<'_>,
        config: &Arc<outbound::Config>,
        attempt: Box<Attempt>,
    ) {
        let choice = self.kept.choose(Self::now(scope).mono, &attempt, config);
        for id in choice.over {
            self.tell_connection(scope, id, Input::Retire);
        }
        let id = choice.chosen.unwrap_or_else(|| self.open(scope, config, &attempt));
        if let Some(task) = self.connections.get_mut(&id) {
            task.trying = true;
            task.message = attempt.message;
            (task.encrypts, task.began) = (self.site.encrypts, scope.fabric.kernel.now());
            task.socket.iter().for_each(|&socket| scope.fabric.ledger.speaks(socket, task.encrypts));
        }
        let now = scope.fabric.kernel.now();
        let addresses = attempt.recipients.iter().map(|recipient| recipient.address.external());
        scope.fabric.ledger.attempted(scope.node, attempt.message, addresses, now);
        self.watch_limits(scope, &attempt);
        let reader = Reader::new(attempt.message, Arc::clone(&attempt.pieces));
        self.open_reader(Who::Connection(id), reader);
        self.tell_connection(scope, id, Input::Attempt(attempt));
    }

    /// A connection that has no socket yet.
    fn open(&mut self, scope: &mut Scope<'_>, config: &Arc<outbound::Config>, attempt: &Attempt) -> u64 {
        let id = self.next();
        let task = Task {
            machine: Outbound::new(Arc::clone(config), scope.prng().next_u64()),
            socket: None,
            at: At::Waiting,
            inbox: VecDeque::new(),
            destination: (attempt.transport.clone(), attempt.nexthop.clone()),
            trying: false,
            message: attempt.message,
            encrypts: false,
            began: Instant::default(),
            line: Vec::new(),
            marks: Vec::new(),
        };
        self.connections.insert(id, Box::new(task));
        id
    }

    /// The oracle's own count of what runs at once for a destination, this attempt included, and of the time since the last one ended. A reload
    /// makes windows and pauses that know nothing of what runs.
    fn watch_limits(&self, scope: &mut Scope<'_>, attempt: &Attempt) {
        if self.site.by_recipient.contains(&attempt.transport) {
            return;
        }
        let busy = |task: &&Task| {
            let counts = task.trying && task.began >= self.reloaded;
            counts && task.is_for(&attempt.transport, &attempt.nexthop)
        };
        let count = self.connections.values().map(AsRef::as_ref).filter(busy).count();
        let limit = self.site.concurrency;
        if count > limit {
            let text = format!("{count} attempts at once for {}, {limit} are allowed", attempt.nexthop);
            scope.fabric.ledger.broken(text);
        }
        if self.site.pause.is_zero() {
            return;
        }
        let ended = self.ended.get(&(attempt.transport.clone(), attempt.nexthop.clone()));
        if ended.is_some_and(|ended| scope.fabric.kernel.now() < ended.after(self.site.pause)) {
            let wanted = self.site.pause.as_secs();
            let text =
                format!("{} is tried again less than {wanted} s after an attempt ended", attempt.nexthop);
            scope.fabric.ledger.broken(text);
        }
    }

    /// An attempt has ended. What began before a reload counts for nobody.
    fn attempt_ended(&mut self, now: Instant, id: u64) {
        let Some(task) = self.connections.get_mut(&id) else { return };
        task.trying = false;
        if !self.site.pause.is_zero() && task.began > self.reloaded {
            self.ended.insert(task.destination.clone(), now);
        }
    }

    fn tell_connection(&mut self, scope: &mut Scope<'_>, id: u64, input: Input<'_>) {
        let Some(task) = self.connections.get_mut(&id) else { return };
        if let At::Parked(name) = task.at {
            self.kept.leave(name);
        }
        task.at = At::Waiting;
        let before = (task.machine.stage(), task.machine.delivery_stage());
        task.machine.handle_input(Self::now(scope), input);
        note_edges(scope, before, &task.machine);
        self.drain_connection(scope, id);
    }

    fn drain_connection(&mut self, scope: &mut Scope<'_>, id: u64) {
        let mut out = Vec::new();
        let mut next = None;
        while let Some(task) = self.connections.get_mut(&id) {
            let Some(effect) = task.machine.poll_output() else { break };
            match effect {
                Effect::Send(octets) if out.is_empty() => out = octets,
                Effect::Send(octets) => out.extend(octets),
                Effect::Event(event) => self.event(scope, &event),
                Effect::Notice(notice) => self.notice(scope, &notice),
                effect => next = Some(effect),
            }
        }
        let Some(task) = self.connections.get_mut(&id) else { return };
        match task.socket {
            Some(socket) if !out.is_empty() => {
                task.at = At::Writing(Box::new(next));
                let taken = scope.send_and_hear(socket, &out);
                self.work.push_back(if taken { Work::Drained(id) } else { Work::Wake(Who::Connection(id)) });
            }
            _ => self.go_on(scope, id, next, false),
        }
    }

    fn go_on(&mut self, scope: &mut Scope<'_>, id: u64, next: Next, wrote: bool) {
        let who = Who::Connection(id);
        let Some(task) = self.connections.get_mut(&id) else { return };
        task.at = At::Busy;
        match next {
            None if wrote => self.tell_connection(scope, id, Input::Drained),
            None => {
                task.at = At::Waiting;
                self.work.push_back(Work::Wake(who));
            }
            Some(Effect::Ask(question)) => self.ask(scope, who, &question),
            Some(Effect::Connect { endpoint, timeout }) => self.connect(scope, id, &endpoint, timeout),
            Some(Effect::Read { restart, .. }) => self.read_content(scope, who, restart, CHUNK_MAX),
            Some(Effect::StartTls(_)) => {
                task.at = At::Securing(Vec::new());
                match task.socket {
                    Some(socket) => scope.send(socket, b"\x16HELLO\r\n"),
                    None => self.tell_connection(scope, id, Input::TlsFailed("no connection".to_owned())),
                }
            }
            Some(Effect::Settle(settled)) => {
                self.attempt_ended(scope.fabric.kernel.now(), id);
                self.unwritten.insert(settled.id, id);
                self.work.push_back(Work::Manager(manager::Input::Settled(*settled)));
            }
            // No story configures best_mx_transport: a transport that is not there defers.
            Some(Effect::HandOver(attempt)) => {
                let status = EnhancedStatus::new(4, 3, 0);
                let outcome = Outcome::Deferred(Diagnosis::ours(status, "mail transport unavailable"));
                let indexes = attempt.recipients.iter().map(|recipient| (recipient.index, outcome.clone()));
                self.tell_connection(scope, id, Input::HandedOver(indexes.collect()));
            }
            Some(Effect::Progress(settled)) => {
                let message = task.message;
                self.progress(scope, id, message, settled.outcomes);
            }
            Some(Effect::Park(purpose)) => {
                task.at = At::Parked(self.kept.keep(*purpose, id));
                self.close_reader(who);
                self.work.push_back(Work::Wake(who));
            }
            Some(Effect::Close) => self.end_connection(scope, id),
            Some(Effect::Send(_) | Effect::Event(_) | Effect::Notice(_)) => {}
        }
    }

    /// Writes the outcomes that are final already; the others go on to the next host.
    fn progress(&mut self, scope: &mut Scope<'_>, id: u64, message: QueueId, outcomes: Vec<(u32, Outcome)>) {
        let outcomes: Vec<_> = outcomes.into_iter().filter(|(_, outcome)| outcome.is_final()).collect();
        if outcomes.is_empty() {
            return self.tell_connection(scope, id, Input::Written);
        }
        let settlement = Settlement { id: message, at: Self::now(scope).wall, outcomes, retry_at: None };
        self.append_for_task(Who::Connection(id), vec![Change::Settle(settlement)]);
    }

    /// They are written, or the spool refuses: that costs at most a second copy after a crash.
    pub(super) fn progress_written(&mut self, scope: &mut Scope<'_>, id: u64, ok: bool) {
        if ok {
            self.marks_written(scope, id);
        }
        self.tell_connection(scope, id, Input::Written);
    }

    fn connect(&mut self, scope: &mut Scope<'_>, id: u64, endpoint: &Endpoint, timeout: Duration) {
        self.drop_socket(scope, id);
        let to = match endpoint {
            Endpoint::Inet { address, port, .. } => Some(std::net::SocketAddr::new(*address, *port)),
            Endpoint::Unix(path) => self.site.socket(path),
        };
        let Some(to) = to else { return self.tell_connection(scope, id, Input::Lost(Loss::Refused)) };
        let socket = scope.connect(to);
        let limit = (!timeout.is_zero()).then(|| scope.fabric.kernel.now().after(timeout));
        self.owners.insert(socket, Owner::Connection(id));
        if let Some(task) = self.connections.get_mut(&id) {
            task.socket = Some(socket);
            task.at = At::Connecting(limit);
            scope.fabric.ledger.speaks(socket, task.encrypts);
        }
    }

    fn drop_socket(&mut self, scope: &mut Scope<'_>, id: u64) {
        let Some(task) = self.connections.get_mut(&id) else { return };
        task.inbox.clear();
        if let Some(socket) = task.socket.take() {
            self.owners.remove(&socket);
            scope.close(socket);
        }
    }

    /// The server's word on the handshake.
    fn handshake(&mut self, scope: &mut Scope<'_>, id: u64, octets: &[u8]) {
        let Some(task) = self.connections.get_mut(&id) else { return };
        let At::Securing(said) = &mut task.at else { return };
        said.extend_from_slice(octets);
        let Some(who) = said.strip_suffix(b"\r\n") else { return };
        let Some(who) = who.strip_prefix(b"\x16").map(|who| String::from_utf8_lossy(who).into_owned()) else {
            return self.tell_connection(scope, id, Input::TlsFailed("handshake failure".to_owned()));
        };
        let (socket, trusted) = (task.socket, who == "good");
        let facts = TlsFacts {
            protocol: "TLSv1.3".to_owned(),
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            cipher_bits: 256,
            trusted,
            peer_name: Some(who),
        };
        self.tell_connection(scope, id, Input::Secured(facts));
        let goes_on = self.connections.get(&id).is_some_and(|task| task.socket == socket);
        if !trusted && !goes_on {
            // The levels of stories are none, may and encrypt, which is not authentication (RFC 7435).
            scope
                .fabric
                .ledger
                .broken("a certificate that nobody had asked for ended a connection".to_owned());
        }
    }

    /// The oracle hears what a server says that it has taken.
    fn overhear(&mut self, scope: &mut Scope<'_>, id: u64, octets: &[u8]) {
        const MARK: &[u8] = b"queued as ";
        let Some(task) = self.connections.get_mut(&id) else { return };
        task.line.extend_from_slice(octets);
        let Some(end) = memchr::memrchr(b'\n', &task.line) else { return };
        for line in task.line[..end].split(|octet| *octet == b'\n') {
            // One letter is found sooner than a word, and most replies do not have it.
            let Some(q) = memchr::memchr(MARK[0], line) else { continue };
            let Some(at) = memchr::memmem::find(&line[q..], MARK).map(|at| q + at) else { continue };
            let mark = String::from_utf8_lossy(&line[at + MARK.len()..]).trim_end().to_owned();
            scope.fabric.ledger.heard(scope.node, &mark);
            task.marks.push(mark);
        }
        task.line.drain(..=end);
    }

    fn marks_written(&mut self, scope: &mut Scope<'_>, id: u64) {
        let now = scope.fabric.kernel.now();
        for mark in
            self.connections.get_mut(&id).map(|task| std::mem::take(&mut task.marks)).unwrap_or_default()
        {
            scope.fabric.ledger.written(&mark, now);
        }
    }

    fn end_connection(&mut self, scope: &mut Scope<'_>, id: u64) {
        self.drop_socket(scope, id);
        self.connections.remove(&id);
        self.close_reader(Who::Connection(id));
    }

    pub(super) fn connection_arrival(&mut self, scope: &mut Scope<'_>, id: u64, arrival: Arrival) {
        let Some(task) = self.connections.get_mut(&id) else { return };
        match (&task.at, &arrival) {
            (At::Connecting(_), Arrival::Connected(_)) => self.tell_connection(scope, id, Input::Connected),
            (At::Connecting(_), Arrival::NotConnected(_, refused)) => {
                let loss = if *refused { Loss::Refused } else { Loss::TimedOut };
                task.socket = None;
                self.tell_connection(scope, id, Input::Lost(loss));
            }
            (At::Connecting(_), Arrival::Gone(..) | Arrival::End(_)) => {
                task.socket = None;
                self.tell_connection(scope, id, Input::Lost(Loss::Closed));
            }
            (_, Arrival::Drained(_)) => self.drained(scope, id),
            _ => {
                task.inbox.push_back(arrival);
                self.work.push_back(Work::Wake(Who::Connection(id)));
            }
        }
    }

    /// The kernel has taken all octets.
    pub(super) fn drained(&mut self, scope: &mut Scope<'_>, id: u64) {
        let Some(task) = self.connections.get_mut(&id) else { return };
        if let At::Writing(_) = task.at
            && let At::Writing(next) = std::mem::replace(&mut task.at, At::Busy)
        {
            self.go_on(scope, id, *next, true);
        }
    }

    /// Looks at what the server said while the connection was busy.
    pub(super) fn wake_connection(&mut self, scope: &mut Scope<'_>, id: u64) {
        let Some(task) = self.connections.get_mut(&id) else { return };
        match task.at {
            At::Parked(_) if !task.inbox.is_empty() => {
                // Whatever a server says to an idle client, it is over.
                task.inbox.clear();
                self.tell_connection(scope, id, Input::Retire);
            }
            At::Writing(_) if task.inbox.iter().any(|arrival| matches!(arrival, Arrival::Gone(..))) => {
                self.write_failed(scope, id);
            }
            At::Waiting | At::Securing(_) => {
                let securing = matches!(task.at, At::Securing(_));
                let Some(arrival) = task.inbox.pop_front() else { return };
                self.work.push_back(Work::Wake(Who::Connection(id)));
                match arrival {
                    Arrival::Octets(_, octets) if securing => self.handshake(scope, id, &octets),
                    Arrival::Octets(_, octets) => {
                        self.overhear(scope, id, &octets);
                        self.tell_connection(scope, id, Input::Bytes(&octets));
                    }
                    Arrival::Gone(_, false) => self.tell_connection(scope, id, Input::Lost(Loss::TimedOut)),
                    _ => self.tell_connection(scope, id, Input::Lost(Loss::Closed)),
                }
            }
            _ => {}
        }
    }

    /// The octets can not be written. What the server said before it went away is read first.
    fn write_failed(&mut self, scope: &mut Scope<'_>, id: u64) {
        let Some(task) = self.connections.get_mut(&id) else { return };
        let At::Writing(next) = std::mem::replace(&mut task.at, At::Waiting) else { return };
        let next = match *next {
            Some(Effect::Read { .. }) => None,
            next => next,
        };
        self.go_on(scope, id, next, false);
    }

    pub(super) fn connection_answered(&mut self, scope: &mut Scope<'_>, id: u64, answer: Answer) {
        self.tell_connection(scope, id, Input::Answer(answer));
    }

    pub(super) fn connection_content(
        &mut self,
        scope: &mut Scope<'_>,
        id: u64,
        content: Result<Vec<u8>, String>,
    ) {
        match content {
            Ok(octets) => self.tell_connection(scope, id, Input::Content(&octets)),
            Err(why) => self.tell_connection(scope, id, Input::ContentLost(why)),
        }
    }

    pub(super) fn written(&mut self, scope: &mut Scope<'_>, attempt: AttemptId) {
        if let Some(id) = self.unwritten.remove(&attempt) {
            self.marks_written(scope, id);
            self.tell_connection(scope, id, Input::Written);
        }
    }

    pub(super) fn connections_time_out(&mut self, scope: &mut Scope<'_>) {
        let now = Self::now(scope);
        let due: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, task)| task.deadline().is_some_and(|at| at <= now.mono))
            .map(|(&id, _)| id)
            .collect();
        for id in due {
            let Some(task) = self.connections.get_mut(&id) else { continue };
            match task.at {
                At::Connecting(_) => {
                    self.drop_socket(scope, id);
                    self.tell_connection(scope, id, Input::Lost(Loss::TimedOut));
                }
                At::Writing(_) => self.write_failed(scope, id),
                At::Parked(_) => self.tell_connection(scope, id, Input::Retire),
                At::Waiting | At::Securing(_) => {
                    task.at = At::Waiting;
                    let before = (task.machine.stage(), task.machine.delivery_stage());
                    task.machine.handle_timeout(now);
                    note_edges(scope, before, &task.machine);
                    self.drain_connection(scope, id);
                }
                At::Busy => {}
            }
        }
    }
}

/// Which edges of the tables of core the machine has just taken.
fn note_edges(scope: &mut Scope<'_>, (outbound, delivery): (u8, Option<u8>), machine: &Outbound) {
    let edges = &mut scope.fabric.edges;
    edges.note(Watched::Outbound, outbound, machine.stage());
    if let (Some(from), Some(to)) = (delivery, machine.delivery_stage()) {
        edges.note(Watched::Delivery, from, to);
    }
}
