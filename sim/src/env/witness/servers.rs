//! What servers, mailboxes and name servers see of a daemon.

use super::promises::Promises;
use super::{Book, node_of, with};
use crate::network::NodeId;
use crate::oracle::Taken;
use postrider_core::ask::{DnsRecords, RecordKind};
use postrider_core::mail::QueueId;
use postrider_core::time::Instant;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Transactions of which both ends were seen, by daemon and destination: from its first command, which the daemon had sent before, to a reply that
/// it has read since. So what counts as at once was at once, whatever is held up between the two.
#[derive(Debug, Default)]
pub(super) struct Runs(BTreeMap<(NodeId, String), Vec<(Duration, Duration)>>);

impl Runs {
    /// Daemons that did more at once for a destination than they promise.
    pub(super) fn judge<'a>(&self, promises: impl Fn(NodeId) -> Option<&'a Promises>) -> Vec<String> {
        let mut wrong = Vec::new();
        for ((node, destination), runs) in &self.0 {
            let Some(limit) = promises(*node).and_then(|promises| promises.concurrency) else { continue };
            let most = at_once(runs);
            if most > limit {
                wrong.push(format!(
                    "machine {} had {most} attempts at once for {destination}, not {limit}",
                    node.0
                ));
            }
        }
        wrong
    }
}

/// The most that go on at a time; what ends at the time at which another begins does not meet it.
fn at_once(runs: &[(Duration, Duration)]) -> usize {
    let count = |at: Duration| runs.iter().filter(|(begin, end)| *begin <= at && at < *end).count();
    runs.iter().map(|(begin, _)| count(*begin)).max().unwrap_or(0)
}

/// A daemon's connection, as a server sees it.
#[derive(Debug)]
pub(in crate::env) struct Caller {
    /// Who it is; nothing where it is no daemon.
    node: Option<NodeId>,
    /// When it came.
    since: Duration,
    /// It speaks LMTP, which needs no names and has a policy of its own on TLS.
    lmtp: bool,
    /// The first recipient of the connection was seen: with kept connections, names were of use for no other.
    named: bool,
    /// When this transaction began, and for which recipient.
    transaction: Option<(Duration, Option<String>)>,
    replies: Replies,
}

/// Replies of a server that has taken something.
#[derive(Debug, Default)]
pub(super) struct Replies {
    marks: Vec<String>,
    /// Crashes of the daemon before them.
    crashes: u32,
    /// A transaction that has ended with them: when it began and ended, and for whom.
    run: Option<(Duration, Duration, String)>,
}

impl Caller {
    /// Somebody has connected. On the host's own loopback it is the daemon that lives there.
    pub(in crate::env) fn accepted(peer: SocketAddr) -> Self {
        with(|book| {
            let node = if peer.ip().is_loopback() { book.resident() } else { Some(node_of(peer.ip())) };
            let node = node.filter(|node| book.daemons.contains_key(node));
            if let Some(node) = node {
                book.ledger.attempted(node, QueueId::default(), [], book.now());
            }
            let since = book.now;
            Self { node, since, lmtp: false, named: false, transaction: None, replies: Replies::default() }
        })
    }

    /// It has said a command, and so has read the replies before it and written down what they mean.
    pub(in crate::env) fn says(&mut self, verb: &str, line: &str) {
        let replies = std::mem::take(&mut self.replies);
        with(|book| self.has_read(book, &replies));
        match verb {
            "LHLO" => self.lmtp = true,
            "MAIL" => self.transaction = Some((with(|book| book.now), None)),
            "RCPT" => self.names(&crate::env::peers::address(line)),
            _ => {}
        }
    }

    /// If the daemon has crashed since the replies were said, nobody can tell: what it said before may come late.
    fn has_read(&self, book: &mut Book, replies: &Replies) {
        let Some(node) = self.node.filter(|node| book.daemon(*node).crashes == replies.crashes) else {
            return;
        };
        let now = book.now();
        for mark in &replies.marks {
            book.ledger.heard(node, mark);
            book.ledger.written(mark, now);
        }
        if !replies.marks.is_empty() && book.daemon(node).ailing > 0 {
            // Its log does not work: what is to be written now is not yet.
            book.ledger.disk_failed(node);
        }
        if let Some((begin, end, destination)) = &replies.run {
            book.runs.0.entry((node, destination.clone())).or_default().push((*begin, *end));
        }
    }

    /// It names a recipient.
    fn names(&mut self, recipient: &str) {
        if let Some((_, first)) = &mut self.transaction {
            first.get_or_insert_with(|| recipient.to_owned());
        }
        let Some(node) = self.node.filter(|_| !self.lmtp && !std::mem::replace(&mut self.named, true)) else {
            return;
        };
        let domain = recipient.rsplit('@').next().unwrap_or_default();
        let exchanger = format!("mx.{domain}");
        let since = Instant::default().after(self.since);
        with(|book| {
            // A relay is found by other names than the recipient's.
            if book.daemon(node).promises.relays {
                return;
            }
            for (name, kind) in [(domain, RecordKind::Mx), (exchanger.as_str(), RecordKind::A)] {
                book.ledger.believed(since, node, (name, kind), &Ok(somewhere(name, since)));
            }
        });
    }

    /// The server takes a letter for these, and is about to say so, once for all or once for each.
    pub(in crate::env) fn hands_over(&mut self, recipients: &[String], content: &[u8]) {
        self.replies = took(self.node, recipients, content, (self.lmtp, self.lmtp));
    }

    /// The server is about to answer to the end of a content, one way or another.
    pub(in crate::env) fn ends(&mut self) {
        let Some((begin, Some(recipient))) = self.transaction.take() else { return };
        let Some(node) = self.node else { return };
        with(|book| {
            let whole = book.daemon(node).promises.by_recipient;
            let domain = recipient.rsplit('@').next().unwrap_or_default().to_owned();
            self.replies.crashes = book.daemon(node).crashes;
            self.replies.run = Some((begin, book.now, if whole { recipient } else { domain }));
        });
    }

    /// It has one reply for each recipient.
    pub(in crate::env) const fn is_lmtp(&self) -> bool {
        self.lmtp
    }
}

/// What a daemon goes by when it has come to a server of a name: which records it knows is not seen, only that it must know some.
fn somewhere(name: &str, valid_until: Instant) -> DnsRecords {
    DnsRecords { records: Vec::new(), canonical: name.to_owned(), valid_until, authentic: false }
}

/// A server has refused a recipient for good.
pub(in crate::env) fn refused(recipient: &str) {
    with(|book| book.ledger.refused(recipient));
}

/// A content comes from a daemon, for these.
fn took(
    from: Option<NodeId>,
    recipients: &[String],
    content: &[u8],
    (each, secured): (bool, bool),
) -> Replies {
    with(|book| {
        for (node, secured) in passages(content) {
            book.ledger.came(Some(node), None, secured);
        }
        let marks: Vec<String> = (0..if each { recipients.len() } else { 1 }).map(|_| book.mark()).collect();
        let taken = Taken { marks: &marks, from, content, recipients, secured, line: None, confused: false };
        book.ledger.took(book.now(), &taken);
        let crashes = from.map_or(0, |node| book.daemon(node).crashes);
        Replies { marks, crashes, run: None }
    })
}

/// From whom a content came to those who have put a `Received:` on top of it, and whether through TLS. Its octets say so, in the
/// words of who took it.
fn passages(content: &[u8]) -> Vec<(NodeId, bool)> {
    let end = memchr::memmem::find(content, b"\r\n\r\n").unwrap_or(content.len());
    let header = String::from_utf8_lossy(&content[..end]).replace("\r\n\t", " ").replace("\r\n ", " ");
    let field = |line: &str| {
        let (client, taker) = line.strip_prefix("Received: from ")?.split_once(" by ")?;
        let address = client.rsplit_once('[')?.1.split_once(']')?.0.parse::<IpAddr>().ok()?;
        let protocol = taker.split_once(" with ")?.1.split(' ').next()?;
        Some((node_of(address), protocol.ends_with('S')))
    };
    header.lines().filter_map(field).collect()
}

/// A message lies in a mailbox of a daemon. When its outcome is written cannot be seen: a crash afterwards excuses a second copy.
pub(in crate::env) fn deposited(node: NodeId, content: &[u8]) {
    let text = String::from_utf8_lossy(content).replace("\r\n", "\n");
    let recipient = text.lines().find_map(|line| line.strip_prefix("Delivered-To: "));
    let Some(recipient) = recipient.map(str::to_owned) else { return };
    // It does not leave the host: there is nothing to encrypt.
    let replies = took(Some(node), &[recipient], text.replace('\n', "\r\n").as_bytes(), (false, true));
    with(|book| replies.marks.iter().for_each(|mark| book.ledger.heard(node, mark)));
}

/// A name server has told who lives there something that holds for so long.
pub(in crate::env) fn named(asker: IpAddr, name: &str, kind: RecordKind, ttl: Duration) {
    with(|book| {
        let until = book.now().after(ttl);
        book.ledger.named(node_of(asker), name, kind, until);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_when_another_begins_is_not_at_once_with_it() {
        let run = |begin, end| (Duration::from_secs(begin), Duration::from_secs(end));
        assert_eq!(at_once(&[run(0, 2), run(2, 4), run(3, 5)]), 2);
        assert_eq!(at_once(&[run(0, 9), run(1, 9), run(8, 9)]), 3);
        assert_eq!(at_once(&[]), 0);
    }

    #[test]
    fn a_trace_field_says_from_whom_and_whether_through_tls() {
        let content = b"Return-Path: <a@b>\r\nReceived: from mail.here.test (mail.here.test [10.0.0.2])\r\n\
            \t(using TLSv1.3 with cipher X (256/256 bits))\r\n\tby mx.there.test (Postrider) with ESMTPS id 1\r\n\
            Received: from client.test (unknown [10.0.0.4])\r\n\tby mail.here.test (Postrider) with ESMTP id 2\r\n\r\n\
            Received: from x ([10.0.0.9]) by y with SMTP id 3\r\n";
        assert_eq!(passages(content), [(NodeId(2), true), (NodeId(4), false)]);
    }
}
