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
    let habits = Habits { pipelines: true, hangs_up: 10, vanishes: 50, dithers: 50, half_closes: 50 };
    for seed in 0..20 {
        let world = peers_alone(seed, manners, habits);
        assert_eq!(world.fabric.ledger.violations, [], "seed {seed}");
        assert_eq!(world.pending(), None, "seed {seed}");
    }
}

#[test]
fn one_seed_is_one_history() {
    let hash = |seed| peers_alone(seed, Manners::default(), Habits::default()).fabric.kernel.trace.hash();
    assert_eq!(hash(5), hash(5));
    assert_ne!(hash(5), hash(6));
}
