//! The task that owns the manager, and those that do its errands: loading, routing, delivering, reporting.

use crate::answers::Answers;
use crate::current::Current;
use crate::deposit;
use crate::env::Environment;
use crate::guard::{Charge, Errand};
use crate::inbound::Shared;
use crate::observe;
use crate::orders::Orders;
use crate::outbound::{Connection, Links, Pool, Unwritten};
use crate::record::ManagerTape;
use crate::report;
use crate::requeue;
use crate::site::{Agent, Site};
use crate::timer::{self, sleep_by};
use postrider_core::ask::{Facts, Pause};
use postrider_core::limits::QUESTIONS_PER_DECISION_MAX;
use postrider_core::machine::Machine;
use postrider_core::mail::{Attempt, Diagnosis, Envelope, Outcome, QueueId, Route, Summary};
use postrider_core::manager::{Input, Manager, Output, REQUEUE};
use postrider_core::outbound::Outbound;
use postrider_core::params::master_cf::Delivery as Program;
use postrider_core::report::Unmade;
use postrider_core::time::Duration;
use postrider_core::wire::EnhancedStatus;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Recipients that are routed within the manager's task, if no table is asked: a few microseconds each.
const ROUTES_AT_ONCE_MAX: usize = 4;

/// The manager's surroundings.
pub struct Office<E: Environment> {
    /// World, spool, connections.
    pub links: Arc<Links<E>>,
    /// The configuration of the moment.
    pub site: Arc<Current<Site<E>>>,
    /// Operators who wait.
    pub orders: Arc<Orders>,
    /// Becomes true when the last attempt has ended after a drain.
    pub drained: watch::Sender<bool>,
}

impl<E: Environment> Office<E> {
    /// The configuration of the moment.
    pub fn site(&self) -> Arc<Site<E>> {
        self.site.get()
    }

    /// Runs the manager until nobody can tell it anything any more. First come the messages that were on disk at the start, while
    /// everything else that it is told meanwhile waits its turn between them.
    pub async fn run(
        self: Arc<Self>,
        mut manager: Manager,
        mut recovered: mpsc::Receiver<Vec<Summary>>,
        mut facts: mpsc::UnboundedReceiver<Input>,
    ) {
        // Who waits for the result of an order is told when this is over, also by a panic.
        let _open = self.orders.until_end();
        let (mut recovering, mut tape) = (true, ManagerTape::default());
        let recorder = &self.links.shared.recorder;
        let mut timer = pin!(timer::timer());
        loop {
            let env = &self.links.shared.env;
            let timeout = manager.next_timeout().map(|at| at.since(env.now().mono));
            tokio::select! {
                biased;
                batch = recovered.recv(), if recovering => {
                    for summary in batch.as_deref().unwrap_or_default() {
                        self.tell_manager(&mut manager, &mut tape, Some(Input::Recovered(*summary)));
                    }
                    if batch.is_none() {
                        recovering = false;
                        self.tell_manager(&mut manager, &mut tape, Some(Input::Ready));
                        tape.follow(recorder, env.now(), &manager);
                    }
                }
                fact = facts.recv() => match fact {
                    Some(fact) => self.tell_manager(&mut manager, &mut tape, Some(fact)),
                    None => return,
                },
                () = sleep_by(timer.as_mut(), timeout) => self.tell_manager(&mut manager, &mut tape, None),
                () = recorder.changed.notified(), if !recovering => {
                    tape.follow(recorder, env.now(), &manager);
                }
                () = ManagerTape::wanted(tape.tape()) => tape.state(env.now(), &manager),
            }
        }
    }

    /// A fact for the manager, or that time has passed; and what it wants done.
    fn tell_manager(self: &Arc<Self>, manager: &mut Manager, tape: &mut ManagerTape, fact: Option<Input>) {
        let now = self.links.shared.env.now();
        tape.begin(now, fact.as_ref());
        match fact {
            Some(fact) => manager.handle_input(now, fact),
            None => manager.handle_timeout(now),
        }
        while let Some(output) = manager.poll_output() {
            tape.output(&output);
            self.carry_out(output);
        }
        tape.end();
    }

    fn carry_out(self: &Arc<Self>, output: Output) {
        let office = Arc::clone(self);
        match output {
            Output::Load(id) => {
                let errand = self.errand("reading a message", id, Input::Loaded(id, Err(internal())));
                tokio::spawn(async move {
                    let loaded = office.links.shared.spool.load(id).await;
                    errand.done(Input::Loaded(id, loaded));
                });
            }
            Output::Route { id, message, recipients } => {
                let envelope = &message.envelope;
                match self.route_at_once(envelope, &recipients) {
                    Some(routes) => self.tell(Input::Routed(id, Ok(routes))),
                    None => {
                        let errand = self.errand("finding routes", id, Input::Routed(id, Err(internal())));
                        tokio::spawn(async move {
                            let routes = office.route(&message.envelope, &recipients).await;
                            errand.done(Input::Routed(id, routes));
                        });
                    }
                }
            }
            Output::Attempt(attempt) => self.attempt(attempt),
            Output::Append(ticket, changes) => self.links.shared.spool.append_for_manager(ticket, changes),
            Output::Written(id) => self.links.unwritten.written(id),
            Output::Report(plan) => {
                let id = plan.about.id;
                let unmade = Err(Unmade::Trouble(internal()));
                let errand = self.errand("making a report", id, Input::Reported(id, unmade));
                tokio::spawn(async move {
                    let site = office.site();
                    let result = report::make(&office.links.shared, &site, *plan).await;
                    errand.done(Input::Reported(id, result));
                });
            }
            Output::Ordered(ticket, result) => self.orders.done(ticket, result),
            Output::Drained => _ = self.drained.send(true),
            Output::Event(event) => observe::log(event),
        }
    }

    fn tell(&self, input: Input) {
        _ = self.links.settled.send(input);
    }

    /// Something that a task does for the manager, and what it is told if that panics.
    fn errand(&self, what: &'static str, id: QueueId, otherwise: Input) -> Errand {
        Errand::new(what, id, self.links.settled.clone(), otherwise)
    }

    /// The routes of a letter that are found without asking anybody: most are, and need no task of their own.
    fn route_at_once(&self, envelope: &Envelope, recipients: &[u32]) -> Option<Vec<(u32, Route)>> {
        if recipients.len() > ROUTES_AT_ONCE_MAX {
            return None;
        }
        let (site, nothing) = (self.site(), Facts::new());
        let route = |&index: &u32| {
            let recipient = envelope.recipients.get(index as usize)?;
            Some((index, site.rewrite.route(envelope, &recipient.address, &nothing).ok()?))
        };
        recipients.iter().map(route).collect()
    }

    async fn route(&self, envelope: &Envelope, recipients: &[u32]) -> Result<Vec<(u32, Route)>, String> {
        let site = self.site();
        let mut routes = Vec::with_capacity(recipients.len());
        for &index in recipients {
            let Some(recipient) = envelope.recipients.get(index as usize) else { continue };
            let decide = |facts: &Facts| site.rewrite.route(envelope, &recipient.address, facts);
            routes.push((index, deliberate(&site.answers, decide).await?));
        }
        Ok(routes)
    }

    fn attempt(self: &Arc<Self>, attempt: Box<Attempt>) {
        let site = self.site();
        if attempt.transport == REQUEUE {
            let office = Arc::clone(self);
            let mut charge = Charge::new(&attempt, self.links.settled.clone());
            tokio::spawn(async move {
                requeue::requeue(&office.links.shared, &site, &attempt, &mut charge).await;
                charge.settle_as_noted(Duration::ZERO);
            });
            return;
        }
        match site.transports.get(&attempt.transport) {
            Some(Agent::Remote(config, tls)) => {
                let charge = Charge::new(&attempt, self.links.settled.clone());
                let now = self.links.shared.env.now().mono;
                let Err(assignment) = self.links.pool.reuse(now, (attempt, charge), config) else { return };
                let seed = self.links.shared.env.entropy();
                let machine = Outbound::new(Arc::clone(config), seed);
                let connection =
                    Connection::new(Arc::clone(&self.links), Arc::clone(&site), Arc::clone(tls), machine);
                tokio::spawn(connection.run(assignment));
            }
            Some(Agent::Final(agent, params)) => {
                let (office, agent, params) = (Arc::clone(self), *agent, Arc::clone(params));
                let mut charge = Charge::new(&attempt, self.links.settled.clone());
                tokio::spawn(async move {
                    let shared = &office.links.shared;
                    let begun = shared.env.now();
                    deposit::deliver(shared, &site, agent, &params, &attempt, &mut charge).await;
                    charge.settle_as_noted(shared.env.now().mono.since(begun.mono));
                });
            }
            // The manager knows the transports of its own snapshot; after a reload one may be gone.
            None => self.tell(Input::Settled(deposit::unavailable(&attempt))),
        }
    }
}

fn internal() -> String {
    "internal error".to_owned()
}

/// Delivers one recipient by another transport within the attempt of local(8) (`mailbox_transport`, `fallback_transport`). The
/// outcome is written by who asked.
pub async fn deliver_aside<E: Environment>(
    shared: &Arc<Shared<E>>,
    site: &Arc<Site<E>>,
    attempt: Attempt,
) -> Outcome {
    let lost = || deposit::unavailable(&attempt);
    let outcomes = match site.transports.get(&attempt.transport) {
        Some(Agent::Remote(config, tls)) => {
            let (settled, mut ended) = mpsc::unbounded_channel();
            let links = Arc::new(Links {
                shared: Arc::clone(shared),
                pool: Pool::default(),
                unwritten: Unwritten::default(),
                settled,
            });
            // Mail that is handed over is not handed over again: two transports could play ball with it.
            let machine = Outbound::new(Arc::new(config.without_best_mx()), shared.env.entropy());
            let connection = Connection::new(Arc::clone(&links), Arc::clone(site), Arc::clone(tls), machine);
            let id = attempt.id;
            let charge = Charge::new(&attempt, links.settled.clone());
            tokio::spawn(connection.run((Box::new(attempt.clone()), charge)));
            let settled = ended.recv().await;
            links.unwritten.written(id);
            match settled {
                Some(Input::Settled(settled)) => settled.outcomes,
                _ => lost().outcomes,
            }
        }
        Some(Agent::Final(program @ (Program::Error | Program::Discard | Program::Virtual), params)) => {
            let mut outcomes = Vec::new();
            Box::pin(deposit::deliver(shared, site, *program, params, &attempt, &mut outcomes)).await;
            outcomes
        }
        // local(8) for local(8) would have no end.
        _ => lost().outcomes,
    };
    let first = outcomes.into_iter().next();
    first.map_or_else(
        || Outcome::Deferred(Diagnosis::ours(EnhancedStatus::new(4, 3, 0), "no outcome")),
        |(_, o)| o,
    )
}

/// Decides with answers, asking one question after the other.
///
/// # Errors
/// A broken table, or a decision without end.
pub async fn deliberate<E: Environment, T>(
    answers: &Answers<E>,
    decide: impl Fn(&Facts) -> Result<T, Pause>,
) -> Result<T, String> {
    let mut facts = Facts::new();
    while facts.len() < QUESTIONS_PER_DECISION_MAX {
        match decide(&facts) {
            Ok(decision) => return Ok(decision),
            Err(Pause::Need(question)) => {
                let answer = answers.answer(&question).await;
                facts.learn(question, answer);
            }
            Err(Pause::Broken(failure)) => return Err(format!("{}: {}", failure.table.0, failure.why)),
        }
    }
    Err("a decision asked too many questions: look for a loop in the tables".to_owned())
}
