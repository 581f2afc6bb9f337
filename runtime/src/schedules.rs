//! What threads share, in the orders in which shuttle lets them run (`--cfg shuttle`, docs/VERIFICATION.md).
//!
//! Each test runs under random schedules and under PCT, which finds orders that need few, but well placed, changes of thread. A
//! schedule that fails is printed, and `shuttle::replay` runs it again.

use crate::guard::Charge;
use crate::observe::Log;
use crate::outbound::{Pool, Unwritten};
use crate::record::{Frame, Shelf};
use crate::seats::Seats;
use crate::spool::Gate;
use crate::staging::Budget;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, thread};
use postrider_core::event::Event;
use postrider_core::mail::AttemptId;
use postrider_core::outbound::{Config, Purpose};
use postrider_core::session::clients::Clients;
use postrider_core::time::Instant;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Schedules of each kind.
const SCHEDULES: usize = 2_000;
/// Changes of thread that PCT places.
const DEPTH: usize = 3;

fn explore(test: impl Fn() + Send + Sync + 'static) {
    let test = std::sync::Arc::new(test);
    let again = std::sync::Arc::clone(&test);
    shuttle::check_random(move || test(), SCHEDULES);
    shuttle::check_pct(move || again(), SCHEDULES, DEPTH);
}

fn event(number: usize) -> Event {
    Event::Note { program: "test", text: number.to_string() }
}

#[test]
fn the_log_loses_no_line_and_a_flush_waits_for_every_line_before_it() {
    explore(|| {
        let log = Log::default();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = {
            let (log, lines) = (log.clone(), Arc::clone(&lines));
            thread::spawn(move || {
                let mut events = Vec::new();
                // As many as are put below; production writes for ever.
                while lines.lock().expect("no panic").len() < 4 {
                    log.gather(&mut events);
                    lines.lock().expect("no panic").extend(events.drain(..).map(|said| said.event));
                    log.written();
                }
            })
        };
        let others: Vec<_> = (0..2)
            .map(|number| {
                let log = log.clone();
                thread::spawn(move || log.put_of(None, event(number)))
            })
            .collect();
        log.put_of(None, event(2));
        // Here its time may be over at any moment.
        let flushed = log.flush();
        assert!(!flushed || lines.lock().expect("no panic").contains(&event(2)), "flushed and not written");
        log.put_of(None, event(3));
        others.into_iter().for_each(|other| other.join().expect("no panic"));
        writer.join().expect("no panic");
        let mut lines = lines.lock().expect("no panic").clone();
        lines.sort_by_key(Event::text);
        assert_eq!(lines, (0..4).map(event).collect::<Vec<_>>());
    });
}

#[test]
fn a_recording_has_every_frame_or_says_that_it_lacks_it() {
    explore(|| {
        let shelf = Arc::new(Shelf::default());
        let taken = Arc::new(AtomicUsize::new(0));
        let putters: Vec<_> = (0..2)
            .map(|_| {
                let (shelf, taken) = (Arc::clone(&shelf), Arc::clone(&taken));
                thread::spawn(move || {
                    for _ in 0..2 {
                        let room = shelf.put(Frame::Other(vec![0; 9]));
                        taken.fetch_add(usize::from(room), Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let writer = {
            let shelf = Arc::clone(&shelf);
            thread::spawn(move || {
                let (mut frames, mut lost) = (0, 0);
                loop {
                    let batch = shelf.take();
                    frames += batch.frames.len();
                    lost += batch.lost;
                    if batch.last {
                        shelf.ended();
                        return (frames, lost);
                    }
                }
            })
        };
        putters.into_iter().for_each(|putter| putter.join().expect("no panic"));
        shelf.finish(Duration::from_secs(1));
        let (frames, lost) = writer.join().expect("no panic");
        assert_eq!(frames, taken.load(Ordering::SeqCst), "what was taken is written");
        assert_eq!(frames as u64 + lost, 4, "what was not is counted");
    });
}

#[test]
fn the_spool_wakes_up_when_enough_messages_have_come() {
    explore(|| {
        let gate = Arc::new(Gate::default());
        let bringers: Vec<_> = (0..3)
            .map(|_| {
                let gate = Arc::clone(&gate);
                thread::spawn(move || gate.came())
            })
            .collect();
        // A lost wake-up is a deadlock, which shuttle finds.
        shuttle::future::block_on(gate.come(3));
        bringers.into_iter().for_each(|bringer| bringer.join().expect("no panic"));
    });
}

#[test]
fn seats_are_given_back_and_no_client_has_more_than_its_limit() {
    explore(|| {
        let seats = Arc::new(Seats::new(Clients::new(2, "here.test")));
        let seated = Arc::new(AtomicUsize::new(0));
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let sessions: Vec<_> = (0..3)
            .map(|_| {
                let (seats, seated) = (Arc::clone(&seats), Arc::clone(&seated));
                thread::spawn(move || {
                    let service = seats.service("smtp/inet");
                    let mut seat = seats.take("smtp/inet", &service, None, here);
                    if seat.count_in(2).is_ok() {
                        assert!(seated.fetch_add(1, Ordering::SeqCst) < 2, "one too many");
                        seated.fetch_sub(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        sessions.into_iter().for_each(|session| session.join().expect("no panic"));
        let service = seats.service("smtp/inet");
        let taken = service.lock().expect("no panic").taken();
        assert_eq!((seats.open(), taken), (0, 0));
        let take = || seats.take("smtp/inet", &service, None, here);
        let (mut first, mut second) = (take(), take());
        assert_eq!((first.count_in(2), second.count_in(2)), (Ok(()), Ok(())));
    });
}

#[test]
fn an_attempt_reaches_a_connection_or_comes_back_and_none_is_lost_between() {
    explore(|| meet(true));
}

#[test]
fn a_connection_of_before_a_reload_is_sent_away_or_leaves_and_the_attempt_comes_back() {
    explore(|| meet(false));
}

/// A connection whose time is over, and an attempt under the same configuration or another.
fn meet(same: bool) {
    let pool = Arc::new(Pool::default());
    let config = Arc::new(Config::default());
    let attempt = Box::new(crate::outbound::empty_attempt("smtp", "there.test"));
    let (transport, nexthop) = ("smtp".to_owned(), "there.test".to_owned());
    let until = Instant(1_000_000);
    let purpose = Purpose { transport, nexthop, config: Arc::clone(&config), until };
    let (name, mut incoming) = pool.park(purpose);
    let connection = {
        let pool = Arc::clone(&pool);
        // It leaves, or somebody has taken it out: then it waits to hear why.
        thread::spawn(move || !pool.leave(name))
    };
    let (manager, _heard) = tokio::sync::mpsc::unbounded_channel();
    let charge = Charge::new(&attempt, manager);
    let wanted = if same { config } else { Arc::new(Config::default()) };
    let reused = pool.reuse(Instant::default(), (attempt, charge), &wanted).is_ok();
    let waits = connection.join().expect("no panic");
    assert_eq!(reused, waits && same, "both sides agree who has the attempt");
    let heard = incoming.try_recv();
    assert_eq!(heard.is_ok(), reused);
    assert!(
        !waits || !matches!(heard, Err(tokio::sync::oneshot::error::TryRecvError::Empty)),
        "it waits for nothing"
    );
}

#[test]
fn a_connection_that_waits_for_its_outcomes_is_told_once() {
    explore(|| {
        let unwritten = Arc::new(Unwritten::default());
        let connections: Vec<_> = (1..=2)
            .map(|number| {
                let unwritten = Arc::clone(&unwritten);
                thread::spawn(move || {
                    let wait = unwritten.wait(AttemptId(number));
                    let other = Arc::clone(&unwritten);
                    let teller = thread::spawn(move || other.written(AttemptId(number)));
                    shuttle::future::block_on(wait).expect("somebody tells it");
                    teller.join().expect("no panic");
                })
            })
            .collect();
        // Of an attempt that nobody waits for nothing is kept, and nobody else is told.
        unwritten.written(AttemptId(3));
        connections.into_iter().for_each(|connection| connection.join().expect("no panic"));
    });
}

/// What these tests would be worth if shuttle found nothing.
#[test]
#[should_panic(expected = "an update was lost")]
fn an_order_that_loses_an_update_is_found() {
    explore(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let count = Arc::clone(&count);
                thread::spawn(move || count.store(count.load(Ordering::SeqCst) + 1, Ordering::SeqCst))
            })
            .collect();
        others.into_iter().for_each(|other| other.join().expect("no panic"));
        assert_eq!(count.load(Ordering::SeqCst), 2, "an update was lost");
    });
}

#[test]
fn contents_never_take_more_memory_than_their_limit_and_give_all_back() {
    explore(|| {
        let budget = Arc::new(Budget::new(10));
        let used = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let (budget, used) = (Arc::clone(&budget), Arc::clone(&used));
                thread::spawn(move || {
                    if budget.take(4) {
                        assert!(used.fetch_add(4, Ordering::SeqCst) + 4 <= 10, "over the limit");
                        used.fetch_sub(4, Ordering::SeqCst);
                        budget.give_back(4);
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().expect("no panic"));
        assert!(budget.take(10), "all of it is free again");
    });
}
