//! The daemon is killed at each call that it makes, while it recovers and while it works; what it said 250 to is there at the next start.

use nix::sys::signal::Signal;
use postrider_tests::faults::{Action, Kind};
use postrider_tests::mortal::Mortal;
use postrider_tests::wait_for;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

/// More calls of one kind than a start needs.
const CALLS_MAX: u64 = 200;

/// Kinds that change the spool, and one that reads it.
const KINDS: [Kind; 6] = [Kind::Sync, Kind::Write, Kind::Open, Kind::Unlink, Kind::Allocate, Kind::Read];
/// A daemon that has a reload to do has done it by then.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_kill_at_each_call_of_a_recovery_loses_nothing() {
    let mut mortal = Mortal::new("kill-recovery");
    mortal.daemon.run();
    let mut accepted = mortal.load(2, 120);
    mortal.daemon.kill();
    // Something to clean up: a content that belongs to no message.
    std::fs::write(mortal.spool().join("contents/4jWkjn1H7Gz0000"), b"nobody's").expect("a spool");
    mortal.copy_spool("spool/postrider", "kept");
    let (mut killed, mut killed_again) = (0, 0);
    for kind in KINDS {
        for at in 1.. {
            assert!(at < CALLS_MAX, "{kind:?}: {at}");
            mortal.daemon.kill();
            // Each recovery leaves a segment more for the next: of the same spool, all have the same calls.
            mortal.copy_spool("kept", "spool/postrider");
            if !mortal.is_killed_at(kind, at) {
                assert!(at > 1, "{kind:?}: a start has none");
                println!("{kind:?}: killed at each of {} calls", at - 1);
                break;
            }
            killed += 1;
            // The recovery of what that left, too.
            killed_again += u64::from(mortal.is_killed_at(kind, at));
            mortal.daemon.kill();
            mortal.daemon.run();
            mortal.compare(&accepted, &format!("{kind:?} at {at}"));
        }
    }
    assert!(killed > 50 && killed_again > 25, "{killed}, {killed_again}");
    println!("{killed} kills, and {killed_again} of the start after one");
    accepted.append(&mut mortal.load(1, 3));
    mortal.compare(&accepted, "and it works on");
    mortal.let_all_go(&accepted);
    assert_eq!(mortal.corrupt(), 0, "a kill is not damage");
}

#[test]
fn a_kill_at_each_call_under_load_and_compaction_loses_nothing() {
    let mut mortal = Mortal::new("kill-compaction");
    let mut accepted = BTreeMap::new();
    let mut killed = 0;
    mortal.daemon.run();
    for kind in [Kind::Sync, Kind::Write, Kind::Unlink, Kind::Open, Kind::Allocate, Kind::Read] {
        // Each kill falls a little later; rare calls take longer to come.
        let (step, rounds) = match kind {
            Kind::Unlink | Kind::Allocate | Kind::Open => (1, 8),
            _ => (7, 8),
        };
        let oldest = mortal.oldest_segment();
        for round in 0..rounds {
            mortal.faults.arm(kind, 1 + round * step, 1, Action::Signal(Signal::SIGKILL));
            wait_for("the blow", || {
                mortal.load_if_drained(&mut accepted, 400);
                (mortal.faults.fired(kind) > 0).then_some(())
            });
            killed += 1;
            mortal.faults.disarm(kind);
            mortal.daemon.kill();
            mortal.daemon.run();
            mortal.compare(&accepted, &format!("{kind:?}, round {round}"));
        }
        // What the kills left behind is tidied up, whether they fell among compactions or cut them off before they began.
        wait_for("a segment to be given up", || {
            mortal.load_if_drained(&mut accepted, 100);
            (mortal.oldest_segment() > oldest).then_some(())
        });
        mortal.compare(&accepted, &format!("{kind:?}, and a compaction"));
    }
    mortal.let_all_go(&accepted);
    println!("{killed} kills, {} messages accepted, {} arrived", accepted.len(), mortal.arrived().len());
    assert_eq!(mortal.corrupt(), 0, "a kill is not damage");
}

/// The last step of a compaction is the removal of the segment whose living mail was moved.
#[test]
fn a_kill_a_hangup_or_an_end_at_the_last_step_of_a_compaction_loses_nothing() {
    let mut mortal = Mortal::new("kill-last-step");
    mortal.daemon.run();
    // Every fifth message stays, so no segment is free of living mail before that was moved.
    let mut accepted = mortal.load(2, 20);
    let first: Vec<String> = Mortal::staying(&accepted).cloned().collect();
    assert!(first.len() > 2 && mortal.oldest_segment() == 1, "{first:?}");
    mortal.faults.below(&mortal.log());
    for (signal, at) in
        [(Signal::SIGKILL, 1), (Signal::SIGHUP, 1), (Signal::SIGTERM, 1), (Signal::SIGKILL, 2)]
    {
        let when = format!("{signal} at removal {at}");
        mortal.faults.arm(Kind::Unlink, at, 1, Action::Signal(signal));
        wait_for("the blow", || {
            mortal.load_if_drained(&mut accepted, 200);
            (mortal.faults.fired(Kind::Unlink) > 0).then_some(())
        });
        mortal.faults.disarm(Kind::Unlink);
        if signal == Signal::SIGHUP {
            _ = mortal.daemon.wait_for_log("configuration reloaded");
            assert!(mortal.daemon.ended().is_none(), "{when}: a reload ends nothing");
        } else {
            let status = mortal.daemon.wait();
            assert_eq!(
                status,
                (signal == Signal::SIGTERM).then_some(0),
                "{when}: it stops in order, or dies"
            );
            mortal.daemon.run();
        }
        mortal.compare(&accepted, &when);
    }
    let listed = mortal.listed();
    assert!(first.iter().all(|id| listed.contains(id)), "{first:?} were moved");
    assert!(mortal.oldest_segment() > 1, "the segment that they were in is gone");
    mortal.let_all_go(&accepted);
    assert_eq!(mortal.corrupt(), 0, "a kill is not damage");
}

#[test]
fn a_hangup_or_an_end_at_any_moment_of_a_start_is_obeyed_and_loses_nothing() {
    let mut mortal = Mortal::new("signals");
    mortal.daemon.run();
    let (accepted, mut obeyed, mut outlived) = (mortal.load(2, 60), 0, 0);
    let reloads = |mortal: &Mortal| mortal.daemon.log().matches("configuration reloaded").count();
    for signal in [Signal::SIGHUP, Signal::SIGTERM] {
        for at in (1..40).step_by(3) {
            mortal.daemon.kill();
            let before = reloads(&mortal);
            mortal.faults.arm(Kind::Open, at, 1, Action::Signal(signal));
            let started = mortal.daemon.try_run();
            mortal.faults.disarm(Kind::Open);
            if mortal.faults.fired(Kind::Open) == 0 {
                assert!(at > 10, "{signal}: a start opens more than {at} files");
                break;
            }
            if started.is_err_and(|status| status.signal() == Some(signal as i32)) {
                // It came before the daemon listened for signals, and did what it does to every process.
                mortal.daemon.run();
            } else if signal == Signal::SIGTERM {
                assert_eq!(mortal.daemon.wait(), Some(0), "{signal} at {at}: it ends by itself, in order");
                obeyed += 1;
                mortal.daemon.run();
            } else {
                assert_eq!(started, Ok(()), "{signal} at {at}: it is no reason to end");
                let greeting = mortal.daemon.client().greeting;
                assert!(greeting.starts_with("220 "), "{signal} at {at}: {greeting}");
                // Who is not ended by it has listened for it, and obeys once it serves. But the helper opens files too, and a hangup that meets
                // it asks nobody for a reload: then the daemon is asked, to see that it obeys still.
                let begin = Instant::now();
                while reloads(&mortal) == before && begin.elapsed() < SOON {
                    std::thread::sleep(Duration::from_millis(10));
                }
                if reloads(&mortal) > before {
                    outlived += 1;
                } else {
                    mortal.daemon.signal(Signal::SIGHUP);
                    wait_for("the reload", || (reloads(&mortal) > before).then_some(()));
                }
            }
            mortal.compare(&accepted, &format!("{signal} at {at}"));
        }
    }
    assert!(obeyed > 0, "no SIGTERM met a daemon that listens for it");
    assert!(outlived > 0, "no SIGHUP met a daemon that listens for it");
    println!("{obeyed} starts ended by SIGTERM, {outlived} outlived SIGHUP and reloaded");
    // And in the middle of work.
    mortal.faults.arm(Kind::Write, 5, 1, Action::Signal(Signal::SIGHUP));
    let mut more = mortal.load(2, 40);
    assert!(mortal.faults.fired(Kind::Write) > 0);
    assert!(more.len() >= 40, "a reload turns nobody away: {}", more.len());
    mortal.faults.arm(Kind::Write, 5, 1, Action::Signal(Signal::SIGTERM));
    more.append(&mut mortal.load(2, 400));
    assert!(mortal.faults.fired(Kind::Write) > 0);
    assert_eq!(mortal.daemon.wait(), Some(0), "it stops in order");
    mortal.daemon.run();
    more.extend(accepted);
    mortal.compare(&more, "after all");
    mortal.let_all_go(&more);
}
