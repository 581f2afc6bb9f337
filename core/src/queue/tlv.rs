//! Numbers, octet strings and tagged fields: the alphabet of the records.
//!
//! Numbers are little-endian base 128, signed ones zigzag. Every reader is total over arbitrary octets and allocates no
//! more than it was given: lists are bounded by the octets around them, never by a count that the octets claim.

use crate::wire::SyntaxError;

/// A reading position.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    octets: &'a [u8],
    at: usize,
}

type Read<T> = Result<T, SyntaxError>;

impl<'a> Cursor<'a> {
    pub(super) const fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0 }
    }

    pub(super) const fn wrong<T>(&self, expected: &'static str) -> Read<T> {
        Err(SyntaxError { at: self.at, expected })
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.at >= self.octets.len()
    }

    pub(super) fn end(&self) -> Read<()> {
        if self.is_at_end() { Ok(()) } else { self.wrong("the end of the field") }
    }

    pub(super) fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let end = self.at.checked_add(length);
        let Some(taken) = end.and_then(|end| self.octets.get(self.at..end)) else {
            return self.wrong("more octets");
        };
        self.at += length;
        Ok(taken)
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        self.at = self.octets.len();
        rest
    }

    pub(super) fn octet(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn fixed(&mut self) -> Read<u64> {
        let taken = self.take(8)?;
        Ok(u64::from_le_bytes(taken.try_into().expect("eight octets were taken")))
    }

    pub(super) fn number(&mut self) -> Read<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let octet = self.octet()?;
            let part = u64::from(octet & 0x7f);
            if shift == 63 && part > 1 {
                return self.wrong("a number of 64 bits");
            }
            value |= part << shift;
            if octet & 0x80 == 0 {
                return Ok(value);
            }
        }
        self.wrong("a number of at most ten octets")
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Read<T> {
        let value = self.number()?;
        T::try_from(value).or_else(|_| self.wrong("a smaller number"))
    }

    pub(super) fn signed(&mut self) -> Read<i64> {
        let folded = self.number()?;
        Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    pub(super) fn octets(&mut self) -> Read<&'a [u8]> {
        let length = self.small()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Read<&'a str> {
        let octets = self.octets()?;
        std::str::from_utf8(octets).or_else(|_| self.wrong("UTF-8"))
    }

    pub(super) fn optional_text(&mut self) -> Read<Option<String>> {
        match self.octet()? {
            0 => Ok(None),
            1 => Ok(Some(self.text()?.to_owned())),
            _ => self.wrong("0 or 1"),
        }
    }
}

pub(super) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_number(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(super) fn put_octets(out: &mut Vec<u8>, octets: &[u8]) {
    put_number(out, octets.len() as u64);
    out.extend_from_slice(octets);
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_octets(out, text.as_bytes());
}

pub(super) fn put_optional_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => out.push(0),
        Some(text) => {
            out.push(1);
            put_text(out, text);
        }
    }
}

/// A field: its tag, the length of its value, its value.
pub(super) fn put_field(out: &mut Vec<u8>, tag: u64, value: impl FnOnce(&mut Vec<u8>)) {
    put_number(out, tag);
    let start = out.len();
    value(out);
    let length = (out.len() - start) as u64;
    // The length goes in front of what is written already: its own octets come last, and are turned to the front.
    put_number(out, length);
    let octets = out.len() - start - length as usize;
    out[start..].rotate_right(octets);
}

#[cfg(test)]
mod tests {
    use super::*;

    quickcheck::quickcheck! {
        fn numbers_read_back(value: u64, signed: i64) -> bool {
            let mut out = Vec::new();
            put_number(&mut out, value);
            put_signed(&mut out, signed);
            let mut cursor = Cursor::new(&out);
            cursor.number() == Ok(value) && cursor.signed() == Ok(signed) && cursor.end().is_ok()
        }
    }

    #[test]
    fn a_field_of_any_length_reads_back_also_within_another() {
        for length in [0, 1, 127, 128, 129, 16_383, 16_384, 2_097_152] {
            let value = vec![b'x'; length];
            let mut out = b"before".to_vec();
            put_field(&mut out, 7, |out| put_field(out, 300, |out| out.extend_from_slice(&value)));
            let mut cursor = Cursor::new(out.strip_prefix(b"before").expect("what was there stays"));
            assert_eq!(cursor.number(), Ok(7));
            let mut inner = Cursor::new(cursor.octets().expect("a field"));
            assert!(cursor.end().is_ok(), "nothing follows the field");
            assert_eq!((inner.number(), inner.octets()), (Ok(300), Ok(&value[..])), "{length} octets");
            assert!(inner.end().is_ok());
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_no_number() {
        assert!(Cursor::new(&[0xff; 11]).number().is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).number().is_err());
    }

    #[test]
    fn a_length_beyond_the_octets_takes_nothing() {
        let mut out = Vec::new();
        put_number(&mut out, u64::MAX);
        assert!(Cursor::new(&out).octets().is_err());
    }
}
