//! The daemon is killed at each call that it makes, while it recovers and while it works; what it said 250 to is there at the next start.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use postrider_tests::daemon::Daemon;
use postrider_tests::faults::{Action, Faults, Kind};
use postrider_tests::mortal::Mortal;
use postrider_tests::namespace::USER;
use postrider_tests::{Scratch, wait_for};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
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

/// The kernel's letter for what a process does; none when there is no such process.
fn state(process: &str) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a process stands still.
fn is_stopped(process: u32) -> bool {
    state(&process.to_string()) == Some('T')
}

/// Whether a daemon that was started as root has its helper.
fn has_helper(process: u32) -> bool {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    children.split_whitespace().any(|child| !matches!(state(child), None | Some('Z' | 'X')))
}

#[test]
fn a_stop_at_each_call_costs_nobody_a_session_and_loses_nothing() {
    let mut mortal = Mortal::new("stopped-at");
    mortal.daemon.run();
    let (mut accepted, mut stops) = (BTreeMap::new(), 0);
    for kind in KINDS {
        for at in 1..=12 {
            mortal.faults.arm(kind, at, 1, Action::Signal(Signal::SIGSTOP));
            let load = std::thread::scope(|scope| {
                let load = scope.spawn(|| mortal.load(2, 20));
                let process = mortal.daemon.process();
                wait_for("the stop, or the end of the load", || {
                    (is_stopped(process) || load.is_finished()).then_some(())
                });
                mortal.faults.disarm(kind);
                if mortal.faults.fired(kind) > 0 {
                    wait_for("the stop", || is_stopped(process).then_some(()));
                    mortal.daemon.signal(Signal::SIGCONT);
                }
                load.join().expect("clients can work")
            });
            assert!(load.len() >= 20, "{kind:?} at {at}: nobody is turned away: {}", load.len());
            accepted.extend(load);
            mortal.compare(&accepted, &format!("{kind:?} at {at}"));
            if mortal.faults.fired(kind) == 0 {
                break;
            }
            stops += 1;
        }
    }
    println!("{stops} stops, {} messages", accepted.len());
    assert!(stops > 30, "{stops} stops");
    mortal.let_all_go(&accepted);
}

/// The helper that keeps root, who opens a mailbox with its user's rights, and the daemon itself, which writes into it.
#[test]
fn a_kill_of_who_delivers_at_each_of_its_calls_loses_nothing() {
    let scratch = Scratch::new("deliverer");
    let folder = scratch.path().join("mail");
    std::fs::create_dir(&folder).expect("a scratch folder");
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).expect("our own folder");
    let mut daemon = Daemon::prepare(
        "kill-deliverer",
        &format!(
            "local_transport = local\nmailbox_command =\nmail_spool_directory = {}\nstale_lock_time = 1s\n\
             minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n",
            folder.display()
        ),
        "",
    );
    let faults = Faults::new(daemon.path(), &folder);
    daemon.environment = faults.environment();
    daemon.run();
    let has = |number: usize| {
        let mailbox = std::fs::read(folder.join(USER)).unwrap_or_default();
        let mailbox = String::from_utf8_lossy(&mailbox).replace("\r\n", "\n");
        mailbox.contains(&format!("Subject: number {number}\n"))
            && mailbox.contains(&format!("\nthe end of number {number}\n"))
    };
    let (mut number, mut kills, mut deaths) = (0, 0, 0);
    for kind in [Kind::Open, Kind::Write, Kind::Sync, Kind::Unlink] {
        for at in 1.. {
            assert!(at < 20, "{kind:?}: more calls than one delivery has");
            number += 1;
            faults.arm(kind, at, 1, Action::Signal(Signal::SIGKILL));
            let content = format!("Subject: number {number}\r\n\r\nthe end of number {number}\r\n");
            let to = format!("{USER}@here.test");
            let reply = daemon.client().deliver("a@client.test", &[&to], &content);
            assert!(reply.starts_with("250"), "{reply}");
            let sent = |daemon: &Daemon| daemon.log().matches("status=sent").count() >= number;
            wait_for("a delivery or a kill", || (faults.fired(kind) > 0 || sent(&daemon)).then_some(()));
            faults.disarm(kind);
            let has_fired = faults.fired(kind) > 0;
            kills += usize::from(has_fired);
            // Whoever was killed: the daemon goes on, or ends because it can not go on, and is started again. A kill is
            // counted before it is felt, so the end may come only while the mail is waited for.
            wait_for("the mail", || {
                if let Some(status) = daemon.ended() {
                    let is_expected = matches!(status.code(), Some(71) | None);
                    assert!(has_fired && is_expected, "{kind:?} at {at}: {status}");
                    deaths += 1;
                    daemon.run();
                }
                (sent(&daemon) && has_helper(daemon.process())).then_some(())
            });
            assert!(has(number), "{kind:?} at {at}: said to be there, and is not");
            if !has_fired {
                assert!(at > 1, "{kind:?}: a delivery has none");
                break;
            }
        }
    }
    println!("{kills} kills of who delivers, {deaths} of them ended the daemon; {number} messages");
    assert!(kills > 3, "{kills}");
}

/// Memory runs out at the k-th request of a life, for that one or for ever, and at the next start there is enough of it.
#[test]
fn memory_that_runs_out_at_each_request_for_more_loses_nothing() {
    let mut mortal = Mortal::new("memory-runs-out");
    // To show where it was takes memory too, and waits for it for ever.
    mortal.daemon.environment.push(("RUST_BACKTRACE".into(), "0".into()));
    mortal.daemon.run();
    let mut accepted = mortal.load(2, 30);
    let (mut ended, mut outlived) = (0, 0);
    for length in [1, 1_000_000] {
        for at in 1.. {
            assert!(at < CALLS_MAX, "request {at}");
            mortal.daemon.kill();
            let starts = mortal.daemon.log().matches("daemon started").count();
            mortal.faults.arm(Kind::Memory, at, length, Action::Fail(Errno::ENOMEM));
            let started = mortal.daemon.try_run();
            if started.is_ok() {
                accepted.append(&mut mortal.load(3, 60));
            }
            let has_fired = mortal.faults.fired(Kind::Memory) > 0;
            mortal.faults.disarm(Kind::Memory);
            let end = started.err().or_else(|| {
                wait_for("mail to be taken, or an end", || match mortal.daemon.ended() {
                    Some(status) => Some(Some(status)),
                    None => {
                        let more = mortal.load(1, 1);
                        let is_taken = !more.is_empty();
                        accepted.extend(more);
                        is_taken.then_some(None)
                    }
                })
            });
            match end {
                Some(status) => {
                    let is_orderly = status.code().is_some_and(|code| code != 0);
                    let is_abort = status.signal() == Some(Signal::SIGABRT as i32);
                    // The allocator itself may begin without memory: then nothing has begun.
                    let began = mortal.daemon.log().matches("daemon started").count() > starts;
                    assert!(is_orderly || is_abort || !began, "{at}: {status}, {}", mortal.daemon.stderr());
                    ended += 1;
                }
                None => outlived += u64::from(has_fired),
            }
            // A thread may still be dying of it.
            mortal.daemon.kill();
            mortal.daemon.run();
            mortal.compare(&accepted, &format!("request {at}"));
            if !has_fired {
                assert!(at > 5 && end.is_none(), "{at}: {end:?}");
                break;
            }
        }
    }
    println!("{ended} lives ended for want of memory, {outlived} outlived it; {} messages", accepted.len());
    assert!(ended > 0, "no life was without memory");
    mortal.let_all_go(&accepted);
    assert_eq!(mortal.corrupt(), 0, "an end is not damage");
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

#[test]
fn an_end_at_a_call_under_load_is_orderly_and_sends_nothing_twice() {
    let mut mortal = Mortal::new("ended-at");
    mortal.daemon.run();
    let (mut accepted, mut ends) = (BTreeMap::new(), 0);
    for kind in KINDS {
        for at in [1, 2, 4, 8] {
            mortal.faults.arm(kind, at, 1, Action::Signal(Signal::SIGTERM));
            accepted.append(&mut mortal.load(3, 150));
            mortal.faults.disarm(kind);
            if mortal.faults.fired(kind) == 0 {
                break;
            }
            assert_eq!(mortal.daemon.wait(), Some(0), "{kind:?} at {at}: it stops in order");
            ends += 1;
            mortal.daemon.run();
            mortal.compare(&accepted, &format!("{kind:?} at {at}"));
        }
    }
    println!("{ends} ends, {} messages", accepted.len());
    assert!(ends > 12, "{ends}");
    mortal.let_all_go(&accepted);
    assert_eq!((mortal.copies(), mortal.corrupt()), (0, 0));
}
