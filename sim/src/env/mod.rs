//! Worlds to run the whole daemon in: turmoil's hosts and madsim's nodes.
//!
//! One [`Simulated`] environment is one life of the daemon's process. What outlives a crash (disk, mailboxes, files) is
//! shared by all lives of a host; what does not (clock, sockets, entropy) is made anew for each. Nothing here decides, and nothing here
//! reads the real clock, the real network or the real disk.

pub mod disk;
pub mod files;
pub mod mailboxes;
pub mod net;
pub mod peers;
#[cfg(not(madsim))]
pub mod platters;
pub mod provider;
pub mod trace;
pub mod witness;

use crate::network::NodeId;
use files::{MemoryFiles, MemoryUsers};
use mailboxes::{Ledger, Watched};
use net::HostNet;
use postrider::env::{Disk, Environment, Files, Mailboxes, Users};
use postrider_core::params::{Config, Host, Severity};
use postrider_core::prng::Prng;
use postrider_core::time::{Instant, Now, Timestamp, Zone};
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When simulated time begins: 2026-01-01T00:00:00Z.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// What a host keeps when its power fails.
#[derive(Debug, Clone, Default)]
pub struct Belongings {
    /// Files of the configuration.
    pub files: Arc<MemoryFiles>,
    /// Its users.
    pub users: Arc<MemoryUsers>,
    /// Delivered mail.
    pub ledger: Arc<Ledger>,
}

/// One life of a daemon.
pub struct Simulated {
    node: NodeId,
    net: HostNet,
    disk: Arc<dyn Disk>,
    belongings: Belongings,
    start: tokio::time::Instant,
    wall: Timestamp,
    entropy: Mutex<Prng>,
}

impl Simulated {
    /// A life that begins now, on the host of this address; `since_epoch` is what the wall clock says (since 1970), `seed` must differ
    /// between lives.
    #[must_use]
    pub fn new(
        address: impl Into<IpAddr>,
        disk: Arc<dyn Disk>,
        belongings: Belongings,
        since_epoch: Duration,
        seed: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            node: witness::node_of(address.into()),
            net: HostNet,
            disk,
            belongings,
            start: tokio::time::Instant::now(),
            wall: Timestamp::default().after(since_epoch),
            entropy: Mutex::new(Prng::new(seed)),
        })
    }
}

impl Environment for Simulated {
    type Net = HostNet;

    fn net(&self) -> &HostNet {
        &self.net
    }

    fn now(&self) -> Now {
        let elapsed = self.start.elapsed();
        Now { mono: Instant::default().after(elapsed), wall: self.wall.after(elapsed) }
    }

    fn zone(&self) -> &Zone {
        Zone::utc()
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    fn files(&self) -> &dyn Files {
        &*self.belongings.files
    }

    fn users(&self) -> &dyn Users {
        &*self.belongings.users
    }

    fn mailboxes(&self) -> Arc<dyn Mailboxes> {
        Arc::new(Watched { node: self.node, ledger: Ledger::clone(&self.belongings.ledger) })
    }

    fn entropy(&self) -> u64 {
        self.entropy.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    fn spawn_spool(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        Some(work())
    }
}

/// Reads a configuration for a host with one address, for the life of a daemon that begins here. The oracle holds the daemon to it.
///
/// # Panics
/// When something is wrong with it: a test's own configuration must be right.
#[must_use]
pub fn configuration(main_cf: &str, master_cf: &str, hostname: &str, address: IpAddr) -> Config {
    let config = read(main_cf, master_cf, hostname, address);
    witness::host(address, &config);
    config
}

/// Has the oracle hold a daemon to another configuration than its own: for a test that breaks a rule on purpose.
///
/// # Panics
/// When something is wrong with it.
pub fn promise(main_cf: &str, master_cf: &str, hostname: &str, address: IpAddr) {
    witness::host(address, &read(main_cf, master_cf, hostname, address));
}

fn read(main_cf: &str, master_cf: &str, hostname: &str, address: IpAddr) -> Config {
    let host = Host { hostname: hostname.to_owned(), interfaces: vec![(address, 24)], ..Host::default() };
    let (config, problems) = Config::read(main_cf, master_cf, host);
    let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    config
}
