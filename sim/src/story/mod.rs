//! One story: who lives in the world, what they want, what goes wrong, and how it ends.
//!
//! A [`Scenario`] is data: drawn from a seed, or read from a file, or made smaller. Telling it has two phases. In the safety phase
//! anything may happen. Then the world heals, but for what stays broken for good, and within days of simulated time
//! everything must have settled. The ledger judges both.

mod draw;
mod legend;
mod panics;
mod params;
mod rare;
mod scenario;
mod troubles;

pub use draw::{Wish, draw};
pub use scenario::{ClientPlan, Crash, HostPlan, Lasting, Scenario, Trouble};

use crate::edges::Edges;
use crate::faults::Fired;
use crate::host::{Host, Site};
use crate::inhabitant::Inhabitant;
use crate::names::NameServer;
use crate::network::NodeId;
use crate::oracle::{Ledger, Violation};
use crate::peers::{Client, Server};
use crate::world::{Fault, Word, World};
use postrider_core::queue;
use postrider_core::time::{Duration, Instant};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Events after which a story that has not ended goes in circles.
const EVENTS_MAX: u64 = 3_000_000;
/// Events after which it is looked whether a story has broken a rule: such a one need not be told to its end.
const EVENTS_STEP: u64 = 100_000;
/// Simulated time in which everything settles once the world has healed: more than the longest backoff, less than the shortest
/// patience of an operator; and the lifetimes of mail and reports where something stays broken.
const SETTLING: Duration = Duration::from_secs(2 * 86_400);
/// What zones said before may be believed for so long.
const BELIEVED: Duration = Duration::from_secs(3_600);
/// Octets that no story fills.
const AMPLE: u64 = u64::MAX / 4;

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
    /// Messages that hosts have taken into their queues: letters, on each host that they come to, and reports.
    pub queued: usize,
    /// Deliveries beyond the first, with a cause.
    pub duplicates: u32,
    /// Times that a machine crashed.
    pub crashes: u32,
    /// How often each class of faults did harm.
    pub fired: Fired,
    /// Edges of state tables that were taken.
    pub edges: Edges,
    /// Rules that were broken; the last may say that the world did not settle.
    pub violations: Vec<Violation>,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letters, promised) = self.letters;
        write!(
            f,
            "{} events, {} s, {letters} letters, {promised} promised, {} in queues, {} duplicates, {} crashes",
            self.events, self.seconds, self.queued, self.duplicates, self.crashes
        )
    }
}

/// The address of a machine: 0 name servers, 1 servers, 2 hosts, 3 clients, 9 nobody.
fn address(class: u8, number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, class, u8::try_from(number + 1).unwrap_or(u8::MAX)))
}

/// Tells a story to its end. Where something panics, that is its end, and a rule that was broken.
#[must_use]
pub fn tell(scenario: &Scenario, spoken: bool) -> Ending {
    tell_all(scenario, spoken).0
}

/// The same, with the ledger: who has what in the end.
#[must_use]
pub fn tell_all(scenario: &Scenario, spoken: bool) -> (Ending, Ledger) {
    let mut world = World::new(scenario.seed, spoken);
    if let Err(broken) = panics::caught(spoken, || unfold(&mut world, scenario)) {
        world.fabric.ledger.broken(broken);
    }
    let fabric = &mut world.fabric;
    let ending = Ending {
        trace: fabric.kernel.trace.hash(),
        events: fabric.kernel.taken,
        seconds: fabric.kernel.now().0 / 1_000_000_000,
        letters: fabric.ledger.counts(),
        queued: fabric.ledger.queued(),
        duplicates: fabric.ledger.duplicates,
        crashes: fabric.ledger.crashes(),
        fired: fabric.all_fired(),
        edges: fabric.edges.clone(),
        violations: std::mem::take(&mut fabric.ledger.violations),
    };
    (ending, world.fabric.ledger)
}

/// Both phases, and the judgement.
fn unfold(world: &mut World<Inhabitant>, scenario: &Scenario) {
    // What goes wrong at the very beginning is there before anybody starts.
    let (first, later): (Vec<_>, Vec<_>) = scenario.troubles.iter().partition(|trouble| trouble.at == 0);
    first.into_iter().for_each(|trouble| plan(world, trouble));
    populate(world, scenario);
    later.into_iter().for_each(|trouble| plan(world, trouble));
    let calm_at = Instant::default().after(Duration::from_secs(scenario.safety));
    let mut fast_enough = run_on(world, calm_at);
    heal(world, scenario);
    let hopeful = scenario.lasting.iter().all(|lasting| lasting.is_mild());
    let patience = if hopeful { SETTLING } else { SETTLING * 4 };
    let end = calm_at.after(patience);
    while fast_enough && world.fabric.kernel.now() < end {
        let step = world.fabric.kernel.now().after(Duration::from_secs(300));
        fast_enough = run_on(world, step);
        if !world.somebody_is_down() && world.pending().is_none() {
            break;
        }
    }
    conclude(world, fast_enough);
}

fn plan(world: &mut World<Inhabitant>, trouble: &Trouble) {
    world.plan(Instant(trouble.at.saturating_mul(1_000)), trouble.fault.clone());
    if let Some((until, end)) = &trouble.end {
        world.plan(Instant(until.saturating_mul(1_000)), end.clone());
    }
}

/// Lets time pass; false when the end was not reached, because a rule was broken or because there is no end.
fn run_on(world: &mut World<Inhabitant>, end: Instant) -> bool {
    let last = world.fabric.kernel.taken.saturating_add(EVENTS_MAX);
    while !world.run(end, EVENTS_STEP) {
        if world.fabric.kernel.taken >= last || !world.fabric.ledger.violations.is_empty() {
            return false;
        }
    }
    true
}

fn conclude(world: &mut World<Inhabitant>, fast_enough: bool) {
    let pending = world.pending();
    let fabric = &mut world.fabric;
    if !fast_enough && fabric.ledger.violations.is_empty() {
        fabric.ledger.broken(format!("{EVENTS_MAX} events without an end: it goes in circles"));
    } else if let Some(why) = pending {
        fabric.ledger.broken(format!("not settled: {why}"));
    }
    fabric.ledger.close();
    for edge in fabric.edges.strange() {
        fabric.ledger.broken(format!("an edge that is in no table: {edge}"));
    }
}

fn populate(world: &mut World<Inhabitant>, scenario: &Scenario) {
    for domain in ["nowhere.sim", "nomail.sim"] {
        world.fabric.ledger.doom(domain);
    }
    let zones = Arc::new(scenario.zones.clone());
    for (number, humour) in scenario.names.iter().enumerate() {
        let actor = Inhabitant::Names(Box::new(NameServer::new(Arc::clone(&zones), *humour)));
        world.add(address(0, number), None, actor);
    }
    for (number, manners) in scenario.servers.iter().enumerate() {
        world.add(address(1, number), None, Inhabitant::Server(Box::new(Server::new(*manners))));
    }
    for (number, plan) in scenario.hosts.iter().enumerate() {
        let mut host = Host::new(Arc::new(site(number, plan, &plan.main)));
        if !plan.other.is_empty() {
            host = host.with_other(Arc::new(site(number, plan, &plan.other)));
        }
        world.add(address(2, number), Some(plan.disk), Inhabitant::Host(Box::new(host)));
    }
    for (number, plan) in scenario.clients.iter().enumerate() {
        let server = SocketAddr::new(address(2, plan.host), 25);
        let client = Client::new(server, plan.letters.clone(), plan.habits);
        world.add(address(3, number), None, Inhabitant::Client(Box::new(client)));
    }
    world.fabric.names = scenario.called();
    world.fabric.network.cutting = scenario.cutting;
    world.fabric.network.usual = scenario.usual;
    for (from, to, link) in &scenario.links {
        world.fabric.network.link(*from, *to, *link);
    }
    if scenario.lying_disks {
        world.let_disks_lie();
    }
}

const MASTER: &str = "smtp inet n - y - - smtpd\nsmtp unix - - y - - smtp\nrelay unix - - y - - smtp\n\
    lmtp unix - - y - - lmtp\nerror unix - - y - - error\nretry unix - - y - - error\n\
    discard unix - - y - - discard\ncleanup unix n - y - 0 cleanup\nrewrite unix - - y - - trivial-rewrite\n\
    bounce unix - - y - 0 bounce\nqmgr unix n - n 300 1 qmgr\n";

fn site(number: usize, plan: &HostPlan, main: &[String]) -> Site {
    let name = format!("host{number}.sim");
    let node = NodeId(u16::try_from(number).unwrap_or(0));
    let made = Site::new(&name, address(2, number), node, &main.join("\n"), MASTER);
    let mut site = made.unwrap_or_else(|wrong| panic!("the scenario's configuration is wrong: {wrong:?}"));
    // Smaller than the parameter allows: more segments, more compaction, more to go wrong.
    site.queue =
        queue::Params { segment_size: plan.segment, reserve: plan.segment, ..queue::Params::default() };
    site
}

/// Faults end, but for those that last; everybody who can is on best behaviour.
fn heal(world: &mut World<Inhabitant>, scenario: &Scenario) {
    let now = world.fabric.kernel.now();
    world.plan(now, Fault::Heal);
    let hosts = scenario.host_nodes();
    for &host in &hosts {
        for fault in [
            Fault::Disarm(host),
            Fault::Moods(host, crate::disk::Moods::default()),
            Fault::Capacity(host, AMPLE),
            Fault::Tell(host, Word::Tables(false)),
        ] {
            world.plan(now, fault);
        }
        if world.fabric.ledger.has_rotted(host) {
            // What can not be read stays so until a restart has set it aside.
            world.plan(now, Fault::Crash(host, false));
        }
        // Also what a damaged record has put on hold again.
        world.plan(now, Fault::Tell(host, Word::Release));
        if scenario.flush {
            world.plan(now, Fault::Tell(host, Word::Flush));
        }
    }
    for node in (0..scenario.machines()).map(NodeId) {
        let lasts = |kind| scenario.lasting.contains(&kind);
        if hosts.contains(&node) || lasts(Lasting::Refuses(node)) {
            continue;
        }
        let persists = lasts(Lasting::Manners(node)) || lasts(Lasting::Humour(node));
        world.plan(now, Fault::Tell(node, if persists { Word::Persist } else { Word::Behave }));
    }
    if !scenario.lasting.is_empty() {
        let stale = if scenario.zones.changes.is_empty() { Duration::ZERO } else { BELIEVED };
        world.fabric.ledger.reachable(scenario.reachable(), now.after(stale));
    }
    last(world, scenario);
}

/// What stays broken.
fn last(world: &mut World<Inhabitant>, scenario: &Scenario) {
    let now = world.fabric.kernel.now();
    let hosts = scenario.host_nodes();
    for lasting in &scenario.lasting {
        match *lasting {
            Lasting::Off(node) => {
                if hosts.contains(&node) {
                    world.fabric.ledger.off(node);
                }
                world.plan(now, Fault::Off(node));
            }
            Lasting::Refuses(node) => world.plan(now, Fault::Tell(node, Word::Refuse)),
            Lasting::Unreachable(node) => {
                for &host in &hosts {
                    world.plan(now, Fault::Sever(host, node));
                    world.plan(now, Fault::Sever(node, host));
                }
            }
            Lasting::Silent(from, to) => world.plan(now, Fault::Sever(from, to)),
            Lasting::Path => world.plan(now, Fault::Usual(scenario.usual)),
            // They were not told to behave.
            Lasting::Manners(_) | Lasting::Humour(_) => {}
        }
    }
}
