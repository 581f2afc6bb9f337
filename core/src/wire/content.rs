//! Where a message ends: octets behind DATA or BDAT to content whose lines end in CRLF.
//!
//! Promise: only CRLF "." CRLF ends DATA (RFC 5321 4.1.1.4), and BDAT ends by its count (RFC 3030), however the octets are
//! cut. A bare LF ends a line (it is kept as CRLF) but never a message, so no two programs can disagree about where ours ends
//! (CVE-2023-51764; Postfix 3.9's `smtpd_forbid_bare_newline = normalize`). A bare CR is an octet like others:
//! it passes, as in Postfix, and is the business of whoever sends it on. Knows nothing of headers or sizes.

use memchr::memchr;

/// Where the decoder stands. `crlf`: the line before ended in CRLF, so a dot line may end the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    /// Before the first octet of a line.
    Start { crlf: bool },
    /// Behind a dot at the start of a line; the dot is dropped (RFC 5321 4.5.2).
    Dot { crlf: bool },
    /// Behind that dot and a CR, which is held.
    DotCr { crlf: bool },
    /// Within a line.
    Middle,
    /// Behind a CR, which is held: it may be half of a line end.
    Cr,
}

/// How far a decoder got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Octets of the input that were used.
    pub used: usize,
    /// The end of data was among them; the octets behind are commands.
    pub ended: bool,
}

/// Decodes the content of one message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decoder {
    at: At,
    /// Dots are doubled and end the content: DATA. Otherwise BDAT.
    dots: bool,
    bare_lf: bool,
}

impl Decoder {
    /// For the octets behind a 354 reply.
    #[must_use]
    pub const fn data() -> Self {
        Self { at: At::Start { crlf: true }, dots: true, bare_lf: false }
    }

    /// For the chunks of BDAT, counted by the caller.
    #[must_use]
    pub const fn chunks() -> Self {
        Self { at: At::Start { crlf: true }, dots: false, bare_lf: false }
    }

    /// Whether a bare LF has been seen (`smtpd_forbid_bare_newline = reject`).
    #[must_use]
    pub const fn saw_bare_lf(&self) -> bool {
        self.bare_lf
    }

    /// Decodes `input` up to its end or the end of data, and appends the content to `out`: at most an octet for each
    /// octet of input and one for each LF.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        out.reserve(input.len() + 1);
        let mut used = 0;
        while let Some(rest) = input.get(used..)
            && let Some(&octet) = rest.first()
        {
            if self.at == At::Middle {
                used += self.lines(rest, out);
                continue;
            }
            match self.step(octet, out) {
                Step::Used => used += 1,
                Step::Again => {}
                Step::End => return Progress { used: used + 1, ended: true },
            }
        }
        Progress { used, ended: false }
    }

    /// Ends the content behind the last chunk: a line that is not ended is.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !matches!(self.at, At::Start { .. }) {
            out.extend_from_slice(b"\r\n");
        }
        self.at = At::Start { crlf: true };
    }

    /// Runs of lines that need no change are copied at once; this is where the time goes.
    fn lines(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut next = 0;
        loop {
            let Some(lf) = memchr(b'\n', &input[next..]).map(|found| next + found) else {
                let held = usize::from(input.ends_with(b"\r"));
                out.extend_from_slice(&input[..input.len() - held]);
                self.at = if held == 1 { At::Cr } else { At::Middle };
                return input.len();
            };
            // `lf == 0`: the octet before was no CR, or it would be held.
            if lf == 0 || input[lf - 1] != b'\r' {
                self.bare_lf = true;
                out.extend_from_slice(&input[..lf]);
                out.extend_from_slice(b"\r\n");
                self.at = At::Start { crlf: false };
                return lf + 1;
            }
            let plain = input.get(lf + 1).is_some_and(|&octet| octet != b'.' || !self.dots);
            if !plain {
                out.extend_from_slice(&input[..=lf]);
                self.at = At::Start { crlf: true };
                return lf + 1;
            }
            next = lf + 1;
        }
    }

    /// One octet in any place but the middle of a line.
    fn step(&mut self, octet: u8, out: &mut Vec<u8>) -> Step {
        let (next, step) = match (self.at, octet) {
            (At::DotCr { crlf: true }, b'\n') => (At::Start { crlf: true }, Step::End),
            (At::Cr | At::DotCr { .. }, b'\n') => {
                out.extend_from_slice(b"\r\n");
                (At::Start { crlf: true }, Step::Used)
            }
            (At::Start { .. } | At::Dot { .. }, b'\n') => {
                self.bare_lf = true;
                out.extend_from_slice(b"\r\n");
                (At::Start { crlf: false }, Step::Used)
            }
            (At::Cr | At::DotCr { .. }, b'\r') => {
                out.push(b'\r');
                (At::Cr, Step::Used)
            }
            (At::Cr | At::DotCr { .. }, _) => {
                out.push(b'\r');
                (At::Middle, Step::Again)
            }
            (At::Dot { crlf }, b'\r') => (At::DotCr { crlf }, Step::Used),
            (At::Start { .. }, b'\r') => (At::Cr, Step::Used),
            (At::Start { crlf }, b'.') if self.dots => (At::Dot { crlf }, Step::Used),
            (At::Start { .. } | At::Dot { .. } | At::Middle, _) => (At::Middle, Step::Again),
        };
        self.at = next;
        step
    }
}

enum Step {
    Used,
    Again,
    End,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data(pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>, bool) {
        let (mut decoder, mut out, mut behind, mut ended) = (Decoder::data(), Vec::new(), Vec::new(), false);
        for piece in pieces {
            let mut rest = *piece;
            if !ended {
                let progress = decoder.decode(rest, &mut out);
                ended = progress.ended;
                rest = &rest[progress.used..];
            }
            behind.extend_from_slice(rest);
        }
        (out, behind, ended)
    }

    #[test]
    fn dots_are_unstuffed_and_the_end_is_found() {
        let (content, behind, ended) = data(&[b"a\r\n..b\r\n.c\r\n\r\n.\r\nQUIT\r\n"]);
        assert_eq!(content, b"a\r\n.b\r\nc\r\n\r\n");
        assert_eq!(behind, b"QUIT\r\n");
        assert!(ended);
        assert_eq!(data(&[b".\r\n"]), (vec![], vec![], true));
    }

    #[test]
    fn nothing_but_crlf_dot_crlf_ends_the_data() {
        let gaps: [&str; 14] = [
            "\n", "\r", "\r\r", "\n\r", "\r\r\n", "\r\n\r", "\0\r\n", "\r\0\n", "\r\n\0", " \r\n", "\r\n ",
            "\u{b}", "\u{c}", "\u{85}",
        ];
        let mut probes = vec!["\u{2028}.\u{2028}".to_owned(), "\r\n.\n".into(), "\r\n. \r\n".into()];
        for left in gaps {
            for right in gaps {
                // `\r\r\n.\r\r\n` and such are here as well; a left gap that ends in CRLF is right before CRLF only.
                probes.push(format!("{left}.{right}"));
            }
            probes.push(format!("\r\n.{left}"));
        }
        for probe in probes {
            if probe.contains("\r\n.\r\n") {
                continue;
            }
            let stream = format!("text{probe}MAIL FROM:<smuggled@example>\r\n");
            let whole = data(&[stream.as_bytes()]);
            assert!(!whole.2, "{probe:?} ended the data");
            let octets: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
            assert_eq!(data(&octets), whole, "{probe:?}");
            assert!(String::from_utf8_lossy(&whole.0).contains("MAIL FROM:<smuggled"));
        }
    }

    #[test]
    fn a_dot_line_behind_a_bare_lf_does_not_end_the_data_but_its_line_end_counts() {
        let (content, _, ended) = data(&[b"a\n.\r\nb\r\n.\r\n"]);
        assert_eq!(content, b"a\r\n\r\nb\r\n");
        assert!(ended);
    }

    #[test]
    fn bare_carriage_returns_pass_and_bare_newlines_become_line_ends() {
        let (content, _, _) = data(&[b"a\rb\nc\r\r\n.\r\n"]);
        assert_eq!(content, b"a\rb\r\nc\r\r\n");
    }

    #[test]
    fn chunks_keep_dots_and_the_last_line_is_ended() {
        for cut in 0..=14 {
            let stream: &[u8] = b"a\r\n.\r\n..b\nc\r\nd";
            let (mut decoder, mut out) = (Decoder::chunks(), Vec::new());
            decoder.decode(&stream[..cut], &mut out);
            decoder.decode(&stream[cut..], &mut out);
            decoder.finish(&mut out);
            assert_eq!(out, b"a\r\n.\r\n..b\r\nc\r\nd\r\n");
            assert!(decoder.saw_bare_lf());
        }
    }

    /// The rule again, as plainly as it can be said: the model that the fast decoder must equal.
    fn model(stream: &[u8]) -> (Vec<u8>, Vec<u8>, bool) {
        let (mut out, mut rest, mut crlf) = (Vec::new(), stream, true);
        while let Some(lf) = rest.iter().position(|&octet| octet == b'\n') {
            let (line, behind) = rest.split_at(lf);
            let behind = &behind[1..];
            let (line, now_crlf) = match line.strip_suffix(b"\r") {
                Some(line) => (line, true),
                None => (line, false),
            };
            if crlf && now_crlf && line == b"." {
                return (out, behind.to_vec(), true);
            }
            out.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            out.extend_from_slice(b"\r\n");
            (rest, crlf) = (behind, now_crlf);
        }
        (out, rest.to_vec(), false)
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter_and_the_model_agrees(
            stream in proptest::collection::vec(prop_oneof![
                Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a'), Just(0u8)], 0..60),
            cuts in proptest::collection::vec(0usize..60, 0..6),
        ) {
            let whole = data(&[&stream]);
            let mut places: Vec<usize> = cuts.into_iter().filter(|&cut| cut <= stream.len()).collect();
            places.extend([0, stream.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(&data(&pieces), &whole);
            let (content, behind, ended) = model(&stream);
            prop_assert_eq!(ended, whole.2);
            if ended {
                prop_assert_eq!(content, whole.0);
                prop_assert_eq!(behind, whole.1);
            } else {
                prop_assert!(whole.0.starts_with(&content));
            }
        }
    }
}
