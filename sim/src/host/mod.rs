//! A whole Postrider host out of core's machines, with the joints that ship.
//!
//! It does what the runtime does and no more: carries out effects and brings their results. Its tasks are entries in maps, its channels one queue
//! of [`Work`], its disk, network and clock the world's. Rooms: `sessions` (inbound), `connections` (outbound), `office` (manager),
//! `orders` (operators), `reports` and `requeue` (submission), `spool` (log, staging, reading), `names` (resolver), `site` (configuration),
//! `waits` (what is left to do, in words).

mod connections;
mod names;
mod office;
mod orders;
mod reports;
mod requeue;
mod sessions;
mod site;
mod spool;
mod waits;

pub use site::{Site, Wrong};

use crate::faults::Class;
use crate::kernel::Planned;
use crate::network::{Arrival, NodeId, Socket};
use crate::world::{Actor, Fabric, Scope, Word};
use postrider_core::ask::{Answer, Question};
use postrider_core::event::{DeliveryStatus, Event};
use postrider_core::machine::Machine;
use postrider_core::mail::{AttemptId, QueueId, QueueIds, Refusal};
use postrider_core::manager::{self, Manager};
use postrider_core::outbound::Kept;
use postrider_core::prng::Prng;
use postrider_core::queue::{self, DiskError, Done, Log};
use postrider_core::report::Allowance;
use postrider_core::time::{Instant, Now};
use postrider_core::{ask, dns};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A task of the host that waits for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Session(Socket),
    Connection(u64),
    Report(u64),
    Routing(u64),
}

/// What a socket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Session,
    Connection(u64),
    Query(dns::QueryId),
}

/// Something that one task has for another.
#[derive(Debug)]
enum Work {
    Answer(Who, Answer),
    Identify(Who),
    Committed(Who, Result<(), Refusal>),
    Content(Who, Result<Vec<u8>, String>),
    Manager(manager::Input),
    Log(queue::Input),
    Written(AttemptId),
    /// The kernel has taken all octets of a connection.
    Drained(u64),
    /// Look at what has come while you were busy.
    Wake(Who),
}

/// A host: its configuration, and while it is up, everything that it has in memory.
#[derive(Debug)]
pub struct Host {
    /// All that an operator may have it use.
    sites: Vec<Arc<Site>>,
    /// The one that it uses, or will use when it starts.
    site: Arc<Site>,
    live: Option<Box<Live>>,
    /// What the operator had in mind when the host went down.
    operator: orders::Operator,
}

/// Everything that a crash forgets.
#[derive(Debug)]
struct Live {
    site: Arc<Site>,
    /// What the site says of them, with configurations that are new with each start and reload.
    transports: BTreeMap<String, site::Agent>,
    /// When the configuration was exchanged last, or the host started.
    reloaded: Instant,
    /// When an attempt for a destination ended last, by transport and next hop, where there is to be a pause behind it.
    ended: BTreeMap<(String, String), Instant>,
    log: Log,
    manager: Manager,
    resolver: dns::Resolver,
    /// Known once the spool is open.
    ids: Option<QueueIds>,
    /// Tasks are large, and maps move what they hold about.
    sessions: BTreeMap<Socket, Box<sessions::Task>>,
    connections: BTreeMap<u64, Box<connections::Task>>,
    /// Those that wait for another attempt.
    kept: Kept<u64>,
    reports: BTreeMap<u64, reports::Task>,
    /// Notices to the postmaster that may still be sent.
    allowance: Allowance,
    routings: BTreeMap<u64, office::Routing>,
    owners: BTreeMap<Socket, Owner>,
    names: names::Desk,
    spool: spool::Desk,
    /// Attempts whose outcomes are being written, and the connection that waits.
    unwritten: BTreeMap<AttemptId, u64>,
    work: VecDeque<Work>,
    alarm: Option<(Instant, Planned)>,
    /// When log, manager and resolver want to be told that time has passed; `None`: they have heard something since it was asked.
    due: [Option<Option<Instant>>; 3],
    last: u64,
    /// Why each message was put off last, since the start.
    put_off: BTreeMap<QueueId, String>,
    /// Lookup tables do not answer.
    tables_fail: bool,
    operator: orders::Operator,
}

impl Host {
    /// A host of this configuration.
    #[must_use]
    pub fn new(site: Arc<Site>) -> Self {
        Self { sites: vec![Arc::clone(&site)], site, live: None, operator: orders::Operator::default() }
    }

    /// The same, with another configuration that an operator may have it use: number 1.
    #[must_use]
    pub fn with_other(mut self, other: Arc<Site>) -> Self {
        self.sites.push(other);
        self
    }

    /// Messages that it answers for; `None` while it is down.
    #[must_use]
    pub fn messages(&self) -> Option<usize> {
        self.live.as_ref().map(|live| live.manager.messages())
    }

    fn with(&mut self, scope: &mut Scope<'_>, act: impl FnOnce(&mut Live, &mut Scope<'_>)) {
        if let Some(live) = &mut self.live {
            act(live, scope);
            live.work_off(scope);
            live.set_alarm(scope);
        }
    }
}

impl Actor for Host {
    fn boot(&mut self, scope: &mut Scope<'_>) {
        let site = Arc::clone(&self.site);
        let (log_seed, manager_seed) = (scope.prng().next_u64(), scope.prng().next_u64());
        let mut manager = Manager::new(site.manager.clone(), Prng::new(manager_seed));
        manager.listen_to_edges();
        let live = Live {
            log: Log::new(site.queue, log_seed),
            manager,
            resolver: dns::Resolver::new(site.dns.clone()),
            transports: site.fresh_transports(),
            reloaded: scope.fabric.kernel.now(),
            ended: BTreeMap::new(),
            site,
            ids: None,
            sessions: BTreeMap::new(),
            connections: BTreeMap::new(),
            kept: Kept::default(),
            reports: BTreeMap::new(),
            allowance: Allowance::default(),
            routings: BTreeMap::new(),
            owners: BTreeMap::new(),
            names: names::Desk::default(),
            spool: spool::Desk::default(),
            unwritten: BTreeMap::new(),
            work: VecDeque::new(),
            alarm: None,
            due: [None; 3],
            last: 0,
            put_off: BTreeMap::new(),
            tables_fail: false,
            operator: self.operator,
        };
        live.promise(scope);
        self.live = Some(Box::new(live));
        self.with(scope, |live, scope| {
            live.work.push_back(Work::Log(queue::Input::Open));
            if live.operator.releasing {
                live.release_all(scope);
            }
        });
    }

    fn arrival(&mut self, scope: &mut Scope<'_>, arrival: Arrival) {
        self.with(scope, |live, scope| live.arrival(scope, arrival));
    }

    fn timer(&mut self, scope: &mut Scope<'_>, _tag: u64) {
        self.with(scope, |live, scope| {
            live.alarm = None;
            live.time_passes(scope);
        });
    }

    fn disk(&mut self, scope: &mut Scope<'_>, tag: u64, result: Result<Done, DiskError>) {
        self.with(scope, |live, scope| live.disk_did(scope, tag, result));
    }

    fn crash(&mut self) {
        if let Some(live) = self.live.take() {
            self.operator = live.operator.after_crash();
        }
    }

    fn told(&mut self, scope: &mut Scope<'_>, word: Word) {
        let wanted = match word {
            Word::Reload(number) => self.sites.get(number).cloned(),
            _ => None,
        };
        if let Some(site) = &wanted {
            self.site = Arc::clone(site);
        }
        self.with(scope, |live, scope| match word {
            Word::Reload(_) => wanted.into_iter().for_each(|site| live.reload(scope, site)),
            Word::Behave | Word::Flush => live.flush(scope),
            Word::Requeue => live.requeue_all(),
            Word::Hold => live.hold_all(),
            Word::Release => live.release_all(scope),
            Word::Delete(choice) => live.delete_one(choice),
            Word::Tables(fail) => live.tables_fail = fail,
            Word::Refuse | Word::Persist => {}
        });
    }

    fn pending(&self, node: NodeId, fabric: &Fabric) -> Option<String> {
        match &self.live {
            Some(live) => live.waits(node, fabric),
            None => Some("down; it starts again within two minutes".to_owned()),
        }
    }
}

impl Live {
    /// The oracle hears what the host lives by from now on.
    fn promise(&self, scope: &mut Scope<'_>) {
        let Site { lifetimes, encrypts, relays, size_limit, manager, .. } = &*self.site;
        scope.fabric.ledger.limit(*size_limit);
        scope.fabric.ledger.host(scope.node, *lifetimes, (*encrypts, *relays), manager.retry.minimal_backoff);
    }

    fn now(scope: &Scope<'_>) -> Now {
        scope.now()
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn issue(&mut self, scope: &mut Scope<'_>) -> QueueId {
        let wall = Self::now(scope).wall;
        let id = self.ids.as_mut().map_or_else(QueueId::default, |ids| ids.issue(wall));
        scope.fabric.ledger.issued(scope.node, id.0);
        id
    }

    fn event(&mut self, scope: &mut Scope<'_>, event: &Event) {
        let now = scope.fabric.kernel.now();
        let ledger = &mut scope.fabric.ledger;
        match event {
            Event::Ordered { .. } => self.overhear_order(scope, event),
            Event::Expired { id, .. } => ledger.expired(scope.node, &id.to_string(), now),
            Event::Delivery { id, recipient, status: DeliveryStatus::Deferred, text, .. } => {
                ledger.put_off(scope.node, *id, recipient, now);
                self.put_off.insert(*id, text.clone());
            }
            Event::Removed { id } => _ = self.put_off.remove(id),
            Event::Delivery { id, status: DeliveryStatus::Bounced, .. } => ledger.bounced(&id.to_string()),
            _ => {}
        }
        let fate = |event: &Event| {
            matches!(
                event,
                Event::Delivery { .. }
                    | Event::Expired { .. }
                    | Event::Reported { .. }
                    | Event::Removed { .. }
                    | Event::Warning { .. }
                    | Event::Trouble { .. }
            )
        };
        if let Some(logged) = scope.fabric.logged.as_mut().filter(|_| fate(event)) {
            logged.push((now, event.clone()));
        }
        let number = event.queue_id().map_or(0, |id| id.0);
        scope.note(4, &[number, crate::kernel::hash(event.name().as_bytes())], || {
            format!("{}: {}", event.program(), event.text())
        });
    }

    /// Does what tasks have for one another until nothing is left.
    fn work_off(&mut self, scope: &mut Scope<'_>) {
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Answer(who, answer) => self.answered(scope, who, answer),
                Work::Identify(who) => self.identified(scope, who),
                Work::Committed(who, result) => self.committed(scope, who, result),
                Work::Content(who, content) => self.content(scope, who, content),
                Work::Manager(input) => self.tell_manager(scope, input),
                Work::Log(input) => self.tell_log(scope, input),
                Work::Written(id) => self.written(scope, id),
                Work::Drained(id) => self.drained(scope, id),
                Work::Wake(Who::Session(socket)) => self.wake_session(scope, socket),
                Work::Wake(Who::Connection(id)) => self.wake_connection(scope, id),
                Work::Wake(Who::Report(id)) => self.wake_report(scope, id),
                Work::Wake(Who::Routing(_)) => {}
            }
        }
    }

    fn arrival(&mut self, scope: &mut Scope<'_>, arrival: Arrival) {
        let socket = match &arrival {
            Arrival::Accepted { socket, peer, .. } => return self.accept(scope, *socket, *peer),
            Arrival::Datagram { port, from, octets } => return self.datagram(scope, *port, *from, octets),
            Arrival::Unreachable(port) => return self.unreachable(scope, *port),
            Arrival::Connected(socket)
            | Arrival::NotConnected(socket, _)
            | Arrival::Octets(socket, _)
            | Arrival::End(socket)
            | Arrival::Gone(socket, _)
            | Arrival::Drained(socket) => *socket,
        };
        match self.owners.get(&socket).copied() {
            Some(Owner::Session) => self.session_arrival(socket, arrival),
            Some(Owner::Connection(id)) => self.connection_arrival(scope, id, arrival),
            Some(Owner::Query(query)) => self.query_arrival(scope, socket, query, arrival),
            None => scope.close(socket),
        }
    }

    /// Answers a question of a task.
    fn ask(&mut self, scope: &mut Scope<'_>, who: Who, question: &Question) {
        let answer = match question {
            Question::Lookup { table, .. } if self.tables_fail => {
                scope.fired(Class::TableFails);
                Answer::Lookup(Err(broken(table)))
            }
            Question::Lookup { table, key } => Answer::Lookup(self.site.lookup(table, key)),
            Question::ListedHost { .. } => Answer::ListedHost(Ok(Vec::new())),
            Question::ListedName { .. } => Answer::ListedName(Ok(None)),
            Question::FreeSpace => Answer::FreeSpace(scope.free()),
            Question::Resolve { name, kind } => return self.resolve(scope, who, name, *kind),
        };
        self.work.push_back(Work::Answer(who, answer));
    }

    fn answered(&mut self, scope: &mut Scope<'_>, who: Who, answer: Answer) {
        match who {
            Who::Session(socket) => self.session_answered(scope, socket, answer),
            Who::Connection(id) => self.connection_answered(scope, id, answer),
            Who::Report(id) => self.report_answered(scope, id, answer),
            Who::Routing(id) => self.routing_answered(scope, id, answer),
        }
    }

    fn identified(&mut self, scope: &mut Scope<'_>, who: Who) {
        let id = self.issue(scope);
        match who {
            Who::Report(report) => self.report_identified(scope, report, id),
            Who::Session(_) | Who::Connection(_) | Who::Routing(_) => {}
        }
    }

    fn committed(&mut self, scope: &mut Scope<'_>, who: Who, result: Result<(), Refusal>) {
        match who {
            Who::Session(socket) => self.session_committed(scope, socket, result),
            Who::Report(id) => self.report_committed(scope, id, result),
            Who::Connection(id) => self.progress_written(scope, id, result.is_ok()),
            Who::Routing(_) => {}
        }
    }

    fn content(&mut self, scope: &mut Scope<'_>, who: Who, content: Result<Vec<u8>, String>) {
        match who {
            Who::Connection(id) => self.connection_content(scope, id, content),
            Who::Report(id) => self.report_content(scope, id, content),
            Who::Session(_) | Who::Routing(_) => {}
        }
    }

    fn time_passes(&mut self, scope: &mut Scope<'_>) {
        let now = Self::now(scope);
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.mono);
        if due(self.log_due()) {
            self.log.handle_timeout(now);
            self.drain_log(scope);
        }
        if due(self.manager_due()) {
            self.manager.handle_timeout(now);
            self.drain_manager(scope);
        }
        if due(self.resolver_due()) {
            self.resolver.handle_timeout(now);
            self.drain_resolver(scope);
        }
        self.sessions_time_out(scope);
        self.connections_time_out(scope);
        self.operator_returns(scope);
    }

    fn log_due(&mut self) -> Option<Instant> {
        *self.due[0].get_or_insert_with(|| self.log.next_timeout())
    }

    fn manager_due(&mut self) -> Option<Instant> {
        *self.due[1].get_or_insert_with(|| self.manager.next_timeout())
    }

    fn resolver_due(&mut self) -> Option<Instant> {
        *self.due[2].get_or_insert_with(|| self.resolver.next_timeout())
    }

    fn set_alarm(&mut self, scope: &mut Scope<'_>) {
        let machines = [self.log_due(), self.manager_due(), self.resolver_due(), self.operator.deadline()];
        let mut next = machines.into_iter().flatten().min();
        let mut sooner = |at: Option<Instant>| {
            if at.is_some_and(|at| next.is_none_or(|next| at < next)) {
                next = at;
            }
        };
        self.sessions.values().for_each(|task| sooner(task.deadline()));
        self.connections.values().for_each(|task| sooner(task.deadline()));
        if self.alarm.as_ref().map(|alarm| alarm.0) == next {
            return;
        }
        if let Some((_, planned)) = self.alarm.take() {
            scope.cancel(planned);
        }
        if let Some(at) = next {
            self.alarm = Some((at, scope.timer_at(at, 0)));
        }
    }
}

/// Why a table did not answer, where the world says so.
fn broken(table: &ask::TableName) -> ask::TableFailure {
    ask::TableFailure { table: table.clone(), why: "no such table in the simulation".to_owned() }
}
