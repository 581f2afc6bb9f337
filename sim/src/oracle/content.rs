//! The octets of a letter: made from its token, so that whoever sees them again knows whether they are all there.

use super::Token;

/// The octets of a message as a client sends it, before dot-stuffing.
#[must_use]
pub fn message(token: Token, sender: &str, recipients: &[String], size: usize) -> Vec<u8> {
    let mut content = format!(
        "From: <{sender}>\r\nTo: {}\r\nSubject: letter {}\r\nMessage-ID: <t{}@sim>\r\n\
         Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n",
        recipients.first().map_or("undisclosed-recipients:;", String::as_str),
        token.0,
        token.0
    )
    .into_bytes();
    content.extend(body(token, size));
    content
}

/// The empty line and the body that belong to a token: lines of all lengths, with dots at their beginning.
#[must_use]
pub(super) fn body(token: Token, size: usize) -> Vec<u8> {
    let mut octets = Vec::with_capacity(size + 160);
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
        // Letters repeat after 32.
        let start = octets.len();
        octets.extend((0..length.min(32)).map(|place| b'a' + ((state >> place) % 26) as u8));
        while octets.len() < start + length {
            let more = (start + length - octets.len()).min(32);
            octets.extend_from_within(start..start + more);
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

/// True when these octets end in the body of a letter, and in front of it is nothing but a header, which relays may add to.
#[must_use]
pub(super) fn is_intact(content: &[u8], token: Token, size: usize) -> bool {
    let body = body(token, size);
    let Some(header) = content.len().checked_sub(body.len()).and_then(|end| content.get(..end)) else {
        return false;
    };
    content.ends_with(&body)
        && header.ends_with(b"\r\n")
        && memchr::memmem::find(header, b"\r\n\r\n").is_none()
}
