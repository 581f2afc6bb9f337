//! Tasks that panic: what they held is free again, and what they did is done by another one.

use crate::world::{CLIENT, LIMIT, MTA, SINK, SMTP, Trap, daemon_beside, names, server, world};
use postrider_sim::env::Belongings;
use postrider_sim::env::peers::{Manner, Names, Sink, insist, until};
use postrider_sim::env::trace::Tracing;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use turmoil::Sim;

/// A world with one daemon that will panic, and whoever takes its mail.
fn trapped(lines: &str, trap: &Trap, sink: &Sink, belongings: &Belongings) -> Sim<'static> {
    let mut sim = world(8);
    names(&mut sim, Names::default().domain("there.test", SINK));
    daemon_beside(&mut sim, MTA, 8, lines, belongings, None, trap);
    server(&mut sim, SINK, sink);
    sim
}

#[test]
fn a_session_that_panics_gives_its_seat_back() {
    let tracing = Tracing::start();
    let (trap, sink) = (Trap::default(), Sink::default());
    let lines = "queue_minfree = 1\n\
                 smtpd_client_connection_count_limit = 1\n\
                 smtpd_client_event_limit_exceptions =\n";
    let mut sim = trapped(lines, &trap, &sink, &Belongings::default());
    trap.space.store(true, Ordering::Relaxed);
    let watched = sink.clone();
    sim.client(CLIENT, async move {
        // The first connection ends in the middle; were it still counted, every other one would be turned away.
        insist(SMTP, &["bob@there.test"], "again", 3).await;
        until(LIMIT, || watched.copies("again") > 0).await;
        Ok(())
    });
    sim.run().expect("it is delivered");
    assert!(!trap.space.load(Ordering::Relaxed));
    tracing.one_panic_was_meant();
    assert_eq!(tracing.trace().count("the session of a client at 10.0.0.4 has panicked"), 1);
}

#[test]
fn an_attempt_that_panics_is_a_deferral() {
    let tracing = Tracing::start();
    let (trap, sink) = (Trap::default(), Sink::default());
    let mut sim = trapped("", &trap, &sink, &Belongings::default());
    let (watched, armed) = (sink.clone(), trap.clone());
    sim.client(CLIENT, async move {
        armed.reads.store(1, Ordering::Relaxed);
        insist(SMTP, &["bob@there.test"], "once", 3).await;
        until(LIMIT, || watched.copies("once") > 0).await;
        Ok(())
    });
    sim.run().expect("it is delivered");
    assert_eq!(trap.reads.load(Ordering::Relaxed), 0);
    tracing.one_panic_was_meant();
    let trace = tracing.trace();
    assert_eq!(trace.count("internal error: a delivery has panicked; it is tried again later"), 1);
    assert_eq!(trace.count("status=deferred (internal error: the delivery agent gave no outcome)"), 1);
    assert_eq!(sink.copies("once"), 1);
}

#[test]
fn who_has_the_message_does_not_get_it_again_when_the_next_recipient_s_delivery_panics() {
    let tracing = Tracing::start();
    let (trap, belongings) = (Trap::default(), Belongings::default());
    let mut sim = trapped("virtual_destination_recipient_limit = 9\n", &trap, &Sink::default(), &belongings);
    let (ledger, armed) = (Arc::clone(&belongings.ledger), trap.clone());
    let watched = Arc::clone(&ledger);
    sim.client(CLIENT, async move {
        // The header, the first recipient, the second.
        armed.reads.store(3, Ordering::Relaxed);
        insist(SMTP, &["bob@here.test", "carol@here.test"], "both", 3).await;
        until(LIMIT, || watched.paths().len() == 2).await;
        Ok(())
    });
    sim.run().expect("both have it");
    assert_eq!(trap.reads.load(Ordering::Relaxed), 0);
    tracing.one_panic_was_meant();
    for path in ledger.paths() {
        assert_eq!(ledger.mailbox(&path).len(), 1, "{path}");
    }
    assert_eq!(tracing.trace().count("status=deferred (internal error"), 1);
}

#[test]
fn a_report_whose_task_panics_is_made_later() {
    let tracing = Tracing::start();
    let (trap, belongings) = (Trap::default(), Belongings::default());
    let sink = Sink::scripted(|verb, _| match verb {
        "RCPT" => Manner::Say("550 5.1.1 nobody\r\n"),
        _ => Manner::Usual,
    });
    let mut sim = trapped("", &trap, &sink, &belongings);
    let (ledger, armed) = (Arc::clone(&belongings.ledger), trap.clone());
    sim.client(CLIENT, async move {
        // Nothing of the content is read before the report that returns it.
        armed.reads.store(1, Ordering::Relaxed);
        insist(SMTP, &["nobody@there.test"], "refused", 3).await;
        until(LIMIT, || ledger.paths().iter().any(|path| path.contains("alice"))).await;
        Ok(())
    });
    sim.run().expect("alice is told");
    assert_eq!(trap.reads.load(Ordering::Relaxed), 0);
    tracing.one_panic_was_meant();
    assert_eq!(tracing.trace().count("internal error: making a report has panicked"), 1);
}

#[test]
fn the_daemon_knows_when_a_task_has_ended_that_nobody_can_do_without() {
    let tracing = Tracing::start();
    let (trap, sink) = (Trap::default(), Sink::default());
    let mut sim = trapped("", &trap, &sink, &Belongings::default());
    let armed = trap.clone();
    sim.client(CLIENT, async move {
        // It is up: from now on a sync is that of a message.
        insist(SMTP, &["bob@there.test"], "first", 3).await;
        until(LIMIT, || sink.copies("first") > 0).await;
        armed.sync.store(true, Ordering::Relaxed);
        tokio::spawn(insist(SMTP, &["bob@there.test"], "never taken", 3));
        until(LIMIT, || !armed.fallen.lock().expect("no test has failed").is_empty()).await;
        Ok(())
    });
    sim.run().expect("it is noticed");
    tracing.one_panic_was_meant();
    assert_eq!(*trap.fallen.lock().expect("no test has failed"), ["spool"]);
}
