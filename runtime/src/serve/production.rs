//! What production adds to the daemon: signals, the control socket, the maildrop; and what `check` finds beside the values.

use super::{House, in_directory, lines, start, table_problems};
use crate::cli::Setup;
use crate::control::Request;
use crate::env::real::Real;
use crate::privilege::Agent;
use crate::trouble::{Cause, Fault, told};
use crate::{guard, observe, operate, pickup, site};
use postrider_core::event::Event;
use postrider_core::params::{Config, Severity};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// More often than the runtime lets a thread go.
const THREAD_BEAT: Duration = Duration::from_secs(5);

/// Serves until it is told to stop.
///
/// # Errors
/// It cannot start.
pub async fn daemon(
    env: Arc<Real>,
    setup: Setup,
    log: observe::Log,
    agent: Arc<Agent>,
    greet: impl FnOnce(&Setup),
) -> Result<(), Fault> {
    guard::remember_panics();
    let mut helper = watch(agent);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Before anybody can know that we are here: a signal that nobody waits for would kill us without a drain.
    let mut signals = Signals::new()?;
    let (wishes, mut wished) = mpsc::channel(16);
    let prepare = |house: &House<Real>| {
        let stage = operate::Stage::open(house, &setup, wishes)?;
        tokio::spawn(stage.run());
        tokio::spawn(keep_a_thread());
        Ok(())
    };
    let mut house = start(env, provider, setup.config.clone(), prepare).await?;
    greet(&setup);
    let (wake, woken) = mpsc::channel(1);
    let (shared, site) = (Arc::clone(&house.shared), Arc::clone(&house.site));
    let pickup = pickup::start(shared, site, setup.spool(), woken, house.draining.subscribe());
    house.pickup =
        Some(pickup.map_err(|error| Fault::new(Cause::System, format!("pickup: {}", told(&error))))?);
    observe::note(format!(
        "daemon started -- version {}, configuration {}, listening on {}",
        env!("CARGO_PKG_VERSION"),
        setup.directory.display(),
        house.listening().join(", ")
    ));
    let lost = stand_by(&house, &setup, &log, &mut signals, &mut helper, &mut wished, &wake).await;
    if let Some(why) = &lost {
        observe::log(Event::Trouble { program: "master", id: None, text: why.clone() });
    }
    house.stop().await;
    _ = std::fs::remove_file(setup.spool().join(crate::control::SOCKET));
    match lost {
        Some(why) => Err(Fault::new(Cause::System, format!("{why}; start the daemon again"))),
        None => Ok(()),
    }
}

/// Sees to it that blocking work finds a thread. The runtime lets threads go that had nothing to do for ten seconds; where the system gives no
/// new ones then (RLIMIT_NPROC, no memory for a stack), work that finds none would wait for ever.
async fn keep_a_thread() {
    let mut beat = tokio::time::interval(THREAD_BEAT);
    loop {
        beat.tick().await;
        // In a task of its own: where there is no thread at all it panics, and the next beat may find one.
        _ = tokio::spawn(async { tokio::task::spawn_blocking(|| ()).await }).await;
    }
}

/// The signals that we obey.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Fault> {
        let trouble = |error: std::io::Error| Fault::new(Cause::System, format!("signals: {}", told(&error)));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(trouble)?,
            interrupt: signal(SignalKind::interrupt()).map_err(trouble)?,
            hangup: signal(SignalKind::hangup()).map_err(trouble)?,
        })
    }
}

/// Obeys until the daemon shall stop; or must, and why.
async fn stand_by(
    house: &House<Real>,
    setup: &Setup,
    log: &observe::Log,
    signals: &mut Signals,
    helper: &mut oneshot::Receiver<()>,
    wished: &mut mpsc::Receiver<operate::Wish>,
    wake: &mpsc::Sender<()>,
) -> Option<String> {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return None,
            Ok(()) = &mut *helper => {
                let why = "the helper that keeps root has ended: mailboxes of users can not be written";
                return Some(why.to_owned());
            }
            what = house.fallen() => {
                let why = format!("internal error: the {what} has ended; what was answered with 250 is on disk");
                return Some(why);
            }
            () = wake.closed() => {
                return Some("internal error: who takes mail out of the maildrop has ended".to_owned());
            }
            _ = signals.interrupt.recv() => return None,
            _ = signals.hangup.recv() => drop(reload(house, setup, log).await),
            wish = wished.recv() => match wish {
                Some((Request::Stop, reply)) => {
                    _ = reply.send(Ok(()));
                    return None;
                }
                Some((Request::Reload, reply)) => {
                    let result = reload(house, setup, log).await;
                    _ = reply.send(result);
                }
                Some((_, reply)) => {
                    _ = wake.try_send(());
                    _ = reply.send(Ok(()));
                }
                None => return None,
            },
        }
    }
}

/// Says when the helper has ended: root is given up, so nobody here could start another.
fn watch(agent: Arc<Agent>) -> oneshot::Receiver<()> {
    let (ended, told) = oneshot::channel();
    std::thread::spawn(move || {
        if agent.wait() {
            _ = ended.send(());
        }
    });
    told
}

async fn reload(house: &House<Real>, setup: &Setup, log: &observe::Log) -> Result<(), String> {
    log.reopen();
    let result = match Setup::read(&setup.directory) {
        Err(failure) => Err(failure.text),
        Ok(fresh) => {
            let mut errors: Vec<String> = fresh
                .problems
                .iter()
                .filter(|problem| problem.severity == Severity::Error)
                .map(|problem| in_directory(&fresh.config, problem))
                .collect();
            errors.extend(fixed(setup, &fresh));
            for problem in fresh.problems.iter().filter(|problem| problem.severity == Severity::Warning) {
                observe::warn(in_directory(&fresh.config, problem).replacen(": warning: ", ": ", 1));
            }
            if errors.is_empty() { house.reload(fresh.config).await } else { Err(errors.join("\n")) }
        }
    };
    match &result {
        Ok(()) => {
            observe::note("configuration reloaded");
            for problem in house.doubts() {
                observe::warn(problem.replacen(": warning: ", ": ", 1));
            }
        }
        Err(why) => {
            for line in why.lines() {
                let text = format!("not reloaded, nothing has changed: {line}");
                observe::log(Event::Trouble { program: "master", id: None, text });
            }
        }
    }
    result
}

/// What a running daemon can not change, and would go on without in silence.
const FIXED: [&str; 10] = [
    "queue_directory",
    "mail_owner",
    "maillog_file",
    "log_format",
    "syslog_name",
    "syslog_facility",
    "node_number",
    "spool_segment_size",
    "spool_reserve",
    "queue_message_limit",
];

/// Changes that a reload can not make.
fn fixed(running: &Setup, fresh: &Setup) -> Vec<String> {
    let changed = FIXED.iter().filter(|name| running.settings.text(name) != fresh.settings.text(name));
    let told = changed.map(|name| {
        let what =
            format!("changes from \"{}\" to \"{}\"", running.settings.text(name), fresh.settings.text(name));
        let remedy = "that takes a new start: stop the daemon and start it, or put the old value back";
        in_directory(&fresh.config, &fresh.config.fault(name, &what, remedy))
    });
    told.collect()
}

/// What `postrider check` finds beyond the values themselves: tables, certificates, users, folders. True marks an error.
#[must_use]
pub fn inspect(setup: &Setup) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return found };
    runtime.block_on(async {
        match inspect_site(&setup.config) {
            Ok(problems) => found.extend(problems),
            Err(mut wrong) => {
                wrong.retain(|(name, _)| !is_told(setup, name));
                found.extend(lines(&setup.config, &wrong).lines().map(|line| (true, line.to_owned())));
                let env = Arc::new(crate::env::real::Bare::default());
                let tables = site::tables_of(&env, &setup.config);
                found.extend(table_problems(&setup.config, &tables).into_iter().map(|text| (false, text)));
            }
        }
    });
    found.extend(paths(setup));
    if let Err(why) = crate::privilege::owner_of(setup.settings.text("mail_owner")) {
        // Without root nobody becomes mail_owner.
        let root = nix::unistd::Uid::effective().is_root();
        let problem = if root {
            setup.config.fault("mail_owner", &why, "make the user, or name another")
        } else {
            setup.config.doubt("mail_owner", &why, "without root the daemon stays who starts it")
        };
        found.push((root, in_directory(&setup.config, &problem)));
    }
    found
}

/// Folders and files in which a start could not write.
fn paths(setup: &Setup) -> Option<(bool, String)> {
    let (name, path) = match setup.settings.text("maillog_file") {
        "" | "/dev/stdout" => return unusable(setup, "queue_directory", &setup.queue_directory()),
        path => ("maillog_file", std::path::PathBuf::from(path)),
    };
    let folder = path.parent().map(std::path::Path::to_owned).unwrap_or_default();
    // The queue's is made at the start; the log's is somebody else's.
    let missing = (path.is_absolute() && !folder.exists()).then(|| {
        let what = format!("there is no directory {}", folder.display());
        (true, in_directory(&setup.config, &setup.config.fault(name, &what, "make it, or name another path")))
    });
    unusable(setup, name, &folder)
        .or(missing)
        .or_else(|| unusable(setup, "queue_directory", &setup.queue_directory()))
}

/// A path that can be no folder: the nearest thing above it that exists is none.
fn unusable(setup: &Setup, parameter: &str, folder: &std::path::Path) -> Option<(bool, String)> {
    let there = folder.ancestors().find(|path| path.exists())?;
    if there.is_dir() || there.as_os_str().is_empty() {
        return None;
    }
    let what = format!("{} is not a directory", there.display());
    Some((true, in_directory(&setup.config, &setup.config.fault(parameter, &what, "name another path"))))
}

/// Whether the value itself has been found wrong: what else could be said of it is the same in other words.
fn is_told(setup: &Setup, name: &str) -> bool {
    let errors = setup.problems.iter().filter(|problem| problem.severity == Severity::Error);
    errors.into_iter().any(|problem| problem.text.starts_with(&format!("{name} = ")))
}

fn inspect_site(config: &Config) -> Result<Vec<(bool, String)>, site::Wrong> {
    let env = Arc::new(crate::env::real::Bare::default());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = config.settings(None);
    let resolver = crate::resolve::Resolver::start(&env, site::dns_params(&env, &settings)?);
    let made = site::Site::new(&env, &provider, &resolver, config.clone())?;
    made.manager_params()?;
    let mut found: Vec<(bool, String)> =
        made.not_working().iter().map(|problem| (false, in_directory(config, problem))).collect();
    found.extend(table_problems(config, &made.answers.tables).into_iter().map(|text| (false, text)));
    Ok(found)
}
