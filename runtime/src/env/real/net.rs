//! Sockets of the operating system, through tokio.

use crate::env::{Accepted, ListenAt, Net, NotBound};
use crate::privilege::{Agent, Request};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpNoDelay;
use postrider_core::outbound::Endpoint;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket, UnixListener, UnixStream};

/// The network of this host.
#[derive(Debug)]
pub struct RealNet {
    /// Relative socket paths start here (master(5)).
    queue_directory: PathBuf,
    agent: Arc<Agent>,
}

impl RealNet {
    /// `queue_directory` is where relative socket paths start; ports that need root are bound by `agent`.
    #[must_use]
    pub fn new(queue_directory: &Path, agent: Arc<Agent>) -> Self {
        Self { queue_directory: queue_directory.to_owned(), agent }
    }
}

/// A TCP or Unix connection.
#[derive(Debug)]
pub enum RealStream {
    /// TCP.
    Tcp(TcpStream),
    /// A socket of this host.
    Unix(UnixStream),
}

/// A listening socket.
#[derive(Debug)]
pub enum RealListener {
    /// TCP, and the address where it listens, if that is one: then each client need not be asked where it came.
    Tcp(TcpListener, Option<SocketAddr>),
    /// A socket of this host.
    Unix(UnixListener),
}

/// Listens at a path, where an earlier daemon may have left its socket.
pub(crate) fn listen_at(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

impl Net for RealNet {
    type Stream = RealStream;
    type Listener = RealListener;
    type Datagram = UdpSocket;

    async fn listen(&self, at: &ListenAt) -> io::Result<RealListener> {
        match at {
            ListenAt::Inet(address) => {
                let socket = self.agent.request(&Request::Bind(*address))?;
                let socket = socket.ok_or_else(|| io::Error::other("the helper gave no socket"))?;
                let listener = std::net::TcpListener::from(socket);
                listener.set_nonblocking(true)?;
                // Replies are small and awaited: Nagle would hold them back. Clients' sockets inherit this.
                setsockopt(&listener, TcpNoDelay, &true)?;
                let own = listener.local_addr().ok().filter(|own| !own.ip().is_unspecified());
                Ok(RealListener::Tcp(TcpListener::from_std(listener)?, own))
            }
            ListenAt::Unix(path) => {
                let path = self.queue_directory.join(path);
                listen_at(&path).map(RealListener::Unix)
            }
        }
    }

    async fn accept(&self, listener: &RealListener) -> io::Result<Accepted<RealStream>> {
        match listener {
            RealListener::Tcp(listener, own) => {
                let (stream, peer) = listener.accept().await?;
                let local = own.or_else(|| stream.local_addr().ok());
                Ok(Accepted { stream: RealStream::Tcp(stream), peer: Some(peer), local })
            }
            RealListener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted { stream: RealStream::Unix(stream), peer: None, local: None })
            }
        }
    }

    async fn connect(&self, to: &Endpoint) -> io::Result<RealStream> {
        match to {
            Endpoint::Inet { address, port, bind } => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                if let Some(bind) = bind {
                    socket
                        .bind(SocketAddr::new(*bind, 0))
                        .map_err(|error| io::Error::other(NotBound(error)))?;
                }
                let stream = socket.connect(SocketAddr::new(*address, *port)).await?;
                _ = stream.set_nodelay(true);
                Ok(RealStream::Tcp(stream))
            }
            Endpoint::Unix(path) => {
                UnixStream::connect(self.queue_directory.join(path)).await.map(RealStream::Unix)
            }
        }
    }

    async fn datagram(&self, to: SocketAddr) -> io::Result<UdpSocket> {
        let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await?;
        // Connected: the kernel drops what comes from elsewhere.
        socket.connect(to).await?;
        Ok(socket)
    }

    async fn send(&self, socket: &UdpSocket, octets: &[u8]) -> io::Result<()> {
        socket.send(octets).await.map(|_| ())
    }

    async fn receive(&self, socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
        socket.recv(buffer).await
    }
}

impl AsyncRead for RealStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for RealStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, octets),
        }
    }

    // What TLS has to say in several records goes at once: of a handshake that fails only one write is tried, and the alert is the last record.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
