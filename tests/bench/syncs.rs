//! Syncs for each message, counted by strace(1) of the release binary.
//!
//! strace stops the thread at each sync and nowhere else; a sync takes longer for that, and the groups are a little larger than
//! without it.

use crate::Options;
use crate::figures::{Report, short};
use crate::load::{self, Mail};
use crate::rates::HOLDING;
use crate::server::{Rig, Who};
use postrider_tests::program;
use std::fs;

const CALLS: &str = "trace=fsync,fdatasync,sync_file_range,sync,syncfs,msync";

/// Measures the row.
pub(crate) fn measure(rig: &Rig, options: &Options, report: &mut Report) {
    let strace = program("strace", "strace").display().to_string();
    let out = rig.root().join("strace").display().to_string();
    for (way, lines) in [("accept", HOLDING), ("relay", "")] {
        for who in [Who::Postfix, Who::Postrider] {
            let under =
                [strace.as_str(), "-f", "--seccomp-bpf", "-c", "-U", "calls,name", "-e", CALLS, "-o", &out];
            let server = rig.start_under(who, lines, &under);
            let mail = Mail::new(options.messages);
            _ = if way == "accept" {
                load::accept(rig, &server, mail)
            } else {
                load::relay(rig, &server, mail)
            };
            drop(server);
            let text = fs::read_to_string(&out).unwrap_or_default();
            let total = text.lines().rev().find(|line| line.trim_end().ends_with("total"));
            let calls = total.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            let each =
                calls.unwrap_or_else(|| panic!("strace counted nothing:\n{text}")) / options.messages as f64;
            report.keep(&format!("syncs-{way}"), who.name(), 1, &[("syncs", each)]);
            let what = format!("syncs for each message, {way}, 20 connections");
            match who {
                Who::Postfix => report.tell(&format!("{what}, Postfix"), short(each)),
                Who::Postrider => report.judge(&what, short(each), "fewer than 0.25", each < 0.25),
            }
        }
    }
}
