//! The commands. Each Postfix name is a subcommand too, and works when the binary is called by that name.

mod author;
mod client;
mod config;
mod dialogue;
mod embedded;
mod list;
mod load;
mod map;
mod queue;
mod sendmail;
mod setup;
mod show;
mod start;

pub use client::{ask, wake};
pub use setup::Setup;

use crate::trouble::told;
use std::io::Write;

const HELP: &str = "\
postrider: a mail transfer agent

  postrider start [-c DIR]             run the daemon; without DIR an embedded default on port 2525
  postrider status|stop|reload [-c DIR]
  postrider check [-c DIR]             read the configuration, say what is wrong
  postrider config [-c DIR] [-d|-n] [-x] [NAME…]
  postrider queue [-c DIR] [--json] list|show|hold|release|requeue|delete|flush|export|import …
  postrider send [-C DIR] [OPTIONS] [RECIPIENT…] < message
  postrider map [-c DIR] [-q KEY|-] [-s] TABLE…   query, dump or check lookup tables
  postrider source|sink …              load generator and sink
  postrider version

Postfix's names work too: postqueue, mailq, postsuper, postcat, postmap, postalias, postconf, sendmail, newaliases,
smtp-source, smtp-sink, postfix start|stop|reload|check|status.
";

/// Why a command ends badly: one line, and an exit status.
#[derive(Debug)]
pub struct Failure {
    /// Exit status, from sysexits.h where one fits.
    pub status: u8,
    /// What to tell the person.
    pub text: String,
}

impl Failure {
    /// A failure.
    #[must_use]
    pub fn new(status: u8, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }
}

impl From<crate::trouble::Fault> for Failure {
    fn from(fault: crate::trouble::Fault) -> Self {
        Self::new(fault.cause.status(), fault.text)
    }
}

/// Writes to standard output.
///
/// # Errors
/// It is closed.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        // `mailq | head` has seen enough.
        std::io::ErrorKind::BrokenPipe => Failure::new(0, ""),
        _ => Failure::new(74, format!("standard output: {}", told(&error))),
    })
}

/// The names of Postfix's commands that this program answers to.
const NAMES: &[&str] = &[
    "sendmail",
    "mailq",
    "newaliases",
    "postfix",
    "postconf",
    "postqueue",
    "postsuper",
    "postcat",
    "postmap",
    "postalias",
    "smtp-source",
    "smtp-sink",
];

/// Runs a command line; the exit status.
#[must_use]
pub fn main(arguments: &[String]) -> u8 {
    let name = arguments.first().map(String::as_str).unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or(name);
    let result = match name {
        called if NAMES.contains(&called) => run(called, &arguments[1..], true),
        // However the file is called: an upgrade that is tried beside the old one is postrider too.
        _ => match arguments.get(1) {
            Some(command) => run(command, &arguments[2..], false),
            None => print(HELP),
        },
    };
    match result {
        Ok(()) => 0,
        Err(failure) => {
            // Some commands have said all with their status (`postmap -q`).
            if !failure.text.is_empty() {
                eprintln!("{}", failure.text);
            }
            failure.status
        }
    }
}

fn run(command: &str, arguments: &[String], by_name: bool) -> Result<(), Failure> {
    match command {
        "help" | "--help" | "-h" => return print(HELP),
        "version" | "--version" | "-V" => {
            return print(&format!("postrider {}\n", env!("CARGO_PKG_VERSION")));
        }
        "source" | "smtp-source" => return load::source(arguments),
        "sink" | "smtp-sink" => return load::sink(arguments),
        crate::privilege::HELPER_ARGUMENT => {
            crate::privilege::keep_root();
            return Ok(());
        }
        _ => {}
    }
    if matches!(command, "send" | "sendmail" | "mailq" | "newaliases") {
        return as_sendmail(command, arguments, by_name);
    }
    let (directory, rest) = directory_of(arguments)?;
    match command {
        "start" => return start::start(directory, &rest),
        "check" => return start::check(directory),
        _ => {}
    }
    let directory = directory.or_else(|| of_a_name_of_postfix(by_name));
    match command {
        "map" | "postmap" => return map::run("postmap", &rest, &Setup::find_main(directory)?),
        "postalias" => return map::run("postalias", &rest, &Setup::find_main(directory)?),
        _ => {}
    }
    let setup = Setup::find(directory)?;
    match command {
        "status" => start::status(&setup),
        "stop" => start::order(&setup, &crate::control::Request::Stop, "stopping"),
        "reload" => start::order(&setup, &crate::control::Request::Reload, "reloaded"),
        "postfix" => postfix(&rest, &setup),
        "config" | "postconf" => config::run(&rest, &setup),
        "queue" => queue::run(&rest, &setup),
        "postqueue" => queue::postqueue(&rest, &setup),
        "postsuper" => queue::postsuper(&rest, &setup),
        "postcat" => queue::postcat(&rest, &setup),
        unknown => Err(Failure::new(
            64,
            format!("postrider: there is no command {unknown}; `postrider help` lists them"),
        )),
    }
}

/// Where a command looks that was called by a name of Postfix's: never at the embedded default.
fn of_a_name_of_postfix(by_name: bool) -> Option<String> {
    by_name.then(|| std::env::var("MAIL_CONFIG").unwrap_or_else(|_| "/etc/postfix".to_owned()))
}

fn as_sendmail(command: &str, arguments: &[String], by_name: bool) -> Result<(), Failure> {
    let mut arguments = arguments.to_vec();
    let directory = if arguments.first().is_some_and(|first| first == "-c") && arguments.len() > 1 {
        arguments.remove(0);
        Some(arguments.remove(0))
    } else {
        of_a_name_of_postfix(by_name)
    };
    sendmail::run(command, &arguments, directory)
}

fn postfix(arguments: &[String], setup: &Setup) -> Result<(), Failure> {
    match arguments.first().map(String::as_str) {
        Some("start" | "start-fg") => {
            start::start(Some(setup.directory.display().to_string()), &arguments[1..])
        }
        Some("check") => start::check(Some(setup.directory.display().to_string())),
        Some("status") => start::status(setup),
        Some("stop") => start::order(setup, &crate::control::Request::Stop, "stopping"),
        Some("reload") => start::order(setup, &crate::control::Request::Reload, "reloaded"),
        Some("flush") => queue::postqueue(&["-f".to_owned()], setup),
        _ => Err(Failure::new(64, "usage: postfix [-c DIR] start|stop|reload|check|status|flush")),
    }
}

/// Takes `-c DIR` out of the front of a command line.
fn directory_of(arguments: &[String]) -> Result<(Option<String>, Vec<String>), Failure> {
    let mut rest = arguments.to_vec();
    let Some(place) = rest.iter().position(|word| word == "-c") else { return Ok((None, rest)) };
    if place + 1 >= rest.len() {
        return Err(Failure::new(64, "option -c needs the directory of main.cf"));
    }
    rest.remove(place);
    let directory = rest.remove(place);
    Ok((Some(directory), rest))
}
