//! Frames of a recording that wait to be written: bounded, and nobody who serves mail waits for it.

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError, wait_while_for};
use std::time::Duration;

/// Octets of frames that wait for the writer.
const SHELF_MAX: usize = if cfg!(feature = "shuttle") { 16 } else { 16 * 1024 * 1024 };
/// With so many the writer does not wait for more.
const HURRY: usize = SHELF_MAX / 8;
/// From the first frame of a batch to its write: a wake-up for each frame would cost more than the frame.
const GATHER: Duration = Duration::from_millis(20);

/// A frame, as far as the writer must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The configuration: stands at the head of each file.
    Setting(Vec<u8>),
    /// The manager: a file that is full ends here, and the next begins with it.
    State(Vec<u8>),
    /// Anything else.
    Other(Vec<u8>),
}

impl Frame {
    /// Its octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        let (Self::Setting(octets) | Self::State(octets) | Self::Other(octets)) = self;
        octets
    }
}

/// What the writer takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// In order.
    pub frames: Vec<Frame>,
    /// So many did not fit behind them.
    pub lost: u64,
    /// Nothing more will come.
    pub last: bool,
}

#[derive(Debug, Default)]
struct Room {
    batch: Batch,
    octets: usize,
    stopped: bool,
    /// All that was put is on disk, or never will be.
    ended: bool,
}

/// Frames that wait to be written.
#[derive(Debug, Default)]
pub struct Shelf {
    room: Mutex<Room>,
    work: Condvar,
}

impl Shelf {
    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame there; false when there is no room for it or nobody takes frames any more.
    pub fn put(&self, frame: Frame) -> bool {
        let mut room = self.room();
        if room.stopped {
            return false;
        }
        let octets = frame.octets().len();
        // A state may be larger than all else: it is taken when nothing else waits.
        if room.octets + octets > SHELF_MAX && room.octets > 0 {
            room.batch.lost += 1;
            return false;
        }
        room.octets += octets;
        room.batch.frames.push(frame);
        let wake = room.batch.frames.len() == 1 || room.octets >= HURRY;
        drop(room);
        if wake {
            self.work.notify_all();
        }
        true
    }

    /// Takes what there is; waits until there is something, and a moment for more.
    #[must_use]
    pub fn take(&self) -> Batch {
        let mut room = self.room();
        while room.batch == Batch::default() && !room.stopped {
            room = self.work.wait(room).unwrap_or_else(PoisonError::into_inner);
        }
        let idle = |room: &mut Room| !room.stopped && room.octets < HURRY;
        let mut room = wait_while_for(&self.work, &self.room, room, GATHER, idle);
        room.octets = 0;
        let last = room.stopped;
        Batch { last, ..std::mem::take(&mut room.batch) }
    }

    /// Takes no more frames; the writer ends when it has taken those that are there.
    pub fn stop(&self) {
        self.room().stopped = true;
        self.work.notify_all();
    }

    /// The writer has ended.
    pub fn ended(&self) {
        let mut room = self.room();
        (room.stopped, room.ended) = (true, true);
        drop(room);
        self.work.notify_all();
    }

    /// True when no frames are taken any more.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.room().stopped
    }

    /// Stops, and waits a moment for the writer to end: what is recorded shall be there when the daemon is gone.
    pub fn finish(&self, most: Duration) {
        self.stop();
        let room = self.room();
        drop(self.work.wait_timeout_while(room, most, |room| !room.ended));
    }
}
