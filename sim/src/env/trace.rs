//! A fingerprint of a run: every event of the daemon's log, and of the world below it, goes into one hash.
//!
//! Two runs of one seed must have the same. The daemon's lines are kept too, and printed when a test fails. A task that panics
//! fails the test: tokio alone would only end the task. So does a rule of the oracle that was broken ([`super::witness`]).

use super::witness;
use crate::oracle::Violation;
use std::cell::Cell;
use std::fmt::{Debug, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Counts panics by thread; a world lives on one.
static HOOK: Once = Once::new();
thread_local!(static PANICS: Cell<u64> = const { Cell::new(0) });

fn count_panics() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
    PANICS.set(0);
}

#[derive(Debug)]
struct Kept {
    hash: u64,
    events: u64,
    lines: Vec<String>,
    /// The events of now have no order: their hashes are added up.
    unordered: Option<u64>,
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
        count_panics();
        witness::begin();
        let kept = Kept { hash: FNV_START, events: 0, lines: Vec::new(), unordered: None };
        let trace = Trace { kept: Arc::new(Mutex::new(kept)) };
        let listener = Listener { trace: trace.clone(), spans: AtomicU64::new(1) };
        Self { trace, _guard: tracing::subscriber::set_default(listener) }
    }

    /// Does something of which all events count and their order does not: the order in which tokio drops the tasks of a dead host is
    /// not the same in every run.
    pub fn aside<T>(&self, what: impl FnOnce() -> T) -> T {
        let kept = || self.trace.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept().unordered = Some(0);
        let result = what();
        let mut kept = kept();
        if let Some(sum) = kept.unordered.take() {
            kept.hash = (kept.hash ^ sum).wrapping_mul(FNV_PRIME);
        }
        result
    }

    /// One task has panicked because the test wants it so.
    ///
    /// # Panics
    /// When none has.
    pub fn one_panic_was_meant(&self) {
        PANICS.set(PANICS.get().checked_sub(1).expect("a task panicked on purpose"));
    }

    /// Has the oracle judge now, in place of at the end: for a test that breaks a rule on purpose.
    #[must_use]
    pub fn judge(&self) -> Vec<Violation> {
        witness::judge()
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
        } else {
            assert_eq!(PANICS.get(), 0, "a task panicked; standard error says where");
            let broken = witness::judge();
            let log = || self.trace.lines().join("\n");
            assert!(broken.is_empty(), "the oracle: {broken:#?}\n{}", log());
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
struct Words {
    text: String,
    event: String,
    id: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        _ = write!(self.text, " {}={value:?}", field.name());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "event" => value.clone_into(&mut self.event),
            "id" => value.clone_into(&mut self.id),
            _ => {}
        }
        self.record_debug(field, &value);
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
        let hash_from = |start: u64| {
            words.text.bytes().fold(start, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(FNV_PRIME))
        };
        match kept.unordered {
            Some(sum) => kept.unordered = Some(sum.wrapping_add(hash_from(FNV_START))),
            None => kept.hash = hash_from(kept.hash),
        }
        kept.events += 1;
        if event.metadata().target() == "postrider" {
            witness::logged(&words.event, &words.id, &words.text);
            kept.lines.push(words.text);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
