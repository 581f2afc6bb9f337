//! A real run: as many messages as wanted, twenty for each destination, a tenth of which is dead.
//!
//! First all mail is taken while none may leave, so that the queue is as deep as it will be; then all may, and what a message costs is
//! printed as the queue gets shorter. `sizes` does so with queues of a thousand messages and more, and compares what one message cost.

// The same plot as the simulated run's, without the simulator.
#[allow(unreachable_pub)]
#[path = "../../sim/src/scale/plot.rs"]
mod plot;

use crate::world::{DEAD_OF, World, is_dead, send};
use crate::{judge, prepare, process};
use nix::sys::signal::Signal;
use plot::{Line, draw};
use postrider_tests::daemon::Daemon;
use postrider_tests::process::processor_seconds;
use std::time::{Duration, Instant};

const OCTETS: usize = 4_096;
const CONNECTIONS: u64 = 20;
/// Messages for each destination.
const EACH: u64 = 20;
/// No message is delivered for so long: what remains is for the dead.
const STILL: Duration = Duration::from_secs(10);

/// A small queue is measured again, until so many messages have gone through.
const ENOUGH: u64 = 20_000;
/// Messages for each place in the active queue.
const PROPORTION: u64 = 50;
/// What a message may cost in a longer queue, beside what it costs in the shortest.
const GROWTH: f64 = 1.25;

fn destination(number: u64, destinations: u64) -> u64 {
    // Mail for one destination does not come in a row.
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % destinations
}

const fn destinations(messages: u64) -> u64 {
    let destinations = messages / EACH;
    if destinations == 0 { 1 } else { destinations }
}

/// Messages for destinations that are alive.
fn living(messages: u64) -> u64 {
    let destinations = destinations(messages);
    (0..messages).filter(|number| !is_dead(destination(*number, destinations))).count() as u64
}

/// All mail is taken, while none may leave.
fn fill(daemon: &Daemon, messages: u64) {
    let destinations = destinations(messages);
    let recipient = move |number| format!("user{number}@d{}.test", destination(number, destinations));
    let refused = send(daemon.port, CONNECTIONS, messages, OCTETS, recipient);
    assert_eq!(refused, 0, "mail was refused");
}

/// Mail may leave from now on, when it is tried again.
fn release(daemon: &Daemon, lines: &str) {
    // Opened anew at the reload, so that what follows can be counted alone.
    std::fs::remove_file(daemon.path().join("mail.log")).expect("it is there");
    daemon.write_main_cf(lines);
    daemon.signal(Signal::SIGHUP);
    _ = daemon.wait_for_log("configuration reloaded");
}

/// It is tried again.
fn flush(daemon: &Daemon) {
    assert!(daemon.command(&["postqueue", "-f"]).status.success());
}

/// Runs it.
pub(crate) fn run(messages: u64) -> bool {
    let mut daemon = prepare("run", "defer_transports = smtp\n");
    daemon.run();
    let world = World::start(&daemon.names, Duration::ZERO);
    let each = |octets: u64| octets as f64 / messages as f64;
    let begin = Instant::now();
    fill(&daemon, messages);
    let took = begin.elapsed().as_secs_f64();
    println!("taken: {messages} messages in {took:.0} s, {:.0}/s", messages as f64 / took);
    process::wait_until_idle(daemon.process());
    let memory = process::anonymous(daemon.process());
    println!("all deferred: {:.0} octets of anonymous memory each", each(memory));
    let small = judge("at most 500 octets of anonymous memory for a message", each(memory) <= 500.0);
    release(&daemon, "");
    flush(&daemon);
    let kept = deliver(&daemon, &world, messages);
    let memory = process::anonymous(daemon.process());
    println!("at the end: {:.0} MB of anonymous memory", memory as f64 / 1e6);
    kept && small
}

/// Waits until all that can be delivered is, and says what each part cost.
fn deliver(daemon: &Daemon, world: &World, messages: u64) -> bool {
    let begin = Instant::now();
    let (mut last, mut at) = ((0, begin, processor_seconds(daemon.process())), begin);
    let (mut seen, mut costs) = (0, Vec::new());
    let step = ((messages - messages / DEAD_OF) / 10).max(1);
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let taken = world.taken();
        if taken > seen {
            (seen, at) = (taken, Instant::now());
        }
        let done = at.elapsed() > STILL;
        if taken >= last.0 + step || done {
            let cpu = processor_seconds(daemon.process());
            let (count, time) = (taken - last.0, at.duration_since(last.1).as_secs_f64());
            if count > 0 {
                costs.push((cpu - last.2) / count as f64);
                println!(
                    "delivered {taken}: {:.0}/s, {:.2} CPU s for 1000, {:.0} MB of anonymous memory",
                    count as f64 / time,
                    (cpu - last.2) / count as f64 * 1_000.0,
                    process::anonymous(daemon.process()) as f64 / 1e6
                );
            }
            last = (taken, at, cpu);
        }
        if done {
            let time = at.duration_since(begin).as_secs_f64();
            println!(
                "delivered {taken} in {time:.0} s, {:.0}/s; {} are for the dead",
                taken as f64 / time,
                messages - taken
            );
            let all = judge("all mail for the living is delivered", taken >= living(messages));
            // A part that is small, the last, says little: it is left out.
            let Some(([first], rest)) = costs.get(..9).and_then(<[f64]>::split_first_chunk) else {
                return judge("a run of so many messages that nine parts of it can be compared", false);
            };
            return judge(
                "no later tenth costs half as much again as the first",
                rest.iter().all(|cost| *cost <= 1.5 * first),
            ) && all;
        }
    }
}

/// Seconds of a core that one message needs to be taken, and to be delivered or put off, in a queue of so many.
fn cost(world: &World, messages: u64) -> (f64, f64) {
    let rounds = (ENOUGH / messages).max(1);
    let (mut taking, mut delivering) = (0.0, 0.0);
    for _ in 0..rounds {
        // A model of the largest: its default is a fiftieth of a million, and what fits into it need not be loaded.
        // And mail for one destination comes within two seconds or within minutes: no connection is kept, for kept ones would serve small queues only.
        let lines = format!(
            "qmgr_message_active_limit = {}\nsmtp_connection_cache_on_demand = no\n",
            (messages / PROPORTION).max(1)
        );
        let mut daemon = prepare("sizes", &format!("{lines}defer_transports = smtp\n"));
        daemon.run();
        World::name(&daemon.names);
        let cpu = |daemon: &Daemon| processor_seconds(daemon.process());
        let start = cpu(&daemon);
        fill(&daemon, messages);
        process::wait_until_idle(daemon.process());
        taking += cpu(&daemon) - start;
        release(&daemon, &lines);
        process::wait_until_idle(daemon.process());
        let wanted = world.taken() + living(messages);
        let start = cpu(&daemon);
        flush(&daemon);
        let mut at = (world.taken(), Instant::now());
        while world.taken() < wanted {
            assert!(at.1.elapsed() < STILL, "{} messages are missing", wanted - world.taken());
            if world.taken() > at.0 {
                at = (world.taken(), Instant::now());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        process::wait_until_idle(daemon.process());
        delivering += cpu(&daemon) - start;
    }
    let all = (messages * rounds) as f64;
    (taking / all, delivering / all)
}

/// Runs a thousand messages, ten thousand … at most `most`, and draws what one of them cost.
pub(crate) fn sizes(most: u64, file: Option<&str>) -> bool {
    let first = prepare("names", "");
    let world = World::start(&first.names, Duration::ZERO);
    let sizes = std::iter::successors(Some(1_000), |size| Some(size * 10)).take_while(|size| *size <= most);
    let costs: Vec<_> = sizes.map(|messages| (messages, cost(&world, messages))).collect();
    println!("| messages | destinations | µs of a core to take one | to deliver it, or to put it off |");
    println!("|---|---|---|---|");
    for (messages, (taken, delivered)) in &costs {
        println!(
            "| {messages} | {} | {:.0} | {:.0} |",
            destinations(*messages),
            taken * 1e6,
            delivered * 1e6
        );
    }
    let points = |cost: fn(&(f64, f64)) -> f64| -> Vec<(u64, f64)> {
        costs.iter().map(|(messages, both)| (*messages, cost(both) * 1e6)).collect()
    };
    let lines = [
        Line { name: "microseconds to take a message".to_owned(), points: points(|both| both.0) },
        Line { name: "microseconds to deliver it".to_owned(), points: points(|both| both.1) },
    ];
    if let Some(file) = file {
        let title =
            "What one message costs the daemon, over the messages in the queue, relative to the first";
        std::fs::write(file, draw(title, &lines)).expect("a file for the plot");
    }
    let flat = |line: &Line| {
        let first = line.points.first().map_or(0.0, |(_, cost)| *cost);
        line.points.iter().all(|(_, cost)| *cost <= GROWTH * first)
    };
    judge("no message costs a quarter more in a longer queue than in the shortest", lines.iter().all(flat))
}
