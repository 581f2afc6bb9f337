//! Everybody who may live on a machine of the world.

use crate::host::Host;
use crate::names::NameServer;
use crate::network::Arrival;
use crate::peers::{Client, Server};
use crate::world::{Actor, Scope, Word};
use postrider_core::queue::{DiskError, Done};

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

impl Inhabitant {
    fn actor(&mut self) -> &mut dyn Actor {
        match self {
            Self::Host(host) => host.as_mut(),
            Self::Server(server) => server.as_mut(),
            Self::Client(client) => client.as_mut(),
            Self::Names(names) => names.as_mut(),
        }
    }
}

impl Actor for Inhabitant {
    fn boot(&mut self, scope: &mut Scope<'_>) {
        self.actor().boot(scope);
    }

    fn arrival(&mut self, scope: &mut Scope<'_>, arrival: Arrival) {
        self.actor().arrival(scope, arrival);
    }

    fn timer(&mut self, scope: &mut Scope<'_>, tag: u64) {
        self.actor().timer(scope, tag);
    }

    fn disk(&mut self, scope: &mut Scope<'_>, tag: u64, result: Result<Done, DiskError>) {
        self.actor().disk(scope, tag, result);
    }

    fn crash(&mut self) {
        self.actor().crash();
    }

    fn told(&mut self, scope: &mut Scope<'_>, word: Word) {
        self.actor().told(scope, word);
    }

    fn pending(&self) -> Option<String> {
        match self {
            Self::Host(host) => host.pending(),
            Self::Client(client) => client.pending(),
            Self::Server(_) | Self::Names(_) => None,
        }
    }
}
