//! How a mail server behaves.

use serde::{Deserialize, Serialize};

/// What a server's TLS is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tls {
    /// It offers none.
    None,
    /// All is well.
    Good,
    /// Its certificate is for another name.
    WrongName,
    /// Its certificate has expired.
    Expired,
    /// Every handshake fails.
    Broken,
}

/// How a server behaves; odds are of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manners {
    /// Port that it listens on.
    pub port: u16,
    /// LMTP: a reply for each recipient after the dot.
    pub lmtp: bool,
    /// Knows EHLO.
    pub extended: bool,
    /// Offers PIPELINING.
    pub pipelining: bool,
    /// STARTTLS.
    pub tls: Tls,
    /// A handshake fails that should not.
    pub tls_fails: u16,
    /// Greets with 421 or 554.
    pub rude: u16,
    /// Accepts and never greets.
    pub silent: u16,
    /// Closes or resets instead of answering a command.
    pub hangs_up: u16,
    /// Closes or resets in the middle of the content.
    pub cuts_content: u16,
    /// Says 451 to a command or content.
    pub soft: u16,
    /// Every recipient has to come again.
    pub greylists: bool,
    /// Takes the message and loses the connection before its reply is out.
    pub loses_reply: u16,
    /// Stops answering.
    pub sleeps: u16,
    /// Most microseconds before a reply; 0: answers at once.
    pub slowness: u64,
    /// Says something that is no reply.
    pub babbles: u16,
    /// Says one reply too many.
    pub out_of_turn: u16,
    /// LMTP: fewer replies than recipients, then hangs up.
    pub lies: u16,
    /// LMTP: more replies than recipients.
    pub brags: u16,
    /// Sends its end at QUIT, before it is done with reading.
    pub half_closes: u16,
    /// Sends its end behind any other reply: it reads on, and says no more.
    pub half_closes_early: u16,
    /// Closes or resets instead of answering QUIT.
    pub hangs_up_at_quit: u16,
    /// Says a reply a few octets at a time.
    pub drips: u16,
    /// Milliseconds without a word from a client between two messages, after which it hangs up; 0: it waits for ever.
    pub idle: u64,
    /// It says 421 before it does so.
    pub idle_says: bool,
    /// Connections at once, beyond which it says 421; 0: any.
    pub connections: u32,
    /// Refuses everything for now, for good.
    pub refuses: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            port: 25,
            lmtp: false,
            extended: true,
            pipelining: true,
            tls: Tls::None,
            tls_fails: 0,
            rude: 0,
            silent: 0,
            hangs_up: 0,
            cuts_content: 0,
            soft: 0,
            greylists: false,
            loses_reply: 0,
            sleeps: 0,
            slowness: 0,
            babbles: 0,
            out_of_turn: 0,
            lies: 0,
            brags: 0,
            half_closes: 0,
            half_closes_early: 0,
            hangs_up_at_quit: 0,
            drips: 0,
            idle: 0,
            idle_says: false,
            connections: 0,
            refuses: false,
        }
    }
}

impl Manners {
    /// The same server on a good day.
    #[must_use]
    pub fn good(self) -> Self {
        let Self { port, lmtp, extended, pipelining, tls, .. } = self;
        let tls = if tls == Tls::Broken { Tls::Good } else { tls };
        Self { port, lmtp, extended, pipelining, tls, ..Self::default() }
    }
}
