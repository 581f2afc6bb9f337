//! Names as mail sees them, and names as DNS sees them.
//!
//! Inside the house a name is lower case, ASCII, without a final dot. What a resolver hands us may hold any
//! octet in a label; a name with such octets is no host of ours and is not let in.
//! RFC 1035 2.3.4 (sizes), RFC 3596 2.5 (IPv6 in reverse), RFC 5890 (A-labels).

use hickory_proto::rr::Name;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Octets of a name in text without its final dot: 255 on the wire, less the root's and the first label's length octets.
const NAME_MAX: usize = 253;
/// Octets of a label.
const LABEL_MAX: usize = 63;

/// The name of an address in the reverse tree. An IPv4 address in IPv6 clothes is looked for where its owner put it: as IPv4.
#[must_use]
pub fn reverse_name(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let mut name = String::with_capacity(72);
            for octet in v6.octets().iter().rev() {
                let written = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
                debug_assert!(written.is_ok(), "writing to a String does not fail");
            }
            name.push_str("ip6.arpa");
            name
        }
    }
}

/// The form under which a name is asked for and cached; `None` when it can not be asked for.
pub(super) fn folded(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ascii = if name.is_ascii() {
        name.to_ascii_lowercase()
    } else {
        // Longer input would only burn time in the tables of Unicode.
        if name.len() > 4 * NAME_MAX {
            return None;
        }
        let text = Name::from_utf8(name).ok()?.to_ascii().to_ascii_lowercase();
        text.strip_suffix('.').map_or(text.clone(), str::to_owned)
    };
    let fits = ascii.len() <= NAME_MAX
        && ascii.split('.').all(|label| (1..=LABEL_MAX).contains(&label.len()))
        && ascii.bytes().all(is_name_octet);
    fits.then_some(ascii)
}

/// Graphic ASCII but the backslash, which means an escape in the text of a name.
const fn is_name_octet(octet: u8) -> bool {
    octet.is_ascii_graphic() && octet != b'\\'
}

/// A folded name for the wire.
pub(super) fn to_wire(folded: &str) -> Option<Name> {
    let mut name = Name::from_labels(folded.split('.').map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// A name from the wire in our form; empty for the root, `None` when a label holds what no host name may.
pub(super) fn from_wire(name: &Name) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        for &octet in label {
            if !is_name_octet(octet) || octet == b'.' {
                return None;
            }
            text.push(char::from(octet.to_ascii_lowercase()));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_looked_up_in_the_reverse_tree() {
        let name = |text: &str| reverse_name(text.parse().expect("an address"));
        assert_eq!(name("192.0.2.130"), "130.2.0.192.in-addr.arpa");
        assert_eq!(name("::ffff:192.0.2.130"), "130.2.0.192.in-addr.arpa");
        assert_eq!(
            name("2001:db8::567:89ab"),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }

    #[test]
    fn names_are_folded_and_those_that_do_not_fit_are_refused() {
        assert_eq!(folded("MX.Example.ORG."), Some("mx.example.org".into()));
        assert_eq!(folded("_25._tcp.mx.example"), Some("_25._tcp.mx.example".into()));
        assert_eq!(folded("b\u{fc}cher.example"), Some("xn--bcher-kva.example".into()));
        let long_label = "a".repeat(64);
        let long_name = vec!["a".repeat(60); 5].join(".");
        for bad in ["", ".", "a..b", ".a", "a b", "a\\b", "a\nb", "a\0b", &long_label, &long_name] {
            assert_eq!(folded(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_label_with_a_dot_inside_is_no_host_name() {
        let name = Name::from_labels(vec![&b"mx.evil"[..], b"example"]).expect("a legal name of DNS");
        assert_eq!(from_wire(&name), None);
    }

    proptest::proptest! {
        #[test]
        fn what_can_be_folded_can_be_asked_and_reads_back(text in "\\PC{0,80}") {
            if let Some(name) = folded(&text) {
                let wire = to_wire(&name).expect("a folded name fits");
                proptest::prop_assert_eq!(from_wire(&wire), Some(name));
            }
        }
    }
}
