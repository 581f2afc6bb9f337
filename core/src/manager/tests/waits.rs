//! What is said of a queue that does not empty.

use super::*;
use crate::mail::Selection;
use crate::schedule::Condition;

fn step(toy: &Toy) -> Step {
    toy.manager.first_waits().expect("a message").step
}

#[test]
fn a_message_that_waits_says_for_what() {
    let mut toy = Toy::new(params());
    assert_eq!(toy.manager.first_waits(), None);
    toy.manner("hangs.example", Manner::Hangs);
    toy.send(2, &["b@hangs.example"]);
    let waits = toy.manager.first_waits().expect("a message");
    assert_eq!((waits.id, &waits.step, waits.hindrance), (QueueId(2), &Step::Tried(1), None));
    assert_eq!(waits.recipient, Some((Mailbox::new("b", "hangs.example"), None)));
    for number in 3..=6 {
        toy.send(number, &["b@hangs.example"]);
    }
    toy.send(1, &["c@hangs.example"]);
    let Step::Queued(conditions) = step(&toy) else { panic!("{:?}", step(&toy)) };
    let full = Condition { name: "hangs.example".to_owned(), width: 5, busy: 5, rests_until: None };
    assert_eq!(conditions, [full]);
}

#[test]
fn one_that_is_put_off_says_until_when_and_one_on_hold_that_it_is() {
    let mut toy = Toy::new(params());
    toy.manner("later.example", Manner::Defers);
    toy.send(1, &["b@later.example"]);
    let due = toy.now.mono.after(Duration::from_secs(300));
    assert_eq!(step(&toy), Step::Deferred { due, parked: false, resting: Vec::new() });
    // A destination is remembered while somebody tries it: what fails one after the other does not add up.
    toy.manner("dead.example", Manner::Hangs);
    (2..=9).for_each(|number| toy.send(number, &["b@dead.example"]));
    toy.release("dead.example", Manner::IsDead);
    let Step::Deferred { resting, .. } = step(&toy) else { panic!("{:?}", step(&toy)) };
    assert!(resting.iter().any(|one| one.name == "dead.example" && one.rests_until.is_some()), "{resting:?}");
    toy.disk_hangs = true;
    toy.tell(Input::Order(Ticket(9), Order::Hold(Selection::All(None))));
    assert!(toy.manager.first_waits().is_some_and(|waits| waits.ordered), "the order is being written");
    toy.disk_goes_on();
    assert!(toy.manager.first_waits().is_some_and(|waits| waits.step == Step::Hold && !waits.ordered));
}

#[test]
fn what_the_disk_holds_up_is_said() {
    let mut toy = Toy::new(params());
    (toy.disk_hangs, toy.disk_refuses) = (true, true);
    toy.send(1, &["b@yes.example"]);
    let said = |toy: &Toy| toy.manager.first_waits().map(|waits| (waits.step, waits.hindrance));
    assert_eq!(said(&toy), Some((Step::Written, None)));
    toy.disk_goes_on();
    assert_eq!(said(&toy), Some((Step::Written, Some("the disk takes no outcomes"))));
    let mut toy = Toy::stopped(params());
    toy.tell(Input::Recovered(Summary { id: QueueId(1), ..Summary::default() }));
    assert_eq!(said(&toy), Some((Step::Incoming, Some("the log has not told of all mail yet"))));
}
