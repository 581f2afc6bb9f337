//! How fast one core turns what a client sends after DATA into content.
//!
//! Two figures: the decoder alone, and the whole inbound joint (session, decoder, header reader), fed as the driver feeds it: 64 KB at a time,
//! the content taken and dropped.

use crate::Options;
use crate::clients::message;
use crate::figures::{Report, median, short, spread};
use postrider_core::inbound::{Config, Effect, Inbound, Input, Peer};
use postrider_core::limits::CHUNK_MAX;
use postrider_core::machine::Machine;
use postrider_core::mail::QueueId;
use postrider_core::params;
use postrider_core::time::Now;
use postrider_core::wire::content::Decoder;
use postrider_tests::answers::nothing;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

const OCTETS: usize = 512 * 1024 * 1024;

/// Measures the row.
pub(crate) fn measure(options: &Options, report: &mut Report) {
    let content = message(OCTETS);
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        bare.push(decoder(&content));
        whole.push(joint(&content));
        let figures = [("decoder", bare[round - 1]), ("joint", whole[round - 1])];
        report.keep("parse", "postrider", round, &figures);
    }
    let tell = |figures: &[f64]| format!("{} GB/s ({})", short(median(figures)), spread(figures));
    report.judge("DATA, the decoder", tell(&bare), "at least 1 GB/s", median(&bare) >= 1.0);
    report.judge(
        "DATA, session and header reader with it",
        tell(&whole),
        "at least 1 GB/s",
        median(&whole) >= 1.0,
    );
}

fn rate(start: Instant) -> f64 {
    OCTETS as f64 / start.elapsed().as_secs_f64() / 1e9
}

fn decoder(content: &[u8]) -> f64 {
    let mut decoder = Decoder::data();
    let start = Instant::now();
    for chunk in content.chunks(CHUNK_MAX) {
        let mut out = Vec::new();
        black_box(decoder.decode(chunk, &mut out));
        black_box(&out);
    }
    rate(start)
}

fn joint(content: &[u8]) -> f64 {
    let (config, problems) = params::Config::read(MAIN_CF, "", params::Host::default());
    assert!(problems.is_empty(), "{problems:?}");
    let config = Config::new(&config.settings(None), false).expect("the settings are right");
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let peer = Peer { address, port: 1, local: address };
    let mut inbound = Inbound::new(Now::default(), Arc::new(config), peer);
    drain(&mut inbound);
    for line in ["EHLO c.test", "MAIL FROM:<a@c.test>", "RCPT TO:<b@d.test>", "DATA"] {
        inbound.handle_input(Now::default(), Input::Bytes(format!("{line}\r\n").as_bytes()));
        drain(&mut inbound);
    }
    let start = Instant::now();
    let mut staged = 0;
    for chunk in content.chunks(CHUNK_MAX) {
        inbound.handle_input(Now::default(), Input::Bytes(chunk));
        staged += drain(&mut inbound);
    }
    let rate = rate(start);
    // At least all but what may be held back at the end of a chunk: else it was no content.
    assert!(staged + 8 >= content.len(), "{staged} of {} octets were staged", content.len());
    rate
}

const MAIN_CF: &str = "compatibility_level = 3.6\nmyhostname = bench.test\nmydestination =\nmynetworks = 127.0.0.0/8\n\
                       message_size_limit = 0\nalias_maps =\n";

/// Does what the driver would; octets that were staged.
fn drain(inbound: &mut Inbound) -> usize {
    let mut staged = 0;
    while let Some(effect) = inbound.poll_output() {
        match effect {
            Effect::Stage(octets) => staged += black_box(octets).len(),
            Effect::Ask(question) => {
                inbound.handle_input(Now::default(), Input::Answer(nothing(&question)));
            }
            Effect::Identify => inbound.handle_input(Now::default(), Input::Identified(QueueId::new(1, 0))),
            _ => {}
        }
    }
    staged
}
