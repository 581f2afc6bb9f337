//! Octets behind DATA or BDAT: decoded, their header read, made 7-bit, and encoded again for the next hop.

use super::octets::{Octets, however_cut};
use postrider_core::wire::content::Decoder;
use postrider_core::wire::header::HeaderReader;
use postrider_core::wire::{ContentEncoder, SevenBit};

/// What a decoder makes of octets: the content, and how many were used if the end was among them.
type Decoded = (Vec<u8>, Option<usize>);

/// One message through everything that touches content.
///
/// # Panics
/// When a law is broken.
pub fn content(octets: &[u8]) {
    let mut octets = Octets(octets);
    let choice = octets.octet();
    let dots = choice & 1 == 0;
    let (content, ended) = however_cut(octets.0, |pieces| decode(dots, pieces));
    assert_eq!(ended, if dots { true_end(octets.0) } else { None }, "only CRLF.CRLF ends a message");
    assert!(content.len() <= 2 * octets.0.len() + 2);
    assert!(content.is_empty() || content.ends_with(b"\r\n"));
    assert!(!has_bare_lf(&content), "each LF is the end of a line");

    let header = however_cut(&content, |pieces| {
        let mut reader = HeaderReader::new(1 << 16);
        pieces.iter().for_each(|piece| reader.push(piece));
        reader.finish();
        (reader.octets().to_vec(), reader.fields().to_vec(), reader.end())
    });
    assert!(content.starts_with(&header.0) && header.2.is_some());

    let seven = however_cut(&content, |pieces| seven_bit(usize::from(choice >> 1 & 3), pieces));
    for limit in [0, 2 + usize::from(choice), 998] {
        is_encoded(&content, limit);
        is_encoded(&seven, limit);
    }
}

fn decode(dots: bool, pieces: &[&[u8]]) -> Decoded {
    let mut decoder = if dots { Decoder::data() } else { Decoder::chunks() };
    let (mut out, mut used) = (Vec::new(), 0);
    for piece in pieces {
        let progress = decoder.decode(piece, &mut out);
        used += progress.used;
        if progress.ended {
            return (out, Some(used));
        }
        assert_eq!(progress.used, piece.len());
    }
    decoder.finish(&mut out);
    (out, None)
}

/// Octets up to and with the first CRLF.CRLF; the CRLF of the command counts.
fn true_end(octets: &[u8]) -> Option<usize> {
    let all = [b"\r\n", octets].concat();
    all.windows(5).position(|five| five == b"\r\n.\r\n").map(|at| at + 3)
}

fn has_bare_lf(octets: &[u8]) -> bool {
    octets.iter().enumerate().any(|(at, octet)| *octet == b'\n' && (at == 0 || octets[at - 1] != b'\r'))
}

fn seven_bit(nesting: usize, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut converter, mut out) = (SevenBit::new(nesting, 70), Vec::new());
    pieces.iter().for_each(|piece| converter.convert(piece, &mut out));
    converter.finish(&mut out);
    out
}

/// What leaves us is well formed, and whoever undoes it has the content again, but for what must not be sent.
fn is_encoded(content: &[u8], limit: usize) {
    let (out, broke_line) = however_cut(content, |pieces| {
        let (mut encoder, mut out) = (ContentEncoder::new(limit), Vec::new());
        pieces.iter().for_each(|piece| encoder.encode(piece, &mut out));
        encoder.finish(&mut out);
        (out, encoder.broke_line())
    });
    assert_eq!(true_end(&out), Some(out.len()), "the end is the end");
    assert!(!out.contains(&0) && !has_bare_lf(&out));
    let bare_cr = |(at, octet): (usize, &u8)| *octet == b'\r' && out.get(at + 1) != Some(&b'\n');
    assert!(!out.iter().enumerate().any(bare_cr));
    let longest = out.split(|octet| *octet == b'\n').map(<[u8]>::len).max().unwrap_or(0);
    // The CR, and a dot that is doubled, do not count.
    assert!(limit == 0 || longest <= limit + 2, "{longest} octets in a line of at most {limit}");
    let (again, ended) = decode(true, &[&out]);
    assert_eq!(ended, Some(out.len()));
    if !broke_line {
        assert_eq!(again, sendable(content));
    }
}

/// The content with a space for each octet that must not leave us, and with an end to its last line.
fn sendable(content: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(content.len() + 2);
    for (at, octet) in content.iter().enumerate() {
        let in_line_end = match octet {
            b'\r' => content.get(at + 1) == Some(&b'\n'),
            b'\n' => at > 0 && content[at - 1] == b'\r',
            octet => *octet != 0,
        };
        out.push(if in_line_end { *octet } else { b' ' });
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}
