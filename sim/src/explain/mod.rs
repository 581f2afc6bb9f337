//! `postrider-sim explain`: the decisions of a recording, taken again and with their reasons (docs/RECORDING.md).
//!
//! The machines are core's own, fed with the facts that were recorded. What they put out must be what they put out then: a difference
//! is told, with where it is. Every decision is printed with the reasons that core notes when somebody listens.

mod manager;
mod sessions;
#[cfg(test)]
mod tests;
mod words;

use manager::Clerk;
use postrider::record::BUILT;
use postrider_core::event::printable;
use postrider_core::recording::{Begin, Damage, Record, Records};
use postrider_core::time::Timestamp;
use postrider_core::wire::date::rfc5322;
use sessions::Sessions;
use std::collections::BTreeSet;

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// Only what is about this message.
    pub id: Option<String>,
    /// Only this session.
    pub session: Option<u64>,
}

/// Whom an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The recording itself.
    Recording,
    /// The queue manager.
    Manager,
    /// A session.
    Session(u64),
}

/// One stimulus, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, on the wall clock.
    pub at: Timestamp,
    /// To whom.
    pub who: Who,
    /// What happened.
    pub head: String,
    /// Reasons, and what was done.
    pub lines: Vec<String>,
    /// It must be told whatever is asked for.
    pub urgent: bool,
}

impl Entry {
    fn mentions(&self, text: &str) -> bool {
        self.head.contains(text) || self.lines.iter().any(|line| line.contains(text))
    }

    /// As text, its lines ended.
    #[must_use]
    pub fn text(&self) -> String {
        let who = match self.who {
            Who::Recording => "recording".to_owned(),
            Who::Manager => "manager".to_owned(),
            Who::Session(number) => format!("session {number}"),
        };
        let mut text = format!("{} {who}: {}\n", clock(self.at), printable(&self.head));
        for line in &self.lines {
            text += &format!("    {}\n", printable(line));
        }
        text
    }
}

/// Time of day, to the millisecond.
fn clock(at: Timestamp) -> String {
    let (seconds, micros) = (at.0.div_euclid(1_000_000), at.0.rem_euclid(1_000_000));
    let day = seconds.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}.{:03}", day / 3_600, day / 60 % 60, day % 60, micros / 1_000)
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Records read.
    pub records: u64,
    /// Decisions that were taken again.
    pub stimuli: u64,
    /// Sessions.
    pub sessions: u64,
    /// Stimuli that came to something else than was recorded.
    pub divergences: u64,
    /// Facts that could not be used: something before them is missing.
    pub unexplained: u64,
    /// Octets that are not what was written.
    pub damages: u64,
}

/// Takes the decisions of some files again, and tells of each that is wished for.
pub fn explain(files: &[Vec<u8>], wish: &Wish, tell: &mut dyn FnMut(&Entry)) -> Summary {
    let Some(id) = &wish.id else {
        return Reader::default().read(files, &mut |entry| {
            let wanted = wish.session.is_none_or(|number| entry.who == Who::Session(number));
            if wanted || entry.urgent {
                tell(entry);
            }
        });
    };
    // A session is about the message from its first octet on, which is known at its end only.
    let mut about = BTreeSet::new();
    Reader::default().read(files, &mut |entry| {
        if entry.mentions(id) {
            about.insert(entry.who);
        }
    });
    Reader::default().read(files, &mut |entry| {
        let wanted = match entry.who {
            Who::Session(number) => {
                about.contains(&entry.who) && wish.session.is_none_or(|wanted| wanted == number)
            }
            _ => wish.session.is_none() && entry.mentions(id),
        };
        if wanted || entry.urgent {
            tell(entry);
        }
    })
}

#[derive(Default)]
struct Reader {
    summary: Summary,
    sessions: Sessions,
    clerk: Clerk,
    last: Timestamp,
    version: Option<String>,
}

impl Reader {
    fn read(mut self, files: &[Vec<u8>], tell: &mut dyn FnMut(&Entry)) -> Summary {
        for (number, octets) in files.iter().enumerate() {
            for record in Records::new(octets) {
                match record {
                    Ok(record) => {
                        self.summary.records += 1;
                        self.take(record, tell);
                    }
                    Err(damage) => self.damaged(number, &damage, tell),
                }
            }
        }
        self.summary
    }

    fn say(&self, head: String, tell: &mut dyn FnMut(&Entry)) {
        tell(&Entry { at: self.last, who: Who::Recording, head, lines: Vec::new(), urgent: true });
    }

    fn damaged(&mut self, file: usize, damage: &Damage, tell: &mut dyn FnMut(&Entry)) {
        self.summary.damages += u64::from(!damage.torn);
        let head = format!("file {} is read up to octet {}: {}", file + 1, damage.at, damage.why);
        self.say(head, tell);
    }

    /// A file begins. Another program may decide otherwise: one of another commit as well as one of another version.
    fn begun(&mut self, begin: Begin, tell: &mut dyn FnMut(&Entry)) {
        self.last = begin.at;
        self.sessions.whole = begin.content;
        let theirs = &begin.version;
        if theirs != BUILT && self.version.as_ref() != Some(theirs) {
            let silent = if theirs.contains('+') { "" } else { " of a commit that it does not say" };
            self.say(
                format!("recorded by version {theirs}{silent}, this is {BUILT}: it may decide otherwise"),
                tell,
            );
        }
        if self.version.is_none() {
            let content = if begin.content { "with" } else { "without" };
            let since = rfc5322(begin.at, 0);
            self.say(format!("recorded by version {theirs} since {since}, {content} contents"), tell);
        }
        self.version = Some(begin.version);
    }

    fn take(&mut self, record: Record, tell: &mut dyn FnMut(&Entry)) {
        match record {
            Record::Begin(begin) => self.begun(begin, tell),
            Record::Setting(setting) => {
                let number = setting.number;
                if let Err(why) = self.sessions.set(*setting) {
                    self.say(format!("configuration {number} can not be used: {why}"), tell);
                }
            }
            Record::Lost(count) => {
                self.say(format!("the disk was too slow here: {count} records are lost"), tell)
            }
            Record::Content(content) => {
                let digest: String = content.sha256.iter().map(|octet| format!("{octet:02x}")).collect();
                let head =
                    format!("the content of {} has {} octets, SHA-256 {digest}", content.id, content.size);
                let who = Who::Session(content.session);
                tell(&Entry { at: self.last, who, head, lines: Vec::new(), urgent: false });
            }
            Record::Opened(opened) => {
                self.last = opened.at.wall;
                self.summary.sessions += 1;
                self.sessions.open(&opened, &mut self.summary, tell);
            }
            Record::Heard(heard) => {
                self.last = heard.at.wall;
                self.sessions.hear(&heard, &mut self.summary, tell);
            }
            Record::State(state) => {
                self.last = state.at.wall;
                self.clerk.state(state, &mut self.summary, tell);
            }
            Record::Fact(fact) => {
                self.last = fact.at.wall;
                self.clerk.fact(*fact, &mut self.summary, tell);
            }
        }
    }
}

/// What a divergence is told as.
fn difference(recorded: postrider_core::recording::Said, again: postrider_core::recording::Said) -> String {
    format!(
        "DIVERGES: recorded were {} outputs ({:08x}), taken again it came to {} ({:08x}); from here on the decisions are as recorded",
        recorded.outputs, recorded.digest, again.outputs, again.digest
    )
}
