//! Where each room's output goes: an effect for the driver, or another room's input.
//!
//! ```text
//! Idle ─▶ Searching ─▶ Connecting ─▶ Talking ─▶ Writing ─▶ Parked | Leaving ─▶ Idle
//!             ▲             │            │
//!             └── next host ┴── Progress ┘
//! ```

mod seek;
mod stages;

pub use stages::STAGES;

use super::job::Job;
use super::{Effect, Endpoint, Input, Purpose, TlsDemand};
use crate::ask::{Facts, Question};
use crate::delivery::{self, Delivery, Ended, Host, Loss, Params, Peer, Protocol, TlsLevel};
use crate::event::Event;
use crate::machine::{Machine, Outbox};
use crate::mail::{Attempt, Diagnosis};
use crate::params::Settings;
use crate::prng::Prng;
use crate::time::{Instant, Now};
use crate::wire::EnhancedStatus;
use std::net::IpAddr;
use std::sync::Arc;

/// What one transport needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Config {
    /// The parameters.
    pub params: Arc<Params>,
    /// The addresses of this host's interfaces, as the driver found them: mail to them would loop.
    pub local_addresses: Vec<IpAddr>,
    /// Where mail leaves from unless a parameter says otherwise; at most one of each protocol.
    pub sources: Vec<IpAddr>,
}

impl Config {
    /// From the settings of a service of master.cf whose command is `smtp`, `relay` or `lmtp`.
    #[must_use]
    pub fn new(settings: &Settings, protocol: Protocol, local_addresses: Vec<IpAddr>) -> Self {
        Self { params: Arc::new(Params::new(settings, protocol)), local_addresses, sources: Vec::new() }
    }

    /// The same for a host that receives mail at these addresses (inet_interfaces). One that is the only one of its protocol is where mail
    /// leaves from, so that a virtual host is the same from both sides; loopback leads nowhere.
    #[must_use]
    pub fn sending_from(self, own: &[IpAddr]) -> Self {
        let only = |is_kind: fn(&IpAddr) -> bool| {
            let mut addresses = own.iter().copied().filter(is_kind);
            addresses.next().filter(|first| addresses.next().is_none() && !first.is_loopback())
        };
        let sources = [only(IpAddr::is_ipv4), only(IpAddr::is_ipv6)].into_iter().flatten().collect();
        Self { sources, ..self }
    }

    /// The same without `best_mx_transport`.
    #[must_use]
    pub fn without_best_mx(&self) -> Self {
        let mut params = (*self.params).clone();
        params.hosts.best_mx_transport.clear();
        Self { params: Arc::new(params), ..self.clone() }
    }
}

/// What the joint waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Stage {
    /// An attempt; there is no connection.
    Idle,
    /// The answer to this.
    Searching(Question),
    /// A connection, or the news that there is none, until then at the latest.
    Connecting(Option<Instant>),
    /// The delivery.
    Talking,
    /// [`Input::Written`] for a part; then the next host.
    Progressing,
    /// What another transport makes of mail for which we are the best mail exchanger.
    HandingOver,
    /// [`Input::Written`]; then the connection is kept or left.
    Writing,
    /// The server's answer to QUIT, before the next host or before the end.
    Leaving { then: AfterQuit },
    /// An attempt, on the kept connection, until then.
    Parked(Instant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AfterQuit {
    NextHost,
    Idle,
}

/// The connection of the delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Connection {
    delivery: Delivery,
    host: Option<Host>,
    endpoint: Endpoint,
    demand: TlsDemand,
    transport: String,
    nexthop: String,
    opened: Instant,
    /// Attempts that it has served before.
    uses: u64,
    /// Level of TLS that it was made with.
    level: TlsLevel,
    /// Its destination is one whose connections are always kept.
    listed: bool,
}

/// One outbound attempt after another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outbound {
    config: Arc<Config>,
    prng: Prng,
    stage: Stage,
    job: Option<Job>,
    facts: Facts,
    /// Chance for the present search; the same at each of its runs.
    search_seed: u64,
    /// The connection that is wanted or open.
    connection: Option<Connection>,
    /// Wanted: peer, endpoint and level of a connection on its way.
    wanted: Option<(Peer, Option<Host>, Endpoint, TlsLevel)>,
    /// [`Effect::Read`]s that have not been answered, and how many of those, the oldest, were for a connection that is gone:
    /// their octets must not end up in the next one's message.
    reads: u32,
    stale_reads: u32,
    out: Outbox<Effect>,
}

impl Outbound {
    /// Idle. Chance (the order among equal hosts) comes from `seed`.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: u64) -> Self {
        Self {
            config,
            prng: Prng::new(seed),
            stage: Stage::Idle,
            job: None,
            facts: Facts::new(),
            search_seed: 0,
            connection: None,
            wanted: None,
            reads: 0,
            stale_reads: 0,
            out: Outbox::new(),
        }
    }

    /// True when it takes an [`Input::Attempt`].
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle | Stage::Parked(_))
    }

    fn note(&mut self, text: String) {
        self.out.put(Effect::Event(Event::Note { program: self.config.params.protocol.program(), text }));
    }

    fn warn(&mut self, text: String) {
        let (program, id) =
            (self.config.params.protocol.program(), self.job.as_ref().map(|job| job.attempt.message));
        self.out.put(Effect::Event(Event::Warning { program, id, text }));
    }

    fn attempt(&mut self, now: Now, attempt: Attempt) {
        if !self.is_idle() {
            debug_assert!(false, "the driver brought an attempt while another one runs");
            return;
        }
        let job = Job::new(Arc::new(attempt), &self.config.params, now.mono);
        let fits = |c: &Connection| {
            let same = c.transport == job.attempt.transport && c.nexthop == job.attempt.nexthop;
            (same || planted!(KeptForAnyone)) && c.delivery.is_ready()
        };
        let kept = if self.connection.as_ref().is_some_and(fits) {
            self.connection.take()
        } else {
            self.part();
            None
        };
        let transaction = job.transaction();
        self.job = Some(job);
        if let TlsLevel::Unsupported(level) = &self.config.params.tls {
            let name = self.config.params.protocol.program();
            let text = format!("{name}_tls_security_level = {level} does not work yet");
            return self.give_up(now, &Diagnosis::ours(EnhancedStatus::new(4, 7, 0), text));
        }
        match kept {
            Some(connection) => {
                self.connection = Some(connection);
                self.stage = Stage::Talking;
                self.tell(now, delivery::Input::Again(Box::new(transaction)));
            }
            None => self.next_host(now),
        }
    }

    /// Ends the attempt for all that remain.
    fn give_up(&mut self, now: Now, diagnosis: &Diagnosis) {
        if let Some(job) = &mut self.job {
            job.put_off_all(diagnosis);
            job.sites.clear();
            job.hosts.clear();
        }
        self.settle(now);
    }

    /// Hands an input to the delivery, and its outputs to whom they are for.
    fn tell(&mut self, now: Now, input: delivery::Input<'_>) {
        let Some(connection) = &mut self.connection else { return };
        connection.delivery.handle_input(now, input);
        self.drain(now);
    }

    fn drain(&mut self, now: Now) {
        // The delivery is drained before its end is acted upon: that may tell it something new.
        let (mut ended, mut over) = (None, false);
        while let Some(output) = self.connection.as_mut().and_then(|c| c.delivery.poll_output()) {
            match output {
                delivery::Output::Ended(end) => ended = Some(end),
                delivery::Output::Close => over = true,
                output => self.pass_on(now, output),
            }
        }
        if let Some(ended) = ended {
            self.ended(now, *ended);
        }
        if over {
            self.closed(now);
        }
    }

    fn pass_on(&mut self, now: Now, output: delivery::Output) {
        match (output, &mut self.job) {
            (delivery::Output::Send(octets), _) => self.out.put(Effect::Send(octets)),
            (delivery::Output::Event(event), _) => self.out.put(Effect::Event(*event)),
            (delivery::Output::Read(restart), Some(job)) => {
                if restart {
                    self.stale_reads = self.reads;
                }
                self.reads = self.reads.saturating_add(1);
                self.out.put(Effect::Read { message: job.attempt.message, restart });
            }
            (delivery::Output::StartTls, _) => {
                let demand = self.connection.as_ref().map_or(TlsDemand::None, |c| c.demand.clone());
                self.out.put(Effect::StartTls(demand));
            }
            (delivery::Output::Began, Some(job)) => job.began(now.mono),
            _ => {}
        }
    }

    fn ended(&mut self, now: Now, ended: Ended) {
        let (Some(job), Some(connection)) = (&mut self.job, &mut self.connection) else { return };
        if ended.tls_failed {
            // In the clear, on a connection that nobody tampered with yet (postconf(5), smtp_tls_security_level = may).
            let (peer, host) = (connection.delivery.peer().clone(), connection.host.clone());
            let endpoint = connection.endpoint.clone();
            self.part();
            return self.connect(now, peer, host, endpoint, TlsLevel::None);
        }
        let reused = connection.uses > 0;
        if reused && ended.host_bad && !ended.mail_answered {
            // The kept connection had gone bad: that says nothing of the message or the destination.
            return self.next_host(now);
        }
        if reused {
            job.tried.clone_from(&connection.host);
        }
        connection.uses += 1;
        let ready = ended.ready;
        let reasons = job.take(ended, now.mono);
        let limit = self.config.params.hosts.mx_session_limit;
        job.sessions += u64::from(ready);
        if limit > 0 && job.sessions >= limit {
            job.hosts.clear();
        }
        if job.remaining().is_empty() || !job.may_go_on() {
            return self.settle(now);
        }
        let (id, progress) = (job.attempt.message, job.has_outcomes());
        let so_far = job.so_far(now.mono);
        reasons.into_iter().for_each(|reason| self.note(format!("{id}: {reason}")));
        if progress {
            self.out.put(Effect::Progress(Box::new(so_far)));
            self.stage = Stage::Progressing;
        } else {
            self.leave(now, AfterQuit::NextHost);
        }
    }

    fn settle(&mut self, now: Now) {
        let Some(job) = &mut self.job else { return };
        let blame = job.site.as_ref().and_then(|site| site.blame).filter(|_| job.would_fail());
        let settled = job.settle(now.mono, blame);
        if let Some(parameter) = blame {
            self.warn(format!("{parameter} configuration problem"));
        }
        self.stage = Stage::Writing;
        self.out.put(Effect::Settle(Box::new(settled)));
    }

    /// The outcomes are written: keep the connection, or leave it.
    fn written(&mut self, now: Now) {
        let Some(job) = self.job.take() else { return };
        let cache = &self.config.params.cache;
        let listed = self.connection.as_ref().is_some_and(|connection| connection.listed);
        let wanted = (job.attempt.keep_connection && cache.on_demand) || listed;
        let fit = |connection: &&mut Connection| {
            let young = now.mono.since(connection.opened) < cache.reuse_time_limit;
            let used = cache.reuse_count_limit > 0 && connection.uses >= cache.reuse_count_limit;
            wanted && young && !used && connection.delivery.is_ready()
        };
        let Some(connection) = self.connection.as_mut().filter(fit) else {
            return self.leave(now, AfterQuit::Idle);
        };
        let until = now.mono.after(cache.time_limit).min(connection.opened.after(cache.reuse_time_limit));
        let (transport, nexthop) = (connection.transport.clone(), connection.nexthop.clone());
        self.stage = Stage::Parked(until);
        let config = Arc::clone(&self.config);
        self.out.put(Effect::Park(Box::new(Purpose { transport, nexthop, config, until })));
    }

    /// The connection is no more; the postmaster hears of its troubles.
    fn part(&mut self) {
        let connection = self.connection.take();
        if let Some(notice) = connection.and_then(|mut connection| connection.delivery.take_notice()) {
            self.out.put(Effect::Notice(notice));
        }
    }

    /// Says QUIT where that can be said, then goes on.
    fn leave(&mut self, now: Now, then: AfterQuit) {
        self.stage = Stage::Leaving { then };
        if self.connection.is_some() {
            self.tell(now, delivery::Input::Quit);
        } else {
            self.closed(now);
        }
    }

    /// Counts the answer to a read; true when it is for the present message.
    const fn is_awaited_read(&mut self) -> bool {
        let due = self.reads > 0;
        let stale = self.stale_reads > 0;
        self.reads = self.reads.saturating_sub(1);
        self.stale_reads = self.stale_reads.saturating_sub(1);
        due && !stale
    }

    /// The delivery is over, whoever ended it.
    fn closed(&mut self, now: Now) {
        self.part();
        match self.stage {
            Stage::Leaving { then: AfterQuit::NextHost } => self.next_host(now),
            Stage::Leaving { then: AfterQuit::Idle } | Stage::Parked(_) => {
                self.stage = Stage::Idle;
                self.out.put(Effect::Close);
            }
            // It closes by itself only between transactions; the outcomes are on their way.
            _ => {}
        }
    }

    fn lost(&mut self, now: Now, loss: Loss) {
        match self.stage {
            Stage::Connecting(_) => self.not_connected(now, &loss),
            Stage::Idle | Stage::Searching(_) => {}
            _ => self.tell(now, delivery::Input::Lost(loss)),
        }
    }
}

impl Machine for Outbound {
    type Input<'a> = Input<'a>;
    type Output = Effect;

    fn handle_input(&mut self, now: Now, input: Input<'_>) {
        self.out.assert_drained();
        match input {
            Input::Attempt(attempt) => self.attempt(now, *attempt),
            Input::Answer(answer) => self.answer(now, answer),
            Input::Connected if matches!(self.stage, Stage::Connecting(_)) => self.connected(now),
            Input::Connected => {}
            Input::Lost(loss) => self.lost(now, loss),
            Input::Bytes(octets) => self.tell(now, delivery::Input::Bytes(octets)),
            Input::Secured(facts) => self.tell(now, delivery::Input::Secured(facts)),
            Input::TlsFailed(why) => self.tell(now, delivery::Input::TlsFailed(why)),
            Input::Drained => self.tell(now, delivery::Input::Drained),
            Input::Content(octets) if self.is_awaited_read() => {
                self.tell(now, delivery::Input::Content(octets));
            }
            Input::ContentLost(why) if self.is_awaited_read() => {
                self.tell(now, delivery::Input::ContentLost(why));
            }
            Input::Content(_) | Input::ContentLost(_) => {}
            Input::HandedOver(outcomes) if matches!(self.stage, Stage::HandingOver) => {
                if let Some(job) = &mut self.job {
                    job.take_over(outcomes);
                }
                self.settle(now);
            }
            Input::HandedOver(_) => {}
            Input::Written => match self.stage {
                Stage::Progressing => self.leave(now, AfterQuit::NextHost),
                Stage::Writing => self.written(now),
                _ => {}
            },
            Input::Retire if matches!(self.stage, Stage::Parked(_)) => self.leave(now, AfterQuit::Idle),
            Input::Retire => {}
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.out.assert_drained();
        match self.stage {
            Stage::Connecting(Some(deadline)) if deadline <= now.mono => {
                self.not_connected(now, &Loss::TimedOut);
            }
            Stage::Parked(deadline) if deadline <= now.mono => self.leave(now, AfterQuit::Idle),
            Stage::Talking | Stage::Leaving { .. } => {
                if let Some(connection) = &mut self.connection {
                    connection.delivery.handle_timeout(now);
                    self.drain(now);
                }
            }
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Option<Effect> {
        self.out.take()
    }

    fn next_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Connecting(deadline) => deadline,
            Stage::Parked(deadline) => Some(deadline),
            Stage::Talking | Stage::Leaving { .. } => {
                self.connection.as_ref().and_then(|connection| connection.delivery.next_timeout())
            }
            _ => None,
        }
    }
}
