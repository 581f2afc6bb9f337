//! From a seed to a scenario. Odds are drawn too, and half of them are zero.

use super::address;
use super::params::{Frame, main_cf};
use super::rare::rare;
use super::scenario::{ClientPlan, Crash, HostPlan, Scenario};
use super::troubles::{lasting, mild, odds, reloads, troubles};
use crate::names::{Entry, Humour, Zones};
use crate::network::{Cutting, Link};
use crate::peers::{Habits, Manners, Plan, Tls};
use postrider_core::prng::Prng;

/// Letters of a story, about.
const LETTERS: u64 = 50;

/// What may be asked of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// Nothing goes wrong but what is asked for.
    pub calm: bool,
    /// Letters of the story, about; `None` for fifty.
    pub letters: Option<u64>,
    /// The first host loses power at this spool operation.
    pub crash_at: Option<u64>,
    /// Disks say that they have synced, and have not: the oracle must notice.
    pub lying_disks: bool,
}

/// Draws the story of a seed.
#[must_use]
pub fn draw(seed: u64, wish: Wish) -> Scenario {
    let mut prng = Prng::new(seed);
    let prng = &mut prng;
    let (calm, letters) = (wish.calm, wish.letters.unwrap_or(LETTERS));
    // Most of what goes wrong needs one host; with several, mail has more of the same steps.
    let (hosts, servers) = ([1, 1, 1, 2, 2, 3][prng.below(6) as usize], 2 + prng.below(3) as usize);
    let name_servers = 1 + prng.below(2) as usize;
    let hurried = !calm && prng.chance(1, 3);
    let clients = 1 + prng.below(4);
    let longest = if prng.chance(1, 6) { 4 * 3_600 } else { 1_800 };
    let safety = 300 + prng.below(longest);
    // Large mail is what most octets of a story are: few stories have any, and those several.
    let giants = if prng.chance(1, 6) { 25 } else { 0 };
    let slowest = [1_000, 20_000, 200_000, 3_000_000][(prng.below(16) as usize).saturating_sub(12)];
    let mut scenario = Scenario {
        seed: prng.next_u64(),
        safety,
        cutting: cutting(prng),
        usual: Link { latency: (100, slowest), loss: odds(prng, calm, 50), rate: 0 },
        links: Vec::new(),
        zones: zones(prng, hosts, servers),
        names: (0..name_servers).map(|_| humour(prng, calm)).collect(),
        servers: (0..servers).map(|_| manners(prng, calm)).collect(),
        hosts: Vec::new(),
        clients: (0..clients)
            .map(|number| client(prng, number, (hosts, servers, clients), (letters, safety, giants), calm))
            .collect(),
        troubles: Vec::new(),
        lasting: Vec::new(),
        flush: prng.chance(1, 2),
        lying_disks: wish.lying_disks,
    };
    scenario.servers.push(Manners { port: 24, lmtp: true, ..manners(prng, calm) });
    for number in 0..hosts {
        let frame = Frame { number, hosts, name_servers, servers, hurried, calm };
        let disk = 20 * 1024 * 1024 + prng.below(64 * 1024 * 1024);
        // Small ones: more segments, more compaction, more to go wrong, and less to copy.
        let segment = 16_384 << if prng.chance(1, 8) { prng.below(6) } else { prng.below(3) };
        scenario.hosts.push(HostPlan { main: main_cf(prng, frame), other: Vec::new(), disk, segment });
    }
    if let Some(count) = wish.crash_at {
        scenario.crash(Crash::AtOperation, count);
    }
    if !calm {
        slow_links(prng, &mut scenario);
        scenario.troubles.extend(troubles(prng, &scenario));
        rare(prng, &mut scenario);
        if hurried {
            scenario.lasting = lasting(prng, &scenario);
        }
        let milder = mild(prng, &scenario, hurried);
        scenario.lasting.extend(milder);
        reloads(prng, &mut scenario, hurried);
    }
    let encrypts = |line: &String| line == "smtp_tls_security_level = encrypt";
    if scenario.hosts.iter().any(|host| host.main.iter().chain(&host.other).any(encrypts)) {
        // Reports must get out.
        scenario.servers[0].tls = Tls::Good;
    }
    scenario
}

fn cutting(prng: &mut Prng) -> Cutting {
    match prng.below(16) {
        0 => Cutting::Some(1 + prng.below(60) as u16),
        1..5 => Cutting::Pieces(1_460),
        _ => Cutting::Whole,
    }
}

/// A host with a line over which octets drip.
fn slow_links(prng: &mut Prng, scenario: &mut Scenario) {
    if !prng.chance(1, 8) {
        return;
    }
    let rate = 200 + prng.below(20_000);
    let hosts = scenario.host_nodes();
    let host = hosts[prng.below(hosts.len() as u64) as usize];
    let slow = Link { rate, ..scenario.usual };
    for server in scenario.server_nodes() {
        scenario.links.extend([(host, server, slow), (server, host, slow)]);
    }
}

/// Domains `d0.sim` and on, each with some of the servers; `send.sim` for senders, `shop.sim` behind LMTP.
fn zones(prng: &mut Prng, hosts: usize, servers: usize) -> Zones {
    let mut zones = Zones::default();
    let ttl = 5 + prng.below(3_600) as u32;
    for number in 0..servers {
        zones.add(&format!("mx{number}.sim"), ttl, Entry::Address(address(1, number)));
    }
    for number in 0..hosts {
        zones.add(&format!("host{number}.sim"), ttl, Entry::Address(address(2, number)));
    }
    // Nobody has this address, and nothing says so.
    zones.add("hole.sim", ttl, Entry::Address(address(9, 0)));
    for number in 0..servers {
        let domain = format!("d{number}.sim");
        match prng.below(5) {
            0 => zones.add(&domain, 60, Entry::Address(address(1, number))),
            1 => {
                zones.add(&domain, 60, Entry::Alias(format!("real{number}.sim")));
                zones.add(&format!("real{number}.sim"), 30, Entry::Mx(10, format!("mx{number}.sim")));
            }
            _ => {
                zones.add(&domain, 60, Entry::Mx(10, format!("mx{number}.sim")));
                let other = prng.below(servers as u64);
                zones.add(&domain, 60, Entry::Mx(10 * prng.below(3) as u16, format!("mx{other}.sim")));
                if prng.chance(1, 4) {
                    zones.add(&domain, 60, Entry::Mx(5, "nowhere.sim".to_owned()));
                }
                if prng.chance(1, 8) {
                    zones.add(&domain, 60, Entry::Mx(5, "hole.sim".to_owned()));
                }
            }
        }
    }
    zones.add("send.sim", 60, Entry::Mx(10, "mx0.sim".to_owned()));
    zones.add("nomail.sim", 60, Entry::Mx(0, String::new()));
    zones
}

fn humour(prng: &mut Prng, calm: bool) -> Humour {
    if prng.chance(1, 3) {
        return Humour::default();
    }
    Humour {
        silent: odds(prng, calm, 300),
        fails: odds(prng, calm, 300),
        refuses: odds(prng, calm, 200),
        truncates: odds(prng, calm, 400),
        no_edns: prng.chance(1, 6),
        forged: odds(prng, calm, 300),
        no_ttl: odds(prng, calm, 300),
        long_ttl: odds(prng, calm, 100),
        garbles: odds(prng, calm, 200),
        changes: odds(prng, calm, 500),
    }
}

fn manners(prng: &mut Prng, calm: bool) -> Manners {
    let good = prng.chance(1, 3);
    let polite = calm || good;
    let tls = match prng.below(8) {
        0 | 1 => Tls::Good,
        2 => Tls::WrongName,
        3 => Tls::Expired,
        4 if !polite => Tls::Broken,
        _ => Tls::None,
    };
    let rare = |prng: &mut Prng, most| if prng.chance(1, 3) { odds(prng, polite, most) } else { 0 };
    Manners {
        port: 25,
        lmtp: false,
        extended: prng.chance(7, 8),
        pipelining: prng.chance(2, 3),
        tls,
        tls_fails: odds(prng, polite, 200),
        rude: odds(prng, polite, 300),
        silent: rare(prng, 50),
        hangs_up: odds(prng, polite, 60),
        cuts_content: rare(prng, 100),
        soft: odds(prng, polite, 150),
        greylists: !polite && prng.chance(1, 8),
        loses_reply: odds(prng, polite, 150),
        sleeps: rare(prng, 20),
        slowness: if prng.chance(3, 4) { 0 } else { 1_000 + prng.below(3_000_000) },
        babbles: rare(prng, 30),
        out_of_turn: rare(prng, 50),
        lies: odds(prng, polite, 200),
        brags: odds(prng, polite, 100),
        half_closes: odds(prng, polite, 300),
        connections: if !polite && prng.chance(1, 4) { 1 + prng.below(5) as u32 } else { 0 },
        refuses: false,
        ..Manners::default()
    }
}

fn client(
    prng: &mut Prng,
    number: u64,
    (hosts, servers, clients): (usize, usize, u64),
    (letters, safety, giants): (u64, u64, u64),
    calm: bool,
) -> ClientPlan {
    let letters = (letters.saturating_mul(3) / 4 + prng.below((letters / 2).max(1))) / clients;
    let pace = if prng.chance(1, 3) { 200 } else { 1 + prng.below(1_500 * safety / letters.max(1)) };
    let letters =
        (0..letters).map(|letter| letter_of(prng, (number, letter), (pace, giants), servers)).collect();
    let habits = Habits {
        pipelines: prng.chance(1, 2),
        hangs_up: odds(prng, calm, 30),
        vanishes: odds(prng, calm, 100),
        dithers: odds(prng, calm, 100),
        half_closes: odds(prng, calm, 100),
        ..Habits::default()
    };
    ClientPlan { host: prng.below(hosts as u64) as usize, habits, letters }
}

/// `giants`: of a thousand letters so many are larger than what the kernel takes of a connection at once.
fn letter_of(
    prng: &mut Prng,
    (number, letter): (u64, u64),
    (pace, giants): (u64, u64),
    servers: usize,
) -> Plan {
    let bare = prng.chance(1, 10);
    let count = if prng.chance(2, 3) { 1 } else { 1 + prng.below(5) };
    let home = prng.below(servers as u64);
    let recipients = (0..count).map(|place| {
        let user = match prng.below(16) {
            0 | 1 => "bad",
            2 => "full",
            3 => "grey",
            _ => "u",
        };
        let domain = match prng.below(16) {
            0 | 1 => "shop.sim".to_owned(),
            2 => "nowhere.sim".to_owned(),
            3 => "nomail.sim".to_owned(),
            4..9 => format!("d{}.sim", prng.below(servers as u64)),
            _ => format!("d{home}.sim"),
        };
        format!("{user}-{number}-{letter}-{place}@{domain}")
    });
    let recipients = recipients.collect();
    let sender = if bare { String::new() } else { format!("sender{number}@send.sim") };
    let size = if prng.chance(giants, 1_000) { 140_000 + prng.below(100_000) } else { prng.below(2_000) };
    Plan { wait: prng.below(pace + 1), sender, recipients, size: size as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_has_about_as_many_letters_as_are_wished() {
        for (wished, letters) in [(None, 35..=62), (Some(30), 20..=37), (Some(4), 0..=5)] {
            for seed in 0..100 {
                let scenario = draw(seed, Wish { letters: wished, ..Wish::default() });
                let count: usize = scenario.clients.iter().map(|client| client.letters.len()).sum();
                assert!(letters.contains(&count), "{wished:?}, seed {seed}: {count}");
            }
        }
    }
}
