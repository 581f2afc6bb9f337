//! `sendmail -bs`: SMTP on standard input and output, for a mail program of this host. Works while the daemon is down.
//!
//! Drives the same session as the daemon's listeners, as smtpd(8) in stand-alone mode: who may run a command may send, so that each verdict
//! is yes; what is wrong with an address is found when the daemon takes the message out of the maildrop, and told by a report.

use super::{Failure, Setup};
use crate::env::wall_clock;
use crate::maildrop::{self, Header, Particulars};
use crate::trouble::{told, words};
use postrider_core::machine::Machine;
use postrider_core::mail::{BodyType, NoticeClass, QueueId, QueueIds, Ret};
use postrider_core::session::{
    Discarded, Input, Named, Output, Params, Peer, Refused, ServerTls, Session, Shared, Sort, Transaction,
};
use postrider_core::time::{Instant, Now};
use postrider_core::wire::{EnhancedStatus, Mailbox, Reply};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, LazyLock};

/// EX_TEMPFAIL and EX_CONFIG of sysexits.h.
const TEMPORARY: u8 = 75;
const CONFIGURATION: u8 = 78;
/// Octets of one read.
const READ: usize = 16 * 1024;

/// What ends a drain.
enum Next {
    Wait,
    Close,
}

struct Dialogue {
    session: Session,
    ids: QueueIds,
    content: Vec<u8>,
    spool: PathBuf,
    setup: Setup,
}

/// Runs the command.
///
/// # Errors
/// The configuration has errors, or nobody reads what is said.
pub(super) fn run(setup: &Setup) -> Result<(), Failure> {
    let params = Params::new(&setup.settings).map_err(|wrong| {
        let list: Vec<String> = wrong.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        Failure::new(CONFIGURATION, format!("sendmail: fatal: {}", list.join("; ")))
    })?;
    // No network, no certificate: nothing to secure, nobody to be named, and nobody in between: a whole script may come at once.
    let params = Params {
        tls_level: ServerTls::None,
        tls_wrapper: false,
        tls_ready: false,
        forbid_unauth_pipelining: false,
        ..params
    };
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let session =
        Session::new(now(), Shared::new(Arc::new(params)), Peer { address: here, port: 0, local: here });
    let mut dialogue = Dialogue {
        session,
        ids: QueueIds::new(0, QueueId::default()),
        content: Vec::new(),
        spool: setup.spool(),
        setup: setup.clone(),
    };
    let name = Named { name: "localhost".to_owned(), discard: Some(Discarded::default()) };
    dialogue.tell(Input::Named(name));
    let octets = listen();
    loop {
        let spoken = dialogue.drain().map_err(|error| {
            Failure::new(TEMPORARY, format!("sendmail: fatal: standard output: {}", told(&error)))
        })?;
        match spoken {
            Next::Wait => dialogue.wait(&octets),
            Next::Close => return Ok(()),
        }
    }
}

/// Since this program began.
fn clock() -> Instant {
    static BEGAN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    Instant::default().after(BEGAN.elapsed())
}

fn now() -> Now {
    Now { wall: wall_clock(), mono: clock() }
}

/// Octets of standard input as they come; none at its end.
fn listen() -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        let mut buffer = vec![0; READ];
        loop {
            let count = io::stdin().lock().read(&mut buffer).unwrap_or(0);
            if sender.send(buffer[..count].to_vec()).is_err() || count == 0 {
                return;
            }
        }
    });
    receiver
}

impl Dialogue {
    fn tell(&mut self, input: Input<'_>) {
        self.session.handle_input(now(), input);
    }

    /// Says what the session says, and answers what it asks.
    fn drain(&mut self) -> io::Result<Next> {
        let mut next = Next::Wait;
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(octets) => {
                    let mut out = io::stdout().lock();
                    out.write_all(&octets)?;
                    out.flush()?;
                }
                Output::Close => next = Next::Close,
                Output::Sort => self.tell(Input::Sorted(Ok(Sort::Usual))),
                Output::Judge(_) => self.tell(Input::Judged(Ok(()))),
                Output::Identify => {
                    let id = self.ids.issue(wall_clock());
                    self.tell(Input::Identified(id));
                }
                Output::Content(octets) => self.content.extend_from_slice(&octets),
                Output::Abandon => self.content.clear(),
                Output::Finish => {
                    let result = self.leave();
                    self.tell(Input::Finished(result));
                }
                // Who runs a command has its replies, and needs neither log nor notice. Nobody is offered TLS.
                Output::StartTls | Output::Event(_) | Output::Notice(_) => {}
            }
        }
        Ok(next)
    }

    fn wait(&mut self, octets: &Receiver<Vec<u8>>) {
        let patience = self.session.next_timeout().map(|at| at.since(clock()));
        let came = if self.session.room() == 0 {
            std::thread::sleep(patience.unwrap_or_default());
            Err(RecvTimeoutError::Timeout)
        } else {
            match patience {
                Some(patience) => octets.recv_timeout(patience),
                None => octets.recv().map_err(|_| RecvTimeoutError::Disconnected),
            }
        };
        match came {
            Ok(octets) if !octets.is_empty() => self.tell(Input::Bytes(&octets)),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => self.tell(Input::Closed),
            Err(RecvTimeoutError::Timeout) => self.session.handle_timeout(now()),
        }
    }

    /// Into the maildrop, durably.
    fn leave(&mut self) -> Result<(), Refused> {
        let content = std::mem::take(&mut self.content);
        let Some(transaction) = self.session.transaction() else { return Ok(()) };
        let left = maildrop::leave(&self.spool, &header(transaction), &content);
        left.map_err(|error| {
            eprintln!("sendmail: warning: {}: {}", self.spool.display(), words(&error));
            let status = EnhancedStatus::new(4, 3, 0);
            let reply = Reply::new(451, Some(status), "Error: queue file write error");
            Refused::new(NoticeClass::Resource, reply)
        })?;
        super::wake(&self.setup);
        Ok(())
    }
}

fn header(transaction: &Transaction) -> Header {
    let envelope = transaction.envelope();
    let particulars = envelope
        .recipients
        .iter()
        .map(|recipient| Particulars { notify: recipient.notify, orcpt: recipient.orcpt.clone() });
    Header {
        sender: Some(envelope.sender.mailbox().map(Mailbox::external).unwrap_or_default()),
        recipients: envelope.recipients.iter().map(|recipient| recipient.address.external()).collect(),
        particulars: particulars.collect(),
        notify: None,
        ret: envelope.ret.map(|ret| if ret == Ret::Full { "full" } else { "hdrs" }.to_owned()),
        envid: envelope.envid,
        eight_bit: envelope.body == BodyType::EightBitMime,
        smtputf8: envelope.smtputf8,
    }
}
