//! Many messages: bounds, fairness, cost, and one fate for each.

use super::*;
use crate::limits::LOADS_MAX;
use crate::params::Settings;
use std::collections::BTreeSet;

#[test]
fn a_dead_destination_does_not_delay_others() {
    let mut toy = Toy::new(Params { active_limit: 20, ..params() });
    toy.manner("dead.example", Manner::Hangs);
    (1..=15).for_each(|n| toy.send(n, &["b@dead.example"]));
    toy.release("dead.example", Manner::IsDead);
    (16..=200).for_each(|n| toy.send(n, &["b@dead.example"]));
    assert_eq!(toy.started, 5, "the first window");
    toy.send(999, &["a@yes.example"]);
    assert!(!toy.disk.contains_key(&QueueId(999)));
    assert_eq!(toy.manager.active_messages(), 0);
    assert_eq!(toy.logged("(delivery temporarily suspended: connect to mx: Connection refused)"), 195);
}

#[test]
fn a_black_hole_leaves_active_places_to_others() {
    let mut toy = Toy::new(Params { active_limit: 20, ..params() });
    toy.manner("hole.example", Manner::Hangs);
    toy.manner("abyss.example", Manner::Hangs);
    for n in 0..200 {
        toy.send(1 + 2 * n, &["b@hole.example"]);
        toy.send(2 + 2 * n, &["b@abyss.example"]);
    }
    assert!(toy.manager.active_messages() < 20);
    assert_eq!(toy.logged("of 20 active queue entries"), 1);
    toy.send(999, &["a@yes.example"]);
    assert!(!toy.disk.contains_key(&QueueId(999)), "it went past 400");
    toy.release("hole.example", Manner::Takes);
    toy.release("abyss.example", Manner::Takes);
    assert!(toy.disk.is_empty(), "those set aside came without waiting: {} left", toy.disk.len());
    assert_eq!(toy.logged("(queue active)"), 401, "one line for each");
}

/// So many recipients, at a domain of their own.
fn crowd(domain: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("reader{number}@{domain}")).collect()
}

fn send_to_all(toy: &mut Toy, id: u64, crowd: &[String]) {
    toy.send(id, &crowd.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn active_mail_is_bounded_in_memory_and_not_in_number_alone() {
    let mut toy = Toy::new(Params { active_limit: 20, ..params() });
    for n in 1..=20 {
        toy.manner(&format!("d{n}.example"), Manner::Hangs);
        send_to_all(&mut toy, n, &crowd(&format!("d{n}.example"), 100));
    }
    // Each has some 40 KB of recipients, and all together have three quarters of the places.
    assert_eq!(toy.manager.active_messages(), 4);
    toy.send(999, &["a@yes.example"]);
    assert!(!toy.disk.contains_key(&QueueId(999)), "a letter goes past them");
    (1..=20).for_each(|n| toy.release(&format!("d{n}.example"), Manner::Takes));
    assert!(toy.disk.is_empty(), "{} left", toy.disk.len());
    assert_eq!(toy.taken.len(), 2_001);
    assert_eq!(toy.manager.places.taken(), 0, "and every place is free again");
}

/// After a start nobody knows how large a message is before it has been loaded: once, and not again and again.
#[test]
fn bulky_mail_that_was_on_disk_is_known_once_it_was_loaded_and_letters_go_past_it() {
    let mut toy = Toy::new(Params { active_limit: 20, ..params() });
    for n in 1..=50 {
        toy.manner(&format!("d{n}.example"), Manner::Hangs);
        send_to_all(&mut toy, n, &crowd(&format!("d{n}.example"), 100));
    }
    (51..=60).for_each(|n| toy.send(n, &["a@slow.example"]));
    let mut toy = toy.restart(Params { active_limit: 20, ..params() }, seconds(1));
    assert!((51..=60).all(|n| !toy.disk.contains_key(&QueueId(n))), "{:?}", toy.disk.keys());
    assert!(toy.manager.active_messages() <= 5, "{}", toy.manager.active_messages());
    let loads = toy.loads;
    assert!(loads <= 60, "{loads}");
    (1..=50).for_each(|n| toy.release(&format!("d{n}.example"), Manner::Takes));
    assert!(toy.disk.is_empty(), "{} left", toy.disk.len());
    assert!(toy.loads <= 2 * 60, "{} loads", toy.loads);
}

#[test]
fn long_replies_that_are_remembered_take_places_too() {
    let mut toy = Toy::new(Params { active_limit: 20, ..params() });
    toy.manner("d.example", Manner::Hangs);
    toy.send(1, &["a@d.example", "b@other.example"]);
    toy.manner("other.example", Manner::Defers);
    let id = QueueId(1);
    let before = toy.manager.places.taken();
    let why = Diagnosis::ours(EnhancedStatus::new(4, 2, 0), "x".repeat(25_000));
    toy.manager.active.get_mut(&id).expect("it hangs").record(0, &Outcome::Deferred(why));
    toy.manager.recount(id);
    assert_eq!((before, toy.manager.places.taken()), (1, 3));
    assert!(toy.manager.index.get(id).is_some_and(|entry| entry.bulky));
    toy.release("d.example", Manner::Takes);
    assert_eq!(toy.manager.places.taken(), 0);
}

#[test]
fn a_mailing_larger_than_all_places_comes_and_is_not_put_off_by_letters_to_the_same_place() {
    let mut toy = Toy::new(Params { active_limit: 8, ..params() });
    toy.manner("list.example", Manner::Hangs);
    (100..=104).for_each(|n| toy.send(n, &["a@list.example"]));
    send_to_all(&mut toy, 1, &crowd("list.example", 1_000));
    (105..=200).for_each(|n| toy.send(n, &["a@list.example"]));
    let loads = toy.loads;
    toy.release("list.example", Manner::Takes);
    assert!(toy.disk.is_empty(), "{} left", toy.disk.len());
    assert!(toy.loads - loads <= 2 * 97, "{} loads", toy.loads - loads);
    assert_eq!(toy.taken.len(), 1_000 + 101);
}

#[test]
fn a_backlog_for_one_smarthost_is_not_loaded_again_and_again() {
    let mut toy = Toy::new(Params { active_limit: 100, ..params() });
    toy.manner("hub.example", Manner::Hangs);
    (1..=3_000).for_each(|n| toy.send(n, &["b@hub.example"]));
    let mut idle = 0;
    while let Some(attempt) = (!toy.running.is_empty()).then(|| toy.running.remove(0)) {
        toy.end(&attempt, Manner::Takes);
        toy.answer();
        idle += usize::from(toy.running.len() < 5);
    }
    assert!(toy.disk.is_empty(), "{} left", toy.disk.len());
    assert!(idle < 20, "the hub had nothing to do {idle} times");
    assert!(toy.loads < 2 * 3_000, "{} loads", toy.loads);
}

#[test]
fn a_reload_has_those_that_were_set_aside_come_a_few_at_a_time() {
    let setup = || Params { active_limit: 200, ..params() };
    let mut toy = Toy::new(setup());
    toy.manner("hole.example", Manner::Hangs);
    (1..=2_000).for_each(|n| toy.send(n, &["b@hole.example"]));
    let before = toy.loads;
    toy.manager.handle_input(toy.now, Input::Reload(Box::new(setup())));
    toy.drain();
    let loads = toy.loads - before;
    assert!((1..=LOADS_MAX).contains(&loads), "{loads} loads at once");
    // And the others are not gone through: there may be a million of them.
    let aside = |n: &u64| toy.manager.index.get(QueueId(*n)).is_some_and(|entry| entry.parked);
    let aside = (1..=2_000).filter(aside).count();
    assert!(aside >= 1_800 - LOADS_MAX, "{aside} of 1800 are still set aside");
    toy.answer();
    assert!(toy.manager.active_messages() <= 200);
    toy.release("hole.example", Manner::Takes);
    assert!(toy.disk.is_empty(), "{} left", toy.disk.len());
    assert!(toy.taken.values().all(|&times| times == 1));
}

#[test]
fn a_reload_that_sends_everything_to_one_slow_hub_leaves_active_places_to_others() {
    let mut toy = Toy::new(Params { active_limit: 100, ..params() });
    toy.manner("hub.example", Manner::Hangs);
    for n in 0..80 {
        let domain = format!("d{}.example", n % 4);
        toy.manner(&domain, Manner::Hangs);
        toy.send(1 + n, &[&format!("b@{domain}")]);
    }
    assert_eq!(toy.manager.active_messages(), 80, "nobody is set aside while there is room for all");
    toy.relayhost = Some("hub.example");
    toy.tell(Input::Reload(Box::new(Params { active_limit: 30, ..params() })));
    // Those that are under way, and as many of the others as leave room.
    assert!(toy.manager.active_messages() < 30, "{} are active", toy.manager.active_messages());
    toy.send(999, &["a@yes.example"]);
    assert!(!toy.disk.contains_key(&QueueId(999)));
}

#[test]
fn mail_of_which_somebody_was_put_off_is_not_set_aside_so_it_keeps_its_pause() {
    let mut toy = Toy::new(Params { active_limit: 20, recipient_limit: 1, recipient_minimum: 1, ..params() });
    toy.manner("hub.example", Manner::Hangs);
    toy.manner("defers.example", Manner::Defers);
    (1..=100).for_each(|n| toy.send(n, &["b@hub.example"]));
    let message = toy.message(999, &["a@defers.example", "b@hub.example"]);
    toy.inputs.push_back(Input::Committed(Box::new(message.clone())));
    let standing = vec![Standing::Waiting(None); 2];
    toy.disk.insert(message.id, Stored { message, standing, held: false, retry_at: None, warned: false });
    // The route of the second is found when the first has been put off, and that is on disk.
    while !toy.inputs.is_empty() {
        let routed = |input: &Input| matches!(input, Input::Routed(..));
        let next = toy.inputs.iter().position(|input| !routed(input)).unwrap_or(0);
        let input = toy.inputs.remove(next).expect("it is not empty");
        toy.manager.handle_input(toy.now, input);
        toy.drain();
    }
    let tries = |toy: &Toy| toy.logged("to=<a@defers.example>");
    assert_eq!(tries(&toy), 1);
    toy.release("hub.example", Manner::Takes);
    assert_eq!(toy.taken.get(&(QueueId(999), 1)), Some(&1));
    assert_eq!(tries(&toy), 1, "again at once");
    toy.pass(seconds(300));
    assert_eq!(tries(&toy), 2);
}

#[test]
fn those_set_aside_for_a_destination_that_dies_are_deferred() {
    let mut toy = Toy::new(Params { active_limit: 20, ..params() });
    toy.manner("hole.example", Manner::Hangs);
    (1..=100).for_each(|n| toy.send(n, &["b@hole.example"]));
    toy.release("hole.example", Manner::IsDead);
    let reason = |stored: &Stored| matches!(stored.standing[0], Standing::Waiting(Some(_)));
    assert_eq!(toy.disk.values().filter(|stored| reason(stored)).count(), 100);
}

/// A manager of a main.cf with these lines: `DOMAIN.lmtp` is delivered by lmtp, other domains by smtp.
fn configured(lines: &[(&str, &str)]) -> Toy {
    let transports = ["smtp", "lmtp"].map(|name| (name.to_owned(), 100));
    Toy::new(Params::new(&Settings::of(lines), &transports).expect("well formed"))
}

#[test]
fn a_destination_has_no_more_attempts_at_once_than_its_transport_may() {
    // Without these lines it would be 20, of which the first window allows 5.
    let lines = [("smtp_destination_concurrency_limit", "3"), ("lmtp_destination_concurrency_limit", "2")];
    for (domain, limit) in [("hub.example", 3), ("store.lmtp", 2)] {
        let mut toy = configured(&lines);
        toy.manner(domain, Manner::Hangs);
        (1..=50).for_each(|n| toy.send(n, &[&format!("b@{domain}")]));
        assert_eq!(toy.running.len(), limit, "{domain}");
        while let Some(attempt) = (!toy.running.is_empty()).then(|| toy.running.remove(0)) {
            toy.end(&attempt, Manner::Takes);
            toy.answer();
            assert!(toy.running.len() <= limit, "success opens the window no further: {domain}");
        }
        assert!(toy.disk.is_empty(), "{domain}");
    }
}

#[test]
fn an_attempt_has_no_more_recipients_than_its_transport_may() {
    // Without these lines it would be 50.
    let lines = [("smtp_destination_recipient_limit", "4"), ("lmtp_destination_recipient_limit", "3")];
    for (domain, sizes) in [("hub.example", [4, 4, 2].as_slice()), ("store.lmtp", &[3, 3, 3, 1])] {
        let mut toy = configured(&lines);
        toy.manner(domain, Manner::Hangs);
        let recipients: Vec<String> = (0..10).map(|n| format!("b{n}@{domain}")).collect();
        toy.send(1, &recipients.iter().map(String::as_str).collect::<Vec<_>>());
        let counts: Vec<usize> = toy.running.iter().map(|attempt| attempt.recipients.len()).collect();
        assert_eq!(counts, sizes, "{domain}");
        toy.release(domain, Manner::Takes);
        assert!(toy.disk.is_empty(), "{domain}");
    }
}

#[test]
fn the_active_queue_is_bounded() {
    let mut toy = Toy::new(Params { active_limit: 10, ..params() });
    for n in 1..=50 {
        let domain = format!("d{n}.example");
        toy.manner(&domain, Manner::Hangs);
        toy.send(n, &[&format!("b@{domain}")]);
        assert!(toy.manager.active_messages() <= 10);
    }
    (1..=50).for_each(|n| toy.release(&format!("d{n}.example"), Manner::Takes));
    assert!(toy.disk.is_empty());
}

#[test]
fn a_letter_overtakes_a_mailing_of_fifty_thousand() {
    let mut params = params();
    params.schedule.transports[0].processes = 1;
    let mut toy = Toy::new(params);
    let people: Vec<String> = (0..50_000).map(|n| format!("u{n}@d{}.example", n % 500)).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    toy.manners.extend((0..500).map(|n| (format!("d{n}.example"), Manner::Hangs)));
    toy.send(1, &people);
    assert_eq!(toy.running.len(), 1);
    toy.send(2, &["a@yes.example"]);
    let mut ended = 0;
    while toy.disk.contains_key(&QueueId(2)) {
        let attempt = toy.running.remove(0);
        toy.end(&attempt, Manner::Takes);
        toy.tell(Input::Ready);
        ended += 1;
        assert!(ended < 5, "the letter waits too long");
    }
    // The rest of the mailing goes through, each recipient once.
    while let Some(attempt) = toy.running.pop() {
        toy.end(&attempt, Manner::Takes);
        toy.tell(Input::Ready);
    }
    assert!(toy.disk.is_empty());
    assert!(toy.taken.len() == 50_001 && toy.taken.values().all(|&times| times == 1));
}

/// Steps of the scheduler for each of a thousand letters while so many messages are deferred.
fn steps_with(deferred: u64) -> f64 {
    let mut toy = Toy::new(params());
    toy.manner("dead.example", Manner::Hangs);
    (1..=5).for_each(|n| toy.send(n, &["b@dead.example"]));
    toy.release("dead.example", Manner::IsDead);
    (6..deferred).for_each(|n| toy.send(n, &["b@dead.example"]));
    assert_eq!(toy.started, 5);
    let before = toy.manager.scheduler_steps();
    (0..1_000).for_each(|n| toy.send(1_000_000 + n, &["b@yes.example"]));
    (toy.manager.scheduler_steps() - before) as f64 / 1_000.0
}

#[test]
fn a_letter_costs_the_same_however_many_are_deferred() {
    let (few, many) = (steps_with(1_000), steps_with(20_000));
    assert!(many <= few * 1.1 && few < 20.0, "{few} and {many} steps");
}

type Fate = (QueueId, u32);

const DOMAINS: [&str; 9] = [
    "takes.example",
    "refuses.example",
    "defers.example",
    "dead.example",
    "hangs.example",
    "other.example",
    "missing.example",
    "nowhere.example",
    "here.example",
];

/// Something that happens to the world.
fn disturb(toy: &mut Toy, setup: &Params, fault: u8) {
    let all = || crate::mail::Selection::All(None);
    let ticket = Ticket(u64::from(fault) + 1_000 * toy.ordered.len() as u64);
    match fault {
        0 => toy.disk_refuses = !toy.disk_refuses,
        1 => toy.reports_refused = !toy.reports_refused,
        2 => toy.tables_broken = !toy.tables_broken,
        3 => toy.tell(Input::Order(ticket, Order::Flush(all()))),
        4 => toy.tell(Input::Order(ticket, Order::Hold(all()))),
        5 => toy.tell(Input::Order(ticket, Order::Requeue(all()))),
        6 => toy.tell(Input::Order(ticket, Order::Release(all()))),
        7 => {
            toy.release("hangs.example", Manner::Takes);
            toy.manner("hangs.example", Manner::Hangs);
        }
        8 => toy.manner("defers.example", Manner::Takes),
        _ => toy.tell(Input::Reload(Box::new(setup.clone()))),
    }
}

/// A world with a bit of everything, in which everything has its end after an hour.
fn world(active_limit: usize) -> (Toy, Params) {
    let mut setup = params();
    setup.active_limit = active_limit;
    setup.retry.lifetime = seconds(3_000);
    setup.retry.delay_warning = seconds(1_000);
    setup.schedule.transports[0].window.initial = 2;
    let mut toy = Toy::new(setup.clone());
    let manners = [Manner::Takes, Manner::Refuses, Manner::Defers, Manner::IsDead, Manner::Hangs];
    for (domain, manner) in DOMAINS.into_iter().zip(manners) {
        toy.manner(domain, manner);
    }
    (toy, setup)
}

/// Faults end, and everything settles.
fn heal(toy: &mut Toy) {
    (toy.disk_refuses, toy.reports_refused, toy.tables_broken, toy.chaos) = (false, false, false, None);
    toy.answer();
    toy.pass(seconds(100));
    toy.order(Order::Release(crate::mail::Selection::All(None)));
    toy.release("hangs.example", Manner::Takes);
    toy.pass(DAY);
}

/// Each recipient was taken once, or reported once, or waits for a transport that is not there.
fn judge(toy: &Toy, people: &BTreeSet<Fate>) {
    let failures = || toy.reports.iter().filter(|plan| plan.kind == Kind::Failure);
    let told = |plan: &Plan| plan.recipients.iter().map(|(n, _)| (plan.about.id, *n)).collect::<Vec<_>>();
    let failed: BTreeSet<Fate> = failures().flat_map(told).collect();
    assert_eq!(failures().map(|plan| plan.recipients.len()).sum::<usize>(), failed.len(), "reported once");
    assert!(toy.taken.values().all(|&times| times == 1), "taken once");
    let taken: BTreeSet<Fate> = toy.taken.keys().copied().collect();
    for mut fate in people {
        while let Some(next) = toy.moved.get(fate) {
            assert!(!taken.contains(fate) && !failed.contains(fate), "{fate:?} was moved");
            fate = next;
        }
        let standing = toy.disk.get(&fate.0).map(|stored| &stored.standing[fate.1 as usize]);
        let waits = matches!(standing, Some(Standing::Waiting(_)));
        let fates = [taken.contains(fate), failed.contains(fate), waits];
        assert_eq!(fates.iter().filter(|&&is| is).count(), 1, "{fate:?}: taken, failed, waits: {fates:?}");
    }
    assert_eq!(toy.manager.messages(), toy.disk.len());
    assert_eq!((toy.manager.active_messages(), toy.manager.aboard, toy.manager.loading), (0, 0, 0));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn every_recipient_has_exactly_one_fate(
        active_limit in 1usize..12,
        chaos in proptest::option::of(0u64..1_000_000),
        mails in proptest::collection::vec((0u8..3, proptest::collection::vec(0usize..9, 1..5)), 1..25),
        faults in proptest::collection::vec((0u8..11, 1u64..900), 0..25),
    ) {
        let (mut toy, setup) = world(active_limit);
        toy.chaos = chaos.map(Prng::new);
        let mut people: BTreeSet<Fate> = BTreeSet::new();
        for (number, (kind, domains)) in mails.iter().enumerate() {
            let names: Vec<String> =
                domains.iter().enumerate().map(|(n, d)| format!("u{n}@{}", DOMAINS[*d])).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut message = toy.message(number as u64 + 1, &names);
            if *kind == 1 {
                message.envelope.recipients.iter_mut().for_each(|r| r.notify = notify(true, true, true));
            }
            people.extend((0..names.len() as u32).map(|n| (message.id, n)));
            toy.commit(message);
            if let Some((fault, pause)) = faults.get(number) {
                if *fault == 10 && toy.manager.writer.is_empty() && toy.chaos.is_none() {
                    toy = toy.restart(setup.clone(), seconds(*pause));
                } else {
                    disturb(&mut toy, &setup, *fault);
                }
                toy.pass(seconds(*pause));
            }
            assert!(toy.manager.active_messages() <= active_limit);
        }
        heal(&mut toy);
        judge(&toy, &people);
    }
}
