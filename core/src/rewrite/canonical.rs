//! The canonical form of an address: what trivial-rewrite(8) does before anything is looked up.
//!
//! Routing operators (`!`, `%`) are seen only in a local part that needs no quotes; what is quoted stays as it is here. (When
//! it is *resolved*, quotes protect nothing: see [`super::resolve`].)

use super::Params;
use crate::wire::Mailbox;

/// Whether a local part needs no quotes: atoms with single dots between them (RFC 5321 4.1.2, RFC 6531 3.3).
pub(super) fn is_dot_string(local: &str) -> bool {
    let atom = |c: char| !c.is_control() && c != ' ' && !"()<>@,;:\\\".[]".contains(c);
    !local.is_empty() && local.split('.').all(|part| !part.is_empty() && part.chars().all(atom))
}

/// Without the dot at its end; two dots, or nothing but a dot, are left for the check of names to refuse.
pub(super) fn without_final_dot(domain: &str) -> &str {
    match domain.strip_suffix('.') {
        Some(rest) if !rest.is_empty() && !rest.ends_with('.') => rest,
        _ => domain,
    }
}

impl Params {
    /// `origin` and `parent` are what incomplete addresses are completed with; empty: they are left incomplete.
    pub(super) fn rewrite(&self, mailbox: &Mailbox, origin: &str, parent: &str) -> Mailbox {
        let (local, domain) = (mailbox.local(), mailbox.domain());
        let is_whole = domain.contains(['.', '[']) && !domain.ends_with('.');
        if is_whole || (local.is_empty() && domain.is_empty()) {
            return mailbox.clone();
        }
        let (mut local, mut domain) = (local.to_owned(), domain.to_owned());
        if domain.is_empty()
            && let Some((user, host)) = without_route(&local)
        {
            domain = host.to_owned();
            local = user.to_owned();
        }
        if domain.is_empty() {
            (local, domain) = self.find_domain(&local, origin);
        }
        if !domain.is_empty() && !domain.contains(['.', '[']) && !parent.is_empty() {
            domain = format!("{domain}.{parent}");
        }
        Mailbox::new(&local, without_final_dot(&domain))
    }

    /// A local part without a domain: it may hold one, or gets ours.
    fn find_domain(&self, local: &str, origin: &str) -> (String, String) {
        let plain = is_dot_string(local);
        if plain
            && self.swap_bangpath
            && let Some((site, user)) = local.split_once('!')
        {
            return (user.to_owned(), site.to_owned());
        }
        if plain
            && self.allow_percent_hack
            && let Some((user, host)) = local.rsplit_once('%')
        {
            return (user.to_owned(), host.to_owned());
        }
        (local.to_owned(), origin.to_owned())
    }
}

/// `@site,@site:user@host` in a local part (the parser of paths drops routes; this is for text from tables).
fn without_route(local: &str) -> Option<(&str, &str)> {
    let (_, rest) = local.strip_prefix('@')?.split_once(':')?;
    Some(rest.rsplit_once('@').unwrap_or((rest, "")))
}

/// Whether a domain can be one: a host name, or an address literal in brackets.
pub(crate) fn is_valid_domain(domain: &str) -> bool {
    if domain.starts_with('[') {
        return literal(domain).is_some();
    }
    // Labels of 1 to 63 octets between dots, none with a hyphen at an end.
    let (mut before, mut length) = (b'.', 0);
    for octet in domain.bytes() {
        let fits = match octet {
            b'.' => !matches!(before, b'.' | b'-'),
            b'-' => before != b'.',
            octet => octet == b'_' || octet.is_ascii_alphanumeric() || !octet.is_ascii(),
        };
        length = if octet == b'.' { 0 } else { length + 1 };
        if !fits || length > 63 {
            return false;
        }
        before = octet;
    }
    !matches!(before, b'.' | b'-') && domain.len() <= 255 && !is_numeric(domain)
}

/// Digits and dots only.
pub(crate) fn is_numeric(domain: &str) -> bool {
    domain.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// The address of `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
pub(crate) fn literal(domain: &str) -> Option<std::net::IpAddr> {
    let inside = domain.strip_prefix('[')?.strip_suffix(']')?;
    let tagged = inside.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("ipv6:"));
    if tagged {
        return inside.get(5..)?.parse::<std::net::Ipv6Addr>().ok().map(Into::into);
    }
    inside.parse::<std::net::Ipv4Addr>().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(local: &str, domain: &str) -> String {
        let params = Params { append_dot_mydomain: true, ..Params::default() };
        let rewritten = params.rewrite(&Mailbox::new(local, domain), "origin.example", "my.example");
        format!("{}@{}", rewritten.local(), rewritten.domain())
    }

    #[test]
    fn incomplete_addresses_are_completed() {
        assert_eq!(canonical("user", ""), "user@origin.example");
        assert_eq!(canonical("user", "host"), "user@host.my.example");
        assert_eq!(canonical("user", "host.example."), "user@host.example");
        assert_eq!(canonical("user", "[192.0.2.1]"), "user@[192.0.2.1]");
        assert_eq!(canonical("", ""), "@");
        let params = Params::default();
        assert_eq!(params.rewrite(&Mailbox::new("user", "host"), "", ""), Mailbox::new("user", "host"));
    }

    #[test]
    fn routes_of_old_are_turned_into_domains() {
        assert_eq!(canonical("site!user", ""), "user@site.my.example");
        assert_eq!(canonical("a.b!c!user", ""), "c!user@a.b");
        assert_eq!(canonical("user%a.b", ""), "user@a.b");
        assert_eq!(canonical("user%a%b.c", ""), "user%a@b.c");
        assert_eq!(canonical("@r.x,@s:user@host.x", ""), "user@host.x");
    }

    #[test]
    fn operators_beside_a_domain_or_in_need_of_quotes_stay() {
        assert_eq!(canonical("site!user", "a.b"), "site!user@a.b");
        assert_eq!(canonical("us er%site", ""), "us er%site@origin.example");
    }

    #[test]
    fn names_and_literals_are_told_from_nonsense() {
        for good in ["a.b", "localhost", "[192.0.2.1]", "[IPv6:::1]", "x_y.example", "bücher.example"] {
            assert!(is_valid_domain(good), "{good}");
        }
        for bad in ["", ".", "a..b", "1.2.3.4", "[1.2.3]", "-a.b", "a b", "a@b", "[x", "[::1]", "a.b."] {
            assert!(!is_valid_domain(bad), "{bad}");
        }
    }
}
