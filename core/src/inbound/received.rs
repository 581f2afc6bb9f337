//! The Received field that we put in front of what we take (RFC 5321 4.4), in Postfix's form.

use crate::mail::{ClientFacts, QueueId, TlsFacts};
use crate::session::Transaction;
use crate::time::Timestamp;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Longest name in the field: a domain's length. A line of a header must not pass 998 octets.
const NAME_MAX: usize = 255;

/// What the field tells.
pub(super) struct Trace<'a> {
    pub(super) client: &'a ClientFacts,
    /// Only when it is to be told (`smtpd_tls_received_header`).
    pub(super) tls: Option<&'a TlsFacts>,
    pub(super) asks_certificate: bool,
    pub(super) host: &'a str,
    pub(super) mail_name: &'a str,
    pub(super) id: QueueId,
    pub(super) transaction: &'a Transaction,
}

/// The field, its lines ended with CRLF.
pub(super) fn field(trace: &Trace<'_>, arrived: Timestamp) -> Vec<u8> {
    let utf8 = trace.transaction.smtputf8;
    let client = trace.client;
    let helo = if client.helo.is_empty() { &client.name } else { &client.helo };
    let helo: String =
        helo.chars().take(NAME_MAX).map(|c| if utf8 || c.is_ascii() { c } else { '?' }).collect();
    let mut text = format!("Received: from {helo} ({} [{}])\r\n", client.name, address(client.address));
    if let Some(tls) = trace.tls {
        put_tls(&mut text, tls, trace.asks_certificate);
    }
    let Trace { host, mail_name, id, .. } = trace;
    text += &format!("\tby {host} ({mail_name}) with {} id {id}", client.protocol);
    // One recipient only: others must not learn of each other (RFC 5321 7.2).
    match trace.transaction.recipients.as_slice() {
        [only] if utf8 || only.address.is_ascii() => {
            text += &format!("\r\n\tfor <{}>; {}\r\n", only.address.external(), date(arrived));
        }
        _ => text += &format!(";\r\n\t{}\r\n", date(arrived)),
    }
    text.into_bytes()
}

fn put_tls(text: &mut String, tls: &TlsFacts, asks_certificate: bool) {
    let TlsFacts { protocol, cipher, cipher_bits: bits, trusted, peer_name } = tls;
    let certificate = match peer_name {
        Some(name) => {
            let verified = if *trusted { "verified OK" } else { "not verified" };
            let name: String = name
                .chars()
                .take(NAME_MAX)
                .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '(' | ')') { c } else { '?' })
                .collect();
            format!("Client CN \"{name}\" ({verified})")
        }
        None if asks_certificate => "Client did not present a certificate".to_owned(),
        None => "No client certificate requested".to_owned(),
    };
    let result = write!(
        text,
        "\t(using {protocol} with cipher {cipher} ({bits}/{bits} bits))\r\n\t({certificate})\r\n"
    );
    debug_assert!(result.is_ok(), "writing to a String does not fail");
}

/// RFC 5321 4.1.3.
fn address(address: Option<IpAddr>) -> String {
    match address {
        Some(IpAddr::V4(v4)) => v4.to_string(),
        Some(IpAddr::V6(v6)) => format!("IPv6:{v6}"),
        None => "unknown".to_owned(),
    }
}

/// RFC 5322 3.3, in UTC: core knows no place.
fn date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let at =
        time::OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    format!(
        "{}, {:2} {} {} {:02}:{:02}:{:02} +0000 (UTC)",
        DAYS[usize::from(at.weekday().number_days_from_monday())],
        at.day(),
        MONTHS[usize::from(u8::from(at.month()) - 1)],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_form_of_rfc_5322() {
        assert_eq!(date(Timestamp::from_seconds(1_795_233_600)), "Sat, 21 Nov 2026 04:00:00 +0000 (UTC)");
        assert_eq!(date(Timestamp::from_seconds(0)), "Thu,  1 Jan 1970 00:00:00 +0000 (UTC)");
        assert_eq!(date(Timestamp(i64::MAX)), "Thu,  1 Jan 1970 00:00:00 +0000 (UTC)");
    }
}
