//! Where each room's output goes: an effect for the driver, or another room's input.
//!
//! ```text
//! Idle ─▶ Searching ─▶ Connecting ─▶ Talking ─▶ Writing ─▶ Parked | Leaving ─▶ Idle
//!             ▲             │            │
//!             └── next host ┴── Progress ┘
//! ```

use super::job::Job;
use super::{ConnectionKey, Effect, Endpoint, Input, TlsDemand};
use crate::ask::{Answer, Facts, Pause, Question};
use crate::delivery::{
    self, Delivery, Destination, Ended, Found, Host, Loss, Params, Peer, Protocol, Search, TlsLevel,
};
use crate::event::Event;
use crate::limits::QUESTIONS_PER_DECISION_MAX;
use crate::machine::{Machine, Outbox};
use crate::mail::{Attempt, Diagnosis};
use crate::params::Settings;
use crate::prng::Prng;
use crate::time::{Duration, Instant, Now};
use crate::wire::EnhancedStatus;
use std::net::IpAddr;
use std::sync::Arc;

/// How much later than its own time-out a driver may tell of it, before we stop waiting.
const CONNECT_GRACE: Duration = Duration::from_secs(5);

/// What one transport needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Config {
    /// The parameters.
    pub params: Arc<Params>,
    /// The addresses of this host's interfaces, as the driver found them: mail to them would loop.
    pub local_addresses: Vec<IpAddr>,
}

impl Config {
    /// From the settings of a service of master.cf whose command is `smtp`, `relay` or `lmtp`.
    #[must_use]
    pub fn new(settings: &Settings, protocol: Protocol, local_addresses: Vec<IpAddr>) -> Self {
        Self { params: Arc::new(Params::new(settings, protocol)), local_addresses }
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

    fn attempt(&mut self, now: Now, attempt: Attempt) {
        if !self.is_idle() {
            debug_assert!(false, "the driver brought an attempt while another one runs");
            return;
        }
        let job = Job::new(Arc::new(attempt), &self.config.params, now.mono);
        let fits = |c: &Connection| {
            c.transport == job.attempt.transport && c.nexthop == job.attempt.nexthop && c.delivery.is_ready()
        };
        let kept = self.connection.take().filter(fits);
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

    /// Connects to the next host, or looks for the hosts of the next site, or ends.
    fn next_host(&mut self, now: Now) {
        self.connection = None;
        let Some(job) = &mut self.job else { return };
        if job.remaining().is_empty() {
            return self.settle(now);
        }
        if let Some(host) = job.hosts.pop_front() {
            let endpoint = self.endpoint(&host);
            let peer = Peer {
                name: host.name.clone(),
                address: host.address.to_string(),
                port: Some(host.port),
                best: host.best,
                nexthop: self.nexthop(),
            };
            let level = self.config.params.tls.clone();
            return self.connect(now, peer, Some(host), endpoint, level);
        }
        match job.sites.pop_front() {
            Some(site) => {
                job.site = Some(site);
                job.sessions = 0;
                self.facts.clear();
                self.search_seed = self.prng.next_u64();
                self.search(now, None);
            }
            None => self.settle(now),
        }
    }

    fn nexthop(&self) -> String {
        let site = self.job.as_ref().and_then(|job| job.site.as_ref());
        site.map_or_else(String::new, |site| site.text.clone())
    }

    fn endpoint(&self, host: &Host) -> Endpoint {
        let hosts = &self.config.params.hosts;
        let bind = if host.address.is_ipv4() { hosts.bind_address } else { hosts.bind_address6 };
        let bind = bind.filter(|bind| bind.is_ipv4() == host.address.is_ipv4());
        Endpoint::Inet { address: host.address, port: host.port, bind }
    }

    fn connect(&mut self, now: Now, peer: Peer, host: Option<Host>, endpoint: Endpoint, level: TlsLevel) {
        let timeout = self.config.params.timeouts.connect;
        let deadline = (timeout > Duration::ZERO).then(|| now.mono.after(timeout + CONNECT_GRACE));
        self.out.put(Effect::Connect { endpoint: endpoint.clone(), timeout });
        self.wanted = Some((peer, host, endpoint, level));
        self.stage = Stage::Connecting(deadline);
    }

    /// `answered` is the question that was just answered: one that comes again was not answered in its kind.
    fn search(&mut self, now: Now, answered: Option<&Question>) {
        let (params, text) = (Arc::clone(&self.config.params), self.nexthop());
        let Ok(destination) = Destination::parse(&text, params.protocol, params.hosts.default_port) else {
            let text = format!("bad destination: {text}");
            return self.nowhere(now, &Diagnosis::ours(EnhancedStatus::new(4, 3, 5), text), false);
        };
        if let Destination::Unix(path) = destination {
            let (name, nexthop) = (params.hostname.clone(), text);
            let peer = Peer { name, address: path.clone(), port: None, best: true, nexthop };
            return self.connect(now, peer, None, Endpoint::Unix(path), params.tls.clone());
        }
        let config = Arc::clone(&self.config);
        let search = Search {
            params: &params.hosts,
            protocol: params.protocol,
            local: &config.local_addresses,
            seed: self.search_seed,
        };
        let found = match destination.hosts(search, &self.facts) {
            Err(Pause::Need(question))
                if self.facts.len() < QUESTIONS_PER_DECISION_MAX && answered != Some(&question) =>
            {
                self.out.put(Effect::Ask(question.clone()));
                self.stage = Stage::Searching(question);
                return;
            }
            Ok(Some(found)) => found,
            Ok(None) | Err(_) => {
                let text = format!("unable to look up host {text}");
                let diagnosis = Diagnosis::ours(EnhancedStatus::new(4, 4, 3), text);
                Found::Nowhere { diagnosis, last: false }
            }
        };
        self.found(now, found);
    }

    fn found(&mut self, now: Now, found: Found) {
        match found {
            Found::Nowhere { diagnosis, last } => self.nowhere(now, &diagnosis, last),
            Found::Hosts { hosts, we_are_mx } => {
                let Some(job) = &mut self.job else { return };
                if we_are_mx {
                    job.sites.clear();
                }
                let limit = usize::try_from(self.config.params.hosts.mx_address_limit).unwrap_or(0);
                let limit = if limit == 0 { usize::MAX } else { limit };
                let tried = job.tried.take();
                let fresh = |host: &Host| {
                    tried.as_ref().is_none_or(|t| (t.address, t.port) != (host.address, host.port))
                };
                job.hosts = hosts.into_iter().filter(fresh).take(limit).collect();
                self.next_host(now);
            }
        }
    }

    fn nowhere(&mut self, now: Now, diagnosis: &Diagnosis, last: bool) {
        let Some(job) = &mut self.job else { return };
        job.put_off_all(diagnosis);
        if last {
            job.sites.clear();
        }
        self.next_host(now);
    }

    fn demand(level: &TlsLevel, peer: &Peer) -> TlsDemand {
        let name = peer.name.clone();
        match level {
            TlsLevel::None => TlsDemand::None,
            TlsLevel::May => TlsDemand::Opportunistic { name },
            TlsLevel::Encrypt | TlsLevel::Unsupported(_) => TlsDemand::Encrypt { name },
        }
    }

    fn connected(&mut self, now: Now) {
        let (Some((peer, host, endpoint, level)), Some(job)) = (self.wanted.take(), &self.job) else {
            return;
        };
        let demand = Self::demand(&level, &peer);
        let params = Arc::clone(&self.config.params);
        self.connection = Some(Connection {
            delivery: Delivery::new(params, peer, level.clone(), job.transaction(), now),
            host,
            endpoint,
            demand,
            transport: job.attempt.transport.clone(),
            nexthop: job.attempt.nexthop.clone(),
            opened: now.mono,
            uses: 0,
            level,
        });
        self.stage = Stage::Talking;
    }

    fn not_connected(&mut self, now: Now, loss: &Loss) {
        let Some((peer, ..)) = self.wanted.take() else { return };
        let text = format!("connect to {}: {}", peer.relay(), loss.words());
        let diagnosis = Diagnosis::ours(EnhancedStatus::new(4, 4, 1), text.clone());
        if let Some(job) = &mut self.job {
            job.put_off_all(&diagnosis);
        }
        self.note(text);
        self.next_host(now);
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
            (delivery::Output::Event(event), _) => self.out.put(Effect::Event(event)),
            (delivery::Output::Read(restart), Some(job)) => {
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
            self.connection = None;
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
        if let Some(parameter) = blame {
            let text = format!("{parameter} configuration problem");
            let program = self.config.params.protocol.program();
            self.out.put(Effect::Event(Event::Warning { program, id: Some(job.attempt.message), text }));
        }
        let settled = job.settle(now.mono, blame);
        self.stage = Stage::Writing;
        self.out.put(Effect::Settle(Box::new(settled)));
    }

    /// The outcomes are written: keep the connection, or leave it.
    fn written(&mut self, now: Now) {
        let Some(job) = self.job.take() else { return };
        let cache = &self.config.params.cache;
        let wanted = (job.attempt.keep_connection && cache.on_demand) || job.is_listed(&self.config.params);
        let fit = |connection: &&mut Connection| {
            let young = now.mono.since(connection.opened) < cache.reuse_time_limit;
            let used = cache.reuse_count_limit > 0 && connection.uses >= cache.reuse_count_limit;
            wanted && young && !used && connection.delivery.is_ready()
        };
        let Some(connection) = self.connection.as_mut().filter(fit) else {
            return self.leave(now, AfterQuit::Idle);
        };
        let key = ConnectionKey {
            transport: connection.transport.clone(),
            endpoint: connection.endpoint.clone(),
            tls: Self::demand(&connection.level, connection.delivery.peer()),
        };
        let until = now.mono.after(cache.time_limit).min(connection.opened.after(cache.reuse_time_limit));
        self.stage = Stage::Parked(until);
        self.out.put(Effect::Park(key));
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

    /// The delivery is over, whoever ended it.
    fn closed(&mut self, now: Now) {
        self.connection = None;
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

    fn answer(&mut self, now: Now, answer: Answer) {
        let Stage::Searching(question) = &self.stage else { return };
        let question = question.clone();
        self.facts.learn(question.clone(), answer);
        self.search(now, Some(&question));
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
            Input::Content(octets) => self.tell(now, delivery::Input::Content(octets)),
            Input::ContentLost(why) => self.tell(now, delivery::Input::ContentLost(why)),
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
