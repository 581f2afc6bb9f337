//! Takes mail out of the maildrop: pickup(8).
//!
//! A file is removed when its message is durable in the log; a crash between the two takes it in twice, and loses nothing. What can not be removed
//! is remembered, and not taken in again. An orderly end waits for those that are being taken in, and begins with no others.

use crate::current::Current;
use crate::env::Environment;
use crate::inbound::Shared;
use crate::limits::{MAILDROP_AT_ONCE, MAILDROP_LOOK, REPORT_CHUNK};
use crate::maildrop::{self, Dropped};
use crate::observe;
use crate::site::Site;
use crate::submit::{FromRead, Whole, submit};
use crate::trouble::{told, words};
use postrider_core::event::Event;
use postrider_core::mail::{
    BodyType, ContentPlace, Diagnosis, Envelope, Message, Notify, Origin, Outcome, Pieces, Recipient, Ret,
    Sender,
};
use postrider_core::report::{self, Unmade};
use postrider_core::submission::{Failure, Maker, Start};
use postrider_core::wire::{EnhancedStatus, Mailbox, Reply};
use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Starts a thread that looks into the maildrop: its files may be on a slow disk, and no session waits for that. It takes nothing new once `draining`
/// is true; what it gives is answered when it has ended, by itself or by a panic.
pub fn start<E: Environment>(
    shared: Arc<Shared<E>>,
    site: Arc<Current<Site<E>>>,
    spool: PathBuf,
    woken: mpsc::Receiver<()>,
    draining: watch::Receiver<bool>,
) -> io::Result<oneshot::Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (end, ended) = oneshot::channel();
    let work = move || {
        // Dropped when this is over.
        let _end: oneshot::Sender<()> = end;
        runtime.block_on(run(shared, site, spool, woken, draining));
    };
    std::thread::Builder::new().name("pickup".to_owned()).spawn(work).map(|_| ended)
}

/// Looks into the maildrop when woken, and from time to time.
async fn run<E: Environment>(
    shared: Arc<Shared<E>>,
    site: Arc<Current<Site<E>>>,
    spool: PathBuf,
    mut woken: mpsc::Receiver<()>,
    mut draining: watch::Receiver<bool>,
) {
    let done = Arc::new(Done::default());
    loop {
        let now = site.get();
        let take = |path: PathBuf| {
            let (shared, site, done) = (Arc::clone(&shared), Arc::clone(&now), Arc::clone(&done));
            async move { take(&shared, &site, &done, &path).await }
        };
        match maildrop::list(&spool) {
            Ok(waiting) => {
                // That the directory can not be listed has just been found out, or will be at the next look.
                _ = maildrop::remove_unfinished(&spool, crate::env::wall_clock());
                done.forget_all_but(&waiting);
                take_all(waiting, &draining, take).await;
            }
            Err(error) => observe::warn(format!("maildrop: {}", told(&error))),
        }
        tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            woken = tokio::time::timeout(MAILDROP_LOOK, woken.recv()) => if let Ok(None) = woken { return },
        }
    }
}

/// Files whose messages are durable, or returned to their senders, and that the disk would not remove.
#[derive(Debug, Default)]
struct Done(Mutex<BTreeSet<PathBuf>>);

impl Done {
    fn files(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_all_but(&self, waiting: &[PathBuf]) {
        let waiting: BTreeSet<&PathBuf> = waiting.iter().collect();
        self.files().retain(|path| waiting.contains(path));
    }

    /// Removes the file of a message that is done with, now or at a later look.
    fn remove(&self, path: &Path) {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                if self.files().insert(path.to_owned()) {
                    let (path, why) = (path.display(), words(&error));
                    observe::warn(format!(
                        "{path}: it was taken in, and can not be removed: {why}; tried again later, and taken in once more if the daemon ends before"
                    ));
                }
            }
            _ => _ = self.files().remove(path),
        }
    }
}

/// Some side by side, so that they share a sync; and no more once the daemon drains.
async fn take_all<T: Future<Output = ()> + Send + 'static>(
    waiting: Vec<PathBuf>,
    draining: &watch::Receiver<bool>,
    take: impl Fn(PathBuf) -> T,
) {
    for some in waiting.chunks(MAILDROP_AT_ONCE) {
        if *draining.borrow() {
            return;
        }
        let mut tasks: JoinSet<()> = some.iter().cloned().map(&take).collect();
        while let Some(ended) = tasks.join_next().await {
            // The file is still there: it is looked at again.
            if let Err(error) = ended {
                observe::log(Event::Trouble {
                    program: "pickup",
                    id: None,
                    text: format!(
                        "internal error: taking in a message of the maildrop has panicked: {error}"
                    ),
                });
            }
        }
    }
}

async fn take<E: Environment>(shared: &Shared<E>, site: &Site<E>, done: &Done, path: &Path) {
    if done.files().contains(path) {
        return done.remove(path);
    }
    // What is larger is refused for that, as soon as so much of it has been read.
    let most = match site.settings.number("message_size_limit") {
        0 => u64::MAX,
        limit => limit.saturating_add(maildrop::HEADER_MAX),
    };
    let found =
        maildrop::open(path, most).and_then(|dropped| envelope(shared, &dropped).map(|made| (dropped, made)));
    let (dropped, envelope) = match found {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) if is_passing(&error) => {
            return observe::warn(format!("{}: {}; tried again later", path.display(), told(&error)));
        }
        Err(error) => return set_aside(path, &words(&error)),
    };
    let uid = dropped.uid;
    let maker = Maker::Pickup { uid };
    let start = Start { maker, envelope: envelope.clone(), prepend: Vec::new(), changes: Vec::new() };
    match submit(shared, site, start, &mut FromRead(dropped.content)).await {
        Ok(_) => done.remove(path),
        Err(Failure::Refused(reply)) if reply.code >= 500 => {
            match give_back(shared, site, envelope, path, &reply).await {
                Ok(()) => done.remove(path),
                Err(Unmade::Refused(why)) => {
                    set_aside(path, &format!("{}; no report could be made: {why}", reply.lines.join(" ")))
                }
                Err(Unmade::Trouble(why)) => not_now(path, &why),
            }
        }
        Err(failure) => not_now(path, Unmade::from(failure).why()),
    }
}

/// Leaves it where it is: the next look finds it again.
fn not_now(path: &Path, why: &str) {
    observe::warn(format!("{}: not taken now, tried again later: {why}", path.display()));
}

/// Says nothing of the file: the system is short of something, or the disk fails.
fn is_passing(error: &io::Error) -> bool {
    use nix::libc::{EAGAIN, EIO, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    error.raw_os_error().is_some_and(|code| [EAGAIN, EIO, EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(&code))
}

fn set_aside(path: &Path, why: &str) {
    let place = match maildrop::set_aside(path) {
        Ok(place) => format!("kept as {}, look at it and remove it", place.display()),
        Err(error) => format!("it cannot be put aside: {}", told(&error)),
    };
    observe::warn(format!("{}: {why}; {place}", path.display()));
}

/// Tells the sender that the message was refused: the command that left it has ended long ago, and said that all was well.
async fn give_back<E: Environment>(
    shared: &Shared<E>,
    site: &Site<E>,
    envelope: Envelope,
    path: &Path,
    reply: &Reply,
) -> Result<(), Unmade> {
    let sender = envelope.sender.mailbox().cloned();
    let to = sender.ok_or_else(|| Unmade::Refused("the sender is null".to_owned()))?;
    let status = reply.status.unwrap_or(EnhancedStatus::new(5, 0, 0));
    let text = reply.lines.join(" ");
    let outcome = Outcome::Failed(Diagnosis::ours(status, text.clone()));
    let recipients = (0..).zip(&envelope.recipients).map(|(index, _)| (index, outcome.clone())).collect();
    let about = Message {
        id: shared.identify(),
        envelope,
        pieces: Pieces::default(),
        place: ContentPlace::Inline,
        stored: 0,
        origin: Origin::Submitted,
        message_id: String::new(),
        hold: false,
        checksum: None,
        unknown: Vec::new(),
    };
    let mut original = Vec::new();
    let unread = |error: io::Error| Unmade::Trouble(words(&error));
    let dropped = maildrop::open(path, 0).map_err(unread)?;
    dropped.content.take(REPORT_CHUNK as u64).read_to_end(&mut original).map_err(unread)?;
    // No file of ours has CRLF lines; the report must.
    let original = String::from_utf8_lossy(&original).replace("\r\n", "\n").replace('\n', "\r\n");
    let (kind, changes) = (report::Kind::Failure, Vec::new());
    let plan = report::Plan { kind, to, double_bounce: false, about: Box::new(about), recipients, changes };
    let now = shared.env.now();
    let offset = shared.env.utc_offset(now.wall);
    let content = report::compose(&plan, &site.report, now, offset, original.as_bytes());
    let start = Start {
        maker: Maker::Report { kind, about: plan.about.id, postmaster: false },
        envelope: report::envelope(&plan, &site.report, &content, now.wall),
        prepend: Vec::new(),
        changes: Vec::new(),
    };
    submit(shared, site, start, &mut Whole(Some(content))).await?;
    observe::warn(format!("{}: refused: {text}; returned to its sender", path.display()));
    Ok(())
}

fn envelope<E: Environment>(shared: &Shared<E>, dropped: &Dropped) -> io::Result<Envelope> {
    let header = &dropped.header;
    let sender = match dropped.sender().as_str() {
        "" => Sender::Null,
        name if header.sender.is_none() => Sender::Mailbox(Mailbox::new(name, "")),
        text => Sender::Mailbox(mailbox(text)?),
    };
    // sendmail(1) has looked at it; what somebody else writes here and is none is as if it were not there.
    let notify = header.notify.as_deref().and_then(Notify::parse).unwrap_or_default();
    let mut recipients = Vec::with_capacity(header.recipients.len());
    for (place, text) in header.recipients.iter().enumerate() {
        let recipient = Recipient { notify, ..Recipient::new(mailbox(text)?) };
        recipients.push(match header.particulars.get(place) {
            Some(said) => Recipient { notify: said.notify, orcpt: said.orcpt.clone(), ..recipient },
            None => recipient,
        });
    }
    if recipients.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no recipients"));
    }
    Ok(Envelope {
        sender,
        recipients,
        arrived: shared.env.now().wall,
        envid: header.envid.clone(),
        ret: match header.ret.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("full") => Some(Ret::Full),
            Some("hdrs") => Some(Ret::Headers),
            _ => None,
        },
        body: if header.eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit },
        smtputf8: header.smtputf8,
        ..Envelope::default()
    })
}

/// Nobody's address is passed over in silence: the whole message is set aside.
fn mailbox(text: &str) -> io::Result<Mailbox> {
    let text = text.trim();
    let bare = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    let wrong =
        |error| io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is no address: {error}"));
    Mailbox::parse(bare).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::time::Duration;

    #[tokio::test]
    async fn a_drain_lets_what_is_being_taken_in_end_and_begins_with_nothing_else() {
        let waiting: Vec<PathBuf> = (0..3 * MAILDROP_AT_ONCE).map(|n| PathBuf::from(n.to_string())).collect();
        let (drain, draining) = watch::channel(false);
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (drain, log) = (Arc::new(drain), Arc::clone(&taken));
        let take = move |path: PathBuf| {
            let (drain, log) = (Arc::clone(&drain), Arc::clone(&log));
            async move {
                _ = drain.send(true);
                tokio::time::sleep(Duration::from_millis(5)).await;
                log.lock().expect("no panic").push(path);
            }
        };
        take_all(waiting.clone(), &draining, &take).await;
        let mut first = taken.lock().expect("no panic").clone();
        first.sort_unstable();
        let mut expected = waiting[..MAILDROP_AT_ONCE].to_vec();
        expected.sort_unstable();
        assert_eq!(first, expected, "those that were begun, and all of each");
        take_all(waiting, &draining, &take).await;
        assert_eq!(taken.lock().expect("no panic").len(), MAILDROP_AT_ONCE, "nothing is begun any more");
    }
}
