//! What threads share, in the orders in which shuttle lets them run (feature `shuttle`, docs/VERIFICATION.md).
//!
//! Each test runs under random schedules and under PCT, which finds orders that need few, but well placed, changes of thread. A
//! schedule that fails is printed, and `shuttle::replay` runs it again.

use crate::current::Current;
use crate::env::real::handles::Handles;
use crate::guard::Charge;
use crate::inbound::Ids;
use crate::observe::Log;
use crate::orders::Orders;
use crate::outbound::{Pool, Unwritten};
use crate::record::{Chapter, Frame, Ring, Shelf, Tape};
use crate::seats::Seats;
use crate::spool::{Gate, Recent};
use crate::staging::Budget;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, thread};
use postrider_core::event::Event;
use postrider_core::mail::{AttemptId, Order, OrderResult, QueueId, Selection};
use postrider_core::manager::Input;
use postrider_core::outbound::{Config, Purpose};
use postrider_core::queue::{File, Whereabouts};
use postrider_core::recording::Setting;
use postrider_core::session::Peer;
use postrider_core::session::clients::Clients;
use postrider_core::time::{Instant, Now, Timestamp};
use std::collections::BTreeSet;
use std::io;
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

#[test]
fn no_queue_id_is_issued_twice_whatever_the_clock_says() {
    explore(|| {
        let ids = Arc::new(Ids::new(7, QueueId::new(100, 7)));
        // Ahead, behind what was issued before the start, and never right.
        let clients: Vec<_> = [200, 50, -1]
            .map(|micros| {
                let ids = Arc::clone(&ids);
                thread::spawn(move || [(); 2].map(|()| ids.issue(Timestamp(micros))))
            })
            .into();
        let issued: Vec<_> =
            clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
        let distinct: BTreeSet<_> = issued.iter().collect();
        assert_eq!(distinct.len(), 6, "{issued:?}");
        assert!(issued.iter().all(|id| id.micros() > 100), "{issued:?}");
    });
}

#[test]
fn each_order_has_one_result_its_own_and_also_when_the_manager_ends_before_it() {
    explore(|| {
        let orders = Arc::new(Orders::default());
        let (facts, mut incoming) = tokio::sync::mpsc::unbounded_channel();
        let operators: Vec<_> = (1..=2)
            .map(|number| {
                let (orders, facts) = (Arc::clone(&orders), facts.clone());
                thread::spawn(move || {
                    let order = Order::Hold(Selection::Id(QueueId(number)));
                    // An operator who waits for ever is a deadlock, which shuttle finds.
                    let result = shuttle::future::block_on(orders.give(&facts, order));
                    match &result {
                        OrderResult::Done(count) => assert_eq!(*count, number, "the result of another order"),
                        other => assert!(matches!(other, OrderResult::Failed(_)), "{other:?}"),
                    }
                    matches!(result, OrderResult::Done(_))
                })
            })
            .collect();
        let obeyed = {
            let open = orders.until_end();
            // It obeys one, and then ends.
            let fact = shuttle::future::block_on(incoming.recv());
            let Some(Input::Order(ticket, Order::Hold(Selection::Id(id)))) = fact else { panic!("{fact:?}") };
            orders.done(ticket, OrderResult::Done(id.0));
            orders.done(ticket, OrderResult::Done(0));
            drop(open);
            drop(incoming);
            1
        };
        let done = operators.into_iter().map(|operator| operator.join().expect("no panic"));
        assert_eq!(done.filter(|done| *done).count(), obeyed);
    });
}

#[test]
fn what_is_remembered_of_new_messages_is_right_told_once_and_bounded() {
    let place = |number| Whereabouts { file: File::Segment(number), offset: 10 * number, length: number };
    explore(move || {
        let recent = Arc::new(Recent::default());
        let keeper = {
            let recent = Arc::clone(&recent);
            thread::spawn(move || (1..=3).for_each(|number| recent.put(QueueId(number), place(number))))
        };
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let recent = Arc::clone(&recent);
                thread::spawn(move || (1..=3).map(|number| recent.take(QueueId(number))).collect::<Vec<_>>())
            })
            .collect();
        keeper.join().expect("no panic");
        let told: Vec<_> = readers.into_iter().map(|reader| reader.join().expect("no panic")).collect();
        for (number, at) in (1..=3).zip(0..) {
            let places: Vec<_> = told.iter().filter_map(|told| told[at]).collect();
            assert!(places.is_empty() || places == [place(number)], "{places:?}");
        }
        assert!(recent.count() <= 2);
    });
}

#[test]
fn who_has_seen_a_new_configuration_never_sees_the_old_one_again() {
    explore(|| {
        let sites = Arc::new(Current::new(1));
        let sessions: Vec<_> = (0..2)
            .map(|_| {
                let sites = Arc::clone(&sites);
                thread::spawn(move || {
                    let first = sites.get();
                    assert!(*sites.get() >= *first);
                })
            })
            .collect();
        assert_eq!(*sites.replace(Arc::new(2)), 1);
        assert_eq!(*sites.get(), 2, "from now on all get it");
        sessions.into_iter().for_each(|session| session.join().expect("no panic"));
    });
}

#[test]
fn a_session_is_recorded_under_the_configuration_that_it_has() {
    explore(|| {
        let ring = Ring { directory: "/".into(), file_size: 1, file_count: 1, content: false };
        let tape = Arc::new(Tape::new(ring));
        let sites = Arc::new(Current::new((1_u8, tape.set(setting()))));
        let sessions: Vec<_> = (0..2)
            .map(|_| {
                let (sites, tape) = (Arc::clone(&sites), Arc::clone(&tape));
                thread::spawn(move || begin(&sites, &tape))
            })
            .collect();
        let writer = {
            let tape = Arc::clone(&tape);
            thread::spawn(move || written(&tape))
        };
        // A reload.
        let chapter = tape.set(setting());
        sites.replace(Arc::new((2, chapter)));
        let numbers: BTreeSet<_> =
            sessions.into_iter().map(|session| session.join().expect("no panic")).collect();
        assert_eq!(numbers.len(), 2, "each has a number of its own");
        tape.shelf.stop();
        let (frames, lost) = writer.join().expect("no panic");
        let mut known = 0;
        for frame in frames {
            match frame {
                Frame::Setting(_) => known += 1,
                Frame::Other(octets) => {
                    assert_eq!(octets[0], octets[1], "recorded under another configuration than its own");
                    assert!(u64::from(octets[0]) <= known + lost, "its configuration comes behind it");
                }
                Frame::State(_) => panic!("nobody puts one"),
            }
        }
    });
}

/// A configuration of which nothing matters.
fn setting() -> Setting {
    let (main_cf, master_cf, origin) = (String::new(), String::new(), None);
    let (host, doors, zone) = Default::default();
    Setting { number: 0, digest: 0, main_cf, master_cf, origin, host, doors, zone }
}

/// A session begins: its number; and on the tape which configuration it has, and as which that is known there.
fn begin(sites: &Current<(u8, Chapter)>, tape: &Tape) -> u64 {
    let site = sites.get();
    let (version, chapter) = &*site;
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let peer = Peer { address: here, port: 1, local: here };
    let opened = chapter.opened(Now::default(), "smtp/inet", false, peer);
    tape.shelf.put(Frame::Other(vec![*version, u8::try_from(opened.setting).expect("few")]));
    opened.session
}

/// All that the writer of a tape gets, and how much was lost.
fn written(tape: &Tape) -> (Vec<Frame>, u64) {
    let (mut frames, mut lost) = (Vec::new(), 0);
    loop {
        let batch = tape.shelf.take();
        frames.extend(batch.frames);
        lost += batch.lost;
        if batch.last {
            tape.shelf.ended();
            return (frames, lost);
        }
    }
}

#[test]
fn a_file_that_is_removed_while_somebody_opens_it_is_not_kept_open() {
    explore(|| {
        let file = File::Segment(1);
        let handles = Arc::new(Handles::new(4));
        let there = Arc::new(AtomicBool::new(true));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (handles, there) = (Arc::clone(&handles), Arc::clone(&there));
                thread::spawn(move || {
                    let open = || match there.load(Ordering::SeqCst) {
                        true => Ok(()),
                        false => Err(io::ErrorKind::NotFound.into()),
                    };
                    handles.open(file, open).is_ok()
                })
            })
            .collect();
        let remove = || {
            there.store(false, Ordering::SeqCst);
            Ok(())
        };
        handles.remove(file, remove).expect("it is there");
        assert!(handles.open(file, || Err(io::ErrorKind::NotFound.into())).is_err(), "still open");
        readers.into_iter().for_each(|reader| _ = reader.join().expect("no panic"));
        assert!(handles.get(file).is_none(), "its room on the disk is never free again");
    });
}
