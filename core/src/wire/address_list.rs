//! Addresses in header fields (RFC 5322 3.4, 4.4), found where they stand.
//!
//! [`addresses`] gives each address and the octets it takes, so that a rewriter changes those octets and leaves names,
//! comments, groups and folding alone. Total over arbitrary octets: what is no address is passed over, not refused.
//! Encoded words and routes (`<@a:b@c>`) are understood as far as needed to find the address.

use crate::wire::Mailbox;
use std::ops::Range;

/// An address and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The octets of the address, from its first to its last word; within angle brackets where there are such.
    pub range: Range<usize>,
    /// Its value; a source route is dropped.
    pub mailbox: Mailbox,
}

/// Room for the tokens of a usual field.
const TOKENS_USUAL: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Atom,
    Quoted,
    /// `[192.0.2.1]`.
    Literal,
    Comment,
    Special(u8),
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    range: Range<usize>,
    /// White space stands in front.
    spaced: bool,
}

/// The addresses of the value of a field; those behind the first `tokens_max` tokens are left alone.
#[must_use]
pub fn addresses(value: &[u8], tokens_max: usize) -> Vec<Place> {
    let tokens = tokenise(value, tokens_max);
    let mut places = Vec::new();
    let mut run: Vec<&Token> = Vec::with_capacity(tokens.len());
    let mut angle: Option<Vec<&Token>> = None;
    for token in &tokens {
        match (token.kind, &mut angle) {
            (Kind::Special(b'<'), None) => angle = Some(Vec::new()),
            (Kind::Special(b'>'), Some(inner)) => {
                places.extend(place(value, without_route(inner)));
                angle = None;
                run.clear();
            }
            (_, Some(inner)) => inner.push(token),
            (Kind::Special(b','), None) => {
                places.extend(place(value, &run));
                run.clear();
            }
            (Kind::Special(b';'), None) => {
                places.extend(place(value, &run));
                run.clear();
            }
            // The name of a group.
            (Kind::Special(b':'), None) => run.clear(),
            (_, None) => run.push(token),
        }
    }
    // A field that was cut at the limit, or in the midst of an angle address, ends without its last address.
    if angle.is_none() && tokens.len() < tokens_max {
        places.extend(place(value, &run));
    }
    places
}

/// The value with the address in each range replaced. The ranges are those of [`addresses`], in order.
#[must_use]
pub fn replace(value: &[u8], edits: &[(Range<usize>, Mailbox)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 32 * edits.len());
    let mut from = 0;
    for (range, mailbox) in edits {
        out.extend_from_slice(value.get(from..range.start).unwrap_or_default());
        out.extend_from_slice(mailbox.external().as_bytes());
        for comment in comments(value.get(range.clone()).unwrap_or_default()) {
            out.push(b' ');
            out.extend_from_slice(comment);
        }
        from = range.end;
    }
    out.extend_from_slice(value.get(from..).unwrap_or_default());
    out
}

/// A list of addresses as tables and alias files have it: each mailbox, in order.
#[must_use]
pub fn mailboxes(text: &str) -> Vec<Mailbox> {
    addresses(text.as_bytes(), usize::MAX).into_iter().map(|place| place.mailbox).collect()
}

fn comments(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    let tokens = tokenise(octets, usize::MAX);
    tokens.into_iter().filter(|token| token.kind == Kind::Comment).filter_map(|token| octets.get(token.range))
}

fn tokenise(value: &[u8], tokens_max: usize) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(TOKENS_USUAL);
    let mut at = 0;
    let mut spaced = false;
    while let Some(octet) = value.get(at)
        && tokens.len() < tokens_max
    {
        let start = at;
        let kind = match octet {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                spaced = true;
                continue;
            }
            b'"' => Kind::Quoted,
            b'[' => Kind::Literal,
            b'(' => Kind::Comment,
            b'<' | b'>' | b',' | b';' | b':' | b'@' | b'.' | b')' | b']' | b'\\' => Kind::Special(*octet),
            _ => Kind::Atom,
        };
        at = match kind {
            Kind::Quoted => closed(value, at, b'"'),
            Kind::Literal => closed(value, at, b']'),
            Kind::Comment => comment_end(value, at),
            Kind::Special(_) => at + 1,
            Kind::Atom => atom_end(value, at),
        };
        tokens.push(Token { kind, range: start..at, spaced });
        spaced = false;
    }
    tokens
}

fn atom_end(value: &[u8], from: usize) -> usize {
    let rest = value.get(from..).unwrap_or_default();
    let stops = |octet: &u8| b" \t\r\n\"[(<>,;:@.)]\\".contains(octet);
    from + rest.iter().position(stops).unwrap_or(rest.len())
}

/// Behind the octet that closes what opens at `from`; the end where nothing closes it.
fn closed(value: &[u8], from: usize, close: u8) -> usize {
    let mut at = from + 1;
    while let Some(octet) = value.get(at) {
        match octet {
            b'\\' => at += 2,
            _ if *octet == close => return at + 1,
            _ => at += 1,
        }
    }
    value.len()
}

/// Comments nest (RFC 5322 3.2.2); a counter, not recursion, so that depth costs nothing.
fn comment_end(value: &[u8], from: usize) -> usize {
    let mut at = from;
    let mut depth = 0usize;
    while let Some(octet) = value.get(at) {
        match octet {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at.min(value.len())
}

/// `<@a,@b:c@d>` without its route (RFC 5322 4.4).
fn without_route<'a, 'b>(inner: &'a [&'b Token]) -> &'a [&'b Token] {
    let colon = inner.iter().position(|token| token.kind == Kind::Special(b':'));
    match (inner.first().map(|token| token.kind), colon) {
        (Some(Kind::Special(b'@')), Some(colon)) => inner.get(colon + 1..).unwrap_or_default(),
        _ => inner,
    }
}

/// The address that these tokens spell, if they do: `word *("." word) ["@" domain]` with comments anywhere.
fn place(value: &[u8], tokens: &[&Token]) -> Option<Place> {
    let mut words: Vec<&&Token> = Vec::with_capacity(tokens.len());
    words.extend(tokens.iter().filter(|token| token.kind != Kind::Comment));
    let (first, last) = (words.first()?, words.last()?);
    let at = words.iter().rposition(|token| token.kind == Kind::Special(b'@'));
    let (local, domain) = words.split_at(at.unwrap_or(words.len()));
    let local = spell(value, local)?;
    let domain = match domain.split_first() {
        // A quoted string is no part of a domain (RFC 5322 3.4.1): what it holds would be read as more addresses by the next program.
        Some((_, domain)) if domain.iter().any(|token| token.kind == Kind::Quoted) => return None,
        Some((_, domain)) => spell(value, domain).filter(|domain| !domain.is_empty())?,
        None => String::new(),
    };
    // What wire/path.rs would refuse in a command comes in by no table and no `sendmail -t` either: it could forge lines.
    let hidden = local.chars().chain(domain.chars()).any(char::is_control);
    let whole = first.range.start..last.range.end;
    (!local.is_empty() && !hidden).then(|| Place { range: whole, mailbox: Mailbox::new(&local, &domain) })
}

/// Words and dots as one string, unquoted; `None` when two words stand side by side (a name, not an address).
fn spell(value: &[u8], words: &[&&Token]) -> Option<String> {
    let mut text = String::with_capacity(words.iter().map(|token| token.range.len()).sum());
    let mut after_word = false;
    for token in words {
        let octets = value.get(token.range.clone())?;
        let is_word = matches!(token.kind, Kind::Atom | Kind::Quoted | Kind::Literal);
        if is_word && after_word && (token.spaced || token.kind != Kind::Atom) {
            return None;
        }
        match token.kind {
            Kind::Atom => text.push_str(std::str::from_utf8(octets).ok()?),
            Kind::Literal if octets.ends_with(b"]") => text.push_str(std::str::from_utf8(octets).ok()?),
            Kind::Quoted => text.push_str(&unquote(octets)?),
            Kind::Special(b'.') => text.push('.'),
            Kind::Special(b'@') => text.push('@'),
            _ => return None,
        }
        after_word = is_word;
    }
    Some(text)
}

fn unquote(octets: &[u8]) -> Option<String> {
    let inner = std::str::from_utf8(octets).ok()?.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(characters.next()?),
            '\r' | '\n' => {}
            character => text.push(character),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(value: &str) -> Vec<(String, String)> {
        addresses(value.as_bytes(), 1000)
            .into_iter()
            .map(|place| (value[place.range].to_owned(), place.mailbox.external()))
            .collect()
    }

    fn pair(text: &str, address: &str) -> (String, String) {
        (text.to_owned(), address.to_owned())
    }

    #[test]
    fn addresses_are_found_in_all_their_forms() {
        assert_eq!(
            found("joe, Ann Lee <ann@a.example>,\r\n\t\"x, y\" <@r,@s:b@b.example> (c)"),
            [pair("joe", "joe"), pair("ann@a.example", "ann@a.example"), pair("b@b.example", "b@b.example")]
        );
        assert_eq!(found("list: a@x, <b>; c@y").len(), 3);
        assert_eq!(found("undisclosed-recipients:;"), []);
        assert_eq!(found("<>"), []);
        assert_eq!(found("joe@[192.0.2.1]")[0].1, "joe@[192.0.2.1]");
        let deep = format!("{}x@y{}", "(".repeat(100), ")".repeat(100));
        assert_eq!(found(&format!("joe{deep}@{deep}a.example{deep}, b@b.example")).len(), 2);
        assert_eq!(found(&deep), [], "what is in a comment is no address");
        assert_eq!(found("joe . doe @ x . example")[0], pair("joe . doe @ x . example", "joe.doe@x.example"));
    }

    #[test]
    fn what_is_no_address_is_left_alone() {
        assert_eq!(found("Joe Doe joe@x"), []);
        assert_eq!(found("Joe <joe"), []);
        assert_eq!(found("a@, @b, \"unclosed"), []);
        assert_eq!(found("a@\"b, c@d\", a@\" \""), []);
    }

    #[test]
    fn control_characters_are_in_no_address_however_they_are_written() {
        for text in
            ["a\0b@x", "\"a\tb\"@x", "\"a\\\rb\"@x", "\"a\\\nb\"@x", "a@x\u{b}y", "a@[x\u{7f}]", "\u{85}@x"]
        {
            assert_eq!(found(text), [], "{text:?}");
        }
        assert_eq!(found("\"a\r\n b\"@x")[0].1, "\"a b\"@x");
    }

    #[test]
    fn only_the_address_changes() {
        let value = b" \"Joe (x)\" <joe> (hi),\r\n ann (c) @ here (d)\r\n";
        let edits: Vec<_> = addresses(value, 1000)
            .into_iter()
            .map(|place| (place.range, Mailbox::new(place.mailbox.local(), "x.example")))
            .collect();
        assert_eq!(
            String::from_utf8(replace(value, &edits)).unwrap(),
            " \"Joe (x)\" <joe@x.example> (hi),\r\n ann@x.example (c) (d)\r\n"
        );
    }

    #[test]
    fn every_octet_is_passed() {
        for octet in 0..=u8::MAX {
            assert!(tokenise(&[octet, octet, b'a', octet], usize::MAX).len() <= 4, "{octet}");
        }
    }

    #[test]
    fn tokens_beyond_the_limit_are_not_looked_at() {
        assert_eq!(addresses(&b"a,".repeat(100_000), 10).len(), 5);
        assert_eq!(addresses(&b"(".repeat(1_000_000), 10).len(), 0);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_octets_are_taken(value: Vec<u8>, max in 0usize..50) {
            let edits: Vec<_> = addresses(&value, max).into_iter().map(|p| (p.range, p.mailbox)).collect();
            _ = replace(&value, &edits);
        }

        #[test]
        fn text_like_addresses_is_taken(value in "[a-z@<>,;:.\\\\\"()\\[\\] ]{0,40}") {
            let places = addresses(value.as_bytes(), 100);
            let ordered = places.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start);
            proptest::prop_assert!(ordered);
        }
    }
}
