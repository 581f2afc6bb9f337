//! Faults that few stories have, drawn behind all others: what drips costs events, and what changes in zones must come out right.

use super::address;
use super::scenario::Scenario;
use crate::names::{Change, Entry};
use crate::peers::{Habits, Manners};
use postrider_core::prng::Prng;

/// A number of 1000 that is zero but for once in so many times.
fn seldom(prng: &mut Prng, of: u64, most: u64) -> u16 {
    if prng.chance(1, of) { 1 + prng.below(most) as u16 } else { 0 }
}

/// Draws them.
pub(super) fn rare(prng: &mut Prng, scenario: &mut Scenario) {
    for manners in scenario.servers.iter_mut().filter(|manners| **manners != manners.good()) {
        let idle = match prng.below(8) {
            // Sooner than a host gives a kept connection up, or later.
            0 => 200 + prng.below(1_800),
            1 => 2_000 + prng.below(60_000),
            _ => 0,
        };
        *manners = Manners {
            drips: seldom(prng, 14, 40),
            half_closes_early: seldom(prng, 6, 30),
            hangs_up_at_quit: seldom(prng, 4, 400),
            idle,
            idle_says: prng.chance(1, 2),
            ..*manners
        };
    }
    for client in &mut scenario.clients {
        let (drips, half_closes_early) = (seldom(prng, 14, 40), seldom(prng, 6, 20));
        client.habits = Habits { drips, half_closes_early, ..client.habits };
    }
    if prng.chance(1, 3) {
        for _ in 0..1 + prng.below(3) {
            change(prng, scenario);
        }
    }
}

/// A domain or an exchanger changes, and perhaps changes back before the world heals. Reports go to `send.sim` and `mx0.sim`, which stay.
fn change(prng: &mut Prng, scenario: &mut Scenario) {
    // The last one speaks LMTP, and is behind no name.
    let servers = scenario.servers.len() as u64 - 1;
    let safety = scenario.safety * 1_000_000;
    let at = prng.below(safety);
    let back = at + prng.below(safety - at);
    let mut returns = prng.chance(1, 2);
    let (name, entries) = if prng.chance(1, 3) {
        let name = format!("mx{}.sim", 1 + prng.below(servers - 1));
        // Nobody may have its address for a while, not for good.
        let nobody = prng.chance(1, 4);
        returns |= nobody;
        let to = if nobody { address(9, 0) } else { address(1, prng.below(servers) as usize) };
        let ttl = scenario.zones.entries.get(&name).and_then(|all| all.first()).map_or(60, |(ttl, _)| *ttl);
        (name, vec![(ttl, Entry::Address(to))])
    } else {
        let domains: Vec<&String> =
            scenario.zones.entries.keys().filter(|name| has_exchangers(name)).collect();
        let name = domains[prng.below(domains.len() as u64) as usize].clone();
        let before = scenario.zones.entries.get(&name).map_or(&[][..], Vec::as_slice);
        let mut entries = exchangers(prng, before, servers);
        // Who had no exchangers keeps its address: a host that asked for the one before the change and for the other after it would
        // find neither, and rightly say that there is no such place.
        entries.extend(before.iter().filter(|(_, entry)| matches!(entry, Entry::Address(_))).cloned());
        (name, entries)
    };
    let before = scenario.zones.entries.get(&name).cloned().filter(|_| returns);
    scenario.zones.changes.push(Change { at, name: name.clone(), entries });
    scenario.zones.changes.extend(before.map(|entries| Change { at: back, name, entries }));
}

fn has_exchangers(name: &str) -> bool {
    ["d", "real"].iter().any(|prefix| {
        let number = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(".sim"));
        number.is_some_and(|number| number.parse::<u8>().is_ok())
    })
}

/// Other exchangers of a domain: one more, another for one of them, or one less. The first is always a server that is there.
fn exchangers(prng: &mut Prng, before: &[(u32, Entry)], servers: u64) -> Vec<(u32, Entry)> {
    let fresh = (60, Entry::Mx(10 * prng.below(3) as u16, format!("mx{}.sim", prng.below(servers))));
    let mut after: Vec<_> =
        before.iter().filter(|(_, entry)| matches!(entry, Entry::Mx(..))).cloned().collect();
    match prng.below(3) {
        0 if !after.is_empty() => after.push(fresh),
        1 if after.len() > 1 => _ = after.remove(0),
        _ => {
            _ = after.pop();
            after.insert(0, fresh);
        }
    }
    // Whoever is left must be somebody: the names in second and later places may be nobody's.
    if !matches!(after.first(), Some((_, Entry::Mx(_, name))) if name.starts_with("mx")) {
        after.insert(0, (60, Entry::Mx(10, format!("mx{}.sim", prng.below(servers)))));
    }
    after
}

#[cfg(test)]
mod tests {
    use super::super::{Lasting, Wish, draw};
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn zones_change_and_leave_every_domain_a_server_in_the_end() {
        let mut kinds = [0; 2];
        for seed in 0..400 {
            let Scenario { zones, servers, safety, .. } = draw(seed, Wish::default());
            let there = |name: &str| {
                let entries = zones.at(name, u64::MAX).unwrap_or_default();
                let server = |at| (0..servers.len() - 1).any(|number| address(1, number) == at);
                entries.iter().any(|(_, entry)| matches!(entry, Entry::Address(at) if server(*at)))
            };
            for change in &zones.changes {
                assert!(
                    change.at < safety * 1_000_000 && change.name != "send.sim" && change.name != "mx0.sim"
                );
                let end = zones.at(&change.name, u64::MAX).unwrap_or_default();
                kinds[usize::from(change.name.starts_with("mx"))] += 1;
                let ok = match end.first() {
                    Some((_, Entry::Mx(_, name))) => there(name),
                    Some((_, Entry::Alias(name))) => zones.at(name, u64::MAX).is_some(),
                    _ => there(&change.name),
                };
                assert!(ok, "seed {seed}: {} has {end:?}", change.name);
                let kept =
                    |entry: &Entry| !matches!(entry, Entry::Address(_)) || change.name.starts_with("mx");
                let before = zones.entries.get(&change.name).map_or(&[][..], Vec::as_slice);
                let keeps = before.iter().all(|had| kept(&had.1) || change.entries.contains(had));
                assert!(keeps, "seed {seed}: {change:?}");
            }
        }
        assert!(kinds.iter().all(|count| *count > 30), "{kinds:?}");
    }

    #[test]
    fn all_that_may_last_is_drawn_and_spares_the_first() {
        let mut kinds = BTreeSet::new();
        for seed in 0..1_000 {
            let scenario = draw(seed, Wish::default());
            let spared = [scenario.name_nodes()[0], scenario.server_nodes()[0]];
            let hosts = scenario.host_nodes();
            let mut down = 0;
            for lasting in &scenario.lasting {
                let (kind, nodes) = match *lasting {
                    Lasting::Off(node) => ("off", vec![node]),
                    Lasting::Refuses(node) => ("refuses", vec![node]),
                    Lasting::Unreachable(node) => ("unreachable", vec![node]),
                    Lasting::Silent(from, to) if hosts.contains(&from) => ("unheard", vec![from, to]),
                    Lasting::Silent(from, to) => ("silent", vec![from, to]),
                    Lasting::Manners(node) => ("manners", vec![node]),
                    Lasting::Humour(node) => ("humour", vec![node]),
                    Lasting::Path => ("path", vec![]),
                };
                let spares = kind == "humour" || !nodes.iter().any(|node| spared.contains(node));
                assert!(spares, "seed {seed}: {lasting:?}");
                down += usize::from(kind == "off" && hosts.contains(&nodes[0]));
                kinds.insert(kind);
            }
            assert!(down < hosts.len(), "seed {seed}");
            if down > 1 {
                kinds.insert("hosts");
            }
        }
        assert_eq!(kinds.len(), 9, "{kinds:?}");
    }
}
