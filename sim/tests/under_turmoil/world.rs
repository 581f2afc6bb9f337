//! Hosts with a daemon, a name server and a server, and what befalls them.

use postrider::env::Disk;
use postrider::serve;
use postrider_core::prng::Prng;
use postrider_core::queue::{DiskError, Done, Op};
use postrider_sim::env::disk::SpoolDisk;
use postrider_sim::env::peers::{Names, Sink};
use postrider_sim::env::platters::HostDisk;
use postrider_sim::env::trace::Tracing;
use postrider_sim::env::{Belongings, EPOCH, Simulated, configuration, net, promise, provider, witness};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use turmoil::Sim;

pub(crate) const NAMES: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const MTA: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(crate) const SINK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
pub(crate) const SMTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(MTA), 25);
pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 25);

pub(crate) const LMTP_SOCKET: &str = "public/lmtp";

pub(crate) const MASTER_CF: &str = "\
smtp inet n - n - - smtpd
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
";

/// Everything happens within this time.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// Sensible lines for a test: mail of here.test stays, the rest goes by MX, and retries come soon.
pub(crate) fn main_cf(address: Ipv4Addr, lines: &str) -> String {
    format!(
        "compatibility_level = 3.6\n\
         myhostname = mail.here.test\n\
         mydestination = here.test\n\
         mynetworks = 10.0.0.0/8\n\
         inet_interfaces = {address}\n\
         inet_protocols = ipv4\n\
         dns_servers = {NAMES}\n\
         local_transport = virtual\n\
         local_recipient_maps =\n\
         virtual_mailbox_base = /mail\n\
         virtual_mailbox_maps = localpart:/\n\
         virtual_uid_maps = static:1000\n\
         virtual_gid_maps = static:1000\n\
         spool_segment_size = 65536\n\
         queue_run_delay = 2s\n\
         minimal_backoff_time = 2s\n\
         maximal_backoff_time = 4s\n\
         smtp_data_xfer_timeout = 5s\n\
         smtp_data_done_timeout = 5s\n\
         smtp_connect_timeout = 5s\n\
         smtp_helo_timeout = 5s\n\
         smtp_mail_timeout = 5s\n\
         smtp_rcpt_timeout = 5s\n\
         smtp_data_init_timeout = 5s\n\
         {lines}\n"
    )
}

pub(crate) fn world<'a>(seed: u64) -> Sim<'a> {
    provider::seed(seed);
    turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(SystemTime::UNIX_EPOCH + EPOCH)
        .tick_duration(Duration::from_millis(5))
        .simulation_duration(Duration::from_secs(600))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(20))
        .tcp_capacity(4096)
        .build()
}

/// What is wrong with a daemon. It shall panic, once: who looks for free space does when `space` is set, and `reads` counts down to the read
/// of a content that does.
#[derive(Clone, Default)]
pub(crate) struct Trap {
    pub(crate) space: Arc<AtomicBool>,
    pub(crate) reads: Arc<AtomicU64>,
    /// The next sync of the spool.
    pub(crate) sync: Arc<AtomicBool>,
    /// Tasks that nobody can do without, and that have ended.
    pub(crate) fallen: Arc<Mutex<Vec<&'static str>>>,
    /// Lines that the oracle takes for the daemon's in place of its own.
    pub(crate) told: Option<&'static str>,
    /// Each life begins at the same time, with an empty disk.
    pub(crate) forgets: bool,
    /// Tells the daemon to stop, in order.
    pub(crate) stop: Arc<Notify>,
}

/// A disk that panics in the task that asks it.
pub(crate) struct Brittle {
    disk: HostDisk,
    trap: Trap,
}

impl Disk for Brittle {
    fn execute(&self, op: Op) -> Result<Done, DiskError> {
        let counted = |left: u64| left.checked_sub(1);
        if matches!(op, Op::Read { .. })
            && self.trap.reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted) == Ok(1)
        {
            panic!("a read panics on purpose");
        }
        let syncs = matches!(op, Op::Sync(_));
        assert!(!(syncs && self.trap.sync.swap(false, Ordering::Relaxed)), "panics on purpose");
        self.disk.execute(op)
    }

    fn free_space(&self) -> u64 {
        assert!(!self.trap.space.swap(false, Ordering::Relaxed), "panics on purpose");
        self.disk.free_space()
    }
}

/// A host with a daemon. What is delivered on it outlives it.
pub(crate) fn daemon(sim: &mut Sim<'_>, address: Ipv4Addr, seed: u64, lines: &str, belongings: &Belongings) {
    daemon_beside(sim, address, seed, lines, belongings, None, &Trap::default());
}

/// The same, with a server of LMTP on a socket of the host.
pub(crate) fn daemon_beside(
    sim: &mut Sim<'_>,
    address: Ipv4Addr,
    seed: u64,
    lines: &str,
    belongings: &Belongings,
    neighbour: Option<Sink>,
    trap: &Trap,
) {
    let (text, belongings, trap) = (main_cf(address, lines), belongings.clone(), trap.clone());
    let lives = Arc::new(AtomicU64::new(0));
    sim.host(address, move || {
        let life = lives.fetch_add(1, Ordering::Relaxed);
        let (text, belongings, neighbour) = (text.clone(), belongings.clone(), neighbour.clone());
        let trap = trap.clone();
        async move {
            if let Some(sink) = neighbour {
                tokio::spawn(sink.serve(net::address_of(LMTP_SOCKET)));
            }
            let now = turmoil::since_epoch().ok_or("outside of a simulation")?;
            let since_epoch = if trap.forgets { EPOCH } else { now };
            let seed = Prng::new(seed ^ u64::from(address.to_bits()) ^ life << 40).next_u64();
            let disk: Arc<dyn Disk> = match trap.forgets {
                true => Arc::new(SpoolDisk::new(address, seed, 1 << 30)),
                false => Arc::new(Brittle { disk: HostDisk::open(address)?, trap: trap.clone() }),
            };
            let env = Simulated::new(address, disk, belongings, since_epoch, seed);
            let config = configuration(&text, MASTER_CF, "mail.here.test", address.into());
            if let Some(lines) = trap.told {
                promise(&main_cf(address, lines), MASTER_CF, "mail.here.test", address.into());
            }
            let mut house = serve::start(env, provider::seeded(), config, |_| Ok(())).await?;
            let fallen = tokio::select! {
                fallen = house.fallen() => fallen,
                () = trap.stop.notified() => {
                    house.stop().await;
                    return Ok(());
                }
            };
            trap.fallen.lock().expect("no test has failed").push(fallen);
            std::future::pending::<()>().await;
            Ok(())
        }
    });
}

pub(crate) fn names(sim: &mut Sim<'_>, names: Names) {
    sim.host(NAMES, move || {
        let names = names.clone();
        async move { Ok(names.serve().await?) }
    });
}

pub(crate) fn server(sim: &mut Sim<'_>, address: Ipv4Addr, sink: &Sink) {
    let sink = sink.clone();
    sim.host(address, move || {
        let sink = sink.clone();
        async move { Ok(sink.serve(ANY).await?) }
    });
}

/// The power of the daemon's host fails, and comes back after some steps.
pub(crate) fn lose_power(tracing: &Tracing, sim: &mut Sim<'_>, steps: u64) {
    for other in [NAMES, SINK, CLIENT] {
        sim.hold(MTA, other);
    }
    tracing.aside(|| sim.crash(MTA));
    witness::lost_power(MTA);
    for _ in 0..steps {
        _ = sim.step().expect("nobody fails");
    }
    for other in [NAMES, SINK, CLIENT] {
        sim.release(MTA, other);
    }
    sim.bounce(MTA);
}
