//! A recording: what entered the manager and the sessions, and when, so that their decisions can be taken again (docs/RECORDING.md).
//!
//! A file is [`MAGIC`] and frames: length, checksum, kind, and a value in postcard's encoding. A file that was cut anywhere is
//! read up to its last whole frame. Of what a machine put out only a count and a digest are kept: enough to see that a decision
//! which is taken again came out otherwise. [`Scribe`] records a session, [`Minutes`] the manager; both only make frames, and
//! who writes them is the driver's business.
//!
//! Knows no file, and no clock but the one in the facts.

mod digest;
mod facts;
mod manager;
mod scribe;
#[cfg(test)]
mod tests;
mod veil;

pub use digest::{Digest, Said};
pub use facts::{Octets, SessionFact};
pub use manager::{Minutes, STATE_MESSAGES_MAX};
pub use scribe::Scribe;

use crate::mail::QueueId;
use crate::manager::{Input, Manager};
use crate::params::Host;
use crate::session::Peer;
use crate::time::{Now, Timestamp, Zone};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a file begins; the digit is the format's.
pub const MAGIC: &[u8; 16] = b"postrider rec 2\n";
/// Octets of one frame; a larger one is not written, and is damage where it is read.
pub const FRAME_MAX: usize = 64 * 1024 * 1024;
/// Octets in front of a frame's value: length, checksum, kind.
const FRAME_HEAD: usize = 9;

/// How a file begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Version of the program that recorded and, behind a plus sign, its commit: only the same takes the same decisions. Older recordings have
    /// the version alone.
    pub version: String,
    /// The number of the file in its ring.
    pub number: u64,
    /// When it was begun.
    pub at: Timestamp,
    /// Contents are whole (`record_content`).
    pub content: bool,
}

/// A configuration in force, as far as the machines are made of it. Comments and passwords are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Sessions name it by this.
    pub number: u32,
    /// CRC-32 of the texts below.
    pub digest: u32,
    /// Text of main.cf.
    pub main_cf: String,
    /// Text of master.cf.
    pub master_cf: String,
    /// The first line of the file that `myorigin` names, if it names one.
    pub origin: Option<String>,
    /// What the host is.
    pub host: Host,
    /// Services that accept clients, and whether they have a certificate.
    pub doors: BTreeMap<String, bool>,
    /// For dates in headers.
    pub zone: Zone,
}

impl Setting {
    /// What [`Setting::digest`] is of these texts.
    #[must_use]
    pub fn digest_of(main_cf: &str, master_cf: &str) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(main_cf.as_bytes());
        hasher.update(master_cf.as_bytes());
        hasher.finalize()
    }
}

/// A session begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Its number.
    pub session: u64,
    /// When.
    pub at: Now,
    /// The service, as in master.cf.
    pub service: String,
    /// It has the settings of stress.
    pub hurried: bool,
    /// The configuration that it keeps.
    pub setting: u32,
    /// Who connected.
    pub peer: Peer,
    /// What the machine put out at once.
    pub said: Said,
}

/// A session was told something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Which session.
    pub session: u64,
    /// Counts the facts of a session from 1: what is missing was lost.
    pub number: u32,
    /// When.
    pub at: Now,
    /// What.
    pub fact: SessionFact,
    /// What the machine put out.
    pub said: Said,
}

/// What a message's content was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Which session brought it.
    pub session: u64,
    /// The message.
    pub id: QueueId,
    /// Octets, as stored.
    pub size: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
}

/// The whole manager between two facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The number of the fact that comes next.
    pub next: u64,
    /// When.
    pub at: Now,
    /// The manager; nothing when it knows too many messages to be written down.
    pub manager: Option<Box<Manager>>,
}

/// The manager was told something.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fact {
    /// Counts the facts: what is missing was lost.
    pub number: u64,
    /// When.
    pub at: Now,
    /// What; nothing when only time passed.
    pub input: Option<Input>,
    /// What the manager put out.
    pub said: Said,
}

/// The value of a frame.
#[derive(Debug)]
pub enum Record {
    /// How the file begins.
    Begin(Begin),
    /// A configuration.
    Setting(Box<Setting>),
    /// The manager.
    State(State),
    /// The manager was told something.
    Fact(Box<Fact>),
    /// A session begins.
    Opened(Opened),
    /// A session was told something.
    Heard(Heard),
    /// What a content was.
    Content(Content),
    /// So many frames could not be kept: the disk was too slow.
    Lost(u64),
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // The records of the same names.
pub enum Kind {
    Begin = 1,
    Setting = 2,
    State = 3,
    Fact = 4,
    Opened = 5,
    Heard = 6,
    Content = 7,
    Lost = 8,
}

/// A frame around a value. A value that is too large or can not be encoded makes none.
#[must_use]
pub fn frame<T: Serialize>(kind: Kind, value: &T) -> Option<Vec<u8>> {
    let mut octets = vec![0; FRAME_HEAD - 1];
    octets.push(kind as u8);
    let octets = postcard::to_extend(value, octets).ok()?;
    close(octets)
}

/// Fills in length and checksum.
fn close(mut octets: Vec<u8>) -> Option<Vec<u8>> {
    let body = octets.get(FRAME_HEAD - 1..)?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= FRAME_MAX)?;
    let checksum = crc32fast::hash(body);
    octets.get_mut(..4)?.copy_from_slice(&length.to_le_bytes());
    octets.get_mut(4..8)?.copy_from_slice(&checksum.to_le_bytes());
    Some(octets)
}

/// Why a file is not read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Octets from the start of the file.
    pub at: usize,
    /// The file ends within a frame, as it does when a daemon was killed; else it is broken.
    pub torn: bool,
    /// For people.
    pub why: String,
}

/// The records of one file, up to its end or the first damage.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    octets: &'a [u8],
    at: usize,
    over: bool,
}

impl<'a> Records<'a> {
    /// Of the octets of a file.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0, over: false }
    }

    fn damage(&self, torn: bool, why: impl Into<String>) -> Damage {
        Damage { at: self.at, torn, why: why.into() }
    }

    fn read(&mut self) -> Result<Option<Record>, Damage> {
        if self.at == 0 {
            let begin = self.octets.get(..MAGIC.len());
            if begin != Some(MAGIC) {
                return Err(self.damage(begin.is_none(), "this is no recording of this format"));
            }
            self.at = MAGIC.len();
        }
        let rest = self.octets.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let torn = || self.damage(true, "the file ends within a record");
        let word = |from: usize| {
            rest.get(from..from + 4).and_then(|octets| Some(u32::from_le_bytes(octets.try_into().ok()?)))
        };
        let (length, checksum) = (word(0).ok_or_else(torn)? as usize, word(4).ok_or_else(torn)?);
        if length == 0 || length > FRAME_MAX {
            return Err(self.damage(false, "a record has an impossible length"));
        }
        let body = rest.get(FRAME_HEAD - 1..FRAME_HEAD - 1 + length).ok_or_else(torn)?;
        if crc32fast::hash(body) != checksum {
            return Err(self.damage(false, "the checksum of a record is wrong"));
        }
        let record = decode(body).ok_or_else(|| self.damage(false, "a record can not be understood"))?;
        self.at += FRAME_HEAD - 1 + length;
        Ok(Some(record))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let result = self.read();
        self.over = !matches!(result, Ok(Some(_)));
        result.transpose()
    }
}

fn decode(body: &[u8]) -> Option<Record> {
    let (kind, value) = body.split_first()?;
    Some(match *kind {
        1 => Record::Begin(postcard::from_bytes(value).ok()?),
        2 => Record::Setting(postcard::from_bytes(value).ok()?),
        3 => Record::State(postcard::from_bytes(value).ok()?),
        4 => Record::Fact(postcard::from_bytes(value).ok()?),
        5 => Record::Opened(postcard::from_bytes(value).ok()?),
        6 => Record::Heard(postcard::from_bytes(value).ok()?),
        7 => Record::Content(postcard::from_bytes(value).ok()?),
        8 => Record::Lost(postcard::from_bytes(value).ok()?),
        _ => return None,
    })
}
