//! The queue as a listing: the form of postqueue(1) `-p` for people and old tools, that of `-j` for new ones.
//!
//! A message is printed as it arrives from the daemon; nothing is collected.

use super::{Failure, Setup, ask};
use crate::control::{Reply, Request};
use crate::maildrop;
use crate::trouble::told;
use postrider_core::mail::{ListedRecipient, Listing, Order, QueueName, Selection};
use std::fmt::Write as _;
use std::io::{self, BufWriter, StdoutLock, Write as _};
use std::path::Path;

/// How a listing looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Columns, as `postqueue -p` prints them for long queue ids.
    Text,
    /// One object a line, as `postqueue -j`.
    Json,
}

/// What `postqueue -p` puts over long queue ids.
const HEADING: &str = "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n";
/// EX_NOPERM of sysexits.h.
const NO_PERMISSION: u8 = 77;
/// A reason ends in this column, unless it is longer.
const REASON_END: usize = 76;
/// What the null sender is called in listings.
const NULL_SENDER: &str = "MAILER-DAEMON";

struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    form: Form,
    messages: u64,
    octets: u64,
}

impl Printer {
    fn put(&mut self, queue: &str, listing: &Listing) -> io::Result<()> {
        if self.form == Form::Text && self.messages == 0 {
            self.out.write_all(HEADING.as_bytes())?;
        }
        self.messages += 1;
        self.octets += listing.message_size;
        let text = match self.form {
            Form::Text => text_of(listing, &jiff::tz::TimeZone::system()),
            Form::Json => json_of(queue, listing),
        };
        self.out.write_all(text.as_bytes())
    }

    fn new(form: Form) -> Self {
        Self { out: BufWriter::new(io::stdout().lock()), form, messages: 0, octets: 0 }
    }

    /// Those who may not read the maildrop see nothing of it, as with Postfix.
    fn put_maildrop(&mut self, setup: &Setup) -> Result<(), Failure> {
        for path in maildrop::list(&setup.spool()).unwrap_or_default() {
            // One that cannot be opened has just been taken in, or is no message: the daemon says so in its log.
            if let Ok(listing) = listing_of(&path) {
                self.put("maildrop", &listing).map_err(|error| closed(&error))?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        if self.form == Form::Text {
            if self.messages == 0 {
                self.out.write_all(b"Mail queue is empty\n")?;
            } else {
                let plural = if self.messages == 1 { "" } else { "s" };
                writeln!(self.out, "-- {} Kbytes in {} Request{plural}.", self.octets / 1024, self.messages)?;
            }
        }
        self.out.flush()
    }
}

fn closed(error: &io::Error) -> Failure {
    Failure::new(74, format!("standard output: {}", told(error)))
}

/// Prints what the selection holds; all of the queue has the maildrop in it, for those who may read that.
pub(super) fn list(setup: &Setup, selection: Selection, form: Form) -> Result<(), Failure> {
    let mut printer = Printer::new(form);
    let with_maildrop = selection == Selection::All(None);
    let mut unread = false;
    let told = ask(setup, &Request::Order(Order::List(selection)), |reply| match reply {
        Reply::Note(text) => {
            eprintln!("{text}");
            unread = true;
            Ok(())
        }
        Reply::Listing(listing) => {
            printer.put(word(listing.queue_name), &listing).map_err(|error| closed(&error))
        }
        _ => Ok(()),
    });
    if with_maildrop {
        printer.put_maildrop(setup)?;
    }
    if (told.is_err() || unread) && printer.messages == 0 {
        // That the queue is empty is more than we know.
        return told;
    }
    printer.finish().map_err(|error| closed(&error))?;
    told
}

/// Prints what waits in the maildrop.
pub(super) fn list_maildrop(setup: &Setup, form: Form) -> Result<(), Failure> {
    let mut printer = Printer::new(form);
    let readable = maildrop::list(&setup.spool());
    readable.map_err(|error| Failure::new(NO_PERMISSION, format!("maildrop: {}", told(&error))))?;
    printer.put_maildrop(setup)?;
    printer.finish().map_err(|error| closed(&error))
}

/// A message of the maildrop, as the queue would list it.
fn listing_of(path: &Path) -> io::Result<Listing> {
    let dropped = maildrop::open(path, 0)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let recipients = dropped.header.recipients.iter();
    let recipients = recipients.map(|to| ListedRecipient { address: to.clone(), delay_reason: None });
    Ok(Listing {
        queue_name: QueueName::Incoming,
        queue_id: name.trim_start_matches("new.").to_owned(),
        arrival_time: dropped.modified,
        message_size: dropped.size,
        next_attempt_time: None,
        recipients: recipients.collect(),
        sender: dropped.sender(),
    })
}

fn sender_of(listing: &Listing) -> &str {
    if listing.sender.is_empty() { NULL_SENDER } else { &listing.sender }
}

/// `*` marks what is being delivered, `!` what is on hold.
fn text_of(listing: &Listing, zone: &jiff::tz::TimeZone) -> String {
    let mark = match listing.queue_name {
        QueueName::Active => "*",
        QueueName::Hold => "!",
        _ => "",
    };
    let time = jiff::Timestamp::from_second(listing.arrival_time)
        .map(|at| at.to_zoned(zone.clone()).strftime("%a %b %e %H:%M:%S").to_string())
        .unwrap_or_default();
    let id = format!("{}{mark}", listing.queue_id);
    let mut text = format!("{id:<17} {:>8} {time:>19} {}\n", listing.message_size, sender_of(listing));
    let mut reason = None;
    for recipient in &listing.recipients {
        // A reason stands once in front of the recipients that share it.
        if recipient.delay_reason != reason {
            if let Some(why) = &recipient.delay_reason {
                _ = writeln!(
                    text,
                    "{:width$}({why})",
                    "",
                    width = REASON_END.saturating_sub(why.chars().count())
                );
            }
            reason.clone_from(&recipient.delay_reason);
        }
        _ = writeln!(text, "{:47}{}", "", recipient.address);
    }
    text.push('\n');
    text
}

/// Postfix's members in Postfix's order and spacing, for tools that read without a JSON parser; what only we have comes last.
fn json_of(queue: &str, listing: &Listing) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let recipients: Vec<String> = listing
        .recipients
        .iter()
        .map(|recipient| match &recipient.delay_reason {
            None => format!("{{\"address\": {}}}", quoted(&recipient.address)),
            Some(why) => {
                format!("{{\"address\": {}, \"delay_reason\": {}}}", quoted(&recipient.address), quoted(why))
            }
        })
        .collect();
    let next =
        listing.next_attempt_time.map(|at| format!(", \"next_attempt_time\": {at}")).unwrap_or_default();
    format!(
        "{{\"queue_name\": \"{}\", \"queue_id\": {}, \"arrival_time\": {}, \"message_size\": {}, \
         \"forced_expire\": false, \"sender\": {}, \"recipients\": [{}]{next}}}\n",
        queue,
        quoted(&listing.queue_id),
        listing.arrival_time,
        listing.message_size,
        quoted(sender_of(listing)),
        recipients.join(", ")
    )
}

const fn word(queue: QueueName) -> &'static str {
    match queue {
        QueueName::Incoming => "incoming",
        QueueName::Active => "active",
        QueueName::Deferred => "deferred",
        QueueName::Hold => "hold",
        QueueName::Corrupt => "corrupt",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        let why = || Some("connect to 127.0.0.1[127.0.0.1]:2: Connection refused".to_owned());
        let recipient = |address: &str| ListedRecipient { address: address.to_owned(), delay_reason: why() };
        Listing {
            queue_name: QueueName::Deferred,
            queue_id: "4jWgdN6hT4z1SVy2".to_owned(),
            arrival_time: 1_795_238_712,
            message_size: 260,
            next_attempt_time: None,
            sender: "me@here.test".to_owned(),
            recipients: vec![recipient("x@ex.test"), recipient("y@other.test")],
        }
    }

    // Both expectations are what postqueue(1) 3.7 printed for this message.
    #[test]
    fn a_message_takes_the_columns_of_postqueue() {
        let expected = "\
4jWgdN6hT4z1SVy2       260 Sat Nov 21 05:25:12 me@here.test
                       (connect to 127.0.0.1[127.0.0.1]:2: Connection refused)
                                               x@ex.test
                                               y@other.test

";
        assert_eq!(text_of(&listing(), &jiff::tz::TimeZone::UTC), expected);
    }

    #[test]
    fn a_message_has_the_members_of_postqueue_in_their_order() {
        let expected = "{\"queue_name\": \"deferred\", \"queue_id\": \"4jWgdN6hT4z1SVy2\", \
            \"arrival_time\": 1795238712, \"message_size\": 260, \"forced_expire\": false, \
            \"sender\": \"me@here.test\", \"recipients\": [{\"address\": \"x@ex.test\", \"delay_reason\": \
            \"connect to 127.0.0.1[127.0.0.1]:2: Connection refused\"}, {\"address\": \"y@other.test\", \
            \"delay_reason\": \"connect to 127.0.0.1[127.0.0.1]:2: Connection refused\"}]}\n";
        assert_eq!(json_of("deferred", &listing()), expected);
    }

    #[test]
    fn the_time_of_the_next_attempt_comes_behind_what_postqueue_has() {
        let waiting = Listing { next_attempt_time: Some(1_795_239_012), ..listing() };
        let theirs = json_of("deferred", &listing());
        let theirs = theirs.strip_suffix("}\n").expect("an object");
        assert_eq!(json_of("deferred", &waiting), format!("{theirs}, \"next_attempt_time\": 1795239012}}\n"));
    }

    #[test]
    fn the_null_sender_is_the_mailer_daemon_and_marks_tell_the_queue() {
        let held = Listing { queue_name: QueueName::Hold, sender: String::new(), ..listing() };
        let text = text_of(&held, &jiff::tz::TimeZone::UTC);
        assert!(text.starts_with("4jWgdN6hT4z1SVy2!      260 Sat Nov 21 05:25:12 MAILER-DAEMON\n"), "{text}");
    }
}
