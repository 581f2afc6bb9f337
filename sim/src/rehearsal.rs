//! `postrider-sim rehearse`: reads what is to be rehearsed, plays it on all cores, writes what was found.

use crate::arguments::{Arguments, Failure};
use postrider_sim::rehearse::scenario::Variable;
use postrider_sim::rehearse::setup::Directory;
use postrider_sim::rehearse::study::{self, Plan};
use postrider_sim::rehearse::world::{History, play};
use postrider_sim::rehearse::{page, report};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

pub(crate) const USAGE: &str = "usage: postrider-sim rehearse -c CONFIG_DIR [OPTION...] SCENARIO.toml
  --compare DIR        another configuration, on the same seeds; may be repeated
  --sweep NAME=V,V,…   a parameter of main.cf, or a field of the scenario (dns.ttl, destination.NAME.rate)
  --seeds N            how many histories of each (1)
  --from SEED          the first of them (1)
  --out DIR            where report.html, report.json, the CSV files and the pictures are written (rehearsal)
  --threads N          cores (all)
Scenarios to begin with are in corpus/rehearsals; docs/REHEARSE.md tells every field.";

/// When the program began to count.
static BEGIN: OnceLock<Instant> = OnceLock::new();
/// A year, for the speed.
const YEAR: f64 = 365.25 * 86_400.0;

struct Wanted {
    directories: Vec<PathBuf>,
    scenario: PathBuf,
    sweep: BTreeMap<String, Vec<toml::Value>>,
    seeds: Vec<u64>,
    out: PathBuf,
    threads: usize,
}

fn wanted(arguments: &Arguments) -> Result<Wanted, Failure> {
    let misused = |why: &str| Failure::Misused(why.to_owned());
    let configuration = arguments.word("-c").ok_or_else(|| misused(USAGE))?;
    let mut sweep: BTreeMap<String, Vec<toml::Value>> = BTreeMap::new();
    for text in arguments.all("--sweep") {
        let (name, values) =
            text.split_once('=').ok_or_else(|| misused("--sweep wants NAME=VALUE,VALUE,…"))?;
        let values = values.split(',').map(|value| Variable::of(name.trim(), value.trim()).value);
        sweep.insert(name.trim().to_owned(), values.collect());
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.number("--threads").map_or(cores, |threads| threads as usize);
    let from = arguments.number("--from").unwrap_or(1);
    let count = arguments.some("--seeds", "played")?.unwrap_or(1);
    let seeds: Vec<u64> = (from..from.saturating_add(count)).collect();
    Ok(Wanted {
        directories: std::iter::once(configuration)
            .chain(arguments.all("--compare"))
            .map(PathBuf::from)
            .collect(),
        scenario: PathBuf::from(arguments.nth(0).unwrap_or_default()),
        sweep,
        seeds,
        out: PathBuf::from(arguments.word("--out").unwrap_or("rehearsal")),
        threads: threads.max(1),
    })
}

/// Does all of it; false when something was broken off.
pub(crate) fn rehearse(arguments: &Arguments) -> Result<bool, Failure> {
    let wanted = wanted(arguments)?;
    let name = wanted.scenario.display().to_string();
    let text = std::fs::read_to_string(&wanted.scenario).map_err(|error| format!("{name}: {error}"))?;
    let read = |path: &PathBuf| Directory::read(path);
    let directories: Vec<Directory> = wanted.directories.iter().map(read).collect::<Result<_, _>>()?;
    let plans = study::plans(&directories, &name, &text, &wanted.sweep)?;
    let (histories, cost) = play_all(&plans, &wanted.seeds, wanted.threads);
    let report = study::report(&plans, &histories, &text);
    let mut files = vec![
        ("report.html".to_owned(), page::page(&report)),
        ("report.json".to_owned(), report.json()),
        ("summary.csv".to_owned(), report.summary_csv()),
        ("series.csv".to_owned(), report.series_csv()),
        ("latency.csv".to_owned(), report.latency_csv()),
    ];
    files.extend(page::pictures(&report));
    write(&wanted.out, &files)?;
    println!("{}\n{}\n", report.title, report.question);
    print!("{}", report.table());
    if report.seeds.len() > 1 {
        print!("\n{}", report.spread());
    }
    notes(&report);
    cost.tell(&histories);
    println!("written: {}", wanted.out.join("report.html").display());
    Ok(report.cases.iter().all(|case| !case.endless))
}

fn write(out: &Path, files: &[(String, String)]) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", out.display());
    std::fs::create_dir_all(out).map_err(wrong)?;
    for (name, text) in files {
        std::fs::write(out.join(name), text).map_err(wrong)?;
    }
    Ok(())
}

fn notes(report: &report::Report) {
    println!("\nplays no role, or another one:");
    let mut told = std::collections::BTreeSet::new();
    for note in report.cases.iter().flat_map(|case| &case.notes) {
        if told.insert(note) {
            println!("- {note}");
        }
    }
    for case in &report.cases {
        for (words, number) in &case.refused {
            println!("- {}: the front door refused {number} times: {words}", case.label);
        }
        if !case.strangers.is_empty() {
            let names: Vec<&str> = case.strangers.keys().take(10).map(String::as_str).collect();
            println!("- {}: not in the scenario: {}", case.label, names.join(", "));
        }
    }
}

/// What the simulation cost.
struct Cost {
    /// Of all threads.
    working: Duration,
    wall: Duration,
}

impl Cost {
    fn tell(&self, histories: &[Vec<(u64, History)>]) {
        let all = || histories.iter().flatten().map(|(_, history)| history);
        let events: u64 = all().map(|history| history.events).sum();
        let messages: u64 = all().map(|history| history.book.messages_taken).sum();
        let years = all().map(|history| history.time.as_secs_f64()).sum::<f64>() / YEAR;
        let (working, wall) = (self.working.as_secs_f64(), self.wall.as_secs_f64());
        println!(
            "\n{} histories in {wall:.1} s, {working:.1} s of one core: {events} events, {:.0}/s, {:.0} for a message; {:.1} simulated years in an hour of one core",
            all().count(),
            events as f64 / working,
            events as f64 / messages.max(1) as f64,
            years / working * 3_600.0
        );
    }
}

/// What this thread has had of its core; where the system does not say, time.
fn used() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|word| word.parse().ok());
    nanos.map_or_else(|| BEGIN.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

/// All plans with all seeds, on so many threads. What comes out does not depend on who was first.
fn play_all(plans: &[Plan], seeds: &[u64], threads: usize) -> (Vec<Vec<(u64, History)>>, Cost) {
    let jobs: Vec<(usize, u64)> =
        (0..plans.len()).flat_map(|plan| seeds.iter().map(move |&seed| (plan, seed))).collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new((BTreeMap::new(), Duration::ZERO));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(|| {
                while let Some(&(plan, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = used();
                    let history = play(&plans[plan].setup, &plans[plan].scenario, seed);
                    let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    found.0.insert((plan, seed), history);
                    found.1 += used().saturating_sub(start);
                    eprint!("\r{} of {} ", found.0.len(), jobs.len());
                    _ = std::io::stderr().flush();
                }
            });
        }
    });
    eprint!("\r            \r");
    let (mut all, working) = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let of = |plan: usize, all: &mut BTreeMap<(usize, u64), History>| {
        seeds.iter().filter_map(|&seed| Some((seed, all.remove(&(plan, seed))?))).collect()
    };
    let histories = (0..plans.len()).map(|plan| of(plan, &mut all)).collect();
    (histories, Cost { working, wall: begin.elapsed() })
}
