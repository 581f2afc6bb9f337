//! A notice to the postmaster: what was said on a connection on which there was trouble (`notify_classes`).
//!
//! Promise: it is ASCII and its lines are short, whatever the peer said; its sender is `double_bounce_sender`, so that nobody
//! reports on it; and there are no more than [`NOTICES_PER_MINUTE_MAX`].

use super::Params;
use crate::limits::NOTICES_PER_MINUTE_MAX;
use crate::mail::{BodyType, Envelope, Notice, NoticeClass, Recipient, Sender, Voice};
use crate::time::{Duration, Instant, Now};
use crate::wire::{Mailbox, address_list, date};
use std::fmt::Write as _;

const MINUTE: Duration = Duration::from_secs(60);

/// Envelope and content, CRLF throughout; `None` when the parameter names nobody. `withheld` notices before this one were not
/// sent. `offset` is minutes east of UTC.
#[must_use]
pub fn notice(
    notice: &Notice,
    params: &Params,
    now: Now,
    offset: i32,
    withheld: u64,
) -> Option<(Envelope, Vec<u8>)> {
    let bounce = notice.classes.has(NoticeClass::Bounce);
    let to = if bounce { &params.bounce_notice_recipient } else { &params.error_notice_recipient };
    let to = address_list::mailboxes(to).into_iter().next()?;
    let content = content(notice, params, now, offset, withheld, &to);
    let envelope = Envelope {
        sender: Sender::Mailbox(Mailbox::new(&params.double_bounce_sender, &params.myhostname)),
        recipients: vec![Recipient::new(to)],
        arrived: now.wall,
        body: BodyType::SevenBit,
        ..Envelope::default()
    };
    Some((envelope, content))
}

fn content(notice: &Notice, params: &Params, now: Now, offset: i32, withheld: u64, to: &Mailbox) -> Vec<u8> {
    let Params { mail_name, myhostname, .. } = params;
    let (side, peer) = (notice.side, shown(notice.peer.as_bytes()));
    let classes: Vec<&str> = notice.classes.words().collect();
    let mut text = format!(
        "Date: {}\r\nFrom: Mail Delivery System <MAILER-DAEMON>\r\nTo: Postmaster <{}>\r\n\
         Subject: {} {side}: errors from {peer}\r\nAuto-Submitted: auto-generated\r\n\r\n\
         The {side} at host {} had trouble with {peer}.\r\n\
         Of these classes of notify_classes: {}.\r\n\r\n",
        date::rfc5322(now.wall, offset),
        shown(to.external().as_bytes()),
        shown(mail_name.as_bytes()),
        shown(myhostname.as_bytes()),
        classes.join(", "),
    );
    let mut put = |line: std::fmt::Arguments<'_>| {
        // Writing to a String does not fail.
        _ = text.write_fmt(line);
        text.push_str("\r\n");
    };
    if withheld > 0 {
        put(format_args!("{withheld} more such notices were not sent since the last one."));
        put(format_args!(""));
    }
    put(format_args!("This was said:"));
    put(format_args!(""));
    if notice.transcript.dropped > 0 {
        put(format_args!(" (the first {} lines are not shown)", notice.transcript.dropped));
    }
    for (voice, line) in notice.transcript.lines() {
        let sign = if voice == Voice::Peer { "In:  " } else { "Out: " };
        put(format_args!(" {sign}{}", shown(line)));
    }
    put(format_args!(""));
    put(format_args!("The log has the rest."));
    text.into_bytes()
}

/// Octets as ASCII that can not end a line: whatever is not printable as `\x` and two digits.
fn shown(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for octet in octets {
        match octet {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*octet)),
            // Writing to a String does not fail.
            _ => _ = write!(text, "\\x{octet:02x}"),
        }
    }
    text
}

/// How many notices may still be sent in this minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Allowance {
    since: Option<Instant>,
    sent: u32,
    withheld: u64,
}

impl Allowance {
    /// May another one be sent? If so: how many were not, since the last.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.since(since) >= MINUTE) {
            self.since = Some(now);
            self.sent = 0;
        }
        if self.sent >= NOTICES_PER_MINUTE_MAX {
            self.withheld = self.withheld.saturating_add(1);
            return None;
        }
        self.sent += 1;
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Minutes, NoticeClasses};
    use crate::time::Timestamp;

    fn now() -> Now {
        Now { mono: Instant(0), wall: Timestamp::from_seconds(1_795_233_600) }
    }

    fn made(said: &[u8], class: NoticeClass) -> Notice {
        let mut minutes = Minutes::new(NoticeClasses::default().with(class));
        minutes.said(b"220 here\r\n");
        minutes.heard(said);
        minutes.trouble(class);
        minutes.close("SMTP server", || "c.example[192.0.2.1]".to_owned()).expect("due")
    }

    fn params() -> Params {
        Params {
            myhostname: "mx.here.example".into(),
            error_notice_recipient: "errors@here.example".into(),
            bounce_notice_recipient: "bounces@here.example".into(),
            ..Params::default()
        }
    }

    #[test]
    fn a_notice_tells_who_what_and_all_that_was_said() {
        let (envelope, content) =
            notice(&made(b"XYZZY \x1b[2J\\ \xff", NoticeClass::Protocol), &params(), now(), 0, 3)
                .expect("made");
        assert_eq!(envelope.sender.external(), "double-bounce@mx.here.example");
        assert_eq!(envelope.recipients[0].address.external(), "errors@here.example");
        insta::assert_snapshot!(String::from_utf8(content).expect("ASCII").replace("\r\n", "\n"), @r"
        Date: Sat, 21 Nov 2026 04:00:00 +0000 (UTC)
        From: Mail Delivery System <MAILER-DAEMON>
        To: Postmaster <errors@here.example>
        Subject: Postrider SMTP server: errors from c.example[192.0.2.1]
        Auto-Submitted: auto-generated

        The SMTP server at host mx.here.example had trouble with c.example[192.0.2.1].
        Of these classes of notify_classes: protocol.

        3 more such notices were not sent since the last one.

        This was said:

         Out: 220 here
         In:  XYZZY \x1b[2J\\ \xff

        The log has the rest.
        ");
    }

    #[test]
    fn refused_mail_is_the_business_of_bounce_notice_recipient() {
        let (envelope, _) =
            notice(&made(b"RCPT", NoticeClass::Bounce), &params(), now(), 0, 0).expect("made");
        assert_eq!(envelope.recipients[0].address.external(), "bounces@here.example");
        let nobody = Params { error_notice_recipient: String::new(), ..params() };
        assert_eq!(notice(&made(b"RCPT", NoticeClass::Policy), &nobody, now(), 0, 0), None);
    }

    #[test]
    fn no_octet_of_a_peer_makes_a_line_or_an_eighth_bit() {
        let all: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        let (_, content) = notice(&made(&all, NoticeClass::Policy), &params(), now(), 0, 0).expect("made");
        let text = String::from_utf8(content).expect("ASCII");
        assert!(text.is_ascii());
        for line in text.split_terminator("\r\n") {
            assert!(line.len() <= 998 && !line.contains(['\r', '\n', '\0']), "RFC 5322 2.1.1: {line:?}");
        }
    }

    #[test]
    fn what_is_too_much_for_a_minute_is_counted() {
        let mut allowance = Allowance::default();
        let later = |seconds| Instant(0).after(Duration::from_secs(seconds));
        for _ in 0..NOTICES_PER_MINUTE_MAX {
            assert_eq!(allowance.take(later(1)), Some(0));
        }
        assert_eq!(allowance.take(later(60)), None, "the minute began at one second");
        assert_eq!(allowance.take(later(60)), None);
        assert_eq!(allowance.take(later(61)), Some(2));
        assert_eq!(allowance.take(later(61)), Some(0));
    }
}
