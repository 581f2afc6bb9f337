//! Addresses and paths (RFC 5321 4.1.2, RFC 6531 3.3).
//!
//! Promise: what is read is one mailbox or nothing. Where two programs could read an address differently (comments, two `@`
//! outside quotes, control characters, signs that look like `@` or `.`) it is refused, not guessed at.
//! Source routes are read and dropped (RFC 5321 appendix F.2). Knows nothing of which domains exist.

use super::{SyntaxError, folded};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Octets of a local part (RFC 5321 4.5.3.1.1). Postfix takes longer ones; nobody downstream needs to.
pub(crate) const LOCAL_PART_MAX: usize = 64;
/// Octets of a domain (RFC 5321 4.5.3.1.2).
pub(crate) const DOMAIN_MAX: usize = 255;
/// Octets of a label of ASCII (RFC 1035 2.3.4); characters of one that is not.
pub(crate) const LABEL_MAX: usize = 63;

/// `local-part@domain`. The local part is held unquoted; both are UTF-8. The domain may be empty (a bare
/// `postmaster`, before rewriting appended one), a name, or a literal with its brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Mailbox {
    local: Box<str>,
    domain: Box<str>,
}

impl Mailbox {
    /// From an unquoted local part and a domain (empty for none).
    #[must_use]
    pub fn new(local: &str, domain: &str) -> Self {
        Self { local: local.into(), domain: domain.into() }
    }

    /// Reads an address in external form, without angle brackets: `"a b"@example.org`, `user@[192.0.2.1]`, `@relay:user@host`
    /// (the route is dropped), a bare `postmaster`. UTF-8 is taken as it is; whether it may be used is not asked here.
    ///
    /// # Errors
    /// Where it stops being an address.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let start = route_end(text)?;
        let rest = &text[start..];
        let (local, used) = local_part(rest).map_err(|error| error.behind(start))?;
        let rest = &rest[used..];
        let Some(domain) = rest.strip_prefix('@') else {
            return if rest.is_empty() {
                Ok(Self { local: local.into(), domain: "".into() })
            } else {
                Err(SyntaxError { at: start + used, expected: "\"@\"" })
            };
        };
        let domain = check_domain(domain).map_err(|error| error.behind(start + used + 1))?;
        Ok(Self { local: local.into(), domain: domain.into() })
    }

    /// The local part, unquoted.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain as given; empty for none.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// `local@domain`, the local part quoted where it must be; without brackets.
    #[must_use]
    pub fn external(&self) -> String {
        let mut out = String::with_capacity(self.local.len() + self.domain.len() + 3);
        if is_dot_string(&self.local) {
            out.push_str(&self.local);
        } else {
            out.push('"');
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
        }
        if !self.domain.is_empty() {
            out.push('@');
            out.push_str(&self.domain);
        }
        out
    }

    /// `local@domain` as they are, without quotes: for people, and for tables that were written by them.
    #[must_use]
    pub fn plain(&self) -> String {
        let parts = [&*self.local, if self.domain.is_empty() { "" } else { "@" }, &*self.domain];
        parts.concat()
    }

    /// The same mailbox with its domain in lower case: equal keys are the same mailbox (RFC 5321 2.4).
    #[must_use]
    pub fn key(&self) -> Self {
        Self { local: self.local.clone(), domain: self.domain.to_lowercase().into() }
    }

    /// The external form, wholly in lower case: how tables are asked.
    #[must_use]
    pub fn folded(&self) -> String {
        let external = self.external();
        match folded(&external) {
            Cow::Owned(folded) => folded,
            Cow::Borrowed(_) => external,
        }
    }

    /// True when it can travel without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.is_ascii()
    }
}

/// The argument of MAIL FROM or RCPT TO.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Path {
    /// `<>`.
    Null,
    /// `<local@domain>`, or `<local>`.
    Mailbox(Mailbox),
}

impl Path {
    /// Reads a path at the start of `text`; says what lies behind it. Unless `strict` (`strict_rfc821_envelopes`),
    /// the angle brackets may be missing, and a phrase may stand before inner ones (`<User Name <user@example.com>>`).
    ///
    /// # Errors
    /// Where it stops being a path.
    pub fn parse(text: &str, strict: bool) -> Result<(Self, &str), SyntaxError> {
        let length = path_length(text)?;
        let (path, rest) = text.split_at(length);
        if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
            return Err(SyntaxError { at: length, expected: "a space behind the path" });
        }
        let inner = match path.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')) {
            Some(inner) => inner,
            None if strict || path.is_empty() => return Err(SyntaxError { at: 0, expected: "\"<\"" }),
            None => path,
        };
        let inner = if strict { inner } else { without_phrase(inner).trim_matches([' ', '\t']) };
        if inner.is_empty() {
            return Ok((Self::Null, rest));
        }
        Mailbox::parse(inner).map(|mailbox| (Self::Mailbox(mailbox), rest))
    }
}

/// Octets of the path at the start of `text`: up to the `>` that closes it, or to the first space outside quotes.
fn path_length(text: &str) -> Result<usize, SyntaxError> {
    let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'<' => depth += 1,
            b'>' if depth == 0 => return Err(SyntaxError { at, expected: "no \">\" without \"<\"" }),
            b'>' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            b' ' | b'\t' if depth == 0 => return Ok(at),
            _ => {}
        }
    }
    if quoted || depth > 0 {
        return Err(SyntaxError { at: text.len(), expected: "the end of the path" });
    }
    Ok(text.len())
}

/// What stands in the inner brackets of `phrase <address>`; all of it when there are none.
fn without_phrase(inner: &str) -> &str {
    let Some(body) = inner.trim_end_matches([' ', '\t']).strip_suffix('>') else { return inner };
    let mut quoted = false;
    for (at, octet) in body.bytes().enumerate() {
        match octet {
            b'"' => quoted = !quoted,
            // A second pair inside, or a backslash whose reach is not plain, is left for the parser to refuse.
            b'\\' => return inner,
            b'<' if !quoted => return &body[at + 1..],
            _ => {}
        }
    }
    inner
}

/// Where the mailbox begins behind a source route `@a,@b:`; 0 when there is none.
fn route_end(text: &str) -> Result<usize, SyntaxError> {
    if !text.starts_with('@') {
        return Ok(0);
    }
    // The colons of an IPv6 literal end no route.
    let mut literal = false;
    let colon = text.bytes().position(|octet| {
        literal = match octet {
            b'[' => true,
            b']' => false,
            _ => literal,
        };
        octet == b':' && !literal
    });
    let Some(colon) = colon else {
        return Err(SyntaxError { at: 0, expected: "a local part" });
    };
    let mut at = 0;
    for hop in text[..colon].split(',') {
        let Some(domain) = hop.strip_prefix('@') else {
            return Err(SyntaxError { at, expected: "\"@\" of a source route" });
        };
        check_domain(domain).map_err(|error| error.behind(at + 1))?;
        at += hop.len() + 1;
    }
    Ok(colon + 1)
}

/// Reads a dot-string or a quoted string; the unquoted text and the octets used.
fn local_part(text: &str) -> Result<(String, usize), SyntaxError> {
    let (local, used) = if text.starts_with('"') {
        quoted_string(text)?
    } else {
        let used = text.find(|c| !is_atom_character(c) && c != '.').unwrap_or(text.len());
        if used == 0 {
            return Err(SyntaxError { at: 0, expected: "a local part" });
        }
        (text[..used].to_owned(), used)
    };
    if local.len() > LOCAL_PART_MAX {
        return Err(SyntaxError { at: LOCAL_PART_MAX, expected: "at most 64 octets of local part" });
    }
    Ok((local, used))
}

fn quoted_string(text: &str) -> Result<(String, usize), SyntaxError> {
    let mut local = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            // RFC 5321 4.1.2: no control character is quotable; one that reached a header or a log could forge lines.
            c if is_hidden(c) => return Err(SyntaxError { at, expected: "a printable character" }),
            c if escaped => {
                local.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Ok((local, at + 1)),
            c => local.push(c),
        }
    }
    Err(SyntaxError { at: text.len(), expected: "the closing quote" })
}

/// By octet: what may stand in an atom, as far as one octet can tell: of what is not ASCII, everything.
const ATOM: [bool; 256] = {
    let mut atom = [true; 256];
    let mut octet = 0;
    while octet < 128 {
        atom[octet] = is_ascii_atom(octet as u8);
        octet += 1;
    }
    atom
};

/// A local part that needs no quotes. Postfix takes dots anywhere, and so do we: such addresses are in use.
fn is_dot_string(local: &str) -> bool {
    // RFC 5321 4.1.2: atoms between dots; `a..b` has an empty one.
    let mut before = b'.';
    for octet in local.bytes() {
        let fits = if octet == b'.' { before != b'.' } else { ATOM[usize::from(octet)] };
        if !fits {
            return false;
        }
        before = octet;
    }
    before != b'.' && (local.is_ascii() || local.chars().all(|c| c.is_ascii() || is_atom_character(c)))
}

const fn is_ascii_atom(octet: u8) -> bool {
    matches!(octet,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^' | b'_' | b'`'
        | b'{' | b'|' | b'}' | b'~')
}

fn is_atom_character(c: char) -> bool {
    u8::try_from(c).ok().filter(u8::is_ascii).map_or_else(|| !is_hidden(c), is_ascii_atom)
}

/// Characters that show nothing or turn the reading direction, and look-alikes of `@`, `.` and space.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{206f}'
            | '\u{3000}' | '\u{3002}' | '\u{fe52}' | '\u{fe6b}' | '\u{feff}' | '\u{ff0e}' | '\u{ff20}' | '\u{ff61}'
            | '\u{fff9}'..='\u{ffff}')
}

/// Checks a domain or an address literal; a dot at its end is dropped.
pub(crate) fn check_domain(domain: &str) -> Result<&str, SyntaxError> {
    if domain.len() > DOMAIN_MAX {
        return Err(SyntaxError { at: DOMAIN_MAX, expected: "at most 255 octets of domain" });
    }
    if domain.starts_with('[') {
        return check_literal(domain).map(|()| domain);
    }
    let name = domain.strip_suffix('.').unwrap_or(domain);
    let mut at = 0;
    for label in name.split('.') {
        check_label(label).map_err(|error| error.behind(at))?;
        at += label.len() + 1;
    }
    // Postfix (resolve_numeric_domain = no): 192.0.2.1 without brackets is no host name.
    if name.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.') {
        return Err(SyntaxError { at: 0, expected: "a name, or brackets around an address" });
    }
    Ok(name)
}

fn check_label(label: &str) -> Result<(), SyntaxError> {
    let length = if label.is_ascii() { label.len() } else { label.chars().count() };
    if label.is_empty() || length > LABEL_MAX {
        return Err(SyntaxError { at: 0, expected: "a label of 1 to 63 octets" });
    }
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || (!c.is_ascii() && !is_hidden(c));
    if let Some(at) = label.find(|c| !fits(c)) {
        return Err(SyntaxError { at, expected: "a letter, a digit or a hyphen" });
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(SyntaxError { at: 0, expected: "a label without a hyphen at its ends" });
    }
    Ok(())
}

fn check_literal(domain: &str) -> Result<(), SyntaxError> {
    let wrong = SyntaxError { at: 1, expected: "an address literal" };
    let inner = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(wrong)?;
    let known = match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => inner[5..].parse::<Ipv6Addr>().is_ok(),
        _ => inner.parse::<Ipv4Addr>().is_ok(),
    };
    if known { Ok(()) } else { Err(wrong) }
}

/// True for a host name that DNS could hold.
pub(crate) fn is_host_name(name: &str) -> bool {
    name.is_ascii() && !name.starts_with('[') && check_domain(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn external(text: &str) -> Option<String> {
        Mailbox::parse(text).ok().map(|mailbox| mailbox.external())
    }

    #[test]
    fn usual_and_odd_addresses_are_read() {
        for text in [
            "user@example.org",
            "postmaster",
            "\"a b\"@example.org",
            "\"a\\\"b\\\\c\"@example.org",
            "user%there@example.org",
            "site!user@example.org",
            "user@[192.0.2.1]",
            "user@[IPv6:2001:db8::1]",
            "пользователь@пример.рф",
            "under_score@under_score.example",
        ] {
            assert_eq!(external(text).as_deref(), Some(text));
        }
        assert_eq!(external("\"plain\"@example.org").as_deref(), Some("plain@example.org"));
        assert_eq!(external("a..b.@docomo.example").as_deref(), Some("\"a..b.\"@docomo.example"));
        assert_eq!(external("user@example.org.").as_deref(), Some("user@example.org"));
    }

    #[test]
    fn source_routes_are_read_and_dropped() {
        assert_eq!(external("@a.example,@b.example:user@c.example").as_deref(), Some("user@c.example"));
        assert_eq!(external("@[IPv6:::1]:user@c.example").as_deref(), Some("user@c.example"));
        assert_eq!(external("@a.example:"), None);
        assert_eq!(external("@a.example"), None);
    }

    #[test]
    fn what_two_programs_could_read_differently_is_refused() {
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long_label = format!("a@{}.example", "a".repeat(64));
        let long_domain = format!("a@{}", "abcdefg.".repeat(32));
        // The shallow ones are not too long for a local part.
        let commented: Vec<String> = [25, 100]
            .into_iter()
            .flat_map(|depth| {
                let comment = format!("{}x{}", "(".repeat(depth), ")".repeat(depth));
                ["#a@example.org", "a#@example.org", "a@#example.org", "a@example.org#"]
                    .map(|text| text.replace('#', &comment))
            })
            .collect();
        for text in &commented {
            assert_eq!(external(text), None, "{text}");
        }
        for text in [
            "",
            "@",
            "a@",
            "a b@example.org",
            "a@b@example.org",
            "a(comment)@example.org",
            "a@example.org(comment)",
            "a@example.org,b@example.org",
            "a\\b@example.org",
            "\"a@example.org",
            "\"a\rb\"@example.org",
            "a\0@example.org",
            "a@exa mple.org",
            "a@-x.example",
            "a@example..org",
            "a@192.0.2.1",
            "a@[300.0.2.1]",
            "a@[example.org]",
            "a\u{202e}b@example.org",
            "a\u{ff20}b",
            "a@b\u{3002}example",
            &long_local,
            &long_label,
            &long_domain,
        ] {
            assert_eq!(external(text), None, "{text:?}");
        }
    }

    #[test]
    fn paths_are_lax_unless_strict() {
        let read = |text, strict| match Path::parse(text, strict) {
            Ok((Path::Null, rest)) => Some((String::new(), rest)),
            Ok((Path::Mailbox(mailbox), rest)) => Some((mailbox.external(), rest)),
            Err(_) => None,
        };
        let is = |address: &str, rest| Some((address.to_owned(), rest));
        assert_eq!(read("<a@b.example> SIZE=1", true), is("a@b.example", " SIZE=1"));
        assert_eq!(read("<\"> x\"@b.example>", true), is("\"> x\"@b.example", ""));
        assert_eq!(read("<>", true), is("", ""));
        assert_eq!(read("<postmaster>", true), is("postmaster", ""));
        assert_eq!(read("a@b.example BODY=7BIT", false), is("a@b.example", " BODY=7BIT"));
        assert_eq!(read("a@b.example", true), None);
        assert_eq!(read("<User Name <a@b.example>>", false), is("a@b.example", ""));
        assert_eq!(read("<User Name <a@b.example>>", true), None);
        assert_eq!(read("<a@b.example>x", false), None);
        assert_eq!(read("<a@b.example", false), None);
        assert_eq!(read("<a@b.example>,<c@d.example>", false), None);
        assert_eq!(read("", false), None);
    }

    #[test]
    fn keys_are_equal_when_only_the_domain_differs_in_case() {
        assert_eq!(Mailbox::new("Bob", "Example.ORG").key(), Mailbox::new("Bob", "example.org"));
        assert_eq!(Mailbox::new("Bob", "Example.ORG").folded(), "bob@example.org");
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_back_to_the_same(local in "[ -~àéλ]{1,32}", domain in "[a-z][a-z0-9-]{0,8}[a-z](\\.[a-z]{2,5}){0,3}") {
            let mailbox = Mailbox::new(&local, &domain);
            prop_assert_eq!(Mailbox::parse(&mailbox.external()), Ok(mailbox.clone()));
            let path = format!("<{}>", mailbox.external());
            prop_assert_eq!(Path::parse(&path, true), Ok((Path::Mailbox(mailbox), "")));
        }

        #[test]
        fn any_text_is_an_address_that_round_trips_or_an_error(text in "\\PC{0,40}|[<>@\"\\\\. a:,\\[\\]]{0,20}") {
            if let Ok(mailbox) = Mailbox::parse(&text) {
                prop_assert_eq!(Mailbox::parse(&mailbox.external()), Ok(mailbox));
            }
            let _ = Path::parse(&text, false);
            let _ = Path::parse(&text, true);
        }
    }
}
