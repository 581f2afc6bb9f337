//! Everybody who may live on a machine of the world.

use crate::host::Host;
use crate::names::NameServer;
use crate::peers::{Client, Server};
use crate::world::{Actor, OneOf};

/// One of the inhabitants.
#[derive(Debug)]
pub enum Inhabitant {
    /// A Postrider host.
    Host(Box<Host>),
    /// A mail server of others.
    Server(Box<Server>),
    /// A client.
    Client(Box<Client>),
    /// A name server.
    Names(Box<NameServer>),
}

impl OneOf for Inhabitant {
    fn actor(&self) -> &dyn Actor {
        match self {
            Self::Host(host) => host.as_ref(),
            Self::Server(server) => server.as_ref(),
            Self::Client(client) => client.as_ref(),
            Self::Names(names) => names.as_ref(),
        }
    }

    fn actor_mut(&mut self) -> &mut dyn Actor {
        match self {
            Self::Host(host) => host.as_mut(),
            Self::Server(server) => server.as_mut(),
            Self::Client(client) => client.as_mut(),
            Self::Names(names) => names.as_mut(),
        }
    }
}
