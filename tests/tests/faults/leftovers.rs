//! Files that are done with, and that the disk does not remove; and mail in the maildrop that can be neither taken in nor given back yet.

use super::Scene;
use nix::errno::Errno;
use postrider_tests::faults::{Action, Kind};
use postrider_tests::server::Taken;
use postrider_tests::wait_for;
use std::path::Path;

#[test]
fn refused_mail_of_a_command_waits_while_no_report_can_be_written_and_then_goes_back() {
    let scene = Scene::new("fault-return", "header_checks = regexp:{{/^Subject: bad/ REJECT not this}}");
    let maildrop = scene.daemon.path().join("spool/postrider/maildrop");
    scene.faults.arm(Kind::Sync, 1, u64::MAX, Action::Fail(Errno::EIO));
    drop_into_maildrop(&scene, "bad");
    wait_for("it to be put off", || {
        scene.daemon.log().contains("not taken now, tried again later").then_some(())
    });
    assert!(scene.faults.fired(Kind::Sync) > 0);
    scene.faults.disarm(Kind::Sync);
    // Each wakes the daemon, until the disk has been found to work again.
    let told = || taken_of(&scene, "bad");
    let reports = wait_for("the report", || {
        drop_into_maildrop(&scene, "good");
        Some(told()).filter(|reports| !reports.is_empty())
    });
    assert!(String::from_utf8_lossy(&reports[0].content).contains("not this"));
    wait_for("an empty maildrop", || (files_in(&maildrop) == 0).then_some(()));
    scene.daemon.wait_until_the_queue_is_empty();
    assert_eq!(told().len(), 1, "told once");
}

#[test]
fn what_can_not_be_removed_from_the_maildrop_is_taken_in_once_and_goes_when_it_can() {
    let scene = Scene::new("fault-maildrop", "");
    let maildrop = scene.daemon.path().join("spool/postrider/maildrop");
    scene.faults.below(&maildrop);
    let mut expected = 0;
    for errno in [Errno::EIO, Errno::EROFS] {
        scene.faults.arm(Kind::Unlink, 1, u64::MAX, Action::Fail(errno));
        let name = format!("{errno:?}").to_lowercase();
        for number in 1..=5 {
            drop_into_maildrop(&scene, &format!("{name}{number}"));
            // Each wakes the daemon, which finds all that came before.
            wait_for("it to be delivered", || taken_of(&scene, &format!("{name}{number}")).first().map(drop));
        }
        assert!(scene.faults.fired(Kind::Unlink) > 5, "each was tried, and some again");
        assert_eq!(files_in(&maildrop), 5);
        expected += 5;
        let told = || scene.daemon.log().matches("it was taken in, and can not be removed").count();
        wait_for("each to be told", || (told() >= expected).then_some(()));
        assert_eq!(told(), expected, "{errno}: once");
        scene.faults.disarm(Kind::Unlink);
        drop_into_maildrop(&scene, &format!("{name}6"));
        wait_for("an empty maildrop", || (files_in(&maildrop) == 0).then_some(()));
        scene.daemon.wait_until_the_queue_is_empty();
        for number in 1..=6 {
            assert_eq!(taken_of(&scene, &format!("{name}{number}")).len(), 1, "{name}{number}: once");
        }
    }
}

#[test]
fn what_is_no_message_and_can_not_be_put_aside_is_when_it_can_and_holds_nobody_up() {
    let scene = Scene::new("fault-aside", "");
    let maildrop = scene.daemon.path().join("spool/postrider/maildrop");
    scene.faults.below(&maildrop);
    for errno in [Errno::EIO, Errno::ENOSPC] {
        scene.faults.arm(Kind::Rename, 1, u64::MAX, Action::Fail(errno));
        let name = format!("{errno:?}").to_lowercase();
        let [damaged, aside] = ["new", "bad"].map(|kind| maildrop.join(format!("{kind}.{name}")));
        std::fs::write(&damaged, "no message").expect("ours to make");
        drop_into_maildrop(&scene, &format!("{name}1"));
        wait_for("the one behind it", || taken_of(&scene, &format!("{name}1")).first().map(drop));
        assert!(scene.faults.fired(Kind::Rename) > 0);
        let told = |line: &str| line.contains(&*name) && line.contains("it cannot be put aside: ");
        wait_for("it to be told", || scene.daemon.log().lines().any(told).then_some(()));
        assert!(damaged.exists() && !aside.exists());
        scene.faults.disarm(Kind::Rename);
        drop_into_maildrop(&scene, &format!("{name}2"));
        wait_for("it to be put aside", || aside.exists().then_some(()));
        assert_eq!(std::fs::read(&aside).expect("for a person"), b"no message");
        wait_for("the other one", || taken_of(&scene, &format!("{name}2")).first().map(drop));
    }
    scene.daemon.wait_until_the_queue_is_empty();
    assert_eq!(scene.server.count(), 4, "each once");
}

#[test]
fn a_content_that_can_not_be_removed_goes_when_it_can_without_a_restart() {
    let mut scene = Scene::new("fault-contents", "");
    let contents = scene.daemon.path().join("spool/postrider/contents");
    scene.faults.arm(Kind::Unlink, 1, u64::MAX, Action::Fail(Errno::EROFS));
    assert!(scene.submit(12_000, "you@far.test") && scene.submit(12_000, "you@far.test"));
    scene.daemon.wait_until_the_queue_is_empty();
    _ = scene.daemon.wait_for_log("which is not needed any more, can not be removed: ");
    assert_eq!(files_in(&contents), 2);
    assert!(scene.faults.fired(Kind::Unlink) > 0);
    scene.faults.disarm(Kind::Unlink);
    wait_for("both to be gone", || (files_in(&contents) == 0).then_some(()));
    scene.compare();
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("the spool").count()
}

/// What the next hop has of this sender, or for it.
fn taken_of(scene: &Scene, name: &str) -> Vec<Taken> {
    let address = format!("{name}@origin.test");
    let mut taken = scene.server.taken();
    taken.retain(|message| {
        message.mail.contains(&address)
            || message.recipients.iter().any(|recipient| recipient.contains(&address))
    });
    taken
}

/// Leaves a message of this sender and subject, by a command whose own calls do not fail.
fn drop_into_maildrop(scene: &Scene, name: &str) {
    scene.daemon.sendmail(&format!("{name}@origin.test"), "you@far.test", &format!("Subject: {name}\n\nx\n"));
}
