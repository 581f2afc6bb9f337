//! Maildirs and mailbox files, written durably.
//!
//! Opening and renaming is done as the mailbox's owner, by the helper when there is one; the octets go through the file descriptor that
//! it hands back, so content never passes the helper.

use crate::env::{Letter, Mailboxes};
use crate::privilege::{Agent, Owner, Request, is_null};
use crate::trouble::words;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use postrider_core::local::{Deposit, Fault, Format, Locks, maildir_final, maildir_temporary};
use postrider_core::time::Timestamp;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Mailboxes of this host.
#[derive(Debug)]
pub struct RealMailboxes {
    agent: Arc<Agent>,
    host: String,
    sequence: AtomicU64,
}

impl RealMailboxes {
    /// What needs other users' rights goes through `agent`.
    #[must_use]
    pub fn new(agent: Arc<Agent>) -> Self {
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
        let host = host.unwrap_or_else(|_| "localhost".to_owned()).replace(['/', ':'], "_");
        Self { agent, host, sequence: AtomicU64::new(0) }
    }
}

fn fault(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Fault::Forbidden(words(error)),
        io::ErrorKind::WouldBlock => Fault::Locked(words(error)),
        _ => Fault::Other(words(error)),
    }
}

fn owner(deposit: &Deposit) -> Owner {
    Owner { uid: deposit.uid, gid: deposit.gid }
}

impl Mailboxes for RealMailboxes {
    fn open(&self, deposit: &Deposit, now: Timestamp) -> Result<Box<dyn Letter>, Fault> {
        let agent = Arc::clone(&self.agent);
        match deposit.format {
            Format::Maildir => {
                let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
                let name = maildir_temporary(now, std::process::id(), sequence, &self.host);
                let directory = PathBuf::from(&deposit.path);
                let open = Request::OpenMaildir {
                    directory: directory.clone(),
                    name: name.clone(),
                    owner: owner(deposit),
                };
                let file = open_file(&agent, &open).map_err(|error| fault(&error))?;
                let host = self.host.clone();
                Ok(Box::new(MaildirLetter { agent, file, directory, name, owner: owner(deposit), now, host }))
            }
            Format::Mbox => {
                let path = PathBuf::from(&deposit.path);
                let open = Request::OpenMbox {
                    path: path.clone(),
                    owner: owner(deposit),
                    in_spool: deposit.in_spool,
                    dot_lock: deposit.locks.dotlock.then_some(deposit.stale_lock.as_secs()),
                };
                let file = open_file(&agent, &open).map_err(|error| fault(&error))?;
                if is_null(&file.metadata().map_err(|error| fault(&error))?) {
                    return Ok(Box::new(NullLetter));
                }
                MboxLetter::lock(agent, file, path, deposit).map(|letter| Box::new(letter) as Box<dyn Letter>)
            }
        }
    }
}

fn open_file(agent: &Agent, request: &Request) -> io::Result<File> {
    let file = agent.request(request)?;
    file.map(File::from).ok_or_else(|| io::Error::other("the helper gave no file"))
}

struct MaildirLetter {
    agent: Arc<Agent>,
    file: File,
    directory: PathBuf,
    name: String,
    owner: Owner,
    now: Timestamp,
    host: String,
}

impl Letter for MaildirLetter {
    fn write(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.file.write_all(octets).map_err(|error| fault(&error))
    }

    fn finish(self: Box<Self>) -> Result<(), Fault> {
        let finish = || -> io::Result<()> {
            self.file.sync_all()?;
            let data = self.file.metadata()?;
            let last = maildir_final(self.now, data.dev(), data.ino(), &self.host);
            let (directory, name) = (self.directory.clone(), self.name.clone());
            self.agent.request(&Request::FinishMaildir { directory, name, last, owner: self.owner }).map(drop)
        };
        let result = finish().map_err(|error| fault(&error));
        if result.is_err() {
            self.abandon();
        }
        result
    }

    fn abandon(self: Box<Self>) {
        let Self { agent, directory, name, owner, .. } = *self;
        // What stays in tmp/ is no mail to any reader, and is cleared by them after 36 hours.
        _ = agent.request(&Request::AbandonMaildir { directory, name, owner });
    }
}

/// A message for `/dev/null`.
struct NullLetter;

impl Letter for NullLetter {
    fn write(&mut self, _: &[u8]) -> Result<(), Fault> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Fault> {
        Ok(())
    }

    fn abandon(self: Box<Self>) {}
}

struct MboxLetter {
    agent: Arc<Agent>,
    file: File,
    _flock: Option<Flock<File>>,
    /// Gives the dot-lock back.
    close: Option<Request>,
    /// Octets before this message; the file is cut back to them when it cannot be written whole.
    before: u64,
    /// What a message that a crash has torn lacks to its end: without it the next one would go on in the middle of its last line.
    gap: &'static [u8],
    limit: u64,
    written: u64,
}

/// Locks a file as `mailbox_delivery_lock` says. Both locks go with the file.
fn lock_file(file: &File, locks: Locks) -> io::Result<Option<Flock<File>>> {
    if locks.fcntl {
        // A lock of this open file, not of this process: it excludes other deliveries of ours as well as other programs.
        let whole = nix::libc::flock {
            l_type: nix::libc::F_WRLCK as i16,
            l_whence: nix::libc::SEEK_SET as i16,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(file, FcntlArg::F_OFD_SETLK(&whole))?;
    }
    if !locks.flock {
        return Ok(None);
    }
    let held = Flock::lock(file.try_clone()?, FlockArg::LockExclusiveNonblock);
    held.map(Some).map_err(|(_, error)| error.into())
}

impl MboxLetter {
    fn lock(agent: Arc<Agent>, file: File, path: PathBuf, deposit: &Deposit) -> Result<Self, Fault> {
        let (owner, in_spool) = (owner(deposit), deposit.in_spool);
        let close = deposit.locks.dotlock.then_some(Request::CloseMbox { path, owner, in_spool });
        let unlock = |agent: &Agent| unlock(agent, close.as_ref());
        let flock = match lock_file(&file, deposit.locks) {
            Ok(flock) => flock,
            Err(error) => {
                unlock(&agent);
                let text = format!("the mailbox is locked by another program: {}", words(&error));
                return Err(if is_held(&error) { Fault::Locked(text) } else { Fault::Other(text) });
            }
        };
        let data = file.metadata().map_err(|error| fault(&error))?;
        if deposit.strict_owner && data.uid() != deposit.uid {
            unlock(&agent);
            return Err(Fault::Forbidden(format!("the mailbox belongs to user {}", data.uid())));
        }
        let before = data.len();
        let gap = match gap(&file, before) {
            Ok(gap) => gap,
            Err(error) => {
                unlock(&agent);
                return Err(fault(&error));
            }
        };
        Ok(Self { agent, file, _flock: flock, close, before, gap, limit: deposit.limit, written: 0 })
    }
}

/// What must stand between the octets of a mailbox and its next message, so that a blank line comes before it.
fn gap(file: &File, length: u64) -> io::Result<&'static [u8]> {
    let mut last = [b'\n'; 2];
    let known = usize::try_from(length.min(2)).unwrap_or(2);
    file.read_exact_at(&mut last[2 - known..], length - known as u64)?;
    Ok(match &last {
        b"\n\n" => b"",
        [_, b'\n'] => b"\n",
        _ => b"\n\n",
    })
}

fn unlock(agent: &Agent, close: Option<&Request>) {
    if let Some(close) = close {
        _ = agent.request(close);
    }
}

/// The two ways in which the kernel says that a lock is another's (fcntl(2)).
fn is_held(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::PermissionDenied)
}

impl Letter for MboxLetter {
    fn write(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.written += octets.len() as u64;
        if self.limit > 0 && self.before + self.written > self.limit {
            return Err(Fault::Full);
        }
        let gap = std::mem::take(&mut self.gap);
        self.file.write_all(gap).and_then(|()| self.file.write_all(octets)).map_err(|error| fault(&error))
    }

    fn finish(self: Box<Self>) -> Result<(), Fault> {
        let result = self.file.sync_all().map_err(|error| fault(&error));
        if result.is_err() {
            self.abandon();
        } else {
            unlock(&self.agent, self.close.as_ref());
        }
        result
    }

    fn abandon(self: Box<Self>) {
        // Half a message at the end would become part of the next one.
        _ = self.file.set_len(self.before);
        unlock(&self.agent, self.close.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn deposit(path: &Path, locks: Locks) -> Deposit {
        let (uid, gid) = (nix::unistd::Uid::effective().as_raw(), nix::unistd::Gid::effective().as_raw());
        Deposit { path: path.display().to_string(), uid, gid, locks, ..Deposit::default() }
    }

    #[test]
    fn a_message_begins_behind_a_blank_line_whatever_a_crash_has_left() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("mbox");
        let mailboxes = RealMailboxes::new(Arc::new(Agent::Ourselves));
        let none = Locks { fcntl: false, flock: false, dotlock: false };
        for (left, gap) in
            [("", ""), ("\n", ""), ("From a\n\nte", "\n\n"), ("text\n", "\n"), ("text\n\n", "")]
        {
            std::fs::write(&path, left).expect("a scratch file");
            let mut letter = mailboxes.open(&deposit(&path, none), Timestamp(0)).expect("free");
            letter.write(b"From b").expect("space");
            letter.write(b"\n").expect("space");
            letter.finish().expect("durable");
            let now = std::fs::read_to_string(&path).expect("the mailbox");
            assert_eq!(now, format!("{left}{gap}From b\n"));
        }
    }

    #[test]
    fn a_mailbox_is_locked_as_the_parameter_says_and_by_nothing_else() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mailboxes = RealMailboxes::new(Arc::new(Agent::Ourselves));
        let none = Locks { fcntl: false, flock: false, dotlock: false };
        let ways =
            [Locks { fcntl: true, ..none }, Locks { flock: true, ..none }, Locks { dotlock: true, ..none }];
        for (number, locks) in ways.into_iter().enumerate() {
            let path = folder.path().join(number.to_string());
            let wanted = deposit(&path, locks);
            let mut first = mailboxes.open(&wanted, Timestamp(0)).expect("free");
            assert_eq!(folder.path().join(format!("{number}.lock")).exists(), locks.dotlock);
            assert!(mailboxes.open(&wanted, Timestamp(0)).is_err(), "{locks:?} holds nobody off");
            first.write(b"octets").expect("space");
            first.finish().expect("durable");
            mailboxes.open(&wanted, Timestamp(0)).expect("free again").abandon();
            assert_eq!(std::fs::read(&path).expect("the mailbox"), b"octets");
            assert!(!folder.path().join(format!("{number}.lock")).exists());
        }
    }
}
