//! Numbers and addresses as text, appended to a line that is being made. The log and the trace need some for each message; `fmt` takes
//! ten times as long for them.

use std::fmt::Write as _;
use std::net::IpAddr;

/// Appends a number in decimal digits.
pub(crate) fn put_decimal(line: &mut String, number: impl itoa::Integer) {
    line.push_str(itoa::Buffer::new().format(number));
}

/// Appends an address as it is usually written (RFC 5952 for IPv6), without brackets.
pub(crate) fn put_address(line: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            put_decimal(line, first);
            for octet in rest {
                line.push('.');
                put_decimal(line, octet);
            }
        }
        IpAddr::V6(address) => {
            let result = write!(line, "{address}");
            debug_assert!(result.is_ok(), "writing to a String does not fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_put_is_what_is_displayed(number: u64, address: IpAddr) {
            let mut line = "=".to_owned();
            put_decimal(&mut line, number);
            line.push(' ');
            put_address(&mut line, address);
            proptest::prop_assert_eq!(line, format!("={number} {address}"));
        }
    }
}
