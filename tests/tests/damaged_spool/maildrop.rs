//! The same for what commands have left while no daemon ran.

use crate::{LARGE, LETTERS, leave, lines, name, text};
use nix::sys::signal::Signal;
use postrider_tests::daemon::Daemon;
use postrider_tests::server::Server;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// Leaves a letter in the maildrop: its file, if nobody takes it out at once.
fn leave_in_maildrop(daemon: &Daemon, number: usize) -> Option<PathBuf> {
    let maildrop = daemon.path().join("spool/postrider/maildrop");
    let files = || -> BTreeSet<PathBuf> {
        fs::read_dir(&maildrop).expect("a maildrop").map(|entry| entry.unwrap().path()).collect()
    };
    let before = files();
    daemon.sendmail(
        &format!("{}@origin.test", name(number)),
        "you@far.test",
        &text(number).replace("\r\n", "\n"),
    );
    files().difference(&before).next().cloned()
}

/// What happens to octets in the maildrop, and what it is called.
type Spoil = (&'static str, fn(&mut Vec<u8>));

const SPOILS: [Spoil; 9] = [
    ("a bit of its length", |octets| octets[3] ^= 2),
    ("a bit of its checksum", |octets| octets[20] ^= 2),
    ("a bit of its envelope", |octets| octets[40] ^= 2),
    ("a bit of its content", |octets| *octets.last_mut().expect("a content") ^= 2),
    ("an octet more", |octets| octets.push(b'x')),
    ("cut off in its content", |octets| octets.truncate(octets.len() - 1)),
    ("cut off in its envelope", |octets| octets.truncate(50)),
    ("cut off in its checksum", |octets| octets.truncate(20)),
    ("cut off to nothing", Vec::clear),
];

#[test]
fn what_is_damaged_in_the_maildrop_is_set_aside_and_the_rest_arrives_once() {
    let server = Server::start();
    let mut daemon = Daemon::start("damaged-maildrop", &lines(&server));
    let stop = |daemon: &mut Daemon| {
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.wait(), Some(0));
    };
    stop(&mut daemon);
    let files: Vec<PathBuf> = (0..LETTERS)
        .map(|number| leave_in_maildrop(&daemon, number).expect("nobody else is there"))
        .collect();
    // Whole ones are the first, one in the middle, which is large, and the last; a large one is damaged, too.
    let whole = BTreeSet::from([0, LARGE[0], LETTERS - 1]);
    let damaged: Vec<usize> = (0..LETTERS).filter(|number| !whole.contains(number)).collect();
    assert!(damaged.len() == SPOILS.len() && damaged.contains(&LARGE[1]));
    let mut bad = BTreeMap::new();
    for (number, (_, spoil)) in damaged.iter().zip(SPOILS) {
        let mut octets = fs::read(&files[*number]).expect("it was left");
        spoil(&mut octets);
        fs::write(&files[*number], &octets).expect("ours to write");
        let name = files[*number].file_name().expect("a name").to_string_lossy().replacen("new.", "bad.", 1);
        bad.insert(files[*number].with_file_name(name), octets);
    }
    // What is no message at all, and what is nobody's business.
    let maildrop = files[0].parent().expect("a folder");
    fs::create_dir(maildrop.join("new.folder")).expect("ours to make");
    for stray in ["README", "tmp.half"] {
        fs::write(maildrop.join(stray), "?").expect("ours to write");
    }
    daemon.run();
    let arrived = |daemon: &Daemon, fresh: &str| leave(daemon, &server, fresh);
    _ = server.wait(whole.len());
    for place in bad.keys().chain([&maildrop.join("bad.folder")]) {
        _ = daemon.wait_for_log(&format!("kept as {}, look at it and remove it", place.display()));
    }
    // Mail from commands goes on, too.
    _ = leave_in_maildrop(&daemon, LETTERS);
    _ = server.wait(whole.len() + 1);
    let first = arrived(&daemon, "fresh");
    for number in whole.iter().chain([&LETTERS]) {
        let copies = &first[&name(*number)];
        assert!(copies.len() == 1 && copies[0].content.ends_with(text(*number).as_bytes()), "{number}");
    }
    assert_eq!(first.len(), whole.len() + 1, "{:?}", first.keys());
    stop(&mut daemon);
    daemon.run();
    assert_eq!(arrived(&daemon, "fresher").len(), first.len() + 1, "the first new one, and nothing else");
    let left: BTreeMap<PathBuf, Vec<u8>> = fs::read_dir(maildrop)
        .expect("a maildrop")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).expect("readable")))
        .collect();
    bad.extend(["README", "tmp.half"].map(|name| (maildrop.join(name), b"?".to_vec())));
    assert!(left == bad, "what is damaged stays as it is: {:?}", left.keys());
    assert!(!(daemon.log() + &daemon.stderr()).contains("panic"));
}
