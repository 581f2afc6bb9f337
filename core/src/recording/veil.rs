//! Content with its words taken out and its form left: enough for every decision of ours.
//!
//! Line ends, dots at the start of lines and the names of header fields stay, and so do fields that cleanup reads: addresses,
//! Message-Id, Date, trace fields. Every other octet becomes a mask. What decides by the rest of a header is a table, and what the
//! table said is a fact of its own. (A line that stands where a field belongs and is none keeps its first word.)

use super::facts::MASK;
use crate::cleanup::decides;

/// Octets of a field's name that are looked at.
const NAME_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    /// Before a line of the header; whether the field before it stays.
    Line(bool),
    /// In the name of a field; behind it, when a space was seen.
    Name(Vec<u8>, bool),
    /// In the value of a field; whether it stays.
    Value(bool),
    /// In the body; whether at the start of a line.
    Body(bool),
}

/// Goes through the content of one message, wherever it is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Veil(At);

impl Veil {
    /// Before the first octet.
    pub(super) const fn new() -> Self {
        Self(At::Line(false))
    }

    /// Masks what must not be seen.
    pub(super) fn cover(&mut self, octets: &mut [u8]) {
        for octet in octets {
            if !self.shows(*octet) {
                *octet = MASK;
            }
        }
    }

    fn shows(&mut self, octet: u8) -> bool {
        match (&mut self.0, octet) {
            (At::Line(_), b'\r' | b'\n') => self.go(At::Body(octet == b'\n'), true),
            (At::Line(stays), b' ' | b'\t') => {
                let stays = *stays;
                self.go(At::Value(stays), true)
            }
            (At::Line(_), _) if octet.is_ascii_graphic() => self.go(At::Name(vec![octet], false), true),
            (At::Line(_), _) => self.go(At::Body(false), false),
            (At::Name(name, _), b':') => {
                let stays = decides(name);
                self.go(At::Value(stays), true)
            }
            (At::Name(name, _), b' ') if matches!(name.as_slice(), b"From" | b">From") => {
                self.go(At::Value(false), true)
            }
            (At::Name(_, spaced), b' ' | b'\t') => {
                *spaced = true;
                true
            }
            (At::Name(..), b'\n') => self.go(At::Body(true), true),
            (At::Name(name, false), _) if octet.is_ascii_graphic() => {
                let room = name.len() < NAME_MAX;
                if room {
                    name.push(octet);
                }
                room
            }
            (At::Name(..), _) => self.go(At::Body(false), octet == b'\r'),
            (At::Value(stays), b'\n') => {
                let stays = *stays;
                self.go(At::Line(stays), true)
            }
            (At::Value(stays), _) => *stays || octet == b'\r',
            (At::Body(_), b'\n') => self.go(At::Body(true), true),
            (At::Body(start), _) => {
                let dot = std::mem::take(start) && octet == b'.';
                dot || octet == b'\r'
            }
        }
    }

    fn go(&mut self, at: At, shows: bool) -> bool {
        self.0 = at;
        shows
    }
}
