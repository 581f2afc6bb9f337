//! Drives the manager, and does its errands: loading, routing, delivering, reporting.

use super::site::Agent;
use super::{Live, Who, Work};
use crate::edges::Machine as Watched;
use crate::world::Scope;
use postrider_core::ask::{Answer, Facts, Pause, Question};
use postrider_core::limits::QUESTIONS_PER_DECISION_MAX;
use postrider_core::machine::Machine;
use postrider_core::mail::{Attempt, Diagnosis, Feedback, Message, Outcome, QueueId, Route, Settled};
use postrider_core::manager::{Input, Output, REQUEUE};
use postrider_core::time::Duration;
use postrider_core::wire::EnhancedStatus;
use std::sync::Arc;

/// A message whose recipients are being routed, one after the other.
#[derive(Debug)]
pub(super) struct Routing {
    id: QueueId,
    message: Arc<Message>,
    left: Vec<u32>,
    facts: Facts,
    open: Option<Question>,
    routes: Vec<(u32, Route)>,
}

impl Live {
    pub(super) fn tell_manager(&mut self, scope: &mut Scope<'_>, input: Input) {
        let reloads = matches!(input, Input::Reload(_));
        self.manager.handle_input(Self::now(scope), input);
        if reloads {
            // What schedules is a new one.
            self.manager.listen_to_edges();
        }
        self.drain_manager(scope);
    }

    pub(super) fn drain_manager(&mut self, scope: &mut Scope<'_>) {
        self.due[1] = None;
        let edges = &mut scope.fabric.edges;
        self.manager.queue_edges().iter().for_each(|edge| edges.note(Watched::Queue, edge.0, edge.1));
        self.manager
            .destination_edges()
            .iter()
            .for_each(|edge| edges.note(Watched::Destination, edge.0, edge.1));
        while let Some(output) = self.manager.poll_output() {
            match output {
                Output::Load(id) => self.load(id),
                Output::Route { id, message, mut recipients } => {
                    recipients.reverse();
                    let routing = Routing {
                        id,
                        message,
                        left: recipients,
                        facts: Facts::new(),
                        open: None,
                        routes: Vec::new(),
                    };
                    let name = self.next();
                    self.routings.insert(name, routing);
                    self.route_on(scope, name);
                }
                Output::Attempt(attempt) => self.attempt(scope, attempt),
                Output::Append(ticket, changes) => self.append_for_manager(ticket, changes),
                Output::Written(id) => self.work.push_back(Work::Written(id)),
                Output::Report(plan) => self.report(scope, plan),
                Output::Event(event) => self.event(scope, &event),
                Output::Ordered(ticket, result) => self.ordered(scope, ticket, &result),
                Output::Drained => {}
            }
        }
    }

    fn route_on(&mut self, scope: &mut Scope<'_>, name: u64) {
        while let Some(routing) = self.routings.get_mut(&name) {
            let Some(&index) = routing.left.last() else {
                let Some(routing) = self.routings.remove(&name) else { return };
                return self.work.push_back(Work::Manager(Input::Routed(routing.id, Ok(routing.routes))));
            };
            let recipient = routing.message.envelope.recipients.get(index as usize);
            let decided = recipient.map(|recipient| {
                self.site.rewrite.route(&routing.message.envelope, &recipient.address, &routing.facts)
            });
            match decided {
                Some(Err(Pause::Need(question))) if routing.facts.len() < QUESTIONS_PER_DECISION_MAX => {
                    routing.open = Some(question.clone());
                    return self.ask(scope, Who::Routing(name), &question);
                }
                Some(Err(pause)) => {
                    let id = routing.id;
                    self.routings.remove(&name);
                    return self.work.push_back(Work::Manager(Input::Routed(id, Err(format!("{pause:?}")))));
                }
                Some(Ok(route)) => routing.routes.push((index, route)),
                None => {}
            }
            routing.left.pop();
            routing.facts.clear();
        }
    }

    pub(super) fn routing_answered(&mut self, scope: &mut Scope<'_>, name: u64, answer: Answer) {
        let Some(routing) = self.routings.get_mut(&name) else { return };
        if let Some(question) = routing.open.take() {
            routing.facts.learn(question, answer);
        }
        self.route_on(scope, name);
    }

    fn attempt(&mut self, scope: &mut Scope<'_>, attempt: Box<Attempt>) {
        if attempt.transport == REQUEUE {
            return self.load_to_requeue(attempt);
        }
        let text = attempt.nexthop.clone();
        let settled = match self.transports.get(&attempt.transport) {
            Some(Agent::Remote(config)) => {
                let config = config.clone();
                return self.deliver(scope, &config, attempt);
            }
            Some(Agent::Error(retry)) => settle(&attempt, |_| {
                let class = if *retry { 4 } else { 5 };
                let diagnosis = Diagnosis::ours(EnhancedStatus::new(class, 0, 0), text.clone());
                if *retry { Outcome::Deferred(diagnosis) } else { Outcome::Failed(diagnosis) }
            }),
            Some(Agent::Discard) => settle(&attempt, |_| {
                Outcome::Discarded(Diagnosis::ours(EnhancedStatus::new(2, 0, 0), text.clone()))
            }),
            Some(Agent::Here) => settle(&attempt, |_| Outcome::Delivered {
                diagnosis: Diagnosis::ours(EnhancedStatus::new(2, 0, 0), "delivered on this host"),
                last_hop_for_dsn: true,
            }),
            None => settle(&attempt, |_| {
                Outcome::Deferred(Diagnosis::ours(EnhancedStatus::new(4, 3, 0), "mail transport unavailable"))
            }),
        };
        self.work.push_back(Work::Manager(Input::Settled(settled)));
    }
}

pub(super) fn settle(attempt: &Attempt, outcome: impl Fn(u32) -> Outcome) -> Settled {
    Settled {
        id: attempt.id,
        outcomes: attempt
            .recipients
            .iter()
            .map(|recipient| (recipient.index, outcome(recipient.index)))
            .collect(),
        feedback: Feedback::Neutral,
        connect: Duration::ZERO,
        transfer: Duration::ZERO,
    }
}
