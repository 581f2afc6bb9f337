//! How a server says what it says: at once, later, a few octets at a time, or no more.

use super::super::drops::drops;
use super::{Server, Session};
use crate::faults::Class;
use crate::network::Socket;
use crate::world::Scope;
use postrider_core::time::Duration;

/// What a timer of this server does.
#[derive(Debug)]
pub(super) enum Later {
    Say(Vec<u8>),
    /// A piece for which the client has waited.
    Drip(Vec<u8>),
    Finish,
    Close(bool),
    /// Looks whether the client is idle.
    Look,
}

impl Server {
    /// True with these odds of 1000; then the class of fault has fired, and that of bad manners that last where they do.
    pub(super) fn odds(&self, scope: &mut Scope<'_>, of_thousand: u16, class: Class) -> bool {
        let fires = scope.lot(of_thousand);
        if fires {
            self.fired(scope, class);
        }
        fires
    }

    pub(super) fn fired(&self, scope: &mut Scope<'_>, class: Class) {
        scope.fired(class);
        if self.stubborn {
            scope.fired(Class::LastingManners);
        }
    }

    pub(super) fn plan(&mut self, scope: &mut Scope<'_>, socket: Socket, later: Later) {
        let slowness = self.manners.slowness;
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let now = scope.fabric.kernel.now();
        if slowness == 0 && session.busy <= now {
            return self.act(scope, socket, later);
        }
        let wait = Duration::from_micros(scope.prng().below(slowness + 1));
        self.plan_behind(scope, socket, wait, later);
    }

    /// Behind all that it is to say before, and this long after that.
    fn plan_behind(&mut self, scope: &mut Scope<'_>, socket: Socket, wait: Duration, later: Later) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.busy = session.busy.max(scope.fabric.kernel.now()).after(wait);
        self.later.insert(self.next, (socket, later));
        scope.timer_at(session.busy, self.next);
        self.next += 1;
    }

    pub(super) fn act(&mut self, scope: &mut Scope<'_>, socket: Socket, later: Later) {
        match later {
            Later::Say(octets) => {
                if let Some(session) = self.sessions.get_mut(&socket) {
                    session.out.extend(octets);
                }
            }
            Later::Drip(octets) => {
                if scope.fabric.network.is_whole(socket) {
                    self.fired(scope, Class::DripServer);
                }
                self.act(scope, socket, Later::Say(octets));
            }
            Later::Finish => {
                self.flush(scope, socket);
                scope.finish(socket);
            }
            Later::Close(reset) => {
                self.flush(scope, socket);
                self.sessions.remove(&socket);
                if reset { scope.abort(socket) } else { scope.close(socket) }
            }
            Later::Look => self.look(scope, socket),
        }
    }

    /// Replies of one moment leave together.
    pub(super) fn flush(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        if let Some(session) = self.sessions.get_mut(&socket)
            && !session.out.is_empty()
        {
            let out = std::mem::take(&mut session.out);
            scope.send(socket, &out);
        }
    }

    pub(super) fn say(&mut self, scope: &mut Scope<'_>, socket: Socket, line: &str) {
        if self.sessions.get(&socket).is_none_or(|session| session.finished) {
            return;
        }
        let octets = [line.as_bytes(), b"\r\n"].concat();
        if scope.lot(self.manners.drips) {
            for drop in drops(scope.prng(), &octets) {
                let (slow, pause) = (drop.is_slow(), drop.pause);
                let later = if slow { Later::Drip(drop.octets) } else { Later::Say(drop.octets) };
                self.plan_behind(scope, socket, pause, later);
            }
        } else {
            self.plan(scope, socket, Later::Say(octets));
        }
        if scope.lot(self.manners.half_closes_early) {
            self.plan(scope, socket, Later::Finish);
            if let Some(session) = self.sessions.get_mut(&socket) {
                session.finished = true;
            }
        }
    }

    pub(super) fn fall_asleep(&mut self, socket: Socket) {
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.asleep = true;
        }
    }

    pub(super) fn hang_up(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        self.fall_asleep(socket);
        let reset = scope.prng().chance(1, 2);
        self.plan(scope, socket, Later::Close(reset));
    }

    /// From now on it minds whether the client is idle, until a message begins: what is in one waits for ever.
    pub(super) fn watch(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let idle = Duration::from_millis(self.manners.idle);
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        if idle.is_zero() || session.watched {
            return;
        }
        session.watched = true;
        self.look_at(scope, socket, idle);
    }

    fn look_at(&mut self, scope: &mut Scope<'_>, socket: Socket, wait: Duration) {
        self.later.insert(self.next, (socket, Later::Look));
        scope.timer(wait, self.next);
        self.next += 1;
    }

    fn look(&mut self, scope: &mut Scope<'_>, socket: Socket) {
        let idle = Duration::from_millis(self.manners.idle);
        let now = scope.fabric.kernel.now();
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let Session { asleep, finished, .. } = *session;
        session.watched = false;
        if idle.is_zero() || asleep || finished || session.mail.is_some() {
            return;
        }
        let rest = idle.saturating_sub(now.since(session.heard.max(session.busy)));
        if !rest.is_zero() {
            session.watched = true;
            return self.look_at(scope, socket, rest);
        }
        if scope.fabric.network.is_whole(socket) {
            self.fired(scope, if self.manners.idle_says { Class::IdleWord } else { Class::IdleClose });
        }
        if self.manners.idle_says {
            self.say(scope, socket, "421 4.4.2 you have nothing to say");
        }
        self.plan(scope, socket, Later::Close(false));
    }
}
