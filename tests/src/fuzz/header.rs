//! A header: its fields, and the addresses in them.

use super::octets::{Octets, however_cut};
use postrider_core::wire::header::{self, End, Field, HeaderReader, Line};
use postrider_core::wire::{Mailbox, address_list};
use std::ops::Range;

/// Reads a header under a bound that the first octets choose, and the addresses of each field, and puts them in again.
///
/// # Panics
/// When a law is broken.
pub fn header(octets: &[u8]) {
    let mut octets = Octets(octets);
    let max = usize::from(octets.octet()) * 64;
    let tokens_max = usize::from(octets.octet());
    let content = octets.0;
    let (kept, fields, end) = however_cut(content, |pieces| {
        let mut reader = HeaderReader::new(max);
        pieces.iter().for_each(|piece| reader.push(piece));
        reader.finish();
        (reader.octets().to_vec(), reader.fields().to_vec(), reader.end())
    });
    assert!(kept.len() <= max && content.starts_with(&kept));
    let mut at = 0;
    for field in &fields {
        assert_eq!(field.range.start, at, "fields follow one another without a gap");
        at = field.range.end;
        is_field(field, field.octets(&kept), tokens_max);
    }
    assert_eq!(at, kept.len());
    let behind = content.get(at..).unwrap_or_default();
    match end {
        Some(End::Blank) => assert!(behind.starts_with(b"\r\n")),
        Some(End::Content) => assert!(behind.is_empty()),
        Some(End::Bound) => assert!(content.len() > max),
        Some(End::NoBlank) => assert!(!behind.is_empty()),
        None => panic!("a content that ended has a header that ended"),
    }
    assert_eq!(header::fields(&kept), fields, "a header that is held whole has the same fields");
}

fn is_field(field: &Field, octets: &[u8], tokens_max: usize) {
    let name = header::name(octets);
    match header::classify(octets) {
        Line::Field { name: length } => {
            assert_eq!((field.name, name.len()), (length, length));
            assert!(name.iter().all(u8::is_ascii_graphic));
        }
        // The line that a mailbox puts in front.
        other => assert!(field.name == 0 && field.range.start == 0, "{other:?}"),
    }
    assert!(header::logical(octets).len() <= 3 * octets.len());
    has_addresses(header::value(octets), usize::MAX);
    has_addresses(header::value(octets), tokens_max);
}

/// The addresses of a value stand in it in order, and the same addresses put in their places are found there again.
fn has_addresses(value: &[u8], tokens_max: usize) {
    let places = address_list::addresses(value, tokens_max);
    let mut at = 0;
    for place in &places {
        assert!(at <= place.range.start && place.range.start < place.range.end, "{places:?}");
        at = place.range.end;
    }
    assert!(at <= value.len());
    let mailboxes = |places: &[address_list::Place]| -> Vec<Mailbox> {
        places.iter().map(|place| place.mailbox.clone()).collect()
    };
    if tokens_max == usize::MAX {
        let edits: Vec<(Range<usize>, Mailbox)> =
            places.iter().map(|place| (place.range.clone(), place.mailbox.clone())).collect();
        let again = address_list::replace(value, &edits);
        let found = address_list::addresses(&again, usize::MAX);
        assert_eq!(mailboxes(&found), mailboxes(&places), "{:?}", String::from_utf8_lossy(&again));
    }
}
