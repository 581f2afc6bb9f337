//! 8-bit MIME content for a server without 8BITMIME: parts that say they are 8bit or binary become quoted-printable.
//!
//! A stream of lines goes through; only the header of the present part is held, up to a bound. Multipart and
//! `message/rfc822` bodies are looked into, as deep as a limit; what lies deeper, or says nothing of being 8-bit, passes as it is.
//!
//! RFC 6152 3 (convert or return), RFC 2045 6.7 (quoted-printable), RFC 2046 5.1, 5.2.1.

use std::fmt::Write as _;

/// Octets of one part's header that are held; a longer header passes as it is, and so does its body.
const HEADER_MAX: usize = 64 * 1024;
/// Octets of one line that are held; a longer line is taken in segments.
const LINE_MAX: usize = 4 * 1024;
/// RFC 2045 6.7 (5): no encoded line is longer, the `=` of a soft break included.
const QUOTED_LINE_MAX: usize = 76;

/// What the lines of the present part are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Header,
    Copied,
    Quoted,
}

/// Converts one content, chunk by chunk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SevenBit {
    nesting_max: usize,
    boundary_max: usize,
    part: Part,
    header: Vec<u8>,
    line: Vec<u8>,
    /// The line goes on from a segment that has been passed on.
    within: bool,
    /// Octets of the present quoted line.
    column: usize,
    /// Boundaries of the multiparts that we are in, the innermost last, and whether its parts are messages by default.
    boundaries: Vec<(Vec<u8>, bool)>,
    /// How many messages and multiparts we are in.
    depth: usize,
}

impl SevenBit {
    /// At the header of a message. The limits are `mime_nesting_limit` and `mime_boundary_length_limit`.
    #[must_use]
    pub const fn new(nesting_max: usize, boundary_max: usize) -> Self {
        Self {
            nesting_max,
            boundary_max,
            part: Part::Header,
            header: Vec::new(),
            line: Vec::new(),
            within: false,
            column: 0,
            boundaries: Vec::new(),
            depth: 0,
        }
    }

    /// Appends what a chunk becomes.
    pub fn convert(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) {
        while !chunk.is_empty() {
            let end = memchr::memchr(b'\n', chunk).map(|at| at + 1);
            let (now, rest) = chunk.split_at(end.unwrap_or(chunk.len()));
            chunk = rest;
            for piece in now.chunks(LINE_MAX) {
                self.line.extend_from_slice(piece);
                if self.line.last() == Some(&b'\n') {
                    self.end_line(out);
                } else if self.line.len() >= LINE_MAX {
                    self.segment(out);
                }
            }
        }
    }

    /// Appends what is left at the end of the content.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() {
            self.segment(out);
        }
        if self.part == Part::Header {
            out.append(&mut self.header);
        }
    }

    /// Part of a line without its end.
    fn segment(&mut self, out: &mut Vec<u8>) {
        // A CR may be the first half of the line's end.
        let held = usize::from(self.line.last() == Some(&b'\r') && self.line.len() > 1);
        let rest = self.line.split_off(self.line.len() - held);
        let line = std::mem::replace(&mut self.line, rest);
        self.body(&line, out);
        self.within = true;
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line);
        let whole = !std::mem::take(&mut self.within);
        if whole && self.part != Part::Header && self.at_boundary(text) {
            out.extend_from_slice(&line);
        } else if self.part == Part::Header {
            self.header_line(&line, text, whole, out);
        } else {
            self.body(text, out);
            self.column = 0;
            out.extend_from_slice(&line[text.len()..]);
        }
    }

    fn header_line(&mut self, line: &[u8], text: &[u8], whole: bool, out: &mut Vec<u8>) {
        self.header.extend_from_slice(line);
        if whole && text.is_empty() {
            self.end_header(out);
        } else if whole && self.at_boundary(text) {
            // A part that ends within its header has no body.
            out.append(&mut self.header);
        } else if self.header.len() > HEADER_MAX {
            out.append(&mut self.header);
            self.part = Part::Copied;
        }
    }

    fn body(&mut self, text: &[u8], out: &mut Vec<u8>) {
        match self.part {
            Part::Header => self.header.extend_from_slice(text),
            Part::Copied => out.extend_from_slice(text),
            Part::Quoted => self.quote(text, out),
        }
    }

    fn quote(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for (place, octet) in text.iter().enumerate() {
            let last = place + 1 == text.len();
            let plain = match octet {
                b'=' => false,
                b' ' | b'\t' => !last,
                octet => (b'!'..=b'~').contains(octet),
            };
            let width = if plain { 1 } else { 3 };
            if self.column + width >= QUOTED_LINE_MAX {
                out.extend_from_slice(b"=\r\n");
                self.column = 0;
            }
            self.column += width;
            if plain {
                out.push(*octet);
            } else {
                out.push(b'=');
                out.extend_from_slice(&hex(*octet));
            }
        }
    }

    /// True when the line is a boundary of a multipart that we are in; all inside of it has ended.
    fn at_boundary(&mut self, text: &[u8]) -> bool {
        let Some(text) = text.strip_prefix(b"--") else { return false };
        let behind = |boundary: &[u8]| text.strip_prefix(boundary).map(<[u8]>::trim_ascii_end);
        let ends = |behind: &[u8]| behind.is_empty() || behind.starts_with(b"--");
        let found = self.boundaries.iter().rposition(|(boundary, _)| behind(boundary).is_some_and(ends));
        let Some(level) = found else { return false };
        let closing = behind(&self.boundaries[level].0).is_some_and(|behind| !behind.is_empty());
        self.boundaries.truncate(if closing { level } else { level + 1 });
        self.depth = self.boundaries.len();
        self.part = if closing { Part::Copied } else { Part::Header };
        true
    }

    /// The header is whole: says what its body is, and passes it on.
    fn end_header(&mut self, out: &mut Vec<u8>) {
        let header = std::mem::take(&mut self.header);
        let encoding =
            field(&header, "content-transfer-encoding").map(|value| value.trim().to_ascii_lowercase());
        let eight_bit = matches!(encoding.as_deref(), Some("8bit" | "binary"));
        let content_type = field(&header, "content-type").unwrap_or_default();
        let kind = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        let digest = self.boundaries.last().is_some_and(|(_, digest)| *digest);
        let message = kind == "message/rfc822" || kind == "message/global" || (kind.is_empty() && digest);
        let composite = message || kind.starts_with("multipart/");
        let replacement = match (eight_bit, composite) {
            (false, _) => None,
            (true, true) => Some("7bit"),
            (true, false) => Some("quoted-printable"),
        };
        emit_header(&header, replacement, out);
        self.part = if eight_bit && !composite { Part::Quoted } else { Part::Copied };
        self.column = 0;
        if !composite || self.depth >= self.nesting_max {
            return;
        }
        if message {
            self.depth += 1;
            self.part = Part::Header;
        } else if let Some(boundary) = boundary(&content_type).filter(|b| b.len() <= self.boundary_max) {
            self.depth += 1;
            self.boundaries.push((boundary.into_bytes(), kind == "multipart/digest"));
        }
    }
}

fn hex(octet: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]]
}

/// The lines of a header, continuation lines with the line that they continue.
fn fields(header: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', header).map(|at| at + 1) {
        let continued = header.get(end).is_some_and(|octet| matches!(octet, b' ' | b'\t'));
        if !continued {
            fields.push(&header[start..end]);
            start = end;
        }
    }
    fields
}

fn is_field(line: &[u8], name: &str) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        && line[name.len()..].trim_ascii_start().first() == Some(&b':')
}

/// The value of the first field of this name (lower case).
fn field(header: &[u8], name: &str) -> Option<String> {
    let line = fields(header).into_iter().find(|line| is_field(line, name))?;
    let value = line.splitn(2, |octet| *octet == b':').nth(1)?;
    Some(String::from_utf8_lossy(value).replace(['\r', '\n'], ""))
}

fn emit_header(header: &[u8], encoding: Option<&str>, out: &mut Vec<u8>) {
    let Some(encoding) = encoding else { return out.extend_from_slice(header) };
    let mut line = String::new();
    _ = write!(line, "Content-Transfer-Encoding: {encoding}\r\n");
    let mut said = false;
    for field in fields(header) {
        if !is_field(field, "content-transfer-encoding") {
            out.extend_from_slice(field);
        } else if !std::mem::replace(&mut said, true) {
            out.extend_from_slice(line.as_bytes());
        }
    }
}

/// The `boundary` of a Content-Type (RFC 2045 5.1); `None` when there is none.
fn boundary(content_type: &str) -> Option<String> {
    let (mut quoted, mut escaped, mut params, mut now) = (false, false, Vec::new(), String::new());
    for c in content_type.chars() {
        match c {
            _ if std::mem::take(&mut escaped) => now.push(c),
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => params.push(std::mem::take(&mut now)),
            c => now.push(c),
        }
    }
    params.push(now);
    let value = params.iter().skip(1).find_map(|param| {
        let (name, value) = param.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().to_owned())
    })?;
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn convert(chunks: &[&[u8]]) -> Vec<u8> {
        let (mut converter, mut out) = (SevenBit::new(100, 2048), Vec::new());
        chunks.iter().for_each(|chunk| converter.convert(chunk, &mut out));
        converter.finish(&mut out);
        out
    }

    fn text(content: &str) -> String {
        String::from_utf8(convert(&[content.as_bytes()])).unwrap()
    }

    #[test]
    fn an_8bit_part_becomes_quoted_printable() {
        let content = "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\ncontent-transfer-encoding: 8bit\r\n\r\n\
                       a=b \u{fc}\r\nend \r\n.\r\n";
        assert_eq!(
            text(content),
            "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             a=3Db =C3=BC\r\nend=20\r\n.\r\n"
        );
    }

    #[test]
    fn what_is_not_8bit_passes_as_it_is() {
        for content in [
            "A: b\r\nContent-Transfer-Encoding: base64\r\n\r\n=\r\n",
            "A: b\r\n\r\nno words of MIME: \u{fc} = \r\n",
            "A: b\r\n",
            "no header at all",
            "",
        ] {
            assert_eq!(text(content), content);
        }
    }

    #[test]
    fn parts_are_found_in_multiparts_and_in_messages() {
        let content = "Content-Type: multipart/mixed;\r\n boundary=\"a b\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
                       preamble =\r\n--a b\r\n\r\nplain =\r\n--a b\r\nContent-Type: message/rfc822\r\n\
                       Content-Transfer-Encoding: 8bit\r\n\r\nSubject: y\r\nContent-Transfer-Encoding: 8bit\r\n\r\n=\r\n\
                       --a b--\r\nepilogue =\r\n";
        assert_eq!(
            text(content),
            "Content-Type: multipart/mixed;\r\n boundary=\"a b\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
             preamble =\r\n--a b\r\n\r\nplain =\r\n--a b\r\nContent-Type: message/rfc822\r\n\
             Content-Transfer-Encoding: 7bit\r\n\r\nSubject: y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=3D\r\n\
             --a b--\r\nepilogue =\r\n"
        );
    }

    #[test]
    fn nesting_and_headers_are_bounded() {
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(200);
        assert_eq!(text(&nested), nested);
        let long = format!("A: {}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n=\r\n", "x".repeat(HEADER_MAX));
        assert_eq!(text(&long), long);
    }

    /// RFC 2045 6.7, backwards.
    fn decode(body: &str) -> Vec<u8> {
        let body = body.replace("=\r\n", "");
        let mut out = Vec::new();
        let mut rest = body.as_bytes();
        while let Some((first, behind)) = rest.split_first() {
            if *first == b'=' {
                let digits = std::str::from_utf8(&behind[..2]).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &behind[2..];
            } else {
                out.push(*first);
                rest = behind;
            }
        }
        out
    }

    proptest! {
        #[test]
        fn an_8bit_body_is_7bit_afterwards_and_decodes_to_itself_however_it_is_cut(
            lines in prop::collection::vec(prop::collection::vec(
                any::<u8>().prop_filter("no line end", |octet| !matches!(octet, b'\r' | b'\n')), 0..200), 0..6),
            cut in 0..1_000usize,
        ) {
            let header = b"Content-Transfer-Encoding: 8bit\r\n\r\n";
            let body: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\r\n"].concat()).collect();
            let content = [&header[..], &body].concat();
            let out = convert(&[&content]);
            let (first, second) = content.split_at(cut.min(content.len()));
            prop_assert_eq!(&convert(&[first, second]), &out);
            let out = String::from_utf8(out).unwrap();
            prop_assert!(out.is_ascii());
            let (_, encoded) = out.split_once("\r\n\r\n").unwrap();
            prop_assert!(encoded.split("\r\n").all(|line| line.len() <= QUOTED_LINE_MAX));
            prop_assert_eq!(decode(encoded), body);
        }

        #[test]
        fn no_octets_make_it_panic_and_cuts_do_not_matter(
            words in prop::collection::vec(prop::sample::select(vec![
                "\r\n", "\n", "\r", "--", "b", "Content-Type: multipart/mixed; boundary=b\r\n", "Content-Type: message/rfc822\r\n",
                "Content-Transfer-Encoding: 8bit\r\n", " ", "=", "\u{fc}", "--b\r\n", "--b--\r\n",
            ]), 0..40),
            cut in 0..300usize,
        ) {
            let content = words.concat();
            let content = content.as_bytes();
            let (first, second) = content.split_at(cut.min(content.len()));
            prop_assert_eq!(convert(&[first, second]), convert(&[content]));
        }
    }
}
