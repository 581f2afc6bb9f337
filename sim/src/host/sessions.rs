//! Drives one inbound joint for each client. It hears what comes while it waits for an answer; what comes while it waits for an id or the spool waits too.

use super::{Live, Owner, Who, Work};
use crate::edges::Machine as Watched;
use crate::network::{Arrival, NodeId, Socket};
use crate::world::Scope;
use postrider_core::ask::Answer;
use postrider_core::inbound::{Effect, Inbound, Input};
use postrider_core::machine::Machine;
use postrider_core::mail::{QueueId, Refusal};
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
    /// An id, or the spool.
    Other,
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
        self.sessions.insert(socket, task);
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
                Some(Awaited::Other) => false,
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
        let before = task.machine.stage();
        task.machine.handle_input(Self::now(scope), input);
        scope.fabric.edges.note(Watched::Session, before, task.machine.stage());
        self.drain_session(scope, socket);
        self.work.push_back(Work::Wake(Who::Session(socket)));
    }

    fn drain_session(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let who = Who::Session(socket);
        while let Some(task) = self.sessions.get_mut(&socket) {
            let Some(effect) = task.machine.poll_output() else { return };
            match effect {
                Effect::Send(octets) => scope.send(socket, &octets),
                Effect::Stage(octets) => task.staged.push(octets),
                Effect::Unstage => task.staged.clear(),
                Effect::Event(event) => self.event(scope, &event),
                Effect::Notice(notice) => self.notice(scope, &notice),
                Effect::Ask(question) => {
                    task.awaits = Some(Awaited::Answer);
                    self.ask(scope, who, &question);
                }
                Effect::Identify => {
                    task.awaits = Some(Awaited::Other);
                    self.work.push_back(Work::Identify(who));
                }
                Effect::Commit(message) => {
                    task.awaits = Some(Awaited::Other);
                    let content = std::mem::take(&mut task.staged);
                    self.commit(scope, who, message, Vec::new(), content);
                }
                Effect::StartTls => {
                    self.work.push_back(Work::Wake(who));
                    task.machine.handle_input(Self::now(scope), Input::TlsFailed("no TLS here".to_owned()));
                }
                Effect::Close => return self.end_session(scope, socket),
            }
        }
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

    pub(super) fn session_identified(&mut self, scope: &mut Scope<'_>, socket: Socket, id: QueueId) {
        self.tell_session(scope, socket, Input::Identified(id));
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
