//! The function that `main` calls: from a configuration to a daemon that serves.
//!
//! [`start`] and [`House::stop`] are the same over every environment, and all that [`daemon`] begins and ends with; production adds signals, the
//! control socket and the maildrop. It spawns the tasks and hands them their channels; no decision about mail is made here.

use crate::current::Current;
use crate::env::{Environment, Net};
use crate::inbound::{Ids, Shared};
use crate::listen::Doors;
use crate::manager::Office;
use crate::observe;
use crate::orders::Orders;
use crate::outbound::{Links, Pool, Unwritten};
use crate::record::Recorder;
use crate::resolve::Resolver;
use crate::seats::Seats;
use crate::site::{Site, Wrong, dns_params};
use crate::spool::Spool;
use crate::staging::Budget;
use crate::tables::{self, Tables};
use crate::trouble::{Cause, Fault, words};
use postrider_core::ask::TableName;
use postrider_core::mail::OrderResult;
use postrider_core::manager::{Input, Manager};
use postrider_core::params::master_cf::{Role, Service};
use postrider_core::params::problem::{File, Place};
use postrider_core::params::table::Works;
use postrider_core::params::{Config, Problem};
use postrider_core::prng::Prng;
use postrider_core::queue::{self, Log};
use postrider_core::session::clients::Clients;
use postrider_core::session::descriptors::{self, Wanted};
use rustls::crypto::CryptoProvider;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Sessions and attempts have so long to end when the daemon is told to; then it ends, and loses nothing that it said 250 to.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// The writer of a recording has so long to come to its end.
const RECORDING_END_MAX: Duration = Duration::from_secs(2);

/// Open doors, by service and address; what is sent to one closes it.
type Listening = Mutex<BTreeMap<(String, SocketAddr), watch::Sender<bool>>>;

/// A daemon that serves.
pub struct House<E: Environment> {
    /// World, spool, ids.
    pub shared: Arc<Shared<E>>,
    /// The configuration of the moment.
    pub site: Arc<Current<Site<E>>>,
    /// Operators' orders.
    pub orders: Arc<Orders>,
    /// To the manager.
    pub facts: mpsc::UnboundedSender<Input>,
    doors: Arc<Doors<E>>,
    resolver: Resolver,
    provider: Arc<CryptoProvider>,
    draining: watch::Sender<bool>,
    drained: watch::Receiver<bool>,
    listening: Arc<Listening>,
    /// Answered when the maildrop's thread has ended.
    pickup: Option<oneshot::Receiver<()>>,
}

/// What is wrong, one line each, with the file and line of the parameter.
fn lines(config: &Config, wrong: &Wrong) -> String {
    let line = |(name, why): &(String, String)| {
        let level = config.set_at("compatibility_level", None).is_some();
        let remedy = match config.works(name) {
            _ if name == "smtpd_relay_restrictions" && !level => {
                "set compatibility_level = 3.6, with which its default has one".to_owned()
            }
            Some(Works::Ours) => format!("correct it; docs/reference/parameters.md describes {name}"),
            _ => format!("correct it; `man 5 postconf` describes {name}"),
        };
        // Some say it themselves.
        let remedy = if why.contains("did you mean") || why.contains("; ") { "" } else { &remedy };
        in_directory(config, &config.fault(name, why, remedy))
    };
    wrong.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A problem with the whole path of its file.
fn in_directory(config: &Config, problem: &Problem) -> String {
    format!("{}/{problem}", config.settings(None).text("config_directory"))
}

/// What should be corrected in the tables of a site: `FILE:LINE: warning: text; remedy`.
fn table_problems<E: Environment>(config: &Config, tables: &Tables<E>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, parameter) in config.tables_by_parameter() {
        let problems = tables.load(&name).into_iter();
        found.extend(problems.map(|problem| (parameter.clone(), problem)));
    }
    found.extend(tables::judge_routes(config, tables));
    found.extend(tables::judge_values(config, tables));
    let written_there = config.table_names();
    let told = |(parameter, problem): (String, postrider_core::tables::Problem)| match problem.line {
        // A fault of no line of the table's file, or of a table that is written out in main.cf, is one of the line that names the table.
        line if line == 0 || written_there.contains(&TableName(problem.file.clone())) => {
            let name = problem.file.split_once(':').map_or(problem.file.as_str(), |(_, name)| name);
            let text = match problem.what.contains(name) {
                true => problem.what.clone(),
                false => format!("{}: {}", problem.file, problem.what),
            };
            in_directory(config, &config.doubt(&parameter, &text, &problem.remedy))
        }
        line => format!("{}:{line}: warning: {}; {}", problem.file, problem.what, problem.remedy),
    };
    found.into_iter().map(told).collect()
}

/// Starts the daemon: reads what queue ids there are, then listens while the rest of the queue is read. Before it listens, `prepare` adds what a world
/// has beside it: who answers on a port must already be able to obey its operator.
///
/// # Errors
/// What is wrong with the configuration, where it cannot listen, or what `prepare` says.
pub async fn start<E: Environment>(
    env: Arc<E>,
    provider: Arc<CryptoProvider>,
    config: Config,
    prepare: impl FnOnce(&House<E>) -> Result<(), Fault>,
) -> Result<House<E>, Fault> {
    let house = furnish(env, provider, config).await?;
    for problem in house.doubts() {
        observe::warn(problem.replacen(": warning: ", ": ", 1));
    }
    prepare(&house)?;
    house.listen().await?;
    Ok(house)
}

/// All of the daemon but its listeners.
async fn furnish<E: Environment>(
    env: Arc<E>,
    provider: Arc<CryptoProvider>,
    config: Config,
) -> Result<House<E>, Fault> {
    let settings = config.settings(None);
    let wrong = |wrong: Wrong| Fault::new(Cause::Configuration, lines(&config, &wrong));
    let dns = dns_params(&env, &settings).map_err(wrong)?;
    let resolver = Resolver::start(&env, dns);
    let mut site = Site::new(&env, &provider, &resolver, config.clone()).map_err(wrong)?;
    let params = site.manager_params().map_err(wrong)?;
    let (facts, incoming) = mpsc::unbounded_channel();
    let (opened, opening) = oneshot::channel();
    let log = Log::new(queue::Params::new(&settings), env.entropy());
    let spool = Spool::start(&env, log, facts.clone(), opened);
    let closed = |_| Fault::new(Cause::System, "the spool cannot be opened; the log says why");
    let opened = opening.await.map_err(closed)?;
    let node = u16::try_from(settings.number("node_number")).unwrap_or(0);
    let ids = Ids::new(node, opened.last);
    let budget = Arc::new(Budget::new(settings.number("content_memory_limit")));
    let notices = Default::default();
    let recorder = Recorder::default();
    recorder.prepare(&env, &mut site);
    recorder.follow(&site);
    let site = Arc::new(Current::new(site));
    let shared = Arc::new(Shared { env: Arc::clone(&env), spool, ids, budget, notices, recorder });
    let links = Arc::new(Links {
        shared: Arc::clone(&shared),
        pool: Pool::default(),
        unwritten: Unwritten::default(),
        settled: facts.clone(),
    });
    let orders = Arc::new(Orders::default());
    let (draining, drain) = watch::channel(false);
    let (done, drained) = watch::channel(false);
    let office =
        Arc::new(Office { links, site: Arc::clone(&site), orders: Arc::clone(&orders), drained: done });
    let manager = Manager::new(params, Prng::new(env.entropy()));
    tokio::spawn(office.run(manager, opened.recovered, incoming));
    let limit = settings.number("smtpd_client_connection_count_limit");
    let seats = Arc::new(Seats::new(Clients::new(limit, settings.text("myhostname"))));
    let places = descriptors::places(env.descriptors());
    let doors = Arc::new(Doors {
        shared: Arc::clone(&shared),
        site: Arc::clone(&site),
        seats,
        places,
        draining: drain,
    });
    let listening = Arc::default();
    let pickup = None;
    Ok(House { shared, site, orders, facts, doors, resolver, provider, draining, drained, listening, pickup })
}

impl<E: Environment> House<E> {
    /// The configuration of the moment.
    pub fn site(&self) -> Arc<Site<E>> {
        self.site.get()
    }

    /// Opens the doors of the configuration that are not open, and closes those that it has no more. Nothing is closed before all that
    /// can be opened beside it is open.
    async fn listen(&self) -> Result<(), Fault> {
        let site = self.site();
        let mut wanted = Vec::new();
        for (service, door) in &site.doors {
            wanted.extend(door.addresses.iter().map(|&at| (service.clone(), SocketAddr::from(at))));
        }
        let fresh: Vec<_> = {
            let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.iter().filter(|key| !listening.contains_key(*key)).cloned().collect()
        };
        let (mut open, mut taken) = (Vec::new(), Vec::new());
        for key in fresh {
            match self.bind(&site, &key).await {
                Ok(listener) => open.push((key, listener)),
                // Perhaps by a door of ours that is about to close: 127.0.0.1:25 where 0.0.0.0:25 is wanted.
                Err((io::ErrorKind::AddrInUse, _)) => taken.push(key),
                Err((_, why)) => return Err(why),
            }
        }
        let old: Vec<_> = {
            let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
            listening.extract_if(.., |key, _| !wanted.contains(key)).map(|(_, closed)| closed).collect()
        };
        for closed in old {
            _ = closed.send(true);
            closed.closed().await;
        }
        for key in taken {
            let listener = self.bind(&site, &key).await.map_err(|(_, why)| why)?;
            open.push((key, listener));
        }
        for ((service, address), listener) in open {
            let (closed, closing) = watch::channel(false);
            tokio::spawn(Arc::clone(&self.doors).serve(service.clone(), closing, listener));
            self.listening.lock().unwrap_or_else(PoisonError::into_inner).insert((service, address), closed);
        }
        Ok(())
    }

    async fn bind(
        &self,
        site: &Site<E>,
        (service, address): &(String, SocketAddr),
    ) -> Result<<E::Net as Net>::Listener, (io::ErrorKind, Fault)> {
        let at = Doors::<E>::at(address.ip(), address.port());
        let listener = self.shared.env.net().listen(&at).await;
        listener.map_err(|error| (error.kind(), cannot_listen(&site.config, service, *address, &error)))
    }

    /// Uses another configuration from now on; sessions that are open keep theirs. When it is faulty, nothing changes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn reload(&self, config: Config) -> Result<(), String> {
        let env = &self.shared.env;
        let told = |wrong: Wrong| lines(&config, &wrong);
        let dns = dns_params(env, &config.settings(None)).map_err(told)?;
        let mut site = Site::new(env, &self.provider, &self.resolver, config.clone()).map_err(told)?;
        let params = site.manager_params().map_err(told)?;
        let recorder = &self.shared.recorder;
        // Before anybody uses it: a session under it is recorded as one.
        recorder.prepare(env, &mut site);
        let before = self.site.replace(Arc::new(site));
        if let Err(why) = self.listen().await {
            let refused = self.site.replace(Arc::clone(&before));
            recorder.unmake(&refused, &before);
            return Err(match self.listen().await {
                Ok(()) => why.text,
                Err(again) => format!("{why}\nand what was open can not be opened again: {again}"),
            });
        }
        self.shared.budget.set_limit(config.settings(None).number("content_memory_limit"));
        self.resolver.reload(dns);
        recorder.follow(&self.site());
        _ = self.facts.send(Input::Reload(Box::new(params)));
        Ok(())
    }

    /// Gives an order to the queue.
    pub async fn order(&self, order: postrider_core::mail::Order) -> OrderResult {
        self.orders.give(&self.facts, order).await
    }

    /// Ends in order: what goes on may end, but has only so long.
    pub async fn stop(&mut self) {
        observe::note("stopping: sessions and deliveries may end");
        if tokio::time::timeout(DRAIN_MAX, self.drain()).await.is_err() {
            observe::note("stopped while some were still open; their mail is in the queue");
        }
        self.shared.recorder.finish(RECORDING_END_MAX);
        observe::note("stopped");
    }

    /// Takes no new clients, lets sessions and attempts end, and returns when they have and the log is at rest.
    async fn drain(&mut self) {
        _ = self.draining.send(true);
        _ = self.facts.send(Input::Drain);
        _ = self.drained.wait_for(|drained| *drained).await;
        while self.sessions() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if let Some(pickup) = self.pickup.take() {
            // Nothing is ever sent: it is dropped.
            _ = pickup.await;
        }
        self.shared.spool.rest().await;
    }

    /// Waits until one of the tasks without which nothing works has ended, and says which: only a bug of ours does that, and who
    /// watches over us shall start us again.
    pub async fn fallen(&self) -> &'static str {
        tokio::select! {
            () = self.facts.closed() => "queue manager",
            () = self.shared.spool.closed() => "spool",
            () = self.resolver.closed() => "resolver",
        }
    }

    /// Open sessions.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        self.doors.seats.open()
    }

    /// The same, for who asks later.
    pub fn session_counter(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let seats = Arc::clone(&self.doors.seats);
        move || seats.open()
    }

    /// Where it listens.
    #[must_use]
    pub fn listening(&self) -> Vec<String> {
        addresses(&self.listening)
    }

    /// The same, for who asks later.
    pub fn listening_then(&self) -> impl Fn() -> Vec<String> + Send + Sync + 'static {
        let listening = Arc::clone(&self.listening);
        move || addresses(&listening)
    }

    /// What is set and does not work yet, and everything that a person should correct in the tables.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let site = self.site();
        let mut problems: Vec<String> =
            site.not_working().iter().map(|problem| in_directory(&site.config, problem)).collect();
        problems.extend(table_problems(&site.config, &site.answers.tables));
        problems.extend(short_of_descriptors(&site, self.shared.env.descriptors()));
        problems
    }
}

/// Whether fewer files may be open than the configuration asks for.
fn short_of_descriptors<E: Environment>(site: &Site<E>, limit: u64) -> Option<String> {
    let asked = |service: &Service| match service.limit {
        Some(limit) if service.limit_given => u64::from(limit),
        _ => descriptors::USUAL,
    };
    let services = site.config.services().iter();
    let deliveries = services.filter(|one| matches!(one.role, Role::Transport(_))).map(asked).sum();
    let sessions = site.doors.keys().filter_map(|key| site.config.service(key)).map(asked).sum();
    let wanted = Wanted { sessions, deliveries };
    let needed = wanted.beyond(limit)?;
    Some(format!(
        "at most {limit} files may be open, which is too few for the {sessions} sessions and {deliveries} deliveries of master.cf: beyond {} \
         sessions, which its services share, clients are told 421; allow {needed} (LimitNOFILE= in the unit of systemd, ulimit -n), or lower maxproc in master.cf",
        descriptors::places(limit)
    ))
}

fn addresses(listening: &Listening) -> Vec<String> {
    let listening = listening.lock().unwrap_or_else(PoisonError::into_inner);
    listening.keys().map(|(_, address)| address.to_string()).collect()
}

fn cannot_listen(config: &Config, service: &str, address: SocketAddr, error: &io::Error) -> Fault {
    let (cause, remedy) = match error.kind() {
        io::ErrorKind::AddrInUse => {
            (Cause::System, "another program listens there; stop it, or change the port in master.cf")
        }
        io::ErrorKind::PermissionDenied => {
            (Cause::Permission, "ports below 1024 need root; start as root, or change the port")
        }
        io::ErrorKind::AddrNotAvailable => {
            (Cause::Configuration, "this host has no such address; see inet_interfaces")
        }
        _ => (Cause::System, "see master.cf"),
    };
    let place = config.service(service).map_or(Place { file: File::Master, line: None }, |found| found.place);
    let text = format!("service {service}: cannot listen on {address}: {}", words(error));
    Fault::new(cause, in_directory(config, &Problem::error(place, text, remedy)))
}

#[cfg(not(madsim))]
mod production;
#[cfg(not(madsim))]
pub use production::{daemon, inspect};
