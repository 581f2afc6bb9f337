//! Stored content to the octets after DATA.
//!
//! Promise, whatever is stored: each line ends in CRLF, no CR, LF or NUL stands outside of a line end, each leading dot is
//! doubled, no line is longer than the limit, and only the end is CRLF "." CRLF. So no two programs can disagree about where
//! our messages end (outbound smuggling). The octets do not depend on how the content was cut into chunks.
//!
//! RFC 5321 2.3.8, 4.1.1.4, 4.5.2, 4.5.3.1.6.

/// What an octet becomes that must not be sent: a stray CR or LF, or a NUL. A space can join nothing: were it left
/// out, `CR NUL LF` would become a line end that nobody wrote.
const STRAY: u8 = b' ';

/// Encodes one content, chunk by chunk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContentEncoder {
    /// Octets of a line without its end; 0 for no limit.
    limit: usize,
    /// Octets of the present line so far, the doubling of a dot not counted.
    column: usize,
    /// A CR was read, and what follows it decides what it was.
    after_cr: bool,
    /// A line had to be broken.
    broke_line: bool,
}

impl ContentEncoder {
    /// At the start of a content. `limit` is `smtp_line_length_limit`; 0 for none.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, column: 0, after_cr: false, broke_line: false }
    }

    /// True when a line was longer than the limit.
    #[must_use]
    pub const fn broke_line(&self) -> bool {
        self.broke_line
    }

    /// Appends the encoded octets of a chunk.
    pub fn encode(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) {
        out.reserve(chunk.len() + chunk.len() / 64 + 8);
        // Once, not at each line: a peer decides how many lines there are.
        let is_plain = has_plain_ends(chunk);
        while let Some((&first, rest)) = chunk.split_first() {
            if self.after_cr {
                self.after_cr = false;
                if first == b'\n' {
                    out.extend_from_slice(b"\r\n");
                    self.column = 0;
                    chunk = rest;
                } else {
                    self.text(&[STRAY], out);
                }
                continue;
            }
            let whole = if self.column == 0 { self.plain_lines(chunk, is_plain, out) } else { 0 };
            if whole > 0 {
                chunk = &chunk[whole..];
                continue;
            }
            let length = memchr::memchr3(b'\r', b'\n', 0, chunk).unwrap_or(chunk.len());
            let (text, rest) = chunk.split_at(length);
            self.text(text, out);
            match rest.first() {
                Some(b'\r') => self.after_cr = true,
                Some(_) => self.text(&[STRAY], out),
                None => {}
            }
            chunk = rest.get(1..).unwrap_or(&[]);
        }
    }

    /// Appends whole lines from the beginning, as far as they are not too long and hold nothing that must not be sent; how many octets
    /// of the chunk that were. They leave together up to the next that begins with a dot. `is_plain` is [`has_plain_ends`] of the chunk.
    fn plain_lines(&self, chunk: &[u8], is_plain: bool, out: &mut Vec<u8>) -> usize {
        let (mut from, mut start) = (0, 0);
        for end in memchr::memchr_iter(b'\n', chunk) {
            let Some((b'\r', line)) = chunk[start..end].split_last() else { break };
            let is_odd = !is_plain && memchr::memchr2(b'\r', 0, line).is_some();
            if is_odd || (self.limit > 0 && line.len() > self.limit) {
                break;
            }
            if line.first() == Some(&b'.') && !planted!(DotsUndoubled) {
                out.extend_from_slice(&chunk[from..start]);
                out.push(b'.');
                from = start;
            }
            start = end + 1;
        }
        out.extend_from_slice(&chunk[from..start]);
        start
    }

    /// Appends the end of the last line, if it has none, and the final dot.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.after_cr) {
            self.text(&[STRAY], out);
        }
        if self.column > 0 {
            out.extend_from_slice(b"\r\n");
            self.column = 0;
        }
        out.extend_from_slice(b".\r\n");
    }

    /// Appends octets that are no line end.
    fn text(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        while !text.is_empty() {
            if self.column == 0 && text[0] == b'.' && !planted!(DotsUndoubled) {
                out.push(b'.');
            }
            if self.limit > 0 && self.column >= self.limit {
                // A space after the break keeps a header field together, and keeps a dot away from the start of a line.
                out.extend_from_slice(b"\r\n ");
                self.column = 1;
                self.broke_line = true;
            }
            let room = if self.limit == 0 { usize::MAX } else { (self.limit - self.column).max(1) };
            let (now, later) = text.split_at(text.len().min(room));
            out.extend_from_slice(now);
            self.column = self.column.saturating_add(now.len());
            text = later;
        }
    }
}

/// True where each LF up to the last has its CR, and there is no other CR and no NUL before it. Nearly all mail is so, and this is soon seen of
/// all lines at once.
fn has_plain_ends(chunk: &[u8]) -> bool {
    let Some(last) = memchr::memrchr(b'\n', chunk) else { return false };
    let lines = &chunk[..last];
    let mut ends = 1;
    let mut are_whole = last > 0 && chunk[last - 1] == b'\r';
    for end in memchr::memchr_iter(b'\n', lines) {
        are_whole &= end > 0 && chunk[end - 1] == b'\r';
        ends += 1;
    }
    are_whole && memchr::memchr_iter(b'\r', lines).count() == ends && memchr::memchr(0, lines).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(limit: usize, chunks: &[&[u8]]) -> Vec<u8> {
        let (mut encoder, mut out) = (ContentEncoder::new(limit), Vec::new());
        chunks.iter().for_each(|chunk| encoder.encode(chunk, &mut out));
        encoder.finish(&mut out);
        out
    }

    #[test]
    fn a_leading_dot_is_doubled_and_the_end_is_a_dot() {
        assert_eq!(encode(998, &[b"a\r\n.b\r\n..\r\n"]), b"a\r\n..b\r\n...\r\n.\r\n");
        assert_eq!(encode(998, &[b""]), b".\r\n");
        assert_eq!(encode(998, &[b"no end"]), b"no end\r\n.\r\n");
    }

    #[test]
    fn the_known_ends_of_data_of_others_do_not_leave_us() {
        for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n", "\r\0\n.\r\n", "\r.\r"] {
            let content = format!("a{end}MAIL FROM:<b@c.example>\r\n");
            let out = encode(998, &[content.as_bytes()]);
            assert_eq!(memchr::memmem::find_iter(&out, b"\r\n.\r\n").count(), 1, "{end:?}");
            judge(&out, 998).unwrap();
        }
    }

    #[test]
    fn a_line_of_the_limit_stays_and_one_longer_is_broken() {
        assert_eq!(encode(4, &[b"abcd\r\n"]), b"abcd\r\n.\r\n");
        assert_eq!(encode(4, &[b"abcde\r\n"]), b"abcd\r\n e\r\n.\r\n");
        assert_eq!(encode(4, &[b"abcd.fgh\r\n"]), b"abcd\r\n .fg\r\n h\r\n.\r\n");
        assert_eq!(encode(0, &[&[b'x'; 5_000]]).len(), 5_005);
        assert_eq!(encode(1, &[b"ab"]).last(), Some(&b'\n'));
    }

    /// What a receiver must be able to rely on.
    fn judge(out: &[u8], limit: usize) -> Result<(), String> {
        let body = out.strip_suffix(b".\r\n").ok_or("no end")?;
        if !body.is_empty() && !body.ends_with(b"\r\n") {
            return Err("the dot is not alone on its line".into());
        }
        let mut rest = body;
        while !rest.is_empty() {
            let end = memchr::memmem::find(rest, b"\r\n").ok_or("no line end")?;
            let line = &rest[..end];
            if line.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
                return Err(format!("stray octet in {line:?}"));
            }
            if line.first() == Some(&b'.') && line.get(1) != Some(&b'.') {
                return Err("a dot that is not doubled".into());
            }
            if limit > 1 && line.len() > limit + 1 {
                return Err("too long".into());
            }
            rest = &rest[end + 2..];
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn whatever_is_stored_leaves_us_well_formed_and_independent_of_chunks(
            content in prop::collection::vec(prop_oneof![
                3 => prop::sample::select(b"\r\n.\0".to_vec()),
                2 => any::<u8>(),
            ], 0..200),
            limit in prop_oneof![Just(0usize), 2..20usize, Just(998usize)],
            cuts in prop::collection::vec(0..200usize, 0..4),
        ) {
            let whole = encode(limit, &[&content]);
            prop_assert_eq!(judge(&whole, limit), Ok(()));
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(content.len())).collect();
            cuts.extend([0, content.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &content[pair[0]..pair[1]]).collect();
            prop_assert_eq!(encode(limit, &chunks), whole);
        }

        #[test]
        fn a_content_of_proper_lines_is_what_the_receiver_gets(
            lines in prop::collection::vec("[.a-z ]{0,30}", 0..20),
        ) {
            let content: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let out = encode(998, &[content.as_bytes()]);
            let text = String::from_utf8(out).unwrap();
            let body = text.strip_suffix(".\r\n").unwrap();
            let undone: String = body
                .split_inclusive("\r\n")
                .map(|line| line.strip_prefix('.').unwrap_or(line))
                .collect();
            prop_assert_eq!(undone, content);
        }
    }
}
