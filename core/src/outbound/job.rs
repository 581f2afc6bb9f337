//! One attempt on its way: what is settled, what was put off and why, and where it may still go.

use crate::ask::{Facts, Pause};
use crate::delivery::{Destination, Ended, Fate, Host, Params, Reach, Transaction, Verdict, split};
use crate::limits::NEXTHOPS_MAX;
use crate::mail::{Attempt, Diagnosis, Feedback, Outcome, Settled};
use crate::time::{Duration, Instant};
use crate::wire::EnhancedStatus;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

/// An attempt and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Job {
    pub(super) attempt: Arc<Attempt>,
    /// One for each recipient of the attempt, when final.
    outcomes: Vec<Option<Outcome>>,
    /// Why the last host put each recipient off.
    put_off: Vec<Option<Diagnosis>>,
    /// Next hops, fallback relays last.
    pub(super) sites: VecDeque<Site>,
    /// The site whose hosts are being tried.
    pub(super) site: Option<Site>,
    /// Hosts of the present site that are left.
    pub(super) hosts: VecDeque<Host>,
    /// The destination is one whose connections are always kept (`smtp_connection_cache_destinations`).
    pub(super) listed: bool,
    /// Connections that came to a transaction at the present site.
    pub(super) sessions: u64,
    /// The address of a kept connection that was tried first.
    pub(super) tried: Option<Host>,
    /// Addresses to connect from that this host did not let us use: told once.
    pub(super) unbound: Vec<IpAddr>,
    /// The destination is not available, as far as the last host tells.
    bad: Option<Diagnosis>,
    /// A host took part in a transaction.
    spoke: bool,
    /// A host was there, and what it did not take it refused recipient by recipient.
    there: bool,
    started: Instant,
    /// When the last server became ready.
    ready: Option<Instant>,
}

/// One next hop.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Site {
    pub(super) text: String,
    /// Which parameter named it, if it is ours to get right.
    pub(super) blame: Option<&'static str>,
}

impl Job {
    pub(super) fn new(attempt: Arc<Attempt>, params: &Params, now: Instant) -> Self {
        let relayhost = &params.hosts.relayhost;
        let ours = !relayhost.is_empty() && *relayhost == attempt.nexthop;
        let blame = ours.then_some("relayhost");
        let fallback = |text: &String| Site { text: text.clone(), blame: Some("smtp_fallback_relay") };
        let mut sites: VecDeque<Site> =
            split(&attempt.nexthop).into_iter().map(|text| Site { text, blame }).collect();
        // A socket of this host has no fallback: there is nothing to be found out about it.
        if !attempt.nexthop.starts_with("unix:") {
            sites.extend(params.hosts.fallback_relay.iter().map(fallback));
        }
        sites.truncate(NEXTHOPS_MAX);
        let count = attempt.recipients.len();
        Self {
            attempt,
            outcomes: vec![None; count],
            put_off: vec![None; count],
            sites,
            site: None,
            hosts: VecDeque::new(),
            listed: false,
            sessions: 0,
            tried: None,
            unbound: Vec::new(),
            bad: None,
            spoke: false,
            there: false,
            started: now,
            ready: None,
        }
    }

    /// Positions of the recipients without an outcome.
    pub(super) fn remaining(&self) -> Vec<usize> {
        let waiting = |(place, outcome): (usize, &Option<Outcome>)| outcome.is_none().then_some(place);
        self.outcomes.iter().enumerate().filter_map(waiting).collect()
    }

    pub(super) fn transaction(&self) -> Transaction {
        Transaction { attempt: Arc::clone(&self.attempt), positions: self.remaining() }
    }

    /// True when a recipient may still go elsewhere.
    pub(super) fn may_go_on(&self) -> bool {
        !self.hosts.is_empty() || !self.sites.is_empty()
    }

    /// The host, or the search for one, failed for all that remain.
    pub(super) fn put_off_all(&mut self, diagnosis: &Diagnosis) {
        for place in self.remaining() {
            if let Some(slot) = self.put_off.get_mut(place) {
                *slot = Some(diagnosis.clone());
            }
        }
        self.bad = (diagnosis.status.class == 4).then(|| diagnosis.clone());
    }

    /// Nothing more is tried, and the destination is neither good nor bad for it.
    pub(super) fn end_unjudged(&mut self) {
        self.hosts.clear();
        self.sites.clear();
        self.bad = None;
    }

    /// Takes what a transaction came to. Gives the reasons for which recipients were put off, each once.
    pub(super) fn take(&mut self, ended: Ended, now: Instant) -> Vec<String> {
        let mut reasons: Vec<String> = Vec::new();
        if ended.ready {
            self.ready.get_or_insert(now);
            self.spoke = true;
        }
        self.bad = None;
        let of_host = |verdict: &Verdict| matches!(verdict, Verdict::Refused { reach: Reach::Host, .. });
        self.there |= ended.ready && !ended.verdicts.iter().any(of_host);
        for (place, verdict) in self.remaining().into_iter().zip(ended.verdicts) {
            let outcome = match verdict {
                Verdict::Accepted { diagnosis, last_hop_for_dsn } => {
                    Outcome::Delivered { diagnosis, last_hop_for_dsn }
                }
                Verdict::Refused { fate: Fate::Fail, diagnosis, .. } => Outcome::Failed(diagnosis),
                Verdict::Refused { fate: Fate::PutOff, diagnosis, reach } => {
                    if reach == Reach::Host {
                        self.bad = Some(diagnosis.clone());
                    }
                    if reasons.last() != Some(&diagnosis.text) {
                        reasons.push(diagnosis.text.clone());
                    }
                    if let Some(slot) = self.put_off.get_mut(place) {
                        *slot = Some(diagnosis);
                    }
                    continue;
                }
            };
            if let Some(slot) = self.outcomes.get_mut(place) {
                *slot = Some(outcome);
            }
        }
        reasons
    }

    /// Notes when the server became ready for the present transaction.
    pub(super) const fn began(&mut self, now: Instant) {
        self.ready = Some(now);
    }

    /// What is settled so far.
    pub(super) fn so_far(&self, now: Instant) -> Settled {
        let index = |place: usize| self.attempt.recipients.get(place).map(|recipient| recipient.index);
        let outcomes = self
            .outcomes
            .iter()
            .enumerate()
            .filter_map(|(place, outcome)| Some((index(place)?, outcome.clone()?)))
            .collect();
        let (connect, transfer) = match self.ready {
            Some(ready) => (ready.since(self.started), now.since(ready)),
            None => (now.since(self.started), Duration::ZERO),
        };
        Settled { id: self.attempt.id, outcomes, feedback: self.feedback(), connect, transfer }
    }

    fn feedback(&self) -> Feedback {
        match &self.bad {
            // One that greylists, say, is no reason to let the destination rest because its second host is dead.
            Some(diagnosis) if !self.there => Feedback::Bad(diagnosis.clone()),
            Some(_) => Feedback::Good,
            None if self.spoke => Feedback::Good,
            None => Feedback::Neutral,
        }
    }

    /// Gives each recipient that remains the outcome of what happened to it last. `blame` names a parameter of ours
    /// that led nowhere: the mail waits until it is put right.
    pub(super) fn settle(&mut self, now: Instant, blame: Option<&'static str>) -> Settled {
        for place in self.remaining() {
            let excuse = || {
                let text = "server unavailable or unable to receive mail";
                Diagnosis::ours(EnhancedStatus::new(4, 3, 0), text)
            };
            let mut diagnosis = self.put_off.get_mut(place).and_then(Option::take).unwrap_or_else(excuse);
            if diagnosis.status.class != 4 && blame.is_some() {
                diagnosis.status = EnhancedStatus::new(4, 3, 5);
            }
            let outcome = match diagnosis.status.class {
                4 => Outcome::Deferred(diagnosis),
                _ => Outcome::Failed(diagnosis),
            };
            if let Some(slot) = self.outcomes.get_mut(place) {
                *slot = Some(outcome);
            }
        }
        self.so_far(now)
    }

    /// True when some recipient that remains would fail for good for want of a host.
    pub(super) fn would_fail(&self) -> bool {
        let hard = |place: &usize| {
            self.put_off.get(*place).and_then(Option::as_ref).is_some_and(|d| d.status.class == 5)
        };
        self.remaining().iter().any(hard)
    }

    /// True when an outcome is known.
    pub(super) fn has_outcomes(&self) -> bool {
        self.outcomes.iter().any(Option::is_some)
    }

    /// Is a next hop of the attempt listed, so that connections to it are kept? A list that can not be read keeps none.
    ///
    /// # Errors
    /// [`Pause::Need`]: a table of the list must be asked first.
    pub(super) fn is_listed(&self, params: &Params, facts: &Facts) -> Result<bool, Pause> {
        for text in split(&self.attempt.nexthop) {
            let destination = Destination::parse(&text, params.protocol, params.hosts.default_port);
            let Ok(destination) = destination else { continue };
            match params.cache.destinations.matches(&destination.cache_name(), facts) {
                Ok(true) => return Ok(true),
                Ok(false) | Err(Pause::Broken(_)) => {}
                Err(need) => return Err(need),
            }
        }
        Ok(false)
    }

    /// The recipients that remain, for `transport` or `transport:nexthop`.
    pub(super) fn aside(&self, to: &str) -> Attempt {
        let (transport, nexthop) = to.split_once(':').unwrap_or((to, ""));
        let nexthop = if nexthop.is_empty() { &self.attempt.nexthop } else { nexthop };
        let remaining = self.remaining();
        let recipients =
            remaining.into_iter().filter_map(|place| self.attempt.recipients.get(place).cloned());
        Attempt {
            transport: transport.to_owned(),
            nexthop: nexthop.to_owned(),
            recipients: recipients.collect(),
            keep_connection: false,
            ..(*self.attempt).clone()
        }
    }

    /// What another transport made of recipients.
    pub(super) fn take_over(&mut self, outcomes: Vec<(u32, Outcome)>) {
        for (index, outcome) in outcomes {
            let place = self.attempt.recipients.iter().position(|recipient| recipient.index == index);
            if let Some(slot) = place.and_then(|place| self.outcomes.get_mut(place)) {
                slot.get_or_insert(outcome);
            }
        }
        // That we are the best mail exchanger says nothing against the destination.
        self.bad = None;
    }
}
