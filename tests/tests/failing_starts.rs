//! Calls of a start fail, each in its turn: of a spool that is to be recovered, and then compacted. The daemon serves, or ends and says why; and when
//! the fault is gone, everything that was accepted is there.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use postrider_tests::faults::{Action, Kind};
use postrider_tests::mortal::Mortal;
use postrider_tests::wait_for;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// More calls of one kind than a start and a compaction need.
const CALLS_MAX: u64 = 400;
/// When for so long no call of a kind has come, and a segment was given up, nothing more is tidied up. A rest of the compaction is longer, but then
/// nothing was given up.
const QUIET: Duration = Duration::from_millis(250);
/// When nothing at all has come for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Larger than those that the starts make, so that they have something to compact.
const SEGMENT: u64 = 262_144;
const STARTS_MAKE: u64 = 65_536;

/// A spool of which much has died, and nothing has been compacted.
struct Scene {
    mortal: Mortal,
    accepted: BTreeMap<String, String>,
    oldest: u64,
}

/// How a round went.
struct Round {
    fired: bool,
    started: bool,
}

impl Scene {
    fn new(name: &str) -> Self {
        let mut mortal = Mortal::new(name);
        mortal.cut(SEGMENT);
        mortal.daemon.run();
        let mut accepted = BTreeMap::new();
        wait_for("some segments to be used up", || {
            mortal.load_if_drained(&mut accepted, 60);
            let segments = std::fs::read_dir(mortal.log()).expect("the spool").count();
            (segments > 4).then_some(())
        });
        wait_for("the rest to leave", || mortal.has_drained(&accepted).then_some(()));
        let oldest = mortal.oldest_segment();
        assert_eq!(oldest, 1, "nothing was compacted");
        mortal.daemon.kill();
        mortal.cut(STARTS_MAKE);
        mortal.copy_spool("spool/postrider", "kept");
        Self { mortal, accepted, oldest }
    }

    fn has_compacted(&self) -> bool {
        self.mortal.oldest_segment() > self.oldest
    }

    fn reloads(&self) -> usize {
        self.mortal.daemon.log().matches("configuration reloaded").count()
    }

    /// Whether the action was met before all is quiet.
    fn fires(&self, kind: Kind) -> bool {
        let faults = &self.mortal.faults;
        let (mut count, mut since) = (faults.count(kind), Instant::now());
        while faults.fired(kind) == 0 && !(since.elapsed() > QUIET && self.has_compacted()) {
            assert!(since.elapsed() < PATIENCE, "{kind:?}: nothing fires, and nothing is compacted");
            std::thread::sleep(Duration::from_millis(5));
            if faults.count(kind) != count {
                (count, since) = (faults.count(kind), Instant::now());
            }
        }
        faults.fired(kind) > 0
    }

    /// A start on the spool as it was kept, of which this call meets the action.
    fn round(&mut self, kind: Kind, at: u64, action: Action) -> Round {
        let when = format!("{kind:?} at {at}, {action:?}");
        self.mortal.daemon.kill();
        self.mortal.copy_spool("kept", "spool/postrider");
        self.mortal.faults.arm(kind, at, 1, action);
        let reloads = self.reloads();
        let started = self.mortal.daemon.try_run();
        let fired = match started {
            Ok(()) => self.fires(kind),
            Err(_) => self.mortal.faults.fired(kind) > 0,
        };
        self.mortal.faults.disarm(kind);
        assert!(fired || started.is_ok(), "{when}: {started:?}, {}", self.mortal.daemon.stderr());
        match (action, started) {
            (Action::Fail(errno), Err(status)) => {
                let (code, said) = (status.code(), self.mortal.daemon.stderr());
                assert!(matches!(code, Some(64..=78)), "{when}: {status:?}");
                let words = std::io::Error::from_raw_os_error(errno as i32).to_string();
                let words = words.split(" (os error").next().unwrap_or_default();
                assert!(said.contains(words), "{when}: it does not say why: {said}");
                self.mortal.daemon.run();
            }
            (Action::Signal(Signal::SIGTERM), Ok(())) if fired => {
                assert_eq!(self.mortal.daemon.wait(), Some(0), "{when}: it ends in order");
                self.mortal.daemon.run();
            }
            (Action::Signal(Signal::SIGHUP), Ok(())) if fired => {
                wait_for(&format!("{when}: the reload"), || (self.reloads() > reloads).then_some(()));
            }
            // Before it listens for signals one does what it does to every process.
            (Action::Signal(_), Err(_)) => self.mortal.daemon.run(),
            _ => {}
        }
        wait_for(&format!("{when}: a segment to be given up"), || self.has_compacted().then_some(()));
        self.mortal.compare(&self.accepted, &when);
        assert_eq!(self.mortal.corrupt(), 0, "{when}: what could not be read for a moment is not damaged");
        Round { fired, started: started.is_ok() }
    }

    /// Each call of a kind in its turn, or one in so many.
    fn sweep(&mut self, kind: Kind, action: Action, step: usize, least: usize) {
        // A start of which no call fails; how mail is moved differs a little each time.
        assert!(!self.round(kind, u64::MAX, action).fired);
        let least = least.max(self.mortal.faults.count(kind) as usize / step / 2);
        let (mut served, mut ended) = (0, 0);
        for at in (1..CALLS_MAX).step_by(step) {
            let round = self.round(kind, at, action);
            if !round.fired {
                println!("{kind:?}, {action:?}: served through {served}, and ended at {ended}");
                assert!(served + ended >= least, "{kind:?}, {action:?}: {served} and {ended}");
                return;
            }
            *if round.started { &mut served } else { &mut ended } += 1;
        }
        panic!("{kind:?}: more than {CALLS_MAX} calls of a start");
    }

    fn end(mut self) {
        self.accepted.append(&mut self.mortal.load(1, 3));
        self.mortal.let_all_go(&self.accepted);
    }
}

#[test]
fn each_call_that_writes_fails_in_its_turn_while_a_spool_is_recovered_and_compacted() {
    let mut scene = Scene::new("failing-writes");
    for errno in [Errno::EIO, Errno::ENOSPC] {
        for (kind, least) in [(Kind::Sync, 5), (Kind::Write, 5), (Kind::Allocate, 1), (Kind::Unlink, 1)] {
            scene.sweep(kind, Action::Fail(errno), 1, least);
        }
    }
    scene.end();
}

#[test]
fn each_call_that_opens_or_reads_fails_in_its_turn_while_a_spool_is_recovered_and_compacted() {
    let mut scene = Scene::new("failing-reads");
    for (kind, errno) in [
        (Kind::Open, Errno::EIO),
        (Kind::Open, Errno::ENOSPC),
        (Kind::Open, Errno::EMFILE),
        (Kind::Read, Errno::EIO),
    ] {
        scene.sweep(kind, Action::Fail(errno), 1, 5);
    }
    scene.end();
}

#[test]
fn a_hangup_or_an_end_while_mail_is_moved_is_obeyed_and_loses_nothing() {
    let mut scene = Scene::new("signals-compaction");
    scene.mortal.faults.below(&scene.mortal.log());
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        for (kind, least) in [(Kind::Write, 2), (Kind::Read, 3), (Kind::Unlink, 1)] {
            scene.sweep(kind, Action::Signal(signal), 3, least);
        }
    }
    scene.end();
}
