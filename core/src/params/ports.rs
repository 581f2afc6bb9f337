//! Ports by number or by name.
//!
//! services(5) itself is not read: core reads no file, and a configuration shall mean the same on each host. The names are those
//! behind which mail, or what is configured beside it, may have a server.

/// As IANA assigned them; `mail`, `imap2` and `ssmtp` are aliases of services(5), and `lmtp` is what Postfix takes it for.
const NAMES: [(&str, u16); 20] = [
    ("ssh", 22),
    ("lmtp", 24),
    ("smtp", 25),
    ("mail", 25),
    ("time", 37),
    ("domain", 53),
    ("http", 80),
    ("pop3", 110),
    ("auth", 113),
    ("imap", 143),
    ("imap2", 143),
    ("https", 443),
    ("submissions", 465),
    ("smtps", 465),
    ("ssmtp", 465),
    ("submission", 587),
    ("qmqp", 628),
    ("imaps", 993),
    ("pop3s", 995),
    ("sieve", 4190),
];

/// The port of a number, or of one of the service names that mail uses.
#[must_use]
pub fn port_number(text: &str) -> Option<u16> {
    // Digits only: a number's own reader would take "+25" too.
    if text.bytes().all(|octet| octet.is_ascii_digit()) {
        return text.parse().ok().filter(|port| *port > 0);
    }
    NAMES.iter().find(|(name, _)| *name == text).map(|(_, port)| *port)
}

#[cfg(test)]
mod tests {
    use super::port_number;

    #[test]
    fn ports_have_numbers_and_well_known_names() {
        let known = [("25", 25), ("65535", 65_535), ("smtp", 25), ("submissions", 465), ("smtps", 465)];
        let named =
            [("lmtp", 24), ("imap", 143), ("imaps", 993), ("pop3s", 995), ("sieve", 4190), ("https", 443)];
        for (text, port) in known.into_iter().chain(named) {
            assert_eq!(port_number(text), Some(port), "{text}");
        }
        for text in ["", "0", "+25", "-1", "65536", "99999999999999999999", "SMTP", "nosuch", "25 "] {
            assert_eq!(port_number(text), None, "{text:?}");
        }
    }
}
