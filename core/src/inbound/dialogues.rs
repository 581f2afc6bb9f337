//! The player of corpus/dialogues: every file is played whole, cut at every place, octet by octet, and at random places,
//! and must always sound the same (segments do not matter). corpus/dialogues/README.md is the notation.

use super::{Config, Effect, Inbound, Input, Peer};
use crate::ask::{Answer, DnsFailure, DnsRecord, DnsRecords, Question, RecordKind, TableFailure};
use crate::cleanup::{Draft, Finished};
use crate::event::Event;
use crate::limits;
use crate::machine::Machine;
use crate::mail::{
    ContentPlace, Message, Notice, NoticeClass, Piece, Pieces, QueueId, Refusal, TlsFacts, Voice,
};
use crate::params::Settings;
use crate::policy::{Action, Judgement, Situation, Stage, Verdict};
use crate::prng::Prng;
use crate::time::{Duration, Instant, Now, Timestamp};
use crate::wire::{EnhancedStatus, Reply};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Verdicts and the end of cleanup, as a dialogue scripts them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    rules: Vec<(Stage, String, Judgement)>,
    cleanup: Option<Reply>,
}

impl Script {
    /// The first rule of the stage whose key is `*`, the recipient, the sender or the HELO name.
    pub(crate) fn judge(&self, stage: Stage, situation: &Situation<'_>) -> Judgement {
        let known = [
            situation.recipient.map(|recipient| recipient.external()),
            situation.sender.map(|sender| format!("<{}>", sender.external())),
            situation.helo.map(str::to_owned),
        ];
        let fits = |key: &str| key == "*" || known.iter().flatten().any(|text| text == key);
        self.rules
            .iter()
            .find(|(at, key, _)| *at == stage && fits(key))
            .map_or_else(|| judgement(Verdict::Permit, None), |(_, _, judgement)| judgement.clone())
    }

    /// A message of trace, prepended fields and all that is stored.
    pub(crate) fn finish(&self, draft: &Draft, stored: u64) -> (Finished, Vec<Event>) {
        if let Some(reply) = &self.cleanup {
            return (Finished::Refused(reply.clone(), NoticeClass::Policy), Vec::new());
        }
        let mut pieces = Pieces::default();
        pieces.literal(&draft.trace);
        for line in &draft.prepend {
            pieces.literal(format!("{line}\r\n").as_bytes());
        }
        pieces.stored(0, stored);
        let message = Message {
            id: draft.id,
            envelope: draft.envelope.clone(),
            pieces,
            place: ContentPlace::Inline,
            stored,
            origin: draft.origin,
            message_id: String::new(),
            hold: draft.hold,
            checksum: None,
            unknown: Vec::new(),
        };
        (Finished::Message(Box::new(message)), Vec::new())
    }
}

fn judgement(verdict: Verdict, action: Option<Action>) -> Judgement {
    Judgement { verdict, actions: action.into_iter().collect(), class: NoticeClass::Policy }
}

/// One line of a dialogue, behind its line number.
#[derive(Debug, Clone)]
enum Step {
    /// The client says these octets.
    Say(Vec<u8>),
    /// The client goes away.
    Leave,
    /// The server says a line like this.
    Hear(String),
    /// The server closes.
    Closed,
    /// The handshake ends.
    Secured(Result<TlsFacts, String>),
    /// Time passes.
    Wait(Duration),
    /// The daemon is told to stop.
    Drain,
    /// A line like this was logged.
    Logged(String),
    /// No line like this was logged.
    NotLogged(String),
    /// The literal part of the last message begins with a line like this (and goes on with those of the next such steps).
    Trace(String),
    /// The stored content of the last message has this line; consecutive steps are all of it.
    Content(String),
    /// The envelope of the last message is like this.
    Envelope(String),
    /// So many messages were committed.
    Messages(usize),
    /// The first notice that was not looked at yet is of these classes, and its lines are like these.
    Notice(String),
    /// No other notice was sent.
    NoNotice,
}

#[derive(Debug, Default)]
struct Dialogue {
    steps: Vec<(usize, Step)>,
    settings: Vec<(String, String)>,
    script: Script,
    names: BTreeMap<(String, RecordKind), Result<DnsRecord, DnsFailure>>,
    tables: BTreeMap<(String, String), String>,
    space: Option<u64>,
    commits: Vec<Result<(), Refusal>>,
    /// Made once: a dialogue is played a thousand times.
    made: std::cell::OnceCell<Arc<Config>>,
    /// The access lists judge and cleanup cleans up, instead of the script.
    judged: bool,
    /// Cuts would change what happens: it is about octets that come too early.
    uncut: bool,
}

type Failure = String;

fn read(text: &str) -> Result<Dialogue, Failure> {
    let mut dialogue = Dialogue::default();
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        let line = line.split_once("  # ").map_or(line, |(line, _)| line.trim_end());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(wait) = line.strip_prefix('+') {
            dialogue.steps.push((at, Step::Wait(duration(wait)?)));
            continue;
        }
        if let Some(setting) = line.strip_prefix("! ") {
            dialogue.set(setting);
            continue;
        }
        let (tag, rest) = line.split_once(':').ok_or(format!("line {at}: no tag"))?;
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let (tag, times) = match tag.split_once('*') {
            Some((tag, times)) => (tag, times.parse().map_err(|_| format!("line {at}: a number"))?),
            None => (tag, 1usize),
        };
        match tag {
            "?" => dialogue.fact(rest).ok_or(format!("line {at}: what fact is that?"))?,
            _ => {
                let step = step(tag, rest).ok_or(format!("line {at}: what step is that?"))?;
                for number in 1..=times {
                    dialogue.steps.push((at, numbered(&step, number)));
                }
            }
        }
    }
    Ok(dialogue)
}

fn step(tag: &str, rest: &str) -> Option<Step> {
    Some(match (tag, rest) {
        ("C", "[close]") => Step::Leave,
        ("C", text) => Step::Say(format!("{text}\r\n").into_bytes()),
        ("c", text) => Step::Say(unescape(text)?),
        ("S", "[close]") => Step::Closed,
        ("S", text) => Step::Hear(text.to_owned()),
        ("T", text) => Step::Secured(match text.strip_prefix("failed ") {
            Some(why) => Err(why.to_owned()),
            None => {
                let (protocol, cipher) = text.split_once(' ')?;
                Ok(TlsFacts {
                    protocol: protocol.to_owned(),
                    cipher: cipher.to_owned(),
                    cipher_bits: 256,
                    ..TlsFacts::default()
                })
            }
        }),
        ("D", _) => Step::Drain,
        ("E", text) => Step::Logged(text.to_owned()),
        ("e", text) => Step::NotLogged(text.to_owned()),
        ("H", text) => Step::Trace(text.to_owned()),
        ("=", text) => Step::Content(text.to_owned()),
        ("@", text) => Step::Envelope(text.to_owned()),
        ("M", text) => Step::Messages(text.parse().ok()?),
        ("N", "[none]") => Step::NoNotice,
        ("N", text) => Step::Notice(text.to_owned()),
        _ => return None,
    })
}

/// `C*5: RCPT TO:<u#@x>`: the number in place of `#`.
fn numbered(step: &Step, number: usize) -> Step {
    match step {
        Step::Say(octets) if octets.contains(&b'#') => {
            Step::Say(String::from_utf8_lossy(octets).replace('#', &number.to_string()).into_bytes())
        }
        other => other.clone(),
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let (mut octets, mut rest) = (Vec::new(), text.chars());
    while let Some(c) = rest.next() {
        if c != '\\' {
            octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        octets.push(match rest.next()? {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            '0' => 0,
            '\\' => b'\\',
            'x' => u8::try_from(rest.next()?.to_digit(16)? * 16 + rest.next()?.to_digit(16)?).ok()?,
            _ => return None,
        });
    }
    Some(octets)
}

fn duration(text: &str) -> Result<Duration, Failure> {
    let wrong = || format!("{text}: a time such as 5m");
    let (number, unit) = text.trim().split_at(text.trim().len().saturating_sub(1));
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => number,
        "m" => number * 60,
        "h" => number * 3600,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(seconds))
}

/// `554 5.7.1 text`.
fn reply(text: &str) -> Option<Reply> {
    let (code, text) = text.split_once(' ')?;
    let (status, text) = text.split_once(' ')?;
    let mut parts = status.split('.').map(str::parse::<u16>);
    let mut part = || parts.next()?.ok();
    let status = EnhancedStatus::new(u8::try_from(part()?).ok()?, part()?, part()?);
    Some(Reply::new(code.parse().ok()?, Some(status), text))
}

impl Dialogue {
    fn set(&mut self, text: &str) {
        match text.split_once('=') {
            None if text.trim() == "judged" => self.judged = true,
            None => self.uncut |= text.trim() == "uncut",
            Some((name, value)) => self.settings.push((name.trim().to_owned(), value.trim().to_owned())),
        }
    }

    /// What the world knows: `PTR name host`, `A name address`, `space octets`, `commit ok full broken`, `lookup table key value`,
    /// `cleanup 554 …`, or a verdict `reject RCPT key 554 …`, `hold RCPT key text`.
    fn fact(&mut self, text: &str) -> Option<()> {
        let (kind, rest) = text.split_once(' ')?;
        match kind {
            "PTR" | "A" | "AAAA" => {
                let (name, value) = rest.split_once(' ')?;
                let (kind, record) = match kind {
                    "PTR" => (RecordKind::Ptr, DnsRecord::Ptr(value.to_owned())),
                    "A" => (RecordKind::A, DnsRecord::A(value.parse().ok()?)),
                    _ => (RecordKind::Aaaa, DnsRecord::Aaaa(value.parse().ok()?)),
                };
                self.names.insert((name.to_owned(), kind), Ok(record));
            }
            "broken" => _ = self.names.insert((rest.to_owned(), RecordKind::Ptr), Err(DnsFailure::TryAgain)),
            "space" => self.space = rest.parse().ok(),
            "commit" => {
                for word in rest.split(' ') {
                    self.commits.push(match word {
                        "full" => Err(Refusal::Full),
                        "broken" => Err(Refusal::Broken),
                        _ => Ok(()),
                    });
                }
            }
            "lookup" => {
                let mut words = rest.splitn(3, ' ');
                self.tables
                    .insert((words.next()?.to_owned(), words.next()?.to_owned()), words.next()?.to_owned());
            }
            "cleanup" => self.script.cleanup = Some(reply(rest)?),
            verb => self.verdict(verb, rest)?,
        }
        Some(())
    }

    fn verdict(&mut self, verb: &str, rest: &str) -> Option<()> {
        let mut words = rest.splitn(3, ' ');
        let stage = match words.next()? {
            "CLIENT" => Stage::Client,
            "HELO" => Stage::Helo,
            "MAIL" => Stage::Mail,
            "RCPT" => Stage::Rcpt,
            "DATA" => Stage::Data,
            "END" => Stage::EndOfData,
            "VRFY" => Stage::Vrfy,
            _ => return None,
        };
        let (key, text) = (words.next()?.to_owned(), words.next()?.to_owned());
        let action = match verb {
            "reject" => None,
            "hold" => Some(Action::Hold(text.clone())),
            "discard" => Some(Action::Discard(text.clone())),
            "filter" => Some(Action::Filter(text.clone())),
            "prepend" => Some(Action::Prepend(text.clone())),
            "warn" => Some(Action::Log("warn", text.clone())),
            "redirect" => Some(Action::Redirect(crate::wire::Mailbox::parse(&text).ok()?)),
            "bcc" => Some(Action::Bcc(crate::wire::Mailbox::parse(&text).ok()?)),
            _ => return None,
        };
        let verdict = if action.is_none() { Verdict::Refuse(reply(&text)?) } else { Verdict::Permit };
        self.script.rules.push((stage, key, judgement(verdict, action)));
        Some(())
    }

    /// A value of a `!` line; those of main.cf and `client`, `tls_ready`.
    fn setting(&self, wanted: &str) -> Option<&str> {
        self.settings.iter().rfind(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// The rooms, made of the lines of main.cf as the daemon makes them.
    fn config(&self) -> Config {
        let base = [
            ("compatibility_level", "3.6"),
            ("myhostname", "mx.here.example"),
            ("mydomain", "here.example"),
            ("mail_name", "Postrider"),
        ];
        let known = |(name, value): &'_ (String, String)| -> Option<(String, String)> {
            (!matches!(name.as_str(), "client" | "tls_ready")).then(|| (name.clone(), value.clone()))
        };
        let given: Vec<(String, String)> = self.settings.iter().filter_map(known).collect();
        let given = given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs: Vec<(&str, &str)> = base.into_iter().chain(given).collect();
        let tls = self.setting("smtpd_tls_security_level").is_some()
            || self.setting("smtpd_tls_wrappermode") == Some("yes");
        let ready = self.setting("tls_ready").map_or(tls, |value| value == "yes");
        let config = Config::new(&Settings::of(&pairs), ready).expect("a dialogue is configured rightly");
        Config { script: (!self.judged).then(|| self.script.clone()), ..config }
    }

    fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Resolve { name, kind } => {
                let known = self.names.get(&(name.clone(), *kind)).cloned();
                Answer::Resolve(known.unwrap_or(Err(DnsFailure::NoSuchName)).map(|record| DnsRecords {
                    records: vec![record],
                    canonical: name.clone(),
                    valid_until: Instant(u64::MAX),
                    authentic: false,
                }))
            }
            Question::Lookup { table, key } => {
                let value = self.tables.get(&(table.0.clone(), key.clone())).cloned();
                Answer::Lookup(match value.as_deref() {
                    Some("[broken]") => Err(TableFailure { table: table.clone(), why: "scripted".into() }),
                    _ => Ok(value),
                })
            }
            Question::NativeHost { .. } => Answer::NativeHost(Vec::new()),
            Question::FreeSpace => Answer::FreeSpace(self.space.unwrap_or(u64::MAX)),
        }
    }

    fn peer(&self) -> Peer {
        let address = self.setting("client").unwrap_or("192.0.2.1");
        Peer {
            address: address.parse().expect("a dialogue gives an address"),
            port: 40_000,
            local: "192.0.2.25".parse().expect("an address"),
        }
    }
}

/// All that a play let be seen.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transcript {
    sent: Vec<u8>,
    logged: Vec<String>,
    messages: Vec<(Message, Vec<u8>)>,
    /// As text: `classes`, and lines.
    notices: std::collections::VecDeque<Vec<String>>,
    closed: bool,
}

struct Player<'a> {
    dialogue: &'a Dialogue,
    inbound: Inbound,
    now: Now,
    seen: Transcript,
    /// Octets of `seen.sent` that were expected.
    heard: usize,
    staged: Vec<u8>,
    handshake: bool,
    ids: u64,
    /// Who said what, line by line, and how many octets of `seen.sent` are in it.
    script: Vec<String>,
    scripted: usize,
}

impl<'a> Player<'a> {
    fn new(dialogue: &'a Dialogue) -> Result<Self, Failure> {
        let now = Now { mono: Instant(0), wall: Timestamp::from_seconds(1_795_233_600) };
        let inbound = Inbound::new(
            now,
            Arc::clone(dialogue.made.get_or_init(|| Arc::new(dialogue.config()))),
            dialogue.peer(),
        );
        let mut player = Self {
            dialogue,
            inbound,
            now,
            seen: Transcript::default(),
            heard: 0,
            staged: Vec::new(),
            handshake: false,
            ids: 0,
            script: Vec::new(),
            scripted: 0,
        };
        player.drain()?;
        player.take_down();
        Ok(player)
    }

    fn tell(&mut self, input: Input<'_>) -> Result<(), Failure> {
        self.inbound.handle_input(self.now, input);
        self.drain()
    }

    /// Takes all effects and does what they ask for, as a driver would.
    fn drain(&mut self) -> Result<(), Failure> {
        while let Some(effect) = self.inbound.poll_output() {
            if self.seen.closed {
                return Err(format!("{effect:?} behind the close"));
            }
            let asks = matches!(effect, Effect::Ask(_) | Effect::Identify | Effect::Commit(_));
            let next = self.execute(effect);
            if asks && self.inbound.poll_output().is_some() {
                return Err("a request was not the last effect of its drain".to_owned());
            }
            if let Some(input) = next {
                self.inbound.handle_input(self.now, input);
            }
        }
        Ok(())
    }

    fn execute(&mut self, effect: Effect) -> Option<Input<'static>> {
        match effect {
            Effect::Send(octets) => self.seen.sent.extend(octets),
            Effect::StartTls => self.handshake = true,
            Effect::Close => self.seen.closed = true,
            Effect::Stage(octets) => self.staged.extend(octets),
            Effect::Unstage => self.staged.clear(),
            Effect::Event(event) => self.seen.logged.push(event.text()),
            Effect::Notice(notice) => self.seen.notices.push_back(notice_lines(&notice)),
            Effect::Ask(question) => return Some(Input::Answer(self.dialogue.answer(&question))),
            Effect::Identify => {
                self.ids += 1;
                return Some(Input::Identified(QueueId::new(self.ids, 0)));
            }
            Effect::Commit(message) => {
                let result = self.dialogue.commits.get(self.seen.messages.len()).copied().unwrap_or(Ok(()));
                if result.is_ok() {
                    self.seen.messages.push((*message, std::mem::take(&mut self.staged)));
                }
                return Some(Input::Committed(result));
            }
        }
        None
    }

    /// Takes down what the server said since the last time.
    fn take_down(&mut self) {
        let said = text_lines(&self.seen.sent[self.scripted..]);
        self.scripted = self.seen.sent.len();
        self.script.extend(said.into_iter().map(|line| format!("S: {line}")));
    }

    /// The client says octets, in pieces that end at the cuts.
    fn say(&mut self, octets: &[u8], cuts: &[usize]) -> Result<(), Failure> {
        if self.heard < self.seen.sent.len() {
            let unheard = String::from_utf8_lossy(&self.seen.sent[self.heard..]).into_owned();
            return Err(format!("the server said more than it should: {unheard:?}"));
        }
        self.script.extend(text_lines(octets).into_iter().map(|line| format!("C: {line}")));
        let mut from = 0;
        for &to in cuts.iter().chain([&octets.len()]) {
            while from < to {
                let room = self.inbound.room();
                if room == 0 {
                    return Err("the machine is stuck: no room, and nothing to wait for".to_owned());
                }
                let end = to.min(from + room.min(limits::CHUNK_MAX));
                self.tell(Input::Bytes(&octets[from..end]))?;
                from = end;
            }
        }
        self.take_down();
        Ok(())
    }

    fn pass(&mut self, duration: Duration) -> Result<(), Failure> {
        let end = self.now.after(duration);
        while let Some(at) = self.inbound.next_timeout().filter(|at| *at <= end.mono) {
            self.now = self.now.after(at.since(self.now.mono));
            self.inbound.handle_timeout(self.now);
            self.drain()?;
        }
        self.now = end;
        Ok(())
    }

    fn hear(&mut self, wanted: &str) -> Result<(), Failure> {
        let rest = &self.seen.sent[self.heard..];
        let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            return Err(format!("expected {wanted:?}, heard nothing{}", self.end()));
        };
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.heard += end + 2;
        if like(wanted, &line) { Ok(()) } else { Err(format!("expected {wanted:?}, heard {line:?}")) }
    }

    fn end(&self) -> &'static str {
        if self.seen.closed { ": the connection is closed" } else { "" }
    }

    fn step(&mut self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Leave => self.script.push("C: [close]".to_owned()),
            Step::Closed => self.script.push("S: [close]".to_owned()),
            Step::Secured(Ok(facts)) => self.script.push(format!("T: {} {}", facts.protocol, facts.cipher)),
            Step::Secured(Err(why)) => self.script.push(format!("T: failed {why}")),
            Step::Wait(duration) => self.script.push(format!("+{}s", duration.as_secs())),
            Step::Drain => self.script.push("D:".to_owned()),
            _ => {}
        }
        let result = self.act(step);
        self.take_down();
        result
    }

    fn act(&mut self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Say(_) => Ok(()),
            Step::Leave => self.tell(Input::Closed),
            Step::Hear(wanted) => self.hear(wanted),
            Step::Closed if self.seen.closed => Ok(()),
            Step::Closed => Err("the server does not close".to_owned()),
            Step::Secured(result) => {
                if !std::mem::take(&mut self.handshake) {
                    return Err("no handshake was asked for".to_owned());
                }
                self.tell(match result {
                    Ok(facts) => Input::Secured(facts.clone()),
                    Err(why) => Input::TlsFailed(why.clone()),
                })
            }
            Step::Wait(_) if self.heard < self.seen.sent.len() => {
                let early = String::from_utf8_lossy(&self.seen.sent[self.heard..]).into_owned();
                Err(format!("the server said this before the time has passed: {early:?}"))
            }
            Step::Wait(duration) => self.pass(*duration),
            Step::Drain => self.tell(Input::Drain),
            Step::Logged(wanted) => self.logged(wanted, true),
            Step::NotLogged(wanted) => self.logged(wanted, false),
            Step::Messages(wanted) if *wanted == self.seen.messages.len() => Ok(()),
            Step::Messages(wanted) => Err(format!("{} messages, not {wanted}", self.seen.messages.len())),
            Step::Envelope(wanted) => {
                let (message, _) = self.seen.messages.last().ok_or("no message")?;
                let is = envelope(message);
                if like(wanted, &is) { Ok(()) } else { Err(format!("expected {wanted:?}, it is {is:?}")) }
            }
            Step::NoNotice if self.seen.notices.is_empty() => Ok(()),
            Step::NoNotice => Err(format!("not expected: {:?}", self.seen.notices)),
            Step::Notice(_) | Step::Trace(_) | Step::Content(_) => Ok(()),
        }
    }

    fn logged(&self, wanted: &str, whether: bool) -> Result<(), Failure> {
        let was = self.seen.logged.iter().any(|line| like(wanted, line));
        if was == whether {
            Ok(())
        } else {
            Err(format!("log: {wanted:?} is not as it should be in {:#?}", self.seen.logged))
        }
    }

    /// Lines of the literal part (`trace`), or of the stored content, of the last message.
    fn lines(&self, trace: bool) -> Result<Vec<String>, Failure> {
        let (message, stored) = self.seen.messages.last().ok_or("no message")?;
        if message.stored != stored.len() as u64 {
            return Err(format!("{} octets are stored, {} were staged", message.stored, stored.len()));
        }
        let literal = literal(message);
        let octets = if trace { &literal } else { stored };
        if !octets.is_empty() && !octets.ends_with(b"\r\n") {
            return Err("the last line is not ended".to_owned());
        }
        Ok(text_lines(octets))
    }
}

/// The octets of a message that are no stored content.
fn literal(message: &Message) -> Vec<u8> {
    let mut literal = Vec::new();
    for piece in &message.pieces.0 {
        if let Piece::Literal(octets) = piece {
            literal.extend_from_slice(octets);
        }
    }
    literal
}

/// Lines, with what does not show in them shown.
fn text_lines(octets: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(octets).into_owned();
    let escape = |line: &str| line.replace('\r', "\\r").replace('\n', "\\n").replace('\0', "\\0");
    text.split_terminator("\r\n").map(escape).collect()
}

/// `classes peer`, and the transcript as `In: …` and `Out: …`.
fn notice_lines(notice: &Notice) -> Vec<String> {
    let classes: Vec<&str> = notice.classes.words().collect();
    let mut lines = vec![format!("{} of {}", classes.join(" "), notice.peer)];
    lines.extend(notice.transcript.lines().map(|(voice, line)| {
        let sign = if voice == Voice::Peer { "In" } else { "Out" };
        format!("{sign}: {}", String::from_utf8_lossy(line))
    }));
    lines
}

/// `a@x -> b@y c@z` and what else is not as usual.
fn envelope(message: &Message) -> String {
    let envelope = &message.envelope;
    let mut text = format!("<{}>", envelope.sender.external());
    let mut put = |part: String| write!(text, " {part}").expect("a String takes all");
    for recipient in &envelope.recipients {
        put(format!("<{}>", recipient.address.external()));
        let notify = recipient.notify;
        if notify.explicit {
            let words = [("SUCCESS", notify.success), ("FAILURE", notify.failure), ("DELAY", notify.delay)];
            let words: Vec<&str> = words.into_iter().filter(|(_, on)| *on).map(|(word, _)| word).collect();
            put(format!("notify={}", if words.is_empty() { "NEVER".into() } else { words.join(",") }));
        }
        if let Some(orcpt) = &recipient.orcpt {
            put(format!("orcpt={};{}", orcpt.kind, orcpt.address));
        }
    }
    if let Some(envid) = &envelope.envid {
        put(format!("envid={envid}"));
    }
    if let Some(ret) = envelope.ret {
        put(format!("ret={ret:?}"));
    }
    put(format!("body={:?}", envelope.body));
    if envelope.smtputf8 {
        put("smtputf8".to_owned());
    }
    if let Some(filter) = &envelope.filter {
        put(format!("filter={filter}"));
    }
    if message.hold {
        put("hold".to_owned());
    }
    put(format!("proto={}", envelope.client.protocol));
    text
}

/// Whether a line is like a pattern in which `...` stands for anything.
fn like(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        (rest, last) = (&rest[at + part.len()..], Some(part));
    }
    match last {
        None => rest.is_empty(),
        Some("") => true,
        // The last part must be at the end; an earlier occurrence may have been taken.
        Some(part) => rest.is_empty() || line.ends_with(part),
    }
}

/// Plays a dialogue, and gives all that was to be seen.
fn play(dialogue: &Dialogue, cuts: &mut dyn FnMut(usize) -> Vec<usize>) -> Result<Transcript, Failure> {
    Ok(play_to_end(dialogue, cuts)?.seen)
}

/// A play as a text: who said what, what was logged, and the messages with their envelopes.
fn transcript(dialogue: &Dialogue) -> Result<String, Failure> {
    let player = play_to_end(dialogue, &mut |_| Vec::new())?;
    let mut lines = player.script;
    lines.extend(player.seen.logged.iter().map(|line| format!("log: {line}")));
    for (message, stored) in &player.seen.messages {
        lines.push(format!("@: {}", envelope(message)));
        lines.extend(text_lines(&literal(message)).into_iter().map(|line| format!("H: {line}")));
        lines.extend(text_lines(stored).into_iter().map(|line| format!("=: {line}")));
    }
    Ok(lines.join("\n"))
}

/// `cuts` says where a burst of so many octets is cut.
fn play_to_end<'a>(
    dialogue: &'a Dialogue,
    cuts: &mut dyn FnMut(usize) -> Vec<usize>,
) -> Result<Player<'a>, Failure> {
    let mut player = Player::new(dialogue)?;
    let mut steps = dialogue.steps.iter().peekable();
    while let Some((at, step)) = steps.next() {
        let result = match step {
            Step::Say(first) => {
                let mut burst = first.clone();
                while let Some((_, Step::Say(more))) = steps.peek() {
                    burst.extend_from_slice(more);
                    steps.next();
                }
                player.say(&burst, &cuts(burst.len()))
            }
            Step::Trace(first) | Step::Content(first) => {
                let trace = matches!(step, Step::Trace(_));
                let mut wanted = vec![first];
                while let Some((_, Step::Trace(more) | Step::Content(more))) =
                    steps.next_if(|(_, next)| std::mem::discriminant(next) == std::mem::discriminant(step))
                {
                    wanted.push(more);
                }
                let lines = player.lines(trace).map_err(|failure| format!("line {at}: {failure}"))?;
                let enough = if trace { lines.len() >= wanted.len() } else { lines.len() == wanted.len() };
                if enough && wanted.iter().zip(&lines).all(|(wanted, line)| like(wanted, line)) {
                    Ok(())
                } else {
                    Err(format!("expected {wanted:#?}, it is {lines:#?}"))
                }
            }
            Step::Notice(first) => {
                let mut wanted = vec![first];
                while let Some((_, Step::Notice(more))) =
                    steps.next_if(|(_, next)| matches!(next, Step::Notice(_)))
                {
                    wanted.push(more);
                }
                let is = player.seen.notices.pop_front().unwrap_or_default();
                let fits = wanted.len() == is.len() && wanted.iter().zip(&is).all(|(w, is)| like(w, is));
                if fits { Ok(()) } else { Err(format!("expected the notice {wanted:#?}, it is {is:#?}")) }
            }
            step => player.step(step),
        };
        result.map_err(|failure| format!("line {at}: {failure}"))?;
    }
    if player.heard < player.seen.sent.len() {
        let unheard = String::from_utf8_lossy(&player.seen.sent[player.heard..]).into_owned();
        return Err(format!("at the end: the server said more than it should: {unheard:?}"));
    }
    Ok(player)
}

/// Octets that the client says in all, in bursts.
fn said(dialogue: &Dialogue) -> usize {
    dialogue.steps.iter().map(|(_, step)| if let Step::Say(octets) = step { octets.len() } else { 0 }).sum()
}

fn play_all_ways(text: &str) -> Result<(), Failure> {
    let dialogue = read(text)?;
    let whole = play(&dialogue, &mut |_| Vec::new())?;
    if dialogue.uncut {
        return Ok(());
    }
    let check = |way: &str, cuts: &mut dyn FnMut(usize) -> Vec<usize>| {
        let other = play(&dialogue, cuts).map_err(|failure| format!("{way}: {failure}"))?;
        if other == whole { Ok(()) } else { Err(format!("{way}: {other:#?}\nis not\n{whole:#?}")) }
    };
    check("octet by octet", &mut |length| (1..length).collect())?;
    let total = said(&dialogue);
    // Long bursts are cut at enough places; short dialogues at all.
    for cut in (1..total).step_by(1 + total / 600) {
        let mut before = 0;
        check(&format!("cut before octet {cut}"), &mut |length| {
            let here = cut.checked_sub(before).filter(|here| *here > 0 && *here < length);
            before += length;
            here.into_iter().collect()
        })?;
    }
    for seed in 0..8 {
        let mut prng = Prng::new(seed);
        check(&format!("random cuts of seed {seed}"), &mut |length| {
            (1..length).filter(|_| prng.next_u64().is_multiple_of(7)).collect()
        })?;
    }
    Ok(())
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/dialogues")
}

/// Deliveries of ours (`client-…`) have a player of their own, in `outbound`.
fn is_ours(path: &std::path::Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".smtp") && !name.starts_with("client-")
}

fn dialogues() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![corpus()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the corpus is there") {
            let path = entry.expect("the corpus is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if is_ours(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_dialogue_goes_as_written_however_it_is_cut() {
    let mut failures = Vec::new();
    let all = dialogues();
    for path in &all {
        let text = std::fs::read_to_string(path).expect("a dialogue is UTF-8");
        if let Err(failure) = play_all_ways(&text) {
            failures.push(format!("{}: {failure}", path.file_name().unwrap_or_default().to_string_lossy()));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), all.len(), failures.join("\n"));
    assert!(all.len() >= 60, "only {} dialogues: is the corpus complete?", all.len());
}

/// Whole transcripts: whoever changes a word that we say or log sees it here as a difference.
#[test]
fn these_sessions_sound_and_are_logged_like_this() {
    for name in [
        "mail/transaction",
        "mail/parameters",
        "mail/smtputf8",
        "other/pipelining",
        "other/vrfy",
        "bdat/chunks",
        "tls/starttls",
        "limits/hard-errors",
        "attacks/relay-forms-judged",
        "data/bare-newlines-rejected",
        "limits/hop-count",
        "time/idle",
    ] {
        let text = std::fs::read_to_string(corpus().join(format!("{name}.smtp"))).expect("it is there");
        let dialogue = read(&text).expect("it is well formed");
        insta::assert_snapshot!(name.replace('/', "-"), transcript(&dialogue).expect("it goes as written"));
    }
}

#[test]
fn every_dialogue_cites_its_section_first() {
    for path in dialogues() {
        let text = std::fs::read_to_string(&path).expect("a dialogue is UTF-8");
        let first = text.lines().next().unwrap_or_default();
        let cites = ["RFC ", "CVE-", "smtpd(8)", "smtp(8)", "lmtp(8)", "postconf(5)", "access(5)"];
        assert!(
            first.starts_with("# ") && cites.iter().any(|word| first.contains(word)),
            "{}: the first line cites nothing: {first}",
            path.display()
        );
    }
}

#[test]
fn the_player_notices_what_is_wrong() {
    let failure = |text: &str| play_all_ways(text).expect_err("must fail");
    assert!(failure("S: 221 ...").contains("heard \"220"));
    assert!(failure("C: QUIT").contains("more than it should"));
    assert!(failure("S: 220 ...\nC: QUIT\nS: 221 2.0.0 Bye\nS: 250 ...").contains("heard nothing"));
    assert!(failure("S: 220 ...\nC: QUIT").contains("at the end"));
    assert!(like("a...c", "abcbc") && like("a...", "a") && !like("a...c", "ab") && !like("a", "ab"));
}

/// The dialogues that show a parameter, with the parameter, as the register in `tests/tests/relay_parameters.rs` has them.
pub(crate) fn shown_by_dialogues() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let register =
        std::fs::read_to_string(root.join("tests/tests/relay_parameters.rs")).expect("it is there");
    let texts: Vec<&str> = register.split('"').skip(1).step_by(2).collect();
    let rows = texts
        .windows(2)
        .filter(|pair| pair[1].starts_with("corpus/dialogues/") && pair[1].ends_with(".smtp"));
    rows.map(|pair| (pair[0].to_owned(), root.join(pair[1]))).collect()
}

/// A dialogue without the line that sets the parameter, which then has its default.
pub(crate) fn without(text: &str, parameter: &str) -> String {
    let sets = format!("! {parameter} =");
    text.lines().filter(|line| !line.starts_with(&sets)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_shows_a_parameter_goes_otherwise_without_it() {
    let shown: Vec<_> = shown_by_dialogues().into_iter().filter(|(_, path)| is_ours(path)).collect();
    assert!(shown.len() > 50, "is the register read?");
    let same = |(parameter, path): &(String, PathBuf)| {
        let text = std::fs::read_to_string(path).expect("the register names dialogues that are there");
        let dialogue = read(&without(&text, parameter)).expect("a line less is well formed");
        play(&dialogue, &mut |_| Vec::new()).is_ok()
    };
    let same: Vec<_> = shown.iter().filter(|row| same(row)).collect();
    assert!(same.is_empty(), "these would go the same with the default: {same:#?}");
}
