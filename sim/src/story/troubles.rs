//! What goes wrong, drawn: each class of troubles is missing from every second story, so that the others reach further.

use super::params::{another, keep_connections};
use super::scenario::{Lasting, Scenario, Trouble};
use crate::disk::Moods;
use crate::names::Humour;
use crate::network::{Link, NodeId};
use crate::world::{Fault, Word};
use postrider_core::prng::Prng;

/// Kinds of troubles that are drawn apart.
const KINDS: u64 = 14;

/// Draws a number of 1000 that is often zero.
pub(super) fn odds(prng: &mut Prng, calm: bool, most: u16) -> u16 {
    let missing = calm || prng.chance(1, 2);
    let drawn = prng.below(u64::from(most) + 1) as u16;
    if missing { 0 } else { drawn }
}

fn any(prng: &mut Prng, of: &[NodeId]) -> NodeId {
    of[prng.below(of.len() as u64) as usize]
}

/// Draws what goes wrong in the safety phase.
pub(super) fn troubles(prng: &mut Prng, scenario: &Scenario) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let everybody: Vec<NodeId> = (0..scenario.machines()).map(NodeId).collect();
    let (hosts, servers) = (scenario.host_nodes(), scenario.server_nodes());
    for kind in 0..KINDS {
        if prng.chance(1, 2) {
            continue;
        }
        for _ in 0..1 + prng.below(5) {
            let at = prng.below(scenario.safety * 1_000_000);
            let host = any(prng, &hosts);
            let fault = match kind {
                0 => Fault::Crash(host, prng.chance(1, 2)),
                1 => Fault::CrashAtOperation(host, prng.below(200)),
                2 => Fault::CrashAtEffect(host, prng.below(1_000), prng.chance(1, 2)),
                3 => Fault::Cut(any(prng, &everybody), any(prng, &everybody), prng.chance(1, 2)),
                4 => Fault::Reset(prng.next_u64()),
                5 => Fault::Moods(host, moods(prng)),
                6 => Fault::Capacity(host, prng.below(2_000_000)),
                7 => Fault::Skew(host, skew(prng)),
                8 => Fault::Tell(host, Word::Tables(true)),
                9 if prng.chance(1, 3) => Fault::Rot(host, prng.next_u64()),
                10 => Fault::Tell(host, Word::Requeue),
                11 => Fault::Tell(host, Word::Hold),
                12 if prng.chance(1, 2) => Fault::Tell(host, Word::Delete(prng.next_u64())),
                _ => Fault::Crash(any(prng, &servers), prng.chance(1, 2)),
            };
            let until = at + prng.below(1_800_000_000);
            troubles.push(Trouble { at, end: end_of(&fault).map(|end| (until, end)), fault });
        }
    }
    troubles
}

/// Draws operators who have hosts use another configuration, and perhaps the first one again; in half of the cases shortly after they wanted all mail
/// tried, and often early, so that connections are in use when it happens.
pub(super) fn reloads(prng: &mut Prng, scenario: &mut Scenario, hurried: bool) {
    if prng.chance(1, 2) {
        return;
    }
    for (host, plan) in scenario.host_nodes().into_iter().zip(&mut scenario.hosts) {
        if prng.chance(1, 4) {
            continue;
        }
        if prng.chance(1, 2) {
            keep_connections(&mut plan.main);
        }
        plan.other = another(prng, &plan.main, hurried);
        for _ in 0..1 + prng.below(4) {
            // Clients that are in a hurry have handed all in within seconds.
            let most = if prng.chance(1, 2) { 5_000_000 } else { scenario.safety * 1_000_000 };
            let at = prng.below(most);
            if prng.chance(1, 2) {
                let before = at.saturating_sub(prng.below(3_000_000));
                let fault = Fault::Tell(host, Word::Flush);
                scenario.troubles.push(Trouble { at: before, fault, end: None });
            }
            let fault = Fault::Tell(host, Word::Reload(usize::from(prng.chance(2, 3))));
            scenario.troubles.push(Trouble { at, fault, end: None });
        }
    }
}

fn end_of(fault: &Fault) -> Option<Fault> {
    match *fault {
        Fault::Cut(one, other, _) => Some(Fault::Mend(one, other)),
        Fault::Moods(host, _) => Some(Fault::Moods(host, Moods::default())),
        Fault::Capacity(host, _) => Some(Fault::Capacity(host, super::AMPLE)),
        Fault::Tell(host, Word::Hold) => Some(Fault::Tell(host, Word::Release)),
        Fault::Tell(host, Word::Tables(true)) => Some(Fault::Tell(host, Word::Tables(false))),
        _ => None,
    }
}

/// Microseconds that a clock is wrong: up to a day, or much longer than mail is ever put off.
fn skew(prng: &mut Prng) -> i64 {
    let most = if prng.chance(1, 3) { 20 * 86_400_000_000 } else { 86_400_000_000 };
    prng.below(2 * most) as i64 - most as i64
}

fn moods(prng: &mut Prng) -> Moods {
    Moods {
        full: odds(prng, false, 200),
        fails: odds(prng, false, 50),
        reads_fail: odds(prng, false, 100),
        sync_fails: odds(prng, false, 100),
        careless: prng.chance(1, 2),
    }
}

/// Draws what stays broken for good. The first server, to which reports go, a name server, and a host always recover.
pub(super) fn lasting(prng: &mut Prng, scenario: &Scenario) -> Vec<Lasting> {
    let mut lasting = Vec::new();
    let hosts = scenario.host_nodes();
    for (number, &server) in scenario.server_nodes().iter().enumerate().skip(1) {
        let host = any(prng, &hosts);
        let manners = scenario.servers[number];
        match prng.below(10) {
            0 => lasting.push(Lasting::Off(server)),
            1 => lasting.push(Lasting::Refuses(server)),
            2 => lasting.push(Lasting::Unreachable(server)),
            3 if prng.chance(1, 2) => lasting.push(Lasting::Silent(host, server)),
            3 => lasting.push(Lasting::Silent(server, host)),
            4 | 5 if manners != manners.good() => lasting.push(Lasting::Manners(server)),
            _ => {}
        }
    }
    for &names in scenario.name_nodes().iter().skip(1) {
        if prng.chance(1, 3) {
            lasting.push(Lasting::Off(names));
        }
    }
    if hosts.len() > 1 && prng.chance(1, 4) {
        // Any of them, but not all.
        let some = 1 + prng.below((1 << hosts.len()) - 2);
        let down = hosts.iter().enumerate().filter(|(place, _)| some >> place & 1 == 1);
        lasting.extend(down.map(|(_, host)| Lasting::Off(*host)));
    }
    lasting
}

/// Draws what stays bad for good and keeps no mail from its way: a name server that keeps its humour, a path that stays as it is.
pub(super) fn mild(prng: &mut Prng, scenario: &Scenario, hurried: bool) -> Vec<Lasting> {
    let mut lasting = Vec::new();
    let names = scenario.name_nodes();
    let off = |node: &NodeId| scenario.lasting.contains(&Lasting::Off(*node));
    // Any of them, so that those are asked first that lie, where another one answers.
    if names.len() > 1 && prng.chance(1, 3) && !names.iter().any(off) {
        let node = any(prng, &names);
        if scenario.names[usize::from(node.0)] != Humour::default() {
            lasting.push(Lasting::Humour(node));
        }
    }
    let Link { latency, loss, .. } = scenario.usual;
    // Where mail may not grow old the path must let it through.
    let bearable = loss > 0 && latency.1 <= 200_000;
    if prng.chance(1, 5) && (bearable || hurried) {
        lasting.push(Lasting::Path);
    }
    lasting
}
