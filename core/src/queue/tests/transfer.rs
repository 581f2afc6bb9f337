//! What is packed is unpacked, in whatever pieces, and a flipped octet is noticed.

use super::super::record::tests::change;
use super::*;
use crate::mail::{Recipient, Standing};
use crate::time::Timestamp;
use crate::wire::Mailbox;
use proptest::prelude::*;

const NEW: QueueId = QueueId(77 << 12 | 5);

/// A message of which something has become.
fn loaded() -> impl Strategy<Value = Loaded> {
    prop::collection::vec(change(), 1..10).prop_filter_map("no commit", |changes| {
        let mut message = changes.iter().find_map(|change| match change {
            Change::Commit(message) => Some(message.clone()),
            _ => None,
        })?;
        message.envelope.recipients.push(Recipient::new(Mailbox::new("you", "here.test")));
        let mut state = State::new(message);
        changes
            .into_iter()
            .filter(|change| !matches!(change, Change::Commit(_)))
            .for_each(|change| state.apply(change));
        Some(state.loaded())
    })
}

fn packed(loaded: &Loaded, content: &[u8]) -> Vec<u8> {
    let mut out = HEADING.as_bytes().to_vec();
    let (mut packer, octets) = Packer::begin(loaded.clone());
    out.extend(octets);
    for piece in content.chunks(7) {
        out.extend(packer.data(piece));
    }
    out.extend(packer.whole());
    out.extend(total(1));
    out
}

/// All parts, when the octets come in pieces of this size.
fn unpacked(octets: &[u8], size: usize) -> Result<Vec<Part>, NotAnExport> {
    let mut unpacker = Unpacker::default();
    let mut parts = Vec::new();
    for piece in octets.chunks(size) {
        unpacker.put(piece);
        while let Some(part) = unpacker.take()? {
            parts.push(part);
        }
    }
    if unpacker.is_ended() { Ok(parts) } else { Err(NotAnExport("it ends early")) }
}

/// The state that the changes of an import come to.
fn arrived(changes: Vec<Change>) -> Loaded {
    let mut changes = changes.into_iter();
    let Some(Change::Commit(message)) = changes.next() else { panic!("the commit comes first") };
    let mut state = State::new(message);
    changes.for_each(|change| state.apply(change));
    state.loaded()
}

fn content_of(loaded: &Loaded) -> Vec<u8> {
    vec![b'x'; usize::try_from(loaded.message.pieces.size() % 1_000).expect("small")]
}

proptest! {
    #[test]
    fn a_message_arrives_with_its_envelope_and_its_fates_under_a_new_name(mut loaded in loaded(), size in 1usize..50) {
        let content = content_of(&loaded);
        loaded.message.pieces = whole_of(content.len() as u64);
        let parts = unpacked(&packed(&loaded, &content), size).unwrap();
        let mut data = Vec::new();
        let mut parcel = None;
        for part in parts {
            match part {
                Part::Begin(begun) => parcel = Some(begun),
                Part::Data(octets) => data.extend(octets),
                Part::Whole => {}
                Part::Total(count) => prop_assert_eq!(count, 1),
                Part::Gone => panic!("nothing is gone"),
            }
        }
        prop_assert_eq!(&data, &content);
        let parcel = parcel.unwrap();
        prop_assert_eq!(parcel.id, loaded.message.id);
        prop_assert_eq!(parcel.clone().changes(NEW, ContentPlace::File, 1 + data.len() as u64), None);
        let changes = parcel.changes(NEW, ContentPlace::File, data.len() as u64).unwrap();
        prop_assert!(changes.iter().all(|change| change.id() == NEW));
        let new = || match &changes[0] {
            Change::Commit(message) => Progress::new(message).summary(NEW),
            other => panic!("the commit comes first: {other:?}"),
        };
        let summary = moved(&changes).unwrap_or_else(new);
        let there = arrived(changes);
        prop_assert_eq!(&there.message.envelope, &loaded.message.envelope);
        prop_assert_eq!((&there.standing, there.marks), (&loaded.standing, loaded.marks));
        prop_assert_eq!(there.message.unknown, loaded.message.unknown);
        let waiting = loaded.standing.iter().filter(|standing| matches!(standing, Standing::Waiting(_)));
        prop_assert_eq!((summary.id, summary.waiting as usize), (NEW, waiting.count()));
        prop_assert_eq!((summary.held, summary.retry_at), (loaded.marks.held, loaded.marks.retry_at));
    }

    #[test]
    fn no_flipped_octet_is_taken_for_a_message(mut loaded in loaded(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let content = content_of(&loaded);
        loaded.message.pieces = whole_of(content.len() as u64);
        let mut octets = packed(&loaded, &content);
        let at = at.index(octets.len());
        octets[at] ^= flip;
        // A letter of the checksum or of a word may change its case, an id is only a name: the message is the same then.
        if let Ok(parts) = unpacked(&octets, 4_096) {
            let whole = unpacked(&packed(&loaded, &content), 4_096).unwrap();
            prop_assert_eq!(parts, whole);
        }
    }

    #[test]
    fn whatever_is_read_neither_panics_nor_grows(octets in prop::collection::vec(any::<u8>(), 0..300), headed in any::<bool>()) {
        let head = if headed { HEADING } else { "" };
        _ = unpacked(&[head.as_bytes(), &octets].concat(), 11);
    }
}

fn one() -> (Loaded, Vec<u8>) {
    let envelope = crate::mail::Envelope {
        recipients: vec![Recipient::new(Mailbox::new("you", "here.test"))],
        arrived: Timestamp(1_000_000),
        ..Default::default()
    };
    let message = Message {
        id: QueueId::new(1_700_000_000_000_000, 1),
        envelope,
        pieces: whole_of(9),
        place: ContentPlace::Inline,
        stored: 9,
        origin: Default::default(),
        message_id: String::new(),
        hold: false,
        checksum: None,
        unknown: Vec::new(),
    };
    (State::new(Box::new(message)).loaded(), b"a: b\r\n\r\nc".to_vec())
}

#[test]
fn a_message_that_left_meanwhile_is_no_message() {
    let (loaded, _) = one();
    let mut octets = HEADING.as_bytes().to_vec();
    let (mut packer, begin) = Packer::begin(loaded);
    octets.extend(begin);
    octets.extend(packer.data(b"half"));
    octets.extend(packer.gone());
    octets.extend(total(0));
    let parts = unpacked(&octets, 3).unwrap();
    assert_eq!(parts[parts.len() - 2..], [Part::Gone, Part::Total(0)]);
}

#[test]
fn a_file_that_is_cut_anywhere_is_not_complete() {
    let (loaded, content) = one();
    let octets = packed(&loaded, &content);
    for end in 0..octets.len() {
        assert!(unpacked(&octets[..end], 64).is_err(), "cut at {end}");
    }
    let more = [octets.as_slice(), b"x"].concat();
    assert_eq!(unpacked(&more, 64).unwrap_err().0, "something follows the end of the export");
    let other = String::from_utf8_lossy(&octets).replacen("export 1", "export 2", 1).into_bytes();
    assert!(unpacked(&other, 64).unwrap_err().0.contains("another version"));
}

#[test]
fn no_length_and_no_line_is_longer_than_its_bound() {
    let (loaded, _) = one();
    let id = loaded.message.id;
    let read = |state: Place, text: &str| {
        let mut unpacker = Unpacker { state, ..Unpacker::default() };
        unpacker.put(text.as_bytes());
        unpacker.take()
    };
    assert_eq!(read(Place::Between, &format!("message {id} 134217728\n")), Ok(None));
    assert_eq!(read(Place::Between, &format!("message {id} 134217729\n")), Err(DAMAGED));
    assert_eq!(read(Place::Inside, "data 1048576\n"), Ok(None));
    assert_eq!(read(Place::Inside, "data 1048577\n"), Err(DAMAGED));
    let padded = |length: usize| format!("data 1{}", " ".repeat(length - 6));
    assert_eq!(read(Place::Inside, &padded(79)), Ok(None), "it may still end in time");
    assert_eq!(read(Place::Inside, &padded(80)), Err(DAMAGED));
    assert_eq!(read(Place::Inside, &format!("{}\n", padded(79))), Ok(None), "80 octets, the end among them");
    assert_eq!(read(Place::Inside, &format!("{}\n", padded(80))), Err(DAMAGED));
}

#[test]
fn a_large_content_is_packed_in_pieces_that_can_be_unpacked() {
    let (loaded, _) = one();
    let (mut packer, _) = Packer::begin(loaded);
    let out = packer.data(&vec![b'x'; (1 << 20) + 5]);
    assert!(out.starts_with(b"data 1048576\nxxx") && out.ends_with(b"xdata 5\nxxxxx"));
}

#[test]
fn a_message_that_would_not_be_written_so_is_no_message() {
    let (loaded, _) = one();
    let id = loaded.message.id;
    let parsed = |change: &dyn Fn(&mut Message), others: &[Change]| {
        let mut message = loaded.message.clone();
        change(&mut message);
        let changes = [&[Change::Commit(Box::new(message))], others].concat();
        Parcel::parse(id, &emit_batch(&changes)).is_some()
    };
    assert!(parsed(&|_| (), &[]) && parsed(&|_| (), &[Change::Hold(id)]));
    assert!(!parsed(&|message| message.id = NEW, &[]), "of another name");
    assert!(!parsed(&|message| message.pieces = whole_of(8), &[]), "a part of its content");
    assert!(!parsed(&|message| message.envelope.recipients.clear(), &[]), "for nobody");
    assert!(!parsed(&|_| (), &[Change::Hold(NEW)]), "with what became of another");
    assert!(!parsed(&|_| (), &[Change::Remove(id)]), "removed");
    assert!(!parsed(&|_| (), &[Change::Commit(Box::new(loaded.message.clone()))]), "twice");
    assert_eq!(Parcel::parse(id, &emit_batch(&[Change::Hold(id)])), None, "no commit");
}

#[test]
fn an_export_that_does_not_have_all_of_its_messages_says_so() {
    let (loaded, content) = one();
    let octets = packed(&loaded, &content);
    let short = octets.strip_suffix(b"total 1\n").expect("one message");
    let why = unpacked(&[short, b"total 2\n"].concat(), 64).unwrap_err();
    assert_eq!(why.0, "the export does not have all of its messages");
}

#[test]
fn every_change_of_a_message_that_moves_gets_its_new_name() {
    let (loaded, _) = one();
    let id = loaded.message.id;
    let at = Timestamp(7);
    let settlement = |id| crate::mail::Settlement { id, at, outcomes: Vec::new(), retry_at: None };
    let all = |id| {
        [
            Change::Commit(Box::new(Message { id, ..loaded.message.clone() })),
            Change::Settle(settlement(id)),
            Change::Hold(id),
            Change::Release(id),
            Change::Retry(id, at),
            Change::Warned(id, at),
            Change::Reported(id, vec![0]),
            Change::Remove(id),
        ]
    };
    assert_eq!(all(id).map(|change| renamed(change, NEW)), all(NEW));
}

#[test]
fn a_new_message_is_new_and_one_with_a_past_is_moved() {
    let (loaded, _) = one();
    let id = loaded.message.id;
    let commit = Change::Commit(Box::new(loaded.message));
    assert_eq!(moved(std::slice::from_ref(&commit)), None);
    // The end of the message that an alias replaced is not this one's.
    assert_eq!(moved(&[Change::Remove(QueueId(4)), commit.clone()]), None);
    let summary = moved(&[commit, Change::Hold(id)]).expect("it has a past");
    assert!(summary.held && summary.waiting == 1);
    assert_eq!(moved(&[Change::Hold(id)]), None);
}
