//! Who is next: the search for hosts, and the connection to one of them.

use super::{Connection, Outbound, Stage};
use crate::ask::{Answer, Pause, Question};
use crate::delivery::{Delivery, Destination, Found, Host, Loss, Peer, SHORT, Search, TlsLevel, short};
use crate::limits::QUESTIONS_PER_DECISION_MAX;
use crate::mail::Diagnosis;
use crate::outbound::{Effect, Endpoint, TlsDemand};
use crate::time::{Duration, Now};
use crate::wire::EnhancedStatus;
use std::net::IpAddr;
use std::sync::Arc;

/// How much later than its own time-out a driver may tell of it, before we stop waiting.
const CONNECT_GRACE: Duration = Duration::from_secs(5);

/// Mail that would come back to us.
const LOOP: EnhancedStatus = EnhancedStatus::new(5, 4, 6);

impl Outbound {
    /// Connects to the next host, or looks for the hosts of the next site, or ends.
    pub(super) fn next_host(&mut self, now: Now) {
        self.part();
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
        let same_kind = |source: &&IpAddr| source.is_ipv4() == host.address.is_ipv4();
        let only = || self.config.sources.iter().find(same_kind).copied();
        let refused = |bind: &IpAddr| self.job.as_ref().is_some_and(|job| job.unbound.contains(bind));
        let bind = hosts.bind_address_for(host.address).or_else(only);
        let bind = bind.filter(|bind| self.must_bind(host.address) || !refused(bind));
        Endpoint::Inet { address: host.address, port: host.port, bind }
    }

    /// Only an address that a parameter names is insisted on, not the one that inet_interfaces happens to have.
    fn must_bind(&self, server: IpAddr) -> bool {
        let hosts = &self.config.params.hosts;
        hosts.bind_address_enforce && hosts.bind_address_for(server).is_some()
    }

    pub(super) fn connect(
        &mut self,
        now: Now,
        peer: Peer,
        host: Option<Host>,
        endpoint: Endpoint,
        level: TlsLevel,
    ) {
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
        if let Some(job) = &mut self.job {
            match job.is_listed(&params, &self.facts) {
                Ok(listed) => job.listed = listed,
                Err(Pause::Need(question)) if self.may_ask(&question, answered) => return self.ask(question),
                Err(_) => {}
            }
        }
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
            Err(Pause::Need(question)) if self.may_ask(&question, answered) => return self.ask(question),
            Ok(Some(found)) => found,
            Ok(None) | Err(_) => {
                let text = format!("unable to look up host {text}");
                let diagnosis = Diagnosis::ours(EnhancedStatus::new(4, 4, 3), text);
                Found::Nowhere { diagnosis, last: false, warning: None }
            }
        };
        self.found(now, found);
    }

    fn may_ask(&self, question: &Question, answered: Option<&Question>) -> bool {
        self.facts.len() < QUESTIONS_PER_DECISION_MAX && answered != Some(question)
    }

    fn ask(&mut self, question: Question) {
        self.out.put(Effect::Ask(question.clone()));
        self.stage = Stage::Searching(question);
    }

    fn found(&mut self, now: Now, found: Found) {
        match found {
            Found::Nowhere { diagnosis, last, warning } => {
                warning.into_iter().for_each(|text| self.warn(text));
                self.nowhere(now, &diagnosis, last);
            }
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
        if diagnosis.status == SHORT {
            return self.fall_short(now);
        }
        if last {
            job.sites.clear();
        }
        let best_mx = &self.config.params.hosts.best_mx_transport;
        if last && diagnosis.status == LOOP && !best_mx.is_empty() {
            self.stage = Stage::HandingOver;
            return self.out.put(Effect::HandOver(Box::new(job.aside(best_mx))));
        }
        self.next_host(now);
    }

    pub(super) fn demand(level: &TlsLevel, peer: &Peer) -> TlsDemand {
        let name = peer.name.clone();
        match level {
            TlsLevel::None => TlsDemand::None,
            TlsLevel::May => TlsDemand::Opportunistic { name },
            TlsLevel::Encrypt | TlsLevel::Unsupported(_) => TlsDemand::Encrypt { name },
        }
    }

    pub(super) fn connected(&mut self, now: Now) {
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
            listed: job.listed,
        });
        self.stage = Stage::Talking;
    }

    pub(super) fn not_connected(&mut self, now: Now, loss: &Loss) {
        let Some((peer, host, endpoint, level)) = self.wanted.take() else { return };
        if let (Loss::NotBound(why), &Endpoint::Inet { address, port, bind: Some(bind) }) = (loss, &endpoint)
        {
            self.not_bound(bind, why);
            if !self.must_bind(address) {
                let anywhere = Endpoint::Inet { address, port, bind: None };
                return self.connect(now, peer, host, anywhere, level);
            }
        }
        let diagnosis = if let Loss::NotBound(why) = loss {
            let text =
                format!("server configuration error: can not connect from the configured address: {why}");
            Diagnosis::ours(EnhancedStatus::new(4, 4, 0), text)
        } else if let Loss::Short(why) = loss {
            short(why)
        } else {
            let text = format!("connect to {}: {}", peer.relay(), loss.words());
            self.note(text.clone());
            Diagnosis::ours(EnhancedStatus::new(4, 4, 1), text)
        };
        if let Some(job) = &mut self.job {
            job.put_off_all(&diagnosis);
        }
        if matches!(loss, Loss::Short(_)) {
            return self.fall_short(now);
        }
        self.next_host(now);
    }

    /// What remains waits for this host to have what it lacks: another server would not change that, and none is to blame.
    fn fall_short(&mut self, now: Now) {
        if let Some(job) = &mut self.job {
            job.end_unjudged();
        }
        self.next_host(now);
    }

    /// Warns of an address to connect from that can not be used: once, however many hosts there are.
    fn not_bound(&mut self, bind: IpAddr, why: &str) {
        let Some(job) = &mut self.job else { return };
        if !job.unbound.contains(&bind) {
            job.unbound.push(bind);
            self.warn(format!("bind {bind}: {why}"));
        }
    }

    pub(super) fn answer(&mut self, now: Now, answer: Answer) {
        let Stage::Searching(question) = &self.stage else { return };
        let question = question.clone();
        self.facts.learn(question.clone(), answer);
        self.search(now, Some(&question));
    }
}
