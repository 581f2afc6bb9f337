//! One message of the queue: `postrider queue show`, `postcat -q`.
//!
//! Content is printed as it arrives, with the line ends of this host; where header and body part is found on the way.

use super::{Failure, Setup, ask, print};
use crate::control::{Reply, Request};
use crate::trouble::told;
use postrider_core::mail::QueueId;
use std::io::{self, BufWriter, Write};

/// Which parts of a message to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) envelope: bool,
    pub(super) header: bool,
    pub(super) body: bool,
}

impl Parts {
    pub(super) const ALL: Self = Self { envelope: true, header: true, body: true };
    pub(super) const NONE: Self = Self { envelope: false, header: false, body: false };
}

fn closed(error: &io::Error) -> Failure {
    Failure::new(74, format!("standard output: {}", told(error)))
}

/// As postcat(1) prints a queue file.
pub(super) fn as_text(setup: &Setup, id: QueueId, parts: Parts) -> Result<(), Failure> {
    let mut content =
        Content { out: BufWriter::new(io::stdout().lock()), parts, place: Place::HeaderLine, cr: false };
    ask(setup, &Request::Show(id), |reply| {
        match reply {
            Reply::Envelope(lines) if parts.envelope => {
                let mut text = format!("*** ENVELOPE RECORDS {id} ***\n");
                text.extend(lines.iter().map(|(name, value)| format!("{name}: {}\n", readable(name, value))));
                text.push_str(&format!("*** MESSAGE CONTENTS {id} ***\n"));
                content.out.write_all(text.as_bytes())
            }
            Reply::Content(octets) => content.put(&octets),
            _ => Ok(()),
        }
        .map_err(|error| closed(&error))
    })?;
    content
        .end(&format!("*** HEADER EXTRACTED {id} ***\n*** MESSAGE FILE END {id} ***\n"))
        .map_err(|error| closed(&error))
}

/// Seconds as a person reads them; other values as they are.
fn readable(name: &str, value: &str) -> String {
    let at = (name == "message_arrival_time").then(|| value.parse().ok()).flatten();
    let at = at.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    at.map_or_else(
        || value.to_owned(),
        |at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S %Y").to_string(),
    )
}

/// One object: envelope as pairs, content as text, or as base64 where it is none.
pub(super) fn as_json(setup: &Setup, id: QueueId) -> Result<(), Failure> {
    let mut content = Vec::new();
    let mut envelope = Vec::new();
    ask(setup, &Request::Show(id), |reply| {
        match reply {
            Reply::Envelope(lines) => envelope = lines,
            Reply::Content(octets) => content.extend_from_slice(&octets),
            _ => {}
        }
        Ok(())
    })?;
    let mut object = serde_json::json!({ "queue_id": id.to_string(), "envelope": envelope });
    match String::from_utf8(content) {
        Ok(text) => object["content"] = text.into(),
        Err(error) => object["content_base64"] = data_encoding::BASE64.encode(error.as_bytes()).into(),
    }
    print(&format!("{object}\n"))
}

/// Where in the message we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    /// In the header, at the start of a line.
    HeaderLine,
    Body,
}

struct Content<W: Write> {
    out: W,
    parts: Parts,
    place: Place,
    /// A CR waits: it ends a line, or it is an octet of it.
    cr: bool,
}

impl<W: Write> Content<W> {
    fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        for &octet in octets {
            if std::mem::take(&mut self.cr) && octet != b'\n' {
                self.octet(b'\r')?;
            }
            if octet == b'\r' {
                self.cr = true;
            } else {
                self.octet(octet)?;
            }
        }
        Ok(())
    }

    /// The empty line is the body's, as postcat(1) has it.
    fn octet(&mut self, octet: u8) -> io::Result<()> {
        self.place = match (self.place, octet) {
            (Place::Body, _) | (Place::HeaderLine, b'\n') => Place::Body,
            (Place::Header, b'\n') => Place::HeaderLine,
            (Place::Header | Place::HeaderLine, _) => Place::Header,
        };
        let shown = if self.place == Place::Body { self.parts.body } else { self.parts.header };
        if shown { self.out.write_all(&[octet]) } else { Ok(()) }
    }

    fn end(mut self, heading: &str) -> io::Result<()> {
        if std::mem::take(&mut self.cr) {
            self.octet(b'\r')?;
        }
        if self.parts.envelope {
            self.out.write_all(heading.as_bytes())?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parts: Parts, chunks: &[&[u8]]) -> String {
        let mut content = Content { out: Vec::new(), parts, place: Place::HeaderLine, cr: false };
        for chunk in chunks {
            content.put(chunk).expect("a vector takes all");
        }
        String::from_utf8(content.out).expect("text")
    }

    #[test]
    fn header_and_body_part_at_the_empty_line_wherever_chunks_end() {
        let chunks: [&[u8]; 4] = [b"A: 1\r", b"\nB: 2\r\n", b"\r", b"\nbo\rdy\r\n\r\nend\r\n"];
        assert_eq!(shown(Parts { header: true, ..Parts::NONE }, &chunks), "A: 1\nB: 2\n");
        assert_eq!(shown(Parts { body: true, ..Parts::NONE }, &chunks), "\nbo\rdy\n\nend\n");
        assert_eq!(shown(Parts::ALL, &chunks), "A: 1\nB: 2\n\nbo\rdy\n\nend\n");
    }
}
