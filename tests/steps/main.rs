//! Reads the beginning of a kind and so many octets behind it, and ends: what `tests/tests/linear.rs` counts the instructions of.
//!
//! `steps KIND OCTETS`, or `steps` for the names of all kinds.

use postrider_core::ask::RecordKind;
use postrider_core::dns::{
    Entropy, Input as Told, Output, Params, QUERIES_PER_QUESTION_MAX, Resolver, Ticket,
};
use postrider_core::inbound::{Config, Effect, Inbound, Input, Peer};
use postrider_core::machine::Machine;
use postrider_core::mail::QueueId;
use postrider_core::params;
use postrider_core::time::Now;
use postrider_core::wire::line::Backlog;
use postrider_core::wire::{ContentEncoder, ReplyReader, SevenBit, address_list};
use postrider_tests::answers::nothing;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Octets handed over at once.
const CHUNK: usize = 4 * 1024;

/// A reader, a beginning, and what is repeated behind it.
type Kind = (&'static str, fn(&[u8]), &'static [u8], &'static [u8]);

const MIME: &[u8] = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
/// A message of parts, up to the name of what stands between them.
const BOUNDARY: &[u8] = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"";
/// A field with a boundary of some 10 KB, and a line that begins as what it delimits would.
const LONG_BOUNDARY: [u8; 10 * 1024] = around(BOUNDARY, b"\"\r\n\r\n");
const ALMOST: [u8; 25] = around(b"--", b"\xfc\r\n");
const PART: &[u8] = b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";

const KINDS: &[Kind] = &[
    ("commands", commands, b"", b"RCPT TO:<reader@far.test> NOTIFY=NEVER\r\n"),
    ("an-endless-command", commands, b"NOOP ", b"x"),
    ("content", message, b"Subject: x\r\n\r\n", b"A line of text.\r\n"),
    ("content-of-dots", message, b"Subject: x\r\n\r\n", b"..\r\n"),
    ("content-of-line-feeds", message, b"Subject: x\r\n\r\n", b"\n"),
    ("content-of-carriage-returns", message, b"Subject: x\r\n\r\n", b"\r"),
    ("fields", message, b"", b"X: y\r\n"),
    ("address-fields", message, b"", b"To: Ann <ann@a.test>, b@b.test\r\n"),
    ("a-folded-field", message, b"Subject: x\r\n", b" y\r\n"),
    ("an-endless-address-field", message, b"To: a", b",a@b.test"),
    ("nested-parts", message, MIME, PART),
    ("a-long-boundary", message, &LONG_BOUNDARY, &ALMOST),
    ("an-endless-boundary", message, BOUNDARY, b"b"),
    ("encoded-words", message, b"Subject:", b" =?utf-8?B?8J+YgA=3D=3D?=\r\n"),
    (
        "encoded-words-in-addresses",
        message,
        b"To:",
        b" =?utf-8?Q?=3C=2C=22?= =?utf-8?Q?=3E?= <a@b.test>,\r\n",
    ),
    ("encoded-words-in-a-phrase", message, b"From:", b" =?x?Q?=3D?= =?"),
    ("addresses", addresses, b"", b"a@b.test, "),
    ("comments-in-comments", addresses, b"", b"("),
    ("comments", addresses, b"a", b"(b)"),
    ("open-brackets", addresses, b"", b"<"),
    ("open-literals", addresses, b"", b"["),
    ("quotes", addresses, b"", b"\"\\\""),
    ("dots-and-signs", addresses, b"", b"a.@"),
    ("encoded", encode, b"", b"\r\n.x\r"),
    ("made-7-bit", seven_bit, b"Content-Transfer-Encoding: 8bit\r\n\r\n", b"\xfc = \n"),
    ("nested-parts-made-7-bit", seven_bit, MIME, PART),
    ("a-long-boundary-made-7-bit", seven_bit, &LONG_BOUNDARY, &ALMOST),
    ("an-endless-boundary-made-7-bit", seven_bit, BOUNDARY, b"b"),
    ("encoded-words-of-addresses", addresses, b"", b"=?utf-8?Q?=3C=2C=22?= =?utf-8?Q?=3E?= <a@b.test>, "),
    ("replies", replies, b"", b"250-more\r\n"),
    ("an-endless-reply", replies, b"250 ", b"x"),
    ("records", dns, b"", b"\xc0\x0c\x00\x0f\x00\x01\x00\x00\x00\x09\x00\x04\x00\x05\xc0\x0c"),
    ("aliases", dns, b"", b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x09\x00\x02\xc0\x0c"),
];

/// So many octets with this before and behind them.
const fn around<const OCTETS: usize>(before: &[u8], behind: &[u8]) -> [u8; OCTETS] {
    let mut octets = [b'b'; OCTETS];
    octets.split_at_mut(before.len()).0.copy_from_slice(before);
    octets.split_at_mut(OCTETS - behind.len()).1.copy_from_slice(behind);
    octets
}

fn main() {
    let mut words = std::env::args().skip(1);
    let (Some(name), Some(octets)) = (words.next(), words.next()) else {
        KINDS.iter().for_each(|(name, ..)| println!("{name}"));
        return;
    };
    let octets: usize = octets.parse().expect("steps KIND OCTETS");
    let (_, read, beginning, part) = KINDS.iter().find(|(known, ..)| *known == name).expect("a kind");
    let mut input = beginning.to_vec();
    while input.len() - beginning.len() + part.len() <= octets {
        input.extend_from_slice(part);
    }
    read(&input);
}

fn commands(octets: &[u8]) {
    let mut backlog = Backlog::new(2048);
    for chunk in octets.chunks(CHUNK) {
        backlog.push(chunk);
        while let Some(line) = backlog.take_line() {
            if let postrider_core::wire::line::Line::Whole(line) = line {
                let text = String::from_utf8_lossy(&line);
                let (_, arguments) = postrider_core::wire::command::split(&text);
                _ = black_box(postrider_core::wire::command::rcpt(arguments, false));
            }
        }
    }
}

fn addresses(octets: &[u8]) {
    black_box(address_list::addresses(octets, usize::MAX));
}

fn encode(octets: &[u8]) {
    let mut encoder = ContentEncoder::new(998);
    for chunk in octets.chunks(CHUNK) {
        let mut out = Vec::new();
        encoder.encode(chunk, &mut out);
        black_box(&out);
    }
}

fn seven_bit(octets: &[u8]) {
    let mut converter = SevenBit::new(100, 2048);
    for chunk in octets.chunks(CHUNK) {
        let mut out = Vec::new();
        converter.convert(chunk, &mut out);
        black_box(&out);
    }
}

fn replies(octets: &[u8]) {
    let mut reader = ReplyReader::new();
    for chunk in octets.chunks(CHUNK) {
        let mut at = 0;
        while at < chunk.len() {
            let (used, reply) = reader.read(&chunk[at..]);
            at += used;
            black_box(reply);
        }
    }
}

/// An answer by TCP of at most 64 KB, as often as it takes.
fn dns(octets: &[u8]) {
    // A whole number of records, of either size.
    for records in octets.chunks(16 * 14 * 100) {
        answer(records);
    }
}

fn answer(records: &[u8]) {
    let server = SocketAddr::from(([127, 0, 0, 1], 53));
    let params = Params { servers: vec![server], tcp_only: true, ..Params::default() };
    let mut resolver = Resolver::new(params);
    let entropy = Entropy([7; 2 * QUERIES_PER_QUESTION_MAX]);
    let ask = Told::Ask { ticket: Ticket(1), name: "example.org", kind: RecordKind::Mx, entropy };
    resolver.handle_input(Now::default(), ask);
    while let Some(output) = resolver.poll_output() {
        let Output::SendTcp { query, octets: sent, .. } = output else { continue };
        // The answer's head: a response that recursed, one question, so many records.
        let size = if records.get(3) == Some(&15) { 16 } else { 14 };
        let count = u16::try_from(records.len() / size).expect("a small answer").to_be_bytes();
        let mut octets = vec![sent[0], sent[1], 0x81, 0x80, 0, 1, count[0], count[1], 0, 0, 0, 0];
        octets.extend_from_slice(&sent[12..29]);
        octets.extend_from_slice(records);
        octets.extend_from_slice(&[0; 64]);
        resolver.handle_input(Now::default(), Told::TcpAnswer { query, octets: &octets });
        break;
    }
    while let Some(output) = resolver.poll_output() {
        black_box(output);
    }
}

/// A whole message, from DATA to what cleanup hands to the spool.
fn message(content: &[u8]) {
    let main_cf = "compatibility_level = 3.6\nmyhostname = steps.test\nmydestination =\nmynetworks = 127.0.0.0/8\n\
                   message_size_limit = 0\nalias_maps =\nlocal_header_rewrite_clients = static:all\n";
    let (config, _) = params::Config::read(main_cf, "", params::Host::default());
    let config = Config::new(&config.settings(None), false).expect("the settings are right");
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut inbound =
        Inbound::new(Now::default(), Arc::new(config), Peer { address, port: 1, local: address });
    let mut committed = drain(&mut inbound);
    for line in ["EHLO c.test", "MAIL FROM:<a@c.test>", "RCPT TO:<b@d.test>", "DATA"] {
        inbound.handle_input(Now::default(), Input::Bytes(format!("{line}\r\n").as_bytes()));
        committed |= drain(&mut inbound);
    }
    for chunk in content.chunks(CHUNK).chain([&b"\r\n.\r\n"[..]]) {
        inbound.handle_input(Now::default(), Input::Bytes(chunk));
        committed |= drain(&mut inbound);
    }
    assert!(committed, "the message was taken");
}

/// Does what the driver would; whether a message was handed to the spool.
fn drain(inbound: &mut Inbound) -> bool {
    let mut committed = false;
    while let Some(effect) = inbound.poll_output() {
        match effect {
            Effect::Ask(question) => {
                inbound.handle_input(Now::default(), Input::Answer(nothing(&question)));
            }
            Effect::Identify => inbound.handle_input(Now::default(), Input::Identified(QueueId::new(1, 0))),
            Effect::Commit(message) => {
                black_box(message);
                committed = true;
                inbound.handle_input(Now::default(), Input::Committed(Ok(())));
            }
            other => _ = black_box(other),
        }
    }
    committed
}
