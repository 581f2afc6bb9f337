//! Kept connections: the outbound joint that ships takes one attempt after the other, for two destinations, from a driver that does not
//! look at what it hands to whom; and the servers, which offer TLS or do not, end connections whenever they like.

use super::delivery::attempt;
use super::resolved;
use postrider_core::ask::{Answer, DnsRecord, Question, RecordKind};
use postrider_core::delivery::{Loss, Protocol};
use postrider_core::machine::Machine;
use postrider_core::mail::{Outcome, TlsFacts};
use postrider_core::outbound::{self, Effect, Endpoint, Input, Outbound};
use postrider_core::params::{self, Host};
use postrider_core::time::{Duration, Instant, Now, Timestamp};
use postrider_core::wire::Mailbox;
use stateright::{Model, Property};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Attempts that one connection may serve.
const USES_MAX: u8 = 2;
/// Seconds that a connection may wait for the next attempt, and that it may live.
const IDLE: u64 = 2;
const AGE: u64 = 3;

#[derive(Debug, Clone)]
pub(super) struct Kept {
    config: Arc<outbound::Config>,
    level: Level,
    attempts: u8,
    seconds: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    None,
    May,
    Encrypt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asked {
    Greeting,
    Hello,
    StartTls,
    Mail,
    Rcpt,
    Data,
    Dot,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Waits {
    Connect,
    Reply,
    Handshake,
    Write,
    Nothing,
}

/// A connection, as its server and a watch see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Line {
    /// Of which destination.
    home: u8,
    secured: bool,
    opened: Instant,
    uses: u8,
    parked: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    joint: Outbound,
    now: Now,
    waits: Waits,
    /// Whose connection is being made.
    goal: u8,
    line: Option<Line>,
    asked: VecDeque<Asked>,
    content: bool,
    /// The destination of the attempt, whether it came to a connection of its own, and whether MAIL was answered.
    destination: u8,
    connected: bool,
    heard: bool,
    attempts: u8,
    passed: u8,
    settled: u8,
    wrong: Option<Wrong>,
    seen: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wrong {
    Stranger,
    Clear,
    Overused,
    TooOld,
    AttemptLost,
    SettledTwice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Seen {
    reused: bool,
    stale: bool,
    clear: bool,
    secured: bool,
    used_up: bool,
    expired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Mail for this destination.
    Attempt(u8),
    Connected,
    Unreachable,
    Good,
    /// EHLO is answered without STARTTLS.
    Bare,
    Soft,
    Closing,
    Cut,
    Secured,
    TlsFailed,
    Written,
    Retire,
    Second,
}

/// A configuration with this level of TLS.
pub(super) fn config(level: Level) -> Arc<outbound::Config> {
    let name = match level {
        Level::None => "none",
        Level::May => "may",
        Level::Encrypt => "encrypt",
    };
    let main = format!(
        "compatibility_level = 3.6\nsmtp_tls_security_level = {name}\ninet_protocols = ipv4\nsmtp_host_lookup = dns\n\
         smtp_connection_reuse_count_limit = {USES_MAX}\nsmtp_connection_reuse_time_limit = {AGE}s\n\
         smtp_connection_cache_time_limit = {IDLE}s\n"
    );
    let (config, _) = params::Config::read(&main, "smtp unix - - n - - smtp\n", Host::default());
    Arc::new(outbound::Config::new(&config.settings(None), Protocol::Smtp, Vec::new()))
}

pub(super) fn scopes() -> Vec<(&'static str, Kept)> {
    let scope = |level| Kept { config: config(level), level, attempts: 4, seconds: 4 };
    vec![
        ("connections: kept, in the clear", scope(Level::None)),
        ("connections: kept, TLS where it is offered", scope(Level::May)),
        ("connections: kept, TLS or nothing", scope(Level::Encrypt)),
    ]
}

impl State {
    fn new(model: &Kept) -> Self {
        Self {
            joint: Outbound::new(Arc::clone(&model.config), 1),
            now: Now { mono: Instant(1_000_000_000), wall: Timestamp(1_767_225_600_000_000) },
            waits: Waits::Nothing,
            goal: 0,
            line: None,
            asked: VecDeque::new(),
            content: false,
            destination: 0,
            connected: false,
            heard: false,
            attempts: 0,
            passed: 0,
            settled: 0,
            wrong: None,
            seen: Seen::default(),
        }
    }

    fn blame(&mut self, wrong: Wrong) {
        self.wrong.get_or_insert(wrong);
    }

    fn begin(&mut self, model: &Kept, destination: u8) {
        self.attempts += 1;
        (self.destination, self.connected, self.heard) = (destination, false, false);
        if let Some(line) = self.line.filter(|line| line.parked.is_some()) {
            let idle = line.parked.is_some_and(|parked| self.now.mono.since(parked).as_secs() >= IDLE);
            if idle || self.now.mono.since(line.opened).as_secs() >= AGE {
                self.blame(Wrong::TooOld);
            }
        }
        let domain = ["x.sim", "y.sim"][usize::from(destination)];
        let mut attempt = attempt(self.attempts, &[0]);
        domain.clone_into(&mut attempt.nexthop);
        for recipient in &mut attempt.recipients {
            recipient.address = Mailbox::new("a", domain);
        }
        self.tell(model, Input::Attempt(Box::new(attempt)));
    }

    fn tell(&mut self, model: &Kept, input: Input<'_>) {
        self.joint.handle_input(self.now, input);
        self.drain(model);
    }

    fn drain(&mut self, model: &Kept) {
        let mut next = None;
        while let Some(effect) = self.joint.poll_output() {
            match effect {
                Effect::Send(octets) => self.sent(model, &octets),
                Effect::Event(_) | Effect::Notice(_) => {}
                effect => next = Some(effect),
            }
        }
        self.waits = match next {
            None => Waits::Reply,
            Some(Effect::Ask(question)) => return self.tell(model, Input::Answer(answer(&question))),
            Some(Effect::Read { restart, .. }) => {
                let content: &[u8] = if restart { b"hi\r\n" } else { b"" };
                return self.tell(model, Input::Content(content));
            }
            Some(Effect::Connect { endpoint, .. }) => {
                self.hang_up();
                self.goal = u8::from(matches!(
                    endpoint,
                    Endpoint::Inet { address: IpAddr::V4(address), .. } if address.octets()[3] == 2
                ));
                Waits::Connect
            }
            Some(Effect::StartTls(_)) => Waits::Handshake,
            Some(Effect::Settle(settled)) => {
                self.settle(&settled.outcomes);
                Waits::Write
            }
            Some(Effect::Park(_)) => {
                if let Some(line) = &mut self.line {
                    line.parked = Some(self.now.mono);
                }
                Waits::Nothing
            }
            Some(_) => {
                self.hang_up();
                Waits::Nothing
            }
        };
    }

    fn hang_up(&mut self) {
        self.line = None;
        self.asked.clear();
        self.content = false;
    }

    fn settle(&mut self, outcomes: &[(u32, Outcome)]) {
        self.settled += 1;
        if self.settled != self.attempts || outcomes.len() != 1 {
            self.blame(Wrong::SettledTwice);
        }
        let delivered = outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Delivered { .. }));
        if !delivered && !self.connected && !self.heard {
            self.blame(Wrong::AttemptLost);
        }
        self.seen.used_up |= self.line.is_some_and(|line| line.uses == USES_MAX);
    }

    fn sent(&mut self, model: &Kept, octets: &[u8]) {
        let text = String::from_utf8_lossy(octets).into_owned();
        for line in text.lines() {
            if self.content {
                if line == "." {
                    self.content = false;
                    self.asked.push_back(Asked::Dot);
                }
                continue;
            }
            let asked = match line.get(..4).unwrap_or("") {
                "EHLO" => Asked::Hello,
                "STAR" => Asked::StartTls,
                "MAIL" => Asked::Mail,
                "RCPT" => Asked::Rcpt,
                "DATA" => Asked::Data,
                _ => Asked::Other,
            };
            self.watch(model, asked, line);
            self.asked.push_back(asked);
        }
    }

    /// What may be said on this connection.
    fn watch(&mut self, model: &Kept, asked: Asked, text: &str) {
        let Some(mut line) = self.line else { return };
        match asked {
            Asked::Mail => {
                line.uses += 1;
                if line.uses > USES_MAX {
                    self.blame(Wrong::Overused);
                }
                if model.level == Level::Encrypt && !line.secured {
                    self.blame(Wrong::Clear);
                }
                self.seen.reused |= line.parked.is_some();
                self.seen.clear |= !line.secured;
                self.seen.secured |= line.secured;
                line.parked = None;
            }
            Asked::Rcpt if !text.contains(["@x.", "@y."][usize::from(line.home)]) => {
                self.blame(Wrong::Stranger);
            }
            _ => {}
        }
        self.line = Some(line);
    }

    fn answer(&mut self, model: &Kept, action: Action) -> Option<()> {
        let asked = self.asked.pop_front()?;
        let text = match (action, asked) {
            (Action::Good, Asked::Greeting) => "220 mx ESMTP\r\n",
            (Action::Good, Asked::Hello) if self.line.is_some_and(|line| !line.secured) => {
                "250-mx\r\n250 STARTTLS\r\n"
            }
            (Action::Bare | Action::Good, Asked::Hello) => "250 mx\r\n",
            (Action::Good, Asked::StartTls) => "220 2.0.0 go on\r\n",
            (Action::Good, Asked::Data) => {
                self.content = true;
                "354 go on\r\n"
            }
            (Action::Good, _) => "250 2.0.0 ok\r\n",
            (Action::Soft, _) => "451 4.3.0 later\r\n",
            (Action::Closing, _) => "421 4.3.2 bye\r\n",
            _ => return None,
        };
        self.heard |= asked == Asked::Mail;
        self.tell(model, Input::Bytes(text.as_bytes()));
        Some(())
    }

    fn secured(&mut self, model: &Kept) -> Option<()> {
        self.line.as_mut()?.secured = true;
        let facts = TlsFacts {
            protocol: "TLSv1.3".to_owned(),
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            cipher_bits: 256,
            trusted: true,
            peer_name: Some("mx.sim".to_owned()),
        };
        self.tell(model, Input::Secured(facts));
        Some(())
    }

    fn second(&mut self, model: &Kept) {
        self.passed += 1;
        let end = self.now.mono.after(Duration::from_secs(1));
        while let Some(at) = self.joint.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.after(at.since(self.now.mono));
            self.seen.expired |= self.waits == Waits::Nothing;
            self.joint.handle_timeout(self.now);
            self.drain(model);
        }
        self.now = self.now.after(end.since(self.now.mono));
    }

    fn is_parked(&self) -> bool {
        self.waits == Waits::Nothing && self.line.is_some()
    }
}

pub(super) fn answer(question: &Question) -> Answer {
    let Question::Resolve { name, kind } = question else { return Answer::ListedHost(Ok(Vec::new())) };
    let host = u8::from(name.contains('y'));
    let records = match kind {
        RecordKind::Mx => {
            vec![DnsRecord::Mx {
                preference: 10,
                exchange: ["mx.x.sim", "mx.y.sim"][usize::from(host)].into(),
            }]
        }
        _ => vec![DnsRecord::A(Ipv4Addr::new(10, 0, 0, 1 + host))],
    };
    resolved(name, records)
}

impl Model for Kept {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrong.is_some() {
            return;
        }
        match state.waits {
            Waits::Connect => actions.extend([Action::Connected, Action::Unreachable]),
            Waits::Handshake => actions.extend([Action::Secured, Action::TlsFailed, Action::Cut]),
            Waits::Write => actions.push(Action::Written),
            Waits::Reply => {
                actions.extend([Action::Good, Action::Cut]);
                match state.asked.front() {
                    Some(Asked::Hello) if self.level != Level::None => actions.push(Action::Bare),
                    Some(Asked::Mail | Asked::StartTls | Asked::Other) => {
                        actions.extend([Action::Soft, Action::Closing]);
                    }
                    _ => {}
                }
            }
            Waits::Nothing => {
                if state.attempts < self.attempts {
                    actions.extend([Action::Attempt(0), Action::Attempt(1)]);
                }
                if state.is_parked() {
                    actions.extend([Action::Cut, Action::Retire]);
                }
            }
        }
        if state.passed < self.seconds && matches!(state.waits, Waits::Nothing | Waits::Write) {
            actions.push(Action::Second);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Attempt(destination) => next.begin(self, destination),
            Action::Connected => {
                let opened = next.now.mono;
                next.line = Some(Line { home: next.goal, secured: false, opened, uses: 0, parked: None });
                next.connected = true;
                next.asked.push_back(Asked::Greeting);
                next.tell(self, Input::Connected);
            }
            Action::Unreachable => {
                next.connected = true;
                next.tell(self, Input::Lost(Loss::Refused));
            }
            Action::Good | Action::Bare | Action::Soft | Action::Closing => next.answer(self, action)?,
            Action::Cut => {
                next.seen.stale |= next.line.is_some_and(|line| line.parked.is_some());
                next.hang_up();
                next.tell(self, Input::Lost(Loss::Closed));
            }
            Action::Secured => next.secured(self)?,
            Action::TlsFailed => next.tell(self, Input::TlsFailed("handshake failure".to_owned())),
            Action::Written => next.tell(self, Input::Written),
            Action::Retire => next.tell(self, Input::Retire),
            Action::Second => next.second(self),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            never!(Stranger, "mail goes to a server of its own destination"),
            never!(Clear, "where TLS is a must, no mail goes in the clear"),
            never!(Overused, "a connection serves no more attempts than it may"),
            never!(TooOld, "a connection is used within its time"),
            never!(AttemptLost, "a kept connection that has died costs no attempt"),
            never!(SettledTwice, "each attempt has one end, with one outcome"),
            Property::sometimes("a kept connection is used again", |_, state: &State| state.seen.reused),
            Property::sometimes("a kept connection dies", |_, state: &State| state.seen.stale),
            Property::sometimes("a connection has served all that it may", |_, state: &State| {
                state.seen.used_up
            }),
            Property::sometimes("a kept connection is left when its time is over", |_, state: &State| {
                state.seen.expired
            }),
        ];
        if self.level != Level::Encrypt {
            properties
                .push(Property::sometimes("mail goes in the clear", |_, state: &State| state.seen.clear));
        }
        if self.level != Level::None {
            properties.push(Property::sometimes("mail goes over TLS", |_, state: &State| state.seen.secured));
        }
        properties
    }
}
