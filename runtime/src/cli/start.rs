//! `start`, `check`, `status`, `stop`, `reload`.

use super::{Failure, Setup, ask, embedded, print};
use crate::control::{Reply, Request};
use crate::env::real::Real;
use crate::observe::{self, Format, Options, Target};
use crate::privilege::{self, Agent};
use crate::trouble::{Cause, Fault, told};
use crate::{descriptors, maildrop, serve};
use postrider_core::params::Severity;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// EX_CONFIG of sysexits.h; [`Cause::status`] has the others.
const CONFIGURATION: u8 = 78;
/// What a disk still does when the daemon has ended may take so long.
const DISK_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// The configuration is wrong, or the system does not let us.
pub(super) fn start(directory: Option<String>, arguments: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = arguments.first() {
        return Err(Failure::new(
            64,
            format!("start: unknown argument {unknown}; usage: postrider start [-c DIR]"),
        ));
    }
    let is_embedded = directory.is_none();
    let directory = match directory {
        Some(directory) => PathBuf::from(directory),
        None => embedded::write()?,
    };
    let setup = Setup::read(&directory)?;
    report(&setup)?;
    let log = observe::start(log_options(&setup, is_embedded)).map_err(|error| log_fault(&setup, &error))?;
    for problem in &setup.problems {
        observe::warn(format!("{}/{problem}", setup.directory.display()));
    }
    descriptors::raise();
    let agent = Arc::new(privilege::start().map_err(|text| Fault::new(Cause::System, text))?);
    let queue_directory = setup.queue_directory();
    prepare(&setup, &queue_directory)?;
    // From here on we are mail_owner; the helper does what needs root.
    privilege::drop_root(setup.settings.text("mail_owner")).map_err(|text| owner_fault(&setup, &text))?;
    if matches!(*agent, Agent::Ourselves) && !is_embedded {
        observe::note("started without root: ports below 1024 and mailboxes of other users are out of reach");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Fault::new(Cause::System, format!("no runtime: {}", told(&error))))?;
    let env = Real::open(&queue_directory, Arc::clone(&agent), runtime.handle().clone());
    let env = env.map_err(|fault| spool_fault(&setup, &fault))?;
    // Who does not read it is served all the same.
    let greet = move |setup: &Setup| _ = is_embedded.then(|| embedded::welcome(setup));
    let result = runtime.block_on(serve::daemon(Arc::new(env), setup, log.clone(), agent, greet));
    // Lines that nobody takes must not keep us from ending.
    _ = log.flush();
    // Nor a disk that does not answer.
    runtime.shutdown_timeout(DISK_MAX);
    result.map_err(Failure::from)
}

/// Tells of every problem; refuses to go on with errors.
fn report(setup: &Setup) -> Result<(), Failure> {
    let mut errors = 0;
    for problem in &setup.problems {
        eprintln!("{}/{problem}", setup.directory.display());
        errors += u32::from(problem.severity == Severity::Error);
    }
    match errors {
        0 => Ok(()),
        1 => Err(Failure::new(CONFIGURATION, "not started: 1 error")),
        count => Err(Failure::new(CONFIGURATION, format!("not started: {count} errors"))),
    }
}

/// A path that a parameter names can not be used.
fn at(setup: &Setup, parameter: &str, path: &Path, error: &io::Error) -> Failure {
    let fault = Fault::new(Cause::of_path(error), format!("{}: {}", path.display(), told(error)));
    parameter_fault(setup, parameter, &fault)
}

/// A fault behind a parameter's value, with the line that sets it.
fn parameter_fault(setup: &Setup, parameter: &str, fault: &Fault) -> Failure {
    let problem = setup.config.fault(parameter, &fault.text, "");
    Failure::new(fault.cause.status(), format!("{}/{problem}", setup.directory.display()))
}

fn spool_fault(setup: &Setup, fault: &Fault) -> Failure {
    parameter_fault(setup, "queue_directory", fault)
}

fn log_fault(setup: &Setup, error: &io::Error) -> Failure {
    match setup.settings.text("maillog_file") {
        "" => Fault::new(Cause::System, format!("the log can not be written: {}", told(error))).into(),
        path => at(setup, "maillog_file", Path::new(path), error),
    }
}

fn owner_fault(setup: &Setup, text: &str) -> Failure {
    let place = setup.config.line_of("mail_owner");
    Failure::new(CONFIGURATION, format!("{}/{place}: error: {text}", setup.directory.display()))
}

/// Makes the spool's folders and, as root, gives them to `mail_owner`.
fn prepare(setup: &Setup, queue_directory: &Path) -> Result<(), Failure> {
    let spool = queue_directory.join("postrider");
    let fail = |error: io::Error| at(setup, "queue_directory", &spool, &error);
    crate::env::real::make_directory(&spool, 0o755).map_err(fail)?;
    maildrop::prepare(&spool).map_err(fail)?;
    if nix::unistd::Uid::effective().is_root() {
        let owner = privilege::owner_of(setup.settings.text("mail_owner"))
            .map_err(|text| owner_fault(setup, &text))?;
        privilege::give_away(&spool, &owner, &[maildrop::DIRECTORY]).map_err(fail)?;
        prepare_recording(setup, owner.uid.as_raw(), owner.gid.as_raw());
    }
    Ok(())
}

/// Makes the folder of a recording for `mail_owner`, who may not be able to. One that is there stays whose it is; what can not be made
/// is told of when the recording is to begin.
fn prepare_recording(setup: &Setup, uid: u32, gid: u32) {
    let directory = Path::new(setup.settings.text("record_directory"));
    let made = directory.is_absolute()
        && !directory.exists()
        && crate::env::real::make_directory(directory, 0o700).is_ok();
    if made && let Err(error) = std::os::unix::fs::chown(directory, Some(uid), Some(gid)) {
        observe::warn(format!("record_directory {}: {}", directory.display(), told(&error)));
    }
}

fn log_options(setup: &Setup, embedded: bool) -> Options {
    let settings = &setup.settings;
    let format = if settings.text("log_format") == "json" { Format::Json } else { Format::Text };
    let target = match settings.text("maillog_file") {
        "" if embedded => Target::Stdout,
        "" => Target::Syslog(facility(settings.text("syslog_facility"))),
        "/dev/stdout" => Target::Stdout,
        path => Target::File(PathBuf::from(path)),
    };
    let host = settings.text("myhostname").split('.').next().unwrap_or_default().to_owned();
    Options { target, format, name: settings.text("syslog_name").to_owned(), host }
}

/// Numbers of syslog(3); `mail` for a word that it does not know.
fn facility(word: &str) -> u8 {
    match word {
        "kern" => 0,
        "user" => 1,
        "daemon" => 3,
        "auth" | "security" => 4,
        "syslog" => 5,
        "lpr" => 6,
        "news" => 7,
        "uucp" => 8,
        "cron" => 9,
        "authpriv" => 10,
        "ftp" => 11,
        local => match local.strip_prefix("local").and_then(|number| number.parse::<u8>().ok()) {
            Some(number @ 0..=7) => 16 + number,
            _ => 2,
        },
    }
}

/// Reads everything, and says what is wrong.
///
/// # Errors
/// There are errors.
pub(super) fn check(directory: Option<String>) -> Result<(), Failure> {
    let setup = Setup::find(directory)?;
    let mut problems: Vec<(bool, String)> = setup
        .problems
        .iter()
        .map(|problem| {
            (problem.severity == Severity::Error, format!("{}/{problem}", setup.directory.display()))
        })
        .collect();
    problems.extend(serve::inspect(&setup));
    let errors = problems.iter().filter(|(error, _)| *error).count();
    for (_, text) in &problems {
        println!("{text}");
    }
    let warnings = problems.len() - errors;
    println!("{}: {errors} errors, {warnings} warnings", setup.directory.display());
    if errors == 0 { Ok(()) } else { Err(Failure::new(1, String::new())) }
}

/// Says how the daemon is doing.
///
/// # Errors
/// It does not run.
pub(super) fn status(setup: &Setup) -> Result<(), Failure> {
    ask(setup, &Request::Status, |reply| match reply {
        Reply::Status(status) => print(&format!(
            "postrider {} runs as process {} for {} s, {} sessions open\nlistens on {}\nconfiguration {}\n{}",
            status.version,
            status.process,
            status.uptime,
            status.sessions,
            status.listening.join(", "),
            status.configuration,
            status.recording.map(|words| format!("records {words}\n")).unwrap_or_default()
        )),
        _ => Ok(()),
    })
}

/// Asks the daemon to do something that needs no more words.
///
/// # Errors
/// It does not run, or says no.
pub(super) fn order(setup: &Setup, request: &Request, done: &str) -> Result<(), Failure> {
    ask(setup, request, |_| Ok(()))?;
    print(&format!("{done}\n"))
}
