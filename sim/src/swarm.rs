//! Many stories, on all cores, with what they have covered.
//!
//! Ctrl-C ends it in order: no new story begins, and what was covered is printed.

use crate::telling::keep_of_seed;
use postrider_sim::edges::Edges;
use postrider_sim::faults::Fired;
use postrider_sim::plan::built;
use postrider_sim::story::{Ending, Wish, draw, tell};
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Stories after which a class of faults that never fired is a fault of the swarm.
const ENOUGH: u64 = 1_000;
/// Failing stories whose plans are kept.
const PLANS_MAX: u64 = 20;

/// How many.
pub(crate) struct Size {
    pub(crate) from: u64,
    pub(crate) seeds: Option<u64>,
    pub(crate) minutes: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) wish: Wish,
}

#[derive(Default)]
struct Sums {
    stories: u64,
    broken: u64,
    events: u64,
    seconds: u64,
    promised: u64,
    letters: u64,
    duplicates: u64,
    crashes: u64,
    fired: Fired,
    edges: Edges,
}

impl Sums {
    fn add(&mut self, ending: &Ending) {
        self.stories += 1;
        self.broken += u64::from(!ending.violations.is_empty());
        self.events += ending.events;
        self.seconds += ending.seconds;
        self.letters += ending.letters.0 as u64;
        self.promised += ending.letters.1 as u64;
        self.duplicates += u64::from(ending.duplicates);
        self.crashes += u64::from(ending.crashes);
        self.fired.add(&ending.fired);
        self.edges.add(&ending.edges);
    }
}

static STOP: AtomicBool = AtomicBool::new(false);

/// Tells many stories; true when every rule held and every class of faults fired.
pub(crate) fn many(size: &Size) -> bool {
    _ = ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed));
    let began = Instant::now();
    let until = size.minutes.map(|minutes| began + Duration::from_secs(60 * minutes));
    let count = size.seeds.unwrap_or(if size.minutes.is_some() { u64::MAX } else { 100 });
    let next = AtomicU64::new(0);
    let sums = Mutex::new(Sums::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = size.threads.map_or(cores, |threads| usize::try_from(threads).unwrap_or(1));
    let draw_next = || {
        let is_over = STOP.load(Ordering::Relaxed) || until.is_some_and(|until| Instant::now() >= until);
        Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| !is_over && *number < count)
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(number) = draw_next() {
                    one(size.from.wrapping_add(number), size.wish, &sums, began);
                }
            });
        }
    });
    let sums = sums.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    conclude(&sums, began.elapsed(), threads, size.wish == Wish::default())
}

fn one(seed: u64, wish: Wish, sums: &Mutex<Sums>, began: Instant) {
    let scenario = draw(seed, wish);
    let ending = tell(&scenario, false);
    let mut sums = sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    sums.add(&ending);
    if !ending.violations.is_empty() {
        if std::io::stderr().is_terminal() {
            eprint!("\r");
        }
        println!("seed {seed} of commit {} BROKEN: {ending}, trace {:016x}", built(), ending.trace);
        ending.violations.iter().take(8).for_each(|violation| println!("  {violation}"));
        if sums.broken <= PLANS_MAX {
            let name = format!("broken-{seed}.json");
            println!("  plan: {}", keep_of_seed(&name, seed, scenario, &ending));
        }
    }
    // One line that changes for a person; in a log, a line at once and then now and then.
    let watched = std::io::stderr().is_terminal();
    if sums.stories == 1 || sums.stories.is_multiple_of(if watched { 50 } else { 1_000 }) {
        let rate = sums.stories as f64 / began.elapsed().as_secs_f64();
        let (start, end) = if watched { ("\r", " ") } else { ("", "\n") };
        eprint!("{start}{} stories, {} broken, {rate:.0} a second{end}", sums.stories, sums.broken);
        _ = std::io::stderr().flush();
    }
}

/// Seconds of one core that this process has had, as Linux counts them in hundredths: on a machine with other work, time says little.
fn core_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) as f64 / 100.0)
}

fn conclude(sums: &Sums, took: Duration, threads: usize, whole: bool) -> bool {
    if std::io::stderr().is_terminal() {
        eprintln!("\r");
    }
    println!("{}{}", sums.fired.table(), sums.edges.report());
    let Sums { stories, broken, events, letters, promised, duplicates, crashes, .. } = *sums;
    let seconds = took.as_secs_f64();
    println!(
        "{stories} stories, {broken} broken, {letters} letters, {promised} promised, {duplicates} duplicates, {crashes} crashes"
    );
    println!(
        "{events} events, {:.0} a letter; {:.0} events/s and {:.1} stories/s on {threads} threads, {:.1} simulated days",
        events as f64 / (letters.max(1)) as f64,
        events as f64 / seconds,
        stories as f64 / seconds,
        sums.seconds as f64 / 86_400.0
    );
    if let Some(worked) = core_seconds().filter(|worked| *worked > 0.0) {
        println!(
            "of one core: {worked:.0} s, {:.0} events/s, {:.1} stories/s, {:.1} simulated years an hour",
            events as f64 / worked,
            stories as f64 / worked,
            sums.seconds as f64 / (365.25 * 86_400.0) / worked * 3_600.0
        );
    }
    let never: Vec<_> = sums.fired.never().map(|class| class.name()).collect();
    if whole && stories >= ENOUGH && !never.is_empty() {
        println!("in {stories} stories there never was: {}", never.join(", "));
        return false;
    }
    broken == 0
}
