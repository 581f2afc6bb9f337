//! How a message lies in a mailbox: the streaming encoder, and the names of Maildir files.
//!
//! Lines end in LF there. A mailbox file has a `From ` line in front, `>` before lines that look like one, and an empty line behind;
//! a Maildir file is the message alone. Segments of the content do not matter.

use super::{Deposit, Format};
use crate::mail::Sender;
use crate::time::Timestamp;
use crate::wire::date;

const FROM: &[u8] = b"From ";

/// Turns content with CRLF lines into what is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Encoder {
    format: Format,
    /// A CR that may begin a line end.
    cr: bool,
    /// How many octets of `From ` a line begins with so far; `None` when it does not begin so.
    matched: Option<usize>,
    /// The last octet written was LF.
    ended: bool,
}

impl Encoder {
    /// The encoder, and what stands in front of the content: the `From ` line and the fields of the deposit.
    #[must_use]
    pub fn new(deposit: &Deposit, sender: &Sender, now: Timestamp, offset: i32) -> (Self, Vec<u8>) {
        let mut encoder = Self { format: deposit.format, cr: false, matched: Some(0), ended: true };
        let mut out = Vec::new();
        if deposit.format == Format::Mbox {
            let sender = match sender {
                Sender::Null => "MAILER-DAEMON".to_owned(),
                Sender::Mailbox(mailbox) => mailbox.external().replace(char::is_control, "?"),
            };
            out.extend_from_slice(format!("From {sender}  {}\n", date::mbox(now, offset)).as_bytes());
        }
        out.extend(encoder.take(&deposit.header));
        (encoder, out)
    }

    /// The next octets of the content.
    pub fn take(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(octets.len() + 16);
        for octet in octets {
            if std::mem::take(&mut self.cr) && *octet != b'\n' {
                self.put(b'\r', &mut out);
            }
            if *octet == b'\r' {
                self.cr = true;
            } else {
                self.put(*octet, &mut out);
            }
        }
        out
    }

    /// The end of the content.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if std::mem::take(&mut self.cr) {
            self.put(b'\r', &mut out);
        }
        if let Some(held) = self.matched.take().filter(|held| *held > 0) {
            self.release(held, &mut out);
        }
        if !self.ended {
            out.push(b'\n');
        }
        if self.format == Format::Mbox {
            out.push(b'\n');
        }
        self.ended = true;
        out
    }

    fn put(&mut self, octet: u8, out: &mut Vec<u8>) {
        if self.format == Format::Mbox
            && let Some(matched) = self.matched
        {
            if FROM.get(matched) == Some(&octet) {
                self.matched = (matched + 1 < FROM.len()).then_some(matched + 1);
                if self.matched.is_none() {
                    out.push(b'>');
                    self.release(FROM.len(), out);
                }
                return;
            }
            self.release(matched, out);
            self.matched = None;
        }
        out.push(octet);
        self.ended = octet == b'\n';
        if self.ended {
            self.matched = Some(0);
        }
    }

    fn release(&mut self, held: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(FROM.get(..held).unwrap_or_default());
        self.ended &= held == 0;
    }
}

/// The name of a Maildir file while it is written: `SECONDS.MmicrosecondsPprocessQsequence.HOST` in `tmp/`.
#[must_use]
pub fn maildir_temporary(now: Timestamp, process: u32, sequence: u64, host: &str) -> String {
    format!("{}.M{}P{process}Q{sequence}.{}", now.seconds(), now.microseconds(), clean_host(host))
}

/// The name of a Maildir file once it is complete, from its device and inode: `SECONDS.VdevIinoMmicroseconds.HOST` in `new/`.
#[must_use]
pub fn maildir_final(now: Timestamp, device: u64, inode: u64, host: &str) -> String {
    format!("{}.V{device:x}I{inode:x}M{}.{}", now.seconds(), now.microseconds(), clean_host(host))
}

/// `/` would name a directory and `:` begin the flags.
fn clean_host(host: &str) -> String {
    host.replace('/', "\\057").replace(':', "\\072")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Mailbox;

    fn deposit(format: Format) -> Deposit {
        Deposit { format, header: b"Return-Path: <>\r\nDelivered-To: a@b\r\n".to_vec(), ..Deposit::default() }
    }

    fn encoded(format: Format, content: &[u8], cut: usize) -> Vec<u8> {
        let (mut encoder, mut out) =
            Encoder::new(&deposit(format), &Sender::Null, Timestamp::from_seconds(0), 0);
        content.chunks(cut.max(1)).for_each(|chunk| out.extend(encoder.take(chunk)));
        out.extend(encoder.finish());
        out
    }

    #[test]
    fn a_mailbox_file_has_its_line_its_quotes_and_its_end() {
        let content = b"From: x\r\nA: b\r\n\r\nFrom here\r\n>From there\r\nFrom";
        assert_eq!(
            String::from_utf8(encoded(Format::Mbox, content, 100)).unwrap(),
            "From MAILER-DAEMON  Thu Jan  1 00:00:00 1970\nReturn-Path: <>\nDelivered-To: a@b\nFrom: x\nA: b\n\n\
             >From here\n>From there\nFrom\n\n"
        );
    }

    #[test]
    fn a_maildir_file_is_the_message_alone() {
        let content = b"A: b\r\n\r\nFrom here\r\nbare\rcr\r\n";
        assert_eq!(
            encoded(Format::Maildir, content, 1),
            b"Return-Path: <>\nDelivered-To: a@b\nA: b\n\nFrom here\nbare\rcr\n"
        );
    }

    #[test]
    fn a_sender_can_not_write_a_line_of_its_own() {
        let sender = Sender::Mailbox(Mailbox::new("a\nFrom b", "x"));
        let (_, out) = Encoder::new(&deposit(Format::Mbox), &sender, Timestamp::default(), 0);
        assert_eq!(out.iter().filter(|octet| **octet == b'\n').count(), 3);
    }

    #[test]
    fn maildir_names_tell_time_file_and_host() {
        let now = Timestamp(1_000_002);
        assert_eq!(maildir_final(now, 0x801, 0xabc, "a/b:c"), "1.V801IabcM2.a\\057b\\072c");
        assert_eq!(maildir_temporary(now, 7, 3, "h"), "1.M2P7Q3.h");
    }

    proptest::proptest! {
        #[test]
        fn segments_do_not_matter(content in "(From |[Fr\r\n>]|\r\n){0,30}", cut in 1usize..7) {
            for format in [Format::Mbox, Format::Maildir] {
                proptest::prop_assert_eq!(
                    encoded(format, content.as_bytes(), cut),
                    encoded(format, content.as_bytes(), content.len())
                );
            }
        }

        #[test]
        fn no_line_of_a_message_begins_another(content: Vec<u8>) {
            let out = encoded(Format::Mbox, &content, 3);
            let lines = out.split(|octet| *octet == b'\n').filter(|line| line.starts_with(FROM)).count();
            proptest::prop_assert_eq!(lines, 1);
        }
    }
}
