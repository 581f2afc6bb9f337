//! Drives one inbound joint for each client. It hears what comes while it waits for an answer; what comes while it waits for the spool waits too.

use super::{Live, Owner, Who, Work};
use crate::edges::Machine as Watched;
use crate::network::{Arrival, NodeId, Socket};
use crate::world::Scope;
use postrider_core::ask::Answer;
use postrider_core::inbound::{Effect, Inbound, Input};
use postrider_core::machine::Machine;
use postrider_core::mail::Refusal;
use postrider_core::session::Peer;
use postrider_core::time::Instant;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// What comes from this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// An answer: octets are heard meanwhile, but not that there will be no more.
    Answer,
    /// The spool.
    Spool,
}

/// A session.
#[derive(Debug)]
pub(super) struct Task {
    machine: Inbound,
    /// What it waits for, if that is not the client.
    awaits: Option<Awaited>,
    inbox: VecDeque<Arrival>,
    staged: Vec<Vec<u8>>,
    /// Who speaks.
    pub(super) from: Option<NodeId>,
}

impl Task {
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.awaits.is_some() { None } else { self.machine.next_timeout() }
    }
}

impl Live {
    pub(super) fn accept(&mut self, scope: &mut Scope<'_>, socket: Socket, peer: SocketAddr) {
        if self.ids.is_none() {
            return scope.abort(socket);
        }
        let peer = Peer { address: peer.ip(), port: peer.port(), local: self.site.address };
        let machine = Inbound::new(Self::now(scope), Arc::clone(&self.site.door), peer);
        let from = scope.fabric.network.owner(peer.address);
        let task = Task { machine, awaits: None, inbox: VecDeque::new(), staged: Vec::new(), from };
        self.owners.insert(socket, Owner::Session);
        self.sessions.insert(socket, Box::new(task));
        self.drain_session(scope, socket);
    }

    pub(super) fn session_arrival(&mut self, socket: Socket, arrival: Arrival) {
        if let Some(task) = self.sessions.get_mut(&socket) {
            task.inbox.push_back(arrival);
            self.work.push_back(Work::Wake(Who::Session(socket)));
        }
    }

    pub(super) fn wake_session(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        while let Some(task) = self.sessions.get_mut(&socket) {
            let hears = match task.awaits {
                None => true,
                Some(Awaited::Answer) => matches!(task.inbox.front(), Some(Arrival::Octets(..))),
                Some(Awaited::Spool) => false,
            };
            if !hears || task.machine.room() == 0 {
                return;
            }
            let Some(arrival) = task.inbox.pop_front() else { return };
            let now = Self::now(scope);
            let before = task.machine.stage();
            match arrival {
                Arrival::Octets(_, octets) => task.machine.handle_input(now, Input::Bytes(&octets)),
                Arrival::End(_) | Arrival::Gone(..) => task.machine.handle_input(now, Input::Closed),
                _ => continue,
            }
            scope.fabric.edges.note(Watched::Session, before, task.machine.stage());
            self.drain_session(scope, socket);
        }
    }

    fn tell_session(&mut self, scope: &mut Scope<'_>, socket: Socket, input: Input<'_>) {
        let Some(task) = self.sessions.get_mut(&socket) else { return };
        task.awaits = None;
        self.let_hear(scope, socket, input);
        self.drain_session(scope, socket);
        self.work.push_back(Work::Wake(Who::Session(socket)));
    }

    /// Obeys the session until it waits. What it says goes in one write, as in the runtime.
    fn drain_session(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let who = Who::Session(socket);
        let mut out = Vec::new();
        while self.sessions.contains_key(&socket) {
            let next = self.take_effects(scope, socket, &mut out);
            if let Some(Effect::Identify) = next {
                let id = self.issue(scope);
                self.let_hear(scope, socket, Input::Identified(id));
                continue;
            }
            if !out.is_empty() {
                scope.send(socket, &std::mem::take(&mut out));
            }
            let Some(task) = self.sessions.get_mut(&socket) else { return };
            match next {
                Some(Effect::Ask(question)) => {
                    task.awaits = Some(Awaited::Answer);
                    return self.ask(scope, who, &question);
                }
                Some(Effect::Commit(message)) => {
                    task.awaits = Some(Awaited::Spool);
                    let content = std::mem::take(&mut task.staged);
                    return self.commit(scope, who, message, Vec::new(), content);
                }
                Some(Effect::StartTls) => {
                    self.work.push_back(Work::Wake(who));
                    self.let_hear(scope, socket, Input::TlsFailed("no TLS here".to_owned()));
                }
                Some(Effect::Close) => return self.end_session(scope, socket),
                _ => return,
            }
        }
    }

    /// Takes all effects of one stimulus; the one that ends them, if it does not wait for the client.
    fn take_effects(&mut self, scope: &mut Scope<'_>, socket: Socket, out: &mut Vec<u8>) -> Option<Effect> {
        let mut next = None;
        loop {
            let task = self.sessions.get_mut(&socket)?;
            let Some(effect) = task.machine.poll_output() else { return next };
            match effect {
                Effect::Send(octets) if out.is_empty() => *out = octets,
                Effect::Send(octets) => out.extend(octets),
                Effect::Stage(octets) => task.staged.push(octets),
                Effect::Unstage => task.staged.clear(),
                Effect::Event(event) => self.event(scope, &event),
                Effect::Notice(notice) => self.notice(scope, &notice),
                effect => next = Some(effect),
            }
        }
    }

    /// A fact for a session that is being drained.
    fn let_hear(&mut self, scope: &mut Scope<'_>, socket: Socket, input: Input<'_>) {
        let Some(task) = self.sessions.get_mut(&socket) else { return };
        let before = task.machine.stage();
        task.machine.handle_input(Self::now(scope), input);
        scope.fabric.edges.note(Watched::Session, before, task.machine.stage());
    }

    fn end_session(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let Some(mut task) = self.sessions.remove(&socket) else { return };
        while let Some(effect) = task.machine.poll_output() {
            match effect {
                Effect::Event(event) => self.event(scope, &event),
                Effect::Notice(notice) => self.notice(scope, &notice),
                _ => {}
            }
        }
        self.owners.remove(&socket);
        scope.close(socket);
    }

    pub(super) fn session_answered(&mut self, scope: &mut Scope<'_>, socket: Socket, answer: Answer) {
        self.tell_session(scope, socket, Input::Answer(answer));
    }

    pub(super) fn session_committed(
        &mut self,
        scope: &mut Scope<'_>,
        socket: Socket,
        result: Result<(), Refusal>,
    ) {
        self.tell_session(scope, socket, Input::Committed(result));
    }

    pub(super) fn sessions_time_out(&mut self, scope: &mut Scope<'_>) {
        let now = Self::now(scope);
        let due: Vec<Socket> = self
            .sessions
            .iter()
            .filter(|(_, task)| task.deadline().is_some_and(|at| at <= now.mono))
            .map(|(&socket, _)| socket)
            .collect();
        for socket in due {
            if let Some(task) = self.sessions.get_mut(&socket) {
                task.machine.handle_timeout(now);
                self.drain_session(scope, socket);
            }
        }
    }
}
