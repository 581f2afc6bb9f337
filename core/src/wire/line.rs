//! Framing of command lines.
//!
//! A line ends at LF; a CR before it belongs to the end, others are content. Postfix obeys a bare LF behind a command, and so do
//! we: only in message content could it be taken for something else (wire/content.rs).
//!
//! Promise: a line over the limit is never obeyed, in part or whole, and takes no memory however long it is.

use memchr::memchr;

/// What was taken from the front of a backlog.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Line {
    /// The octets before the line end.
    Whole(Vec<u8>),
    /// A line was longer than the limit; all of it has been dropped.
    TooLong,
}

/// Octets that came and were not obeyed yet, and the lines in them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Backlog {
    octets: Vec<u8>,
    /// Octets before this are used; they are dropped when more come, so that taking a line moves nothing.
    start: usize,
    /// Octets of a line, its end not counted.
    limit: usize,
    /// The rest of a line over the limit is being dropped.
    dropping: bool,
}

impl Backlog {
    /// Empty; lines will be of at most `limit` octets, the line end not counted.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { octets: Vec::new(), start: 0, limit, dropping: false }
    }

    /// Adds octets behind the others.
    pub fn push(&mut self, octets: &[u8]) {
        self.octets.drain(..self.start);
        self.start = 0;
        self.octets.extend_from_slice(octets);
    }

    /// The octets that wait.
    #[must_use]
    pub fn waiting(&self) -> &[u8] {
        self.octets.get(self.start..).unwrap_or_default()
    }

    /// Takes octets off the front without looking for lines.
    pub fn skip(&mut self, count: usize) {
        self.start = (self.start + count).min(self.octets.len());
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.start = 0;
        self.dropping = false;
    }

    /// Takes all that waits.
    pub fn take_all(&mut self) -> Vec<u8> {
        let waiting = self.waiting().to_vec();
        self.octets.clear();
        self.start = 0;
        waiting
    }

    /// Takes the next line. `None`: no line end waits; what waits is then at most the limit and a CR.
    pub fn take_line(&mut self) -> Option<Line> {
        let waiting = self.waiting();
        let Some(end) = memchr(b'\n', waiting) else {
            if self.dropping || waiting.len() > self.limit + 1 {
                self.clear();
                self.dropping = true;
            }
            return None;
        };
        let line = &waiting[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let whole = (!self.dropping && line.len() <= self.limit).then(|| line.to_vec());
        self.dropping = false;
        self.skip(end + 1);
        Some(whole.map_or(Line::TooLong, Line::Whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(limit: usize, pieces: &[&[u8]]) -> Vec<Line> {
        let (mut backlog, mut found) = (Backlog::new(limit), Vec::new());
        for piece in pieces {
            backlog.push(piece);
            while let Some(line) = backlog.take_line() {
                found.push(line);
            }
            assert!(backlog.waiting().len() <= limit + 1);
        }
        found
    }

    #[test]
    fn a_line_ends_at_lf_and_keeps_other_carriage_returns() {
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        assert_eq!(lines(9, &[b"a\r\nb\nc\rd\r", b"\n"]), [whole("a"), whole("b"), whole("c\rd")]);
    }

    #[test]
    fn a_line_over_the_limit_is_dropped_whole_wherever_it_is_cut() {
        let stream = b"NOOP 123456\r\nQUIT\r\n";
        for cut in 0..stream.len() {
            let (a, b) = stream.split_at(cut);
            assert_eq!(lines(6, &[a, b]), [Line::TooLong, Line::Whole(b"QUIT".to_vec())], "cut at {cut}");
        }
        let octets: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(lines(6, &octets), [Line::TooLong, Line::Whole(b"QUIT".to_vec())]);
    }

    /// The lines of a stream as a whole, by the words at the head of this file.
    fn spoken(limit: usize, stream: &[u8]) -> Vec<Line> {
        let Some(last) = stream.iter().rposition(|&octet| octet == b'\n') else { return Vec::new() };
        let line = |line: &[u8]| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > limit { Line::TooLong } else { Line::Whole(line.to_vec()) }
        };
        stream[..last].split(|&octet| octet == b'\n').map(line).collect()
    }

    proptest! {
        #[test]
        fn any_stream_has_the_same_lines_however_it_is_cut(
            stream in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'x'), any::<u8>()], 0..80),
            cuts in prop::collection::vec(0..80usize, 0..20),
            limit in 0..12usize,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            let wanted = spoken(limit, &stream);
            prop_assert_eq!(lines(limit, &pieces), wanted.clone());
            prop_assert_eq!(lines(limit, &[&stream]), wanted.clone());
            prop_assert_eq!(lines(limit, &stream.chunks(1).collect::<Vec<_>>()), wanted);
        }
    }

    #[test]
    fn a_line_of_just_the_limit_is_taken() {
        assert_eq!(lines(4, &[b"QUIT\r", b"\n"]), [Line::Whole(b"QUIT".to_vec())]);
    }
}
