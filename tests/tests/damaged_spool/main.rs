//! Row S24 of the attacks, with the real daemon: it starts on a spool that somebody damaged, and goes on with all that is whole.
//!
//! A spool with a dozen messages at rest is made once, by two runs of the daemon, so that it has a segment whose end is known and a last one. Each
//! damage happens to a copy of its own, and a daemon with somewhere to deliver to is started on it. What is whole must arrive once, with its octets, in the
//! envelope that it had; what is not must lie in `corrupt/`, and the log must say so. `crash_states/damage.rs` does the same to every bit, with the log alone.

mod cases;
mod maildrop;
mod segments;

use cases::{Case, flips, harmless, strays, truncations};
use nix::sys::signal::Signal;
use postrider_core::mail::QueueId;
use postrider_tests::daemon::Daemon;
use postrider_tests::run;
use postrider_tests::server::{Answer, Server, Taken};
use segments::{Frame, Segment, find, segments};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LETTERS: usize = 12;
/// Those with a content file of their own, and those that are held.
const LARGE: [usize; 2] = [4, 9];
const HELD: [usize; 2] = [1, 8];
/// The one that somebody has received already; its other recipient waits, as all others do.
const HALF_DONE: usize = 3;

fn name(number: usize) -> String {
    format!("letter{number:02}")
}

/// With all that would be added to it.
fn text(number: usize) -> String {
    let lines = if LARGE.contains(&number) { 6_000 } else { 1 + number * 17 % 60 };
    let line = |line| format!("Line {line} of {}.\r\n", name(number));
    let header = format!(
        "From: me@origin.test\r\nDate: Thu, 21 Nov 2024 10:00:00 +0000\r\nMessage-Id: <{}@origin.test>\r\n\r\n",
        name(number)
    );
    header + &(0..lines).map(line).collect::<String>()
}

fn lines(server: &Server) -> String {
    format!(
        "relayhost = [127.0.0.1]:{}\nspool_segment_size = 65536\nspool_reserve = 65536",
        server.address.port()
    )
}

/// A spool at rest, which a daemon has left that has ended.
struct Rest {
    daemon: Daemon,
    ids: Vec<String>,
    segments: Vec<Segment>,
    /// What arrives of it where nothing is damaged.
    whole: BTreeMap<String, Taken>,
}

impl Rest {
    fn spool(&self) -> PathBuf {
        self.daemon.path().join("spool")
    }

    fn content_file(&self, number: usize) -> String {
        format!("contents/{}", self.ids[number])
    }

    /// Where a letter was committed.
    fn commit(&self, number: usize) -> (&Segment, &Frame) {
        let id: QueueId = self.ids[number].parse().expect("an id");
        let found = self.segments.iter().find_map(|segment| {
            Some((segment, segment.frames.iter().find(|frame| frame.commits && frame.subject == id)?))
        });
        found.expect("each letter has a record")
    }
}

/// Submits a letter, and waits until it waits.
fn submit(daemon: &Daemon, number: usize) -> String {
    let (sender, waits) = (format!("{}@origin.test", name(number)), format!("wait{number}@far.test"));
    let all = ["now@far.test", waits.as_str()];
    let recipients = if number == HALF_DONE { &all[..] } else { &all[1..] };
    let reply = daemon.client().deliver(&sender, recipients, &text(number));
    let id = reply.trim_end().strip_prefix("250 2.0.0 Ok: queued as ").expect("accepted").to_owned();
    _ = daemon.wait_for_log(&format!("{id}: to=<{waits}>"));
    if HELD.contains(&number) {
        assert!(daemon.command(&["queue", "hold", &id]).status.success());
    }
    id
}

/// Stops a daemon. However soon, its log has said that all of it is durable: what is broken from there on is damage, and no torn end.
fn stop(daemon: &mut Daemon) {
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    let segments = segments(&daemon.path().join("spool"));
    let last = segments.last().and_then(|segment| segment.frames.last()).expect("a record");
    assert!(last.is_claim() && last.synced_through == last.at, "the last record is {last:?}");
}

fn rest() -> Rest {
    let server = Server::scripted(|line, _| match line {
        _ if line.contains("<wait") => Answer::Say("450 4.2.0 not now\r\n".to_owned()),
        _ => Answer::Usual,
    });
    let mut daemon = Daemon::prepare("damaged-rest", &lines(&server), "");
    let mut ids = Vec::new();
    for numbers in [0..LETTERS / 2, LETTERS / 2..LETTERS] {
        daemon.run();
        ids.extend(numbers.map(|number| submit(&daemon, number)));
        stop(&mut daemon);
    }
    // A client that pipelines ends a transaction that has no recipients with an empty message.
    let left: Vec<_> = server.taken().into_iter().flat_map(|taken| taken.recipients).collect();
    assert!(
        left.len() == 1 && left[0].starts_with("<now@far.test>"),
        "only who is half done has left: {left:?}"
    );
    let segments = segments(&daemon.path().join("spool"));
    assert_eq!(segments.len(), 2, "each run had a segment of its own");
    let mut rest = Rest { daemon, ids, segments, whole: BTreeMap::new() };
    let found = play(&rest, &Case::new("nothing", |_| ()));
    rest.whole = found.into_iter().map(|(name, mut taken)| (name, taken.remove(0))).collect();
    for number in 0..LETTERS {
        let arrived = &rest.whole[&name(number)];
        assert!(
            arrived.content.ends_with(text(number).as_bytes()),
            "{}",
            String::from_utf8_lossy(&arrived.content)
        );
        assert_eq!(arrived.recipients, [format!("<wait{number}@far.test>")]);
    }
    rest
}

/// All octets that were set aside.
fn set_aside(spool: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(spool.join("postrider/corrupt")).expect("the spool");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths.into_iter().map(|path| fs::read(path).expect("readable")).collect()
}

/// New mail is taken, and leaves with all that is there. What arrived so far, by its sender.
fn leave(daemon: &Daemon, server: &Server, fresh: &str) -> BTreeMap<String, Vec<Taken>> {
    let reply = daemon.client().deliver(
        &format!("{fresh}@origin.test"),
        &["new@far.test"],
        "Subject: new\r\n\r\nnew\r\n",
    );
    assert!(reply.starts_with("250 "), "{fresh}: {reply}");
    // There may be none that is held.
    _ = daemon.command(&["queue", "release", "ALL"]);
    daemon.flush_until_the_queue_is_empty();
    let mut arrived: BTreeMap<String, Vec<Taken>> = BTreeMap::new();
    for mut taken in server.taken() {
        // Their addresses, without parameters.
        taken.recipients.iter_mut().for_each(|one| one.truncate(one.find(' ').unwrap_or(one.len())));
        let sender = taken.mail.trim_start_matches('<').split('@').next().unwrap_or_default().to_owned();
        arrived.entry(sender).or_default().push(taken);
    }
    assert_eq!(arrived.remove(fresh).map_or(0, |copies| copies.len()), 1, "new mail arrives");
    arrived
}

fn holds(all: &[Vec<u8>], octets: &[u8]) -> bool {
    octets.is_empty() || all.iter().any(|file| file.windows(octets.len()).any(|window| window == octets))
}

/// A daemon on a damaged copy, twice: what has arrived.
fn play(rest: &Rest, case: &Case) -> BTreeMap<String, Vec<Taken>> {
    let server = Server::start();
    let mut daemon = Daemon::prepare("damaged-spool", &lines(&server), "");
    let spool = daemon.path().join("spool");
    run(Command::new("cp").arg("-a").args([&rest.spool(), &spool]));
    (case.spoil)(&spool.join("postrider"));
    daemon.run();
    let arrived = leave(&daemon, &server, "fresh");
    let log = daemon.log();
    for said in &case.said {
        assert!(log.contains(said), "{}: the log says nothing of {said:?}", case.what);
    }
    let corrupt = set_aside(&spool);
    for octets in &case.kept {
        assert!(holds(&corrupt, octets), "{}: it is not set aside", case.what);
    }
    assert_eq!(
        case.kept.is_empty(),
        corrupt.is_empty(),
        "{}: {} files are set aside",
        case.what,
        corrupt.len()
    );
    // What was set aside once is not set aside again, and nothing comes back that has left.
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(0), "{}", case.what);
    daemon.run();
    let later = leave(&daemon, &server, "fresher");
    assert_eq!(later.len(), arrived.len() + 1, "{}: the first new one, and nothing else", case.what);
    assert!(set_aside(&spool) == corrupt, "{}: a start changes nothing there", case.what);
    let said = daemon.log() + &daemon.stderr();
    assert!(!said.contains("panic"), "{}: {said}", case.what);
    arrived
}

/// Plays a damage, and compares.
fn judge(rest: &Rest, case: &Case) {
    let mut arrived = play(rest, case);
    for number in 0..LETTERS {
        let (what, name) = (&case.what, name(number));
        let copies = arrived.remove(&name).unwrap_or_default();
        if case.lost.contains(&number) {
            assert!(copies.is_empty(), "{what}: {name} is damaged, and arrived");
            continue;
        }
        let mut expected = rest.whole[&name].clone();
        if case.again && number == HALF_DONE {
            expected.recipients.insert(0, "<now@far.test>".to_owned());
        }
        assert!(copies == [expected], "{what}: {name} arrived {} times", copies.len());
    }
    assert!(arrived.is_empty(), "{}: {:?} was invented", case.what, arrived.keys());
}

#[test]
fn the_daemon_starts_on_any_damaged_spool_and_delivers_what_is_whole() {
    let rest = rest();
    let mut cases = flips(&rest);
    [harmless, truncations, strays].iter().for_each(|more| cases.extend(more(&rest)));
    let start = std::time::Instant::now();
    cases.iter().for_each(|case| judge(&rest, case));
    println!("{} damages, two starts on each, in {:?}", cases.len(), start.elapsed());
    assert!(cases.len() >= 50, "{}", cases.len());
}
