//! Many messages, counted: what one costs, and who waits for whom. `postrider-sim scale` prints the same for a million.

#![cfg(not(madsim))]

use postrider_core::time::Duration;
use postrider_sim::scale::{Manner, World, measure, params};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_message_costs_the_same_however_many_others_there_are() {
    let costs = [1_000, 10_000, 100_000].map(|messages: u64| {
        let work = measure(messages, messages / 20, params().active_limit);
        assert_eq!(work.walked, 0, "nothing looks at one message after the other");
        assert_eq!(work.deepest, messages, "all wait at once");
        assert!(work.active <= params().active_limit as u64);
        let each = |total: u64| total as f64 / messages as f64;
        (each(work.steps), each(work.facts), each(work.operations), each(work.octets_read))
    });
    for (steps, facts, operations, octets) in costs {
        println!("{steps:.1} steps, {facts:.1} facts, {operations:.1} operations, {octets:.0} octets read");
        // Ten thousand fit the active queue, where they are never loaded; a hundred thousand do not.
        assert!(steps < 15.0 && facts < 12.0, "{costs:?}");
        assert!(operations < costs[0].2 * 1.25 && octets < costs[0].3 * 1.25, "{costs:?}");
    }
}

#[test]
fn a_message_costs_the_same_when_one_of_fifty_is_active() {
    let each = |messages: u64| {
        let work = measure(messages, messages / 20, usize::try_from(messages / 50).expect("it is small"));
        [work.steps, work.facts, work.operations, work.octets_read]
            .map(|total| total as f64 / messages as f64)
    };
    let (short, long) = (each(1_000), each(100_000));
    for (short, long) in short.into_iter().zip(long) {
        assert!(long < 1.25 * short, "{long:.2} among a hundred thousand, {short:.2} among a thousand");
    }
}

#[test]
fn a_reload_walks_over_no_queue() {
    let mut world = World::new(params());
    (0..50_000).for_each(|number| _ = world.send(Duration::ZERO, vec![number % 1_000], false));
    world.run(seconds(20));
    assert!(world.messages() > 20_000, "the queue is long, and some of it is active: {}", world.messages());
    world.reload(params());
    world.run_to_the_end();
    assert_eq!(world.work().walked, 0);
}

/// The destination that does not answer.
const HOLE: u64 = 1_000_001;

/// Recipients reached in a minute, of a stream that keeps the transport busy.
fn reached_in_a_minute(in_the_hole: u64) -> u64 {
    let mut params = params();
    params.schedule.transports[0].processes = 200;
    let mut world = World::new(params);
    world.manners.insert(HOLE, Manner::Hole);
    for _ in 0..in_the_hole {
        world.send(Duration::ZERO, vec![HOLE], false);
    }
    world.run(seconds(10));
    // Of 100 living destinations; attempts take half a second each, so 200 processes do 360 a second.
    for number in 0..20_000 {
        world.send(Duration::from_millis(number * 3), vec![number % 100 * 10], false);
    }
    world.run(seconds(60));
    world.reached
}

#[test]
fn a_black_hole_slows_mail_to_others_by_less_than_a_tenth() {
    let (without, with) = (reached_in_a_minute(0), reached_in_a_minute(100_000));
    println!("{without} recipients reached in a minute, {with} beside a black hole of 100,000 messages");
    assert!(without > 15_000, "{without}");
    assert!(with * 10 > without * 9, "{with} of {without}");
}

#[test]
fn letters_overtake_a_mailing_to_fifty_thousand() {
    let mut params = params();
    params.schedule.transports[0].processes = 100;
    let mut world = World::new(params);
    let start = world.now();
    world.send(Duration::ZERO, (0..50_000).map(|number| number * 10).collect(), false);
    let letters: Vec<_> = (1..=60)
        .map(|second| (second, world.send(seconds(second), vec![50_000_000 + second * 10], true)))
        .collect();
    world.run(seconds(120));
    assert!(world.reached < 50_000, "the mailing is still under way");
    for (second, letter) in letters {
        let delivered = world.delivered.get(&letter).expect("it was delivered");
        let took = delivered.since(start.after(seconds(second)));
        assert!(took < seconds(5), "the letter of second {second} took {took:?}");
    }
}
