//! A real run: as many messages as wanted to fifty thousand destinations, a tenth of them dead.
//!
//! First all mail is taken while none may leave, so that the queue is as deep as it will be; then all may, and what a message costs is
//! printed as the queue gets shorter.

use crate::world::{DEAD_OF, World, is_dead, send};
use crate::{judge, prepare, process};
use nix::sys::signal::Signal;
use postrider_tests::daemon::Daemon;
use postrider_tests::process::processor_seconds;
use std::time::{Duration, Instant};

const OCTETS: usize = 4_096;
const CONNECTIONS: u64 = 20;
const DESTINATIONS: u64 = 50_000;
/// No message is delivered for so long: what remains is for the dead.
const STILL: Duration = Duration::from_secs(10);

fn destination(number: u64) -> u64 {
    // Mail for one destination does not come in a row.
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % DESTINATIONS
}

fn recipient(number: u64) -> String {
    format!("user{number}@d{}.test", destination(number))
}

/// Runs it.
pub(crate) fn run(messages: u64) -> bool {
    let mut daemon = prepare("run", "defer_transports = smtp\n");
    daemon.run();
    let world = World::start(&daemon.names, Duration::ZERO);
    let each = |octets: u64| octets as f64 / messages as f64;
    let begin = Instant::now();
    let refused = send(daemon.port, CONNECTIONS, messages, OCTETS, recipient);
    assert_eq!(refused, 0, "mail was refused");
    let took = begin.elapsed().as_secs_f64();
    println!("taken: {messages} messages in {took:.0} s, {:.0}/s", messages as f64 / took);
    process::wait_until_idle(daemon.process());
    let memory = process::anonymous(daemon.process());
    println!("all deferred: {:.0} octets of anonymous memory each", each(memory));
    let small = judge("at most 500 octets of anonymous memory for a message", each(memory) <= 500.0);
    // Opened anew at the reload, so that what follows can be counted alone.
    std::fs::remove_file(daemon.path().join("mail.log")).expect("it is there");
    daemon.write_main_cf("");
    daemon.signal(Signal::SIGHUP);
    _ = daemon.wait_for_log("configuration reloaded");
    assert!(daemon.command(&["postqueue", "-f"]).status.success());
    let kept = deliver(&daemon, &world, messages);
    let memory = process::anonymous(daemon.process());
    println!("at the end: {:.0} MB of anonymous memory", memory as f64 / 1e6);
    kept && small
}

/// Waits until all that can be delivered is, and says what each part cost.
fn deliver(daemon: &Daemon, world: &World, messages: u64) -> bool {
    let living = messages - messages / DEAD_OF;
    let begin = Instant::now();
    let (mut last, mut at) = ((0, begin, processor_seconds(daemon.process())), begin);
    let (mut seen, mut costs) = (0, Vec::new());
    let step = (living / 10).max(1);
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
            let dead = (0..messages).filter(|number| is_dead(destination(*number))).count() as u64;
            let all = judge("all mail for the living is delivered", taken >= messages - dead);
            // A part that is small, the last, says little: it is left out.
            let (first, rest) = (costs.first().copied().unwrap_or(0.0), costs.get(1..9).unwrap_or_default());
            return judge(
                "no later tenth costs half as much again as the first",
                rest.iter().all(|cost| *cost <= 1.5 * first),
            ) && all;
        }
    }
}
