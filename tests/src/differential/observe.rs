//! What can be seen of a server after its situations: lines, each under the situation that it belongs to.
//!
//! A line of the log belongs to a situation by its client's address or by a queue id; a message at a peer or in a mailbox by
//! the id in its first Received field; what else a peer heard by the situation that brought the peer.

use super::normal;
use super::site::Running;
use crate::server::{Server, Taken};
use crate::wait_for;
use std::collections::BTreeMap;
use std::fs;

/// Lines of a content that are compared one by one; of the rest, only their number and octets.
const CONTENT_LINES_MAX: usize = 200;

/// How long a server may take to come to rest.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(30);

/// A peer, and the situation that brought it (0: all share it).
pub struct Party {
    /// Number of the situation.
    pub situation: usize,
    /// Its name.
    pub name: String,
    /// The server.
    pub server: Server,
}

/// What was seen of one situation.
#[derive(Debug, Default)]
struct Seen {
    /// Address of its client, if it has one.
    client: Option<String>,
    /// Queue ids in the order in which they came up.
    ids: Vec<String>,
    lines: Vec<String>,
}

impl Seen {
    /// Whether a line of the log tells of the client.
    fn is_named_in(&self, text: &str) -> bool {
        self.client.as_ref().is_some_and(|client| text.contains(&format!("[{client}]")))
    }
}

/// What was seen of all.
#[derive(Debug, Default)]
pub struct Observation {
    seen: BTreeMap<usize, Seen>,
}

impl Observation {
    /// A situation begins, with a client at this address if it has one.
    pub fn begin(&mut self, number: usize, client: Option<&str>) {
        let seen = Seen { client: client.map(str::to_owned), ..Seen::default() };
        let before = self.seen.insert(number, seen);
        assert!(before.is_none(), "situation {number} stands twice");
        let alike = |seen: &&Seen| seen.client.is_some() && seen.client.as_deref() == client;
        assert!(self.seen.values().filter(alike).count() <= 1, "two situations with the client {client:?}");
    }

    /// A message of a situation is known by this id.
    pub fn own(&mut self, number: usize, id: String) {
        self.seen.entry(number).or_default().ids.push(id);
    }

    /// One line more.
    pub fn add(&mut self, number: usize, line: String) {
        self.seen.entry(number).or_default().lines.push(line);
    }

    /// All of a situation.
    #[must_use]
    pub fn lines(&self, number: usize) -> &[String] {
        self.seen.get(&number).map_or(&[], |seen| &seen.lines)
    }
}

/// Waits until every client's session is over, and every message has gone or rests.
///
/// # Panics
/// When that does not happen in time; the text says what is left.
pub fn wait_until_settled(running: &Running<'_>, observation: &Observation) {
    let start = std::time::Instant::now();
    loop {
        let left = unsettled(running, observation);
        if left.is_empty() {
            return;
        }
        assert!(start.elapsed() < SETTLE, "not at rest after {SETTLE:?}: {left:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Clients that have not left, and messages that neither have gone nor rest.
fn unsettled(running: &Running<'_>, observation: &Observation) -> Vec<String> {
    let log = running.log();
    let has_left = |seen: &&Seen| {
        seen.client.as_ref().is_none_or(|client| {
            let client = format!("[{client}]");
            log.lines().any(|line| line.contains("disconnect from ") && line.contains(&client))
        })
    };
    let clients = observation.seen.values().filter(|seen| !has_left(seen));
    let mut left: Vec<String> = clients.filter_map(|seen| seen.client.clone()).collect();
    let queue = running.queue();
    let rests = |entry: &&serde_json::Value| {
        ["deferred", "hold", "corrupt"].contains(&entry["queue_name"].as_str().unwrap_or_default())
    };
    left.extend(queue.iter().filter(|entry| !rests(entry)).map(|entry| entry["queue_id"].to_string()));
    let listed = |id: &str| queue.iter().any(|entry| entry["queue_id"] == id);
    // The queue may say that a message rests before the log says why.
    let told = |id: &str| ["to=<", "warning: "].iter().any(|what| log.contains(&format!("{id}: {what}")));
    let ends = |id: &String| log.contains(&format!("{id}: removed")) || (listed(id) && told(id));
    left.extend(queued(&log).into_iter().filter(|id| !ends(id)));
    left
}

/// Ids of messages that became active.
fn queued(log: &str) -> Vec<String> {
    let active = texts(log).filter(|text| text.contains("(queue active)"));
    active.filter_map(|text| Some(text.split(": ").nth(1)?.to_owned())).collect()
}

/// Lines of the log from the program's name on, without the number of the process.
pub(super) fn texts(log: &str) -> impl Iterator<Item = String> + '_ {
    log.lines().filter_map(|line| {
        let (_, text) = line.split_once(" postfix/")?;
        let (program, rest) = text.split_once('[')?;
        let (_, text) = rest.split_once("]: ")?;
        Some(format!("{program}: {text}"))
    })
}

/// Adds to the observation what can be seen now that all is at rest.
///
/// # Panics
/// When a peer's sessions do not end.
pub fn collect(running: &Running<'_>, peers: &[Party], observation: &mut Observation) {
    wait_for("all sessions with peers to end", || {
        peers.iter().all(|party| party.server.open() == 0).then_some(())
    });
    let log = running.log();
    let texts: Vec<String> = texts(&log).collect();
    for seen in observation.seen.values_mut() {
        find_ids(seen, &texts);
        let mut lines: Vec<String> = texts.iter().filter_map(|text| of_log(seen, text)).collect();
        lines.sort();
        seen.lines =
            std::mem::take(&mut seen.lines).iter().map(|line| normal::ids(line, &seen.ids)).collect();
        seen.lines.extend(lines);
    }
    for party in peers {
        peer(party, observation);
    }
    mailboxes(running, observation);
    local_mailboxes(running, observation);
    for entry in running.queue() {
        queue_entry(&entry, observation);
    }
}

/// The situation's own ids, and those of reports and forwards that come of them.
fn find_ids(seen: &mut Seen, texts: &[String]) {
    for text in texts {
        let Some((id, rest)) = text.split_once(": ").and_then(|(_, text)| text.split_once(": ")) else {
            continue;
        };
        let own = rest.starts_with("client=") && seen.is_named_in(rest);
        if own && !seen.ids.contains(&id.to_owned()) {
            seen.ids.push(id.to_owned());
        }
        if seen.ids.iter().any(|known| known == id) {
            let child = ["notification: ", "forwarded as ", "queued as "]
                .iter()
                .find_map(|word| rest.split_once(word));
            let child = child.map(|(_, id)| id.split([' ', ')']).next().unwrap_or_default().to_owned());
            seen.ids.extend(child.filter(|id| texts.iter().any(|text| text.contains(&format!(": {id}: ")))));
        }
    }
}

fn of_log(seen: &Seen, text: &str) -> Option<String> {
    let (_, rest) = text.split_once(": ")?;
    let id = rest.split(": ").next().unwrap_or_default();
    let own = seen.ids.iter().any(|known| known == id) || seen.is_named_in(rest);
    own.then(|| format!("log      {}", normal::line(&normal::ids(text, &seen.ids))))
}

/// The situation whose id this content's trace shows.
fn situation_of<'a>(observation: &'a mut Observation, content: &[u8]) -> Option<&'a mut Seen> {
    let head = String::from_utf8_lossy(&content[..content.len().min(4096)]).into_owned();
    observation.seen.values_mut().find(|seen| seen.ids.iter().any(|id| head.contains(id.as_str())))
}

fn peer(party: &Party, observation: &mut Observation) {
    let name = &party.name;
    if let Some(seen) = observation.seen.get_mut(&party.situation) {
        let mut heard: Vec<String> = party
            .server
            .heard()
            .iter()
            .map(|line| normal::line(&normal::ids(line, &seen.ids)))
            .map(|line| if line == "GREETING" { "[session]".to_owned() } else { line })
            .collect();
        // The order of recipients says nothing.
        heard.chunk_by_mut(|one, other| one.starts_with("RCPT") == other.starts_with("RCPT")).for_each(
            |run| {
                if run[0].starts_with("RCPT") {
                    run.sort_unstable();
                }
            },
        );
        seen.lines.extend(heard.into_iter().map(|line| format!("{name} heard {line}")));
    }
    let mut taken = party.server.taken();
    taken.iter_mut().for_each(|message| message.recipients.sort_unstable());
    taken.sort_by(|one, other| (&one.recipients, &one.mail).cmp(&(&other.recipients, &other.mail)));
    for message in taken {
        let Taken { mail, recipients, content } = message;
        let Some(seen) = situation_of(observation, &content) else { continue };
        seen.lines.push(format!("{name} took from {}", normal::line(&mail)));
        seen.lines.extend(recipients.iter().map(|recipient| format!("{name} took for {recipient}")));
        let lines = content_lines(&content, &seen.ids);
        seen.lines.extend(lines.into_iter().map(|line| format!("{name} took | {line}")));
    }
}

/// Lines of a content, with what is no text shown, and without the sentences of a report: everybody says it in their words.
fn content_lines(content: &[u8], ids: &[String]) -> Vec<String> {
    let text: String = content
        .utf8_chunks()
        .map(|chunk| format!("{}{}", chunk.valid(), chunk.invalid().escape_ascii()))
        .collect();
    let text = text.replace("\r\n", "\n");
    let all: Vec<&str> = text.split('\n').collect();
    let mut words = false;
    let mut lines = Vec::new();
    for line in all.iter().take(CONTENT_LINES_MAX) {
        words &= !line.starts_with('<') && !line.starts_with("--");
        if !words {
            lines.push(normal::visible(&normal::line(&normal::ids(line, ids))));
        }
        words |= line.starts_with("This is the mail system at host ");
    }
    if let Some(rest) = all.get(CONTENT_LINES_MAX..).filter(|rest| !rest.is_empty()) {
        let octets: usize = rest.iter().map(|line| line.len()).sum();
        lines.push(format!("… {} lines more, {octets} octets", rest.len()));
    }
    lines
}

/// Mail that local(8) has put below homes, spools of mail, and where aliases say: files of many messages, and Maildirs.
fn local_mailboxes(running: &Running<'_>, observation: &mut Observation) {
    for place in super::site::PLACES {
        let root = running.own().join(place);
        let mut found = Vec::new();
        files_below(&root, &mut found);
        found.sort_unstable();
        for path in found {
            let Ok(content) = fs::read(&path) else { continue };
            let folder = path.parent().filter(|folder| folder.ends_with("new"));
            let (mailbox, messages) = match folder.and_then(std::path::Path::parent) {
                Some(maildir) => (maildir, vec![&content[..]]),
                None if content.starts_with(b"From ") => (path.as_path(), messages_of(&content)),
                None => continue,
            };
            let name = mailbox.strip_prefix(running.own()).unwrap_or(mailbox).display().to_string();
            let rights = rights(&path);
            for message in messages {
                let Some(seen) = situation_of(observation, message) else { continue };
                seen.lines.push(format!("mailbox {name} has a message, {rights}"));
                let lines = content_lines(message, &seen.ids);
                seen.lines.extend(lines.into_iter().map(|line| format!("mailbox {name} | {line}")));
            }
        }
    }
}

fn files_below(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

/// Messages of an mbox: each begins with a line `From ` behind a blank one.
fn messages_of(content: &[u8]) -> Vec<&[u8]> {
    let starts = content.windows(7).enumerate().filter(|(_, octets)| *octets == b"\n\nFrom ");
    let mut starts: Vec<usize> = starts.map(|(at, _)| at + 2).collect();
    starts.insert(0, 0);
    let ends = starts.iter().skip(1).copied().chain([content.len()]).collect::<Vec<_>>();
    starts.into_iter().zip(ends).map(|(start, end)| &content[start..end]).collect()
}

/// Whose a file is, and what they may do.
fn rights(path: &std::path::Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let Ok(data) = fs::metadata(path) else { return "gone".to_owned() };
    let user = nix::unistd::User::from_uid(data.uid().into()).ok().flatten().map(|user| user.name);
    let group = nix::unistd::Group::from_gid(data.gid().into()).ok().flatten().map(|group| group.name);
    format!("{}:{} {:o}", user.unwrap_or_default(), group.unwrap_or_default(), data.mode() & 0o7777)
}

fn mailboxes(running: &Running<'_>, observation: &mut Observation) {
    let Ok(users) = fs::read_dir(running.mail()) else { return };
    let mut folders: Vec<_> = users.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort_unstable();
    for folder in folders {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let files = fs::read_dir(folder.join("new")).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
        let mut contents: Vec<_> =
            files.into_iter().filter_map(|entry| fs::read(entry.ok()?.path()).ok()).collect();
        contents.sort_unstable();
        for content in contents {
            let Some(seen) = situation_of(observation, &content) else { continue };
            let lines = content_lines(&content, &seen.ids);
            seen.lines.extend(lines.into_iter().map(|line| format!("mailbox {name} | {line}")));
        }
    }
}

fn queue_entry(entry: &serde_json::Value, observation: &mut Observation) {
    let id = entry["queue_id"].as_str().unwrap_or_default();
    let Some(seen) = observation.seen.values_mut().find(|seen| seen.ids.iter().any(|known| known == id))
    else {
        return;
    };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let (name, sender) = (text(&entry["queue_name"]), text(&entry["sender"]));
    let mut recipients: Vec<String> = entry["recipients"]
        .as_array()
        .map(|all| {
            all.iter()
                .map(|one| format!("{} ({})", text(&one["address"]), text(&one["delay_reason"])))
                .collect()
        })
        .unwrap_or_default();
    recipients.sort_unstable();
    for recipient in recipients {
        let line = format!("queue    {name} {id} from {sender} to {recipient}");
        seen.lines.push(normal::line(&normal::ids(&line, &seen.ids)));
    }
}
