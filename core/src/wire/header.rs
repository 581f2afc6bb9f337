//! Header fields: where each begins and ends, and where the header ends (RFC 5322 2.2).
//!
//! [`HeaderReader`] takes content in chunks of any size and keeps the header up to a bound, never the body.
//! It copies each octet of the header once and looks at it once. What the fields mean is not its business.
//!
//! Only CRLF ends a line: a bare CR or LF is an ordinary octet here, as it is where messages are received.

use std::ops::Range;

/// What a line of a header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line {
    /// The end of the header.
    Blank,
    /// More of the field before: it begins with a space or a tab.
    Continuation,
    /// The first line of a field, and how long its name is.
    Field {
        /// Octets before the colon, without white space in front of it.
        name: usize,
    },
    /// Nothing of a header: the body begins here, without the blank line it should have.
    Other,
}

/// Says what a line is; its CRLF may be there or not.
#[must_use]
pub fn classify(line: &[u8]) -> Line {
    match line.first() {
        None | Some(b'\r') if line.is_empty() || line == b"\r\n" => return Line::Blank,
        Some(b' ' | b'\t') => return Line::Continuation,
        _ => {}
    }
    let Some(colon) = line.iter().position(|octet| *octet == b':') else { return Line::Other };
    let before = line.get(..colon).unwrap_or_default();
    // RFC 5322 4.5.8: old mail has white space before the colon.
    let name = before.iter().rposition(|octet| !matches!(octet, b' ' | b'\t')).map_or(0, |last| last + 1);
    let well_named = name > 0 && before.get(..name).unwrap_or_default().iter().all(u8::is_ascii_graphic);
    if well_named { Line::Field { name } } else { Line::Other }
}

/// One field: a range of the octets it was found in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// All of it, with its last CRLF.
    pub range: Range<usize>,
    /// Octets of its name; zero for the `From ` line that some programs put in front of a header.
    pub name: usize,
}

impl Field {
    /// Its octets among those it was found in.
    #[must_use]
    pub fn octets<'a>(&self, all: &'a [u8]) -> &'a [u8] {
        all.get(self.range.clone()).unwrap_or_default()
    }
}

/// The name of a field, as written.
#[must_use]
pub fn name(field: &[u8]) -> &[u8] {
    match classify(field) {
        Line::Field { name } => field.get(..name).unwrap_or_default(),
        _ => &[],
    }
}

/// What stands behind the colon, folding and last CRLF included.
#[must_use]
pub fn value(field: &[u8]) -> &[u8] {
    let colon = field.iter().position(|octet| *octet == b':').map_or(field.len(), |colon| colon + 1);
    field.get(colon..).unwrap_or_default()
}

/// The field as rules see it: lines joined by LF, without the last line end.
#[must_use]
pub fn logical(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    text.strip_suffix("\r\n").unwrap_or(&text).replace("\r\n", "\n")
}

/// The fields of a header that is held whole (our own trace, an edit). What is no field is passed over.
#[must_use]
pub fn fields(octets: &[u8]) -> Vec<Field> {
    let mut reader = HeaderReader::new(octets.len());
    reader.push(octets);
    reader.finish();
    reader.fields
}

/// Where the header ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// At a blank line, which begins here; the body is behind it.
    Blank,
    /// At a line that is no field: the body begins with it, and a blank line is missing.
    NoBlank,
    /// The content ended with the header.
    Content,
    /// At the bound: what follows is more header, which nobody looks at.
    Bound,
}

/// Finds the fields of a header in content that comes in chunks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeaderReader {
    octets: Vec<u8>,
    fields: Vec<Field>,
    /// Start of the line that is not complete yet.
    line: usize,
    /// Everything before has been searched for CRLF.
    searched: usize,
    max: usize,
    end: Option<End>,
}

impl HeaderReader {
    /// Keeps at most `max` octets.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { octets: Vec::new(), fields: Vec::new(), line: 0, searched: 0, max, end: None }
    }

    /// The next octets of the content.
    pub fn push(&mut self, octets: &[u8]) {
        if self.end.is_some() {
            return;
        }
        let room = self.max.saturating_sub(self.octets.len());
        let taken = octets.get(..room).unwrap_or(octets);
        self.octets.extend_from_slice(taken);
        while self.end.is_none()
            && let Some(end) = self.line_end()
        {
            self.take_line(end);
        }
        if self.end.is_none() && taken.len() < octets.len() {
            self.stop_at_bound();
        }
        if self.end.is_some() {
            // The body that came in the same chunk is not ours to keep, nor is its room.
            self.octets.truncate(self.length());
            self.octets.shrink_to_fit();
        }
    }

    /// Octets of memory that it has taken.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.octets.capacity() + self.fields.capacity() * size_of::<Field>()
    }

    /// No more content comes. A last line without CRLF belongs to the body.
    pub fn finish(&mut self) {
        if self.end.is_none() {
            let cut = self.line < self.octets.len();
            self.end = Some(if cut { End::NoBlank } else { End::Content });
            self.octets.truncate(self.length());
        }
    }

    /// The octets of the header, from the start of the content.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The fields that are complete so far.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// How many octets of the content the fields take.
    #[must_use]
    pub fn length(&self) -> usize {
        self.fields.last().map_or(0, |field| field.range.end)
    }

    /// Where the header ended, once it has.
    #[must_use]
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    fn line_end(&mut self) -> Option<usize> {
        let from = self.searched.max(self.line);
        let rest = self.octets.get(from..).unwrap_or_default();
        if let Some(place) = rest.windows(2).position(|pair| pair == b"\r\n") {
            return Some(from + place + 2);
        }
        // A CR at the very end may be half of a line end.
        self.searched = self.octets.len().saturating_sub(1);
        None
    }

    fn take_line(&mut self, end: usize) {
        let line = self.octets.get(self.line..end).unwrap_or_default();
        match (classify(line), self.fields.last_mut()) {
            (Line::Blank, _) => self.end = Some(End::Blank),
            (Line::Continuation, Some(field)) => field.range.end = end,
            (Line::Field { name }, _) => self.fields.push(Field { range: self.line..end, name }),
            _ if self.line == 0 && is_mbox_line(line) => {
                self.fields.push(Field { range: 0..end, name: 0 });
            }
            _ => self.end = Some(End::NoBlank),
        }
        if self.end.is_none() {
            self.line = end;
            self.searched = end;
        }
    }

    /// Cut before the last field: more of its lines may lie behind the bound.
    fn stop_at_bound(&mut self) {
        self.fields.pop();
        self.end = Some(End::Bound);
    }
}

/// `From ` or `>From `, left in front of a header by a mailbox.
fn is_mbox_line(line: &[u8]) -> bool {
    let from = line.iter().position(|octet| *octet != b'>').unwrap_or(0);
    line.get(from..).unwrap_or_default().starts_with(b"From ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], cut: usize, max: usize) -> HeaderReader {
        let mut reader = HeaderReader::new(max);
        for chunk in content.chunks(cut.max(1)) {
            reader.push(chunk);
        }
        reader.finish();
        reader
    }

    fn names(content: &[u8]) -> (Vec<String>, Option<End>) {
        let reader = read(content, content.len(), 1000);
        let text = |field: &Field| String::from_utf8_lossy(name(field.octets(reader.octets()))).into_owned();
        (reader.fields().iter().map(text).collect(), reader.end())
    }

    #[test]
    fn folded_lines_belong_to_the_field_above() {
        let (names, end) = names(b"To: a,\r\n\tb\r\nSubject : x\r\n\r\nbody\r\n");
        assert_eq!(names, ["To", "Subject"]);
        assert_eq!(end, Some(End::Blank));
    }

    #[test]
    fn a_line_that_is_no_field_begins_the_body() {
        assert_eq!(names(b"To: a\r\nno field here\r\n"), (vec!["To".into()], Some(End::NoBlank)));
        assert_eq!(names(b" folded without a field\r\n\r\n").1, Some(End::NoBlank));
        assert_eq!(names(b"bad name: x\r\n").1, Some(End::NoBlank));
        assert_eq!(names(b"\r\n").1, Some(End::Blank));
        assert_eq!(names(b"").1, Some(End::Content));
    }

    #[test]
    fn a_mailbox_line_in_front_of_the_header_does_not_end_it() {
        let reader = read(b">From a@b Mon\r\nTo: a\r\n\r\n", 3, 1000);
        assert_eq!(reader.fields().len(), 2);
        assert_eq!(reader.fields()[0].name, 0);
    }

    #[test]
    fn a_header_beyond_the_bound_is_cut_before_a_field() {
        let reader = read(b"A: 1\r\nB: 2\r\n more\r\nC: 3\r\n\r\n", 100, 14);
        assert_eq!(reader.end(), Some(End::Bound));
        assert_eq!(reader.fields().len(), 1);
        assert_eq!(reader.length(), 6);
    }

    #[test]
    fn what_it_holds_is_counted_and_of_a_body_that_came_along_nothing_is_held() {
        let mut reader = HeaderReader::new(1 << 20);
        reader.push(&b"X: y\r\n".repeat(1_000));
        assert!(reader.held() >= 1_000 * (6 + size_of::<Field>()), "{}", reader.held());
        let mut reader = HeaderReader::new(1 << 20);
        reader.push(&[b"To: a\r\n\r\n".to_vec(), vec![b'x'; 60_000]].concat());
        assert!(reader.held() < 200, "{}", reader.held());
    }

    #[test]
    fn a_million_lines_are_read_in_one_pass() {
        let content = b"X: y\r\n".repeat(1_000_000);
        let reader = read(&content, 64 * 1024, content.len());
        assert_eq!(reader.fields().len(), 1_000_000);
        let folded = [b"X: y\r\n".to_vec(), b" z\r\n".repeat(1_000_000)].concat();
        assert_eq!(read(&folded, 1, folded.len()).fields().len(), 1);
    }

    #[test]
    fn rules_see_one_string_with_line_feeds() {
        assert_eq!(logical(b"To: a,\r\n b\r\n"), "To: a,\n b");
        assert_eq!(value(b"To: a\r\n"), b" a\r\n");
    }

    proptest::proptest! {
        #[test]
        fn segments_do_not_matter(content in "([A-Za-z: \t\r\n>]|\r\n){0,80}", cut in 1usize..9, max in 0usize..90) {
            let content = content.as_bytes();
            let seen = |cut| {
                let reader = read(content, cut, max);
                (reader.octets, reader.fields, reader.end)
            };
            proptest::prop_assert_eq!(seen(cut), seen(content.len()));
        }

        #[test]
        fn arbitrary_octets_are_taken(content: Vec<u8>) {
            let reader = read(&content, 7, 64);
            proptest::prop_assert!(reader.length() <= content.len());
            _ = (classify(&content), name(&content), value(&content), logical(&content));
        }
    }
}
