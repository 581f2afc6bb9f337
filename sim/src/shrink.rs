//! A story that fails, told again with less, until nothing can be left out.
//!
//! Troubles, letters, recipients, clients, links, lasting faults, changes of zones and lines of configuration are left out, bad manners
//! and moods become good, as long as a rule of the same kind stays broken. Chance comes from one seed for all, so a part that seemed
//! needed may be left out later: rounds go on until one brings nothing.

use crate::names::Humour;
use crate::oracle::Violation;
use crate::plan::Plan;
use crate::story::{Ending, Scenario, tell};

/// Rounds at most: each tells the story once for every part.
const ROUNDS_MAX: usize = 8;

/// Which rule it is about: its words without names and numbers. What follows a semicolon is told of one case only.
fn kind(violation: &Violation) -> String {
    let rule = violation.0.split(';').next().unwrap_or_default();
    let words = rule.split_whitespace();
    let plain = words.filter(|word| !word.contains(|c: char| c.is_ascii_digit() || c == '@'));
    plain.take(9).collect::<Vec<_>>().join(" ")
}

/// Leaves out what it can. `None` when the story does not fail. `progress` hears how many parts are left; `keeps` says of a smaller story that
/// fails whether it is still what is looked for.
#[must_use]
pub fn shrink(
    plan: &Plan,
    progress: impl Fn(usize),
    keeps: impl Fn(&Scenario) -> bool,
) -> Option<(Plan, Ending)> {
    let ending = tell(&plan.scenario, false);
    let wanted = kind(ending.violations.first()?);
    let mut best = (plan.clone(), ending);
    let mut attempt = |best: &mut (Plan, Ending), smaller: Scenario| {
        if smaller == best.0.scenario {
            return false;
        }
        let ending = tell(&smaller, false);
        let fails = ending.violations.iter().any(|violation| kind(violation) == wanted) && keeps(&smaller);
        if fails {
            best.0.scenario = smaller;
            best.1 = ending;
            progress(size(&best.0.scenario));
        }
        fails
    };
    for _ in 0..ROUNDS_MAX {
        let mut gained = thin_out(&mut best, &mut attempt);
        for change in GENTLER {
            let mut place = 0;
            loop {
                let mut smaller = best.0.scenario.clone();
                if !change(&mut smaller, place) {
                    break;
                }
                gained |= attempt(&mut best, smaller);
                place += 1;
            }
        }
        if !gained {
            break;
        }
    }
    let (plan, ending) = best;
    Some((plan.told(&ending), ending))
}

/// Parts of a story that may be left out.
fn size(scenario: &Scenario) -> usize {
    let parts = scenario.troubles.len() + scenario.letters() + scenario.lasting.len() + scenario.links.len();
    parts + scenario.zones.changes.len() + lines(scenario)
}

/// Leaves parts of lists out, large runs first: most have nothing to do with it.
fn thin_out(
    best: &mut (Plan, Ending),
    attempt: &mut impl FnMut(&mut (Plan, Ending), Scenario) -> bool,
) -> bool {
    let mut gained = false;
    for list in LISTS {
        let mut run = (list.length)(&best.0.scenario).div_ceil(2).max(1);
        loop {
            let mut place = 0;
            while place < (list.length)(&best.0.scenario) {
                let mut smaller = best.0.scenario.clone();
                (list.remove)(&mut smaller, place, run);
                if attempt(best, smaller) {
                    gained = true;
                } else {
                    place += run;
                }
            }
            if run == 1 {
                break;
            }
            run = run.div_ceil(2);
        }
    }
    gained
}

/// A list in a story of which some may be left out.
struct List {
    length: fn(&Scenario) -> usize,
    remove: fn(&mut Scenario, usize, usize),
}

fn cut<T>(list: &mut Vec<T>, place: usize, run: usize) {
    let end = (place + run).min(list.len());
    list.drain(place.min(end)..end);
}

/// Letters of all clients in one row.
fn cut_letters(scenario: &mut Scenario, place: usize, run: usize) {
    let mut number = 0;
    for client in &mut scenario.clients {
        client.letters.retain(|_| {
            number += 1;
            !(place..place + run).contains(&(number - 1))
        });
    }
}

fn lines(scenario: &Scenario) -> usize {
    scenario.hosts.iter().map(|host| host.main.len() + host.other.len()).sum()
}

/// A host does not start without its first lines, and needs its names and transports.
fn cut_lines(scenario: &mut Scenario, place: usize, run: usize) {
    const NEEDED: [&str; 9] = [
        "compatibility_level",
        "myhostname",
        "mydestination",
        "local_recipient_maps",
        "alias_maps",
        "alias_database",
        "mynetworks",
        "inet_protocols",
        "dns_servers",
    ];
    let mut number = 0;
    for list in scenario.hosts.iter_mut().flat_map(|host| [&mut host.main, &mut host.other]) {
        list.retain(|line| {
            number += 1;
            let meant = (place..place + run).contains(&(number - 1));
            !meant || NEEDED.iter().any(|name| line.starts_with(name)) || line.contains("node_number")
        });
    }
}

const LISTS: &[List] = &[
    List { length: |s| s.troubles.len(), remove: |s, place, run| cut(&mut s.troubles, place, run) },
    List { length: Scenario::letters, remove: cut_letters },
    List { length: |s| s.lasting.len(), remove: |s, place, run| cut(&mut s.lasting, place, run) },
    List { length: |s| s.zones.changes.len(), remove: |s, place, run| cut(&mut s.zones.changes, place, run) },
    List { length: |s| s.links.len(), remove: |s, place, run| cut(&mut s.links, place, run) },
    List { length: lines, remove: cut_lines },
];

/// Makes the part at a place gentler; false behind the last.
type Gentler = fn(&mut Scenario, usize) -> bool;

const GENTLER: &[Gentler] = &[
    |s, place| s.servers.get_mut(place).map(|manners| *manners = manners.good()).is_some(),
    |s, place| s.names.get_mut(place).map(|humour| *humour = Humour::default()).is_some(),
    |s, place| s.hosts.get_mut(place).map(|host| host.other.clear()).is_some(),
    |s, place| {
        let habits = s.clients.get_mut(place).map(|client| &mut client.habits);
        habits
            .map(|habits| {
                *habits = crate::peers::Habits { pipelines: habits.pipelines, ..Default::default() };
            })
            .is_some()
    },
    |s, place| {
        s.cutting = crate::network::Cutting::Whole;
        place == 0
    },
    |s, place| {
        s.usual = crate::network::Link { loss: 0, latency: (100, 1_000), rate: 0 };
        place == 0
    },
    |s, place| {
        // The letter at this place keeps its first recipient.
        let letter = s.clients.iter_mut().flat_map(|client| &mut client.letters).nth(place);
        letter.map(|letter| letter.recipients.truncate(1)).is_some()
    },
    |s, place| {
        let letter = s.clients.iter_mut().flat_map(|client| &mut client.letters).nth(place);
        letter.map(|letter| letter.size = letter.size.min(100)).is_some()
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::{Wish, draw};

    #[test]
    fn a_story_that_fails_shrinks_to_what_it_takes() {
        let wish = Wish { lying_disks: true, ..Wish::default() };
        let failing = (0..60).map(|seed| Plan::of(seed, draw(seed, wish))).filter(Plan::fails).take(4);
        let shrunk: Vec<(Plan, Ending)> = failing
            .map(|plan| {
                let (small, ending) = shrink(&plan, |_| {}, |_| true).expect("it fails");
                assert!(!ending.violations.is_empty());
                assert!(small.scenario.letters() < plan.scenario.letters() / 2);
                assert!(small.scenario.troubles.len() <= 2, "{:?}", small.scenario.troubles);
                (small, ending)
            })
            .collect();
        // A crash at an operation of a number finds another one when a letter is missing: some get stuck at a few.
        let least = shrunk.into_iter().min_by_key(|(small, _)| small.scenario.letters());
        let (small, ending) = least.expect("disks that lie lose mail");
        assert!(small.scenario.letters() <= 3, "{} letters", small.scenario.letters());
        let text = small.to_string();
        assert_eq!(Plan::parse(&text), Ok(small.clone()));
        assert_eq!(tell(&small.scenario, false), ending, "the same to the octet");
    }
}
