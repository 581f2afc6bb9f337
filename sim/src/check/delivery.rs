//! One message to two recipients over two exchangers, in up to two attempts, with every reply, lost connection, lost reply and crash.
//!
//! The outbound joint that ships runs on; the second attempt takes its kept connection, where there is one. A crash forgets what was not
//! written.

use super::resolved;
use postrider_core::ask::{Answer, DnsRecord, Question, RecordKind};
use postrider_core::delivery::{Loss, Protocol};
use postrider_core::machine::Machine;
use postrider_core::mail::{
    Attempt, AttemptId, AttemptRecipient, BodyType, Notify, Outcome, Pieces, QueueId, Sender,
};
use postrider_core::outbound::{self, Effect, Endpoint, Input, Outbound};
use postrider_core::params::{self, Host};
use postrider_core::time::{Instant, Now, Timestamp};
use postrider_core::wire::Mailbox;
use stateright::{Model, Property};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub(super) struct Delivery {
    config: Arc<outbound::Config>,
    pipelining: bool,
    crashes: u8,
    attempts: u8,
}

/// What a server has been told and not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asked {
    Greeting,
    Hello,
    Mail,
    Rcpt(u8),
    Data,
    Dot,
    Other,
}

/// What the joint waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Waits {
    Connect,
    Reply,
    /// Its outcomes are being written.
    Write(Vec<(u32, Kind)>, bool),
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Delivered,
    Deferred,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    joint: Outbound,
    waits: Waits,
    asked: VecDeque<Asked>,
    /// The server has said 354: octets are content.
    content: bool,
    /// The server has accepted MAIL.
    open: bool,
    /// Recipients that the server has accepted in this transaction.
    accepted: Vec<u8>,
    /// Copies that servers have taken, and causes for a second one.
    copies: [u8; 2],
    causes: [u8; 2],
    refused: [bool; 2],
    /// What the joint was told and has not written, by recipient.
    heard: [bool; 2],
    written: [Option<Kind>; 2],
    attempts: u8,
    crashes: u8,
    reused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Connected,
    Unreachable,
    Good,
    Soft,
    Hard,
    Closing,
    Cut,
    /// The content is taken and its reply lost.
    ReplyLost,
    Written,
    Again,
    Crash,
}

const NOW: Now = Now { mono: Instant(1_000_000_000), wall: Timestamp(1_767_225_600_000_000) };

pub(super) fn scopes(attempts: u8) -> Vec<(&'static str, Delivery)> {
    let main = "compatibility_level = 3.6\nsmtp_tls_security_level = none\ninet_protocols = ipv4\n\
        smtp_randomize_addresses = no\nsmtp_host_lookup = dns\n";
    let (config, _) = params::Config::read(main, "smtp unix - - n - - smtp\n", Host::default());
    let config = outbound::Config::new(&config.settings(None), Protocol::Smtp, Vec::new());
    let model =
        |pipelining, crashes| Delivery { config: Arc::new(config.clone()), pipelining, crashes, attempts };
    vec![
        ("delivery: one command at a time, a crash", model(false, 1)),
        ("delivery: pipelined, no crash", model(true, 0)),
    ]
}

/// An attempt with the recipients of these places.
pub(super) fn attempt(number: u8, left: &[u8]) -> Attempt {
    let recipients = left.iter().map(|recipient| AttemptRecipient {
        index: u32::from(*recipient),
        address: Mailbox::new(["a", "b"][usize::from(*recipient)], "x.sim"),
        original: None,
        orcpt: None,
        notify: Notify::default(),
    });
    Attempt {
        id: AttemptId(u64::from(number)),
        message: QueueId(7),
        transport: "smtp".to_owned(),
        nexthop: "x.sim".to_owned(),
        sender: Sender::Mailbox(Mailbox::new("s", "y.sim")),
        recipients: recipients.collect(),
        size: 4,
        pieces: Arc::new(Pieces::default()),
        body: BodyType::SevenBit,
        smtputf8: false,
        envid: None,
        ret: None,
        arrived: NOW.wall,
        keep_connection: true,
    }
}

impl State {
    fn new(model: &Delivery) -> Self {
        let mut state = Self {
            joint: Outbound::new(Arc::clone(&model.config), 1),
            waits: Waits::Nothing,
            asked: VecDeque::new(),
            content: false,
            open: false,
            accepted: Vec::new(),
            copies: [0; 2],
            causes: [0; 2],
            refused: [false; 2],
            heard: [false; 2],
            written: [None; 2],
            attempts: 0,
            crashes: 0,
            reused: false,
        };
        state.begin();
        state
    }

    fn left(&self) -> Vec<u8> {
        let waits =
            |place: &u8| !matches!(self.written[usize::from(*place)], Some(Kind::Delivered | Kind::Failed));
        (0..2).filter(waits).collect()
    }

    fn begin(&mut self) {
        let left = self.left();
        self.attempts += 1;
        self.tell(Input::Attempt(Box::new(attempt(self.attempts, &left))));
    }

    /// Brings a fact, and does at once what has only one way to end.
    fn tell(&mut self, input: Input<'_>) {
        self.joint.handle_input(NOW, input);
        let mut next = None;
        while let Some(effect) = self.joint.poll_output() {
            match effect {
                Effect::Send(octets) => self.sent(&octets),
                Effect::Event(_) => {}
                effect => next = Some(effect),
            }
        }
        match next {
            None => self.waits = Waits::Reply,
            Some(Effect::Ask(question)) => {
                let answer = answer(&question);
                self.tell(Input::Answer(answer));
            }
            Some(Effect::Read { restart, .. }) => {
                let content: &[u8] = if restart { b"hi\r\n" } else { b"" };
                self.tell(Input::Content(content));
            }
            Some(Effect::Connect { endpoint: Endpoint::Inet { .. }, .. }) => {
                self.closed();
                self.waits = Waits::Connect;
            }
            Some(Effect::Settle(settled)) => self.waits = Waits::Write(kinds(&settled.outcomes), true),
            Some(Effect::Progress(settled)) => self.waits = Waits::Write(kinds(&settled.outcomes), false),
            Some(Effect::Close) => {
                self.closed();
                self.waits = Waits::Nothing;
            }
            Some(_) => self.waits = Waits::Nothing,
        }
    }

    fn closed(&mut self) {
        self.asked.clear();
        self.accepted.clear();
        self.content = false;
        self.open = false;
    }

    fn sent(&mut self, octets: &[u8]) {
        let text = String::from_utf8_lossy(octets).into_owned();
        for line in text.lines() {
            if self.content {
                if line == "." {
                    self.content = false;
                    self.asked.push_back(Asked::Dot);
                }
                continue;
            }
            self.asked.push_back(match line.get(..4).unwrap_or("") {
                "EHLO" | "HELO" => Asked::Hello,
                "MAIL" => Asked::Mail,
                "RCPT" => Asked::Rcpt(u8::from(line.contains("<b@"))),
                "DATA" => Asked::Data,
                _ => Asked::Other,
            });
        }
    }

    fn take(&mut self) {
        for place in std::mem::take(&mut self.accepted) {
            self.copies[usize::from(place)] += 1;
        }
    }

    /// The server answers the oldest command.
    fn answer(&mut self, action: Action, pipelining: bool) -> Option<()> {
        let asked = self.asked.pop_front()?;
        let text = match (action, asked) {
            (Action::Good, Asked::Hello) if pipelining => "250-mx\r\n250 PIPELINING\r\n",
            (Action::Good, Asked::Greeting) => "220 mx ESMTP\r\n",
            (Action::Good, Asked::Rcpt(_)) if !self.open => "503 5.5.1 whose mail?\r\n",
            (Action::Good, Asked::Data) if self.accepted.is_empty() => "554 5.5.1 nobody\r\n",
            (Action::Good, Asked::Data) => {
                self.content = true;
                "354 go on\r\n"
            }
            (Action::Good, _) => "250 2.0.0 ok\r\n",
            (Action::Soft, _) => "451 4.3.0 later\r\n",
            (Action::Hard, _) => "550 5.1.1 no\r\n",
            (Action::Closing, _) => "421 4.3.2 bye\r\n",
            _ => return None,
        };
        if action == Action::Hard && asked == Asked::Mail {
            self.refused = [true; 2];
        }
        match (action, asked) {
            (_, Asked::Mail | Asked::Other) => {
                self.accepted.clear();
                self.open = action == Action::Good && asked == Asked::Mail;
            }
            (Action::Good, Asked::Rcpt(place)) if self.open => self.accepted.push(place),
            (Action::Good, Asked::Rcpt(place)) => self.refused[usize::from(place)] = true,
            (Action::Hard, Asked::Rcpt(place)) => self.refused[usize::from(place)] = true,
            (Action::Hard, _) => self.refused = [true; 2],
            (Action::Good, Asked::Dot) => {
                for place in self.accepted.clone() {
                    self.heard[usize::from(place)] = true;
                }
                self.take();
            }
            _ => {}
        }
        self.tell(Input::Bytes(text.as_bytes()));
        Some(())
    }

    fn write(&mut self) {
        let Waits::Write(outcomes, _) = std::mem::replace(&mut self.waits, Waits::Nothing) else { return };
        for (place, kind) in outcomes {
            self.written[place as usize] = Some(kind);
            self.heard[place as usize] = false;
        }
        self.tell(Input::Written);
    }
}

fn kinds(outcomes: &[(u32, Outcome)]) -> Vec<(u32, Kind)> {
    let kind = |outcome: &Outcome| match outcome {
        Outcome::Delivered { .. } => Kind::Delivered,
        Outcome::Failed(_) => Kind::Failed,
        _ => Kind::Deferred,
    };
    outcomes.iter().map(|(place, outcome)| (*place, kind(outcome))).collect()
}

fn answer(question: &Question) -> Answer {
    let mx = |preference, name: &str| DnsRecord::Mx { preference, exchange: name.to_owned() };
    let Question::Resolve { name, kind } = question else { return Answer::ListedHost(Ok(Vec::new())) };
    let records = match (kind, name.as_str()) {
        (RecordKind::Mx, _) => vec![mx(10, "mx1.sim"), mx(20, "mx2.sim")],
        (_, "mx1.sim") => vec![DnsRecord::A(Ipv4Addr::new(10, 0, 0, 1))],
        _ => vec![DnsRecord::A(Ipv4Addr::new(10, 0, 0, 2))],
    };
    resolved(name, records)
}

impl Model for Delivery {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        match &state.waits {
            Waits::Connect => actions.extend([Action::Connected, Action::Unreachable]),
            Waits::Write(..) => actions.push(Action::Written),
            Waits::Reply => {
                actions.extend([Action::Good, Action::Cut]);
                match state.asked.front() {
                    Some(Asked::Dot) => actions.extend([Action::Soft, Action::Hard, Action::ReplyLost]),
                    Some(Asked::Rcpt(_) | Asked::Mail | Asked::Data) => {
                        actions.extend([Action::Soft, Action::Hard, Action::Closing]);
                    }
                    Some(Asked::Greeting) => actions.push(Action::Closing),
                    _ => {}
                }
            }
            Waits::Nothing if state.attempts < self.attempts && !state.left().is_empty() => {
                actions.push(Action::Again);
            }
            Waits::Nothing => {}
        }
        if state.crashes < self.crashes && state.waits != Waits::Nothing {
            actions.push(Action::Crash);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Connected => {
                next.asked.push_back(Asked::Greeting);
                next.tell(Input::Connected);
            }
            Action::Unreachable => next.tell(Input::Lost(Loss::Refused)),
            Action::Good | Action::Soft | Action::Hard | Action::Closing => {
                next.answer(action, self.pipelining)?;
            }
            Action::Cut => {
                next.closed();
                next.tell(Input::Lost(Loss::Closed));
            }
            Action::ReplyLost => {
                for place in next.accepted.clone() {
                    next.causes[usize::from(place)] += 1;
                }
                next.take();
                next.closed();
                next.tell(Input::Lost(Loss::Closed));
            }
            Action::Written => next.write(),
            Action::Again => {
                next.reused |= !next.joint.is_idle() || next.joint.delivery_stage().is_some();
                next.begin();
            }
            Action::Crash => {
                let heard = std::mem::take(&mut next.heard);
                for (causes, heard) in next.causes.iter_mut().zip(heard) {
                    *causes += u8::from(heard);
                }
                next.closed();
                next.crashes += 1;
                next.joint = Outbound::new(Arc::clone(&self.config), 1);
                next.waits = Waits::Nothing;
                next.attempts = next.attempts.saturating_sub(1);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("a second copy has a cause", |_, state: &State| {
                (0..2).all(|place| state.copies[place] <= 1 + state.causes[place])
            }),
            Property::always("delivered means that a server has it", |_, state: &State| {
                (0..2).all(|place| state.written[place] != Some(Kind::Delivered) || state.copies[place] > 0)
            }),
            Property::always("failed means that a server refused it for good", |_, state: &State| {
                (0..2).all(|place| state.written[place] != Some(Kind::Failed) || state.refused[place])
            }),
            Property::always(
                "an attempt ends in one outcome for each of its recipients",
                |_, state: &State| {
                    let Waits::Write(outcomes, true) = &state.waits else { return true };
                    let wanted: Vec<u32> = state.left().into_iter().map(u32::from).collect();
                    wanted
                        .iter()
                        .all(|place| outcomes.iter().filter(|(other, _)| other == place).count() == 1)
                },
            ),
            Property::sometimes("both are delivered", |_, state: &State| {
                state.written == [Some(Kind::Delivered); 2]
            }),
            Property::sometimes("one is delivered, the other fails", |_, state: &State| {
                state.written == [Some(Kind::Delivered), Some(Kind::Failed)]
            }),
            Property::sometimes("a second copy after a lost reply", |_, state: &State| {
                state.copies[0] > 1 && state.crashes == 0
            }),
        ];
        if self.attempts > 1 {
            properties.push(Property::sometimes("a kept connection is used again", |_, state: &State| {
                state.reused
            }));
        }
        if self.crashes > 0 {
            properties.push(Property::sometimes(
                "a crash before the write costs a second copy",
                |_, state: &State| state.crashes > 0 && state.copies.iter().any(|copies| *copies > 1),
            ));
        }
        properties
    }
}
