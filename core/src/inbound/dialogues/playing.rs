//! Plays a dialogue: both sides, the clock, the disk and the names are in one hand.

use super::*;

/// All that a play let be seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Transcript {
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
    /// Edges of the session's table that were taken.
    edges: BTreeSet<(u8, u8)>,
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
            edges: BTreeSet::from([(0, inbound.stage())]),
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
        self.give(|inbound, now| inbound.handle_input(now, input));
        self.drain()
    }

    /// Lets the machine do something, and notes the edge that it takes.
    fn give(&mut self, act: impl FnOnce(&mut Inbound, Now)) {
        let before = self.inbound.stage();
        act(&mut self.inbound, self.now);
        self.edges.insert((before, self.inbound.stage()));
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
                self.give(|inbound, now| inbound.handle_input(now, input));
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
            self.give(Inbound::handle_timeout);
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
pub(super) fn like(pattern: &str, line: &str) -> bool {
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
pub(super) fn play(
    dialogue: &Dialogue,
    cuts: &mut dyn FnMut(usize) -> Vec<usize>,
) -> Result<Transcript, Failure> {
    Ok(play_to_end(dialogue, cuts)?.seen)
}

/// The edges of the session's table that a play takes.
pub(super) fn edges(
    dialogue: &Dialogue,
    cuts: &mut dyn FnMut(usize) -> Vec<usize>,
) -> Result<BTreeSet<(u8, u8)>, Failure> {
    Ok(play_to_end(dialogue, cuts)?.edges)
}

/// A play as a text: who said what, what was logged, and the messages with their envelopes.
pub(super) fn transcript(dialogue: &Dialogue) -> Result<String, Failure> {
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
