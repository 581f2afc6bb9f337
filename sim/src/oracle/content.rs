//! The octets of a letter: made from its token, so that whoever sees them again knows whether they are all there.

use super::Token;

/// The octets of a message as a client sends it, before dot-stuffing.
#[must_use]
pub fn message(token: Token, sender: &str, recipients: &[String], size: usize) -> Vec<u8> {
    let mut content = header(token, sender, recipients.first().map(String::as_str));
    content.extend(body(token, size));
    content
}

/// The header of a message.
pub(super) fn header(token: Token, sender: &str, to: Option<&str>) -> Vec<u8> {
    format!(
        "From: <{sender}>\r\nTo: {}\r\nSubject: letter {}\r\nMessage-ID: <t{}@sim>\r\n\
         Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n",
        to.unwrap_or("undisclosed-recipients:;"),
        token.0,
        token.0
    )
    .into_bytes()
}

/// Octets by which a body may be longer than it is to be: its last line.
const LAST: usize = 160;
/// Letters of a line repeat after so many.
const REPEAT: usize = 32;
/// Letters that one look into [`RUNS`] gives.
const RUN: usize = 4;

/// The letter at a place of a line is the number of the line, shifted by the place, modulo 26. What is left modulo 26 * 8 says that of a place and the
/// three behind it.
const RUNS: [[u8; RUN]; 26 << (RUN - 1)] = {
    let mut runs = [[0; RUN]; 26 << (RUN - 1)];
    let mut rest = 0;
    while rest < runs.len() {
        let mut place = 0;
        while place < RUN {
            runs[rest][place] = b'a' + ((rest >> place) % 26) as u8;
            place += 1;
        }
        rest += 1;
    }
    runs
};

/// The empty line and the body that belong to a token: lines of all lengths, with dots at their beginning.
#[must_use]
pub(super) fn body(token: Token, size: usize) -> Vec<u8> {
    let mut octets = Vec::with_capacity(size + LAST);
    octets.extend(b"\r\n");
    let mut state = token.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while octets.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = ((state >> 8) % 78) as usize;
        if state.is_multiple_of(5) {
            octets.push(b'.');
        }
        let mut letters = [0; REPEAT];
        for (place, run) in letters.as_chunks_mut::<RUN>().0.iter_mut().enumerate() {
            *run = RUNS[((state >> (RUN * place)) % RUNS.len() as u64) as usize];
        }
        let mut left = length;
        while left > 0 {
            let more = left.min(REPEAT);
            octets.extend_from_slice(&letters[..more]);
            left -= more;
        }
        octets.extend(b"\r\n");
    }
    octets.extend(format!("end of letter {}\r\n", token.0).into_bytes());
    octets
}

/// The token in a `Message-ID` of ours.
#[must_use]
pub fn token_in(message_id: &str) -> Option<Token> {
    let digits = message_id.trim_start_matches('<').strip_prefix('t')?;
    digits.split_once("@sim")?.0.parse().ok().map(Token)
}

/// The token of a letter, or of the letter that a report returns: a report's own `Message-ID` has another form.
#[must_use]
pub(super) fn token_of(content: &[u8]) -> Option<Token> {
    const MARK: &[u8] = b"Message-ID: <t";
    let at = memchr::memmem::find(content, MARK)?;
    let digits = content.get(at + MARK.len()..)?.iter().take_while(|octet| octet.is_ascii_digit());
    digits.map(|&octet| char::from(octet)).collect::<String>().parse().ok().map(Token)
}

/// True when these octets end in this body of a letter, and in front of it is nothing but a header, which relays may add to.
#[must_use]
pub(super) fn is_intact(content: &[u8], body: &[u8]) -> bool {
    let Some(header) = content.len().checked_sub(body.len()).and_then(|end| content.get(..end)) else {
        return false;
    };
    content.ends_with(body)
        && header.ends_with(b"\r\n")
        && memchr::memmem::find(header, b"\r\n\r\n").is_none()
}
