//! The oracle of the discrete world, as judge of the whole daemon under turmoil and madsim.
//!
//! Clients and servers of [`super::peers`], disks and mailboxes tell it what they see; at the end, with the [`super::trace::Tracing`] of a test,
//! it says which rules were broken. What goes on within the daemon it knows from outside only: an outcome is written when
//! the next command comes on the connection of the reply, and mail has expired when the log says so.
//!
//! All daemons of a world count as one host: nobody outside can tell which of them has crashed in between. A world lives on one
//! thread, and so does its witness.

use crate::network::NodeId;
use crate::oracle::{self, Ledger, Taken, Token, Verdict, Violation};
use postrider_core::mail::QueueId;
use postrider_core::time::Instant;
use std::cell::RefCell;
use std::time::Duration;

/// The daemons.
const DAEMONS: NodeId = NodeId(1);

#[derive(Default)]
struct Book {
    ledger: Ledger,
    marks: u64,
    /// The latest time that anybody has seen: outside of all hosts turmoil tells none.
    now: Duration,
}

thread_local!(static BOOK: RefCell<Book> = RefCell::default());

fn with<T>(act: impl FnOnce(&mut Book) -> T) -> T {
    BOOK.with_borrow_mut(|book| {
        book.now = elapsed().map_or(book.now, |now| book.now.max(now));
        act(book)
    })
}

#[cfg(not(madsim))]
fn elapsed() -> Option<Duration> {
    turmoil::sim_elapsed()
}

#[cfg(madsim)]
fn elapsed() -> Option<Duration> {
    madsim::time::TimeHandle::try_current().map(|time| time.elapsed())
}

impl Book {
    fn now(&self) -> Instant {
        Instant::default().after(self.now)
    }

    fn mark(&mut self) -> String {
        self.marks += 1;
        format!("mark {}", self.marks)
    }
}

/// A new world begins.
pub(super) fn begin() {
    BOOK.with_borrow_mut(|book| *book = Book::default());
}

/// The world has ended: rules that were broken, now that all that was promised should have settled.
pub(super) fn judge() -> Vec<Violation> {
    BOOK.with_borrow_mut(|book| {
        book.ledger.close();
        std::mem::take(book).ledger.violations
    })
}

/// A daemon lives by these: lifetimes of mail and of reports.
pub(super) fn host(lifetimes: (Duration, Duration)) {
    // When it tries again is not seen from outside: no pause is promised.
    with(|book| book.ledger.host(DAEMONS, lifetimes, (false, false), Duration::ZERO));
}

/// The power of a daemon's host has failed.
pub fn lost_power() {
    with(|book| book.ledger.crashed(DAEMONS, true, book.now()));
}

/// A sync of a daemon's log has succeeded.
pub(super) fn synced() {
    with(|book| book.ledger.synced(DAEMONS));
}

/// A client is about to hand over a letter of so many octets; its name, and its content before dot-stuffing.
pub(super) fn letter(sender: &str, recipients: &[String], size: usize) -> (Token, Vec<u8>) {
    let token = with(|book| book.ledger.write(sender, recipients, size));
    (token, oracle::message(token, sender, recipients, size))
}

/// What the daemon said at the end of a letter.
pub(super) fn replied(token: Token, verdict: Verdict) {
    with(|book| book.ledger.replied(token, verdict));
}

/// The daemon has promised a letter, and calls it so.
pub(super) fn promised(token: Token, recipients: &[String], reply: &str) {
    replied(token, Verdict::Promised);
    let Some((_, mark)) = reply.rsplit_once("queued as ") else { return };
    let message_id = format!("<t{}@sim>", token.0);
    with(|book| {
        let Some(what) = book.ledger.what(&message_id, recipients.iter().map(String::as_str)) else { return };
        book.ledger.offered(book.now(), mark, (None, DAEMONS), what);
        book.ledger.committed(DAEMONS, mark, true);
    });
}

/// A daemon has connected to a server.
pub(super) fn attempted() {
    with(|book| book.ledger.attempted(DAEMONS, QueueId::default(), [], book.now()));
}

/// A server has refused a recipient for good.
pub(super) fn refused(recipient: &str) {
    with(|book| book.ledger.refused(recipient));
}

/// Replies of a server that has taken something.
#[derive(Debug, Default)]
pub(super) struct Replies {
    marks: Vec<String>,
    /// Crashes of daemons before them.
    crashes: u32,
}

/// A server takes a letter for these, and is about to say so, once for all or once for each.
pub(super) fn took(recipients: &[String], content: &[u8], each: bool) -> Replies {
    with(|book| {
        let marks: Vec<String> = (0..if each { recipients.len() } else { 1 }).map(|_| book.mark()).collect();
        let taken = Taken {
            marks: &marks,
            from: Some(DAEMONS),
            content,
            recipients,
            secured: false,
            line: None,
            confused: false,
        };
        book.ledger.took(book.now(), &taken);
        Replies { marks, crashes: book.ledger.crashes() }
    })
}

/// The daemon has read replies. If it has crashed since they were said, nobody can tell: what it said before may come late.
pub(super) fn heard(replies: &Replies) {
    with(|book| {
        if replies.crashes == book.ledger.crashes() {
            replies.marks.iter().for_each(|mark| book.ledger.heard(DAEMONS, mark));
        }
    });
}

/// The daemon has said its next command: what it has read is written.
pub(super) fn written(replies: &Replies) {
    with(|book| {
        let now = book.now();
        if replies.crashes == book.ledger.crashes() {
            replies.marks.iter().for_each(|mark| book.ledger.written(mark, now));
        }
    });
}

/// A message lies in a mailbox. When its outcome is written cannot be seen: a crash afterwards excuses a second copy.
pub(super) fn deposited(content: &[u8]) {
    let text = String::from_utf8_lossy(content).replace("\r\n", "\n");
    let recipient = text.lines().find_map(|line| line.strip_prefix("Delivered-To: "));
    let Some(recipient) = recipient.map(str::to_owned) else { return };
    let replies = took(&[recipient], text.replace('\n', "\r\n").as_bytes(), false);
    heard(&replies);
}

/// The daemon's log: an event, and the message that it is about.
pub(super) fn logged(event: &str, id: &str) {
    if event == "expired" {
        with(|book| book.ledger.expired(DAEMONS, id, book.now()));
    }
}
