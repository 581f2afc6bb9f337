//! Orders of operators.

use super::*;
use crate::mail::{QueueName, Selection};

fn deferred(count: u64) -> Toy {
    let mut toy = Toy::new(params());
    toy.manner("later.example", Manner::Defers);
    (1..=count).for_each(|n| toy.send(n, &["b@later.example"]));
    toy
}

#[test]
fn mail_is_held_and_released_on_disk_first() {
    let mut toy = deferred(3);
    assert_eq!(toy.order(Order::Hold(Selection::All(None))), OrderResult::Done(3));
    assert!(toy.disk.values().all(|stored| stored.held));
    toy.pass(DAY);
    assert_eq!(toy.started, 3);
    toy.manner("later.example", Manner::Takes);
    assert_eq!(toy.order(Order::Release(Selection::Id(QueueId(2)))), OrderResult::Done(1));
    assert!(!toy.disk.contains_key(&QueueId(2)) && toy.disk.len() == 2);
    assert_eq!(toy.order(Order::Hold(Selection::Id(QueueId(77)))), OrderResult::Done(0));
    assert_eq!(toy.logged("postsuper: 0000000000z0003: placed on hold"), 1);
}

#[test]
fn orders_wait_until_the_queue_has_been_read() {
    let mut toy = Toy::stopped(params());
    let all = || Order::List(Selection::All(None));
    (0..101).for_each(|n| toy.tell(Input::Order(Ticket(n), all())));
    let refused = OrderResult::Failed("the queue is still being read".to_owned());
    assert_eq!(toy.ordered, [(Ticket(100), refused)], "so many may wait");
    (1..=3).for_each(|n| {
        toy.tell(Input::Recovered(Summary { id: QueueId(n), held: true, ..Summary::default() }))
    });
    toy.tell(Input::Ready);
    assert_eq!(toy.ordered.len(), 101);
    assert!(matches!(&toy.ordered[1], (Ticket(0), OrderResult::Listed(lines)) if lines.len() == 3));
    assert!(matches!(toy.order(all()), OrderResult::Listed(lines) if lines.len() == 3));
}

/// What the second of two orders finds is what the first has left, however soon they follow each other.
#[test]
fn an_order_waits_for_the_one_before() {
    let orders = [Order::Hold(Selection::All(None)), Order::Release(Selection::All(None))];
    let mut toy = deferred(3).restart_under(&orders, params(), seconds(1));
    assert_eq!(toy.ordered, [(Ticket(0), OrderResult::Done(3)), (Ticket(1), OrderResult::Done(3))]);
    assert!((1..=3).all(|n| toy.queue_of(n) != Some(QueueName::Hold)));
}

#[test]
fn an_order_that_can_not_be_recorded_changes_nothing() {
    let mut toy = deferred(2);
    toy.disk_refuses = true;
    let result = toy.order(Order::Hold(Selection::All(None)));
    assert_eq!(result, OrderResult::Failed("no space is left in the queue".to_owned()));
    toy.disk_refuses = false;
    assert_eq!(toy.queue_of(1), Some(QueueName::Deferred));
    toy.pass(seconds(300));
    assert_eq!(toy.started, 4);
}

#[test]
fn deleting_takes_many_steps_and_removes_all() {
    let mut toy = deferred(1_234);
    let selection = Selection::All(Some(QueueName::Deferred));
    assert_eq!(toy.order(Order::Delete(selection)), OrderResult::Done(1_234));
    assert!(toy.disk.is_empty() && toy.manager.messages() == 0);
}

#[test]
fn a_message_under_way_is_deleted_when_its_attempt_has_ended() {
    let mut toy = Toy::new(params());
    toy.manner("x.example", Manner::Hangs);
    toy.manner("y.example", Manner::Hangs);
    toy.send(1, &["a@x.example", "b@y.example"]);
    assert_eq!(toy.order(Order::Delete(Selection::Id(QueueId(1)))), OrderResult::Done(1));
    assert!(toy.disk.contains_key(&QueueId(1)));
    toy.release("x.example", Manner::Defers);
    assert!(toy.disk.contains_key(&QueueId(1)));
    toy.release("y.example", Manner::Refuses);
    assert!(toy.disk.is_empty() && toy.reports.is_empty() && toy.manager.messages() == 0);
}

#[test]
fn a_message_under_way_is_held_when_its_attempt_has_ended() {
    let mut toy = Toy::new(params());
    toy.manner("x.example", Manner::Hangs);
    toy.send(1, &["a@x.example"]);
    toy.order(Order::Hold(Selection::All(None)));
    toy.release("x.example", Manner::Defers);
    assert_eq!(toy.queue_of(1), Some(QueueName::Hold));
    toy.manner("x.example", Manner::Takes);
    toy.order(Order::Release(Selection::All(None)));
    assert!(toy.disk.is_empty());
}

#[test]
fn a_release_undoes_a_hold_that_still_waits() {
    let mut toy = Toy::new(params());
    toy.manner("x.example", Manner::Hangs);
    toy.send(1, &["a@x.example"]);
    toy.order(Order::Hold(Selection::All(None)));
    assert_eq!(toy.order(Order::Release(Selection::All(None))), OrderResult::Done(1));
    toy.release("x.example", Manner::Takes);
    assert!(toy.disk.is_empty());
}

#[test]
fn a_flush_tries_deferred_mail_now_even_at_dead_destinations() {
    let mut toy = Toy::new(params());
    toy.manner("x.example", Manner::Hangs);
    (1..=6).for_each(|n| toy.send(n, &["b@x.example"]));
    toy.release("x.example", Manner::IsDead);
    assert_eq!(toy.started, 5, "it counts as dead, the sixth is not tried");
    toy.manner("x.example", Manner::Takes);
    assert_eq!(toy.order(Order::Flush(Selection::All(None))), OrderResult::Done(6));
    assert!(toy.disk.is_empty());
}

#[test]
fn a_flush_of_a_site_tries_mail_for_that_site() {
    let mut toy = deferred(2);
    toy.manner("other.example", Manner::Defers);
    toy.send(9, &["a@other.example"]);
    assert_eq!(toy.order(Order::Flush(Selection::Site("OTHER.example".to_owned()))), OrderResult::Done(1));
    assert_eq!(toy.started, 4);
    assert!(matches!(
        toy.order(Order::Delete(Selection::Site("other.example".to_owned()))),
        OrderResult::Failed(_)
    ));
}

#[test]
fn requeued_mail_becomes_a_new_message_that_is_tried_at_once() {
    let mut toy = deferred(2);
    assert_eq!(toy.order(Order::Requeue(Selection::Id(QueueId(1)))), OrderResult::Done(1));
    assert_eq!(toy.logged("postsuper: 0000000000z0001: requeued"), 1);
    assert_eq!(toy.logged("0000000000z0001: removed"), 1, "the new one has its recipients");
    let (old, new) = (QueueId(1), QueueId(1_000_001));
    assert!(!toy.disk.contains_key(&old) && toy.disk.contains_key(&new));
    assert_eq!(toy.logged(&format!("{new}: to=<b@later.example>")), 1, "tried at once, and deferred");
    assert_eq!(toy.logged("requeued as"), 0, "that is no delivery");
    assert_eq!(toy.disk.len(), 2, "the other stays");
}

#[test]
fn mail_that_can_not_be_requeued_stays_as_it_is_and_is_not_returned_untried() {
    let mut toy = deferred(1);
    let reason = |toy: &Toy| format!("{:?}", toy.disk[&QueueId(1)].standing);
    let before = reason(&toy);
    assert_eq!(toy.order(Order::Hold(Selection::Id(QueueId(1)))), OrderResult::Done(1));
    // Older than its lifetime when the daemon comes back; nobody has tried it since.
    let mut toy = toy.restart(params(), DAY * 20);
    toy.tables_broken = true;
    assert_eq!(toy.order(Order::Requeue(Selection::Id(QueueId(1)))), OrderResult::Done(1));
    assert_eq!(toy.logged("it can not be requeued, and stays as it is: 451 4.3.0 a table"), 1);
    assert_eq!(reason(&toy), before, "nobody is told of what went wrong in between");
    assert!(toy.reports.is_empty());
    toy.tables_broken = false;
    toy.manner("later.example", Manner::Takes);
    toy.pass(seconds(4_000));
    assert_eq!(toy.taken.get(&(QueueId(1), 0)), Some(&1), "it is tried as ever: one order, one time");
}

#[test]
fn a_few_are_requeued_at_a_time_and_each_once() {
    let mut toy = deferred(1_200);
    toy.requeues_hang = true;
    assert_eq!(toy.order(Order::Requeue(Selection::All(None))), OrderResult::Done(1_200));
    assert_eq!(toy.requeues.len(), crate::limits::LOADS_MAX);
    toy.manner("later.example", Manner::Takes);
    toy.end_requeues();
    assert!(toy.disk.is_empty());
    assert_eq!((toy.moved.len(), toy.taken.len()), (1_200, 1_200), "and what came of it is not requeued");
}

#[test]
fn an_order_for_mail_that_is_being_requeued_does_not_count_it() {
    let mut toy = deferred(1);
    toy.requeues_hang = true;
    let one = || Selection::Id(QueueId(1));
    assert_eq!(toy.order(Order::Requeue(one())), OrderResult::Done(1));
    assert_eq!(toy.order(Order::Delete(one())), OrderResult::Done(0), "it is on its way to another name");
    assert_eq!(toy.order(Order::Hold(one())), OrderResult::Done(0));
    toy.manner("later.example", Manner::Takes);
    toy.end_requeues();
    assert!(toy.disk.is_empty() && toy.taken.contains_key(&(QueueId(1_000_001), 0)));
}

#[test]
fn a_restart_before_the_turn_of_an_order_to_requeue_leaves_mail_as_it_was() {
    let mut toy = deferred(1);
    toy.requeues_hang = true;
    assert_eq!(toy.order(Order::Requeue(Selection::Id(QueueId(1)))), OrderResult::Done(1));
    let mut toy = toy.restart(params(), seconds(1));
    toy.manner("later.example", Manner::Takes);
    toy.pass(seconds(4_000));
    assert!(toy.disk.is_empty() && toy.moved.is_empty());
    assert_eq!(toy.taken.get(&(QueueId(1), 0)), Some(&1));
}

#[test]
fn what_waits_for_a_slow_destination_is_requeued_at_once() {
    let mut toy = Toy::new(params());
    toy.manner("hub.example", Manner::Hangs);
    let many: Vec<String> = (0..300).map(|n| format!("u{n}@hub.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    toy.send(1, &many);
    let running: usize = toy.running.iter().map(|attempt| attempt.recipients.len()).sum();
    assert_eq!(toy.order(Order::Requeue(Selection::Id(QueueId(1)))), OrderResult::Done(1));
    toy.release("hub.example", Manner::Takes);
    let old = toy.taken.keys().filter(|(id, _)| *id == QueueId(1)).count();
    assert_eq!((old, toy.taken.len()), (running, 300), "those that ran, and all");
}

#[test]
fn held_mail_is_requeued_also_while_it_is_active() {
    let mut toy = Toy::new(params());
    toy.manner("x.example", Manner::Hangs);
    toy.send(1, &["b@x.example", "c@later.example"]);
    let one = || Selection::Id(QueueId(1));
    assert_eq!(toy.order(Order::Hold(one())), OrderResult::Done(1));
    assert_eq!(toy.order(Order::Requeue(one())), OrderResult::Done(1));
    assert!(!toy.disk[&QueueId(1)].held);
    toy.release("x.example", Manner::Defers);
    assert!(toy.disk.contains_key(&QueueId(1_000_001)) && !toy.disk.contains_key(&QueueId(1)));
}

#[test]
fn only_who_waits_is_requeued_also_of_a_message_that_is_under_way() {
    let mut toy = Toy::new(params());
    toy.manner("x.example", Manner::Hangs);
    toy.manner("later.example", Manner::Hangs);
    toy.send(1, &["a@yes.example", "b@x.example", "c@later.example"]);
    assert_eq!(toy.order(Order::Requeue(Selection::Id(QueueId(1)))), OrderResult::Done(1));
    assert!(toy.disk.contains_key(&QueueId(1)), "what runs ends first");
    toy.release("x.example", Manner::Takes);
    toy.release("later.example", Manner::Defers);
    let new = QueueId(1_000_001);
    let recipients = |toy: &Toy| toy.disk[&new].message.envelope.recipients.len();
    assert_eq!((toy.disk.len(), recipients(&toy)), (1, 1));
    assert_eq!(toy.taken.values().copied().collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_listing_names_queue_and_time() {
    let mut toy = deferred(1);
    toy.manner("x.example", Manner::Hangs);
    toy.send(2, &["a@x.example"]);
    let OrderResult::Listed(lines) = toy.order(Order::List(Selection::All(None))) else { panic!("a list") };
    let in_five_minutes = Timestamp::from_seconds(START + 300);
    assert_eq!(
        lines,
        [(QueueId(1), QueueName::Deferred, Some(in_five_minutes)), (QueueId(2), QueueName::Active, None)]
    );
}
