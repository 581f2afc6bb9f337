//! What smuggles a second message in behind a false end of the data, and a judge of what arrived at the next hop.

use crate::daemon::Daemon;
use crate::server::{Server, Taken};
use std::collections::BTreeSet;

/// What other programs took for the end of the data, and what one might: one that does is enough for a smuggler.
pub const ENDS: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\n",
    b"\n.\r",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\n\n",
    b"\0\r\n.\n",
    b"\r\0\n.\r\0\n",
    b"\r\0\n.\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\0\n",
    b"\r\n .\r\n",
    b"\r\n. \r\n",
    b"\r\n\x0b.\r\n",
    b"\r\n.\x0c\r\n",
    b"\xc2\x85.\xc2\x85",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
    b"\r\n..\r\n",
];

/// What does end it.
pub const TRUE_END: &[u8] = b"\r\n.\r\n";

/// Lines of main.cf under which a client that does not wait for replies is obeyed, so that a second message does come in.
pub const OBEDIENT: &str = "smtpd_forbid_unauth_pipelining = no\n";

/// In the replies that take responsibility, and in no others.
const PROMISE: &str = " queued as ";

const BEFORE: &[u8] = b"Subject: outer\r\n\r\nbody";
const BEHIND: &[u8] = b"MAIL FROM:<smuggled@evil.test>\r\nRCPT TO:<victim@far.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil\r\n.\r\n";

/// The attack: a message with a second envelope behind something that is, or is no, end of data.
#[must_use]
pub fn attack(end: &[u8]) -> Vec<u8> {
    [BEFORE, end, BEHIND].concat()
}

/// Where in the attack the pretended end is.
#[must_use]
pub const fn place(end: &[u8]) -> std::ops::Range<usize> {
    BEFORE.len()..BEFORE.len() + end.len()
}

/// Whether a reply takes responsibility for a message.
#[must_use]
pub fn promises(replies: &str) -> bool {
    replies.contains(PROMISE)
}

/// Behind a message without guile, all that was promised (to these senders) has arrived once, and nothing else has.
///
/// # Errors
/// What else has arrived, or has not.
///
/// # Panics
/// When the message without guile is not taken.
pub fn judge(daemon: &Daemon, server: &Server, promised: &BTreeSet<String>) -> Result<(), String> {
    let reply =
        daemon.client().deliver("last@client.test", &["reader@far.test"], "Subject: last\r\n\r\nbody\r\n");
    assert!(promises(&reply), "{reply}");
    daemon.wait_until_the_queue_is_empty();
    let taken = server.taken();
    let sender = |message: &Taken| message.mail.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
    let mut senders: Vec<String> = taken.iter().map(sender).collect();
    senders.sort_unstable();
    let mut wanted: Vec<String> = promised.iter().cloned().chain(["last@client.test".to_owned()]).collect();
    wanted.sort_unstable();
    if senders != wanted {
        return Err(format!(
            "one envelope is one message: promised were {wanted:?}, arrived have {senders:?}"
        ));
    }
    taken.iter().try_for_each(is_innocent)
}

/// Nothing of the second envelope is in the first, and no line end is one for some and none for others.
fn is_innocent(message: &Taken) -> Result<(), String> {
    let octets = &message.content;
    let told = || octets.escape_ascii().to_string();
    if message.recipients.iter().any(|one| one.contains("victim")) {
        return Err(format!("a recipient was smuggled in: {}", told()));
    }
    let has_bare_lf = octets.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
    let has_bare_cr = octets.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n');
    if has_bare_lf || has_bare_cr || octets.contains(&0) {
        return Err(format!("stray octets left us: {}", told()));
    }
    Ok(())
}
