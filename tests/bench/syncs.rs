//! Syncs for each message, counted in the kernel.
//!
//! perf(1) counts the system calls of the server and all its children by tracepoints, which costs them nothing that could be seen. Where the
//! kernel has none, strace(1) counts: it stops a thread at each sync, everything is slower for it, and so fewer messages share one.

use crate::Options;
use crate::figures::{Report, median, short, spread};
use crate::load::{self, Mail};
use crate::rates::HOLDING;
use crate::server::{Rig, Who};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use postrider_tests::program;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CALLS: [&str; 6] = ["fsync", "fdatasync", "sync_file_range", "sync", "syncfs", "msync"];

/// How calls are counted.
struct Counter {
    words: Vec<String>,
    by_perf: bool,
    out: PathBuf,
    /// Where we have mounted what perf reads the names of tracepoints from.
    mounted: Option<PathBuf>,
}

impl Counter {
    fn new(folder: &Path) -> Self {
        let out = folder.join("syncs");
        let events: Vec<String> = CALLS.iter().map(|call| format!("syscalls:sys_enter_{call}")).collect();
        let perf =
            ["perf", "stat", "-x", ",", "-o", &out.display().to_string(), "-e", &events.join(","), "--"]
                .map(str::to_owned);
        let works = || {
            let mut command = Command::new(&perf[0]);
            let status = command.args(&perf[1..]).arg("true").stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success()) && count(&out, true).is_some()
        };
        let mut mounted = None;
        if !works() {
            let place = folder.join("tracing");
            fs::create_dir_all(&place).expect("our folder");
            let kind = Some("tracefs");
            if mount(kind, &place, kind, MsFlags::empty(), None::<&str>).is_ok() {
                mounted = Some(place);
            }
        }
        let by_perf = works();
        let words = if by_perf {
            perf.to_vec()
        } else {
            let strace = program("strace", "strace").display().to_string();
            let calls = format!("trace={}", CALLS.join(","));
            let out = out.display().to_string();
            ["-f", "--seccomp-bpf", "-c", "-U", "calls,name", "-e", &calls, "-o", &out]
                .iter()
                .fold(vec![strace], |words, word| [words, vec![(*word).to_owned()]].concat())
        };
        Self { words, by_perf, out, mounted }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(place) = &self.mounted {
            _ = umount2(place, MntFlags::MNT_DETACH);
        }
    }
}

/// What was counted.
fn count(out: &Path, by_perf: bool) -> Option<f64> {
    let text = fs::read_to_string(out).ok()?;
    if by_perf {
        let rows = text.lines().filter(|line| line.contains("sys_enter_"));
        let counts: Vec<f64> =
            rows.map(|line| line.split(',').next()?.parse().ok()).collect::<Option<_>>()?;
        return (!counts.is_empty()).then(|| counts.iter().sum());
    }
    let total = text.lines().rev().find(|line| line.trim_end().ends_with("total"))?;
    total.split_whitespace().next()?.parse().ok()
}

/// Measures the row.
pub(crate) fn measure(rig: &Rig, options: &Options, report: &mut Report) {
    let counter = Counter::new(rig.root());
    let by = if counter.by_perf { "perf" } else { "strace" };
    let under: Vec<&str> = counter.words.iter().map(String::as_str).collect();
    for (way, lines) in [("accept", HOLDING), ("relay", "")] {
        for who in [Who::Postfix, Who::Postrider] {
            let rounds: Vec<f64> = (1..=options.rounds)
                .map(|round| {
                    let server = rig.start_under(who, lines, &under);
                    let mail = Mail::new(options.messages);
                    let run = if way == "accept" { load::accept } else { load::relay };
                    let figures = run(rig, &server, mail);
                    drop(server);
                    let calls = count(&counter.out, counter.by_perf).expect("the counter has counted");
                    let each = calls / options.messages as f64;
                    let kept = [("syncs", each), ("rate", figures.rate)];
                    report.keep(&format!("syncs-{way}"), who.name(), round, &kept);
                    each
                })
                .collect();
            let what = format!("syncs for each message, {way}, 20 connections (by {by})");
            let each = median(&rounds);
            let text = format!("{} ({})", short(each), spread(&rounds));
            match who {
                Who::Postfix => report.tell(&format!("{what}, Postfix"), text),
                Who::Postrider => report.judge(&what, text, "fewer than 0.25", each < 0.25),
            }
        }
    }
}
