//! What the postmaster may want to hear of a connection: classes of trouble (`notify_classes`), and the minutes of what was said.
//!
//! Promise: minutes have a bound; where nobody wants a class they cost nothing. Content of messages is never in them.

use serde::{Deserialize, Serialize};

/// Octets of one line that are kept. Escaped, four for one, it still fits a line of mail (RFC 5322 2.1.1).
const MINUTES_LINE_MAX: usize = 240;
/// Octets of the minutes of one connection; the oldest lines go first. Some 400 lines, four times the
/// default of `smtpd_history_flush_threshold`.
const MINUTES_MAX: usize = 16 * 1024;
/// Octets that minutes begin with: a session without trouble and with one message needs no more.
const MINUTES_START: usize = 512;

/// A class of `notify_classes` that a connection can have trouble of. (The others are about messages: `2bounce`, `delay`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NoticeClass {
    /// Mail is refused that would bounce otherwise.
    Bounce,
    /// A table or a file can not be read.
    Data,
    /// A rule of ours refuses.
    Policy,
    /// Somebody does not keep to the protocol.
    Protocol,
    /// Something is used up: the disk.
    Resource,
    /// We do not work as configured.
    Software,
}

impl NoticeClass {
    const ALL: [Self; 6] =
        [Self::Bounce, Self::Data, Self::Policy, Self::Protocol, Self::Resource, Self::Software];

    /// As `notify_classes` names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Data => "data",
            Self::Policy => "policy",
            Self::Protocol => "protocol",
            Self::Resource => "resource",
            Self::Software => "software",
        }
    }
}

/// A set of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NoticeClasses(u8);

impl NoticeClasses {
    /// Those that a list of words names.
    #[must_use]
    pub fn named(words: &[String]) -> Self {
        let named = |class: &NoticeClass| words.iter().any(|word| word == class.word());
        NoticeClass::ALL.into_iter().filter(named).fold(Self::default(), Self::with)
    }

    /// And this one.
    #[must_use]
    pub const fn with(self, class: NoticeClass) -> Self {
        Self(self.0 | 1 << class as u8)
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, class: NoticeClass) -> bool {
        self.0 & 1 << class as u8 != 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// None at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their words, in order.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        NoticeClass::ALL.into_iter().filter(move |class| self.has(*class)).map(NoticeClass::word)
    }
}

/// Who said a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Voice {
    /// The peer.
    Peer,
    /// We.
    Ours,
}

/// Lines that were said on a connection, the newest [`MINUTES_MAX`] octets of them. One piece of memory for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Transcript {
    /// For each line a sign for the voice, the text without line end, and LF.
    octets: Vec<u8>,
    lines: usize,
    /// Lines that went because there was no room.
    pub dropped: u64,
}

impl Transcript {
    /// How many lines there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.lines
    }

    /// Nothing was said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// The lines, oldest first; a line that was too long ends in `...`.
    pub fn lines(&self) -> impl Iterator<Item = (Voice, &[u8])> {
        self.octets.split(|octet| *octet == b'\n').filter_map(|line| {
            let (sign, text) = line.split_first()?;
            Some((if *sign == b'<' { Voice::Peer } else { Voice::Ours }, text))
        })
    }

    /// One more line. A LF in it would be a line of its own: it is left out.
    fn push(&mut self, voice: Voice, line: &[u8]) {
        if self.octets.capacity() == 0 {
            self.octets.reserve(MINUTES_START);
        }
        if self.octets.len() + MINUTES_LINE_MAX + 2 > MINUTES_MAX {
            self.forget_half();
        }
        self.octets.push(if voice == Voice::Peer { b'<' } else { b'>' });
        let whole = line.len() <= MINUTES_LINE_MAX;
        let kept = if whole { line } else { line.get(..MINUTES_LINE_MAX - 3).unwrap_or_default() };
        if kept.contains(&b'\n') {
            self.octets.extend(kept.iter().filter(|octet| **octet != b'\n'));
        } else {
            // Each line of each session comes by here: it is copied at once.
            self.octets.extend_from_slice(kept);
        }
        if !whole {
            self.octets.extend_from_slice(b"...");
        }
        self.octets.push(b'\n');
        self.lines += 1;
    }

    /// Half at once, so that a long session does not move all its lines with each new one.
    fn forget_half(&mut self) {
        let middle = MINUTES_MAX / 2;
        let rest = self.octets.get(middle..).unwrap_or_default();
        let end =
            rest.iter().position(|octet| *octet == b'\n').map_or(self.octets.len(), |at| middle + at + 1);
        let gone = self.octets.drain(..end).filter(|octet| *octet == b'\n').count();
        self.lines = self.lines.saturating_sub(gone);
        self.dropped = self.dropped.saturating_add(gone as u64);
    }
}

/// The minutes of one connection: what was said, and what trouble there was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Minutes {
    wanted: NoticeClasses,
    found: NoticeClasses,
    transcript: Transcript,
}

impl Minutes {
    /// Empty ones, for somebody who wants to hear of these classes.
    #[must_use]
    pub fn new(wanted: NoticeClasses) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// The peer said a line.
    pub fn heard(&mut self, line: &[u8]) {
        if !self.wanted.is_empty() {
            self.transcript.push(Voice::Peer, line);
        }
    }

    /// We said lines, each with its CRLF.
    pub fn said(&mut self, octets: &[u8]) {
        if self.wanted.is_empty() {
            return;
        }
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.transcript.push(Voice::Ours, line.strip_suffix(b"\r").unwrap_or(line));
        }
    }

    /// There was trouble.
    pub const fn trouble(&mut self, class: NoticeClass) {
        self.found = self.found.with(class);
    }

    /// How many lines they have.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.transcript.len()
    }

    /// Nothing was said, or nobody wants to hear of it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.transcript.is_empty()
    }

    /// Begins anew. Gives the notice that is due of what was.
    pub fn close(&mut self, side: &'static str, peer: impl FnOnce() -> String) -> Option<Notice> {
        let classes = self.wanted.both(self.found);
        let transcript = std::mem::take(&mut self.transcript);
        self.found = NoticeClasses::default();
        (!classes.is_empty()).then(|| Notice { side, peer: peer(), classes, transcript })
    }
}

/// A notice to the postmaster about a connection on which there was trouble.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notice {
    /// `SMTP server`, `SMTP client`, `LMTP client`: what we were.
    pub side: &'static str,
    /// Whom we spoke with: `name[address]`.
    pub peer: String,
    /// The trouble that somebody wants to hear of; at least one.
    pub classes: NoticeClasses,
    /// What was said.
    pub transcript: Transcript,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> NoticeClasses {
        NoticeClasses::named(&["protocol".to_owned(), "2bounce".to_owned()])
    }

    fn lines(notice: &Notice) -> Vec<(Voice, String)> {
        let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
        notice.transcript.lines().map(|(voice, line)| (voice, text(line))).collect()
    }

    #[test]
    fn minutes_are_closed_with_a_notice_where_somebody_wants_it() {
        let mut minutes = Minutes::new(wanted());
        minutes.said(b"220-a\r\n220 b\r\n");
        minutes.heard(b"XYZZY");
        assert_eq!(minutes.clone().close("SMTP server", String::new), None, "no trouble, no notice");
        minutes.trouble(NoticeClass::Policy);
        assert_eq!(minutes.clone().close("SMTP server", String::new), None, "nobody wants this class");
        minutes.trouble(NoticeClass::Protocol);
        let notice = minutes.close("SMTP server", || "c[192.0.2.1]".to_owned()).expect("due");
        let said = |text: &str| (Voice::Ours, text.to_owned());
        assert_eq!(lines(&notice), [said("220-a"), said("220 b"), (Voice::Peer, "XYZZY".to_owned())]);
        assert_eq!(notice.classes.words().collect::<Vec<_>>(), ["protocol"]);
        assert_eq!(minutes, Minutes::new(wanted()), "they begin anew");
    }

    #[test]
    fn who_wants_nothing_pays_nothing() {
        let mut minutes = Minutes::new(NoticeClasses::default());
        minutes.said(b"220 a\r\n");
        minutes.heard(b"NOOP");
        assert_eq!(minutes.transcript.octets.capacity(), 0);
    }

    #[test]
    fn minutes_keep_the_newest_lines_within_their_bound() {
        let mut minutes = Minutes::new(wanted());
        for number in 0..10_000 {
            minutes.heard(format!("NOOP {number} {}", "x".repeat(number % 690)).as_bytes());
            assert!(minutes.transcript.octets.len() <= MINUTES_MAX, "after line {number}");
        }
        minutes.trouble(NoticeClass::Protocol);
        let notice = minutes.close("SMTP server", String::new).expect("due");
        let lines = lines(&notice);
        assert_eq!(lines.len(), notice.transcript.len());
        assert_eq!(notice.transcript.dropped, 10_000 - lines.len() as u64);
        let last = &lines.last().expect("lines").1;
        assert!(last.starts_with("NOOP 9999 ") && last.ends_with("..."), "{last}");
        assert_eq!(last.len(), MINUTES_LINE_MAX);
        assert!(lines.first().expect("lines").1.starts_with("NOOP 9"), "whole lines go: {lines:?}");
    }
}
