//! The environment: all that the daemon needs from the world, behind one trait.
//!
//! Production, turmoil and madsim each supply one. The daemon is the same function over all three; nothing outside
//! of this folder opens a socket, reads a clock, or touches a file.

#[cfg(not(madsim))]
pub mod real;

use crate::record::Tape;
use postrider_core::local::{Deposit, Fault};
use postrider_core::outbound::Endpoint;
use postrider_core::queue::{DiskError, Done, File, Op};
use postrider_core::time::{Now, Timestamp, Zone};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncWrite};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAt {
    /// TCP.
    Inet(SocketAddr),
    /// A socket of this host.
    Unix(String),
}

/// A client that has connected.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The connection.
    pub stream: S,
    /// The client's address; `None` for a socket of this host.
    pub peer: Option<SocketAddr>,
    /// Our own address of the connection.
    pub local: Option<SocketAddr>,
}

/// Sockets.
pub trait Net: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// A listening socket.
    type Listener: Send + Sync + 'static;
    /// A datagram socket that talks to one server from a port of its own.
    type Datagram: Send + Sync + 'static;

    /// Starts to listen.
    fn listen(&self, at: &ListenAt) -> impl Future<Output = io::Result<Self::Listener>> + Send;
    /// Waits for a client.
    fn accept(
        &self,
        listener: &Self::Listener,
    ) -> impl Future<Output = io::Result<Accepted<Self::Stream>>> + Send;
    /// Connects. Where the address to connect from can not be had, the error is a [`NotBound`].
    fn connect(&self, to: &Endpoint) -> impl Future<Output = io::Result<Self::Stream>> + Send;
    /// Opens a datagram socket on a fresh port.
    fn datagram(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Datagram>> + Send;
    /// Sends a datagram.
    fn send(&self, socket: &Self::Datagram, octets: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
    /// Waits for a datagram.
    fn receive(
        &self,
        socket: &Self::Datagram,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send;
}

/// The address that a connection should leave from can not be used; nobody has been asked for a connection.
#[derive(Debug)]
pub struct NotBound(pub io::Error);

impl fmt::Display for NotBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for NotBound {}

/// The disk of the spool. Calls may block: they run where [`Environment::spawn_spool`] or [`Environment::blocking`] puts them.
pub trait Disk: Send + Sync + 'static {
    /// Carries out an operation.
    ///
    /// # Errors
    /// What the disk said.
    fn execute(&self, op: Op) -> Result<Done, DiskError>;
    /// Octets of a file, if all of them are in memory; `None` where a device would have to be asked, or where nobody can tell.
    /// Never waits for a device.
    fn glance(&self, file: File, offset: u64, length: u64) -> Option<Vec<u8>> {
        _ = (file, offset, length);
        None
    }
    /// Octets free in its file system.
    fn free_space(&self) -> u64;
}

/// Files of the configuration: tables, aliases, certificates, lists.
pub trait Files: Send + Sync + 'static {
    /// All octets of a file.
    ///
    /// # Errors
    /// As the system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// All octets of a file that belongs to a user, read with that user's rights (`.forward`).
    ///
    /// # Errors
    /// As the system says.
    fn read_as(&self, path: &Path, user: &User) -> io::Result<Vec<u8>>;
    /// The files of a directory.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self, path: &Path) -> io::Result<Vec<std::path::PathBuf>>;
    /// Something that changes when the file does; `None` when it does not exist.
    fn stamp(&self, path: &Path) -> Option<u64>;
}

/// A user of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Numeric id.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Real name and so on.
    pub gecos: String,
    /// Login shell.
    pub shell: String,
}

/// Users of the system.
pub trait Users: Send + Sync + 'static {
    /// By login name.
    ///
    /// # Errors
    /// The user data base can not answer now.
    fn user(&self, name: &str) -> io::Result<Option<User>>;
}

/// Final delivery into files.
pub trait Mailboxes: Send + Sync + 'static {
    /// Begins to write a message. May block.
    ///
    /// # Errors
    /// As the system says.
    fn open(&self, deposit: &Deposit, now: Timestamp) -> Result<Box<dyn Letter>, Fault>;
}

/// A message on its way into a mailbox: all of it becomes durable there, or nothing.
pub trait Letter: Send {
    /// Adds octets, as they go into the file.
    ///
    /// # Errors
    /// As the system says.
    fn write(&mut self, octets: &[u8]) -> Result<(), Fault>;
    /// Makes it durable and visible. May block.
    ///
    /// # Errors
    /// As the system says; nothing was delivered then.
    fn finish(self: Box<Self>) -> Result<(), Fault>;
    /// Takes it back. May block.
    fn abandon(self: Box<Self>);
}

/// A world to run in.
pub trait Environment: Send + Sync + Sized + 'static {
    /// Its sockets.
    type Net: Net;

    /// Sockets.
    fn net(&self) -> &Self::Net;
    /// Both clocks.
    fn now(&self) -> Now;
    /// Minutes east of UTC at that time, for headers and logs.
    fn utc_offset(&self, at: Timestamp) -> i32 {
        self.zone().offset(at)
    }
    /// The same for all times.
    fn zone(&self) -> &Zone;
    /// The disk of the spool.
    fn disk(&self) -> Arc<dyn Disk>;
    /// Files of the configuration.
    fn files(&self) -> &dyn Files;
    /// Users of the system.
    fn users(&self) -> &dyn Users;
    /// Final delivery.
    fn mailboxes(&self) -> Arc<dyn Mailboxes>;
    /// 64 bits that nobody can guess; in simulation, from the seed.
    fn entropy(&self) -> u64;
    /// How many files and sockets may be open at once.
    fn descriptors(&self) -> u64 {
        u64::MAX
    }
    /// Runs the task of the spool, whose disk operations may block: on a thread of its own in production.
    fn spawn_spool(&self, task: impl Future<Output = ()> + Send + 'static);
    /// Writes a recording into its ring of files, elsewhere. A world that keeps no such files says so.
    ///
    /// # Errors
    /// The first file can not be made.
    fn record(&self, tape: Arc<Tape>) -> io::Result<()> {
        drop(tape);
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Runs something that may block for long (a final delivery), elsewhere in production.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send;
}

/// The wall clock.
#[must_use]
pub fn wall_clock() -> Timestamp {
    let since = |d: std::time::Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => Timestamp(since(after)),
        Err(before) => Timestamp(-since(before.duration())),
    }
}
