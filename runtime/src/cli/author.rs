//! The From field of a message that has none, with the real name of whoever sends it (`sendmail -F`).
//!
//! Cleanup adds a From field as well, but knows no names. The field goes to the end of the header, where cleanup would put it.

use data_encoding::BASE64;

/// Octets of a name in one encoded word: 75 in all (RFC 2047 2), less `=?utf-8?B?` and `?=`, as whole groups of base64.
const ENCODED_OCTETS: usize = 45;

/// Adds the field, unless the message has one, or there is nothing to say in it.
pub(super) fn add(message: &mut Vec<u8>, full_name: &str, sender: &str) {
    let name = full_name.trim();
    if name.is_empty() || name.chars().any(char::is_control) || sender.is_empty() {
        return;
    }
    let (end, fields) = header(message);
    // A message that is sent again keeps its author; cleanup adds who sends it again.
    if fields.iter().any(|name| name == "from" || name.starts_with("resent-")) {
        return;
    }
    let mut field = format!("From: {} <{sender}>\n", phrase(name));
    if message.get(end).is_some_and(|octet| !matches!(octet, b'\n' | b'\r')) {
        field.push('\n');
    }
    message.splice(end..end, field.into_bytes());
}

/// Where the header ends, and the names of its fields in lower case.
fn header(message: &[u8]) -> (usize, Vec<String>) {
    let mut end = 0;
    let mut names = Vec::new();
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        let mailbox_line = end == 0 && line.starts_with(b"From ");
        let name = line.split(|octet| *octet == b':').next().unwrap_or_default().trim_ascii_end();
        let field = name.len() < line.trim_ascii_end().len()
            && !name.is_empty()
            && name.iter().all(u8::is_ascii_graphic);
        // A header without a line end would swallow what is added behind it.
        if !line.ends_with(b"\n") || !(field || mailbox_line || folded && end > 0) {
            break;
        }
        if field && !folded {
            names.push(String::from_utf8_lossy(name).to_ascii_lowercase());
        }
        end += line.len();
    }
    (end, names)
}

/// A phrase of RFC 5322: bare words, a quoted string, or encoded words.
fn phrase(name: &str) -> String {
    let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~ ".contains(c);
    if !name.is_ascii() {
        return encoded(name);
    }
    if name.chars().all(atom) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// RFC 2047: no word cuts a character.
fn encoded(name: &str) -> String {
    let mut words = vec![String::new()];
    for character in name.chars() {
        if words.last().is_some_and(|word| word.len() + character.len_utf8() > ENCODED_OCTETS) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(character);
        }
    }
    let words: Vec<String> =
        words.iter().map(|word| format!("=?utf-8?B?{}?=", BASE64.encode(word.as_bytes()))).collect();
    words.join("\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(message: &str, name: &str) -> String {
        let mut octets = message.as_bytes().to_vec();
        add(&mut octets, name, "joe");
        String::from_utf8(octets).expect("text")
    }

    #[test]
    fn a_message_without_an_author_gets_one_at_the_end_of_its_header() {
        assert_eq!(added("Subject: x\n\nbody\n", "Joe User"), "Subject: x\nFrom: Joe User <joe>\n\nbody\n");
        assert_eq!(added("body only\n", "Joe"), "From: Joe <joe>\n\nbody only\n");
        assert_eq!(added("A: 1\n folded\n", "Joe"), "A: 1\n folded\nFrom: Joe <joe>\n");
    }

    #[test]
    fn a_message_with_an_author_keeps_it() {
        let message = "From joe Sat Nov 21\nTO: a@b\nFROM : me@x\n\nbody\n";
        assert_eq!(added(message, "Joe"), message);
        assert_eq!(added("Resent-To: x\n\n", "Joe"), "Resent-To: x\n\n");
    }

    #[test]
    fn a_name_is_never_more_than_a_name() {
        assert_eq!(added("\n", "A \"B\", (C)"), "From: \"A \\\"B\\\", (C)\" <joe>\n\n");
        assert_eq!(added("\n", "A\nBcc: x@y"), "\n");
        assert_eq!(added("\n", "Jöe"), "From: =?utf-8?B?SsO2ZQ==?= <joe>\n\n");
    }
}
