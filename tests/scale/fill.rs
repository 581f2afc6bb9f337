//! A queue of deferred messages, written by the log that ships, as fast as the disk takes it.
//!
//! Every message is committed and then deferred by an attempt of its own, as the daemon would have it.

use postrider_core::machine::Machine;
use postrider_core::mail::{
    Change, ContentPlace, Diagnosis, Envelope, Message, Origin, Outcome, Pieces, QueueId, Recipient, Sender,
    Settlement,
};
use postrider_core::queue::{DiskError, Done, File, Input, Log, Op, OpId, Output, Params, Ticket};
use postrider_core::time::{Duration, Now, Timestamp};
use postrider_core::wire::{EnhancedStatus, Mailbox};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Messages that are committed in one batch.
const BATCH: u64 = 256;
/// Files kept open: a batch goes to the last one or two.
const OPEN_MAX: usize = 8;

/// The spool's files, without syncs: the queue that is made is measured, not the making.
struct Files {
    directory: PathBuf,
    open: BTreeMap<File, Arc<fs::File>>,
}

impl Files {
    fn path(&self, file: File) -> PathBuf {
        self.directory.join(file.path())
    }

    fn handle(&mut self, file: File) -> std::io::Result<Arc<fs::File>> {
        if let Some(handle) = self.open.get(&file) {
            return Ok(Arc::clone(handle));
        }
        let handle = Arc::new(fs::OpenOptions::new().read(true).write(true).open(self.path(file))?);
        if self.open.len() >= OPEN_MAX {
            self.open.pop_first();
        }
        self.open.insert(file, Arc::clone(&handle));
        Ok(handle)
    }

    fn carry_out(&mut self, op: Op) -> std::io::Result<Done> {
        match op {
            Op::List => return Ok(Done::Files(Vec::new())),
            Op::Create { file, size } => fs::File::create_new(self.path(file))?.set_len(size)?,
            Op::Write { file, offset, octets } => {
                self.handle(file)?.write_all_at(&octets.concat(), offset)?
            }
            Op::Unlink(file) => {
                self.open.remove(&file);
                fs::remove_file(self.path(file))?;
            }
            Op::Read { file, offset, length } => {
                let mut octets = vec![0; usize::try_from(length).expect("a segment fits in memory")];
                let count = self.handle(file)?.read_at(&mut octets, offset)?;
                octets.truncate(count);
                return Ok(Done::Octets(octets));
            }
            Op::Sync(_) | Op::SyncDirectory => {}
        }
        Ok(Done::Nothing)
    }
}

/// The log and its files.
struct Spool {
    log: Log,
    files: Files,
    now: Now,
    ops: VecDeque<(OpId, Op)>,
    waiting: u64,
    next_ticket: u64,
}

impl Spool {
    fn tell(&mut self, input: Input) {
        self.log.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.log.poll_output() {
            match output {
                Output::Do(id, op) => self.ops.push_back((id, op)),
                Output::Appended { result, .. } => {
                    result.expect("the disk has room for the queue");
                    self.waiting -= 1;
                }
                _ => {}
            }
        }
    }

    /// Carries out operations until nothing is left to do, or to be answered.
    fn settle(&mut self) {
        loop {
            if let Some((op, what)) = self.ops.pop_front() {
                let result = self.files.carry_out(what).map_err(|error| DiskError::Failed(error.to_string()));
                self.tell(Input::Did { op, result });
            } else if self.waiting > 0 {
                let at = self.log.next_timeout().expect("an append is answered, or waits for a timer");
                self.now = self.now.after(at.since(self.now.mono));
                self.log.handle_timeout(self.now);
                self.drain();
            } else {
                return;
            }
        }
    }

    fn append(&mut self, changes: Vec<Change>, content: Vec<Vec<u8>>) {
        self.next_ticket += 1;
        self.waiting += 1;
        self.tell(Input::Append { ticket: Ticket(self.next_ticket), changes, content });
    }
}

/// A message to one of so many destinations.
fn message(id: QueueId, number: u64, destinations: u64, octets: u64, now: Timestamp) -> Message {
    let recipient = Mailbox::new(&format!("user{number}"), &format!("d{}.test", number % destinations));
    let mut pieces = Pieces::default();
    pieces.literal(
        format!("Received: from client.test (client.test [192.0.2.7])\r\n\tby mail.here.test with ESMTP id {id}\r\n\tfor <{}>; Sat, 21 Nov 2026 07:00:00 +0000 (UTC)\r\n", recipient.external())
            .as_bytes(),
    );
    pieces.stored(0, octets);
    let envelope = Envelope {
        sender: Sender::Mailbox(Mailbox::new("sender", "client.test")),
        recipients: vec![Recipient::new(recipient)],
        arrived: now,
        ..Envelope::default()
    };
    Message {
        id,
        envelope,
        pieces,
        place: ContentPlace::Inline,
        stored: octets,
        origin: Origin::Submitted,
        message_id: format!("<{number}@client.test>"),
        hold: false,
        checksum: None,
        unknown: Vec::new(),
    }
}

fn deferral(id: QueueId, number: u64, destinations: u64, now: Timestamp) -> Change {
    let host = format!("mx.d{}.test[192.0.2.9]:25", number % destinations);
    let diagnosis = Diagnosis {
        relay: host.clone(),
        ..Diagnosis::ours(EnhancedStatus::new(4, 4, 1), format!("connect to {host}: Connection timed out"))
    };
    // Spread over the longest pause, so that none is due while the start is measured.
    let retry_at = now.after(Duration::from_secs(3_000 + number % 1_000));
    Change::Settle(Settlement {
        id,
        at: now,
        outcomes: vec![(0, Outcome::Deferred(diagnosis))],
        retry_at: Some(retry_at),
    })
}

/// Writes a queue into `spool` (a directory that the daemon has not used yet).
pub(crate) fn fill(spool: &Path, messages: u64, octets: u64, destinations: u64) {
    for name in ["log", "contents", "corrupt"] {
        fs::create_dir_all(spool.join(name)).expect("a scratch folder");
    }
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let wall = Timestamp::from_seconds(i64::try_from(wall.as_secs()).expect("a time"));
    let files = Files { directory: spool.to_owned(), open: BTreeMap::new() };
    let now = Now { wall, ..Now::default() };
    let log = Log::new(Params::default(), 0x5ca1e);
    let mut spool = Spool { log, files, now, ops: VecDeque::new(), waiting: 0, next_ticket: 0 };
    spool.tell(Input::Open);
    spool.settle();
    let body: Vec<u8> =
        b"Subject: a message of some length\r\n\r\n".iter().copied().cycle().take(octets as usize).collect();
    // Ids end an hour ago: what the daemon issues comes behind them.
    let first = (wall.0 as u64).saturating_sub(3_600_000_000 + messages);
    for start in (0..messages).step_by(BATCH as usize) {
        let numbers = start..(start + BATCH).min(messages);
        for number in numbers.clone() {
            let message = message(QueueId::new(first + number, 0), number, destinations, octets, wall);
            spool.append(vec![Change::Commit(Box::new(message))], vec![body.clone()]);
        }
        spool.settle();
        for number in numbers {
            spool.append(
                vec![deferral(QueueId::new(first + number, 0), number, destinations, wall)],
                Vec::new(),
            );
        }
        spool.settle();
    }
}
