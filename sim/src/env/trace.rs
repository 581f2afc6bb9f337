//! A fingerprint of a run: every event of the daemon's log, and of the world below it, goes into one hash.
//!
//! Two runs of one seed must have the same. The daemon's lines are kept too, and printed when a test fails.

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

#[derive(Debug)]
struct Kept {
    hash: u64,
    events: u64,
    lines: Vec<String>,
}

/// What a run left behind.
#[derive(Debug, Clone)]
pub struct Trace {
    kept: Arc<Mutex<Kept>>,
}

struct Listener {
    trace: Trace,
    spans: AtomicU64,
}

/// While it lives, this thread's events are traced; its end while a test fails prints the log.
pub struct Tracing {
    trace: Trace,
    _guard: DefaultGuard,
}

impl Tracing {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        let kept = Kept { hash: FNV_START, events: 0, lines: Vec::new() };
        let trace = Trace { kept: Arc::new(Mutex::new(kept)) };
        let listener = Listener { trace: trace.clone(), spans: AtomicU64::new(1) };
        Self { trace, _guard: tracing::subscriber::set_default(listener) }
    }

    /// What was traced so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.trace.clone()
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.trace.lines().join("\n"));
        }
    }
}

impl Trace {
    /// Hash and number of all events.
    #[must_use]
    pub fn fingerprint(&self) -> (u64, u64) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.hash, kept.events)
    }

    /// The daemon's log.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }

    /// Lines of the daemon's log that contain `text`.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }
}

#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        matches!(metadata.target(), "turmoil" | "postrider")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed).max(1))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        let mut kept = self.trace.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.hash = words.0.bytes().fold(kept.hash, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(FNV_PRIME));
        kept.events += 1;
        if event.metadata().target() == "postrider" {
            kept.lines.push(words.0);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
