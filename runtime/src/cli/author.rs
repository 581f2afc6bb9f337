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
    // A message that is sent again keeps its author, and says who sends it again.
    let resent = if fields.iter().any(|name| name.starts_with("resent-")) { "Resent-" } else { "" };
    if fields.iter().any(|name| *name == format!("{resent}from").to_ascii_lowercase()) {
        return;
    }
    let mut field = format!("{resent}From: {} <{sender}>\n", phrase(name));
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
    use postrider_core::prng::Prng;

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
        let again = "Resent-To: x\nFrom: me@x\n";
        assert_eq!(added(&format!("{again}\n"), "Joe"), format!("{again}Resent-From: Joe <joe>\n\n"));
        let message = "Resent-From: y\n\n";
        assert_eq!(added(message, "Joe"), message);
    }

    #[test]
    fn a_name_is_never_more_than_a_name() {
        assert_eq!(added("\n", "A \"B\", (C)"), "From: \"A \\\"B\\\", (C)\" <joe>\n\n");
        assert_eq!(added("\n", "A\nBcc: x@y"), "\n");
        assert_eq!(added("\n", "Jöe"), "From: =?utf-8?B?SsO2ZQ==?= <joe>\n\n");
    }

    /// Names of one octet a character to four, and with what has a meaning in a header.
    fn name(prng: &mut Prng) -> String {
        const PARTS: [&str; 14] =
            ["a", "Joe", " ", "é", "ß", "€", "你", "\u{1f600}", "\"", "\\", ",", "(x)", "<y@z>", "?="];
        let ascii = prng.chance(1, 3);
        let fits = |part: &&str| !ascii || part.is_ascii();
        (0..prng.below(60)).map(|_| PARTS[prng.below(14) as usize]).filter(fits).collect()
    }

    /// A reader of its own: RFC 2047 6.2 and RFC 5322 3.2.4, for what a phrase of ours may be.
    fn read(phrase: &str) -> String {
        if phrase.starts_with("=?utf-8?B?") {
            let words = phrase.split("\n ").map(|word| {
                assert!(word.len() <= 75, "RFC 2047 2: {word}");
                let text = word.strip_prefix("=?utf-8?B?").and_then(|rest| rest.strip_suffix("?="));
                let octets = BASE64.decode(text.expect("an encoded word").as_bytes()).expect("base64");
                // RFC 2047 5: each word is whole characters.
                String::from_utf8(octets).expect("UTF-8")
            });
            return words.collect();
        }
        let Some(inner) = phrase.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            let special = |c: char| "()<>[]:;@\\,.\"".contains(c);
            assert!(!phrase.contains(special), "bare words: {phrase}");
            return phrase.to_owned();
        };
        let mut text = String::new();
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            assert_ne!(character, '"', "RFC 5322 3.2.4: {phrase}");
            text.push(if character == '\\' { characters.next().expect("a pair") } else { character });
        }
        text
    }

    #[test]
    fn every_name_reads_back_as_it_was_given() {
        for seed in 0..5_000 {
            let name = name(&mut Prng::new(seed));
            let (wanted, message) = (name.trim(), added("Subject: x\n\nbody\n", &name));
            let field = message.strip_prefix("Subject: x\n").and_then(|rest| rest.strip_suffix("\nbody\n"));
            let field = field.unwrap_or_else(|| panic!("seed {seed}: the rest stays: {message:?}"));
            if wanted.is_empty() {
                assert_eq!(field, "", "seed {seed}");
                continue;
            }
            assert!(field.lines().skip(1).all(|line| line.starts_with(' ')), "seed {seed}: {field}");
            let phrase = field.strip_prefix("From: ").and_then(|rest| rest.strip_suffix(" <joe>\n"));
            assert_eq!(read(phrase.expect("a From field")), wanted, "seed {seed}");
        }
    }

    /// A message of any octets stays what it is, but for one field, and has an author then.
    #[test]
    fn any_message_keeps_its_octets_and_gets_one_author() {
        const PARTS: [&[u8]; 14] = [
            b"\n",
            b"\r\n",
            b"\r",
            b" ",
            b"\t",
            b":",
            b"A",
            b"From",
            b"From ",
            b"Subject: x\n",
            b"Resent-From",
            b"\0",
            b"\xff",
            b"To: x",
        ];
        for seed in 0..20_000 {
            let mut prng = Prng::new(seed);
            let message: Vec<u8> =
                (0..prng.below(12)).flat_map(|_| PARTS[prng.below(14) as usize]).copied().collect();
            let (end, fields) = header(&message);
            assert!(
                end <= message.len() && (end == 0 || message[end - 1] == b'\n'),
                "seed {seed}: {message:?}"
            );
            let mut written = message.clone();
            add(&mut written, "Jöe", "joe");
            if written == message {
                assert!(fields.iter().any(|name| name == "from" || name == "resent-from"), "seed {seed}");
                continue;
            }
            let is_resent = fields.iter().any(|name| name.starts_with("resent-"));
            let resent = if is_resent { "Resent-" } else { "" };
            let field = format!("{resent}From: =?utf-8?B?SsO2ZQ==?= <joe>\n");
            let rest = written.strip_prefix(&message[..end]);
            let rest = rest.and_then(|rest| rest.strip_prefix(field.as_bytes()));
            let rest = rest.unwrap_or_else(|| panic!("seed {seed}: behind the header: {written:?}"));
            let empty = rest.len() - (message.len() - end);
            assert_eq!(&rest[empty..], &message[end..], "seed {seed}");
            assert!(empty == 0 || &rest[..empty] == b"\n", "seed {seed}: {written:?}");
            // It is in the header now, and no second one comes.
            let again = written.clone();
            add(&mut written, "Another", "joe");
            assert_eq!(written, again, "seed {seed}");
        }
    }
}
