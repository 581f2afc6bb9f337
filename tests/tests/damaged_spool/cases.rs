//! The damages, and what must become of each.

use crate::{HALF_DONE, LARGE, LETTERS, Rest, find, name, text};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A damage, and what must become of it.
pub(crate) struct Case {
    pub(crate) what: String,
    pub(crate) spoil: Box<dyn Fn(&Path)>,
    /// Letters that do not arrive.
    pub(crate) lost: BTreeSet<usize>,
    /// Who had the half-done one already gets it again.
    pub(crate) again: bool,
    /// What the log says, whatever else it says.
    pub(crate) said: Vec<String>,
    /// What lies in `corrupt/`, each somewhere in it.
    pub(crate) kept: Vec<Vec<u8>>,
}

impl Case {
    pub(crate) fn new(what: impl Into<String>, spoil: impl Fn(&Path) + 'static) -> Self {
        let (lost, again, said, kept) = (BTreeSet::new(), false, Vec::new(), Vec::new());
        Self { what: what.into(), spoil: Box::new(spoil), lost, again, said, kept }
    }

    /// One bit of a file of the spool.
    pub(crate) fn flip(what: impl Into<String>, file: &str, at: usize) -> Self {
        let file = file.to_owned();
        Self::new(what, move |spool| {
            let file =
                OpenOptions::new().read(true).write(true).open(spool.join(&file)).expect("it is there");
            let mut octet = [0];
            file.read_exact_at(&mut octet, at as u64).expect("it is as long");
            file.write_all_at(&[octet[0] ^ 1 << (at % 8)], at as u64).expect("ours to write");
        })
    }

    pub(crate) fn cut(what: impl Into<String>, file: &str, length: usize) -> Self {
        let file = file.to_owned();
        Self::new(what, move |spool| {
            let file = OpenOptions::new().write(true).open(spool.join(&file)).expect("it is there");
            file.set_len(length as u64).expect("ours to write");
        })
    }

    /// A file that no daemon has made.
    pub(crate) fn stray(file: &str, octets: &'static [u8]) -> Self {
        let file = file.to_owned();
        Self::new(format!("a stray {file}"), move |spool| {
            fs::write(spool.join(&file), octets).expect("ours to write");
        })
    }

    pub(crate) fn loses(mut self, letters: impl IntoIterator<Item = usize>) -> Self {
        self.lost.extend(letters);
        self
    }

    pub(crate) fn says(mut self, text: impl Into<String>) -> Self {
        self.said.push(text.into());
        self
    }

    pub(crate) fn keeps(mut self, octets: &[u8]) -> Self {
        self.kept.push(octets.to_vec());
        self
    }
}

/// What the log says of a letter that is set aside.
pub(crate) fn named(rest: &Rest, number: usize) -> String {
    format!("{}: error: ", rest.ids[number])
}

/// Bits of records: of a small letter and of a large one, in the segment that is full and in the last.
pub(crate) fn flips(rest: &Rest) -> Vec<Case> {
    let mut cases = Vec::new();
    for number in [0, 2, 4, 6, 9, 11] {
        let (segment, frame) = rest.commit(number);
        let (name, text) = (name(number), text(number));
        let envelope = frame.at + find(&segment.octets[frame.at..], &name).expect("its sender");
        let mut places = vec![("frame", frame.at + 41), ("envelope", envelope)];
        if !LARGE.contains(&number) {
            places.push(("content", frame.content.midpoint(frame.end)));
        }
        for (place, at) in places {
            let mut case = Case::flip(format!("a bit of the {place} of {name}"), &segment.name, at)
                .loses([number])
                .keeps(b"origin.test")
                .says("is damaged; it is set aside as corrupt/");
            if place != "content" {
                // With what the record said where: a content of its own is of no use to the daemon without it, but to a person it is.
                case = case.keeps(text.as_bytes());
            }
            if place != "frame" {
                case = case.says(named(rest, number));
            }
            cases.push(case);
        }
    }
    for number in LARGE {
        let (name, file, length) = (name(number), rest.content_file(number), text(number).len());
        for at in [0, length / 2, length - 1] {
            let case = Case::flip(format!("octet {at} of the content file of {name}"), &file, at);
            cases.push(case.loses([number]).keeps(name.as_bytes()).says(named(rest, number)));
        }
    }
    cases
}

/// Bits whose damage costs no message.
pub(crate) fn harmless(rest: &Rest) -> Vec<Case> {
    let [first, last] = &rest.segments[..] else { panic!("two segments") };
    let mut cases = Vec::new();
    for segment in [first, last] {
        for copy in [0, 512] {
            let what = format!("the header of {} at {copy}", segment.name);
            let said = "one of the two headers of segment";
            cases.push(Case::flip(what, &segment.name, copy + 16).says(said));
        }
    }
    let outcome = first.place("Ok: taken", false);
    let frame = first.frames.iter().rfind(|frame| frame.at < outcome).expect("it lies in a frame");
    let kept = first.octets[frame.at..frame.content].iter().enumerate();
    let kept: Vec<u8> =
        kept.map(|(at, octet)| octet ^ u8::from(frame.at + at == outcome) << (outcome % 8)).collect();
    let case = Case::flip("an outcome", &first.name, outcome).says(named(rest, HALF_DONE)).keeps(&kept);
    cases.push(Case { again: true, ..case });
    // Nothing lies behind the last record, so this one is no loss: it says only that all before it is durable.
    let claim = last.frames.last().expect("records").at;
    cases.push(
        Case::flip("the last record", &last.name, claim + 33)
            .says("ends in a batch that was not written to its end"),
    );
    cases.push(Case::flip("what is blank", &last.name, last.octets.len() - 1_000));
    cases
}

pub(crate) fn truncations(rest: &Rest) -> Vec<Case> {
    let mut cases = Vec::new();
    let half = LETTERS / 2;
    for (segment, letters) in rest.segments.iter().zip([0..half, half..LETTERS]) {
        let middle = rest.commit(letters.start + 2).1;
        let lengths = [
            ("to nothing", 0),
            ("within its header", 700),
            ("behind its header", 1024),
            ("before a record", middle.at),
            ("within a record", middle.at + 60),
            ("within a content", middle.content.midpoint(middle.end)),
        ];
        for (place, length) in lengths {
            let stays = |number: &usize| rest.commit(*number).1.end <= length;
            let lost: Vec<usize> = letters.clone().filter(|number| !stays(number)).collect();
            let mut case = Case::cut(format!("{} cut off {place}", segment.name), &segment.name, length)
                .says("of the spool")
                .loses(lost.clone());
            // Of the last segment nobody knows whether it was begun, if nothing is left.
            if length > 0 || segment.name == rest.segments[0].name {
                // An empty file says that there was more. A content of its own is still there, although its record was cut off.
                case = case.keeps(b"");
                for number in lost.iter().filter(|number| LARGE.contains(number)) {
                    case = case.keeps(text(*number).as_bytes());
                }
            }
            if (middle.at + 1..middle.end).contains(&length) {
                case = case
                    .says("is damaged; it is set aside as corrupt/")
                    .keeps(&segment.octets[middle.at..length]);
            }
            cases.push(case);
        }
    }
    let last = rest.segments.last().expect("a segment");
    let blank = last.octets.len() - 1_000;
    cases.push(
        Case::cut("the blank end cut off", &last.name, blank)
            .says("messages at its end may be lost")
            .keeps(&[0; 512]),
    );
    for length in [0, 1, 100_000] {
        let (number, file) = (LARGE[0], rest.content_file(LARGE[0]));
        let case = Case::cut(format!("a content file cut off at {length}"), &file, length).loses([number]);
        let said = format!("whose content file has {length} octets, which is not its length");
        cases.push(
            case.says(named(rest, number))
                .says(said)
                .keeps(name(number).as_bytes())
                .keeps(&text(number).as_bytes()[..length]),
        );
    }
    cases
}

/// Files that are missing, and files that are nobody's.
pub(crate) fn strays(rest: &Rest) -> Vec<Case> {
    let (number, file) = (LARGE[1], rest.content_file(LARGE[1]));
    let removed = move |spool: &Path| fs::remove_file(spool.join(&file)).expect("ours to remove");
    let missing = Case::new("a missing content file", removed).loses([number]).says(named(rest, number));
    let number = name(number);
    vec![
        missing.says("a message whose content file is missing").keeps(number.as_bytes()),
        Case::stray("log/notes", b"These are not the octets of a segment."),
        Case::stray("log/1", b"A segment's number has 16 digits."),
        Case::stray("log/00000000000000FF", b"They are small letters."),
        Case::stray("log/0000000000000040", b"").says("is cut off before its first frame: it is removed"),
        Case::stray("log/0000000000000041", b"This is in the place of a segment.")
            .says("its header is damaged")
            .keeps(b"This is in the place of a segment."),
        Case::stray("contents/README", b"No queue id."),
        Case::stray("corrupt/looked-at", b"A person was here.").keeps(b"A person was here."),
        Case::stray("notes", b"Beside them all."),
        Case::new("a directory in the place of a segment", |spool| {
            fs::create_dir(spool.join("log/0000000000000042")).expect("ours to make");
        })
        .says("segment 66 of the spool")
        .says("it stays where it is"),
    ]
}
