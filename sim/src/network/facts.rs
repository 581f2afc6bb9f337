//! What the network is told and tells: paths, arrivals, events.

use super::Socket;
use postrider_core::time::Instant;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// How a path behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Least and most time on the way, in microseconds.
    pub latency: (u64, u64),
    /// Segments and datagrams lost, of 1000.
    pub loss: u16,
    /// Octets a second; 0: no limit.
    pub rate: u64,
}

impl Link {
    /// Microseconds that octets need because of the rate.
    pub(super) fn drip(&self, octets: usize) -> u64 {
        (octets as u64).saturating_mul(1_000_000).checked_div(self.rate).unwrap_or(0)
    }
}

impl Default for Link {
    fn default() -> Self {
        Self { latency: (200, 20_000), loss: 0, rate: 0 }
    }
}

/// Where streams are cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cutting {
    /// As written.
    Whole,
    /// Pieces of at most this many octets, of random size.
    Pieces(u16),
    /// The same, on one connection of four: small pieces are many events.
    Some(u16),
}

/// Of how many connections one is cut where some are.
const CUT_ONE_OF: u64 = 4;

impl Cutting {
    /// Into pieces of at most how many octets one connection is cut, of which this is an end; `None`: as written.
    #[must_use]
    pub const fn of(self, socket: Socket) -> Option<u16> {
        match self {
            Self::Whole => None,
            Self::Pieces(most) => Some(most),
            Self::Some(most) if (socket.0 >> 1).is_multiple_of(CUT_ONE_OF) => Some(most),
            Self::Some(_) => None,
        }
    }
}

/// Something that reaches a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// Somebody connected to `port`.
    Accepted {
        /// Our end.
        socket: Socket,
        /// Which listener.
        port: u16,
        /// Who.
        peer: SocketAddr,
    },
    /// Our connect succeeded.
    Connected(Socket),
    /// Our connect failed: refused, or (false) not answered.
    NotConnected(Socket, bool),
    /// Octets came.
    Octets(Socket, Vec<u8>),
    /// The peer will send no more.
    End(Socket),
    /// The connection is gone: reset, or (false) given up.
    Gone(Socket, bool),
    /// What was sent has left our buffer.
    Drained(Socket),
    /// A datagram came to a bound port.
    Datagram {
        /// Which port.
        port: u16,
        /// Who sent it.
        from: SocketAddr,
        /// All of it.
        octets: Vec<u8>,
    },
    /// Nobody is bound where our datagram from this port went.
    Unreachable(u16),
}

/// An event of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetEvent {
    /// A connect reaches the other machine, or would.
    Syn(Socket, SocketAddr, Instant),
    /// The next segment reaches this end, or would.
    Arrive(Socket),
    /// A reset reaches this end.
    Reset(Socket),
    /// This end sends to one that is gone, since then.
    Probe(Socket, Instant),
    /// The buffer of this end has room again.
    Drained(Socket),
    /// A datagram arrives.
    Datagram(SocketAddr, SocketAddr, Vec<u8>),
    /// "Port unreachable" arrives for a datagram from here.
    Unreachable(SocketAddr),
}
