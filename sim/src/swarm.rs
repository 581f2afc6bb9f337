//! Many stories, on all cores, with what they have covered.
//!
//! Ctrl-C ends it in order: no new story begins, and what was covered is printed.

use crate::telling::keep_of_seed;
use postrider_sim::edges::Edges;
use postrider_sim::faults::Fired;
use postrider_sim::plan::built;
use postrider_sim::story::{Ending, Wish, draw, tell};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Stories in a row in which each class of faults must fire. The rarest did in 25 to 36 of each thousand of 3,000 stories: as long as such a class
/// lives, none of 10^10 thousands is without it.
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
    queued: u64,
    letters: u64,
    duplicates: u64,
    crashes: u64,
    fired: Fired,
    edges: Edges,
    /// By thousands of seeds.
    windows: BTreeMap<u64, Window>,
}

/// So many stories in a row, some of which may not be told yet, and what fired in them.
#[derive(Default)]
struct Window {
    stories: u64,
    fired: Fired,
}

impl Sums {
    /// `number`: how many seeds lie before this one.
    fn add(&mut self, number: u64, ending: &Ending) {
        let window = self.windows.entry(number / ENOUGH).or_default();
        window.stories += 1;
        window.fired.add(&ending.fired);
        self.stories += 1;
        self.broken += u64::from(!ending.violations.is_empty());
        self.events += ending.events;
        self.seconds += ending.seconds;
        self.letters += ending.letters.0 as u64;
        self.promised += ending.letters.1 as u64;
        self.queued += ending.queued as u64;
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
                    one(size, number, &sums, began);
                }
            });
        }
    });
    let sums = sums.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report(&sums, began.elapsed(), threads);
    let (words, all_fired) = classes(&sums.windows, size);
    println!("{words}");
    all_fired && sums.broken == 0
}

fn one(size: &Size, number: u64, sums: &Mutex<Sums>, began: Instant) {
    let seed = size.from.wrapping_add(number);
    let scenario = draw(seed, size.wish);
    let ending = tell(&scenario, false);
    let mut sums = sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    sums.add(number, &ending);
    if !ending.violations.is_empty() {
        if std::io::stderr().is_terminal() {
            eprint!("\r");
        }
        println!("seed {seed} of commit {} BROKEN: {ending}, trace {:016x}", built(), ending.trace);
        ending.violations.iter().take(8).for_each(|violation| println!("  {violation}"));
        if sums.broken <= PLANS_MAX {
            let name = format!("broken-{seed}.json");
            println!("  plan: {}", keep_of_seed(&name, seed, scenario, &ending));
        } else {
            println!("  plan: {}", that_prints_the_plan(seed, size.wish));
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

/// The command that prints the plan of a seed: past so many that fail, nobody reads a folder of them.
fn that_prints_the_plan(seed: u64, wish: Wish) -> String {
    let mut command = format!("postrider-sim plan {seed}");
    command += if wish.calm { " --calm" } else { "" };
    command += &wish.letters.map_or_else(String::new, |letters| format!(" --letters {letters}"));
    command += &wish.crash_at.map_or_else(String::new, |at| format!(" --crash-at {at}"));
    command += if wish.lying_disks { " --lying-disks" } else { "" };
    command
}

/// What is to be said of classes of faults that never fired in all of a window, and whether there was none. What is drawn for a wish lacks some.
fn classes(windows: &BTreeMap<u64, Window>, size: &Size) -> (String, bool) {
    if size.wish != Wish::default() {
        return ("classes: not judged with a wish".to_owned(), true);
    }
    let whole: Vec<_> = windows.iter().filter(|(_, window)| window.stories == ENOUGH).collect();
    if whole.is_empty() {
        return ("classes: not judged, fewer than 1,000 stories".to_owned(), true);
    }
    let lacking: Vec<String> = whole
        .iter()
        .filter_map(|(number, window)| {
            let never: Vec<_> = window.fired.never().map(|class| class.name()).collect();
            let first = size.from.wrapping_add(*number * ENOUGH);
            let last = first.wrapping_add(ENOUGH - 1);
            (!never.is_empty()).then(|| {
                format!("classes: from seed {first} to {last} there never was: {}", never.join(", "))
            })
        })
        .collect();
    match lacking.is_empty() {
        true => (format!("classes: each did harm in each of {} times 1,000 stories", whole.len()), true),
        false => (lacking.join("\n"), false),
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

fn report(sums: &Sums, took: Duration, threads: usize) {
    if std::io::stderr().is_terminal() {
        eprintln!("\r");
    }
    println!("{}{}", sums.fired.table(), sums.edges.report());
    let Sums { stories, broken, events, letters, promised, queued, duplicates, crashes, .. } = *sums;
    let seconds = took.as_secs_f64();
    println!(
        "{stories} stories, {broken} broken, {letters} letters, {promised} promised, {queued} messages in queues, {duplicates} duplicates, {crashes} crashes"
    );
    println!(
        "{events} events, {:.0} a letter, {:.0} a message in a queue; {:.0} events/s and {:.1} stories/s on {threads} threads, {:.1} simulated days",
        events as f64 / letters.max(1) as f64,
        events as f64 / queued.max(1) as f64,
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_sim::faults::Class;

    fn size(wish: Wish) -> Size {
        Size { from: 500, seeds: None, minutes: None, threads: None, wish }
    }

    /// So many stories, in which all classes fired but these.
    fn window(stories: u64, never: &[Class]) -> Window {
        let mut fired = Fired::default();
        Class::ALL.iter().filter(|class| !never.contains(class)).for_each(|class| fired.note(*class));
        Window { stories, fired }
    }

    #[test]
    fn each_thousand_that_is_whole_must_have_each_class() {
        let judged = |windows: Vec<Window>| classes(&(0..).zip(windows).collect(), &size(Wish::default()));
        let short = ("classes: not judged, fewer than 1,000 stories".to_owned(), true);
        assert_eq!(judged(vec![]), short);
        assert_eq!(judged(vec![window(999, Class::ALL)]), short);
        let (words, holds) = judged(vec![window(1_000, &[]), window(1_000, &[]), window(7, Class::ALL)]);
        assert_eq!(
            (words.as_str(), holds),
            ("classes: each did harm in each of 2 times 1,000 stories", true)
        );
        let (words, holds) = judged(vec![window(1_000, &[]), window(1_000, &[Class::Loss, Class::Drip])]);
        let lacking = "classes: from seed 1500 to 2499 there never was: a segment or datagram is lost, a link so slow that octets drip";
        assert_eq!((words.as_str(), holds), (lacking, false), "though each fired in the thousand before");
    }

    #[test]
    fn a_wish_leaves_classes_out() {
        let wish = Wish { calm: true, ..Wish::default() };
        let windows = BTreeMap::from([(0, window(1_000, Class::ALL))]);
        assert_eq!(classes(&windows, &size(wish)), ("classes: not judged with a wish".to_owned(), true));
    }

    #[test]
    fn the_plan_of_a_seed_is_printed_with_its_wishes() {
        assert_eq!(that_prints_the_plan(7, Wish::default()), "postrider-sim plan 7");
        let wish = Wish { calm: true, letters: Some(9), crash_at: Some(3), lying_disks: true };
        let command = "postrider-sim plan 7 --calm --letters 9 --crash-at 3 --lying-disks";
        assert_eq!(that_prints_the_plan(7, wish), command);
    }
}
