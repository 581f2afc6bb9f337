//! A world to look at, for `postrider check`: files, users and clocks; it neither locks the spool nor delivers.

use super::{RealFiles, RealMailboxes, RealNet};
use crate::env::{Disk, Environment, Files, Mailboxes, Users, wall_clock};
use crate::privilege::Agent;
use postrider_core::queue::{DiskError, Done, Op};
use postrider_core::time::{Instant, Now, Zone};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

/// The world of a command that only looks.
#[derive(Debug)]
pub struct Bare {
    net: RealNet,
    files: RealFiles,
    start: std::time::Instant,
}

impl Default for Bare {
    fn default() -> Self {
        let agent = Arc::new(Agent::Ourselves);
        let net = RealNet::new(Path::new("/"), Arc::clone(&agent));
        Self { net, files: RealFiles::new(agent), start: std::time::Instant::now() }
    }
}

#[derive(Debug)]
struct NoDisk;

impl Disk for NoDisk {
    fn execute(&self, _: Op) -> Result<Done, DiskError> {
        Err(DiskError::Failed("a command that only looks has no spool".to_owned()))
    }

    fn free_space(&self) -> u64 {
        u64::MAX
    }
}

impl Environment for Bare {
    type Net = RealNet;

    fn net(&self) -> &RealNet {
        &self.net
    }

    fn now(&self) -> Now {
        Now { mono: Instant::default().after(self.start.elapsed()), wall: wall_clock() }
    }

    fn zone(&self) -> &Zone {
        Zone::utc()
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(NoDisk)
    }

    fn files(&self) -> &dyn Files {
        &self.files
    }

    fn users(&self) -> &dyn Users {
        &self.files
    }

    fn mailboxes(&self) -> Arc<dyn Mailboxes> {
        Arc::new(RealMailboxes::new(Arc::new(Agent::Ourselves)))
    }

    fn entropy(&self) -> u64 {
        getrandom::u64().unwrap_or_default()
    }

    fn spawn_spool(&self, _: impl Future<Output = ()> + Send + 'static) {}

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        Some(work())
    }
}
