//! Just enough of the log's form to know what lies where (core/src/queue/frame.rs).

use postrider_core::mail::QueueId;
use std::fs;
use std::path::Path;

/// What a frame of the log begins with, at a multiple of 16 octets (core/src/queue/frame.rs).
pub(crate) const MAGIC: [u8; 4] = 0xf7a3_e51d_u32.to_le_bytes();

/// A record of a segment.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) at: usize,
    /// Where its content begins, and where that ends.
    pub(crate) content: usize,
    pub(crate) end: usize,
    pub(crate) synced_through: usize,
    pub(crate) subject: QueueId,
    pub(crate) commits: bool,
}

impl Frame {
    /// It says only how far the segment is durable.
    pub(crate) const fn is_claim(&self) -> bool {
        self.content == self.at + 48
    }
}

pub(crate) fn frames(segment: &[u8]) -> Vec<Frame> {
    let word = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().expect("four octets")) as usize;
    let long = |at: usize| u64::from_le_bytes(segment[at..at + 8].try_into().expect("eight octets"));
    let begins = |at: &usize| segment.get(*at..*at + 48).is_some_and(|octets| octets.starts_with(&MAGIC));
    let places = (0..segment.len()).step_by(16).filter(begins);
    let frame = |at: usize| {
        let content = at + 48 + word(at + 12);
        let (synced_through, subject) = (long(at + 32) as usize, QueueId(long(at + 40)));
        let commits = segment[at + 5] & 1 != 0;
        Frame { at, content, end: content + word(at + 16), synced_through, subject, commits }
    };
    places.map(frame).collect()
}

pub(crate) fn find(octets: &[u8], text: &str) -> Option<usize> {
    octets.windows(text.len()).position(|window| window == text.as_bytes())
}

/// A segment of the spool at rest.
pub(crate) struct Segment {
    /// Below the spool.
    pub(crate) name: String,
    pub(crate) octets: Vec<u8>,
    pub(crate) frames: Vec<Frame>,
}

impl Segment {
    /// A place of this text in records of this kind.
    pub(crate) fn place(&self, text: &str, commits: bool) -> usize {
        let of_kind = self.frames.iter().filter(|frame| frame.commits == commits);
        let places = |frame: &Frame| Some(frame.at + find(&self.octets[frame.at..frame.content], text)?);
        of_kind.filter_map(places).next().unwrap_or_else(|| panic!("{}: no record has {text}", self.name))
    }
}

/// Segments that are used, in their order.
pub(crate) fn segments(spool: &Path) -> Vec<Segment> {
    let log = spool.join("postrider/log");
    let entries = fs::read_dir(&log).expect("a spool");
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    let all = names.into_iter().map(|name| {
        let octets = fs::read(log.join(&name)).expect("a segment");
        Segment { name: format!("log/{name}"), frames: frames(&octets), octets }
    });
    all.filter(|segment| !segment.frames.is_empty()).collect()
}
