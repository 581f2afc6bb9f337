//! The network of a simulated host: turmoil's, or madsim's in place of tokio's.
//!
//! Neither has Unix sockets: a path stands for a port on loopback. Neither binds a chosen address: an own address
//! means all of them, so a configuration listens on one address only.

use postrider::env::{Accepted, ListenAt, Net};
use postrider_core::outbound::Endpoint;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
#[cfg(madsim)]
use tokio::net as wire;
#[cfg(not(madsim))]
use turmoil::net as wire;
pub use wire::{TcpListener, TcpStream, UdpSocket};

/// Ports that stand for paths; outside of the ephemeral ones.
const PATH_PORT_MIN: u16 = 20_000;
const PATH_PORTS: u32 = 20_000;

/// The network of the host that calls.
#[derive(Debug, Clone, Copy)]
pub struct HostNet;

/// A datagram socket, and whom it talks to.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    server: SocketAddr,
}

/// The address that stands for a socket of this host.
#[must_use]
pub fn address_of(path: &str) -> SocketAddr {
    let hash = path.bytes().fold(0x811c_9dc5_u32, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193));
    let port = u16::try_from(hash % PATH_PORTS).unwrap_or_default() + PATH_PORT_MIN;
    (Ipv4Addr::LOCALHOST, port).into()
}

fn bindable(address: SocketAddr) -> SocketAddr {
    let any: IpAddr = match address.ip() {
        ip if ip.is_loopback() => ip,
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(any, address.port())
}

impl Net for HostNet {
    type Stream = TcpStream;
    type Listener = TcpListener;
    type Datagram = Datagrams;

    async fn listen(&self, at: &ListenAt) -> io::Result<TcpListener> {
        match at {
            ListenAt::Inet(address) => TcpListener::bind(bindable(*address)).await,
            ListenAt::Unix(path) => TcpListener::bind(address_of(path)).await,
        }
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<Accepted<TcpStream>> {
        let (stream, peer) = listener.accept().await?;
        let local = stream.local_addr().ok();
        Ok(Accepted { stream, peer: Some(peer), local })
    }

    async fn connect(&self, to: &Endpoint) -> io::Result<TcpStream> {
        match to {
            Endpoint::Inet { address, port, .. } => TcpStream::connect(SocketAddr::new(*address, *port)).await,
            Endpoint::Unix(path) => TcpStream::connect(address_of(path)).await,
        }
    }

    async fn datagram(&self, to: SocketAddr) -> io::Result<Datagrams> {
        let socket = UdpSocket::bind(bindable(SocketAddr::new(
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() },
            0,
        )))
        .await?;
        Ok(Datagrams { socket, server: to })
    }

    async fn send(&self, socket: &Datagrams, octets: &[u8]) -> io::Result<()> {
        send_to(&socket.socket, octets, socket.server).await
    }

    async fn receive(&self, socket: &Datagrams, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let (count, from) = socket.socket.recv_from(buffer).await?;
            if from == socket.server {
                return Ok(count);
            }
        }
    }
}

/// Sends a datagram.
///
/// # Errors
/// As the world says.
pub async fn send_to(socket: &UdpSocket, octets: &[u8], to: SocketAddr) -> io::Result<()> {
    #[cfg(madsim)]
    return socket.send_to(to, octets).await.map(drop);
    #[cfg(not(madsim))]
    return socket.send_to(octets, to).await.map(drop);
}
