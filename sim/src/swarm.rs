//! One seed, one story: who lives in the world, what they want, what goes wrong, and how it ends.
//!
//! Everything is drawn, also how often things go wrong, and often that is never: whole classes of faults are missing from a story, so that
//! the others reach further. First the safety phase, in which anything may happen; then all faults end, and within
//! days of simulated time everything must have settled. The ledger judges both.

use crate::disk::Moods;
use crate::host::{Host, Site};
use crate::inhabitant::Inhabitant;
use crate::names::{Entry, Humour, NameServer, Zones};
use crate::network::{Cutting, Link, NodeId};
use crate::oracle::Violation;
use crate::peers::{Client, Habits, Manners, Plan, Server};
use crate::world::{Fault, Word, World};
use postrider_core::prng::Prng;
use postrider_core::queue;
use postrider_core::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Events after which a story that has not ended goes in circles.
const EVENTS_MAX: u64 = 3_000_000;
/// Simulated time in which everything settles once faults have ended: more than the longest backoff, less than the
/// shortest patience of an operator.
const SETTLING: Duration = Duration::from_secs(2 * 86_400);

/// Octets that no story fills.
const AMPLE: u64 = u64::MAX / 4;

/// Something that goes wrong, and when it ends, if it does so by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When.
    pub at: Instant,
    /// What.
    pub fault: Fault,
    /// Its end.
    pub end: Option<(Instant, Fault)>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.6} s: {:?}", self.at.0 as f64 / 1e9, self.fault)?;
        match &self.end {
            Some((until, _)) => write!(f, ", until {:.6} s", until.0 as f64 / 1e9),
            None => Ok(()),
        }
    }
}

/// What may be drawn, so that a story can be told again with less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    /// The seed.
    pub seed: u64,
    /// Nothing goes wrong but what is asked for.
    pub calm: bool,
    /// The first host loses power at this spool operation.
    pub crash_at: Option<u64>,
    /// Disks may fail to read, too. Off in the swarm: the log says "gone" of what it could not read, and the manager
    /// then forgets it until a restart.
    pub unreadable: bool,
    /// Disks say that they have synced, and have not: the oracle must notice.
    pub lying_disks: bool,
    /// Troubles that are left out, by their number in the plan. Everything else is drawn as before.
    pub spared: BTreeSet<usize>,
    /// Print each event.
    pub spoken: bool,
}

impl Choices {
    /// The story of a seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self {
            seed,
            spared: BTreeSet::new(),
            calm: false,
            crash_at: None,
            unreadable: false,
            lying_disks: false,
            spoken: false,
        }
    }
}

/// How a story ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Hash of all that happened.
    pub trace: u64,
    /// Events.
    pub events: u64,
    /// Seconds of simulated time.
    pub seconds: u64,
    /// Messages handed in, and those promised.
    pub letters: (usize, usize),
    /// Deliveries beyond the first, with a cause.
    pub duplicates: u32,
    /// Times that a machine crashed.
    pub crashes: u32,
    /// What went wrong, or would have without [`Choices::spared`].
    pub plan: Vec<Trouble>,
    /// Rules that were broken; the last may say that the world did not settle.
    pub violations: Vec<Violation>,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letters, promised) = self.letters;
        write!(
            f,
            "trace {:016x}, {} events, {} s, {letters} letters, {promised} promised, {} duplicates, {} crashes",
            self.trace, self.events, self.seconds, self.duplicates, self.crashes
        )
    }
}

/// The machines of a story.
#[derive(Debug, Default)]
struct Cast {
    hosts: Vec<NodeId>,
    servers: Vec<NodeId>,
    names: Vec<NodeId>,
    clients: Vec<NodeId>,
}

fn address(class: u8, number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, class, u8::try_from(number + 1).unwrap_or(u8::MAX)))
}

/// Draws a number of 1000 that is often zero.
fn odds(prng: &mut Prng, calm: bool, most: u16) -> u16 {
    let missing = calm || prng.chance(1, 2);
    let drawn = prng.below(u64::from(most) + 1) as u16;
    if missing { 0 } else { drawn }
}

/// Tells the story of a seed to its end.
#[must_use]
pub fn tell(choices: &Choices) -> Ending {
    let mut prng = Prng::new(choices.seed);
    let mut world = World::new(prng.next_u64(), choices.spoken);
    let cast = populate(&mut world, &mut prng, choices);
    if choices.lying_disks {
        world.let_disks_lie();
    }
    let safety = Duration::from_secs(600 + prng.below(4 * 3_600));
    let plan = draw_troubles(&mut prng, &cast, safety, choices);
    for (_, trouble) in plan.iter().enumerate().filter(|(number, _)| !choices.spared.contains(number)) {
        world.plan(trouble.at, trouble.fault.clone());
        if let Some((until, end)) = &trouble.end {
            world.plan(*until, end.clone());
        }
    }
    let mut violations = Vec::new();
    let calm_at = Instant::default().after(safety);
    let mut fast_enough = world.run(calm_at, EVENTS_MAX);
    calm_down(&mut world, &mut prng, &cast);
    let end = calm_at.after(SETTLING);
    while fast_enough && world.fabric.kernel.now() < end {
        let step = world.fabric.kernel.now().after(Duration::from_secs(600));
        fast_enough = world.run(step, EVENTS_MAX);
        if world.pending().is_none() && world.down().is_empty() {
            break;
        }
    }
    if !fast_enough {
        violations.push(Violation(format!("{EVENTS_MAX} events without an end: it goes in circles")));
    } else if let Some(why) = world.pending() {
        violations.push(Violation(format!("not settled: {why}")));
    }
    world.fabric.ledger.close();
    violations.splice(0..0, world.fabric.ledger.violations.iter().cloned());
    Ending {
        trace: world.fabric.kernel.trace.hash(),
        events: world.fabric.kernel.taken,
        seconds: world.fabric.kernel.now().0 / 1_000_000_000,
        letters: world.fabric.ledger.counts(),
        duplicates: world.fabric.ledger.duplicates,
        crashes: world.fabric.ledger.crashes(),
        plan,
        violations,
    }
}

fn populate(world: &mut World<Inhabitant>, prng: &mut Prng, choices: &Choices) -> Cast {
    let mut cast = Cast::default();
    let calm = choices.calm;
    let (hosts, servers) = (1 + prng.below(3) as usize, 2 + prng.below(4) as usize);
    let name_servers = 1 + prng.below(2) as usize;
    let zones = zones(prng, hosts, servers);
    for number in 0..name_servers {
        let humour = humour(prng, calm);
        let actor = Inhabitant::Names(Box::new(NameServer::new(zones.clone(), humour)));
        cast.names.push(world.add(address(0, number), None, actor));
    }
    for number in 0..servers {
        let actor = Inhabitant::Server(Box::new(Server::new(manners(prng, calm))));
        cast.servers.push(world.add(address(1, number), None, actor));
    }
    let shop = Manners { port: 24, lmtp: true, ..manners(prng, calm) };
    cast.servers.push(world.add(address(1, servers), None, Inhabitant::Server(Box::new(Server::new(shop)))));
    for number in 0..hosts {
        let site = site(prng, number, hosts, name_servers, servers);
        let disk = Some(20 * 1024 * 1024 + prng.below(64 * 1024 * 1024));
        let actor = Inhabitant::Host(Box::new(Host::new(Arc::new(site))));
        cast.hosts.push(world.add(address(2, number), disk, actor));
    }
    for number in 0..1 + prng.below(4) as usize {
        let client = client(prng, number, hosts, servers, calm);
        cast.clients.push(world.add(address(3, number), None, Inhabitant::Client(Box::new(client))));
    }
    world.fabric.network.cutting = match prng.below(4) {
        0 | 1 => Cutting::Whole,
        2 => Cutting::Pieces(1_460),
        _ => Cutting::Pieces(1 + prng.below(60) as u16),
    };
    let slowest = 1_000 + prng.below(200_000);
    world.fabric.network.usual = Link { latency: (100, slowest), loss: odds(prng, calm, 50), rate: 0 };
    if !calm && prng.chance(1, 4) {
        let rate = 200 + prng.below(20_000);
        let host = cast.hosts[prng.below(hosts as u64) as usize];
        let slow = Link { rate, ..world.fabric.network.usual };
        for &server in &cast.servers {
            world.fabric.network.link(host, server, slow);
            world.fabric.network.link(server, host, slow);
        }
    }
    cast
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
            }
        }
    }
    zones.add("send.sim", 60, Entry::Mx(10, "mx0.sim".to_owned()));
    zones.add("nomail.sim", 60, Entry::Mx(0, String::new()));
    zones
}

fn humour(prng: &mut Prng, calm: bool) -> Humour {
    Humour {
        silent: odds(prng, calm, 400),
        fails: odds(prng, calm, 300),
        refuses: odds(prng, calm, 200),
        truncates: odds(prng, calm, 500),
        no_edns: prng.chance(1, 5),
        forged: odds(prng, calm, 500),
        no_ttl: odds(prng, calm, 500),
        garbles: odds(prng, calm, 200),
        forgets: odds(prng, calm, 500),
    }
}

fn manners(prng: &mut Prng, calm: bool) -> Manners {
    Manners {
        port: 25,
        lmtp: false,
        extended: prng.chance(4, 5),
        pipelining: prng.chance(3, 4),
        rude: odds(prng, calm, 300),
        hangs_up: odds(prng, calm, 60),
        soft: odds(prng, calm, 200),
        loses_reply: odds(prng, calm, 200),
        sleeps: odds(prng, calm, 20),
        slowness: 1_000 + prng.below(3_000_000),
        babbles: odds(prng, calm, 20),
        lies: odds(prng, calm, 200),
        connections: if !calm && prng.chance(1, 4) { 1 + prng.below(5) as u32 } else { 0 },
    }
}

const MASTER: &str = "smtp inet n - y - - smtpd\nsmtp unix - - y - - smtp\nrelay unix - - y - - smtp\n\
    lmtp unix - - y - - lmtp\nerror unix - - y - - error\nretry unix - - y - - error\n\
    discard unix - - y - - discard\ncleanup unix n - y - 0 cleanup\nrewrite unix - - y - - trivial-rewrite\n\
    bounce unix - - y - 0 bounce\nqmgr unix n - n 300 1 qmgr\n";

fn site(prng: &mut Prng, number: usize, hosts: usize, name_servers: usize, servers: usize) -> Site {
    let name = format!("host{number}.sim");
    let dns: Vec<String> = (0..name_servers).map(|server| address(0, server).to_string()).collect();
    let (minimal, maximal) = (60 + prng.below(600), 1_000 + prng.below(3_000));
    // Reports have all the time they need: one that expires ends in nothing, which nobody outside can see.
    let lifetime = if prng.chance(1, 4) { 7_200 + prng.below(7_200) } else { 432_000 };
    // A host may hand all its mail to the next one.
    let relay = if number + 1 < hosts && prng.chance(1, 2) {
        format!("[{}]", address(2, number + 1))
    } else {
        String::new()
    };
    // Smaller than the parameter allows: more segments, more compaction, more to go wrong.
    let segment_size = 16_384 << prng.below(7);
    let concurrency = 1 + prng.below(20);
    let shop = address(1, servers);
    let main = format!(
        "compatibility_level = 3.6\nmyhostname = {name}\nmydestination =\nlocal_recipient_maps =\nalias_maps =\n\
         alias_database =\nmynetworks = 10.0.0.0/8\ninet_protocols = ipv4\nrelayhost = {relay}\n\
         dns_servers = {}\nminimal_backoff_time = {minimal}s\nmaximal_backoff_time = {maximal}s\n\
         queue_run_delay = {minimal}s\nmaximal_queue_lifetime = {lifetime}s\nbounce_queue_lifetime = 5d\n\
         default_destination_concurrency_limit = {concurrency}\n\
         transport_maps = inline:{{ shop.sim=lmtp:inet:{shop}:24 }}\nsmtp_tls_security_level = none\n\
         node_number = {number}\n",
        dns.join(" "),
    );
    let node = NodeId(u16::try_from(number).unwrap_or(0));
    let made = Site::new(&name, address(2, number), node, &main, MASTER);
    let mut site =
        made.unwrap_or_else(|wrong| panic!("the simulation's own configuration is wrong: {wrong:?}"));
    site.queue = queue::Params { segment_size, reserve: segment_size };
    let table = site.tables.entry(format!("inline:{{ shop.sim=lmtp:inet:{shop}:24 }}")).or_default();
    table.insert("shop.sim".to_owned(), format!("lmtp:inet:{shop}:24"));
    site
}

fn client(prng: &mut Prng, number: usize, hosts: usize, servers: usize, calm: bool) -> Client {
    let server = SocketAddr::new(address(2, prng.below(hosts as u64) as usize), 25);
    let letters = 1 + prng.below(25);
    let pace = 1 + prng.below(120_000);
    let plans = (0..letters)
        .map(|letter| {
            let bare = prng.chance(1, 10);
            let recipients = (0..1 + prng.below(6)).map(|place| {
                let user = match prng.below(8) {
                    0 if !bare => "bad",
                    1 if !bare => "full",
                    2 => "grey",
                    _ => "u",
                };
                let domain = match prng.below(12) {
                    0 => "shop.sim".to_owned(),
                    1 if !bare => "nowhere.sim".to_owned(),
                    2 if !bare => "nomail.sim".to_owned(),
                    _ => format!("d{}.sim", prng.below(servers as u64)),
                };
                format!("{user}-{number}-{letter}-{place}@{domain}")
            });
            let recipients = recipients.collect();
            let sender = if bare { String::new() } else { format!("sender{number}@send.sim") };
            let size = if prng.chance(1, 15) { 150_000 + prng.below(200_000) } else { prng.below(4_000) };
            let wait = Duration::from_millis(prng.below(pace));
            Plan { wait, sender, recipients, size: size as usize }
        })
        .collect();
    let habits = Habits {
        pipelines: prng.chance(1, 2),
        hangs_up: odds(prng, calm, 50),
        vanishes: odds(prng, calm, 200),
        dithers: odds(prng, calm, 100),
    };
    Client::new(server, plans, habits)
}

/// Draws what goes wrong.
fn draw_troubles(prng: &mut Prng, cast: &Cast, safety: Duration, choices: &Choices) -> Vec<Trouble> {
    let span = u64::try_from(safety.as_nanos()).unwrap_or(u64::MAX);
    let mut troubles = Vec::new();
    if let (Some(count), Some(&host)) = (choices.crash_at, cast.hosts.first()) {
        troubles.push(Trouble { at: Instant(1), fault: Fault::CrashAtOperation(host, count), end: None });
    }
    if choices.calm {
        return troubles;
    }
    let everybody: Vec<NodeId> =
        [&cast.hosts, &cast.servers, &cast.names, &cast.clients].into_iter().flatten().copied().collect();
    let any = |prng: &mut Prng, of: &[NodeId]| of[prng.below(of.len() as u64) as usize];
    for kind in 0..8 {
        if prng.chance(1, 2) {
            continue;
        }
        for _ in 0..1 + prng.below(6) {
            let at = Instant(prng.below(span));
            let host = any(prng, &cast.hosts);
            let fault = match kind {
                0 => Fault::Crash(host, prng.chance(1, 2)),
                1 => Fault::CrashAtOperation(host, prng.below(200)),
                2 => Fault::Cut(any(prng, &everybody), any(prng, &everybody)),
                3 => Fault::Reset(prng.next_u64()),
                4 => Fault::Moods(host, moods(prng, choices.unreadable)),
                5 => Fault::Capacity(host, prng.below(2_000_000)),
                6 => Fault::Skew(host, prng.below(2 * 86_400_000_000) as i64 - 86_400_000_000),
                _ => Fault::Crash(any(prng, &cast.servers), prng.chance(1, 2)),
            };
            let until = at.after(Duration::from_secs(prng.below(1_800)));
            let end = match &fault {
                Fault::Cut(..) => Some((until, Fault::Heal)),
                Fault::Moods(host, _) => Some((until, Fault::Moods(*host, Moods::default()))),
                Fault::Capacity(host, _) => Some((until, Fault::Capacity(*host, AMPLE))),
                _ => None,
            };
            troubles.push(Trouble { at, fault, end });
        }
    }
    troubles
}

fn moods(prng: &mut Prng, unreadable: bool) -> Moods {
    Moods {
        full: odds(prng, false, 200),
        fails: odds(prng, false, 50),
        reads_fail: if unreadable { odds(prng, false, 50) } else { 0 },
        sync_fails: odds(prng, false, 100),
        careless: prng.chance(1, 2),
    }
}

/// All faults end; everybody who can is on their best behaviour.
fn calm_down(world: &mut World<Inhabitant>, prng: &mut Prng, cast: &Cast) {
    let now = world.fabric.kernel.now();
    let flush = prng.chance(1, 2);
    world.fabric.network.heal();
    for &host in &cast.hosts {
        world.plan(now, Fault::Disarm(host));
        world.plan(now, Fault::Moods(host, Moods::default()));
        world.plan(now, Fault::Capacity(host, AMPLE));
    }
    let others = cast.servers.iter().chain(&cast.names).chain(&cast.clients);
    for &node in others.chain(cast.hosts.iter().filter(|_| flush)) {
        world.plan(now, Fault::Tell(node, Word::Behave));
    }
}
