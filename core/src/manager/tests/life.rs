//! The usual lives of messages.

use super::*;

#[test]
fn a_letter_is_delivered_and_removed() {
    let mut toy = Toy::new(params());
    toy.send(1, &["bob@example.org"]);
    assert!(toy.disk.is_empty() && toy.manager.messages() == 0);
    assert_eq!(toy.taken.len(), 1);
    assert_eq!(toy.written, [AttemptId(1)]);
    insta::assert_snapshot!(toy.log.join("\n"), @r"
    qmgr: 0000000000z0001: from=<alice@example.com>, size=1000, nrcpt=1 (queue active)
    smtp: 0000000000z0001: to=<bob@example.org>, relay=example.org[192.0.2.1]:25, delay=0, delays=0/0/0.02/0.3, dsn=2.0.0, status=sent (250 ok)
    qmgr: 0000000000z0001: removed
    ");
}

#[test]
fn a_transcript_of_a_letter_to_many() {
    let mut toy = Toy::new(params());
    toy.manner("later.example", Manner::Defers);
    toy.manner("no.example", Manner::Refuses);
    toy.send(
        1,
        &["a@yes.example", "b@later.example", "c@no.example", "d@nowhere.example", "e@missing.example"],
    );
    toy.manner("later.example", Manner::Takes);
    toy.pass(seconds(299));
    toy.log.push("-- 300 seconds later".to_owned());
    toy.pass(seconds(1));
    insta::assert_snapshot!(toy.log.join("\n"), @r"
    qmgr: 0000000000z0001: from=<alice@example.com>, size=1000, nrcpt=5 (queue active)
    qmgr: 0000000000z0001: warning: transport uucp is not in master.cf: mail for it is deferred
    error: 0000000000z0001: to=<d@nowhere.example>, relay=none, delay=0, delays=0/0/0/0, dsn=5.1.1, status=bounced (User unknown in virtual alias table)
    error: 0000000000z0001: to=<e@missing.example>, relay=none, delay=0, delays=0/0/0/0, dsn=4.3.0, status=deferred (mail transport unavailable)
    smtp: 0000000000z0001: to=<b@later.example>, relay=later.example[192.0.2.1]:25, delay=0, delays=0/0/0.02/0.3, dsn=4.0.0, status=deferred (450 later)
    smtp: 0000000000z0001: to=<c@no.example>, relay=no.example[192.0.2.1]:25, delay=0, delays=0/0/0.02/0.3, dsn=5.0.0, status=bounced (550 no)
    smtp: 0000000000z0001: to=<a@yes.example>, relay=yes.example[192.0.2.1]:25, delay=0, delays=0/0/0.02/0.3, dsn=2.0.0, status=sent (250 ok)
    -- 300 seconds later
    qmgr: 0000000000z0001: from=<alice@example.com>, size=1000, nrcpt=2 (queue active)
    qmgr: 0000000000z0001: warning: transport uucp is not in master.cf: mail for it is deferred
    error: 0000000000z0001: to=<e@missing.example>, relay=none, delay=300, delays=300/0/0/0, dsn=4.3.0, status=deferred (mail transport unavailable)
    smtp: 0000000000z0001: to=<b@later.example>, relay=later.example[192.0.2.1]:25, delay=300, delays=300/0/0.02/0.3, dsn=2.0.0, status=sent (250 ok)
    ");
    assert_eq!(kinds(&toy), [Kind::Failure]);
    let reported: Vec<u32> = toy.reports[0].recipients.iter().map(|(number, _)| *number).collect();
    assert_eq!(reported, [2, 3], "one report for both");
    assert!(toy.disk.contains_key(&QueueId(1)), "the transport that is not there may come");
}

#[test]
fn the_pause_between_attempts_doubles_up_to_its_maximum() {
    let mut toy = Toy::new(params());
    toy.manner("later.example", Manner::Defers);
    toy.send(1, &["b@later.example"]);
    let mut pauses = Vec::new();
    let mut last = toy.now.mono;
    while pauses.len() < 7 {
        let next = toy.manager.next_timeout().expect("a retry");
        pauses.push(next.since(last).as_secs());
        last = next;
        let step = next.since(toy.now.mono);
        toy.pass(step);
    }
    assert_eq!(pauses, [300, 300, 600, 1200, 2400, 4000, 4000]);
}

#[test]
fn mail_that_is_too_old_is_returned_after_its_last_attempt() {
    let mut toy = Toy::new(params());
    toy.manner("later.example", Manner::Defers);
    toy.send(1, &["b@later.example"]);
    toy.pass(DAY * 5 - seconds(4_000));
    assert!(toy.reports.is_empty());
    toy.pass(seconds(8_000));
    assert_eq!(kinds(&toy), [Kind::Failure]);
    assert_eq!(toy.logged("from=<alice@example.com>, status=expired, returned to sender"), 1);
    let Outcome::Failed(why) = &toy.reports[0].recipients[0].1 else { panic!("failed") };
    assert_eq!((why.status, why.text.as_str()), (EnhancedStatus::new(5, 4, 7), "450 later"));
    assert!(toy.reports[0].changes.contains(&Change::Remove(QueueId(1))));
    assert!(toy.disk.is_empty() && toy.manager.messages() == 0);
}

#[test]
fn null_sender_never_gets_a_report() {
    let mut toy = Toy::new(params());
    toy.manner("no.example", Manner::Refuses);
    let mut message = toy.message(1, &["c@no.example"]);
    message.envelope.sender = Sender::Null;
    toy.commit(message);
    assert!(toy.reports.is_empty() && toy.disk.is_empty());
}

#[test]
fn success_is_reported_to_those_who_asked() {
    let mut toy = Toy::new(params());
    let mut message = toy.message(1, &["a@yes.example", "b@yes.example"]);
    message.envelope.recipients[1].notify = notify(true, true, true);
    toy.commit(message);
    assert_eq!(kinds(&toy), [Kind::Success]);
    assert_eq!(toy.reports[0].recipients.len(), 1);
    assert!(toy.disk.is_empty());
}

#[test]
fn the_sender_hears_once_that_a_letter_is_late() {
    let mut params = params();
    params.retry.delay_warning = seconds(3_600);
    let mut toy = Toy::new(params.clone());
    toy.manner("later.example", Manner::Defers);
    toy.send(1, &["b@later.example"]);
    toy.pass(DAY);
    assert_eq!(kinds(&toy), [Kind::Delay]);
    assert!(toy.disk[&QueueId(1)].warned);
    let mut toy = toy.restart(params, seconds(5));
    toy.pass(DAY);
    assert_eq!(kinds(&toy), [Kind::Delay], "nor after a restart");
}

#[test]
fn soft_bounce_returns_nothing() {
    let mut toy = Toy::new(Params { soft_bounce: true, ..params() });
    toy.manner("no.example", Manner::Refuses);
    toy.send(1, &["c@no.example", "d@nowhere.example"]);
    assert!(toy.reports.is_empty() && toy.disk.len() == 1);
    assert_eq!(toy.logged("dsn=4.0.0, status=SOFTBOUNCE (550 no)"), 1);
    toy.manner("no.example", Manner::Takes);
    toy.pass(seconds(300));
    assert_eq!(toy.taken.len(), 1);
}

#[test]
fn a_deferred_transport_carries_mail_only_after_a_flush() {
    let mut toy = Toy::new(Params { defer_transports: vec!["smtp".to_owned()], ..params() });
    toy.send(1, &["b@yes.example", "c@here.example"]);
    assert_eq!(toy.logged("dsn=4.3.2, status=deferred (deferred transport)"), 1);
    assert_eq!(toy.taken.len(), 1, "the local one");
    toy.pass(DAY);
    assert_eq!(toy.taken.len(), 1);
    toy.order(Order::Flush(crate::mail::Selection::All(None)));
    assert_eq!(toy.taken.len(), 2);
    assert!(toy.disk.is_empty());
}

#[test]
fn a_message_that_comes_with_a_hold_waits_for_the_operator() {
    let mut toy = Toy::new(params());
    let mut message = toy.message(1, &["b@yes.example"]);
    message.hold = true;
    toy.commit(message);
    toy.pass(DAY * 30);
    assert!(toy.log.is_empty() && toy.disk.len() == 1);
}

#[test]
fn a_kept_connection_is_worth_it_when_more_waits() {
    let mut toy = Toy::new(params());
    toy.manner("x.example", Manner::Hangs);
    (1..=7).for_each(|n| toy.send(n, &["b@x.example"]));
    assert_eq!(toy.running.len(), 5);
    assert!(toy.running.iter().all(|attempt| !attempt.keep_connection), "each was alone when it began");
    let first = toy.running.remove(0);
    toy.end(&first, Manner::Takes);
    toy.pass(seconds(0));
    toy.tell(Input::Ready);
    assert!(toy.running.iter().any(|attempt| attempt.message == QueueId(6) && attempt.keep_connection));
}

#[test]
fn recovered_mail_waits_for_its_time_and_owed_reports_are_made() {
    let mut toy = Toy::new(params());
    toy.manner("later.example", Manner::Defers);
    toy.manner("no.example", Manner::Refuses);
    toy.reports_refused = true;
    toy.send(1, &["b@later.example"]);
    toy.send(2, &["c@no.example"]);
    assert_eq!(toy.disk.len(), 2);
    let mut toy = toy.restart(params(), seconds(100));
    assert_eq!(kinds(&toy), [Kind::Failure], "the report that was owed");
    toy.manner("later.example", Manner::Takes);
    toy.pass(seconds(199));
    assert_eq!(toy.started, 0);
    toy.pass(seconds(1));
    assert_eq!(toy.taken.len(), 1);
    assert!(toy.disk.is_empty());
}

#[test]
fn draining_starts_nothing_and_ends_when_the_last_attempt_has() {
    let mut toy = Toy::new(params());
    toy.manner("x.example", Manner::Hangs);
    toy.send(1, &["b@x.example"]);
    toy.tell(Input::Drain);
    toy.send(2, &["c@yes.example"]);
    assert!(!toy.drained && toy.taken.is_empty());
    toy.release("x.example", Manner::Takes);
    assert!(toy.drained && toy.taken.len() == 1 && toy.disk.len() == 1);
    assert_eq!(toy.manager.next_timeout(), None);
}

#[test]
fn mail_for_the_sender_of_double_bounces_is_thrown_away() {
    let mut toy = Toy::new(params());
    toy.send(1, &["Double-Bounce@here.example"]);
    assert_eq!(toy.logged("status=sent (undeliverable postmaster notification discarded)"), 1);
    assert!(toy.disk.is_empty() && toy.started == 0 && toy.reports.is_empty());
}
