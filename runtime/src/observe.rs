//! Events become log lines.
//!
//! One line an event, as text in the form of syslog, or as JSON. A thread of its own makes the lines and writes them, all that came
//! within a few milliseconds in one write: nobody who serves mail composes a log line, or wakes anybody for it. Libraries speak through
//! `tracing`, and in simulation so do we.

use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, wait_while_for};
use postrider_core::event::{Event, Severity, printable};
use postrider_core::time::Timestamp;
use serde_json::json;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;

/// Events that wait for the writer; beyond it who has another waits too (a log that is lost helps nobody at 3 a.m.).
const EVENTS_MAX: usize = 16_384;
/// From the first event of a batch to its write. A wake-up for each line would cost more than all else that is done for it.
const GATHER: Duration = Duration::from_millis(5);

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

/// An event, when it was said, and by whom, where that is not the event's own program.
#[derive(Debug)]
pub(crate) struct Said {
    at: Timestamp,
    program: Option<Arc<str>>,
    pub(crate) event: Event,
}

/// What waits for the writer.
#[derive(Debug, Default)]
struct Waiting {
    events: Vec<Said>,
    reopen: bool,
    /// Batches begun, and those of them that are written: who flushes waits for the second to reach the first.
    begun: u64,
    written: u64,
    hurry: bool,
}

#[derive(Debug, Default)]
struct Desk {
    waiting: Mutex<Waiting>,
    /// Tells the writer that something waits.
    work: Condvar,
    /// Tells others that the writer has taken what waited, or has written it.
    room: Condvar,
}

/// Handle to the writer.
#[derive(Debug, Clone, Default)]
pub struct Log {
    desk: Arc<Desk>,
}

impl Log {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.desk.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put_of(&self, program: Option<Arc<str>>, event: Event) {
        let at = crate::env::wall_clock();
        let mut waiting = self.waiting();
        while waiting.events.len() >= EVENTS_MAX {
            waiting = self.desk.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.events.push(Said { at, program, event });
        let first = waiting.events.len() == 1;
        drop(waiting);
        if first {
            self.desk.work.notify_one();
        }
    }

    /// Opens the file again, after it was rotated.
    pub fn reopen(&self) {
        self.waiting().reopen = true;
        self.desk.work.notify_one();
    }

    /// Waits until all lines so far are written.
    pub fn flush(&self) {
        let mut waiting = self.waiting();
        // What waits is the batch after those that were begun.
        let batch = waiting.begun + u64::from(!waiting.events.is_empty());
        while waiting.written < batch {
            waiting.hurry = true;
            self.desk.work.notify_one();
            waiting = self.desk.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next batch, a little after its first event; and whether the file is to be opened again first.
    pub(crate) fn gather(&self, events: &mut Vec<Said>) -> bool {
        let mut waiting = self.waiting();
        while waiting.events.is_empty() && !waiting.reopen {
            waiting = self.desk.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let idle = |waiting: &mut Waiting| !waiting.hurry && waiting.events.len() < EVENTS_MAX;
        let mut waiting = wait_while_for(&self.desk.work, &self.desk.waiting, waiting, GATHER, idle);
        // The two take turns, so neither grows anew.
        std::mem::swap(events, &mut waiting.events);
        waiting.begun += 1;
        waiting.hurry = false;
        let reopen = std::mem::take(&mut waiting.reopen);
        drop(waiting);
        self.desk.room.notify_all();
        reopen
    }

    pub(crate) fn written(&self) {
        let mut waiting = self.waiting();
        waiting.written = waiting.begun;
        drop(waiting);
        self.desk.room.notify_all();
    }
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
        options,
    };
    let desk = log.clone();
    std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&desk))?;
    tracing_subscriber::registry().with(Listener).try_init().map_err(io::Error::other)?;
    _ = LOG.set(log.clone());
    Ok(log)
}

enum Sink {
    Stream(Box<dyn Write + Send>, Vec<u8>),
    Syslog(Option<UnixDatagram>, u8),
}

impl Sink {
    fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::Stdout => Ok(Self::Stream(Box::new(io::stdout()), Vec::new())),
            Target::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                Ok(Self::Stream(Box::new(file), Vec::new()))
            }
            Target::Syslog(facility) => Ok(Self::Syslog(connect_syslog(), *facility)),
        }
    }

    /// `elsewhere` makes of a line for the system's logger one for people.
    fn put(&mut self, severity: Severity, line: &str, elsewhere: impl Fn(&str) -> String) {
        match self {
            Self::Stream(_, buffer) => {
                buffer.extend_from_slice(line.as_bytes());
                buffer.push(b'\n');
            }
            Self::Syslog(socket, facility) => {
                let level = match severity {
                    Severity::Info => 6,
                    Severity::Warning => 4,
                    Severity::Error => 3,
                };
                let packet = format!("<{}>{line}", u32::from(*facility) * 8 + level);
                if socket.as_ref().is_none_or(|socket| socket.send(packet.as_bytes()).is_err()) {
                    // The logger was restarted: one more try on a fresh socket.
                    *socket = connect_syslog();
                    let sent = socket.as_ref().is_some_and(|socket| socket.send(packet.as_bytes()).is_ok());
                    // Nobody takes it: better on standard error than nowhere.
                    if !sent {
                        _ = writeln!(io::stderr(), "{}", elsewhere(line));
                    }
                }
            }
        }
    }

    fn flush(&mut self) {
        if let Self::Stream(stream, buffer) = self {
            _ = stream.write_all(buffer).and_then(|()| stream.flush());
            buffer.clear();
        }
    }
}

fn connect_syslog() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect("/dev/log").ok()?;
    Some(socket)
}

/// The thread of the log.
struct Writer {
    sink: Sink,
    zone: jiff::tz::TimeZone,
    process: u32,
    /// The last second that was written, and how.
    second: (i64, String),
    options: Options,
}

impl Writer {
    fn run(mut self, log: &Log) {
        let (mut events, mut line) = (Vec::new(), String::new());
        loop {
            if log.gather(&mut events)
                && let Ok(opened) = Sink::open(&self.options.target)
            {
                self.sink = opened;
            }
            for said in events.drain(..) {
                line.clear();
                self.render(&said, &mut line);
                let event = &said.event;
                let (stamp, options) = (self.second.1.len(), &self.options);
                self.sink.put(event.severity(), &line, |line| {
                    match (options.format, line.split_at_checked(stamp)) {
                        (Format::Text, Some((stamp, rest))) => format!("{stamp} {}{rest}", options.host),
                        _ => line.to_owned(),
                    }
                });
            }
            self.sink.flush();
            log.written();
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
