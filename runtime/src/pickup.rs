//! Takes mail out of the maildrop: pickup(8).
//!
//! A file is removed when its message is durable in the log; a crash between the two takes it in twice, and loses nothing.

use crate::env::Environment;
use crate::inbound::Shared;
use crate::limits::MAILDROP_LOOK;
use crate::maildrop::{self, Dropped};
use crate::observe;
use crate::site::Site;
use crate::submit::{FromRead, submit};
use postrider_core::mail::{BodyType, Envelope, Notify, Recipient, Ret, Sender};
use postrider_core::submission::{Failure, Maker, Start};
use postrider_core::wire::Mailbox;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::mpsc;

/// Looks into the maildrop when woken, and from time to time.
pub async fn run<E: Environment>(
    shared: Arc<Shared<E>>,
    site: Arc<RwLock<Arc<Site<E>>>>,
    spool: PathBuf,
    mut woken: mpsc::Receiver<()>,
) {
    loop {
        let now = Arc::clone(&site.read().unwrap_or_else(PoisonError::into_inner));
        match maildrop::list(&spool) {
            Ok(waiting) => {
                for path in waiting {
                    take(&shared, &now, &path).await;
                }
            }
            Err(error) => observe::warn(format!("maildrop: {error}")),
        }
        if let Ok(None) = tokio::time::timeout(MAILDROP_LOOK, woken.recv()).await {
            return;
        }
    }
}

async fn take<E: Environment>(shared: &Shared<E>, site: &Site<E>, path: &Path) {
    let name = path.display();
    let dropped = match maildrop::open(path) {
        Ok(dropped) => dropped,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            observe::warn(format!("{name}: {error}; set aside, look at it and remove it"));
            let mut aside = path.as_os_str().to_owned();
            aside.push(".bad");
            let aside = PathBuf::from(aside.to_string_lossy().replace("new.", "bad."));
            _ = std::fs::rename(path, aside);
            return;
        }
    };
    let uid = dropped.uid;
    let envelope = envelope(shared, &dropped);
    let start = Start { maker: Maker::Pickup { uid }, envelope, prepend: Vec::new(), changes: Vec::new() };
    let Dropped { content, .. } = dropped;
    match submit(shared, site, start, &mut FromRead(content)).await {
        Ok(_) => remove(path),
        Err(Failure::Refused(reply)) if reply.code >= 500 => {
            observe::warn(format!("{name}: refused: {}; removed", reply.lines.join(" ")));
            remove(path);
        }
        Err(why) => observe::warn(format!("{name}: not taken now, tried again later: {why:?}")),
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        observe::warn(format!("{}: {error}; it is taken in once more", path.display()));
    }
}

fn envelope<E: Environment>(shared: &Shared<E>, dropped: &Dropped) -> Envelope {
    let header = &dropped.header;
    let sender = match header.sender.as_deref() {
        Some("" | "<>") => Sender::Null,
        Some(text) => mailbox(text).map_or(Sender::Null, Sender::Mailbox),
        None => Sender::Mailbox(Mailbox::new(&login_name(dropped.uid), "")),
    };
    let notify = header.notify.as_deref().map_or_else(Notify::default, notify_of);
    let recipients = header.recipients.iter().filter_map(|text| mailbox(text));
    Envelope {
        sender,
        recipients: recipients.map(|address| Recipient { notify, ..Recipient::new(address) }).collect(),
        arrived: shared.env.now().wall,
        envid: header.envid.clone(),
        ret: match header.ret.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("full") => Some(Ret::Full),
            Some("hdrs") => Some(Ret::Headers),
            _ => None,
        },
        body: if header.eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit },
        ..Envelope::default()
    }
}

fn mailbox(text: &str) -> Option<Mailbox> {
    let text = text.trim();
    let bare = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    Mailbox::parse(bare).ok()
}

/// `-N never`, `-N delay,failure,success`.
fn notify_of(text: &str) -> Notify {
    let has = |word: &str| text.split(',').any(|item| item.trim().eq_ignore_ascii_case(word));
    if has("never") {
        return Notify::NEVER;
    }
    Notify { success: has("success"), failure: has("failure"), delay: has("delay"), explicit: true }
}

fn login_name(uid: u32) -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| "unknown".to_owned(), |user| user.name)
}
