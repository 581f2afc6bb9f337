//! Disks that refuse, tables that break, clocks that jump.

use super::*;
use crate::mail::Selection;

#[test]
fn a_delivery_that_can_not_be_recorded_is_not_repeated() {
    let mut toy = Toy::new(params());
    toy.disk_refuses = true;
    toy.send(1, &["bob@example.org"]);
    toy.send(2, &["carol@example.org"]);
    assert_eq!((toy.taken.len(), toy.written.len()), (1, 0), "and nobody else is tried meanwhile");
    toy.pass(seconds(600));
    assert_eq!(toy.taken.len(), 1);
    assert_eq!(toy.logged("error: outcomes can not be recorded (no space is left in the queue)"), 1);
    toy.disk_refuses = false;
    toy.pass(seconds(60));
    assert!(toy.taken.values().all(|&times| times == 1) && toy.taken.len() == 2);
    assert!(toy.disk.is_empty());
    assert_eq!(toy.written.len(), 2);
}

/// A disk that stands still may lose no more to a kill than a moment's mail, and what it has not answered takes memory.
#[test]
fn no_more_mail_is_sent_while_the_disk_is_behind_with_outcomes() {
    let mut toy = Toy::new(params());
    toy.disk_hangs = true;
    for n in 1..=1_000 {
        toy.send(n, &["bob@yes.example"]);
    }
    assert_eq!(toy.taken.len(), 256, "what was sent, and is not known to be written down");
    toy.disk_goes_on();
    assert!(toy.disk.is_empty(), "{} left", toy.disk.len());
    assert!(toy.taken.len() == 1_000 && toy.taken.values().all(|&times| times == 1));
}

#[test]
fn an_order_to_requeue_is_not_lost_on_a_disk_that_is_behind() {
    let mut toy = Toy::new(params());
    toy.manner("no.example", Manner::Defers);
    toy.send(2_000, &["bob@no.example"]);
    toy.disk_hangs = true;
    (1..=1_000).for_each(|n| toy.send(n, &["bob@yes.example"]));
    // The order itself must be written: its answer comes behind those of all that was sent.
    toy.tell(Input::Order(Ticket(7), Order::Requeue(Selection::Id(QueueId(2_000)))));
    toy.disk_goes_on();
    toy.pass(seconds(10));
    assert_eq!(toy.moved.len(), 1, "{:?}", toy.log.last());
}

#[test]
fn a_report_that_is_refused_is_owed_until_it_is_made() {
    let mut toy = Toy::new(params());
    toy.manner("no.example", Manner::Refuses);
    toy.reports_refused = true;
    toy.send(1, &["c@no.example"]);
    toy.pass(seconds(1_000));
    assert_eq!((toy.started, toy.disk.len()), (1, 1));
    toy.reports_refused = false;
    toy.pass(seconds(4_000));
    assert_eq!((toy.reports.len(), toy.disk.len(), toy.started), (1, 0, 1));
}

/// A message whose sender can not be told.
fn orphan(classes: impl FnOnce(&mut crate::report::Params)) -> Toy {
    let mut params = params();
    classes(&mut params.reports);
    let mut toy = Toy::new(params);
    toy.manner("no.example", Manner::Refuses);
    toy.untakable = vec!["alice@example.com"];
    toy.send(1, &["c@no.example"]);
    toy.pass(DAY * 5 - seconds(600));
    assert_eq!((toy.reports.len(), toy.disk.len()), (0, 1), "it is tried for as long as a report lives");
    assert!(toy.logged("a report could not be made, it is tried again later: 451 Alias") > 100);
    toy
}

#[test]
fn a_report_whose_addressee_is_never_taken_is_dropped_and_the_log_says_so_once() {
    let mut toy = orphan(|_| ());
    toy.pass(DAY);
    assert_eq!((toy.reports.len(), toy.disk.len(), toy.started), (0, 0, 1));
    let line =
        "error: a report to alice@example.com can not be made, it is dropped: 451 Alias expansion error";
    assert_eq!(toy.logged(line), 1);
}

#[test]
fn a_report_whose_addressee_is_never_taken_goes_to_a_postmaster_who_wants_it() {
    let mut toy = orphan(|reports| reports.notify_2bounce = true);
    toy.pass(DAY);
    let told: Vec<_> = toy.reports.iter().map(|plan| (plan.to.external(), plan.double_bounce)).collect();
    assert_eq!(told, [("postmaster".to_owned(), true)]);
    assert_eq!(toy.reports[0].about.envelope.sender, alice(), "it says whose mail it was");
    assert!(toy.disk.is_empty());
    assert_eq!(toy.logged("error: "), 0);
}

#[test]
fn neither_is_a_postmaster_who_can_not_be_taken_asked_for_ever() {
    let mut toy = orphan(|reports| reports.notify_2bounce = true);
    toy.untakable.push("postmaster");
    toy.pass(DAY);
    assert_eq!((toy.reports.len(), toy.disk.len()), (0, 0));
    assert_eq!(toy.logged("error: a report to postmaster can not be made, it is dropped"), 1);
}

#[test]
fn a_copy_that_is_never_taken_costs_the_sender_nothing_but_time() {
    let mut params = params();
    params.reports.notify_bounce = true;
    let mut toy = Toy::new(params);
    toy.manner("no.example", Manner::Refuses);
    toy.untakable = vec!["postmaster"];
    toy.send(1, &["c@no.example"]);
    toy.pass(DAY * 6);
    let told: Vec<_> = toy.reports.iter().map(|plan| (plan.to.external(), plan.double_bounce)).collect();
    assert_eq!(told, [("alice@example.com".to_owned(), false)]);
    assert!(toy.disk.is_empty());
}

#[test]
fn a_disk_that_takes_no_report_is_waited_for_without_end() {
    let mut toy = Toy::new(params());
    toy.manner("no.example", Manner::Refuses);
    toy.reports_refused = true;
    toy.send(1, &["c@no.example"]);
    toy.pass(DAY * 30);
    toy.reports_refused = false;
    toy.pass(seconds(5_000));
    assert_eq!(
        (toy.reports.len(), toy.disk.len()),
        (1, 0),
        "a full disk must not cost the sender his report"
    );
}

#[test]
fn what_cannot_be_told_now_keeps_nobody_else_from_his_mail() {
    let mut toy = Toy::new(params());
    toy.manner("no.example", Manner::Refuses);
    toy.manner("later.example", Manner::Defers);
    toy.untakable = vec!["alice@example.com"];
    toy.send(1, &["c@no.example", "d@later.example"]);
    toy.pass(seconds(1_000));
    toy.manner("later.example", Manner::Takes);
    toy.pass(DAY);
    assert_eq!((toy.taken.len(), toy.disk.len()), (1, 1));
    toy.pass(DAY * 5);
    assert!(toy.disk.is_empty());
}

#[test]
fn broken_tables_defer_and_expire_nothing() {
    let mut toy = Toy::new(params());
    toy.tables_broken = true;
    toy.send(1, &["bob@example.org"]);
    toy.pass(DAY * 10);
    assert!(toy.reports.is_empty());
    assert!(toy.logged("status=deferred (address resolver failure)") > 10);
    toy.tables_broken = false;
    toy.pass(seconds(4_000));
    assert_eq!(toy.taken.len(), 1);
}

#[test]
fn after_a_long_stop_mail_is_tried_before_it_is_returned() {
    let mut toy = Toy::new(params());
    toy.manner("later.example", Manner::Defers);
    toy.manner("now.example", Manner::Defers);
    toy.send(1, &["b@later.example"]);
    toy.send(2, &["c@now.example"]);
    toy.manner("now.example", Manner::Takes);
    let toy = toy.restart(params(), DAY * 400);
    assert_eq!(toy.taken.len(), 1, "after a year");
    assert_eq!(kinds(&toy), [Kind::Failure], "tried, and then too old");
}

#[test]
fn a_wall_clock_that_jumps_while_we_run_expires_nothing_and_sticks_nothing() {
    for jump in [-1_000_000_000i64, 1_000_000_000] {
        let mut toy = Toy::new(params());
        toy.manner("later.example", Manner::Defers);
        toy.send(1, &["b@later.example"]);
        toy.now.wall = Timestamp::from_seconds(START + jump);
        toy.pass(seconds(300));
        assert_eq!((toy.started, toy.reports.len()), (2, 0), "jump of {jump}");
        toy.manner("later.example", Manner::Takes);
        toy.pass(seconds(4_000));
        assert!(toy.disk.is_empty(), "jump of {jump}");
    }
}

#[test]
fn a_wall_clock_that_jumps_while_a_message_comes_in_makes_it_no_older() {
    let mut toy = Toy::new(params());
    toy.manner("later.example", Manner::Defers);
    let message = toy.message(1, &["b@later.example"]);
    toy.now.wall = Timestamp::from_seconds(START + 1_000_000_000);
    toy.commit(message);
    toy.pass(seconds(300));
    assert_eq!(
        (toy.started, toy.reports.len()),
        (2, 0),
        "it is tried again, and nobody is told that it expired"
    );
}

#[test]
fn a_message_that_is_gone_is_named_and_forgotten() {
    let mut toy = Toy::stopped(params());
    toy.tell(Input::Recovered(Summary { id: QueueId(9), waiting: 1, ..Summary::default() }));
    toy.tell(Input::Ready);
    assert_eq!(toy.manager.messages(), 0);
    assert_eq!(toy.logged("error: the message is no longer in the queue"), 1);
}

#[test]
fn a_message_that_can_not_be_read_now_is_kept_and_delivered_when_it_can() {
    let mut toy = Toy::stopped(params());
    let message = toy.message(9, &["bob@example.org"]);
    let standing = vec![crate::mail::Standing::Waiting(None)];
    toy.manager.handle_input(
        toy.now,
        Input::Recovered(Summary { id: message.id, waiting: 1, ..Summary::default() }),
    );
    assert!(toy.manager.poll_output().is_none());
    toy.manager.handle_input(toy.now, Input::Ready);
    assert!(matches!(toy.manager.poll_output(), Some(Output::Load(id)) if id == message.id));
    toy.manager.handle_input(toy.now, Input::Loaded(message.id, Err("EIO".to_owned())));
    let outputs: Vec<Output> = std::iter::from_fn(|| toy.manager.poll_output()).collect();
    assert!(matches!(outputs[..], [Output::Event(_)]), "{outputs:?}");
    assert_eq!(toy.manager.messages(), 1);
    let later = toy.now.after(seconds(100_000));
    toy.manager.handle_timeout(later);
    assert!(matches!(toy.manager.poll_output(), Some(Output::Load(id)) if id == message.id));
    let loaded = Box::new(crate::mail::Loaded { message, standing, marks: crate::mail::Marks::default() });
    toy.manager.handle_input(later, Input::Loaded(loaded.message.id, Ok(Some(loaded))));
    let outputs: Vec<Output> = std::iter::from_fn(|| toy.manager.poll_output()).collect();
    assert!(outputs.iter().any(|output| matches!(output, Output::Route { .. })), "{outputs:?}");
}

#[test]
fn what_an_agent_leaves_out_is_tried_again_and_what_it_says_twice_counts_once() {
    let mut toy = Toy::new(params());
    toy.manner("x.example", Manner::Hangs);
    toy.send(1, &["a@x.example", "b@x.example"]);
    let attempt = toy.running.remove(0);
    let ok = || Outcome::Delivered {
        diagnosis: Diagnosis::ours(EnhancedStatus::new(2, 0, 0), "ok"),
        last_hop_for_dsn: true,
    };
    let no = Outcome::Failed(Diagnosis::ours(EnhancedStatus::new(5, 0, 0), "no"));
    toy.tell(Input::Settled(Settled {
        id: attempt.id,
        outcomes: vec![(0, ok()), (0, no), (77, ok())],
        feedback: Feedback::Neutral,
        connect: Duration::ZERO,
        transfer: Duration::ZERO,
    }));
    assert!(toy.reports.is_empty());
    assert_eq!(toy.logged("status=deferred (internal error: the delivery agent gave no outcome)"), 1);
    toy.tell(Input::Settled(Settled {
        id: attempt.id,
        outcomes: vec![],
        feedback: Feedback::Neutral,
        connect: Duration::ZERO,
        transfer: Duration::ZERO,
    }));
    assert_eq!(toy.logged("the end of attempt 1 that does not run"), 1);
    toy.release("x.example", Manner::Takes);
    toy.pass(seconds(300));
    assert!(toy.disk.is_empty());
}

#[test]
fn a_reload_keeps_what_runs_and_routes_the_rest_again() {
    let mut toy = Toy::new(params());
    toy.manner("x.example", Manner::Hangs);
    (1..=8).for_each(|n| toy.send(n, &["b@x.example"]));
    assert_eq!(toy.running.len(), 5);
    let mut changed = params();
    changed.schedule.transports[0].window.initial = 1;
    toy.tell(Input::Reload(Box::new(changed)));
    assert_eq!(toy.running.len(), 6, "a new window of one");
    toy.release("x.example", Manner::Takes);
    assert!(toy.disk.is_empty());
    assert!(toy.taken.len() == 8 && toy.taken.values().all(|&times| times == 1));
}

#[test]
fn a_call_before_its_time_changes_nothing() {
    let mut toy = Toy::new(params());
    toy.manner("later.example", Manner::Defers);
    toy.manner("x.example", Manner::Hangs);
    toy.send(1, &["a@later.example", "b@x.example"]);
    toy.send(2, &["a@later.example"]);
    let (before, now) = (toy.manager.clone(), toy.now.after(seconds(299)));
    toy.manager.handle_timeout(now);
    assert_eq!(toy.manager.poll_output(), None);
    assert_eq!(toy.manager, before);
}
