//! What goes wrong below us, in words for a person: what the system said, and what to do about it.
//!
//! `io::Error` prints `(os error 2)` and `Errno` prints `EAGAIN: Try again`, which say less than their words. Every text
//! that leaves this program about a failing file, socket or user is made here. A [`Fault`] says besides whose fault it is,
//! so that `start` can end with the status that sysexits.h has for it.

use std::fmt;
use std::io::{self, ErrorKind};

/// Numbers for which [`ErrorKind`] has no name, the same on every Linux.
const EIO: i32 = 5;
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOBUFS: i32 = 105;

/// The system's words, without numbers.
#[must_use]
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// The system's words, and what to do where that is known: `No such file or directory; make it, or correct the path`.
#[must_use]
pub fn told(error: &io::Error) -> String {
    match remedy(error) {
        Some(remedy) => format!("{}; {remedy}", words(error)),
        None => words(error),
    }
}

fn remedy(error: &io::Error) -> Option<&'static str> {
    let number = error.raw_os_error()?;
    Some(match error.kind() {
        ErrorKind::NotFound => "make it, or correct the path",
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::InvalidFilename => "correct the path",
        ErrorKind::PermissionDenied => "correct its permissions or its owner, or start as root",
        ErrorKind::ReadOnlyFilesystem => "mount it for writing, or choose another place",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk",
        ErrorKind::OutOfMemory => "give this host more memory",
        _ if matches!(number, EMFILE | ENFILE) => "allow more open files (ulimit -n)",
        _ if number == EIO => "the disk fails: the kernel's log (dmesg) says more",
        _ => return None,
    })
}

/// Whether this host lacks descriptors or memory: what was tried says nothing of whoever was to be reached. EADDRNOTAVAIL is not among
/// them: a host without an address of its own in that family says it too.
#[must_use]
pub fn is_short(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(&number))
}

/// Whose fault it is that something cannot start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A person can correct it in a file.
    Configuration,
    /// Who starts it lacks the right.
    Permission,
    /// The system is short of something, or something else has it.
    System,
}

impl Cause {
    /// How a path that the configuration names can fail.
    #[must_use]
    pub fn of_path(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::PermissionDenied => Self::Permission,
            ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidFilename
            | ErrorKind::AlreadyExists
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::InvalidInput => Self::Configuration,
            _ => Self::System,
        }
    }

    /// EX_CONFIG, EX_NOPERM, EX_OSERR of sysexits.h.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::Configuration => 78,
            Self::Permission => 77,
            Self::System => 71,
        }
    }
}

/// Why something cannot start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whose fault it is.
    pub cause: Cause,
    /// What to tell a person: where, what, and the remedy.
    pub text: String,
}

impl Fault {
    /// A fault.
    #[must_use]
    pub fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, text: text.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: i32) -> io::Error {
        io::Error::from_raw_os_error(number)
    }

    #[test]
    fn the_system_s_numbers_are_not_for_people() {
        assert_eq!(told(&number(2)), "No such file or directory; make it, or correct the path");
        assert_eq!(told(&number(111)), "Connection refused");
        assert_eq!(words(&number(11)), "Resource temporarily unavailable");
        assert!(told(&number(EMFILE)).starts_with("Too many open files; allow"));
        assert!(told(&number(EIO)).starts_with("Input/output error; the disk"));
        assert_eq!(told(&io::Error::other("not a plain file")), "not a plain file");
    }

    #[test]
    fn what_this_host_lacks_is_told_from_what_others_refuse() {
        use nix::libc;
        let lacks = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
        assert!(lacks.into_iter().all(|code| is_short(&number(code))));
        let others = [libc::EADDRNOTAVAIL, libc::ECONNREFUSED, libc::ENETUNREACH];
        assert!(!others.into_iter().any(|code| is_short(&number(code))));
    }

    #[test]
    fn a_path_that_is_wrong_is_no_fault_of_the_system() {
        assert_eq!(Cause::of_path(&number(2)).status(), 78);
        assert_eq!(Cause::of_path(&number(13)).status(), 77);
        assert_eq!(Cause::of_path(&number(28)).status(), 71);
    }
}
