//! Figures: what was wanted, what was measured, and the raw numbers behind it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The middle of some figures; 0 of none.
#[must_use]
pub(crate) fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// The figure below which a part of all lie; 0 of none.
#[must_use]
pub(crate) fn quantile(figures: &[f64], part: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    if sorted.is_empty() {
        return 0.0;
    }
    let place = part * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// The spread of some figures, for people.
#[must_use]
pub(crate) fn spread(figures: &[f64]) -> String {
    format!("{}–{}", short(quantile(figures, 0.0)), short(quantile(figures, 1.0)))
}

/// A figure with as many digits as mean something.
#[must_use]
pub(crate) fn short(figure: f64) -> String {
    match figure.abs() {
        large if large >= 100.0 => format!("{figure:.0}"),
        middle if middle >= 10.0 => format!("{figure:.1}"),
        small if small >= 0.1 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

struct Row {
    what: String,
    measured: String,
    wanted: String,
    met: bool,
}

/// The part of the processors that somebody used within the next two seconds, as Linux counts.
fn used() -> f64 {
    let read = || {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // user nice system idle iowait …: the fourth and fifth are of nobody.
        (ticks.iter().sum::<f64>(), ticks.iter().skip(3).take(2).sum::<f64>())
    };
    let (all, idle) = read();
    std::thread::sleep(Duration::from_secs(2));
    let (all_after, idle_after) = read();
    1.0 - (idle_after - idle) / (all_after - all).max(1.0)
}

/// All rows of a run.
pub(crate) struct Report {
    about: String,
    started: Instant,
    /// The part of the processors that others used, before the row where it was largest.
    others: f64,
    path: PathBuf,
    raw: String,
    rows: Vec<Row>,
}

impl Report {
    /// A run on this machine, whose raw figures go to a file.
    #[must_use]
    pub(crate) fn new(path: &Path, about: &str) -> Self {
        let raw = about.lines().map(|line| format!("# {line}\n")).collect();
        let (started, rows) = (Instant::now(), Vec::new());
        Self { about: about.to_owned(), started, others: 0.0, path: path.to_owned(), raw, rows }
    }

    /// A row begins: what else goes on is noted, because it makes rates and latencies meaningless.
    pub(crate) fn begin(&mut self, row: &str) {
        let others = used();
        self.others = self.others.max(others);
        let seconds = self.started.elapsed().as_secs();
        eprintln!("bench: {row}, after {seconds} s; others use {:.0} % of the processors", others * 100.0);
    }

    /// Keeps the figures of one round.
    pub(crate) fn keep(&mut self, row: &str, who: &str, round: usize, figures: &[(&str, f64)]) {
        let mut line = format!("{row}\t{who}\t{round}");
        for (name, figure) in figures {
            _ = write!(line, "\t{name}={figure}");
        }
        eprintln!("bench: {}", line.replace('\t', "  "));
        self.raw.push_str(&line);
        self.raw.push('\n');
        // After every round: a run that is stopped has not been for nothing.
        if let Err(error) = fs::write(&self.path, &self.raw) {
            eprintln!("bench: {}: {error}", self.path.display());
        }
    }

    /// A figure that is wanted, and whether it was reached.
    pub(crate) fn judge(&mut self, what: &str, measured: String, wanted: &str, met: bool) {
        self.rows.push(Row { what: what.to_owned(), measured, wanted: wanted.to_owned(), met });
    }

    /// A figure that explains others.
    pub(crate) fn tell(&mut self, what: &str, measured: String) {
        self.judge(what, measured, "", true);
    }

    /// True when no figure was missed.
    #[must_use]
    pub(crate) fn all_met(&self) -> bool {
        self.rows.iter().all(|row| row.met)
    }

    /// The table, as docs/PERFORMANCE.md has it.
    pub(crate) fn print(&self) {
        println!("{}", self.about);
        println!("| what | measured | wanted | |\n|---|---|---|---|");
        for Row { what, measured, wanted, met } in &self.rows {
            let verdict = match (wanted.is_empty(), met) {
                (true, _) => "",
                (false, true) => "reached",
                (false, false) => "MISSED",
            };
            println!("| {what} | {measured} | {wanted} | {verdict} |");
        }
        let wanted: Vec<&Row> = self.rows.iter().filter(|row| !row.wanted.is_empty()).collect();
        let missed: Vec<&str> = wanted.iter().filter(|row| !row.met).map(|row| row.what.as_str()).collect();
        println!("\n{} of {} figures reached", wanted.len() - missed.len(), wanted.len());
        for what in missed {
            println!("MISSED: {what}");
        }
        println!(
            "took {} s; before the rows others used at most {:.0} % of the processors\nraw figures: {}",
            self.started.elapsed().as_secs(),
            self.others * 100.0,
            self.path.display()
        );
    }
}
