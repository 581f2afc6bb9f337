//! The ledger sees what it must see, and lets pass what has a cause.

use super::{Ledger, Report, Taken, Token, Verdict, message};
use crate::network::{NodeId, Socket};
use postrider_core::mail::QueueId;
use postrider_core::time::{Duration, Instant};

const HOST: NodeId = NodeId(7);
const BACKOFF: Duration = Duration::from_secs(300);

fn promised(ledger: &mut Ledger) -> (Token, Vec<String>) {
    let recipients = vec!["a@x.sim".to_owned(), "b@x.sim".to_owned()];
    ledger.host(HOST, (Duration::from_secs(1_000), Duration::from_secs(1_000)), (false, false), BACKOFF);
    let token = ledger.write("s@y.sim", &recipients, 500);
    ledger.replied(token, Verdict::Promised);
    (token, recipients)
}

fn relayed(token: Token, recipients: &[String]) -> Vec<u8> {
    let mut content = b"Received: from here\r\n\tby there\r\n".to_vec();
    content.extend(message(token, "s@y.sim", recipients, 500));
    content
}

fn take(ledger: &mut Ledger, content: &[u8], recipients: &[String], mark: &str) {
    let marks = [mark.to_owned()];
    let from = Some(HOST);
    let taken =
        Taken { marks: &marks, from, content, recipients, secured: false, line: None, confused: false };
    ledger.took(Instant(1), &taken);
}

fn broken(mut ledger: Ledger) -> Vec<String> {
    ledger.close();
    ledger.violations.iter().map(ToString::to_string).collect()
}

#[test]
fn after_a_reload_attempts_that_begin_must_be_encrypted_and_those_under_way_need_not() {
    let (old, new) = (Socket(2), Socket(4));
    let lifetimes = (Duration::from_secs(1_000), Duration::from_secs(1_000));
    let came = |line: Socket, later: bool| {
        let mut ledger = Ledger::default();
        let (token, recipients) = promised(&mut ledger);
        ledger.speaks(old, false);
        ledger.host(HOST, lifetimes, (true, false), BACKOFF);
        ledger.speaks(new, true);
        if later {
            // The next attempt, over the connection of before.
            ledger.speaks(old, true);
        }
        let (content, marks) = (relayed(token, &recipients), ["m1".to_owned()]);
        let (from, recipients) = (Some(HOST), &recipients[..]);
        let content = &content[..];
        let taken = Taken {
            marks: &marks,
            from,
            content,
            recipients,
            secured: false,
            line: Some(line),
            confused: false,
        };
        ledger.took(Instant(1), &taken);
        ledger.heard(HOST, "m1");
        broken(ledger)
    };
    assert_eq!(came(old, false), Vec::<String>::new());
    let wrong = "mail came in the clear from a host that has to encrypt";
    assert_eq!(came(new, false), [wrong]);
    assert_eq!(came(old, true), [wrong]);
    // Of a connection that nobody told it of it knows the host.
    assert_eq!(came(Socket(6), false), [wrong]);
}

#[test]
fn a_promise_that_is_kept_is_no_violation() {
    let mut ledger = Ledger::default();
    let (token, recipients) = promised(&mut ledger);
    take(&mut ledger, &relayed(token, &recipients), &recipients, "m1");
    ledger.heard(HOST, "m1");
    assert_eq!(broken(ledger), Vec::<String>::new());
}

#[test]
fn a_report_settles_a_recipient_that_somebody_refused_and_no_other() {
    let report = |refused: bool| {
        let mut ledger = Ledger::default();
        let (token, recipients) = promised(&mut ledger);
        take(&mut ledger, &relayed(token, &recipients), &recipients[..1], "m1");
        ledger.heard(HOST, "m1");
        if refused {
            ledger.refused("b@x.sim");
        }
        let mut report = b"Content-Type: multipart/report\r\nMessage-ID: <1@host>\r\n\r\n\
            Final-Recipient: rfc822; b@x.sim\r\nAction: failed\r\n\r\n"
            .to_vec();
        report.extend(relayed(token, &recipients));
        take(&mut ledger, &report, &["s@y.sim".to_owned()], "m2");
        ledger.heard(HOST, "m2");
        broken(ledger)
    };
    assert_eq!(report(true), Vec::<String>::new());
    assert!(report(false)[0].contains("nobody has refused it"));
}

#[test]
fn losses_changes_and_duplicates_are_seen() {
    let mut ledger = Ledger::default();
    let (token, recipients) = promised(&mut ledger);
    let mut content = relayed(token, &recipients);
    take(&mut ledger, &content, &recipients[..1], "m1");
    ledger.heard(HOST, "m1");
    let last = content.len() - 3;
    content[last] ^= 1;
    take(&mut ledger, &content, &recipients[..1], "m2");
    ledger.heard(HOST, "m2");
    let texts = broken(ledger);
    assert!(texts[0].contains("changed"), "{texts:?}");
    assert!(texts[1].contains("with 0 causes"), "{texts:?}");
    assert!(texts[2].contains("LOST"), "{texts:?}");
}

#[test]
fn what_operators_ordered_stays_so_through_the_end_of_a_process_unless_it_may_not_have_been_written() {
    let tried = |before: &dyn Fn(&mut Ledger), power: bool| {
        let mut ledger = Ledger::default();
        let id = QueueId(9);
        ledger.held(HOST, id);
        before(&mut ledger);
        ledger.crashed(HOST, power, Instant(1));
        let held = ledger.orders.judge(HOST, id).is_some();
        // What was deleted stays so through whatever mail on hold does, but that it was being released.
        let mut ledger = Ledger::default();
        ledger.deleted(HOST, id);
        before(&mut ledger);
        ledger.releasing(HOST, false);
        ledger.crashed(HOST, power, Instant(1));
        let deleted = ledger.orders.judge(HOST, id).is_some();
        assert!(deleted >= held);
        (held, deleted)
    };
    let releasing = |ledger: &mut Ledger| ledger.releasing(HOST, true);
    let released = |ledger: &mut Ledger| {
        // And put on hold behind it.
        ledger.releasing(HOST, true);
        ledger.releasing(HOST, false);
    };
    let (stays, may_go) = ((true, true), (false, false));
    assert_eq!(tried(&|_| (), false), stays, "what the log said is in the page cache");
    assert_eq!(tried(&releasing, false), (false, true), "it may have been written");
    assert_eq!(tried(&released, false), stays, "that was said before");
    assert_eq!(tried(&|_| (), true), may_go, "it may not have been synced");
    assert_eq!(tried(&|ledger| ledger.log_failed(HOST), false), may_go, "it may not have been written again");
    assert_eq!(tried(&|ledger| ledger.log_failed(NodeId(8)), false), stays, "its own log was written");
    assert_eq!(tried(&|ledger| ledger.disk_failed(HOST), false), stays, "nothing of the log was refused");
    let lived_before = |ledger: &mut Ledger| {
        ledger.log_failed(HOST);
        ledger.crashed(HOST, false, Instant(0));
        ledger.held(HOST, QueueId(9));
        ledger.deleted(HOST, QueueId(9));
    };
    let both = tried(&lived_before, false);
    assert_eq!(both, stays, "with a process that failed in what it wrote ends what may be undone");
}

/// The host that has a letter hands on another one in its place: a bit of its name has changed, on some disk or on none.
#[test]
fn a_bit_that_changed_before_a_relay_took_a_letter_excuses_that_it_never_came() {
    const RELAY: NodeId = NodeId(8);
    let lifetimes = (Duration::from_secs(1_000), Duration::from_secs(1_000));
    let never_came = |letters: usize, rotted: Option<NodeId>| {
        let mut ledger = Ledger::default();
        ledger.host(RELAY, lifetimes, (false, false), BACKOFF);
        for _ in 0..letters {
            let (Token(letter), recipients) = promised(&mut ledger);
            let what =
                Report { letter: letter as usize, places: (0..recipients.len()).collect(), report: false };
            let mark = QueueId(letter + 1).to_string();
            ledger.offered(Instant(1), &mark, (Some(HOST), RELAY), what);
            ledger.committed(RELAY, &mark, true);
        }
        rotted.into_iter().for_each(|node| ledger.rotted(node));
        broken(ledger)
    };
    assert_eq!(never_came(1, Some(HOST)), Vec::<String>::new());
    assert_eq!(never_came(1, Some(RELAY)), Vec::<String>::new());
    assert!(never_came(1, None)[0].contains("LOST"));
    assert_eq!(never_came(2, Some(HOST)), ["1 bits changed on disks, and 2 letters"], "a bit spoils one");
}

/// What is letter 0, or says that it failed, comes under other names, once each.
#[test]
fn a_bit_that_makes_another_letter_of_one_spoils_that_one_and_the_other_has_its_own() {
    let came_as = |names: &[u64], is_report: bool, rots: bool| {
        let mut ledger = Ledger::default();
        ledger.host(HOST, (Duration::from_secs(1_000), Duration::from_secs(1_000)), (false, false), BACKOFF);
        for recipient in ["a@x.sim", "b@x.sim", "c@x.sim"] {
            let recipients = [recipient.to_owned()];
            let token = ledger.write("s@y.sim", &recipients, 500);
            ledger.replied(token, Verdict::Promised);
            let (id, letter) = (QueueId(token.0 + 1).to_string(), token.0 as usize);
            ledger.offered(Instant(1), &id, (None, HOST), Report { letter, places: vec![0], report: false });
            ledger.committed(HOST, &id, true);
            if token.0 > 0 {
                take(&mut ledger, &relayed(token, &recipients), &recipients, recipient);
                ledger.heard(HOST, recipient);
            }
        }
        ledger.refused("a@x.sim");
        if rots {
            ledger.rotted(HOST);
        }
        for name in names {
            let first = "a@x.sim".to_owned();
            let mut content = if is_report {
                b"Content-Type: multipart/report\r\nMessage-ID: <1@host>\r\n\r\n\
                    Final-Recipient: rfc822; a@x.sim\r\nAction: failed\r\n\r\n"
                    .to_vec()
            } else {
                Vec::new()
            };
            content.extend(relayed(Token(*name), std::slice::from_ref(&first)));
            let to = if is_report { "s@y.sim".to_owned() } else { first };
            take(&mut ledger, &content, &[to], &format!("m{name}"));
            ledger.heard(HOST, &format!("m{name}"));
        }
        broken(ledger)
    };
    let none = Vec::<String>::new();
    for is_report in [true, false] {
        assert_eq!(came_as(&[0], is_report, false), none);
        for other in [1, 8] {
            assert_eq!(came_as(&[other], is_report, true), none, "{other} {is_report}");
            let without = came_as(&[other], is_report, false);
            assert!(without.iter().any(|text| text.contains("LOST")) && without.len() > 1, "{without:?}");
        }
        let two = "1 bits changed on disks, and something came for 2 letters that is not theirs";
        assert_eq!(came_as(&[1, 2], is_report, true), [two], "a bit makes one name another");
    }
}

#[test]
fn a_second_copy_is_excused_by_a_lost_reply_an_unwritten_or_an_unsynced_outcome_alone() {
    let twice = |between: &dyn Fn(&mut Ledger)| {
        let mut ledger = Ledger::default();
        let (token, recipients) = promised(&mut ledger);
        let content = relayed(token, &recipients);
        take(&mut ledger, &content, &recipients, "m1");
        between(&mut ledger);
        take(&mut ledger, &content, &recipients, "m2");
        ledger.heard(HOST, "m2");
        broken(ledger).len()
    };
    let ms = |ms: u64| Instant(ms * 1_000_000);
    assert_eq!(twice(&|_| ()), 0, "the reply was lost");
    assert_eq!(twice(&|ledger| ledger.heard(HOST, "m1")), 2, "it was heard");
    let killed = |ledger: &mut Ledger| {
        ledger.heard(HOST, "m1");
        ledger.crashed(HOST, false, ms(5));
    };
    assert_eq!(twice(&killed), 0, "it was not written");
    let written = |power: bool, at: u64, synced: bool| {
        twice(&move |ledger| {
            ledger.heard(HOST, "m1");
            ledger.written("m1", ms(1));
            if synced {
                ledger.synced(HOST);
            }
            ledger.crashed(HOST, power, ms(at));
        })
    };
    assert_eq!(written(true, 50, false), 0, "power was lost before the sync");
    assert_eq!(written(false, 50, false), 2, "a killed process leaves what it wrote");
    assert_eq!(written(true, 50, true), 2, "it was synced");
    assert_eq!(written(true, 5_000, false), 1, "it should have been synced long ago: that is what is wrong");
}

#[test]
fn what_was_refused_comes_back_only_from_a_disk_that_failed_and_a_crash() {
    let refused = |crash: bool| {
        let mut ledger = Ledger::default();
        let (token, recipients) = promised(&mut ledger);
        ledger.offered(
            Instant(1),
            "q1",
            (None, HOST),
            Report { letter: token.0 as usize, places: vec![0, 1], report: false },
        );
        ledger.committed(HOST, "q1", false);
        ledger.replied(token, Verdict::Refused);
        if crash {
            ledger.crashed(HOST, true, Instant(2));
        } else {
            ledger.log_works(HOST);
        }
        take(&mut ledger, &relayed(token, &recipients), &recipients, "m1");
        broken(ledger).len()
    };
    assert_eq!((refused(true), refused(false)), (0, 2));
}

#[test]
fn who_was_put_off_waits_unless_an_operator_or_the_end_of_the_process_comes_between() {
    let tried_after = |seconds: u64, who: &str, between: &dyn Fn(&mut Ledger)| {
        let mut ledger = Ledger::default();
        let (id, at) = (QueueId(5), |seconds| Instant::default().after(Duration::from_secs(seconds)));
        _ = promised(&mut ledger);
        ledger.attempted(HOST, id, ["a@x.sim".to_owned(), "b@x.sim".to_owned()], at(1));
        ledger.put_off(HOST, id, "a@x.sim", at(10));
        between(&mut ledger);
        ledger.attempted(HOST, id, [who.to_owned()], at(10 + seconds));
        ledger.violations.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let nothing = |_: &mut Ledger| ();
    let hasty = tried_after(299, "a@x.sim", &nothing);
    assert!(hasty[0].contains("a@x.sim was put off and tried again after 299000 ms, not 300 s"), "{hasty:?}");
    assert_eq!(tried_after(300, "a@x.sim", &nothing), Vec::<String>::new(), "the pause is over");
    assert_eq!(tried_after(1, "b@x.sim", &nothing), Vec::<String>::new(), "another recipient of the message");
    let again = |ledger: &mut Ledger| ledger.put_off(HOST, QueueId(5), "a@x.sim", Instant(200_000_000_000));
    assert_eq!(tried_after(300, "a@x.sim", &again).len(), 1, "the pause counts from the last time");
    let flushed = |ledger: &mut Ledger| ledger.flushed(HOST);
    assert_eq!(tried_after(1, "a@x.sim", &flushed), Vec::<String>::new(), "an operator wants it");
    let requeued = |ledger: &mut Ledger| ledger.may_hurry(HOST, QueueId(5));
    assert_eq!(tried_after(1, "a@x.sim", &requeued), Vec::<String>::new(), "an operator wants it anew");
    let other = |ledger: &mut Ledger| ledger.may_hurry(HOST, QueueId(6));
    assert_eq!(tried_after(1, "a@x.sim", &other).len(), 1, "that was another message");
    let killed = |ledger: &mut Ledger| ledger.crashed(HOST, false, Instant(11_000_000_000));
    assert_eq!(tried_after(1, "a@x.sim", &killed), Vec::<String>::new(), "what was not written is forgotten");
}
