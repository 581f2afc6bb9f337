//! TABLE: the commands of a transaction, in order, with what belongs to each.
//!
//! Two indexes run over one list: `sent` and `answered`. Pipelining (RFC 2920) is `sent` running ahead until a
//! reply is needed. The time limit, the words of the log and the meaning of a failure belong to the row, not to three arrays.

use crate::delivery::{Moment, Offer, Params, Timeouts, Transaction};
use crate::mail::{BodyType, Notify, OriginalRecipient, Ret, Sender};
use crate::time::Duration;
use crate::wire::Mailbox;
use std::fmt::Write as _;

/// A step of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Row {
    /// A kept connection is used again.
    Rset,
    /// The sender.
    Mail,
    /// The recipient at this place of the transaction.
    Rcpt(usize),
    /// May the content come?
    Data,
    /// The content's end.
    Dot,
}

impl Row {
    /// What a failure here means.
    pub(super) const fn moment(self) -> Moment {
        match self {
            Self::Rset => Moment::Rset,
            Self::Mail => Moment::Mail,
            Self::Rcpt(_) => Moment::Rcpt,
            Self::Data => Moment::Data,
            Self::Dot => Moment::Dot,
        }
    }

    /// Behind `lost connection with … while`.
    pub(super) const fn doing(self) -> &'static str {
        match self {
            Self::Rset => "sending RSET probe",
            Self::Mail => "sending MAIL FROM",
            Self::Rcpt(_) => "sending RCPT TO",
            Self::Data => "sending DATA command",
            Self::Dot => "sending end of data -- message may be sent more than once",
        }
    }

    /// Behind `in reply to`.
    pub(super) const fn request(self) -> &'static str {
        match self {
            Self::Rset => "RSET command",
            Self::Mail => "MAIL FROM command",
            Self::Rcpt(_) => "RCPT TO command",
            Self::Data => "DATA command",
            Self::Dot => "end of DATA command",
        }
    }

    /// How long its answer may take.
    pub(super) const fn timeout(self, timeouts: &Timeouts) -> Duration {
        match self {
            Self::Rset => timeouts.rset,
            Self::Mail => timeouts.mail,
            Self::Rcpt(_) => timeouts.rcpt,
            Self::Data => timeouts.data_init,
            Self::Dot => timeouts.data_done,
        }
    }

    /// The class of a good answer.
    pub(super) const fn wanted(self) -> u16 {
        if matches!(self, Self::Data) { 3 } else { 2 }
    }
}

/// The rows of a transaction.
pub(super) fn rows(recipients: &[usize], reset: bool) -> Vec<Row> {
    let mut rows = Vec::with_capacity(recipients.len() + 4);
    if reset {
        rows.push(Row::Rset);
    }
    rows.push(Row::Mail);
    rows.extend(recipients.iter().map(|place| Row::Rcpt(*place)));
    rows.extend([Row::Data, Row::Dot]);
    rows
}

/// The command line of a row, with its end. The dot is sent with the content.
pub(super) fn command(row: Row, transaction: &Transaction, params: &Params, offer: &Offer) -> String {
    match row {
        Row::Rset => "RSET\r\n".to_owned(),
        Row::Mail => mail(transaction, params, offer),
        Row::Rcpt(place) => rcpt(transaction, place, params, offer),
        Row::Data => "DATA\r\n".to_owned(),
        Row::Dot => String::new(),
    }
}

fn mail(transaction: &Transaction, params: &Params, offer: &Offer) -> String {
    let attempt = &transaction.attempt;
    let sender = match &attempt.sender {
        Sender::Null => String::new(),
        Sender::Mailbox(mailbox) => path(mailbox, params),
    };
    let mut line = format!("MAIL FROM:<{sender}>");
    if offer.size.is_some() && attempt.size > 0 {
        _ = write!(line, " SIZE={}", attempt.size);
    }
    if offer.eight_bit_mime && attempt.body == BodyType::EightBitMime {
        line.push_str(" BODY=8BITMIME");
    }
    if offer.smtputf8 && needs_utf8(transaction) {
        line.push_str(" SMTPUTF8");
    }
    if offer.dsn {
        if let Some(envid) = &attempt.envid {
            _ = write!(line, " ENVID={}", xtext(envid));
        }
        match attempt.ret {
            Some(Ret::Full) => line.push_str(" RET=FULL"),
            Some(Ret::Headers) => line.push_str(" RET=HDRS"),
            None => {}
        }
    }
    line.push_str("\r\n");
    line
}

fn rcpt(transaction: &Transaction, place: usize, params: &Params, offer: &Offer) -> String {
    let Some(recipient) = transaction.recipient(place) else {
        debug_assert!(false, "the plan is made of places of the transaction");
        return "NOOP\r\n".to_owned();
    };
    let mut line = format!("RCPT TO:<{}>", path(&recipient.address, params));
    if offer.dsn {
        match &recipient.orcpt {
            Some(orcpt) => original(orcpt, &mut line),
            // RFC 3461 5.2.1: who knows the first address says it, so that a report of a hop behind us names it.
            None => {
                let address = recipient.original.as_ref().unwrap_or(&recipient.address).external();
                let kind = if address.is_ascii() { "rfc822" } else { "utf-8" }.to_owned();
                original(&OriginalRecipient { kind, address }, &mut line);
            }
        }
        notify(recipient.notify, &mut line);
    }
    line.push_str("\r\n");
    line
}

fn notify(notify: Notify, line: &mut String) {
    if !notify.explicit {
        return;
    }
    let words = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
    let words: Vec<&str> = words.iter().filter(|(said, _)| *said).map(|(_, word)| *word).collect();
    _ = write!(line, " NOTIFY={}", if words.is_empty() { "NEVER".to_owned() } else { words.join(",") });
}

fn original(orcpt: &OriginalRecipient, line: &mut String) {
    let kind: String = orcpt.kind.chars().filter(char::is_ascii_graphic).collect();
    let address =
        if kind.eq_ignore_ascii_case("utf-8") { utf8_xtext(&orcpt.address) } else { xtext(&orcpt.address) };
    _ = write!(line, " ORCPT={kind};{address}");
}

fn path(mailbox: &Mailbox, params: &Params) -> String {
    // Even where quoting is not wanted, an address must not end its own command.
    let risky = mailbox.local().contains(['<', '>', ' ', '"', '\\']);
    if params.quote_envelope || risky || mailbox.domain().is_empty() {
        mailbox.external()
    } else {
        format!("{}@{}", mailbox.local(), mailbox.domain())
    }
}

/// True when no server may be told of an address without SMTPUTF8 (RFC 6531 3.1).
pub(super) fn needs_utf8(transaction: &Transaction) -> bool {
    let foreign = |mailbox: &Mailbox| !mailbox.local().is_ascii() || !mailbox.domain().is_ascii();
    transaction.attempt.smtputf8
        || transaction.attempt.sender.mailbox().is_some_and(foreign)
        || transaction.recipients().any(|recipient| foreign(&recipient.address))
}

/// True when an address can be written into a command: one with a line end would be a command of its own.
pub(super) fn speakable(mailbox: &Mailbox) -> bool {
    let plain = |text: &str| !text.chars().any(char::is_control);
    plain(mailbox.local()) && plain(mailbox.domain()) && !mailbox.domain().contains(['<', '>', ' '])
}

/// RFC 3461 4: `+` and two hexadecimal digits for whatever is not plain.
fn xtext(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, octet| {
        match octet {
            b'+' | b'=' => _ = write!(out, "+{octet:02X}"),
            b'!'..=b'~' => out.push(char::from(octet)),
            _ => _ = write!(out, "+{octet:02X}"),
        }
        out
    })
}

/// RFC 6533 3: `\x{…}` for whatever is not plain ASCII.
fn utf8_xtext(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '+' | '=' | '\\' => _ = write!(out, "\\x{{{:X}}}", u32::from(c)),
            '!'..='~' => out.push(c),
            c => _ = write!(out, "\\x{{{:X}}}", u32::from(c)),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Attempt, AttemptId, AttemptRecipient, QueueId};
    use crate::time::Timestamp;
    use std::sync::Arc;

    #[test]
    fn xtext_hides_what_would_end_a_word_or_a_line() {
        assert_eq!(xtext("a+b=c d\r\n"), "a+2Bb+3Dc+20d+0D+0A");
        assert_eq!(utf8_xtext("b\u{fc}cher+x@y"), "b\\x{FC}cher\\x{2B}x@y");
    }

    #[test]
    fn a_local_part_is_quoted_where_it_must_be_and_dots_only_where_that_is_wanted() {
        let said = |quote_envelope, local, domain| {
            path(&Mailbox::new(local, domain), &Params { quote_envelope, ..Params::default() })
        };
        for (local, quoted, bare) in [
            ("a.b", "a.b@d.example", "a.b@d.example"),
            (".a", "\".a\"@d.example", ".a@d.example"),
            ("a.", "\"a.\"@d.example", "a.@d.example"),
            ("a..b", "\"a..b\"@d.example", "a..b@d.example"),
            ("a,b", "\"a,b\"@d.example", "a,b@d.example"),
            ("a b", "\"a b\"@d.example", "\"a b\"@d.example"),
        ] {
            assert_eq!([said(true, local, "d.example"), said(false, local, "d.example")], [quoted, bare]);
        }
        assert_eq!([said(true, "postmaster", ""), said(false, "postmaster", "")], ["postmaster"; 2]);
    }

    fn transaction(change: impl Fn(&mut Attempt)) -> Transaction {
        let address = Mailbox::new("b", "d.example");
        let notify = Notify::default();
        let recipient = AttemptRecipient { index: 0, address, original: None, orcpt: None, notify };
        let mut attempt = Attempt {
            id: AttemptId(1),
            message: QueueId(1),
            transport: "smtp".into(),
            nexthop: "d.example".into(),
            sender: Sender::Mailbox(Mailbox::new("a", "c.example")),
            recipients: vec![recipient],
            size: 77,
            pieces: Arc::default(),
            body: BodyType::EightBitMime,
            smtputf8: true,
            envid: Some("x y".into()),
            ret: Some(Ret::Headers),
            arrived: Timestamp::default(),
            keep_connection: false,
        };
        change(&mut attempt);
        Transaction { attempt: Arc::new(attempt), positions: vec![0] }
    }

    fn all() -> Offer {
        let size = Some(None);
        Offer { eight_bit_mime: true, smtputf8: true, dsn: true, size, ..Offer::default() }
    }

    #[test]
    fn mail_says_what_the_message_has_and_the_server_offers() {
        let said = |offer: Offer, change: fn(&mut Attempt)| {
            let line = command(Row::Mail, &transaction(change), &Params::default(), &offer);
            line.strip_prefix("MAIL FROM:<a@c.example>").expect("its sender").trim_end().to_owned()
        };
        assert_eq!(said(all(), |_| ()), " SIZE=77 BODY=8BITMIME SMTPUTF8 ENVID=x+20y RET=HDRS");
        assert_eq!(said(Offer::default(), |_| ()), "");
        let less = |attempt: &mut Attempt| {
            (attempt.size, attempt.body, attempt.smtputf8) = (0, BodyType::SevenBit, false);
            (attempt.envid, attempt.ret) = (None, None);
        };
        assert_eq!(said(all(), less), "");
        assert_eq!(
            said(Offer { dsn: true, ..Offer::default() }, |attempt| attempt.ret = Some(Ret::Full)),
            " ENVID=x+20y RET=FULL"
        );
        assert_eq!(said(Offer { size: Some(None), ..Offer::default() }, |_| ()), " SIZE=77");
        assert_eq!(said(Offer { eight_bit_mime: true, ..Offer::default() }, |_| ()), " BODY=8BITMIME");
        assert_eq!(said(Offer { smtputf8: true, ..Offer::default() }, |_| ()), " SMTPUTF8");
    }

    #[test]
    fn rcpt_says_what_reports_are_wanted_and_who_was_meant_first() {
        let said = |change: fn(&mut AttemptRecipient)| {
            let transaction = transaction(|attempt| change(&mut attempt.recipients[0]));
            let line = command(Row::Rcpt(0), &transaction, &Params::default(), &all());
            line.strip_prefix("RCPT TO:<b@d.example> ").expect("its recipient").trim_end().to_owned()
        };
        let never = Notify { explicit: true, success: false, failure: false, delay: false };
        assert_eq!(said(|_| ()), "ORCPT=rfc822;b@d.example");
        assert_eq!(said(|r| r.original = Some(Mailbox::new("o", "d.example"))), "ORCPT=rfc822;o@d.example");
        assert_eq!(
            said(|r| r.original = Some(Mailbox::new("\u{f6}", "d.example"))),
            "ORCPT=utf-8;\\x{F6}@d.example"
        );
        assert_eq!(
            said(|r| r.orcpt = Some(OriginalRecipient { kind: "x 400".into(), address: "x+y".into() })),
            "ORCPT=x400;x+2By",
            "a space would end the word"
        );
        assert_eq!(
            said(|r| r.orcpt = Some(OriginalRecipient { kind: "UTF-8".into(), address: "x+y".into() })),
            "ORCPT=UTF-8;x\\x{2B}y"
        );
        let notified = |notify: Notify| {
            let transaction = transaction(|attempt| attempt.recipients[0].notify = notify);
            let line = command(Row::Rcpt(0), &transaction, &Params::default(), &all());
            line.trim_end().rsplit_once(' ').map(|(_, word)| word.to_owned()).expect("a word")
        };
        assert_eq!(notified(never), "NOTIFY=NEVER");
        assert_eq!(notified(Notify { success: true, ..never }), "NOTIFY=SUCCESS");
        assert_eq!(notified(Notify { failure: true, delay: true, ..never }), "NOTIFY=FAILURE,DELAY");
        assert_eq!(
            notified(Notify { explicit: false, ..never }),
            "ORCPT=rfc822;b@d.example",
            "it was not said"
        );
    }

    #[test]
    fn one_address_that_is_not_ascii_needs_smtputf8() {
        let plain = |attempt: &mut Attempt| attempt.smtputf8 = false;
        let foreign = || Mailbox::new("\u{f6}", "d.example");
        assert!(!needs_utf8(&transaction(plain)));
        assert!(needs_utf8(&transaction(|_| ())), "it was said so");
        assert!(needs_utf8(&transaction(|a| (a.smtputf8, a.sender) = (false, Sender::Mailbox(foreign())))));
        assert!(needs_utf8(&transaction(|a| (a.smtputf8, a.recipients[0].address) = (false, foreign()))));
        let domain = Mailbox::new("b", "\u{f6}.example");
        assert!(needs_utf8(
            &transaction(|a| (a.smtputf8, a.recipients[0].address) = (false, domain.clone()))
        ));
    }

    #[test]
    fn an_address_with_a_line_end_is_not_spoken() {
        assert!(!speakable(&Mailbox::new("a\r\nRCPT TO:<b@c>", "d.example")));
        assert!(!speakable(&Mailbox::new("a", "d.example> SIZE=1")));
        assert!(!speakable(&Mailbox::new("a", "d.exa\tmple")));
        assert!(speakable(&Mailbox::new("a b", "d.example")));
    }
}
