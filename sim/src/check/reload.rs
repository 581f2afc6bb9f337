//! Several kept connections, and a reload after which mail must be encrypted: core chooses which connection an attempt goes over, and the
//! outbound joints that ship speak. The server offers TLS or does not; a driver may be late to notice that the time of a connection is over.

use super::delivery::attempt;
use super::kept::{Level, answer, config};
use postrider_core::machine::Machine;
use postrider_core::mail::{Outcome, TlsFacts};
use postrider_core::outbound::{Config, Effect, Input, Kept, Outbound};
use postrider_core::time::{Duration, Instant, Now, Timestamp};
use postrider_core::wire::Mailbox;
use stateright::{Model, Property};
use std::sync::Arc;

/// Connections at once.
const LANES: usize = 2;
/// More seconds than a connection is kept.
const LONG: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(super) struct Reload {
    before: Arc<Config>,
    after: Arc<Config>,
    attempts: u8,
}

/// What a lane waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    /// It is free.
    Free,
    /// The reply to EHLO.
    Hello,
    /// The reply to the dot.
    Dot,
    /// An attempt.
    Parked,
}

/// A connection, its server, and what a watch knows of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Lane {
    joint: Outbound,
    at: At,
    destination: u8,
    secured: bool,
    /// It was opened after the reload; its attempt began after it.
    fresh: bool,
    encrypts: bool,
    /// The name under which it is kept, and until when.
    name: u64,
    until: Instant,
    content: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    kept: Kept<u8>,
    lanes: Vec<Lane>,
    now: Now,
    reloaded: bool,
    late: bool,
    attempts: u8,
    wrong: Option<Wrong>,
    seen: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wrong {
    Clear,
    Old,
    NotParked,
    NotLast,
    Forgotten,
    Undelivered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Seen {
    several: bool,
    clear: bool,
    secured: bool,
    given_up: bool,
    under_way: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Mail for this destination.
    Attempt(u8),
    /// EHLO of this lane is answered with STARTTLS, or without.
    Hello(u8, bool),
    /// The dot of this lane is answered.
    Taken(u8),
    /// The server ends a kept connection.
    Cut(u8),
    Reload,
    /// Time passes, and the driver has not noticed yet.
    Late,
}

pub(super) fn scopes() -> Vec<(&'static str, Reload)> {
    let scope = |before| Reload { before: config(before), after: config(Level::Encrypt), attempts: 3 };
    vec![("connections: several kept, and a reload", scope(Level::May))]
}

impl State {
    fn new(model: &Reload) -> Self {
        let lane = Lane {
            joint: Outbound::new(Arc::clone(&model.before), 1),
            at: At::Free,
            destination: 0,
            secured: false,
            fresh: false,
            encrypts: false,
            name: 0,
            until: Instant(0),
            content: false,
        };
        Self {
            kept: Kept::default(),
            lanes: vec![lane; LANES],
            now: Now { mono: Instant(1_000_000_000), wall: Timestamp(1_767_225_600_000_000) },
            reloaded: false,
            late: false,
            attempts: 0,
            wrong: None,
            seen: Seen::default(),
        }
    }

    fn blame(&mut self, wrong: Wrong) {
        self.wrong.get_or_insert(wrong);
    }

    /// Lanes that wait for mail for this destination, those that were kept last behind the others; whether each serves.
    fn parked(&self, destination: u8) -> Vec<(u8, bool)> {
        let here = |lane: &&Lane| lane.at == At::Parked && lane.destination == destination;
        let mut parked: Vec<(u64, u8, bool)> = (0..)
            .zip(&self.lanes)
            .filter(|(_, lane)| here(lane))
            .map(|(number, lane)| {
                let serves = lane.fresh == self.reloaded && self.now.mono < lane.until;
                (lane.name, number, serves)
            })
            .collect();
        parked.sort_unstable();
        parked.into_iter().map(|(_, number, serves)| (number, serves)).collect()
    }

    fn begin(&mut self, model: &Reload, destination: u8) -> Option<()> {
        self.attempts += 1;
        let domain = ["x.sim", "y.sim"][usize::from(destination)];
        let mut attempt = attempt(self.attempts, &[0]);
        domain.clone_into(&mut attempt.nexthop);
        attempt.recipients.iter_mut().for_each(|to| to.address = Mailbox::new("a", domain));
        let config = if self.reloaded { &model.after } else { &model.before };
        let parked = self.parked(destination);
        let choice = self.kept.choose(self.now.mono, &attempt, config);
        let best = parked.iter().rev().find(|(_, serves)| *serves).map(|(lane, _)| *lane);
        let mut over: Vec<u8> = parked.iter().filter(|(_, serves)| !serves).map(|(lane, _)| *lane).collect();
        over.sort_unstable();
        let mut given_up = choice.over.clone();
        given_up.sort_unstable();
        for lane in choice.over {
            self.seen.given_up = true;
            self.tell(usize::from(lane), Input::Retire);
        }
        self.seen.several |= parked.len() > 1 && choice.chosen.is_some();
        let number = match choice.chosen {
            Some(lane) => usize::from(lane),
            None => {
                let free = self.lanes.iter().position(|lane| lane.at == At::Free)?;
                let joint = Outbound::new(Arc::clone(config), 1);
                let lane = &mut self.lanes[free];
                (lane.joint, lane.destination) = (joint, destination);
                (lane.secured, lane.fresh) = (false, self.reloaded);
                free
            }
        };
        let reloaded = self.reloaded;
        self.lanes[number].encrypts = reloaded;
        let waits = choice.chosen.is_none() || self.lanes[number].at == At::Parked;
        self.tell(number, Input::Attempt(Box::new(attempt)));
        // What was said comes first: it is worse.
        let wrong = [
            (!waits, Wrong::NotParked),
            (self.lanes[number].fresh != reloaded, Wrong::Old),
            (choice.chosen != best, Wrong::NotLast),
            (given_up != over, Wrong::Forgotten),
        ];
        wrong.into_iter().filter(|(is_wrong, _)| *is_wrong).for_each(|(_, wrong)| self.blame(wrong));
        Some(())
    }

    fn tell(&mut self, number: usize, input: Input<'_>) {
        let lane = &mut self.lanes[number];
        if lane.at == At::Parked {
            self.kept.leave(lane.name);
        }
        lane.at = At::Free;
        lane.joint.handle_input(self.now, input);
        let (mut next, mut said) = (None, Vec::new());
        while let Some(effect) = self.lanes[number].joint.poll_output() {
            match effect {
                Effect::Send(octets) => said.extend(octets),
                Effect::Event(_) | Effect::Notice(_) => {}
                effect => next = Some(effect),
            }
        }
        let replies = self.server(number, &said);
        match next {
            None if !replies.is_empty() => self.tell(number, Input::Bytes(&replies)),
            None => {}
            Some(effect) => self.obey(number, effect),
        }
    }

    fn obey(&mut self, number: usize, effect: Effect) {
        let lane = &mut self.lanes[number];
        match effect {
            Effect::Ask(question) => self.tell(number, Input::Answer(answer(&question))),
            Effect::Read { restart, .. } => {
                let content: &[u8] = if restart { b"hi\r\n" } else { b"" };
                self.tell(number, Input::Content(content));
            }
            Effect::Connect { .. } => {
                (lane.secured, lane.content) = (false, false);
                self.tell(number, Input::Connected);
                self.tell(number, Input::Bytes(b"220 mx ESMTP\r\n"));
            }
            Effect::StartTls(_) => {
                lane.secured = true;
                self.tell(number, Input::Secured(facts()));
            }
            Effect::Settle(settled) => {
                let taken = settled.outcomes.iter().all(|(_, one)| matches!(one, Outcome::Delivered { .. }));
                // A server without TLS has mail that must be encrypted put off.
                if !taken && !lane.encrypts {
                    self.blame(Wrong::Undelivered);
                }
                self.tell(number, Input::Written);
            }
            Effect::Park(purpose) => {
                lane.at = At::Parked;
                lane.until = purpose.until;
                lane.name = self.kept.keep(*purpose, u8::try_from(number).unwrap_or(0));
            }
            _ => lane.at = At::Free,
        }
    }

    /// What the server of a lane says at once.
    fn server(&mut self, number: usize, said: &[u8]) -> Vec<u8> {
        let (mut replies, mut wrong) = (String::new(), None);
        let lane = &mut self.lanes[number];
        for line in String::from_utf8_lossy(said).lines() {
            if lane.content {
                if line == "." {
                    (lane.content, lane.at) = (false, At::Dot);
                }
                continue;
            }
            match line.get(..4).unwrap_or("") {
                "EHLO" if !lane.secured => lane.at = At::Hello,
                "EHLO" => replies += "250 mx\r\n",
                "DATA" => {
                    lane.content = true;
                    replies += "354 go on\r\n";
                }
                "MAIL" => {
                    if lane.encrypts && !lane.secured {
                        wrong = Some(Wrong::Clear);
                    }
                    self.seen.clear |= !lane.secured;
                    self.seen.secured |= lane.secured;
                    replies += "250 2.1.0 ok\r\n";
                }
                "STAR" => replies += "220 2.0.0 go on\r\n",
                "QUIT" => replies += "221 2.0.0 bye\r\n",
                _ => replies += "250 2.0.0 ok\r\n",
            }
        }
        wrong.into_iter().for_each(|wrong| self.blame(wrong));
        replies.into_bytes()
    }
}

fn facts() -> TlsFacts {
    TlsFacts {
        protocol: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
        cipher_bits: 256,
        trusted: true,
        peer_name: Some("mx.sim".to_owned()),
    }
}

impl Model for Reload {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrong.is_some() {
            return;
        }
        if state.attempts < self.attempts {
            actions.extend([Action::Attempt(0), Action::Attempt(1)]);
        }
        for (number, lane) in (0..).zip(&state.lanes) {
            match lane.at {
                At::Hello => actions.extend([Action::Hello(number, true), Action::Hello(number, false)]),
                At::Dot => actions.push(Action::Taken(number)),
                At::Parked => actions.push(Action::Cut(number)),
                At::Free => {}
            }
        }
        if !state.reloaded {
            actions.push(Action::Reload);
        }
        if !state.late {
            actions.push(Action::Late);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            // There may be no lane for it.
            Action::Attempt(destination) => next.begin(self, destination)?,
            Action::Hello(lane, true) => {
                next.tell(usize::from(lane), Input::Bytes(b"250-mx\r\n250 STARTTLS\r\n"));
            }
            Action::Hello(lane, false) => next.tell(usize::from(lane), Input::Bytes(b"250 mx\r\n")),
            Action::Taken(lane) => next.tell(usize::from(lane), Input::Bytes(b"250 2.0.0 ok\r\n")),
            Action::Cut(lane) => next.tell(usize::from(lane), Input::Retire),
            Action::Reload => {
                next.reloaded = true;
                next.seen.under_way |= next.lanes.iter().any(|lane| lane.at == At::Dot && !lane.secured);
            }
            Action::Late => {
                next.late = true;
                next.now = next.now.after(LONG);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            never!(
                Clear,
                "no mail of an attempt that began under encrypt goes in the clear, also after a reload"
            ),
            never!(Old, "no connection of before a reload is used after it"),
            never!(NotParked, "only a connection that waits is chosen"),
            never!(
                NotLast,
                "of those that serve, the one that was kept last is chosen, and none is passed over"
            ),
            never!(Forgotten, "what serves nobody any more is given up, and nothing else"),
            never!(Undelivered, "what need not be encrypted is delivered"),
            Property::sometimes("one of several kept connections is used", |_, state: &State| {
                state.seen.several
            }),
            Property::sometimes("mail is under way in the clear at the reload", |_, state: &State| {
                state.seen.under_way
            }),
            Property::sometimes("a kept connection is given up", |_, state: &State| state.seen.given_up),
            Property::sometimes("mail goes in the clear", |_, state: &State| state.seen.clear),
            Property::sometimes("mail goes over TLS", |_, state: &State| state.seen.secured),
        ]
    }
}
