//! `postrider-sim sweep`: a story again and again, and its first host ends at each of its operations or effects in turn.
//!
//! It goes on until no crash happens any more: then every place was tried. Effects count until the world heals, when nobody crashes any more.

use crate::telling::keep_of_seed;
use postrider_sim::plan::Plan;
use postrider_sim::story::{Crash, tell};
use std::sync::atomic::{AtomicU64, Ordering};

/// Failing stories whose plans are kept.
const PLANS_MAX: u64 = 20;

/// What is tried.
pub(crate) struct Sweep {
    pub(crate) plan: Plan,
    pub(crate) how: Crash,
    /// So many places and no more.
    pub(crate) count: Option<u64>,
}

/// Tells all stories of a sweep, on all cores; true when none broke a rule.
pub(crate) fn sweep(sweep: &Sweep) -> bool {
    let next = AtomicU64::new(0);
    let broken = AtomicU64::new(0);
    // The first place at which nothing happens: so many there are.
    let end = AtomicU64::new(sweep.count.unwrap_or(u64::MAX));
    let seed = sweep.plan.seed;
    let tell = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= end.load(Ordering::Relaxed) {
                return;
            }
            match one(sweep, at, broken.load(Ordering::Relaxed) < PLANS_MAX) {
                Some(holds) => _ = broken.fetch_add(u64::from(!holds), Ordering::Relaxed),
                None => _ = end.fetch_min(at, Ordering::Relaxed),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(tell);
        }
    });
    let (broken, places) = (broken.into_inner(), end.into_inner());
    let what = match sweep.how {
        Crash::AtOperation => "operations of its disk, power lost in each",
        Crash::Kill => "effects, killed behind each",
        Crash::Power => "effects, power lost behind each",
    };
    let all = if sweep.count == Some(places) { "the first" } else { "all" };
    println!("seed {seed}, first host, {what}: {all} {places}, {broken} broken");
    broken == 0
}

/// The story with the crash at one place; `None` when nothing crashed there, and whether it held.
fn one(sweep: &Sweep, at: u64, keeps: bool) -> Option<bool> {
    let mut scenario = sweep.plan.scenario.clone();
    scenario.crash(sweep.how, at);
    let ending = tell(&scenario, false);
    let (seed, holds) = (sweep.plan.seed, ending.violations.is_empty());
    for violation in &ending.violations {
        println!("at {at}: {violation}");
    }
    if !holds && keeps {
        let name = format!("broken-{seed}-at-{at}.json");
        println!("at {at}: plan: {}", keep_of_seed(&name, seed, scenario, &ending));
    }
    (!holds || ending.fired.count(sweep.how.class()) > 0).then_some(holds)
}
