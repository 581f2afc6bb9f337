//! The helper that keeps root.
//!
//! Started as root, the daemon starts itself once more as a small helper before it has any thread, and then becomes `mail_owner`.
//! The helper binds ports, reads files that only root may read, and opens mailboxes as their owners; it parses nothing but
//! our own requests, and hands back file descriptors. File access as another user switches the file system user of its one thread
//! (setfsuid), so that the kernel checks permissions as that user.
//!
//! Started without root there is no helper: what needs it is refused by the kernel, and named at start.

use crate::trouble::{told, words};
use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    SockaddrStorage, listen, recvmsg, sendmsg, setsockopt, socket, socketpair, sockopt,
};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid, setgid, setgroups, setuid};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The argument that makes this program the helper.
pub const HELPER_ARGUMENT: &str = "--keep-root";
/// Connections that the kernel queues for us before it turns clients away.
const BACKLOG: i32 = 1024;
/// Directories that a first delivery may have made, from the Maildir upwards, and the one they were made in.
const MADE_MAX: usize = 4;
/// Octets of a request or an answer.
const PACKET_MAX: usize = 64 * 1024;

/// As whom a file is accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What the helper can do.
#[allow(missing_docs)] // Each row says what its fields are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Listen on a TCP port.
    Bind(SocketAddr),
    /// Open a configuration file for reading.
    Open(PathBuf),
    /// Open a file of a user for reading, with that user's rights.
    OpenAs { path: PathBuf, owner: Owner },
    /// Make `tmp/NAME` in a Maildir, and the Maildir if it is missing.
    OpenMaildir { directory: PathBuf, name: String, owner: Owner },
    /// Move `tmp/NAME` to `new/FINAL`, durably.
    FinishMaildir { directory: PathBuf, name: String, last: String, owner: Owner },
    /// Remove `tmp/NAME`.
    AbandonMaildir { directory: PathBuf, name: String, owner: Owner },
    /// Open a mailbox file for appending; with a dot-lock, if that is asked for (after how many seconds it counts as left behind) and
    /// its directory allows one. `in_spool`: the directory is `mail_spool_directory`.
    OpenMbox { path: PathBuf, owner: Owner, in_spool: bool, dot_lock: Option<u64> },
    /// Give the dot-lock back.
    CloseMbox { path: PathBuf, owner: Owner, in_spool: bool },
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Done,
    Failed(Option<i32>, String),
}

/// Carries out a request, here, as whoever we are.
///
/// # Errors
/// As the system says.
pub fn carry_out(request: &Request) -> io::Result<Option<OwnedFd>> {
    match request {
        Request::Bind(address) => bind(*address).map(Some),
        Request::Open(path) => open_plain(path).map(|file| Some(file.into())),
        Request::OpenAs { path, owner } => open_as(path, *owner).map(|file| Some(file.into())),
        Request::OpenMaildir { directory, name, owner } => {
            as_owner(*owner, || open_maildir(directory, name)).map(|file| Some(file.into()))
        }
        Request::FinishMaildir { directory, name, last, owner } => {
            as_owner(*owner, || finish_maildir(directory, name, last)).map(|()| None)
        }
        Request::AbandonMaildir { directory, name, owner } => {
            as_owner(*owner, || fs::remove_file(directory.join("tmp").join(name))).map(|()| None)
        }
        Request::OpenMbox { path, owner, in_spool, dot_lock } => {
            let maker = maker(path, *owner, *in_spool);
            open_mbox(path, *owner, maker, *dot_lock).map(|file| Some(file.into()))
        }
        Request::CloseMbox { path, owner, in_spool } => {
            as_owner(maker(path, *owner, *in_spool), || fs::remove_file(dot_lock(path))).map(|()| None)
        }
    }
}

/// Opens a plain file, or `/dev/null`, for reading. Anything else might never end, or never begin: a pipe that a user has put in place of a
/// file would hold up whoever opens it.
///
/// # Errors
/// As the system says.
pub fn open_plain(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    let data = file.metadata()?;
    if data.is_file() || is_null(&data) {
        return Ok(file);
    }
    Err(io::Error::other("it is not a plain file"))
}

/// True for `/dev/null`, which some mail is for.
#[must_use]
pub fn is_null(data: &fs::Metadata) -> bool {
    let null = || fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == data.rdev());
    data.file_type().is_char_device() && null()
}

/// Opens a file with the rights of a user. Without root, what is anybody's to read is also that user's.
fn open_as(path: &Path, owner: Owner) -> io::Result<File> {
    let us = Uid::effective();
    if us.is_root() || us.as_raw() == owner.uid {
        return as_owner(owner, || open_plain(path));
    }
    let file = open_plain(path)?;
    if file.metadata()?.mode() & 0o004 == 0 {
        return as_owner(owner, || Ok(file));
    }
    Ok(file)
}

fn bind(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        // `[::]:25` and `0.0.0.0:25` are two listeners, as inet_protocols asks for each.
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    nix::sys::socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(socket)
}

/// Runs with the file system identity of `owner`, if we are root; else as ourselves, and only if that is who it is.
fn as_owner<T>(owner: Owner, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let us = Uid::effective();
    if !us.is_root() {
        if us.as_raw() != owner.uid {
            let text = format!("delivery as user {} needs a daemon that was started as root", owner.uid);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        return work();
    }
    let group = setfsgid(Gid::from_raw(owner.gid));
    let user = setfsuid(Uid::from_raw(owner.uid));
    let result = work();
    setfsuid(user);
    setfsgid(group);
    result
}

fn open_maildir(directory: &Path, name: &str) -> io::Result<File> {
    let path = directory.join("tmp").join(name);
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            for part in ["tmp", "new", "cur"] {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(directory.join(part))?;
            }
            // A power cut that takes a new Maildir takes the message in it. One that is not durable goes again, so that the next delivery
            // makes it, and sees to it.
            directory.ancestors().take(MADE_MAX).try_for_each(sync_directory).inspect_err(|_| {
                ["cur", "new", "tmp", ""].iter().for_each(|part| _ = fs::remove_dir(directory.join(part)));
            })?;
            open()
        }
        other => other,
    }
}

/// Makes the names in a directory durable; one that may be used but not read by its user is left to the system, and so is one whose
/// file system has no syncs of directories.
fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path).and_then(|directory| directory.sync_all()) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

fn finish_maildir(directory: &Path, name: &str, last: &str) -> io::Result<()> {
    let new = directory.join("new");
    // Opened first: what may fail fails before a reader can see the message.
    let names = File::open(&new)?;
    fs::rename(directory.join("tmp").join(name), new.join(last))?;
    // Without this a power cut takes the name back, and the message with it.
    names.sync_all().inspect_err(|_| {
        // It will be delivered again; the user should not have it twice.
        _ = fs::remove_file(new.join(last));
    })
}

fn dot_lock(path: &Path) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(".lock");
    PathBuf::from(text)
}

/// Makes the lock file; false where nobody but the system may make files: the lock on the file itself has to do.
fn take_dot_lock(path: &Path, stale: u64) -> io::Result<bool> {
    let lock = dot_lock(path);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&lock) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let age = crate::env::wall_clock().seconds().saturating_sub(fs::symlink_metadata(&lock)?.mtime());
            if age <= i64::try_from(stale).unwrap_or(i64::MAX) {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, format!("{} is held", lock.display())));
            }
            fs::remove_file(&lock)?;
            take_dot_lock(path, stale)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(error),
    }
}

/// Who makes the lock and a missing mailbox. In `mail_spool_directory`, if it belongs to root, we do, and give the mailbox away; anywhere
/// else its owner, because a path of a user's choice leads wherever that user wants.
fn maker(path: &Path, owner: Owner, in_spool: bool) -> Owner {
    let root = Owner { uid: 0, gid: 0 };
    let folder = path.parent().and_then(|parent| fs::metadata(parent).ok());
    let ours = in_spool && Uid::effective().is_root() && folder.is_some_and(|data| data.uid() == root.uid);
    if ours { root } else { owner }
}

fn open_mbox(path: &Path, owner: Owner, maker: Owner, dot_lock_stale: Option<u64>) -> io::Result<File> {
    let taken = dot_lock_stale.map(|stale| as_owner(maker, || take_dot_lock(path, stale))).transpose()?;
    let result = open_mbox_file(path, owner, maker);
    if result.is_err() && taken == Some(true) {
        _ = as_owner(maker, || fs::remove_file(dot_lock(path)));
    }
    result
}

fn open_mbox_file(path: &Path, owner: Owner, maker: Owner) -> io::Result<File> {
    let missing = fs::symlink_metadata(path).is_err();
    if maker != owner && missing {
        let file =
            as_owner(maker, || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path))?;
        // A directory that gives its files its own group (Debian's /var/mail: mail) has done so.
        let inherited = path.parent().and_then(|parent| fs::metadata(parent).ok());
        let is_inherited = inherited.is_some_and(|data| data.mode() & nix::libc::S_ISGID != 0);
        std::os::unix::fs::fchown(&file, Some(owner.uid), (!is_inherited).then_some(owner.gid))?;
    }
    let file = as_owner(owner, || {
        let mut options = OpenOptions::new();
        options
            .append(true)
            .read(true)
            .create(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(path)
    })?;
    let data = file.metadata()?;
    if !is_null(&data) && (!data.is_file() || data.nlink() != 1) {
        return Err(io::Error::other(format!("{} is not a plain file with one name", path.display())));
    }
    // A file without octets may be one whose name the last delivery could not make durable.
    let is_new = missing || data.is_file() && data.len() == 0;
    if is_new && let Some(directory) = path.parent() {
        as_owner(maker, || sync_directory(directory))?;
    }
    Ok(file)
}

/// Talks to the helper; or, without one, does it here.
#[derive(Debug)]
pub enum Agent {
    /// We do it ourselves.
    Ourselves,
    /// The helper does it; and the helper itself, for [`Agent::wait`].
    Helper(Mutex<OwnedFd>, Mutex<Option<Child>>),
}

impl Agent {
    /// Waits until the helper has ended, as it never should: true then. False when there is none, or somebody waits already.
    pub fn wait(&self) -> bool {
        let Self::Helper(_, helper) = self else { return false };
        let helper = helper.lock().unwrap_or_else(PoisonError::into_inner).take();
        helper.is_some_and(|mut helper| helper.wait().is_ok())
    }

    /// Has a request carried out.
    ///
    /// # Errors
    /// As the system says.
    pub fn request(&self, request: &Request) -> io::Result<Option<OwnedFd>> {
        match self {
            Self::Ourselves => carry_out(request),
            Self::Helper(socket, _) => {
                let socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
                let packet = serde_json::to_vec(request)?;
                sendmsg::<()>(
                    socket.as_raw_fd(),
                    &[IoSlice::new(&packet)],
                    &[],
                    MsgFlags::MSG_NOSIGNAL,
                    None,
                )?;
                let (packet, file) = receive(&*socket)?;
                match serde_json::from_slice(&packet)? {
                    Answer::Done => Ok(file),
                    // A lock that is held is known by its kind, and says whose.
                    Answer::Failed(Some(nix::libc::EWOULDBLOCK), text) => {
                        Err(io::Error::new(io::ErrorKind::WouldBlock, text))
                    }
                    Answer::Failed(Some(code), _) => Err(io::Error::from_raw_os_error(code)),
                    Answer::Failed(None, text) => Err(io::Error::other(text)),
                }
            }
        }
    }
}

fn receive(socket: &impl AsRawFd) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut buffer = vec![0; PACKET_MAX];
    let mut control = cmsg_space!([RawFd; 1]);
    let (count, file) = {
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
        let mut file = None;
        // Cut off, which nix calls ENOBUFS: our table had no room for the descriptor.
        for part in message.cmsgs().map_err(|_| nix::errno::Errno::EMFILE)? {
            if let ControlMessageOwned::ScmRights(descriptors) = part {
                file = descriptors.first().copied();
            }
        }
        (message.bytes, file)
    };
    buffer.truncate(count);
    Ok((buffer, file.map(adopt)))
}

/// Takes a descriptor that the kernel has just made for us.
#[allow(unsafe_code)]
fn adopt(descriptor: RawFd) -> OwnedFd {
    // SAFETY: recvmsg has installed this descriptor in our table a moment ago, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Starts the helper, if we are root.
///
/// # Errors
/// It can not be started: why.
pub fn start() -> Result<Agent, String> {
    if !Uid::effective().is_root() {
        return Ok(Agent::Ourselves);
    }
    let start = || -> io::Result<Agent> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        // /proc/self/exe: the very program that runs, even after an upgrade has replaced it.
        let helper = Command::new("/proc/self/exe")
            .arg0("postrider")
            .arg(HELPER_ARGUMENT)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Agent::Helper(Mutex::new(ours), Mutex::new(Some(helper))))
    };
    start().map_err(|error| format!("the helper that keeps root cannot be started: {}", told(&error)))
}

/// The helper's whole life: requests from standard input until the daemon is gone.
pub fn keep_root() {
    // The terminal's Ctrl-C and the daemon's SIGTERM are not for us: we go when the daemon has gone.
    for signal in [nix::sys::signal::SIGINT, nix::sys::signal::SIGTERM, nix::sys::signal::SIGHUP] {
        ignore(signal);
    }
    _ = setgroups(&[]);
    let socket = io::stdin().as_fd().try_clone_to_owned();
    let Ok(socket) = socket else { return };
    while let Ok((packet, _)) = receive(&socket) {
        if packet.is_empty() {
            return;
        }
        let result = serde_json::from_slice::<Request>(&packet)
            .map_err(io::Error::other)
            .and_then(|request| carry_out(&request));
        let (answer, file) = match result {
            Ok(file) => (Answer::Done, file),
            Err(error) => {
                let held = (error.kind() == io::ErrorKind::WouldBlock).then_some(nix::libc::EWOULDBLOCK);
                (Answer::Failed(error.raw_os_error().or(held), words(&error)), None)
            }
        };
        let packet = serde_json::to_vec(&answer).unwrap_or_default();
        let descriptors: Vec<RawFd> = file.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let rights = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
        let slices = [IoSlice::new(&packet)];
        if sendmsg::<()>(socket.as_raw_fd(), &slices, rights, MsgFlags::MSG_NOSIGNAL, None).is_err() {
            return;
        }
    }
}

#[allow(unsafe_code)]
fn ignore(signal: nix::sys::signal::Signal) {
    // SAFETY: SIG_IGN installs no handler of ours.
    _ = unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigIgn) };
}

/// Becomes `mail_owner` for good. A no-op without root.
///
/// # Errors
/// There is no such user, or the kernel refuses.
pub fn drop_root(owner: &str) -> Result<(), String> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let user = owner_of(owner)?;
    let groups = nix::unistd::getgrouplist(&c_string(owner)?, user.gid).unwrap_or_else(|_| vec![user.gid]);
    setgroups(&groups)
        .and_then(|()| setgid(user.gid))
        .and_then(|()| setuid(user.uid))
        .map_err(|error| format!("cannot become mail_owner {owner}: {}", told(&error.into())))
}

/// The user that `mail_owner` names.
///
/// # Errors
/// There is none; the text says what to do.
pub fn owner_of(owner: &str) -> Result<nix::unistd::User, String> {
    match nix::unistd::User::from_name(owner) {
        Ok(Some(user)) if user.uid.is_root() => {
            Err(format!("mail_owner = {owner} is root; name a user who owns no other files or processes"))
        }
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(format!(
            "mail_owner = {owner}: there is no such user; make one (adduser --system --group {owner}) or name another"
        )),
        Err(error) => Err(format!("mail_owner = {owner}: {}", told(&error.into()))),
    }
}

fn c_string(text: &str) -> Result<std::ffi::CString, String> {
    std::ffi::CString::new(text).map_err(|_| format!("mail_owner = {text} contains a NUL"))
}

/// Gives a directory and what lies in it to `mail_owner`; folders named in `except` keep what lies in them.
///
/// # Errors
/// The system refuses.
pub fn give_away(path: &Path, owner: &nix::unistd::User, except: &[&str]) -> io::Result<()> {
    let data = fs::symlink_metadata(path)?;
    if data.file_type().is_symlink() {
        return Ok(());
    }
    if data.uid() != owner.uid.as_raw() {
        std::os::unix::fs::lchown(path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
    }
    let kept = path.file_name().is_some_and(|name| except.iter().any(|other| name == *other));
    if data.is_dir() && !kept {
        for entry in fs::read_dir(path)? {
            give_away(&entry?.path(), owner, except)?;
        }
    }
    Ok(())
}
