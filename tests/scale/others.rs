//! Who waits for whom: a black hole beside other mail, and letters behind a mailing.

use crate::world::{Session, World, send};
use crate::{judge, prepare};
use postrider_tests::daemon::Daemon;
use postrider_tests::process::processor_seconds;
use std::time::{Duration, Instant};

/// Octets of a message.
const OCTETS: usize = 4_096;
/// Clients at once.
const CONNECTIONS: u64 = 20;
/// Attempts at a time at a destination that has not answered yet (`initial_destination_concurrency`).
const WINDOW: u64 = 5;
/// Pairs of measurements.
const ROUNDS: usize = 8;
/// Living destinations that share the measured stream.
const LIVING: u64 = 5;

fn living(number: u64) -> String {
    format!("user{number}@d{}.test", number % LIVING)
}

/// Messages each second, relayed from end to end, and seconds of a core for 1,000 of them.
fn relayed(daemon: &Daemon, world: &World, messages: u64) -> (f64, f64) {
    let cpu = processor_seconds(daemon.process());
    let before = world.taken();
    let begin = Instant::now();
    let refused = send(daemon.port, CONNECTIONS, messages, OCTETS, living);
    assert_eq!(refused, 0, "mail was refused");
    let deadline = begin + Duration::from_secs(600);
    while world.taken() < before + messages {
        assert!(Instant::now() < deadline, "{} of {messages} relayed", world.taken() - before);
        std::thread::sleep(Duration::from_millis(5));
    }
    let rate = messages as f64 / begin.elapsed().as_secs_f64();
    (rate, (processor_seconds(daemon.process()) - cpu) / messages as f64 * 1_000.0)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    let (low, high) = (rates[(rates.len() - 1) / 2], rates[rates.len() / 2]);
    f64::midpoint(low, high)
}

/// Mail to living destinations through two daemons in turns, one of which has so many messages in a black hole: the rate of a disk that
/// others use as well changes within a minute, so what comes before is no yardstick for what comes after.
pub(crate) fn hole(in_the_hole: u64, messages: u64) -> bool {
    let (mut empty, mut full) = (prepare("without", ""), prepare("hole", ""));
    empty.run();
    full.run();
    let world = World::start(&empty.names, Duration::ZERO);
    World::name(&full.names);
    let begin = Instant::now();
    let refused = send(full.port, CONNECTIONS, in_the_hole, OCTETS, |n| format!("user{n}@hole.test"));
    assert_eq!(refused, 0);
    println!("{in_the_hole} messages for the black hole taken in {:.1} s", begin.elapsed().as_secs_f64());
    // What that has left to be written back is not what is measured.
    nix::unistd::sync();
    for daemon in [&empty, &full] {
        _ = relayed(daemon, &world, messages);
    }
    let mut shares = Vec::new();
    for round in 0..ROUNDS {
        // Who comes second finds the disk as the first has left it.
        let (without, beside) = if round % 2 == 0 {
            let without = relayed(&empty, &world, messages);
            (without, relayed(&full, &world, messages))
        } else {
            let beside = relayed(&full, &world, messages);
            (relayed(&empty, &world, messages), beside)
        };
        let told = |(rate, cpu)| format!("{rate:.0} messages/s ({cpu:.2} s of a core for 1,000)");
        println!("{} without it, {} beside it", told(without), told(beside));
        shares.push(beside.0 / without.0);
    }
    // It was one all the time: its mail is in the queue, and its connections were taken and not answered.
    let list = String::from_utf8_lossy(&full.command(&["queue", "list"]).stdout).into_owned();
    let there = list.matches("@hole.test").count() as u64;
    println!("{there} messages are in the black hole's queue, which has taken {} connections", world.held());
    let is_hole = there == in_the_hole && world.held() >= WINDOW;
    println!("beside the black hole: {shares:.2?} of the rate without it");
    let share = median(shares);
    println!("beside the black hole: {:.1} % of the rate without it, in the middle", share * 100.0);
    judge("the hole keeps its mail and its connections", is_hole)
        & judge("slower by less than a tenth", share > 0.9)
}

/// Single letters behind a mailing to so many recipients, each at a destination of its own; the sink needs a fifth of a second
/// for each message.
pub(crate) fn letters(recipients: u64) -> bool {
    let mut daemon = prepare("letters", "smtpd_recipient_limit = 100000\n");
    let master = daemon.config().join("master.cf");
    let text = std::fs::read_to_string(&master).expect("it was written");
    // As many as Postfix's default_process_limit permits.
    std::fs::write(&master, text.replace("smtp unix - - n - - smtp", "smtp unix - - n - 100 smtp"))
        .expect("a scratch folder");
    daemon.run();
    let world = World::start(&daemon.names, Duration::from_millis(200));
    let people: Vec<String> = (0..recipients).map(|number| format!("reader@d{}.test", number * 10)).collect();
    let body = "Subject: news\r\n\r\nnews\r\n.\r\n";
    let begin = Instant::now();
    assert!(Session::open(daemon.port).send(&people, body), "the mailing is taken");
    println!("mailing of {recipients} taken in {:.1} s", begin.elapsed().as_secs_f64());
    let mut took = Vec::new();
    for number in 0..20 {
        let sent = Instant::now();
        let letter = vec![format!("letter{number}@d{}.test", 900_000 + number * 10)];
        assert!(Session::open(daemon.port).send(&letter, body));
        let came = postrider_tests::wait_for("the letter", || world.letter(number));
        took.push(came.duration_since(sent).as_secs_f64());
        std::thread::sleep(Duration::from_secs(1));
    }
    println!("letters behind it: {took:.2?} s");
    let longest = took.iter().copied().fold(0.0, f64::max);
    let middle = median(took);
    println!(
        "letters behind it: {middle:.2} s in the middle, {longest:.2} s at most; of the mailing {} were delivered by then",
        world.taken()
    );
    judge("each letter within 5 s", longest <= 5.0)
}
