//! xtext (RFC 3461 4): printable ASCII with `+XX` for what would end a parameter.

use super::SyntaxError;

/// The text that an xtext stands for. What decodes to a control octet or to no UTF-8 is refused:
/// it could forge lines of a report or a queue file.
///
/// # Errors
/// Where it stops being xtext.
pub fn decode(text: &str) -> Result<String, SyntaxError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes().enumerate();
    while let Some((at, octet)) = rest.next() {
        let value = match octet {
            b'+' => {
                let mut digit = || rest.next().and_then(|(_, octet)| hex(octet));
                let wrong = SyntaxError { at, expected: "\"+\" and two hexadecimal digits" };
                let (high, low) = (digit().ok_or(wrong)?, digit().ok_or(wrong)?);
                high << 4 | low
            }
            b'!'..=b'~' if octet != b'=' => octet,
            _ => return Err(SyntaxError { at, expected: "a printable character other than \"=\"" }),
        };
        octets.push(value);
    }
    let decoded = String::from_utf8(octets).map_err(|_| SyntaxError { at: 0, expected: "UTF-8" })?;
    if decoded.chars().any(char::is_control) {
        return Err(SyntaxError { at: 0, expected: "no control character" });
    }
    Ok(decoded)
}

/// The xtext of a text.
#[must_use]
pub fn encode(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        if matches!(octet, b'!'..=b'~') && !matches!(octet, b'+' | b'=') {
            out.push(char::from(octet));
        } else {
            out.push('+');
            out.push(char::from(DIGITS[usize::from(octet >> 4)]));
            out.push(char::from(DIGITS[usize::from(octet & 15)]));
        }
    }
    out
}

/// RFC 3461 4 has upper case only; Postfix reads both.
fn hex(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_forge_a_line_is_refused() {
        assert_eq!(decode("a+2Bb").as_deref(), Ok("a+b"));
        for text in ["a+0Ab", "a+0Db", "a+00b", "a+F", "a+", "a+GG", "a=b", "a b", "+FF"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(text in "\\PC{0,40}") {
            prop_assume!(!text.chars().any(char::is_control));
            prop_assert_eq!(decode(&encode(&text)), Ok(text));
        }
    }
}
