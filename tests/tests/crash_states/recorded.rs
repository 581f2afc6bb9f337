//! The same for a day of the daemon itself, and of commands that leave mail for it: what they did to files, which replies were sent and how commands ended
//! was written down between them and the kernel.
//!
//! Shows what the machines alone can not: that the calls which the daemon really makes are those that the log asked for, that no 250 leaves before
//! the sync that makes it true has come back, and that a message which `sendmail` has taken is in the maildrop until it is in the log.

use crate::explore::{Explorer, Step};
use crate::ledger::{Known, Note};
use crate::platter::{DropOp, Folder};
use nix::sys::signal::Signal;
use postrider_core::mail::QueueId;
use postrider_core::prng::Prng;
use postrider_core::queue::{File, Op, Params};
use postrider_tests::daemon::Daemon;
use postrider_tests::faults::{Action, Faults, Kind};
use postrider_tests::wait_for;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

const SEGMENT: u64 = 65_536;
const CLIENTS: u64 = 3;
/// Messages of each client.
const MESSAGES: u64 = 36;
/// Messages that `sendmail` leaves while the daemon works, and then so many while it is stopped.
const LEFT: [u64; 2] = [24, 6];
/// Disks for each moment.
const BUDGET: usize = 1_300;
/// Different disks, messages moved by compaction, and segments given up, that there must be at least.
const DISKS: usize = 100_000;
const MOVED: usize = 15;
const GIVEN_UP: usize = 5;

/// Stored octets of each message, as they were submitted.
type Contents = BTreeMap<QueueId, Vec<u8>>;

/// What the library wrote down.
struct Entry {
    kind: u8,
    path: String,
    offset: u64,
    octets: Vec<u8>,
}

fn entries(record: &[u8]) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut rest = record;
    while rest.len() >= 32 {
        let word = |at: usize| u64::from_ne_bytes(rest[at..at + 8].try_into().expect("eight octets"));
        let (kind, path, offset, size) = (word(0) as u8, word(8) as usize, word(16), word(24) as usize);
        let text = String::from_utf8_lossy(&rest[32..32 + path]).into_owned();
        let octets = rest[32 + path..32 + path + size].to_vec();
        rest = &rest[32 + path + size..];
        found.push(Entry { kind, path: text, offset, octets });
    }
    assert!(rest.is_empty(), "the record ends with an entry");
    found
}

/// Says something in the record, in its order.
fn mark(record: &Path, text: &str) {
    let mut octets = Vec::new();
    [u64::from(b'm'), 0, 0, text.len() as u64].iter().for_each(|word| octets.extend(word.to_ne_bytes()));
    octets.extend_from_slice(text.as_bytes());
    let mut file = OpenOptions::new().append(true).open(record).expect("the daemon records");
    file.write_all(&octets).expect("the daemon records");
}

const fn is_large(number: u64) -> bool {
    number % 9 == 8
}

fn text(number: u64) -> String {
    let lines = if is_large(number) { 6_000 } else { 5 + number * 37 % 500 };
    format!("Subject: {number}\r\n\r\n{}", "A line of this message.\r\n".repeat(lines as usize))
}

/// What commands leave, with the field that they would add.
fn letter(number: u64) -> String {
    format!("From: me@origin.test\r\n{}", text(number))
}

/// Submits a message; most are deleted again, some are held.
fn send(daemon: &Daemon, record: &Path, contents: &Mutex<Contents>, number: u64) {
    let text = text(number);
    let reply = daemon.client().deliver("me@origin.test", &["you@far.test"], &text);
    let id = reply.trim_end().strip_prefix("250 2.0.0 Ok: queued as ").expect("accepted");
    let known: QueueId = id.parse().expect("an id");
    contents.lock().expect("no client panics").insert(known, text.into_bytes());
    match number % 8 {
        0 => {}
        1 => order(daemon, "hold", id),
        _ => delete(daemon, record, id),
    }
}

fn order(daemon: &Daemon, verb: &str, id: &str) {
    assert!(daemon.command(&["queue", verb, id]).status.success(), "{verb} {id}");
}

fn delete(daemon: &Daemon, record: &Path, id: &str) {
    mark(record, &format!("removing {id}"));
    order(daemon, "delete", id);
    // While an attempt runs the order only waits for its end; the log tells when the removal is written.
    _ = daemon.wait_for_log(&format!("{id}: removed"));
    mark(record, &format!("removed {id}"));
}

/// Leaves a message in the maildrop.
fn leave(daemon: &Daemon, faults: &Faults, number: u64) {
    let mut sendmail = Command::new(&daemon.program)
        .args(["sendmail", "-f", &format!("left{number}@origin.test"), "-C"])
        .arg(daemon.config())
        .arg("you@far.test")
        .envs(faults.recording_environment())
        .stdin(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let text = letter(number).replace("\r\n", "\n");
    sendmail.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    assert!(sendmail.wait().expect("it is ours").success(), "{number}");
    mark(faults.record(), &format!("left {number}"));
}

/// Waits until a message that was left is in the queue: its id.
fn taken_in(daemon: &Daemon, number: u64) -> String {
    let line = daemon.wait_for_log(&format!(": from=<left{number}@origin.test>"));
    line.split(' ')
        .find_map(|word| word.strip_suffix(':').filter(|word| word.parse::<QueueId>().is_ok()))
        .expect("an id")
        .to_owned()
}

/// What is known of a day.
struct Day {
    record: Vec<Entry>,
    contents: Contents,
    /// What was left in the maildrop, by its number.
    left: BTreeMap<u64, QueueId>,
    /// The spool's own folder, with a slash.
    below: String,
}

/// A day of the daemon.
fn day(name: &str, lies: bool) -> Day {
    let lines =
        format!("relayhost = [127.0.0.1]:1\nspool_segment_size = {SEGMENT}\nspool_reserve = {SEGMENT}");
    let mut daemon = Daemon::prepare(name, &lines, "");
    daemon.program = postrider_tests::released();
    let spool = fs::canonicalize(daemon.path()).expect("a scratch folder").join("spool");
    let faults = Faults::new(daemon.path(), &spool);
    daemon.environment = faults.recording_environment();
    faults.set_recording(true);
    if lies {
        faults.arm(Kind::Sync, 1, u64::MAX, Action::Nothing);
    }
    daemon.run();
    let contents = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (daemon, contents, record) = (&daemon, &contents, faults.record());
            scope.spawn(move || {
                (0..MESSAGES).for_each(|number| send(daemon, record, contents, client * MESSAGES + number));
            });
        }
        scope.spawn(|| {
            for number in 0..LEFT[0] {
                leave(&daemon, &faults, number);
                if number % 3 > 0 {
                    delete(&daemon, faults.record(), &taken_in(&daemon, number));
                }
            }
        });
    });
    wait_for("the outcomes", || daemon.log().contains("status=deferred").then_some(()));
    // What is left now waits for the next start, and all that happens in it.
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    let numbers = 0..LEFT[0] + LEFT[1];
    numbers.clone().skip(LEFT[0] as usize).for_each(|number| leave(&daemon, &faults, number));
    daemon.run();
    let left: BTreeMap<u64, QueueId> =
        numbers.map(|number| (number, taken_in(&daemon, number).parse().expect("an id"))).collect();
    let is_taken_out =
        || fs::read_dir(spool.join("postrider/maildrop")).is_ok_and(|mut files| files.next().is_none());
    wait_for("the maildrop to be empty", || is_taken_out().then_some(()));
    daemon.kill();
    let record = entries(&fs::read(faults.record()).expect("the record"));
    let below = format!("{}/postrider/", spool.display());
    let mut contents = contents.into_inner().expect("no client panics");
    contents.extend(left.iter().map(|(number, id)| (*id, letter(*number).into_bytes())));
    Day { record, contents, left, below }
}

/// Numbers of the files of the maildrop, by their names behind `tmp.` and `new.`: their senders have them.
fn numbers(day: &Day) -> BTreeMap<&str, u32> {
    let unready = format!("{}maildrop/tmp.", day.below);
    let of = |entry: &Entry| {
        let octets = String::from_utf8_lossy(&entry.octets);
        let (_, behind) = octets.split_once("\"sender\":\"left")?;
        behind.split_once('@')?.0.parse().ok()
    };
    let files = day.record.iter().filter(|entry| entry.kind == b'w');
    files.filter_map(|entry| Some((entry.path.strip_prefix(&unready)?, of(entry)?))).collect()
}

/// What was done to a file of the maildrop.
fn dropped(kind: u8, offset: u64, octets: &[u8]) -> Option<DropOp> {
    Some(match kind {
        b'c' => DropOp::Create,
        b'w' => DropOp::Write(offset, octets.to_vec()),
        b's' => DropOp::Sync,
        b'r' => DropOp::Rename,
        b'u' => DropOp::Unlink,
        _ => return None,
    })
}

/// The record as a history.
fn history(day: &Day) -> Vec<Step> {
    let local: BTreeMap<QueueId, u64> = day.left.iter().map(|(number, id)| (*id, *number)).collect();
    let begun = |(id, octets): (&QueueId, &Vec<u8>)| {
        let user = local.get(id).map_or_else(|| "me".to_owned(), |number| format!("left{number}"));
        let people = Known::People(format!("{user}@origin.test"), vec!["you@far.test".to_owned()]);
        Step::Note(Note::Begun(*id, people, octets.clone()))
    };
    let mut steps: Vec<Step> = day.contents.iter().map(begun).collect();
    let numbers = numbers(day);
    for Entry { kind, path, offset, octets } in &day.record {
        let name = path.strip_prefix(&day.below).unwrap_or_default();
        let (folder, last) = name.split_once('/').unwrap_or_default();
        let file = File::of(folder, last);
        let number =
            last.split_once('.').and_then(|(_, name)| numbers.get(name)).filter(|_| folder == "maildrop");
        if let Some(number) = number {
            steps.extend(dropped(*kind, *offset, octets).map(|op| Step::Dropped(*number, op)));
            continue;
        }
        let said = String::from_utf8_lossy(octets);
        let id = |said: &str| said.split_whitespace().next_back().and_then(|word| word.parse().ok());
        let step = match (kind, file, name) {
            // A segment is allocated in the next call; without that it is as good as not there.
            (b'c', Some(file @ File::Content(_)), _) => Step::Did(Op::Create { file, size: 0 }),
            (b'a', Some(file), _) => Step::Did(Op::Create { file, size: *offset }),
            (b'w', Some(file), _) => {
                Step::Did(Op::Write { file, offset: *offset, octets: vec![octets.clone()] })
            }
            (b's', Some(file), _) => Step::Did(Op::Sync(file)),
            (b's', None, "log") => Step::Names(Folder::Log),
            (b's', None, "contents") => Step::Names(Folder::Contents),
            (b's', None, "corrupt") => Step::Names(Folder::Corrupt),
            (b's', None, "maildrop") => Step::Names(Folder::Maildrop),
            (b'u', Some(file), _) => Step::Did(Op::Unlink(file)),
            (b'+', ..) => Step::Note(Note::Accepted(id(&said).expect("an id in the reply"))),
            (b'm', ..) if said.starts_with("left") => {
                let number = said[5..].parse().expect("a number");
                Step::Note(Note::Left(number, day.left[&u64::from(number)]))
            }
            (b'm', ..) if said.starts_with("removing") => {
                Step::Note(Note::Removing(id(&said).expect("an id")))
            }
            (b'm', ..) => Step::Note(Note::Removed(id(&said).expect("an id"))),
            // A segment that is only made: see above. What lies in other folders promises nothing.
            (b'c', Some(File::Segment(_)), _) => continue,
            (_, None, _) if !["log", "contents", "corrupt"].contains(&folder) => continue,
            // Who steps over it judges another disk.
            _ => panic!("{} of {path:?}, and nobody knows what it does", char::from(*kind)),
        };
        steps.push(step);
    }
    steps
}

/// How many messages were written into the log once more: compaction has moved them. The same octets at the same place, as a start writes them,
/// move nothing. `large` of all messages are not in the log.
fn moved(day: &Day, large: usize) -> usize {
    let (log, field) = (format!("{}log/", day.below), b"Subject: ");
    let mut places = BTreeSet::new();
    for entry in day.record.iter().filter(|entry| entry.kind == b'w' && entry.path.starts_with(&log)) {
        let found = entry.octets.windows(field.len()).enumerate().filter(|(_, octets)| octets == field);
        places.extend(found.map(|(at, _)| (&entry.path, entry.offset + at as u64)));
    }
    places.len() + large - day.contents.len()
}

fn explorer() -> Explorer {
    Explorer::new(Params { segment_size: SEGMENT, reserve: SEGMENT, ..Params::default() }).tearing()
}

/// What the judge says of the same day, if these steps had done nothing.
fn with_a_lie(steps: &[Step], is_lie: impl Fn(&Step) -> bool) -> String {
    let lied: Vec<Step> = steps.iter().filter(|step| !is_lie(step)).cloned().collect();
    assert!(lied.len() < steps.len(), "nothing was lied about");
    explorer().explore(&lied, 4, &mut Prng::new(1)).expect_err("a loss")
}

/// Either is true of a log that was not synced, and which is seen first is chance: a message that was acknowledged is not there, or a record that says
/// "what lies before me is durable" is there without what lies before it.
fn is_of_an_unsynced_log(found: &str) -> bool {
    found.contains("is lost") || found.contains("a crash is not damage")
}

#[test]
fn no_power_failure_in_a_day_of_the_daemon_loses_or_invents_a_message() {
    let day = day("recorded", false);
    let steps = history(&day);
    let notes = |is_one: fn(&Note) -> bool| {
        steps.iter().filter(|step| matches!(step, Step::Note(note) if is_one(note))).count() as u64
    };
    assert_eq!(notes(|note| matches!(note, Note::Accepted(_))), CLIENTS * MESSAGES, "every reply was seen");
    let left = LEFT[0] + LEFT[1];
    assert_eq!(notes(|note| matches!(note, Note::Left(..))), left, "every command ended well");
    let taken_out = |step: &&Step| matches!(step, Step::Dropped(_, DropOp::Unlink));
    assert_eq!(steps.iter().filter(taken_out).count() as u64, left, "each was taken in");
    let given_up = |step: &&Step| matches!(step, Step::Did(Op::Unlink(File::Segment(_))));
    let given_up = steps.iter().filter(given_up).count();
    assert!(given_up >= GIVEN_UP, "{given_up} segments were given up");
    let contents = |step: &&Step| matches!(step, Step::Did(Op::Create { file: File::Content(_), .. }));
    let large = steps.iter().filter(contents).count();
    let expected = (0..CLIENTS * MESSAGES).chain(0..left).filter(|number| is_large(*number)).count();
    assert_eq!(large, expected, "each large content has a file of its own");
    let moved = moved(&day, large);
    assert!(moved >= MOVED, "compaction has moved {moved} messages");
    // The directories above, too: who finds no `log` finds no message.
    let (record, below) = (&day.record, &day.below);
    let first = record.iter().position(|entry| entry.kind == b'+').expect("a reply");
    for above in [below.trim_end_matches('/'), below.trim_end_matches("/postrider/")] {
        assert!(record[..first].iter().any(|entry| entry.kind == b's' && entry.path == above), "{above}");
    }
    let (mut explorer, start) = (explorer(), Instant::now());
    assert_eq!(explorer.explore(&steps, BUDGET, &mut Prng::new(1)), Ok(()));
    println!(
        "{} steps, {large} large contents, {moved} messages moved, {given_up} segments given up, \
         {} different disks, {} recoveries, in {:?}",
        steps.len(),
        explorer.states.len(),
        explorer.recoveries,
        start.elapsed()
    );
    assert!(explorer.states.len() >= DISKS, "{}", explorer.states.len());
    // And the judge is awake: the same day, if syncs had done nothing; of the log, of the maildrop's names, and of what lies in it.
    let found = with_a_lie(&steps, |step| matches!(step, Step::Did(Op::Sync(File::Segment(_)))));
    assert!(is_of_an_unsynced_log(&found), "{found}");
    let found = with_a_lie(&steps, |step| matches!(step, Step::Names(Folder::Maildrop)));
    assert!(found.contains("sendmail has ended with 0"), "{found}");
    let found = with_a_lie(&steps, |step| matches!(step, Step::Dropped(_, DropOp::Sync)));
    assert!(found.contains("the maildrop's file"), "{found}");
}

#[test]
fn a_daemon_whose_syncs_do_nothing_is_found_out() {
    let day = day("recorded-lie", true);
    assert!(!day.record.iter().any(|entry| entry.kind == b's'), "nothing was synced");
    let found = explorer().explore(&history(&day), 2, &mut Prng::new(1)).expect_err("a loss");
    assert!(is_of_an_unsynced_log(&found), "{found}");
}
