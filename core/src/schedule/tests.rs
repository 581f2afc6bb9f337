//! The scheduler as a whole.

use super::*;
use crate::wire::EnhancedStatus;
use std::collections::BTreeSet;

const NOW: Instant = Instant(1);

fn scheduler(change: impl Fn(&mut TransportParams)) -> Scheduler {
    let mut transport = TransportParams::new("smtp", 100);
    change(&mut transport);
    Scheduler::new(Params { transports: vec![transport], ..Params::default() })
}

fn id(n: u64) -> QueueId {
    QueueId(n)
}

fn target(scheduler: &Scheduler, nexthop: &str) -> Target {
    scheduler.target("smtp", nexthop, &Mailbox::new("user", nexthop)).expect("known transport")
}

/// One message with so many recipients at one destination.
fn offer(scheduler: &mut Scheduler, message: u64, nexthop: &str, recipients: u32) {
    let target = target(scheduler, nexthop);
    let numbers: Vec<u32> = (0..recipients).collect();
    scheduler.offer(NOW, id(message), message, &target, &numbers);
}

fn refused() -> Feedback {
    Feedback::Bad(Diagnosis::ours(EnhancedStatus::new(4, 4, 1), "connect to mx: Connection refused"))
}

/// Starts and ends attempts one after the other; the order of messages.
fn serve(scheduler: &mut Scheduler, count: usize) -> Vec<u64> {
    let mut order = Vec::new();
    for _ in 0..count {
        let Some(chosen) = scheduler.choose(NOW) else { break };
        order.push(chosen.message.0);
        assert!(scheduler.ended(NOW, chosen.place, &Feedback::Neutral).is_empty());
    }
    order
}

#[test]
fn a_letter_overtakes_a_mailing_within_a_few_slots() {
    let mut scheduler = scheduler(|t| t.recipient_limit = 2);
    offer(&mut scheduler, 1, "example.com", 50_000);
    assert_eq!(serve(&mut scheduler, 3), [1, 1, 1]);
    offer(&mut scheduler, 2, "example.com", 1);
    let place = serve(&mut scheduler, 10).iter().position(|&m| m == 2);
    assert!(place.is_some_and(|place| place <= 2), "{place:?}");
}

#[test]
fn a_mailing_lets_pass_what_it_will_have_slots_for_and_nothing_larger() {
    let passes = |demand: u32| {
        let mut scheduler = scheduler(|t| t.recipient_limit = 2);
        offer(&mut scheduler, 1, "example.com", 50);
        assert_eq!(serve(&mut scheduler, 5), [1; 5]);
        offer(&mut scheduler, 2, "example.com", 2 * demand);
        serve(&mut scheduler, 1) == [2]
    };
    assert_eq!([4, 5, 6, 7].map(passes), [true, true, false, false], "25 entries are 5 slots in all");
}

#[test]
fn who_passes_costs_as_much_as_it_is_long() {
    let mut scheduler = scheduler(|t| t.recipient_limit = 2);
    offer(&mut scheduler, 1, "example.com", 2_000);
    assert_eq!(serve(&mut scheduler, 10), [1; 10]);
    offer(&mut scheduler, 2, "example.com", 8);
    assert_eq!(serve(&mut scheduler, 4), [2; 4], "four slots, of which two are earned");
    offer(&mut scheduler, 3, "example.com", 1);
    let order = serve(&mut scheduler, 20);
    assert_eq!(order.iter().position(|&message| message == 3), Some(10), "when twenty entries are given");
}

#[test]
fn recipients_that_are_not_routed_yet_make_a_mailing_large() {
    let mut scheduler = scheduler(|t| t.recipient_limit = 2);
    offer(&mut scheduler, 1, "example.com", 2_000);
    assert_eq!(serve(&mut scheduler, 3), [1; 3]);
    offer(&mut scheduler, 2, "example.com", 1);
    scheduler.set_unread(NOW, id(2), 5_000);
    offer(&mut scheduler, 3, "example.com", 1);
    assert_eq!(serve(&mut scheduler, 2), [3, 1], "a letter passes, the first page of a mailing does not");
}

#[test]
fn nothing_is_remembered_of_a_message_that_wants_nothing() {
    let mut scheduler = scheduler(|_| ());
    offer(&mut scheduler, 1, "a.example", 60);
    scheduler.set_unread(NOW, id(1), 1);
    assert_eq!(serve(&mut scheduler, 9), [1, 1]);
    assert_eq!(scheduler.transports[0].messages(), 1, "a page is still to come");
    scheduler.set_unread(NOW, id(1), 0);
    assert_eq!(scheduler.transports[0].messages(), 0);
    offer(&mut scheduler, 2, "a.example", 1);
    _ = serve(&mut scheduler, 1);
    assert_eq!(scheduler.transports[0].messages(), 0);
}

#[test]
fn how_a_destination_stands_can_be_told() {
    let mut scheduler = scheduler(|t| t.window.initial = 1);
    offer(&mut scheduler, 1, "One.example", 1);
    let chosen = scheduler.choose(NOW).expect("first");
    let told = |scheduler: &Scheduler| scheduler.health_of(chosen.place).expect("it is known");
    let condition = Condition { name: "one.example".to_owned(), width: 1, busy: 1, rests_until: None };
    assert_eq!(told(&scheduler), condition);
    assert_eq!(scheduler.transport_name(&target(&scheduler, "one.example")), "smtp");
    assert!(scheduler.ended(NOW, chosen.place, &refused()).is_empty());
    let rests_until = Some(NOW.after(Duration::from_secs(300)));
    assert_eq!(told(&scheduler), Condition { busy: 0, rests_until, ..condition });
}

#[test]
fn letters_do_not_starve_a_mailing() {
    let mut scheduler = scheduler(|t| t.recipient_limit = 2);
    offer(&mut scheduler, 1, "example.com", 1_000);
    let (mut attempts, mut given, mut next) = (0, 0, 2);
    while given < 500 {
        for _ in 0..3 {
            offer(&mut scheduler, next, "example.com", 1);
            next += 1;
        }
        given += serve(&mut scheduler, 1).iter().filter(|&&m| m == 1).count();
        attempts += 1;
        assert!(attempts <= 640, "a fifth more at most: {given} of 500 after {attempts}");
    }
    assert!(attempts >= 580, "letters did pass: {attempts}");
}

#[test]
fn the_order_of_arrival_holds_among_letters() {
    let mut scheduler = scheduler(|_| ());
    (1..=5).for_each(|n| offer(&mut scheduler, n, "example.com", 1));
    assert_eq!(serve(&mut scheduler, 9), [1, 2, 3, 4, 5]);
}

#[test]
fn destinations_of_one_message_take_turns() {
    let mut scheduler = scheduler(|t| t.recipient_limit = 2);
    offer(&mut scheduler, 1, "a.example", 6);
    offer(&mut scheduler, 1, "b.example", 6);
    let mut order = Vec::new();
    while let Some(chosen) = scheduler.choose(NOW) {
        order.push(chosen.nexthop.clone());
        assert!(scheduler.ended(NOW, chosen.place, &Feedback::Neutral).is_empty());
    }
    assert_eq!(order, ["a.example", "b.example", "a.example", "b.example", "a.example", "b.example"]);
}

#[test]
fn transports_take_turns() {
    let transports = vec![TransportParams::new("smtp", 9), TransportParams::new("local", 9)];
    let mut scheduler = Scheduler::new(Params { transports, ..Params::default() });
    for (n, transport) in [(1, "smtp"), (2, "smtp"), (3, "local"), (4, "local")] {
        let target = scheduler.target(transport, "x", &Mailbox::new("u", "x")).expect("known");
        scheduler.offer(NOW, id(n), n, &target, &[0]);
    }
    assert_eq!(serve(&mut scheduler, 9), [1, 3, 2, 4]);
}

#[test]
fn an_attempt_takes_no_more_recipients_than_the_limit() {
    let mut scheduler = scheduler(|_| ());
    offer(&mut scheduler, 1, "example.com", 120);
    let sizes: Vec<_> =
        std::iter::from_fn(|| scheduler.choose(NOW)).map(|c| (c.recipients.len(), c.more)).collect();
    assert_eq!(sizes, [(50, true), (50, true), (20, false)]);
}

#[test]
fn zero_is_no_limit_of_recipients_nor_of_processes_nor_of_concurrency() {
    let mut scheduler = scheduler(|t| {
        (t.recipient_limit, t.processes) = (0, 0);
        (t.window.initial, t.window.limit) = (1_000, 0);
    });
    offer(&mut scheduler, 1, "example.com", 5_000);
    assert_eq!(scheduler.choose(NOW).map(|chosen| chosen.recipients.len()), Some(5_000));
    (2..=200).for_each(|n| offer(&mut scheduler, n, "example.com", 1));
    assert_eq!(std::iter::from_fn(|| scheduler.choose(NOW)).count(), 199);
}

#[test]
fn no_more_run_at_once_than_the_transport_has_processes() {
    let mut scheduler = scheduler(|t| t.processes = 3);
    (1..=5).for_each(|n| offer(&mut scheduler, n, &format!("d{n}.example"), 1));
    let running: Vec<_> = std::iter::from_fn(|| scheduler.choose(NOW)).collect();
    assert_eq!(running.len(), 3);
    for chosen in running {
        assert!(scheduler.ended(NOW, chosen.place, &Feedback::Good).is_empty());
    }
    assert_eq!(std::iter::from_fn(|| scheduler.choose(NOW)).count(), 2);
}

#[test]
fn how_many_wait_at_the_destination_of_an_attempt_can_be_told_while_it_is_known() {
    let mut scheduler = scheduler(|_| ());
    offer(&mut scheduler, 1, "Example.com", 120);
    let chosen = scheduler.choose(NOW).expect("it may go");
    assert_eq!(scheduler.waiting_at(chosen.place), Some(((0, "example.com"), 2)));
    assert_eq!(scheduler.standing(&target(&scheduler, "example.com")), Standing::Open(2));
    _ = scheduler.withdraw(NOW, id(1));
    assert_eq!(scheduler.waiting_at(chosen.place), Some(((0, "example.com"), 0)));
    assert!(scheduler.ended(NOW, chosen.place, &Feedback::Good).is_empty());
    assert_eq!(scheduler.waiting_at(chosen.place), None);
}

#[test]
fn stages_of_destinations_are_told_to_who_listens() {
    let second = Duration::from_secs(1);
    for (pause, feedback, edges) in [
        (Duration::ZERO, Feedback::Good, vec!["unknown free", "free full", "full unknown"]),
        (Duration::ZERO, refused(), vec!["unknown free", "free full", "full dead", "dead unknown"]),
        (second, Feedback::Good, vec!["unknown free", "free full", "full pausing", "pausing unknown"]),
    ] {
        let mut scheduler = scheduler(|t| (t.window.initial, t.destination_pause) = (1, pause));
        let live = |scheduler: &mut Scheduler, now: Instant, message| {
            let target = target(scheduler, "a.example");
            scheduler.offer(now, id(message), message, &target, &[0]);
            let chosen = scheduler.choose(now).expect("it may go");
            assert!(scheduler.ended(now, chosen.place, &feedback).is_empty());
            scheduler.wake(now.after(Duration::from_secs(300)));
        };
        live(&mut scheduler, NOW, 1);
        assert!(scheduler.edges_taken().is_empty(), "nobody listens");
        scheduler.listen_to_edges();
        live(&mut scheduler, NOW.after(Duration::from_secs(1_000)), 2);
        let name = |stage: u8| STAGES.names[usize::from(stage)];
        let told: Vec<String> = scheduler
            .edges_taken()
            .into_iter()
            .map(|(from, to)| format!("{} {}", name(from), name(to)))
            .collect();
        assert_eq!(told, edges);
        assert!(scheduler.edges_taken().is_empty(), "each is told once");
    }
}

#[test]
fn connections_are_kept_while_mail_flows_to_a_destination() {
    let mut scheduler = scheduler(|_| ());
    let at = |milliseconds| NOW.after(Duration::from_millis(milliseconds));
    let start = |scheduler: &mut Scheduler, number, milliseconds| {
        let target = scheduler.target("smtp", "example.com", &Mailbox::new("a", "x")).expect("known");
        scheduler.offer(at(milliseconds), id(number), number, &target, &[0]);
        scheduler.choose(at(milliseconds)).expect("the window is wide enough")
    };
    let first = start(&mut scheduler, 1, 0);
    let second = start(&mut scheduler, 2, 0);
    assert!(!first.more && !second.more, "a burst that fits the window may be all there is");
    _ = scheduler.ended(at(10), first.place, &Feedback::Good);
    let third = start(&mut scheduler, 3, 1_000);
    assert!(third.more, "it follows the first within a second");
    let fourth = start(&mut scheduler, 4, 5_000);
    assert!(fourth.more, "others are still under way");
    for chosen in [second, third, fourth] {
        _ = scheduler.ended(at(5_000), chosen.place, &Feedback::Good);
    }
    let burst = start(&mut scheduler, 5, 5_900);
    assert!(burst.more, "bursts follow each other, though nothing waits or runs between them");
    _ = scheduler.ended(at(5_900), burst.place, &Feedback::Good);
    assert!(!start(&mut scheduler, 6, 9_000).more, "it has stopped to flow");
}

#[test]
fn mail_flows_across_a_pause_of_a_second() {
    let second = Duration::from_secs(1);
    let mut scheduler = scheduler(|t| t.destination_pause = second);
    offer(&mut scheduler, 1, "slow.example", 1);
    let first = scheduler.choose(NOW).expect("first");
    assert!(scheduler.ended(NOW, first.place, &Feedback::Good).is_empty());
    let later = NOW.after(second);
    scheduler.wake(later);
    assert_eq!(scheduler.transports[0].destinations(), 0, "only the time of its end is remembered");
    let target = target(&scheduler, "slow.example");
    scheduler.offer(later, id(2), 2, &target, &[0]);
    assert!(scheduler.choose(later).is_some_and(|chosen| chosen.more));
}

#[test]
fn mail_flows_no_longer_when_one_delivery_alone_comes_late() {
    let mut scheduler = scheduler(|t| t.transport_pause = Duration::from_secs(20));
    (1..=3).for_each(|n| offer(&mut scheduler, n, "example.com", 1));
    let at = |seconds| NOW.after(Duration::from_secs(seconds));
    let mut more = Vec::new();
    for (start, end) in [(0, 20), (20, 25), (40, 41)] {
        let chosen = scheduler.choose(at(start)).expect("the pause is over");
        more.push(chosen.more);
        assert!(scheduler.ended(at(end), chosen.place, &Feedback::Good).is_empty());
    }
    assert_eq!(more, [true, true, false], "two wait, one waits, and the last comes fifteen seconds later");
}

#[test]
fn with_a_recipient_limit_of_one_a_destination_is_a_recipient() {
    let mut scheduler = scheduler(|t| {
        t.recipient_limit = 1;
        t.window.initial = 1;
    });
    for (number, local) in ["alice", "bob", "ALICE"].into_iter().enumerate() {
        let target = scheduler.target("smtp", "Host", &Mailbox::new(local, "x")).expect("known");
        scheduler.offer(NOW, id(1), 1, &target, &[number as u32]);
    }
    let running: Vec<_> = std::iter::from_fn(|| scheduler.choose(NOW)).collect();
    assert_eq!(running.iter().map(|c| c.recipients[0]).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(running[0].nexthop, "Host");
}

#[test]
fn a_dead_destination_gives_its_mail_back_and_rests() {
    let mut scheduler = scheduler(|t| t.window.initial = 1);
    offer(&mut scheduler, 1, "dead.example", 1);
    offer(&mut scheduler, 2, "dead.example", 60);
    offer(&mut scheduler, 3, "good.example", 1);
    let chosen = scheduler.choose(NOW).expect("first");
    let back = scheduler.ended(NOW, chosen.place, &refused());
    assert_eq!(back.len(), 1);
    assert_eq!((back[0].message, back[0].recipients.len()), (id(2), 60));
    let dead = target(&scheduler, "DEAD.example");
    assert!(matches!(scheduler.standing(&dead), Standing::Throttled(_)));
    assert_eq!(serve(&mut scheduler, 9), [3]);

    let later = scheduler.next_timeout(true).expect("the end of the rest");
    assert_eq!(later, NOW.after(Duration::from_secs(300)));
    scheduler.wake(later);
    assert_eq!(scheduler.standing(&dead), Standing::Open(0));
    assert_eq!(scheduler.transports[0].destinations(), 0, "nothing is remembered of idle destinations");
}

#[test]
fn no_more_destinations_are_remembered_as_dead_than_the_limit() {
    let mut transport = TransportParams::new("smtp", 100);
    transport.window.initial = 1;
    let mut scheduler =
        Scheduler::new(Params { transports: vec![transport], dead_limit: 2, ..Params::default() });
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        offer(&mut scheduler, number as u64, name, 1);
        let chosen = scheduler.choose(NOW).expect("it may be tried");
        assert!(scheduler.ended(NOW, chosen.place, &refused()).is_empty());
    }
    let rests = |name| matches!(scheduler.standing(&target(&scheduler, name)), Standing::Throttled(_));
    assert_eq!(["a", "b", "c"].map(rests), [true, true, false]);
}

#[test]
fn a_flush_forgets_that_destinations_were_dead() {
    let mut scheduler = scheduler(|t| t.window.initial = 1);
    offer(&mut scheduler, 1, "dead.example", 1);
    let chosen = scheduler.choose(NOW).expect("first");
    assert!(scheduler.ended(NOW, chosen.place, &refused()).is_empty());
    scheduler.revive_all(NOW);
    assert_eq!(scheduler.standing(&target(&scheduler, "dead.example")), Standing::Open(0));
}

#[test]
fn a_straggler_that_gets_through_ends_the_rest() {
    let mut scheduler = scheduler(|t| t.window.initial = 2);
    (1..=2).for_each(|n| offer(&mut scheduler, n, "x.example", 1));
    let one = scheduler.choose(NOW).expect("first");
    let two = scheduler.choose(NOW).expect("second");
    offer(&mut scheduler, 3, "x.example", 1);
    offer(&mut scheduler, 4, "x.example", 1);
    assert!(scheduler.ended(NOW, one.place, &refused()).is_empty(), "half a cohort");
    let three = scheduler.choose(NOW);
    assert!(three.is_none(), "the window is one and one runs");
    assert!(scheduler.ended(NOW, two.place, &Feedback::Good).is_empty());
    assert_eq!(serve(&mut scheduler, 9), [3, 4]);
}

#[test]
fn one_that_gets_through_to_a_destination_that_was_given_up_ends_its_rest() {
    let params =
        Params { transports: vec![TransportParams::new("smtp", 100)], dead_limit: 1, ..Params::default() };
    let mut scheduler = Scheduler::new(params);
    let rests = |scheduler: &Scheduler, name| {
        matches!(scheduler.standing(&target(scheduler, name)), Standing::Throttled(_))
    };
    for (message, name) in [(1, "a.example"), (2, "b.example")] {
        (0..5).for_each(|n| offer(&mut scheduler, 10 * message + n, name, 1));
        let mut running: Vec<_> = std::iter::from_fn(|| scheduler.choose(NOW)).collect();
        let straggler = running.pop().expect("five may run");
        for chosen in running {
            assert!(scheduler.ended(NOW, chosen.place, &refused()).is_empty());
        }
        assert!(rests(&scheduler, name), "the other one is not counted any more");
        assert!(scheduler.ended(NOW, straggler.place, &Feedback::Good).is_empty());
        assert!(!rests(&scheduler, name));
        assert_eq!(scheduler.transports[0].destinations(), 0);
    }
}

#[test]
fn pauses_between_deliveries_are_kept() {
    let second = Duration::from_secs(1);
    let mut scheduler = scheduler(|t| t.destination_pause = second);
    offer(&mut scheduler, 1, "slow.example", 120);
    let chosen = scheduler.choose(NOW).expect("first");
    assert!(scheduler.choose(NOW).is_none(), "one at a time");
    assert!(scheduler.ended(NOW, chosen.place, &Feedback::Good).is_empty());
    assert!(scheduler.choose(NOW).is_none());
    assert_eq!(scheduler.next_timeout(true), Some(NOW.after(second)));
    scheduler.wake(NOW.after(second));
    assert!(scheduler.choose(NOW.after(second)).is_some());
    assert!(scheduler.choose(NOW.after(second)).is_none(), "one at a time, however well it goes");
}

#[test]
fn a_pause_of_the_transport_holds_for_all_destinations() {
    let pause = Duration::from_secs(20);
    let mut scheduler = scheduler(|t| t.transport_pause = pause);
    offer(&mut scheduler, 1, "a.example", 1);
    offer(&mut scheduler, 2, "b.example", 1);
    assert!(scheduler.choose(NOW).is_some());
    assert!(scheduler.choose(NOW).is_none());
    assert_eq!(scheduler.next_timeout(true), Some(NOW.after(pause)));
    assert_eq!(scheduler.next_timeout(false), None);
    assert!(scheduler.choose(NOW.after(pause)).is_some());
}

#[test]
fn what_is_withdrawn_is_not_chosen() {
    let mut scheduler = scheduler(|_| ());
    offer(&mut scheduler, 1, "a.example", 60);
    offer(&mut scheduler, 2, "a.example", 1);
    assert_eq!(scheduler.withdraw(NOW, id(1)).len(), 60);
    assert_eq!(serve(&mut scheduler, 9), [2]);
}

#[test]
fn a_mailing_keeps_its_place_between_its_pages() {
    let mut scheduler = scheduler(|t| t.recipient_limit = 2);
    offer(&mut scheduler, 1, "a.example", 2);
    scheduler.set_unread(NOW, id(1), 100);
    offer(&mut scheduler, 2, "a.example", 1);
    assert_eq!(serve(&mut scheduler, 1), [1]);
    let target = target(&scheduler, "a.example");
    scheduler.offer(NOW, id(1), 1, &target, &[2, 3]);
    scheduler.set_unread(NOW, id(1), 0);
    assert_eq!(serve(&mut scheduler, 9), [1, 2]);
    assert!(scheduler.transports[0].steps > 0 && scheduler.choose(NOW).is_none());
}

/// A black hole holds ten letters of which none ends; what others cost does not depend on how many wait behind it.
fn steps_per_letter(waiting: u64) -> f64 {
    let mut scheduler = scheduler(|_| ());
    (0..waiting).for_each(|n| offer(&mut scheduler, n, "hole.example", 1));
    let stuck: Vec<_> = std::iter::from_fn(|| scheduler.choose(NOW)).collect();
    assert_eq!(stuck.len(), 5);
    let before = scheduler.steps();
    for n in 0..1_000 {
        offer(&mut scheduler, waiting + n, &format!("d{}.example", n % 7), 1);
        assert_eq!(serve(&mut scheduler, 1), [waiting + n]);
    }
    // And each end at the hole starts exactly one more.
    for chosen in stuck {
        assert!(scheduler.ended(NOW, chosen.place, &Feedback::Neutral).is_empty());
        assert!(scheduler.choose(NOW).is_some() && scheduler.choose(NOW).is_none());
    }
    (scheduler.steps() - before) as f64 / 1_000.0
}

#[test]
fn a_letter_costs_the_same_however_many_wait_behind_a_black_hole() {
    let (few, many) = (steps_per_letter(1_000), steps_per_letter(100_000));
    assert!(many <= few * 1.1 && few < 20.0, "{few} steps with few waiting, {many} with many");
    assert!(few >= 1.0, "work is counted");
}

#[test]
fn a_mailing_to_many_destinations_costs_each_entry_little() {
    for count in [1_000u32, 20_000] {
        let mut scheduler = scheduler(|_| ());
        for n in 0..count {
            let target = target(&scheduler, &format!("d{n}.example"));
            scheduler.offer(NOW, id(1), 1, &target, &[n]);
        }
        let served = serve(&mut scheduler, count as usize + 1).len();
        assert_eq!(served, count as usize);
        let each = scheduler.steps() as f64 / f64::from(count);
        assert!(each < 30.0, "{each} steps an entry of {count}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_is_lost_doubled_or_beyond_a_limit(
        limit in 1u32..6, initial in 1u32..6, processes in 1u32..9, cost in 0u32..6,
        plan in proptest::collection::vec((0u8..6, 0u8..4, 1u32..9), 1..120),
    ) {
        let mut scheduler = scheduler(|t| {
            t.processes = processes;
            t.recipient_limit = 3;
            t.slots.cost = cost;
            t.window.initial = initial;
            t.window.limit = limit;
        });
        let mut owed: BTreeSet<(u64, u32)> = BTreeSet::new();
        let mut running: Vec<Chosen> = Vec::new();
        let (mut message, mut now) = (0, NOW);
        let mut step = |scheduler: &mut Scheduler, (what, place, size): (u8, u8, u32),
                        owed: &mut BTreeSet<(u64, u32)>, running: &mut Vec<Chosen>| {
            now = now.after(Duration::from_secs(7));
            scheduler.wake(now);
            match what {
                0 | 1 => {
                    message += 1;
                    let target = target(scheduler, &format!("d{place}.example"));
                    if matches!(scheduler.standing(&target), Standing::Open(_)) {
                        let numbers: Vec<u32> = (0..size).collect();
                        owed.extend(numbers.iter().map(|n| (message, *n)));
                        scheduler.offer(now, id(message), message, &target, &numbers);
                    }
                }
                2 => if let Some(chosen) = scheduler.choose(now) {
                    for number in &chosen.recipients {
                        assert!(owed.remove(&(chosen.message.0, *number)), "given twice");
                    }
                    running.push(chosen);
                },
                _ => if !running.is_empty() {
                    let chosen = running.swap_remove(usize::from(place) % running.len());
                    let feedback = match what { 3 => Feedback::Good, 4 => refused(), _ => Feedback::Neutral };
                    for back in scheduler.ended(now, chosen.place, &feedback) {
                        for number in back.recipients {
                            assert!(owed.remove(&(back.message.0, number)), "given back twice");
                        }
                    }
                },
            }
            assert!(running.len() <= processes as usize);
            for place in 0..4 {
                let name = format!("d{place}.example");
                assert!(running.iter().filter(|c| c.nexthop == name).count() <= limit as usize);
            }
        };
        for action in plan {
            step(&mut scheduler, action, &mut owed, &mut running);
        }
        // In the end everything that was offered goes or comes back.
        for _ in 0..10_000 {
            step(&mut scheduler, (2, 0, 1), &mut owed, &mut running);
            step(&mut scheduler, (3, 0, 1), &mut owed, &mut running);
            if owed.is_empty() && running.is_empty() { break; }
        }
        assert!(owed.is_empty(), "left behind: {owed:?}");
    }
}
