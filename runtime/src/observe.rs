//! Events become log lines, through `tracing`.
//!
//! One line an event, as text in the form of syslog, or as JSON. The lines are written by a thread of their own: nobody
//! who serves mail waits for a log.

use postrider_core::event::{Event, Severity, printable};
use postrider_core::time::Timestamp;
use serde_json::json;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;

/// Lines that wait for the writer; beyond it events wait too (a log that is lost helps nobody at 3 a.m.).
const LINES_MAX: usize = 16_384;

/// Says what happened.
pub fn log(event: &Event) {
    let text = event.text();
    let id = event.queue_id().map(|id| id.to_string()).unwrap_or_default();
    let (program, name) = (event.program(), event.name());
    match event.severity() {
        Severity::Info => tracing::info!(target: "postrider", program, event = name, id, "{text}"),
        Severity::Warning => tracing::warn!(target: "postrider", program, event = name, id, "{text}"),
        Severity::Error => tracing::error!(target: "postrider", program, event = name, id, "{text}"),
    }
}

/// Says something of our own life.
pub fn note(text: impl Into<String>) {
    log(&Event::Note { program: "master", text: text.into() });
}

/// Says what a person should act on.
pub fn warn(text: impl Into<String>) {
    log(&Event::Warning { program: "master", id: None, text: text.into() });
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

enum Order {
    Line(Line),
    Reopen,
    Flush(SyncSender<()>),
}

struct Line {
    severity: Severity,
    text: String,
}

/// Handle to the writer.
#[derive(Debug, Clone)]
pub struct Log {
    orders: SyncSender<Order>,
}

impl Log {
    /// Opens the file again, after it was rotated.
    pub fn reopen(&self) {
        _ = self.orders.send(Order::Reopen);
    }

    /// Waits until all lines so far are written.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.orders.send(Order::Flush(done)).is_ok() {
            _ = wait.recv();
        }
    }
}

/// Starts the log; lines go there from now on.
///
/// # Errors
/// The file can not be opened.
pub fn start(options: Options) -> io::Result<Log> {
    let mut sink = Sink::open(&options.target)?;
    let (orders, incoming) = sync_channel(LINES_MAX);
    let target = options.target.clone();
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_lines(&mut sink, &target, &incoming))?;
    let layer = LogLayer { orders: orders.clone(), zone: jiff::tz::TimeZone::system(), options };
    tracing_subscriber::registry().with(layer).try_init().map_err(io::Error::other)?;
    Ok(Log { orders })
}

fn write_lines(sink: &mut Sink, target: &Target, incoming: &Receiver<Order>) {
    while let Ok(order) = incoming.recv() {
        // All that waits goes out in one write.
        let mut next = Some(order);
        while let Some(order) = next {
            match order {
                Order::Line(line) => sink.put(&line),
                Order::Reopen => {
                    sink.flush();
                    if let Ok(opened) = Sink::open(target) {
                        *sink = opened;
                    }
                }
                Order::Flush(done) => {
                    sink.flush();
                    _ = done.send(());
                }
            }
            next = incoming.try_recv().ok();
        }
        sink.flush();
    }
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

    fn put(&mut self, line: &Line) {
        match self {
            Self::Stream(_, buffer) => {
                buffer.extend_from_slice(line.text.as_bytes());
                buffer.push(b'\n');
            }
            Self::Syslog(socket, facility) => {
                let level = match line.severity {
                    Severity::Info => 6,
                    Severity::Warning => 4,
                    Severity::Error => 3,
                };
                let packet = format!("<{}>{}", u32::from(*facility) * 8 + level, line.text);
                if socket.as_ref().is_none_or(|socket| socket.send(packet.as_bytes()).is_err()) {
                    // The logger was restarted: one more try on a fresh socket.
                    *socket = connect_syslog();
                    _ = socket.as_ref().map(|socket| socket.send(packet.as_bytes()));
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

struct LogLayer {
    orders: SyncSender<Order>,
    zone: jiff::tz::TimeZone,
    options: Options,
}

#[derive(Default)]
struct Fields {
    program: String,
    event: String,
    id: String,
    message: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "program" => value.clone_into(&mut self.program),
            "event" => value.clone_into(&mut self.event),
            "id" => value.clone_into(&mut self.id),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            _ = write!(self.message, "{value:?}");
        }
    }
}

impl LogLayer {
    fn render(&self, severity: Severity, fields: &Fields) -> String {
        let now = crate::env::wall_clock();
        let name = &self.options.name;
        let (program, pid) = (&fields.program, std::process::id());
        match self.options.format {
            Format::Json => json!({
                "time": stamp(now, &self.zone, "%Y-%m-%dT%H:%M:%S%.6f%:z"),
                "severity": severity_word(severity),
                "program": format!("{name}/{program}"),
                "pid": pid,
                "event": fields.event,
                "queue_id": fields.id,
                "text": fields.message,
            })
            .to_string(),
            Format::Text => {
                let time = stamp(now, &self.zone, "%b %e %H:%M:%S");
                // A datagram to the system's logger has no host name; it adds its own.
                match self.options.target {
                    Target::Syslog(_) => format!("{time} {name}/{program}[{pid}]: {}", fields.message),
                    _ => format!("{time} {} {name}/{program}[{pid}]: {}", self.options.host, fields.message),
                }
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

impl<S: Subscriber> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == "postrider" || *metadata.level() <= Level::WARN
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let severity = match *event.metadata().level() {
            Level::ERROR => Severity::Error,
            Level::WARN => Severity::Warning,
            _ => Severity::Info,
        };
        if fields.program.is_empty() {
            // A library's own warning.
            fields.program = "master".to_owned();
            fields.message = printable(&fields.message);
        }
        let text = self.render(severity, &fields);
        _ = self.orders.send(Order::Line(Line { severity, text }));
    }
}
