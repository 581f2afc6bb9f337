//! A recording of what enters the manager and the sessions (docs/RECORDING.md): from who is recorded to who writes.
//!
//! Whoever is recorded makes frames and puts them on a [`Shelf`] with a bounded room; a thread of its own writes them
//! (`env/real/ring.rs`). Nobody who serves mail waits for it: what finds no room is lost, and the recording says how much. A session of
//! which something was lost is recorded no further; the manager is written down as a whole again.

mod shelf;

pub use shelf::{Batch, Frame, Shelf};

use crate::env::Environment;
use crate::observe;
use crate::site::Site;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use crate::trouble::told;
use postrider_core::inbound::{Effect, Inbound, Input};
use postrider_core::mail::QueueId;
use postrider_core::manager::{self, Manager, Output};
use postrider_core::params::Settings;
use postrider_core::recording::{
    Content, Kind, Minutes, Opened, STATE_MESSAGES_MAX, Said, Scribe, Setting, frame,
};
use postrider_core::session::Peer;
use postrider_core::time::Now;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a recording says of the program that made it: its version, and the commit that it was built from.
pub const BUILT: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("POSTRIDER_COMMIT"));

/// Where a recording goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// `record_directory`.
    pub directory: PathBuf,
    /// `record_file_size`.
    pub file_size: u64,
    /// `record_file_count`.
    pub file_count: u64,
    /// `record_content`.
    pub content: bool,
}

impl Ring {
    /// Of the values of main.cf; `None` where nothing is recorded.
    ///
    /// # Errors
    /// The directory is no absolute path.
    pub fn new(settings: &Settings) -> Result<Option<Self>, Vec<(String, String)>> {
        let directory = settings.text("record_directory");
        if directory.is_empty() {
            return Ok(None);
        }
        if !Path::new(directory).is_absolute() {
            let why = format!("{directory} is no absolute path");
            return Err(vec![("record_directory".to_owned(), why)]);
        }
        Ok(Some(Self {
            directory: PathBuf::from(directory),
            file_size: settings.number("record_file_size"),
            file_count: settings.number("record_file_count"),
            content: settings.flag("record_content"),
        }))
    }
}

/// One recording that is being made.
#[derive(Debug)]
pub struct Tape {
    /// Where to.
    pub ring: Ring,
    /// What waits.
    pub shelf: Shelf,
    marks: Mutex<Marks>,
    /// The manager shall write itself down.
    pub wanted: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct Marks {
    sessions: u64,
    settings: u32,
    file: u64,
    lost: u64,
}

impl Tape {
    /// Nothing is on it.
    #[must_use]
    pub fn new(ring: Ring) -> Self {
        Self { ring, shelf: Shelf::default(), marks: Mutex::default(), wanted: tokio::sync::Notify::new() }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, octets: Vec<u8>) -> bool {
        let taken = self.shelf.put(Frame::Other(octets));
        if !taken {
            self.marks().lost += 1;
        }
        taken
    }

    /// The writer has begun a file of this number.
    pub fn began(&self, file: u64) {
        self.marks().file = file;
    }

    /// A configuration comes into force. Whoever uses it has its number, so it is on the tape before anything that they do.
    pub(crate) fn set(self: &Arc<Self>, mut setting: Setting) -> Chapter {
        // Until it is on the tape: they stand there in the order of their numbers.
        let mut marks = self.marks();
        marks.settings += 1;
        setting.number = marks.settings;
        let frame = frame(Kind::Setting, &setting).unwrap_or_default();
        self.shelf.put(Frame::Setting(frame.clone()));
        Chapter { tape: Arc::clone(self), setting: setting.number, frame }
    }
}

/// One configuration on a recording. A session is recorded under the configuration that it has, whatever came into force since.
#[derive(Debug)]
pub struct Chapter {
    tape: Arc<Tape>,
    setting: u32,
    frame: Vec<u8>,
}

impl Chapter {
    fn session(&self, at: Now, service: &str, hurried: bool, peer: Peer) -> Option<SessionTape> {
        let tape = Arc::clone(&self.tape);
        if tape.shelf.is_stopped() {
            return None;
        }
        let opened = self.opened(at, service, hurried, peer);
        let number = opened.session;
        let scribe = Scribe::new(opened, tape.ring.content);
        Some(SessionTape { tape, scribe, number, content: Sum::default(), lost: false })
    }

    /// The head of a session, with a number of its own.
    pub(crate) fn opened(&self, at: Now, service: &str, hurried: bool, peer: Peer) -> Opened {
        let mut marks = self.tape.marks();
        marks.sessions += 1;
        let session = marks.sessions;
        drop(marks);
        let (service, said) = (service.to_owned(), Said::default());
        Opened { session, at, service, hurried, setting: self.setting, peer, said }
    }
}

/// What a configuration wants recorded, and where it is.
#[derive(Debug)]
pub struct Recording {
    ring: Option<Ring>,
    chapter: Option<Chapter>,
}

impl Recording {
    /// Of the values of main.cf; nothing of it is recorded yet.
    ///
    /// # Errors
    /// The directory is no absolute path.
    pub fn new(settings: &Settings) -> Result<Self, Vec<(String, String)>> {
        Ok(Self { ring: Ring::new(settings)?, chapter: None })
    }

    /// Records a session that begins, where sessions are recorded; `hurried`: with the settings of stress.
    #[must_use]
    pub fn session(&self, at: Now, service: &str, hurried: bool, peer: Peer) -> Option<SessionTape> {
        self.chapter.as_ref()?.session(at, service, hurried, peer)
    }
}

/// The recording of the moment, if there is one.
#[derive(Debug, Default)]
pub struct Recorder {
    tape: RwLock<Option<Arc<Tape>>>,
    /// Another recording has begun, or none.
    pub changed: tokio::sync::Notify,
}

impl Recorder {
    /// The recording of the moment.
    #[must_use]
    pub fn tape(&self) -> Option<Arc<Tape>> {
        self.tape
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .filter(|tape| !tape.shelf.is_stopped())
    }

    /// Says where a configuration that is about to come into force is recorded: where the one before is, or in a recording that begins now.
    pub fn prepare<E: Environment>(&self, env: &Arc<E>, site: &mut Site<E>) {
        let Some(ring) = &site.record.ring else { return };
        let same = self.tape().filter(|tape| tape.ring == *ring);
        let tape = same.or_else(|| start(env, ring));
        site.record.chapter = tape.map(|tape| tape.set(setting(env, site)));
    }

    /// A configuration is in force: a recording that is not its own ends.
    pub fn follow<E: Environment>(&self, site: &Site<E>) {
        let tape = site.record.chapter.as_ref().map(|chapter| Arc::clone(&chapter.tape));
        let mut place = self.tape.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, tape.clone());
        drop(place);
        if let Some(old) = old.filter(|old| !tape.as_ref().is_some_and(|tape| Arc::ptr_eq(tape, old))) {
            old.shelf.stop();
            if site.record.ring.is_none() {
                observe::note(format!("recording into {} has ended", old.ring.directory.display()));
            }
        }
        self.changed.notify_one();
    }

    /// A configuration did not come into force after all, and the one before stays.
    pub fn unmake<E: Environment>(&self, refused: &Site<E>, before: &Site<E>) {
        let Some(refused) = &refused.record.chapter else { return };
        match &before.record.chapter {
            // The next file of the ring begins with what is said last.
            Some(before) if Arc::ptr_eq(&before.tape, &refused.tape) => {
                before.tape.shelf.put(Frame::Setting(before.frame.clone()));
            }
            _ => refused.tape.shelf.stop(),
        }
    }

    /// Ends the recording, and waits a moment for its writer.
    pub fn finish(&self, most: Duration) {
        if let Some(tape) = self.tape.write().unwrap_or_else(PoisonError::into_inner).take() {
            tape.shelf.finish(most);
        }
    }

    /// For a person who asks how it is going; nothing where nothing is recorded.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let tape = self.tape()?;
        let marks = tape.marks();
        let (directory, content) =
            (tape.ring.directory.display(), if tape.ring.content { "with" } else { "without" });
        let lost = if marks.lost == 0 { String::new() } else { format!(", records lost: {}", marks.lost) };
        Some(format!("into {directory}, file {}, {content} contents{lost}", marks.file))
    }
}

fn start<E: Environment>(env: &Arc<E>, ring: &Ring) -> Option<Arc<Tape>> {
    let tape = Arc::new(Tape::new(ring.clone()));
    let directory = ring.directory.display();
    match env.record(Arc::clone(&tape)) {
        Ok(()) => {
            observe::note(format!("recording into {directory}"));
            Some(tape)
        }
        Err(error) => {
            observe::warn(format!("nothing is recorded: record_directory {directory}: {}", told(&error)));
            None
        }
    }
}

fn setting<E: Environment>(env: &Arc<E>, site: &Site<E>) -> Setting {
    let (main_cf, master_cf) = site.config.texts();
    Setting {
        number: 0,
        digest: Setting::digest_of(&main_cf, &master_cf),
        main_cf,
        master_cf,
        origin: site.config.origin().map(str::to_owned),
        host: site.config.host().clone(),
        doors: site.doors.iter().map(|(service, door)| (service.clone(), door.tls.is_some())).collect(),
        zone: env.zone().clone(),
    }
}

/// Size and digest of a content.
struct Sum {
    size: u64,
    sha256: ring::digest::Context,
}

impl Default for Sum {
    fn default() -> Self {
        Self { size: 0, sha256: ring::digest::Context::new(&ring::digest::SHA256) }
    }
}

/// Records one session.
pub struct SessionTape {
    tape: Arc<Tape>,
    scribe: Scribe,
    number: u64,
    content: Sum,
    /// Something found no room: the rest would explain nothing.
    lost: bool,
}

impl SessionTape {
    /// The machine is about to be told this; nothing: that time has passed.
    pub fn begin(&mut self, at: Now, input: Option<&Input<'_>>) {
        if !self.lost {
            self.scribe.begin(at, input);
        }
    }

    /// The machine put this out.
    pub fn effect(&mut self, effect: &Effect) {
        if self.lost {
            return;
        }
        self.scribe.effect(effect);
        match effect {
            Effect::Stage(octets) => {
                self.content.size += octets.len() as u64;
                self.content.sha256.update(octets);
            }
            Effect::Unstage => self.content = Sum::default(),
            Effect::Commit(message) => self.sum(message.id),
            _ => {}
        }
    }

    fn sum(&mut self, id: QueueId) {
        let Sum { size, sha256 } = std::mem::take(&mut self.content);
        let mut content = Content { session: self.number, id, size, sha256: [0; 32] };
        content.sha256.copy_from_slice(sha256.finish().as_ref());
        if let Some(octets) = frame(Kind::Content, &content) {
            self.lost |= !self.tape.put(octets);
        }
    }

    /// The machine is drained.
    pub fn end(&mut self, machine: &Inbound) {
        let Self { tape, scribe, lost, .. } = self;
        if !*lost {
            scribe.end(machine, &mut |octets| *lost |= !tape.put(octets));
        }
    }

    /// The session is over.
    pub fn close(&mut self, machine: &Inbound) {
        let Self { tape, scribe, lost, .. } = self;
        if !*lost {
            scribe.close(machine, &mut |octets| *lost |= !tape.put(octets));
        }
    }
}

/// Records the manager.
#[derive(Default)]
pub struct ManagerTape {
    tape: Option<Arc<Tape>>,
    minutes: Minutes,
    /// The recording has its state, and all facts since.
    known: bool,
}

impl ManagerTape {
    /// Another recording, or none; the manager is drained.
    pub fn follow(&mut self, recorder: &Recorder, at: Now, manager: &Manager) {
        let tape = recorder.tape();
        let same = match (&self.tape, &tape) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if !same {
            (self.tape, self.minutes, self.known) = (tape, Minutes::default(), false);
            self.state(at, manager);
        }
    }

    /// The whole manager, drained.
    pub fn state(&mut self, at: Now, manager: &Manager) {
        let Some(tape) = &self.tape else { return };
        let (frame, known) = self.minutes.state(at, manager);
        let taken = frame.is_some_and(|octets| tape.shelf.put(Frame::State(octets)));
        if taken && !known && self.known {
            observe::warn(format!(
                "the recording lacks the manager's decisions: it answers for more than {STATE_MESSAGES_MAX} messages"
            ));
        }
        self.known = taken && known;
    }

    /// Comes back when the recording wants the manager written down.
    pub async fn wanted(tape: Option<Arc<Tape>>) {
        match tape {
            Some(tape) => tape.wanted.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The recording, to wait for its wishes.
    #[must_use]
    pub fn tape(&self) -> Option<Arc<Tape>> {
        self.tape.clone()
    }

    /// The manager is about to be told this; nothing: that time has passed.
    pub fn begin(&mut self, at: Now, input: Option<&manager::Input>) {
        if self.known {
            self.minutes.begin(at, input);
        }
    }

    /// The manager put this out.
    pub fn output(&mut self, output: &Output) {
        if self.known {
            self.minutes.output(output);
        }
    }

    /// The manager is drained.
    pub fn end(&mut self) {
        if !self.known {
            return;
        }
        let Some(tape) = &self.tape else { return };
        // A fact that is missing makes the others worthless; the next state makes good for it.
        self.known = self.minutes.end().is_some_and(|octets| tape.put(octets));
        if !self.known {
            tape.wanted.notify_one();
        }
    }
}
