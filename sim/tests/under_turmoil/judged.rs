//! Rules that are broken on purpose: the oracle notices each that it judges here.
//!
//! Where no daemon of ours breaks a rule, the oracle is told that it has promised more than it has.

use crate::world::{
    CLIENT, LIMIT, MTA, SINK, SMTP, Trap, daemon, daemon_beside, lose_power, names, server, world,
};
use postrider_sim::env::Belongings;
use postrider_sim::env::peers::{Manner, Names, Sink, insist, until};
use postrider_sim::env::trace::Tracing;
use std::sync::Arc;
use std::time::Duration;
use turmoil::Sim;

/// What the oracle says.
fn broken(tracing: &Tracing) -> Vec<String> {
    tracing.judge().iter().map(ToString::to_string).collect()
}

/// A world with a server, and a daemon of which the oracle believes that it has these lines.
fn told(seed: u64, lines: &'static str, sink: &Sink) -> Sim<'static> {
    let mut sim = world(seed);
    let trap = Trap { told: Some(lines), ..Trap::default() };
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon_beside(&mut sim, MTA, seed, "", &Belongings::default(), None, &trap);
    server(&mut sim, SINK, sink);
    sim
}

/// A client that submits a message each time that it has waited so long, and then waits until the sink has them all.
fn client(sim: &mut Sim<'_>, pauses: &'static [u64], sink: &Sink) {
    let sink = sink.clone();
    sim.client(CLIENT, async move {
        for (number, pause) in pauses.iter().enumerate() {
            tokio::time::sleep(Duration::from_secs(*pause)).await;
            insist(SMTP, &["bob@there.test"], &number.to_string(), 3).await;
        }
        until(LIMIT, || (0..pauses.len()).all(|number| sink.copies(&number.to_string()) > 0)).await;
        Ok(())
    });
}

#[test]
fn a_server_that_forgets_what_it_took_is_noticed_by_the_oracle() {
    let tracing = Tracing::start();
    let mut sim = world(9);
    let sink = Sink::scripted(|verb, _| if verb == "." { Manner::Forget } else { Manner::Usual });
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon(&mut sim, MTA, 9, "", &Belongings::default());
    server(&mut sim, SINK, &sink);
    let watched = tracing.trace();
    sim.client(CLIENT, async move {
        insist(SMTP, &["bob@there.test"], "forgotten", 3).await;
        until(LIMIT, || watched.count("status=sent") > 0).await;
        Ok(())
    });
    sim.run().expect("the daemon believes it");
    assert_eq!(
        broken(&tracing),
        ["letter 0 for bob@there.test is LOST: promised, and neither delivered nor reported"]
    );
}

#[test]
fn mail_in_the_clear_from_a_daemon_that_has_to_encrypt_is_noticed_by_the_oracle() {
    let tracing = Tracing::start();
    let sink = Sink::default();
    let mut sim = told(20, "smtp_tls_security_level = encrypt", &sink);
    client(&mut sim, &[0], &sink);
    sim.run().expect("it is delivered");
    assert_eq!(broken(&tracing), ["mail came in the clear from a host that has to encrypt"]);
}

#[test]
fn mail_in_the_clear_between_two_daemons_is_noticed_by_the_oracle() {
    let tracing = Tracing::start();
    let mut sim = world(21);
    let (trap, belongings) =
        (Trap { told: Some("smtp_tls_security_level = encrypt"), ..Trap::default() }, Belongings::default());
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon_beside(&mut sim, MTA, 21, "", &Belongings::default(), None, &trap);
    daemon(&mut sim, SINK, 21, "myhostname = mx.there.test\nmydestination = there.test\n", &belongings);
    let ledger = Arc::clone(&belongings.ledger);
    sim.client(CLIENT, async move {
        insist(SMTP, &["bob@there.test"], "open", 3).await;
        until(LIMIT, || !ledger.paths().is_empty()).await;
        Ok(())
    });
    sim.run().expect("it is delivered");
    assert_eq!(broken(&tracing), ["mail came in the clear from a host that has to encrypt"]);
}

#[test]
fn a_daemon_that_tries_again_too_soon_is_noticed_by_the_oracle() {
    let tracing = Tracing::start();
    let sink = Sink::scripted(|verb, before| match (verb, before) {
        ("RCPT", 0) => Manner::Say("450 4.2.1 not now\r\n"),
        _ => Manner::Usual,
    });
    let mut sim = told(22, "minimal_backoff_time = 100s", &sink);
    client(&mut sim, &[0], &sink);
    sim.run().expect("it is delivered");
    let broken = broken(&tracing);
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert!(broken[0].contains("bob@there.test was put off and tried again after"), "{broken:?}");
}

#[test]
fn more_attempts_at_once_than_a_destination_may_have_are_noticed_by_the_oracle() {
    let tracing = Tracing::start();
    let sink = Sink::default();
    let mut sim = told(23, "default_destination_concurrency_limit = 1", &sink);
    // Nothing leaves until all three are there.
    sim.hold(MTA, SINK);
    client(&mut sim, &[0, 0, 0], &sink);
    while tracing.trace().count("(queue active)") < 3 {
        _ = sim.step().expect("nobody fails");
    }
    sim.release(MTA, SINK);
    sim.run().expect("all are delivered");
    // How many of the three meet follows from how long each octet is on its way.
    let broken = broken(&tracing);
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert!(broken[0].ends_with(" attempts at once for there.test, not 1"), "{broken:?}");
}

#[test]
fn names_that_are_used_past_their_time_are_noticed_by_the_oracle() {
    let tracing = Tracing::start();
    let mut sim = world(24);
    let sink = Sink::default();
    names(&mut sim, Names::default().domain("there.test", SINK).claiming(Duration::ZERO));
    daemon(&mut sim, MTA, 24, "", &Belongings::default());
    server(&mut sim, SINK, &sink);
    client(&mut sim, &[0, 100], &sink);
    sim.run().expect("both are delivered");
    let broken = broken(&tracing);
    let late =
        |name: &str| broken.iter().filter(|text| text.starts_with(&format!("{name} was used "))).count();
    assert_eq!((broken.len(), late("there.test"), late("mx.there.test")), (2, 1, 1), "{broken:?}");
}

#[test]
fn queue_ids_that_begin_anew_are_noticed_by_the_oracle() {
    let tracing = Tracing::start();
    let mut sim = world(25);
    let (sink, trap) = (Sink::default(), Trap { forgets: true, ..Trap::default() });
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon_beside(&mut sim, MTA, 25, "", &Belongings::default(), None, &trap);
    server(&mut sim, SINK, &sink);
    client(&mut sim, &[5, 5], &sink);
    while tracing.trace().count("status=sent") == 0 {
        _ = sim.step().expect("nobody fails");
    }
    // Its second life takes mail at an earlier time of its own than the first one did.
    for _ in 0..700 {
        _ = sim.step().expect("nobody fails");
    }
    lose_power(&tracing, &mut sim, 10);
    sim.run().expect("both are delivered");
    let broken = broken(&tracing);
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert!(broken[0].starts_with("machine 2 gives queue id "), "{broken:?}");
    assert!(broken[0].ends_with(" before it started"), "{broken:?}");
}
