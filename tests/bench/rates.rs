//! Rates: the same mail through both servers, in alternating rounds.

use crate::Options;
use crate::figures::{Report, median, short, spread};
use crate::load::{self, Figures, Mail};
use crate::server::{Rig, Server, Who};

/// Messages before each round that are not counted: Postfix starts its processes, caches fill.
pub(crate) const WARM: usize = 300;

/// Holds all mail, so that only its acceptance is measured.
const HOLD: &str = "smtpd_client_restrictions = check_client_access static:HOLD";

type Run = fn(&Rig, &Server<'_>, Mail) -> Figures;

/// The figures of all rounds.
struct Both {
    postfix: Vec<Figures>,
    postrider: Vec<Figures>,
}

fn rounds(
    rig: &Rig,
    options: &Options,
    report: &mut Report,
    row: &str,
    lines: &str,
    run: Run,
    keep: bool,
) -> Both {
    let mut both = Both { postfix: Vec::new(), postrider: Vec::new() };
    for round in 1..=options.rounds {
        for who in [Who::Postfix, Who::Postrider] {
            let server = rig.start(who, lines);
            let mail = |messages| Mail { keep, ..Mail::new(messages) };
            _ = run(rig, &server, mail(WARM));
            let figures = run(rig, &server, mail(options.messages));
            report.keep(row, who.name(), round, &[("rate", figures.rate), ("cpu", figures.cpu)]);
            match who {
                Who::Postfix => both.postfix.push(figures),
                Who::Postrider => both.postrider.push(figures),
            }
        }
    }
    both
}

fn rates(figures: &[Figures]) -> Vec<f64> {
    figures.iter().map(|figures| figures.rate).collect()
}

fn cpus(figures: &[Figures]) -> Vec<f64> {
    figures.iter().map(|figures| figures.cpu).collect()
}

fn judge(report: &mut Report, what: &str, both: &Both, times: f64) {
    let (theirs, ours) = (rates(&both.postfix), rates(&both.postrider));
    let ratio = median(&ours) / median(&theirs);
    let by_round: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    let told = format!(
        "{} messages/s ({}), Postfix {} ({}): {} times ({} by round)",
        short(median(&ours)),
        spread(&ours),
        short(median(&theirs)),
        spread(&theirs),
        short(ratio),
        spread(&by_round)
    );
    report.judge(what, told, &format!("{times} times"), ratio >= times);
}

fn judge_cpu(report: &mut Report, what: &str, both: &Both) {
    let (theirs, ours) = (median(&cpus(&both.postfix)), median(&cpus(&both.postrider)));
    let most = 0.45f64.max(theirs / 6.0);
    let told = format!("{} s ({}), Postfix {}", short(ours), spread(&cpus(&both.postrider)), short(theirs));
    report.judge(what, told, &format!("at most {}", short(most)), ours <= most);
}

/// From the generator to the sink.
pub(crate) fn relay(rig: &Rig, options: &Options, report: &mut Report) {
    let both = rounds(rig, options, report, "relay", "", load::relay, false);
    judge(report, "relay, a connection for each message", &both, 6.0);
    judge_cpu(report, "CPU to relay 1,000 messages", &both);
}

/// Into the queue only.
pub(crate) fn accept(rig: &Rig, options: &Options, report: &mut Report) {
    let both = rounds(rig, options, report, "accept", HOLD, load::accept, false);
    judge(report, "accept with delivery held, a connection for each message", &both, 4.5);
    let cpu = format!(
        "{} s, Postfix {}",
        short(median(&cpus(&both.postrider))),
        short(median(&cpus(&both.postfix)))
    );
    report.tell("CPU to accept 1,000 messages", cpu);
}

/// Into the queue only, over connections that stay.
pub(crate) fn keep(rig: &Rig, options: &Options, report: &mut Report) {
    let both = rounds(rig, options, report, "keep", HOLD, load::accept, true);
    judge(report, "accept with delivery held, connections kept", &both, 5.0);
    let cpu = format!(
        "{} s, Postfix {}",
        short(median(&cpus(&both.postrider))),
        short(median(&cpus(&both.postfix)))
    );
    report.tell("CPU to accept 1,000 messages, connections kept", cpu);
}

/// The line that holds all mail, for other rows.
pub(crate) const HOLDING: &str = HOLD;
