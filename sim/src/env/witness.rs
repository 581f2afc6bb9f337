//! The oracle of the discrete world, as judge of the whole daemon under turmoil and madsim.
//!
//! Clients and servers of [`super::peers`], disks, mailboxes and the daemons' logs tell it what they see; at the end, with the
//! [`super::trace::Tracing`] of a test, it says which rules were broken. What goes on within a daemon it knows from outside only: an outcome
//! is written when the next command comes on the connection of the reply, and who is put off, or has expired, when the log says so.
//!
//! A daemon is a machine of its own, known by its address; what it has promised is read from its configuration. Whose log
//! speaks is seen from the runtime, or the node, that the line comes from. A world lives on one thread, and so does its witness.

mod promises;
mod servers;

pub(super) use servers::{Caller, deposited, named, refused};

use crate::network::NodeId;
use crate::oracle::{self, Ledger, Report, Token, Verdict, Violation};
use postrider_core::mail::QueueId;
use postrider_core::params::Config;
use postrider_core::queue::{DiskError, Done, File, Op};
use postrider_core::time::Instant;
use promises::Promises;
use servers::Runs;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// After a failure the log is at work again with so many syncs: that of a fresh segment's header, and that of what is in it.
const SYNCS_TO_RECOVER: u8 = 2;

/// What a daemon runs in; another one for each of its lives.
#[cfg(not(madsim))]
type Place = tokio::runtime::Id;
#[cfg(madsim)]
type Place = madsim::task::NodeId;

/// What is known of a daemon.
#[derive(Default)]
struct Daemon {
    promises: Promises,
    crashes: u32,
    /// Syncs until its log works again.
    ailing: u8,
    /// Queue ids that it has given.
    issued: BTreeSet<QueueId>,
}

#[derive(Default)]
struct Book {
    ledger: Ledger,
    daemons: BTreeMap<NodeId, Daemon>,
    /// Where daemons live, the latest at the end.
    places: Vec<(Place, NodeId)>,
    runs: Runs,
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

#[cfg(not(madsim))]
fn here() -> Option<Place> {
    tokio::runtime::Handle::try_current().ok().map(|runtime| runtime.id())
}

#[cfg(madsim)]
fn here() -> Option<Place> {
    elapsed().map(|_| madsim::plugin::node())
}

/// The machine of an address: all of a world differ in its last 16 bits.
pub(super) fn node_of(address: IpAddr) -> NodeId {
    NodeId(match address {
        IpAddr::V4(address) => (address.to_bits() & 0xffff) as u16,
        IpAddr::V6(address) => address.segments()[7],
    })
}

impl Book {
    fn now(&self) -> Instant {
        Instant::default().after(self.now)
    }

    fn mark(&mut self) -> String {
        self.marks += 1;
        format!("mark {}", self.marks)
    }

    /// The daemon that lives where this is called.
    fn resident(&self) -> Option<NodeId> {
        let here = here()?;
        self.places.iter().rev().find(|(place, _)| *place == here).map(|(_, node)| *node)
    }

    fn daemon(&mut self, node: NodeId) -> &mut Daemon {
        self.daemons.entry(node).or_default()
    }

    /// A letter is about to be made durable.
    fn offer(&mut self, node: NodeId, mark: &str, what: Report) {
        self.ledger.offered(self.now(), mark, (None, node), what);
    }

    /// A daemon gives a message a name.
    fn issued(&mut self, node: NodeId, id: QueueId) {
        self.ledger.issued(node, id.0);
        if !self.daemon(node).issued.insert(id) {
            self.ledger.broken(format!("machine {} gives queue id {id} twice", node.0));
        }
    }
}

/// A new world begins.
pub(super) fn begin() {
    BOOK.with_borrow_mut(|book| *book = Book::default());
}

/// The world has ended: rules that were broken, now that all that was promised should have settled.
pub(super) fn judge() -> Vec<Violation> {
    BOOK.with_borrow_mut(|book| {
        let mut book = std::mem::take(book);
        for wrong in book.runs.judge(|node| book.daemons.get(&node).map(|daemon| &daemon.promises)) {
            book.ledger.broken(wrong);
        }
        book.ledger.close();
        book.ledger.violations
    })
}

/// A daemon of this address begins to live here, and by this configuration.
pub(super) fn host(address: IpAddr, config: &Config) {
    with(|book| {
        let (node, promises) = (node_of(address), Promises::of(config));
        book.ledger.host(
            node,
            promises.lifetimes,
            (promises.encrypts, promises.relays),
            promises.minimal_backoff,
        );
        book.daemon(node).promises = promises;
        book.places.extend(here().map(|place| (place, node)));
    });
}

/// The power of a daemon's host has failed.
pub fn lost_power(address: impl Into<IpAddr>) {
    crashed(address.into(), true);
}

/// The process of a daemon was killed: what it wrote is there, synced or not.
pub fn killed(address: impl Into<IpAddr>) {
    crashed(address.into(), false);
}

fn crashed(address: IpAddr, power: bool) {
    with(|book| {
        let (node, now) = (node_of(address), book.now());
        book.ledger.crashed(node, power, now);
        let daemon = book.daemon(node);
        daemon.crashes += 1;
        daemon.ailing = 0;
    });
}

/// A daemon's disk has done something.
pub(super) fn disk_did(node: NodeId, op: &Op, result: &Result<Done, DiskError>) {
    let harmless = matches!(op, Op::Read { .. } | Op::Unlink(_) | Op::List);
    let syncs_log = matches!(op, Op::Sync(File::Segment(_)));
    with(|book| match result {
        Err(_) if !harmless => {
            book.ledger.disk_failed(node);
            if matches!(op, Op::Write { file: File::Segment(_), .. } | Op::Sync(File::Segment(_))) {
                book.ledger.log_failed(node);
            }
            book.daemon(node).ailing = SYNCS_TO_RECOVER;
        }
        Ok(_) if syncs_log => {
            book.ledger.synced(node);
            let daemon = book.daemon(node);
            daemon.ailing = daemon.ailing.saturating_sub(1);
        }
        _ => {}
    });
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

/// The daemon has answered to the whole of a letter: has promised it, and calls it so, or has refused it.
pub(super) fn answered(server: SocketAddr, token: Token, recipients: &[String], reply: &str) -> Verdict {
    let node = node_of(server.ip());
    let promised = reply.starts_with("250");
    let message_id = format!("<t{}@sim>", token.0);
    with(|book| {
        let what = book.ledger.what(&message_id, recipients.iter().map(String::as_str));
        let named = reply.rsplit_once("queued as ").map(|(_, mark)| mark.to_owned());
        // What was refused because the disk failed may be on it all the same.
        let mark = if promised { named } else { Some(book.mark()) };
        if let (Some(what), Some(mark)) = (what, mark) {
            book.offer(node, &mark, what);
            book.ledger.committed(node, &mark, promised);
        }
    });
    if promised { Verdict::Promised } else { Verdict::Refused }
}

/// A daemon's log: an event, the message that it is about, and the line.
pub(super) fn logged(event: &str, id: &str, line: &str) {
    with(|book| {
        let Some(node) = book.resident() else { return };
        let now = book.now();
        let number = id.parse::<QueueId>();
        match (event, number) {
            ("expired", _) => book.ledger.expired(node, id, now),
            ("transaction_opened", Ok(number)) => book.issued(node, number),
            ("delivery", Ok(number)) => {
                let Some((recipient, status)) = outcome(line) else { return };
                // When the attempt began is not seen; that it has ended too soon is enough to know that it began too soon.
                book.ledger.attempted(node, number, [recipient.to_owned()], now);
                match status {
                    "deferred" => book.ledger.put_off(node, number, recipient, now),
                    "bounced" => book.ledger.bounced(id),
                    _ => {}
                }
            }
            _ => {}
        }
    });
}

/// Recipient and status of a delivery's line.
fn outcome(line: &str) -> Option<(&str, &str)> {
    let (recipient, rest) = line.split_once("to=<")?.1.split_once(">, ")?;
    let (_, status) = rest.split_once(" status=")?;
    Some((recipient, status.split(' ').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    /// A world in which daemon one hands the same letter over twice, and has written that it did each time before something happens.
    fn twice(happens: impl Fn()) -> Vec<Violation> {
        begin();
        let node = node_of(ONE);
        with(|book| _ = book.daemon(node));
        let recipients = ["bob@there.test".to_owned()];
        let (token, content) = letter("alice@here.test", &recipients, 100);
        let promised = answered(SocketAddr::new(ONE, 25), token, &recipients, "250 2.0.0 Ok: queued as x");
        replied(token, promised);
        for _ in 0..2 {
            let mut caller = Caller::accepted(SocketAddr::new(ONE, 4_000));
            caller.hands_over(&recipients, &content);
            caller.says("RSET", "RSET");
            happens();
        }
        judge()
    }

    #[test]
    fn a_loss_of_power_excuses_second_copies_of_that_daemon_only() {
        assert_eq!(twice(|| lost_power(ONE)), []);
        let came = "letter 0 for bob@there.test came 2 times and was reported 0 times, with 0 causes for a second copy";
        assert_eq!(twice(|| lost_power(TWO)), [Violation(came.to_owned())]);
        assert_eq!(twice(|| killed(ONE)), [Violation(came.to_owned())], "what was written survives a kill");
    }

    #[test]
    fn a_queue_id_that_is_given_twice_is_noticed() {
        begin();
        for number in [7, 8, 7] {
            with(|book| book.issued(node_of(ONE), QueueId(number)));
        }
        let text = format!("machine 1 gives queue id {} twice", QueueId(7));
        assert_eq!(judge(), [Violation(text)]);
    }

    #[test]
    fn a_line_says_who_was_put_off() {
        let line = " message=4dh: to=<b@there.test>, orig_to=<list@x>, relay=none, delay=1, delays=0/0/0/0, dsn=4.0.0, status=deferred (no status=sent) id=1";
        assert_eq!(outcome(line), Some(("b@there.test", "deferred")));
        assert_eq!(outcome(" message=connect from x"), None);
    }
}
