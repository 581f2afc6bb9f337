//! Peers in a world without a relay.

use super::*;
use crate::network::Cutting;
use crate::peers::{Client, Habits, Manners, Plan, Server};
use postrider_core::time::Duration;
use std::net::SocketAddr;

enum Peer {
    Server(Box<Server>),
    Client(Box<Client>),
}

impl OneOf for Peer {
    fn actor(&self) -> &dyn Actor {
        match self {
            Self::Server(server) => server.as_ref(),
            Self::Client(client) => client.as_ref(),
        }
    }

    fn actor_mut(&mut self) -> &mut dyn Actor {
        match self {
            Self::Server(server) => server.as_mut(),
            Self::Client(client) => client.as_mut(),
        }
    }
}

/// Clients that speak to a server without a relay between them: the peers must agree with each other first.
fn peers_alone(seed: u64, manners: Manners, habits: Habits) -> World<Peer> {
    peers_told(seed, (manners, habits), None)
}

/// The server is told something at the very first.
fn peers_told(seed: u64, (manners, habits): (Manners, Habits), word: Option<Word>) -> World<Peer> {
    let mut world = World::new(seed, false);
    world.fabric.network.cutting = Cutting::Pieces(90);
    world.fabric.network.usual.loss = 20;
    let server = IpAddr::from([192, 0, 2, 1]);
    world.add(server, None, Peer::Server(Box::new(Server::new(manners))));
    for number in 0..3u8 {
        let plan = |place: u64| Plan {
            wait: 1_000,
            sender: "s@a.sim".into(),
            recipients: ["u", "bad", "grey"].map(|user| format!("{user}-{number}-{place}@x.sim")).into(),
            size: 40 * place as usize,
        };
        let client = Client::new(SocketAddr::new(server, 25), (0..30).map(plan).collect(), habits);
        world.add(IpAddr::from([192, 0, 2, 10 + number]), None, Peer::Client(Box::new(client)));
    }
    if let Some(word) = word {
        world.plan(Instant::default(), Fault::Tell(NodeId(0), word));
    }
    let end = Instant(Duration::from_secs(100_000).as_nanos() as u64);
    assert!(world.run(end, 1_000_000));
    world.fabric.ledger.close();
    world
}

#[test]
fn peers_understand_each_other() {
    for pipelines in [false, true] {
        let habits = Habits { pipelines, dithers: 200, ..Habits::default() };
        let world = peers_alone(1, Manners::default(), habits);
        assert_eq!(world.fabric.ledger.violations, []);
        assert_eq!(world.fabric.ledger.counts(), (90, 90));
        assert_eq!(world.pending(), None);
    }
}

#[test]
fn peers_at_their_worst_keep_their_own_books_right() {
    let manners =
        Manners { hangs_up: 30, soft: 50, loses_reply: 100, rude: 100, sleeps: 5, ..Manners::default() };
    let habits = Habits {
        pipelines: true,
        hangs_up: 10,
        vanishes: 50,
        dithers: 50,
        half_closes: 50,
        ..Habits::default()
    };
    for seed in 0..20 {
        let world = peers_alone(seed, manners, habits);
        assert_eq!(world.fabric.ledger.violations, [], "seed {seed}");
        assert_eq!(world.pending(), None, "seed {seed}");
    }
}

#[test]
fn what_drips_is_understood_and_counts() {
    let manners = Manners { drips: 300, ..Manners::default() };
    for pipelines in [false, true] {
        let habits = Habits { pipelines, drips: 300, ..Habits::default() };
        let world = peers_alone(1, manners, habits);
        assert_eq!(world.fabric.ledger.violations, []);
        assert_eq!(world.fabric.ledger.counts(), (90, 90));
        assert!(world.fabric.fired.count(Class::DripServer) > 100);
        assert!(world.fabric.fired.count(Class::DripClient) > 100);
        assert_eq!(world.fabric.fired.count(Class::Drip), 0, "no line is slow");
    }
}

#[test]
fn a_server_hangs_up_on_who_is_idle_with_or_without_a_word() {
    for (idle_says, class) in [(true, Class::IdleWord), (false, Class::IdleClose)] {
        // Letters are a second apart.
        let manners = Manners { idle: 400, idle_says, ..Manners::default() };
        let world = peers_alone(1, manners, Habits::default());
        assert_eq!(world.fabric.ledger.violations, []);
        assert!(world.fabric.fired.count(class) > 80, "{class:?}");
        let patient = Manners { idle: 100_000, idle_says, ..manners };
        let world = peers_alone(1, patient, Habits::default());
        assert_eq!(world.fabric.fired.count(class), 0, "{class:?}");
        assert_eq!(world.fabric.ledger.counts(), (90, 90));
    }
}

#[test]
fn each_stage_at_which_a_server_hangs_up_counts_on_its_own() {
    let manners = Manners { hangs_up_at_quit: 1_000, ..Manners::default() };
    let world = peers_alone(1, manners, Habits::default());
    assert_eq!(world.fabric.ledger.counts(), (90, 90));
    assert_eq!(world.fabric.fired.count(Class::CloseQuit), 3, "each client says it once");
    assert_eq!(world.fabric.fired.count(Class::CloseMail), 0);
}

#[test]
fn who_has_sent_its_end_says_nothing_more_and_its_books_are_right() {
    let manners = Manners { half_closes_early: 30, ..Manners::default() };
    let habits = Habits { half_closes_early: 30, ..Habits::default() };
    for pipelines in [false, true] {
        let world = peers_alone(1, manners, Habits { pipelines, ..habits });
        assert_eq!(world.fabric.ledger.violations, []);
        assert_eq!(world.pending(), None);
        let halves = world.fabric.network.fired.count(Class::HalfClose);
        assert!(halves > 10, "{halves}");
        let (letters, promised) = world.fabric.ledger.counts();
        assert!(promised < letters && promised > letters / 3, "{promised} of {letters}");
    }
}

#[test]
fn bad_manners_outlast_the_healing_where_they_are_told_to_and_count_as_such() {
    let lasting = |word| {
        let manners = Manners { soft: 300, ..Manners::default() };
        let world = peers_told(1, (manners, Habits::default()), Some(word));
        let count = |class| world.fabric.fired.count(class);
        (count(Class::Soft) > 0, count(Class::LastingManners))
    };
    assert_eq!(lasting(Word::Behave), (false, 0));
    let (soft, lasted) = lasting(Word::Persist);
    assert!(soft && lasted > 0);
}

#[test]
fn one_seed_is_one_history() {
    let hash = |seed| peers_alone(seed, Manners::default(), Habits::default()).fabric.kernel.trace.hash();
    assert_eq!(hash(5), hash(5));
    assert_ne!(hash(5), hash(6));
}
