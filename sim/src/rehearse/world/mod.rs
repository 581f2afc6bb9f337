//! The world of a rehearsal: the operator's host, everybody that its mail goes to, and the book.

mod book;
mod outages;
mod policy;
mod provider;
mod registry;
mod sender;
mod workload;

pub use book::{Book, Group, Point, TRIES_MAX};

use super::scenario::{How, Scenario};
use super::setup::{ELSEWHERE, HOST, NAMES, Setup};
use crate::host::Host;
use crate::names::Entry;
use crate::network::{Link, NodeId};
use crate::world::{Actor, OneOf, World};
use policy::Policy;
use postrider_core::prng::Prng;
use postrider_core::time::{Duration, Instant};
use provider::Provider;
use registry::{Names, Registry};
use sender::Sender;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use workload::Workload;

/// Pieces of time in which the workload is told.
const PIECES: u64 = 240;
/// Events after which a rehearsal is broken off.
const EVENTS_MAX: u64 = 2_000_000_000;
/// Octets of the host's disk.
const DISK: u64 = 1 << 40;

/// Everybody.
#[derive(Debug)]
enum Person {
    Names(Box<Registry>),
    Host(Box<Host>),
    Sender(Box<Sender>),
    Provider(Box<Provider>),
}

impl OneOf for Person {
    fn actor(&self) -> &dyn Actor {
        match self {
            Self::Names(names) => names.as_ref(),
            Self::Host(host) => host.as_ref(),
            Self::Sender(sender) => sender.as_ref(),
            Self::Provider(provider) => provider.as_ref(),
        }
    }

    fn actor_mut(&mut self) -> &mut dyn Actor {
        match self {
            Self::Names(names) => names.as_mut(),
            Self::Host(host) => host.as_mut(),
            Self::Sender(sender) => sender.as_mut(),
            Self::Provider(provider) => provider.as_mut(),
        }
    }
}

/// The host is the second machine: name server, host, clients, elsewhere, providers.
const HOST_NODE: NodeId = NodeId(1);
const NAMES_NODE: NodeId = NodeId(0);
const SENDER_NODE: NodeId = NodeId(2);
const ELSEWHERE_NODE: NodeId = NodeId(3);

/// One history of a rehearsal.
#[derive(Debug)]
pub struct History {
    /// What was written down.
    pub book: Book,
    /// The time of one sample.
    pub piece: Duration,
    /// Events.
    pub events: u64,
    /// Simulated time.
    pub time: Duration,
    /// Messages in the queue at the end.
    pub left: usize,
    /// It was broken off.
    pub endless: bool,
    /// Hash of all that happened.
    pub trace: u64,
}

/// Plays a scenario on a configuration, by one seed.
#[must_use]
pub fn play(setup: &Setup, scenario: &Scenario, seed: u64) -> History {
    let book = Rc::new(RefCell::new(Book::new(scenario)));
    let mut world = World::new(seed, false);
    world.fabric.logged = Some(Vec::new());
    populate(&mut world, setup, scenario, &book);
    let workload = scenario.duration.0.0;
    let piece = Duration::from_millis((workload.as_millis() as u64 / PIECES).max(1_000));
    let end = Instant::default().after(workload).after(scenario.settle.0.0);
    let mut endless = false;
    while world.fabric.kernel.now() < end && !endless {
        let step = world.fabric.kernel.now().after(piece).min(end);
        endless = !run(&mut world, step, &book);
        book.borrow_mut().sample();
        if !busy(&world) {
            break;
        }
    }
    let left = queue_length(&world);
    let (events, now, trace) =
        (world.fabric.kernel.taken, world.fabric.kernel.now(), world.fabric.kernel.trace.hash());
    drop(world);
    let book = Rc::try_unwrap(book).map(RefCell::into_inner).unwrap_or_default();
    History { book, piece, events, time: now.since(Instant::default()), left, endless, trace }
}

/// Runs up to a moment. What is logged is written down every simulated minute, for its memory.
fn run(world: &mut World<Person>, end: Instant, book: &Rc<RefCell<Book>>) -> bool {
    while world.fabric.kernel.now() < end {
        let step = world.fabric.kernel.now().after(Duration::from_secs(60)).min(end);
        let reached = world.run(step, EVENTS_MAX) && world.fabric.kernel.taken < EVENTS_MAX;
        let mut book = book.borrow_mut();
        if let Some(logged) = &mut world.fabric.logged {
            for (at, event) in logged.drain(..) {
                book.logged(at, &event);
            }
        }
        // The swarm's oracle knows nothing of this world, and is not asked.
        world.fabric.ledger.violations.clear();
        if !reached {
            return false;
        }
    }
    true
}

fn busy(world: &World<Person>) -> bool {
    let sends = matches!(world.actor(SENDER_NODE), Some(Person::Sender(sender)) if sender.unfinished());
    sends || queue_length(world) > 0
}

fn queue_length(world: &World<Person>) -> usize {
    match world.actor(HOST_NODE) {
        Some(Person::Host(host)) => host.messages().unwrap_or(0),
        _ => 0,
    }
}

fn populate(world: &mut World<Person>, setup: &Setup, scenario: &Scenario, book: &Rc<RefCell<Book>>) {
    let mut prng = Prng::new(world.fabric.prng.next_u64());
    let mut names = Names::default();
    let ttl = u32::try_from(scenario.dns.ttl.0.0.as_secs()).unwrap_or(u32::MAX);
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    names.add("localhost", ttl, Entry::Address(localhost), None);
    names.add("1.0.0.127.in-addr.arpa", ttl, Entry::Ptr("localhost".to_owned()), None);
    names.add(&setup.name.to_ascii_lowercase(), ttl, Entry::Address(HOST), None);
    let mut providers = Vec::new();
    for (group, destination) in scenario.destinations.iter().enumerate() {
        let group = group as u16;
        let domains = destination.all_domains();
        let owners = if destination.shared { &domains[..1] } else { &domains[..] };
        for owner in owners {
            let policy = Rc::new(RefCell::new(Policy::new(destination.clone(), group)));
            let mut hosts = Vec::new();
            for (layer, exchanger) in destination.mx.iter().enumerate() {
                for number in 0..exchanger.hosts {
                    let host = format!("mx{}-{number}.{owner}", layer + 1);
                    let address = address(providers.len());
                    names.add(&host, ttl, Entry::Address(address), Some(group));
                    hosts.push((exchanger.preference, host));
                    let server =
                        Provider::new(&policy, book, (exchanger.preference, exchanger.reply), HOST_NODE);
                    providers.push((address, server, link(destination)));
                }
            }
            let members = if destination.shared { &domains[..] } else { std::slice::from_ref(owner) };
            for domain in members {
                for (preference, host) in &hosts {
                    names.add(domain, ttl, Entry::Mx(*preference, host.clone()), Some(group));
                }
            }
        }
    }
    let registry = Registry::new(names, scenario, Rc::clone(book));
    world.add(NAMES, None, Person::Names(Box::new(registry)));
    world.add(HOST, Some(DISK), Person::Host(Box::new(Host::new(std::sync::Arc::clone(&setup.site)))));
    let workload = Workload::new(scenario, prng.next_u64());
    let from = scenario.workload.sender.clone().unwrap_or_else(|| format!("rehearsal@{}", setup.origin));
    let sender = Sender::new(workload, Rc::clone(book), SocketAddr::new(HOST, 25), from);
    world.add(localhost, None, Person::Sender(Box::new(sender)));
    let elsewhere = elsewhere(scenario, book);
    world.add(ELSEWHERE, None, Person::Provider(Box::new(elsewhere)));
    links(world, scenario);
    for (address, provider, link) in providers {
        let node = world.add(address, None, Person::Provider(Box::new(provider)));
        world.fabric.network.link(HOST_NODE, node, link);
        world.fabric.network.link(node, HOST_NODE, link);
    }
    world.fabric.network.elsewhere = Some(ELSEWHERE_NODE);
}

fn links(world: &mut World<Person>, scenario: &Scenario) {
    let way = |micros: (u64, u64)| Link { latency: micros, loss: 0, rate: 0 };
    let network = &mut world.fabric.network;
    network.usual = way((5_000, 20_000));
    let half = |span: super::scenario::Span| span.0.as_micros() as u64 / 2;
    let names = way((half(scenario.dns.answer.least), half(scenario.dns.answer.most)));
    for (one, other, link) in [(HOST_NODE, NAMES_NODE, names), (HOST_NODE, SENDER_NODE, way((20, 60)))] {
        network.link(one, other, link);
        network.link(other, one, link);
    }
}

fn link(destination: &super::scenario::Destination) -> Link {
    let half = |span: super::scenario::Span| span.0.as_micros() as u64 / 2;
    Link {
        latency: (half(destination.rtt.least), half(destination.rtt.most)),
        loss: (destination.loss.0.0 * 1_000.0).round() as u16,
        rate: 0,
    }
}

fn address(number: usize) -> IpAddr {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 64, 0, 0)).wrapping_add(number)))
}

/// A server that takes everything.
fn elsewhere(scenario: &Scenario, book: &Rc<RefCell<Book>>) -> Provider {
    let text = "name = \"elsewhere\"\ndomains = [\"elsewhere.rehearsal\"]\nshare = 0.0\n";
    let destination = toml::from_str(text).expect("a destination without anything special");
    let group = scenario.destinations.len() as u16;
    let policy = Rc::new(RefCell::new(Policy::new(destination, group)));
    Provider::new(&policy, book, (10, None), HOST_NODE)
}

/// Whether a scenario has names that are down at some time, for the report.
#[must_use]
pub fn has_dns_outage(scenario: &Scenario) -> bool {
    let any = |outages: &[super::scenario::Outage]| outages.iter().any(|one| one.how == How::Dns);
    !scenario.dns.outage.is_empty() || scenario.destinations.iter().any(|one| any(&one.outage))
}
