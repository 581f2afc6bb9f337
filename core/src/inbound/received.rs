//! The Received field that we put in front of what we take (RFC 5321 4.4), in Postfix's form.

use crate::mail::{ClientFacts, QueueId, TlsFacts};
use crate::session::Transaction;
use crate::time::Timestamp;
use crate::wire::date::rfc5322;
use crate::wire::put_address;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Longest name in the field: a domain's length. A line of a header must not pass 998 octets.
const NAME_MAX: usize = 255;

/// What the field tells.
pub(super) struct Trace<'a> {
    pub(super) client: &'a ClientFacts,
    /// Only when it is to be told (`smtpd_tls_received_header`).
    pub(super) tls: Option<&'a TlsFacts>,
    pub(super) host: &'a str,
    pub(super) mail_name: &'a str,
    pub(super) id: QueueId,
    pub(super) transaction: &'a Transaction,
    pub(super) utc_offset_minutes: i32,
}

/// The field, its lines ended with CRLF.
pub(super) fn field(trace: &Trace<'_>, arrived: Timestamp) -> Vec<u8> {
    let utf8 = trace.transaction.smtputf8;
    let client = trace.client;
    let helo = if client.helo.is_empty() { &client.name } else { &client.helo };
    let helo: String =
        helo.chars().take(NAME_MAX).map(|c| if utf8 || c.is_ascii() { c } else { '?' }).collect();
    let mut text = String::with_capacity(256);
    text.extend(["Received: from ", &helo, " (", &client.name, " ["]);
    put_literal(&mut text, client.address);
    text.push_str("])\r\n");
    if let Some(tls) = trace.tls {
        put_tls(&mut text, tls);
    }
    let Trace { host, mail_name, id, .. } = trace;
    text.extend(["\tby ", host, " (", mail_name, ") with ", &client.protocol, " id ", &id.to_string()]);
    // One recipient only: others must not learn of each other (RFC 5321 7.2).
    match trace.transaction.recipients.as_slice() {
        [only] if utf8 || only.address.is_ascii() => {
            text.extend(["\r\n\tfor <", &only.address.external(), ">; "]);
        }
        _ => text.push_str(";\r\n\t"),
    }
    text.push_str(&rfc5322(arrived, trace.utc_offset_minutes));
    text.push_str("\r\n");
    text.into_bytes()
}

fn put_tls(text: &mut String, tls: &TlsFacts) {
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
        None => "No client certificate requested".to_owned(),
    };
    let result = write!(
        text,
        "\t(using {protocol} with cipher {cipher} ({bits}/{bits} bits))\r\n\t({certificate})\r\n"
    );
    debug_assert!(result.is_ok(), "writing to a String does not fail");
}

/// RFC 5321 4.1.3.
fn put_literal(text: &mut String, address: Option<IpAddr>) {
    let Some(address) = address else { return text.push_str("unknown") };
    if address.is_ipv6() {
        text.push_str("IPv6:");
    }
    put_address(text, address);
}
