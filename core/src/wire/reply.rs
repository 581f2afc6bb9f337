//! Replies and enhanced status codes (RFC 5321 4.2, RFC 3463), and how a client reads them.
//!
//! Promise: whatever a server says, [`ReplyReader`] holds a bounded number of octets, gives text without control
//! characters, and gives the same replies however the octets were cut into segments.
//! Knows nothing of which command a reply is for.

use crate::limits::{REPLY_LINES_MAX, REPLY_TEXT_MAX};
use crate::wire::{SyntaxError, Wire};
use serde::{Deserialize, Serialize};
use std::fmt;

/// `class.subject.detail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EnhancedStatus {
    /// 2, 4 or 5.
    pub class: u8,
    /// 0..=999.
    pub subject: u16,
    /// 0..=999.
    pub detail: u16,
}

impl EnhancedStatus {
    /// `class.subject.detail`.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// Appends its octets.
    pub(crate) fn emit(self, out: &mut Vec<u8>) {
        put_number(u16::from(self.class), out);
        out.push(b'.');
        put_number(self.subject, out);
        out.push(b'.');
        put_number(self.detail, out);
    }

    /// A status at the start of a text, and the text behind it and one space (RFC 2034 4).
    #[must_use]
    pub fn split_from(text: &str) -> Option<(Self, &str)> {
        let class = match text.as_bytes() {
            [class @ (b'2' | b'4' | b'5'), b'.', ..] => class - b'0',
            _ => return None,
        };
        let (subject, rest) = leading_number(text.get(2..)?)?;
        let (detail, rest) = leading_number(rest.strip_prefix('.')?)?;
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix(' ')? };
        Some((Self::new(class, subject, detail), rest))
    }
}

/// Appends a number.
fn put_number(number: u16, out: &mut Vec<u8>) {
    if number >= 10 {
        put_number(number / 10, out);
    }
    out.push(b'0' + (number % 10) as u8);
}

/// The three digits of a code.
pub(crate) fn code_digits(code: u16) -> [u8; 3] {
    let digit = |unit: u16| b'0' + (code / unit % 10) as u8;
    [digit(100), digit(10), digit(1)]
}

/// A field of a status, and what stands behind it.
fn leading_number(text: &str) -> Option<(u16, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at_checked(length)?;
    // A leading zero would not survive being written again.
    let canonical = length == 1 || (matches!(length, 2 | 3) && !digits.starts_with('0'));
    Some((digits.parse().ok().filter(|_| canonical)?, rest))
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// What a server says: a code, perhaps an enhanced status, and lines of text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reply {
    /// 200..=599.
    pub code: u16,
    /// Repeated on each line when emitted.
    pub status: Option<EnhancedStatus>,
    /// At least one; without line ends.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply of one line.
    #[must_use]
    pub fn new(code: u16, status: Option<EnhancedStatus>, text: impl Into<String>) -> Self {
        Self { code, status, lines: vec![text.into()] }
    }

    /// The first digit of the code.
    #[must_use]
    pub const fn class(&self) -> u8 {
        (self.code / 100) as u8
    }

    /// The status to log and report: the one of all lines, else the one of the last line if its class is the code's,
    /// else `class.0.0`.
    #[must_use]
    pub fn effective_status(&self) -> EnhancedStatus {
        let last = || {
            let (status, _) = EnhancedStatus::split_from(self.lines.last()?)?;
            (status.class == self.class()).then_some(status)
        };
        self.status.or_else(last).unwrap_or(EnhancedStatus::new(self.class(), 0, 0))
    }

    /// All of it in one line, as it is logged: `550-5.1.1 no such 550 5.1.1 user`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        self.emit(&mut out);
        let text = String::from_utf8(out).unwrap_or_default();
        text.trim_end().replace("\r\n", " ")
    }

    /// Appends the octets of the reply: `250-…` for each line but the last, the status on each (RFC 2034 4).
    pub fn emit(&self, out: &mut Vec<u8>) {
        let only = [String::new()];
        let lines = if self.lines.is_empty() { &only[..] } else { &self.lines[..] };
        for (place, line) in lines.iter().enumerate() {
            let separator = if place + 1 == lines.len() { b' ' } else { b'-' };
            out.extend_from_slice(&code_digits(self.code));
            out.push(separator);
            if let Some(status) = self.status {
                status.emit(out);
                if !line.is_empty() {
                    out.push(b' ');
                }
            }
            // A line end inside a line would let its author speak for us.
            out.extend_from_slice(cleaned(line).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Takes a status that all lines share out of their texts.
    fn lift_status(code: u16, mut lines: Vec<String>) -> Self {
        let class = (code / 100) as u8;
        let status = lines
            .first()
            .and_then(|line| EnhancedStatus::split_from(line))
            .map(|(status, _)| status)
            .filter(|status| status.class == class);
        let shared = status.filter(|status| {
            lines
                .iter()
                .all(|line| EnhancedStatus::split_from(line).is_some_and(|(other, _)| other == *status))
        });
        if shared.is_some() {
            for line in &mut lines {
                *line = EnhancedStatus::split_from(line).map_or("", |(_, rest)| rest).to_owned();
            }
        }
        Self { code, status: shared, lines }
    }
}

impl Wire for Reply {
    fn parse(input: &[u8]) -> Result<Self, SyntaxError> {
        let mut reader = ReplyReader::new();
        match reader.read(input) {
            (used, Some(Ok(reply))) if used == input.len() => Ok(reply),
            (used, Some(Ok(_))) => Err(SyntaxError { at: used, expected: "the end of the reply" }),
            (used, Some(Err(_))) => Err(SyntaxError { at: used, expected: "a line of the same reply" }),
            (used, None) => Err(SyntaxError { at: used, expected: "the last line of the reply" }),
        }
    }

    fn emit(&self, out: &mut Vec<u8>) {
        Self::emit(self, out);
    }
}

/// Text without control characters: `?` for each, a space for a tab.
fn cleaned(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '?',
            c => c,
        })
        .collect()
}

/// Why the octets of a server are no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BadReply {
    /// A line does not begin with a code of three digits and a space, a hyphen or nothing.
    NotAReply,
    /// A continuation has another code than the line before: two replies torn into each other.
    CodeChanged,
}

/// Reads replies out of a stream of octets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ReplyReader {
    /// The kept octets of the line that has no end yet.
    line: Vec<u8>,
    /// The code of the lines so far.
    code: Option<u16>,
    /// The kept lines so far.
    lines: Vec<String>,
    /// Octets in `lines`.
    kept: usize,
}

impl ReplyReader {
    /// At the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// True between replies: no octet of a reply has been read without its end.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.line.is_empty() && self.code.is_none()
    }

    /// Forgets what was read (RFC 3207 4.2: nothing said before TLS counts after it).
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Reads up to the end of one reply. Gives how many octets were used, and the reply if it is whole.
    /// After an error the stream has no meaning any more.
    pub fn read(&mut self, octets: &[u8]) -> (usize, Option<Result<Reply, BadReply>>) {
        let mut used = 0;
        while let Some(rest) = octets.get(used..).filter(|rest| !rest.is_empty()) {
            let Some(length) = memchr::memchr(b'\n', rest) else {
                self.keep(rest);
                return (octets.len(), None);
            };
            self.keep(&rest[..length]);
            used += length + 1;
            match self.end_line() {
                Ok(None) => {}
                Ok(Some(reply)) => return (used, Some(Ok(reply))),
                Err(bad) => return (used, Some(Err(bad))),
            }
        }
        (used, None)
    }

    fn keep(&mut self, octets: &[u8]) {
        let room = REPLY_TEXT_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(&octets[..octets.len().min(room)]);
    }

    fn end_line(&mut self) -> Result<Option<Reply>, BadReply> {
        let line = std::mem::take(&mut self.line);
        let line = line.trim_ascii_end();
        let (digits, rest) = line.split_at_checked(3).ok_or(BadReply::NotAReply)?;
        let code = digits.iter().try_fold(0u16, |code, digit| {
            digit.is_ascii_digit().then(|| code * 10 + u16::from(digit - b'0'))
        });
        // RFC 5321 4.2.1: there are no replies of class 1.
        let code = code.filter(|code| (200..=599).contains(code)).ok_or(BadReply::NotAReply)?;
        let (last, text) = match rest.split_first() {
            None => (true, &[][..]),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(BadReply::NotAReply),
        };
        if self.code.is_some_and(|before| before != code) {
            return Err(BadReply::CodeChanged);
        }
        self.code = Some(code);
        self.keep_line(text, last);
        if !last {
            return Ok(None);
        }
        let lines = std::mem::take(&mut self.lines);
        self.clear();
        Ok(Some(Reply::lift_status(code, lines)))
    }

    /// The last line is always kept: its status counts, and it is what people look at.
    fn keep_line(&mut self, text: &[u8], last: bool) {
        let room = REPLY_TEXT_MAX.saturating_sub(self.kept);
        let full = room < text.len() || self.lines.len() >= REPLY_LINES_MAX;
        if full && !last {
            return;
        }
        self.kept = self.kept.saturating_add(text.len());
        let plain = std::str::from_utf8(text)
            .ok()
            .filter(|text| text.bytes().all(|octet| matches!(octet, b' '..=b'~')));
        self.lines.push(match plain {
            Some(text) => text.to_owned(),
            None => cleaned(&String::from_utf8_lossy(text)).replace('\u{fffd}', "?"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(octets: &[u8]) -> Vec<Result<Reply, BadReply>> {
        let (mut reader, mut at, mut all) = (ReplyReader::new(), 0, Vec::new());
        while at < octets.len() {
            let (used, reply) = reader.read(&octets[at..]);
            at += used;
            match reply {
                Some(Err(bad)) => {
                    all.push(Err(bad));
                    break;
                }
                Some(Ok(reply)) => all.push(Ok(reply)),
                None => break,
            }
        }
        all
    }

    #[test]
    fn a_reply_of_many_lines_is_one_reply() {
        let reply = Reply::parse(b"550-5.1.1 no such\r\n550 5.1.1 user\r\n").unwrap();
        assert_eq!(reply.status, Some(EnhancedStatus::new(5, 1, 1)));
        assert_eq!(reply.lines, ["no such", "user"]);
        assert_eq!(reply.text(), "550-5.1.1 no such 550 5.1.1 user");
    }

    #[test]
    fn a_code_without_text_or_space_is_a_reply() {
        assert_eq!(Reply::parse(b"250\r\n"), Ok(Reply::new(250, None, "")));
        assert_eq!(Reply::parse(b"250-\n250 \n").map(|r| r.lines.len()), Ok(2));
        assert_eq!(Reply::new(250, None, "").text(), "250");
    }

    #[test]
    fn a_code_that_changes_is_two_replies_torn_into_each_other() {
        assert_eq!(read_all(b"250-one\r\n550 two\r\n"), [Err(BadReply::CodeChanged)]);
    }

    #[test]
    fn garbage_is_no_reply() {
        for garbage in [
            &b"hello\r\n"[..],
            b"\r\n",
            b"25\r\n",
            b"2500 x\r\n",
            b"250x\r\n",
            b"600 x\r\n",
            b"150 x\r\n",
            b"\0\n",
        ] {
            assert_eq!(read_all(garbage), [Err(BadReply::NotAReply)], "{garbage:?}");
        }
    }

    #[test]
    fn the_status_is_that_of_the_last_line_when_the_others_have_none() {
        let reply = Reply::parse(b"550-look here\r\n550 5.7.1 no\r\n").unwrap();
        assert_eq!((reply.status, reply.effective_status()), (None, EnhancedStatus::new(5, 7, 1)));
        let reply = Reply::parse(b"450 5.7.1 no\r\n").unwrap();
        assert_eq!(reply.effective_status(), EnhancedStatus::new(4, 0, 0));
    }

    #[test]
    fn a_million_lines_and_an_endless_line_are_bounded() {
        let mut reader = ReplyReader::new();
        for _ in 0..1_000_000 {
            assert_eq!(reader.read(b"250-x\r\n"), (7, None));
        }
        assert!(reader.lines.len() <= REPLY_LINES_MAX);
        for _ in 0..1_000 {
            assert_eq!(reader.read(&[b'7'; 1024]), (1024, None));
        }
        assert!(reader.line.len() <= REPLY_TEXT_MAX);
        let mut reader = ReplyReader::new();
        _ = reader.read(&vec![b'2'; 1 << 20]);
        assert_eq!(reader.read(b"\n"), (1, Some(Err(BadReply::NotAReply))));
    }

    #[test]
    fn no_control_octet_gets_through() {
        let reply = Reply::parse(b"550 a\0b\x1b[31m\x7f\xff c\r\r\n").unwrap();
        assert_eq!(reply.lines, ["a?b?[31m?? c"]);
        let mut out = Vec::new();
        Reply::new(250, None, "a\r\n250 b").emit(&mut out);
        assert_eq!(out, b"250 a??250 b\r\n");
    }

    fn replies() -> impl Strategy<Value = Reply> {
        let line = "[!-~é€]{0,12}( [!-~]{1,9}){0,3}"
            .prop_filter("no status of its own", |line: &String| EnhancedStatus::split_from(line).is_none());
        let status = prop::option::of((0..=999u16, 0..=999u16));
        (200..=599u16, status, prop::collection::vec(line, 1..5)).prop_map(|(code, status, lines)| {
            let class = (code / 100) as u8;
            let status = status
                .filter(|_| class != 3)
                .map(|(subject, detail)| EnhancedStatus::new(class, subject, detail));
            Reply { code, status, lines }
        })
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_read_back(reply in replies()) {
            let mut out = Vec::new();
            reply.emit(&mut out);
            prop_assert_eq!(Reply::parse(&out), Ok(reply));
        }

        #[test]
        fn every_octet_sequence_is_read_alike_however_it_is_cut(
            octets in prop::collection::vec(prop_oneof![
                4 => prop::sample::select(b"2345051- .\r\n".to_vec()),
                1 => any::<u8>(),
            ], 0..120),
            cut in 0..120usize,
        ) {
            let (mut reader, mut all, mut dead) = (ReplyReader::new(), Vec::new(), false);
            let (first, second) = octets.split_at(cut.min(octets.len()));
            for part in [first, second] {
                let mut at = 0;
                while at < part.len() && !dead {
                    let (used, reply) = reader.read(&part[at..]);
                    at += used;
                    dead = matches!(reply, Some(Err(_)));
                    all.extend(reply);
                }
            }
            prop_assert_eq!(all, read_all(&octets));
        }
    }
}
