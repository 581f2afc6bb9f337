//! Events become log lines.
//!
//! One line an event, as text in the form of syslog, or as JSON. A thread of its own makes the lines and writes them, all that came
//! within a few milliseconds in one write: nobody who serves mail composes a log line, or wakes anybody for it. Nor does anybody stand still
//! because who reads the log does ([`desk`]). Libraries speak through `tracing`, and in simulation so do we.
//!
//! Promise: lines that are lost are counted, and the log itself says how many, as soon as it can be written again.

mod desk;
mod sink;

pub use desk::Log;

use crate::sync::Arc;
use crate::trouble::told;
use desk::Said;
use postrider_core::event::{Event, Severity, printable};
use postrider_core::time::Timestamp;
use serde_json::json;
use sink::Sink;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::OnceLock;
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;

/// The log of this process, once it is started.
static LOG: OnceLock<Log> = OnceLock::new();

/// Says what happened.
pub fn log(event: Event) {
    log_of(None, event);
}

/// The same for a service whose `syslog_name` gives its program another name.
pub fn log_of(program: Option<Arc<str>>, event: Event) {
    match LOG.get() {
        Some(log) => log.put_of(program, event),
        None => trace(program.as_deref().unwrap_or(event.program()), &event),
    }
}

/// Through `tracing`: where no log was started, and in simulation.
fn trace(program: &str, event: &Event) {
    let text = event.text();
    let id = event.queue_id().map(|id| id.to_string()).unwrap_or_default();
    let name = event.name();
    match event.severity() {
        Severity::Info => tracing::info!(target: "postrider", program, event = name, id, "{text}"),
        Severity::Warning => tracing::warn!(target: "postrider", program, event = name, id, "{text}"),
        Severity::Error => tracing::error!(target: "postrider", program, event = name, id, "{text}"),
    }
}

/// Says something of our own life.
pub fn note(text: impl Into<String>) {
    log(Event::Note { program: "master", text: text.into() });
}

/// Says what a person should act on.
pub fn warn(text: impl Into<String>) {
    log(Event::Warning { program: "master", id: None, text: text.into() });
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// `maillog_file`.
    File(PathBuf),
    /// The system's logger, with this facility number.
    Syslog(u8),
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As syslog writes them.
    Text,
    /// One object a line.
    Json,
}

/// What a log needs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to.
    pub target: Target,
    /// How.
    pub format: Format,
    /// `syslog_name`.
    pub name: String,
    /// Host name, in front of text lines.
    pub host: String,
}

/// Starts the log; lines go there from now on.
///
/// # Errors
/// The file can not be opened.
pub fn start(options: Options) -> io::Result<Log> {
    let sink = Sink::open(&options.target)?;
    let log = Log::default();
    let writer = Writer {
        sink,
        zone: jiff::tz::TimeZone::system(),
        process: std::process::id(),
        second: (i64::MIN, String::new()),
        unwritten: None,
        options,
    };
    let desk = log.clone();
    std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&desk))?;
    tracing_subscriber::registry().with(Listener).try_init().map_err(io::Error::other)?;
    _ = LOG.set(log.clone());
    Ok(log)
}

/// The thread of the log.
struct Writer {
    sink: Sink,
    zone: jiff::tz::TimeZone,
    process: u32,
    /// The last second that was written, and how.
    second: (i64, String),
    /// While it can not be written: lines that are lost.
    unwritten: Option<u64>,
    options: Options,
}

impl Writer {
    fn run(mut self, log: &Log) {
        let (mut events, mut line) = (Vec::new(), String::new());
        loop {
            let batch = log.gather(&mut events);
            if batch.reopen {
                self.reopen();
            }
            for said in events.drain(..) {
                self.put(&said, &mut line);
            }
            if batch.lost > 0 {
                self.put(&lost(batch.lost, "who reads it did not keep up"), &mut line);
            }
            self.flush(&mut line);
            log.written();
        }
    }

    fn reopen(&mut self) {
        match Sink::open(&self.options.target) {
            Ok(opened) => self.sink = opened,
            Err(error) => {
                complain(&format!("can not be opened again: {}; the old file is written", told(&error)))
            }
        }
    }

    fn put(&mut self, said: &Said, line: &mut String) {
        line.clear();
        self.render(said, line);
        let (stamp, options) = (self.second.1.len(), &self.options);
        self.sink.put(said.event.severity(), line, |line| {
            match (options.format, line.split_at_checked(stamp)) {
                (Format::Text, Some((stamp, rest))) => format!("{stamp} {}{rest}", options.host),
                _ => line.to_owned(),
            }
        });
    }

    /// Writes what was put. Trouble is told once on standard error, where somebody may look; and in the log when it is over.
    fn flush(&mut self, line: &mut String) {
        match (self.sink.flush(), self.unwritten) {
            (Ok(()), None) => {}
            (Ok(()), Some(lines)) => {
                self.put(&lost(lines, "it could not be written"), line);
                self.unwritten = self.sink.flush().is_err().then_some(lines);
            }
            (Err(unwritten), before) => {
                if before.is_none() {
                    let why = told(&unwritten.why);
                    complain(&format!("can not be written: {why}; its lines are lost until it can"));
                }
                self.unwritten = Some(before.unwrap_or(0) + unwritten.lines);
            }
        }
    }

    fn render(&mut self, said: &Said, line: &mut String) {
        let Said { at, program, event } = said;
        let (at, program) = (*at, program.as_deref().unwrap_or(event.program()));
        let (name, process) = (&self.options.name, self.process);
        match self.options.format {
            Format::Json => {
                let object = json!({
                    "time": stamp(at, &self.zone, "%Y-%m-%dT%H:%M:%S%.6f%:z"),
                    "severity": severity_word(event.severity()),
                    "program": format!("{name}/{program}"),
                    "pid": process,
                    "event": event.name(),
                    "queue_id": event.queue_id().map(|id| id.to_string()).unwrap_or_default(),
                    "text": event.text(),
                });
                _ = write!(line, "{object}");
            }
            Format::Text => {
                let second = at.0.div_euclid(1_000_000);
                if self.second.0 != second {
                    self.second = (second, stamp(at, &self.zone, "%b %e %H:%M:%S"));
                }
                line.push_str(&self.second.1);
                // A datagram to the system's logger has no host name; it adds its own.
                if !matches!(self.options.target, Target::Syslog(_)) {
                    line.push(' ');
                    line.push_str(&self.options.host);
                }
                _ = write!(line, " {name}/{program}[{process}]: ");
                event.write_text(line);
            }
        }
    }
}

/// What the log says of lines that it does not have.
fn lost(lines: u64, why: &str) -> Said {
    let text = format!("{lines} lines of the log are lost: {why}");
    Said::now(Event::Warning { program: "master", id: None, text })
}

/// Where the log can not be told of.
fn complain(what: &str) {
    _ = writeln!(io::stderr(), "postrider: error: the log {what}");
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn stamp(at: Timestamp, zone: &jiff::tz::TimeZone, format: &str) -> String {
    jiff::Timestamp::from_microsecond(at.0)
        .map_or_else(|_| String::from("-"), |at| at.to_zoned(zone.clone()).strftime(format).to_string())
}

/// Takes what libraries say.
struct Listener;

#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            _ = write!(self.0, "{value:?}");
        }
    }
}

impl<S: Subscriber> Layer<S> for Listener {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        let (program, text) = ("master", printable(&words.0));
        match *event.metadata().level() {
            Level::ERROR => log(Event::Trouble { program, id: None, text }),
            _ => log(Event::Warning { program, id: None, text }),
        }
    }
}
