//! The maildrop: where commands on this host leave mail, whether the daemon runs or not.
//!
//! A file is a seal (length and checksum of what follows), a line of JSON (who from, who to) and the message as it was given. It is
//! written under a temporary name, synced, and renamed, so the daemon never sees half of one; the command succeeds only after that. What the
//! seal does not fit is damaged, and set aside. The directory can be written by everybody and read by nobody (mode 1733): the file's owner is
//! the submitter, as the kernel says.

use postrider_core::mail::{Notify, OriginalRecipient};
use postrider_core::time::{Duration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Below the spool's directory.
pub const DIRECTORY: &str = "maildrop";
/// Octets of the first line, which come on top of the message: a few thousand recipients.
pub const HEADER_MAX: u64 = 4 << 20;
/// A message is written in less: who still writes after that is told that it was not left.
const UNFINISHED_MAX: Duration = Duration::from_secs(86_400);
/// Octets of a seal: 16 digits of the length, a space, 8 of the CRC-32 (all hexadecimal), and the end of the line.
const SEAL: usize = 26;

/// What a command says of a message; addresses as typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Header {
    /// Envelope sender; `None`: the submitter's login name.
    pub sender: Option<String>,
    /// Envelope recipients.
    pub recipients: Vec<String>,
    /// `-N`: when to report.
    pub notify: Option<String>,
    /// `-R`: how much to return.
    pub ret: Option<String>,
    /// `-V`: envelope id.
    pub envid: Option<String>,
    /// `-B 8BITMIME`.
    pub eight_bit: bool,
    /// The addresses and header may have characters beyond ASCII.
    #[serde(default)]
    pub smtputf8: bool,
    /// One for each recipient, or none at all.
    #[serde(default)]
    pub particulars: Vec<Particulars>,
}

/// What was said of one recipient (`-bs`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Particulars {
    /// `NOTIFY`.
    pub notify: Notify,
    /// `ORCPT`.
    pub orcpt: Option<OriginalRecipient>,
}

/// A message that was picked up.
#[derive(Debug)]
pub struct Dropped {
    /// What the command said.
    pub header: Header,
    /// Who left it.
    pub uid: u32,
    /// When.
    pub modified: i64,
    /// Octets of the message itself.
    pub size: u64,
    /// The message itself, from here to the end.
    pub content: BufReader<File>,
    /// To be removed when the message is durable elsewhere.
    pub path: PathBuf,
}

impl Dropped {
    /// The envelope sender, as typed; who left the message where the command said nothing.
    #[must_use]
    pub fn sender(&self) -> String {
        match self.header.sender.as_deref() {
            Some("<>") => String::new(),
            Some(text) => text.to_owned(),
            None => login_name(self.uid),
        }
    }
}

fn login_name(uid: u32) -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| "unknown".to_owned(), |user| user.name)
}

/// Makes the directory.
///
/// # Errors
/// As the system says.
pub fn prepare(spool: &Path) -> io::Result<PathBuf> {
    let path = spool.join(DIRECTORY);
    if !path.exists() {
        fs::create_dir(&path)?;
        // Set apart from the creation: the umask must not take bits away.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o1733))?;
    }
    Ok(path)
}

/// Leaves a message, durably.
///
/// # Errors
/// As the system says; nothing was left then.
pub fn leave(spool: &Path, header: &Header, content: &[u8]) -> io::Result<()> {
    let directory = spool.join(DIRECTORY);
    let clock = crate::env::wall_clock().0;
    // Others may enter the directory and not list it: what they cannot guess they cannot open.
    let secret = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let name = format!("{clock:016x}.{secret:016x}");
    let (temporary, last) = (directory.join(format!("tmp.{name}")), directory.join(format!("new.{name}")));
    let write = || -> io::Result<()> {
        // Readable by the daemon, which is another user; its owner can remove it.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary)?;
        let mut line = serde_json::to_vec(header)?;
        line.push(b'\n');
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&line);
        checksum.update(content);
        file.write_all(seal((line.len() + content.len()) as u64, checksum.finalize()).as_bytes())?;
        file.write_all(&line)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, &last)?;
        // A directory that we may not read cannot be opened for a sync: then the whole file system is synced, by way of the file.
        match File::open(&directory) {
            Ok(directory) => directory.sync_all(),
            Err(_) => nix::unistd::syncfs(&file).map_err(io::Error::from),
        }
    };
    let result = write();
    if result.is_err() {
        // The command says that it failed, so that it may be run again: nothing of this try must remain.
        _ = fs::remove_file(temporary);
        _ = fs::remove_file(last);
    }
    result
}

/// Names of the messages that wait, oldest first.
///
/// # Errors
/// As the system says.
pub fn list(spool: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(spool.join(DIRECTORY))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("new.") {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes what a command that was killed has left unfinished, a day after.
///
/// # Errors
/// As the system says, of the directory; a file that can not be removed stays.
pub fn remove_unfinished(spool: &Path, now: Timestamp) -> io::Result<()> {
    for entry in fs::read_dir(spool.join(DIRECTORY))? {
        let entry = entry?;
        let is_old = |data: &fs::Metadata| Timestamp::from_seconds(data.mtime()).after(UNFINISHED_MAX) < now;
        if entry.file_name().to_string_lossy().starts_with("tmp.")
            && entry.metadata().as_ref().is_ok_and(is_old)
        {
            _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Puts a file that is no message out of the way, where a person finds it.
///
/// # Errors
/// As the system says.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!("bad.{}", name.trim_start_matches("new.")));
    fs::rename(path, &aside).map(|()| aside)
}

fn seal(length: u64, checksum: u32) -> String {
    format!("{length:016x} {checksum:08x}\n")
}

/// Comes behind the seal of a file of so many octets; the octets that follow. The checksum is looked at where these are no more than `most`:
/// everybody may leave a file of any size here.
fn unsealed(file: &mut File, size: u64, most: u64) -> io::Result<u64> {
    let damaged =
        || io::Error::new(io::ErrorKind::InvalidData, "damaged: its length or its checksum does not fit");
    let mut said = [0; SEAL];
    file.read_exact(&mut said).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(),
        _ => error,
    })?;
    if said[0] == b'{' {
        // Of a release without seals. No bit that changes makes this of a digit.
        file.seek(SeekFrom::Start(0))?;
        return Ok(size);
    }
    let length = size.saturating_sub(SEAL as u64);
    let checksum =
        std::str::from_utf8(&said[17..25]).ok().and_then(|text| u32::from_str_radix(text, 16).ok());
    if checksum.is_none_or(|checksum| said != *seal(length, checksum).as_bytes()) {
        return Err(damaged());
    }
    if length <= most && checksum != Some(checksum_of(file, length)?) {
        return Err(damaged());
    }
    file.seek(SeekFrom::Start(SEAL as u64))?;
    Ok(length)
}

/// Of the next octets of a file, which may have become shorter.
fn checksum_of(file: &mut File, length: u64) -> io::Result<u32> {
    let (mut rest, mut checksum, mut buffer) =
        (file.take(length), crc32fast::Hasher::new(), vec![0; 64 << 10]);
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(checksum.finalize()),
            count => checksum.update(&buffer[..count]),
        }
    }
}

/// Opens a message that waits; its checksum is looked at if it has no more than `most` octets.
///
/// # Errors
/// It is no message: a link, a device, or damaged; the text says what.
pub fn open(path: &Path, most: u64) -> io::Result<Dropped> {
    // Everybody may put things here: never follow a link, never wait for a pipe.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let data = file.metadata()?;
    if !data.is_file() || data.nlink() != 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a plain file with one name"));
    }
    let length = unsealed(&mut file, data.len(), most)?;
    let mut content = BufReader::new(file);
    let mut line = Vec::new();
    Read::take(&mut content, HEADER_MAX).read_until(b'\n', &mut line)?;
    let header =
        serde_json::from_slice(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let size = length.saturating_sub(line.len() as u64);
    Ok(Dropped { header, uid: data.uid(), modified: data.mtime(), size, content, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A spool with a maildrop.
    fn spool() -> tempfile::TempDir {
        let spool = tempfile::tempdir().expect("a scratch directory");
        prepare(spool.path()).expect("a maildrop");
        spool
    }

    #[test]
    fn what_is_left_is_picked_up_once_and_whole() {
        let spool = spool();
        let header = Header { recipients: vec!["root".to_owned()], ..Header::default() };
        leave(spool.path(), &header, b"Subject: x\n\nbody\n").expect("left");
        let waiting = list(spool.path()).expect("listed");
        assert_eq!(waiting.len(), 1);
        let mut dropped = open(&waiting[0], u64::MAX).expect("opened");
        assert_eq!(dropped.header, header);
        let mut content = String::new();
        dropped.content.read_to_string(&mut content).expect("read");
        assert_eq!(content, "Subject: x\n\nbody\n");
    }

    #[test]
    fn a_file_with_a_bit_changed_or_cut_off_anywhere_is_no_message() {
        let spool = spool();
        let header = Header { recipients: vec!["root".to_owned()], ..Header::default() };
        leave(spool.path(), &header, b"Subject: x\n\nbody\n").expect("left");
        let path = list(spool.path()).expect("listed").remove(0);
        let whole = fs::read(&path).expect("readable");
        let is_refused = |octets: &[u8]| {
            fs::write(&path, octets).expect("ours to write");
            open(&path, u64::MAX).is_err_and(|error| error.kind() == io::ErrorKind::InvalidData)
        };
        for bit in 0..whole.len() * 8 {
            let mut octets = whole.clone();
            octets[bit / 8] ^= 1 << (bit % 8);
            assert!(is_refused(&octets), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(is_refused(&whole[..length]), "cut at {length}");
        }
        assert!(is_refused(&[&whole[..], b"x"].concat()), "longer");
        assert!(!is_refused(&whole));
        // One of a release without seals, and one so large that only its length is looked at.
        assert!(!is_refused(&whole[SEAL..]));
        let last = whole.len() - 1;
        fs::write(&path, [&whole[..last], b"?"].concat()).expect("ours to write");
        assert!(open(&path, 10).is_ok() && open(&path, u64::MAX).is_err());
    }

    #[test]
    fn a_link_in_the_maildrop_is_not_followed() {
        let spool = spool();
        let link = spool.path().join(DIRECTORY).join("new.1");
        std::os::unix::fs::symlink("/etc/passwd", &link).expect("a link");
        assert!(open(&link, u64::MAX).is_err());
    }

    #[test]
    fn what_was_left_unfinished_goes_after_a_day_and_nothing_else_does() {
        let spool = spool();
        leave(spool.path(), &Header::default(), b"a message").expect("room");
        let unfinished = spool.path().join(DIRECTORY).join("tmp.0");
        fs::write(&unfinished, b"half of").expect("room");
        let now = crate::env::wall_clock();
        for (later, is_there) in [(0, true), (23, true), (25, false)] {
            remove_unfinished(spool.path(), now.after(Duration::from_secs(later * 3_600)))
                .expect("a maildrop");
            assert_eq!(unfinished.exists(), is_there, "after {later} hours");
        }
        assert_eq!(list(spool.path()).expect("a maildrop").len(), 1);
    }
}
