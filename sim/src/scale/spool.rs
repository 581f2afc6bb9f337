//! The log, its disk, and who waits for what.

use super::memory::Memory;
use super::{Event, World};
use postrider_core::machine::Machine;
use postrider_core::mail::{Change, Message, QueueId};
use postrider_core::manager::Input;
use postrider_core::queue::{self, Log, Op, Output, Ticket};
use postrider_core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

/// What a sync takes.
const SYNC: Duration = Duration::from_millis(1);

/// Who waits for an append.
struct Waiter {
    manager: Option<Ticket>,
    message: Option<Box<Message>>,
}

/// The log and its surroundings.
pub(super) struct Spool {
    pub(super) log: Log,
    pub(super) disk: Memory,
    appends: BTreeMap<Ticket, Waiter>,
    loads: BTreeMap<Ticket, QueueId>,
    /// Reports that are being committed, and what they are about.
    pub(super) reports: BTreeMap<QueueId, QueueId>,
    /// Letters by queue id.
    pub(super) numbers: BTreeMap<QueueId, u64>,
    last: u64,
    ops: VecDeque<(queue::OpId, Op)>,
}

impl Spool {
    pub(super) fn new(log: Log, disk: Memory) -> Self {
        Self {
            log,
            disk,
            appends: BTreeMap::new(),
            loads: BTreeMap::new(),
            reports: BTreeMap::new(),
            numbers: BTreeMap::new(),
            last: 0,
            ops: VecDeque::new(),
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }

    pub(super) fn append(
        &mut self,
        manager: Option<Ticket>,
        changes: Vec<Change>,
        content: Vec<Vec<u8>>,
    ) -> queue::Input {
        let ticket = self.ticket();
        let message = changes.iter().find_map(|change| match change {
            Change::Commit(message) => Some(message.clone()),
            _ => None,
        });
        self.appends.insert(ticket, Waiter { manager, message });
        queue::Input::Append { ticket, changes, content }
    }

    pub(super) fn load(&mut self, id: QueueId) -> queue::Input {
        let ticket = self.ticket();
        self.loads.insert(ticket, id);
        queue::Input::Load { ticket, id }
    }
}

impl World {
    /// Carries out what the log wants; only syncs take time.
    pub(super) fn drain_log(&mut self) {
        loop {
            while let Some(output) = self.spool.log.poll_output() {
                self.obey_log(output);
            }
            let Some((op, what)) = self.spool.ops.pop_front() else { return };
            let syncs = matches!(what, Op::Sync(_) | Op::SyncDirectory);
            let result = self.spool.disk.carry_out(what);
            if syncs {
                self.kernel.after(SYNC, Event::Disk(op, result));
            } else {
                self.spool.log.handle_input(self.kernel.clocks(0), queue::Input::Did { op, result });
            }
        }
    }

    fn obey_log(&mut self, output: Output) {
        match output {
            Output::Do(op, what) => self.spool.ops.push_back((op, what)),
            Output::Recovered(summary) => self.facts.push_back(Input::Recovered(summary)),
            Output::Ready => self.facts.push_back(Input::Ready),
            Output::Appended { ticket, result, .. } => {
                let Some(Waiter { manager, message }) = self.spool.appends.remove(&ticket) else { return };
                result.expect("the disk of this world never fails");
                self.facts.extend(manager.map(|ticket| Input::Appended(ticket, result)));
                let Some(message) = message else { return };
                let about = self.spool.reports.remove(&message.id);
                self.facts.push_back(Input::Committed(message));
                self.facts.extend(about.map(|id| Input::Reported(id, Ok(()))));
            }
            Output::Loaded { ticket, loaded } => {
                if let Some(id) = self.spool.loads.remove(&ticket) {
                    self.facts.push_back(Input::Loaded(id, loaded));
                }
            }
            Output::Numbered { .. } | Output::Event(_) => {}
        }
    }
}
