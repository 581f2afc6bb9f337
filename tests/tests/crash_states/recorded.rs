//! The same for a day of the daemon itself: what it did to its files and which replies it sent was written down between it and the kernel.
//!
//! Shows what the machines alone can not: that the calls which the daemon really makes are those that the log asked for, and that no 250 leaves before
//! the sync that makes it true has come back.

use crate::explore::{Explorer, Step};
use crate::ledger::Note;
use crate::platter::Folder;
use postrider_core::mail::QueueId;
use postrider_core::prng::Prng;
use postrider_core::queue::{File, Op, Params};
use postrider_tests::daemon::Daemon;
use postrider_tests::faults::{Action, Faults, Kind};
use postrider_tests::wait_for;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

const SEGMENT: u64 = 65_536;
const CLIENTS: u64 = 3;
/// Messages of each client.
const MESSAGES: u64 = 36;
/// Disks for each moment.
const BUDGET: usize = 14;

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

fn text(number: u64) -> String {
    let lines = if number % 9 == 8 { 6_000 } else { 5 + number * 37 % 500 };
    format!("Subject: {number}\r\n\r\n{}", "A line of this message.\r\n".repeat(lines as usize))
}

/// Submits a message; most are deleted again, some are held.
fn send(daemon: &Daemon, record: &Path, contents: &Mutex<BTreeMap<QueueId, Vec<u8>>>, number: u64) {
    let text = text(number);
    let reply = daemon.client().deliver("me@origin.test", &["you@far.test"], &text);
    let id = reply.trim_end().strip_prefix("250 2.0.0 Ok: queued as ").expect("accepted");
    let known: QueueId = id.parse().expect("an id");
    contents.lock().expect("no client panics").insert(known, text.into_bytes());
    let order = |verb: &str| assert!(daemon.command(&["queue", verb, id]).status.success(), "{verb} {id}");
    match number % 8 {
        0 => {}
        1 => order("hold"),
        _ => {
            mark(record, &format!("removing {id}"));
            order("delete");
            // While an attempt runs the order only waits for its end; the log tells when the removal is written.
            _ = daemon.wait_for_log(&format!("{id}: removed"));
            mark(record, &format!("removed {id}"));
        }
    }
}

/// A day of the daemon: its record, and the stored octets of each message.
fn day(name: &str, lies: bool) -> (Vec<Entry>, BTreeMap<QueueId, Vec<u8>>, String) {
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
    });
    wait_for("the outcomes", || daemon.log().contains("status=deferred").then_some(()));
    daemon.kill();
    let record = entries(&fs::read(faults.record()).expect("the record"));
    let below = format!("{}/postrider/", spool.display());
    (record, contents.into_inner().expect("no client panics"), below)
}

/// The record as a history.
fn history(record: &[Entry], contents: &BTreeMap<QueueId, Vec<u8>>, below: &str) -> Vec<Step> {
    let mut steps: Vec<Step> =
        contents.iter().map(|(id, octets)| Step::Note(Note::Begun(*id, None, octets.clone()))).collect();
    for Entry { kind, path, offset, octets } in record {
        let name = path.strip_prefix(below).unwrap_or_default();
        let file = name.split_once('/').and_then(|(folder, name)| File::of(folder, name));
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
            (b'u', Some(file), _) => Step::Did(Op::Unlink(file)),
            (b'+', ..) => Step::Note(Note::Accepted(id(&said).expect("an id in the reply"))),
            (b'm', ..) if said.starts_with("removing") => {
                Step::Note(Note::Removing(id(&said).expect("an id")))
            }
            (b'm', ..) => Step::Note(Note::Removed(id(&said).expect("an id"))),
            _ => continue,
        };
        steps.push(step);
    }
    steps
}

fn explorer() -> Explorer {
    Explorer::new(Params { segment_size: SEGMENT, reserve: SEGMENT, ..Params::default() })
}

#[test]
fn no_power_failure_in_a_day_of_the_daemon_loses_or_invents_a_message() {
    let (record, contents, below) = day("recorded", false);
    let steps = history(&record, &contents, &below);
    let replies = steps.iter().filter(|step| matches!(step, Step::Note(Note::Accepted(_)))).count();
    assert_eq!(replies as u64, CLIENTS * MESSAGES, "every reply was seen");
    let given_up = |step: &&Step| matches!(step, Step::Did(Op::Unlink(File::Segment(_))));
    assert!(steps.iter().filter(given_up).count() > 0, "segments were given up");
    // The directories above, too: who finds no `log` finds no message.
    let first = record.iter().position(|entry| entry.kind == b'+').expect("a reply");
    for above in [below.trim_end_matches('/'), below.trim_end_matches("/postrider/")] {
        assert!(record[..first].iter().any(|entry| entry.kind == b's' && entry.path == above), "{above}");
    }
    let mut explorer = explorer();
    assert_eq!(explorer.explore(&steps, BUDGET, &mut Prng::new(1)), Ok(()));
    println!(
        "{} steps, {} different disks, {} recoveries",
        steps.len(),
        explorer.states.len(),
        explorer.recoveries
    );
    // And the judge is awake: the same day, if the syncs of the log had done nothing.
    let mut lied = steps;
    lied.retain(|step| !matches!(step, Step::Did(Op::Sync(File::Segment(_)))));
    let found = self::explorer().explore(&lied, 2, &mut Prng::new(1)).expect_err("a loss");
    assert!(found.contains("is lost"), "{found}");
}

#[test]
fn a_daemon_whose_syncs_do_nothing_is_found_out() {
    let (record, contents, below) = day("recorded-lie", true);
    let steps = history(&record, &contents, &below);
    assert!(!record.iter().any(|entry| entry.kind == b's'), "nothing was synced");
    let found = explorer().explore(&steps, 2, &mut Prng::new(1)).expect_err("a loss");
    assert!(found.contains("was accepted, and is lost"), "{found}");
}
