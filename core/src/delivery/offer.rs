//! What a server offers in its answer to EHLO or LHLO (RFC 5321 4.1.1.1).
//!
//! Unknown words are passed over. Nothing said before TLS counts in it: the offer is read anew.

use crate::wire::Reply;

/// The extensions that we use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Offer {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 1870: offered, and the limit if it says one.
    pub size: Option<Option<u64>>,
}

impl Offer {
    /// Reads an offer, without the words that the operator does not trust. The first line is the server's name.
    #[must_use]
    pub fn read(reply: &Reply, discard: &[String]) -> Self {
        let mut offer = Self::default();
        for line in reply.lines.iter().skip(1) {
            // Some servers write `SIZE=n`.
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            let keyword = words.next().unwrap_or("").to_ascii_uppercase();
            if discard.contains(&keyword) {
                continue;
            }
            match keyword.as_str() {
                "PIPELINING" => offer.pipelining = true,
                "8BITMIME" => offer.eight_bit_mime = true,
                "SMTPUTF8" => offer.smtputf8 = true,
                "DSN" => offer.dsn = true,
                "STARTTLS" => offer.starttls = true,
                // RFC 1870 3: zero is no limit.
                "SIZE" => offer.size = Some(words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0)),
                _ => {}
            }
        }
        offer
    }

    /// The words of the offer that the operator does not trust.
    #[must_use]
    pub fn discarded(reply: &Reply, discard: &[String]) -> Vec<String> {
        let keyword = |line: &String| line.split([' ', '=']).next().unwrap_or("").to_ascii_uppercase();
        reply.lines.iter().skip(1).map(keyword).filter(|word| discard.contains(word)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_read_in_any_case_and_order_without_what_is_discarded() {
        let reply = Reply {
            code: 250,
            status: None,
            lines: [
                "PIPELINING.example",
                "size 1000",
                "8bitmime",
                "DSN",
                "STARTTLS",
                "X-UNKNOWN foo",
                "Pipelining",
            ]
            .map(str::to_owned)
            .to_vec(),
        };
        let offer = Offer::read(&reply, &["DSN".to_owned()]);
        assert_eq!(offer.size, Some(Some(1000)));
        assert!(offer.pipelining && offer.eight_bit_mime && offer.starttls && !offer.dsn && !offer.smtputf8);
        assert_eq!(Offer::discarded(&reply, &["DSN".to_owned()]), ["DSN"]);
    }

    #[test]
    fn the_name_of_the_server_is_no_keyword() {
        assert_eq!(Offer::read(&Reply::new(250, None, "PIPELINING"), &[]), Offer::default());
    }

    #[test]
    fn a_size_of_zero_or_nonsense_is_no_limit() {
        let read = |line: &str| {
            let lines = vec!["mx".to_owned(), line.to_owned()];
            Offer::read(&Reply { code: 250, status: None, lines }, &[]).size
        };
        assert_eq!(read("SIZE 0"), Some(None));
        assert_eq!(read("SIZE"), Some(None));
        assert_eq!(read("SIZE=77"), Some(Some(77)));
        assert_eq!(read("SIZE 99999999999999999999999"), Some(None));
    }
}
