//! The world as it is: tokio's sockets, the file system, the system's users and clocks.

mod bare;
mod disk;
mod files;
pub(crate) mod handles;
mod mailboxes;
mod net;
pub mod ring;

pub use bare::Bare;
pub(crate) use disk::make_directory;
pub use disk::{SpoolDirectory, SpoolLock};
pub use files::RealFiles;
pub use mailboxes::RealMailboxes;
pub use net::RealNet;
pub(crate) use net::listen_at;

use crate::env::{Disk, Environment, Files, Mailboxes, Users, wall_clock};
use crate::privilege::Agent;
use crate::record::Tape;
use crate::trouble::Fault;
use postrider_core::time::{Instant, Now, Timestamp, Zone};
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Production.
#[derive(Debug)]
pub struct Real {
    net: RealNet,
    disk: Arc<SpoolDirectory>,
    files: RealFiles,
    mailboxes: Arc<RealMailboxes>,
    start: std::time::Instant,
    zone: Zone,
    /// Whose threads do what blocks, whoever asks: one of them is always there.
    runtime: tokio::runtime::Handle,
}

impl Real {
    /// Opens the spool below `queue_directory` and takes its lock.
    ///
    /// # Errors
    /// The directory can not be made or is in use by another daemon; the text says what to do.
    pub fn open(
        queue_directory: &Path,
        agent: Arc<Agent>,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self, Fault> {
        Ok(Self {
            net: RealNet::new(queue_directory, Arc::clone(&agent)),
            disk: Arc::new(SpoolDirectory::open(queue_directory)?),
            files: RealFiles::new(Arc::clone(&agent)),
            mailboxes: Arc::new(RealMailboxes::new(agent)),
            start: std::time::Instant::now(),
            zone: zone_of(&jiff::tz::TimeZone::system()),
            runtime,
        })
    }
}

/// More changes of a time zone than a process can live to see: two a year, from 2000 on.
const CHANGES_MAX: usize = 300;

/// A time zone of the system, as core has it.
fn zone_of(zone: &jiff::tz::TimeZone) -> Zone {
    let Ok(start) = jiff::Timestamp::from_second(946_684_800) else { return Zone::default() };
    let changes = zone.following(start).take(CHANGES_MAX);
    Zone::new(
        zone.to_offset(start).seconds() / 60,
        changes
            .map(|change| (Timestamp(change.timestamp().as_microsecond()), change.offset().seconds() / 60)),
    )
}

impl Environment for Real {
    type Net = RealNet;

    fn net(&self) -> &RealNet {
        &self.net
    }

    fn now(&self) -> Now {
        Now { mono: Instant::default().after(self.start.elapsed()), wall: wall_clock() }
    }

    fn zone(&self) -> &Zone {
        &self.zone
    }

    fn descriptors(&self) -> u64 {
        crate::descriptors::limit()
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk) as Arc<dyn Disk>
    }

    fn files(&self) -> &dyn Files {
        &self.files
    }

    fn users(&self) -> &dyn Users {
        &self.files
    }

    fn mailboxes(&self) -> Arc<dyn Mailboxes> {
        Arc::clone(&self.mailboxes) as Arc<dyn Mailboxes>
    }

    fn entropy(&self) -> u64 {
        getrandom::u64().expect("the operating system has a random number generator")
    }

    fn spawn_spool(&self, task: impl Future<Output = ()> + Send + 'static) {
        // A thread of its own: its writes and syncs block, and everything else goes on meanwhile.
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                runtime.expect("a runtime without sockets needs no resource").block_on(task);
            })
            .expect("a daemon that cannot start its spool thread cannot run");
    }

    fn record(&self, tape: Arc<Tape>) -> io::Result<()> {
        ring::start(tape)
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.runtime.spawn_blocking(work).await.ok()
    }
}
