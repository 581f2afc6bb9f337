//! Recordings that are made here, and what is told of them.

use super::*;
use postrider_core::machine::Machine;
use postrider_core::mail::{
    Diagnosis, Envelope, Feedback, Message, Outcome, QueueId, Recipient, Route, RouteClass, Settled,
};
use postrider_core::manager::{Input, Manager, Output, Params};
use postrider_core::params::Settings;
use postrider_core::prng::Prng;
use postrider_core::recording::{Begin, Kind, MAGIC, Minutes, frame};
use postrider_core::time::{Duration, Now};
use postrider_core::wire::{EnhancedStatus, Mailbox};

/// A manager whose driver answers at once and records; deliveries fail for now.
struct Office {
    manager: Manager,
    minutes: Minutes,
    now: Now,
    frames: Vec<Vec<u8>>,
    /// Ends of attempts that are told later.
    ends: Vec<Input>,
}

impl Office {
    fn new() -> Self {
        let transports = [("smtp".to_owned(), 100)];
        let params = Params::new(&Settings::of(&[]), &transports).expect("values that are right");
        let mut office = Self {
            manager: Manager::new(params, Prng::new(7)),
            minutes: Minutes::default(),
            now: Now::default(),
            frames: Vec::new(),
            ends: Vec::new(),
        };
        office.write_down();
        office.tell(Some(Input::Ready));
        office
    }

    fn write_down(&mut self) {
        let (frame, known) = self.minutes.state(self.now, &self.manager);
        assert!(known);
        self.frames.extend(frame);
    }

    fn tell(&mut self, input: Option<Input>) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.minutes.begin(self.now, input.as_ref());
            match input {
                Some(input) => self.manager.handle_input(self.now, input),
                None => self.manager.handle_timeout(self.now),
            }
            while let Some(output) = self.manager.poll_output() {
                self.minutes.output(&output);
                match answer(output) {
                    Some(end @ Input::Settled(_)) => self.ends.push(end),
                    other => inputs.extend(other.map(Some)),
                }
            }
            self.frames.extend(self.minutes.end());
        }
    }

    /// The attempts that run end, in their order.
    fn end_attempts(&mut self) {
        for end in std::mem::take(&mut self.ends) {
            self.tell(Some(end));
        }
    }

    fn letter(&mut self, number: u64) {
        let recipients = vec![Recipient::new(Mailbox::new("b", "there.example"))];
        let message = Message {
            id: QueueId(number),
            envelope: Envelope { recipients, ..Envelope::default() },
            pieces: postrider_core::mail::Pieces::default(),
            place: postrider_core::mail::ContentPlace::Inline,
            stored: 0,
            origin: postrider_core::mail::Origin::Submitted,
            message_id: String::new(),
            hold: false,
            checksum: None,
            unknown: Vec::new(),
        };
        self.tell(Some(Input::Committed(Box::new(message))));
    }

    fn file(&self) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        self.frames.iter().for_each(|frame| file.extend(frame));
        file
    }
}

fn answer(output: Output) -> Option<Input> {
    match output {
        Output::Route { id, recipients, message } => {
            let route = |number: u32| {
                let recipient = message.envelope.recipients[number as usize].address.clone();
                let (transport, nexthop) = ("smtp".to_owned(), "there.example".to_owned());
                (number, Route::To { transport, nexthop, recipient, class: RouteClass::Default })
            };
            Some(Input::Routed(id, Ok(recipients.into_iter().map(route).collect())))
        }
        Output::Attempt(attempt) => {
            let why = Diagnosis::ours(EnhancedStatus::new(4, 4, 1), "connection refused");
            Some(Input::Settled(Settled {
                id: attempt.id,
                outcomes: vec![(0, Outcome::Deferred(why.clone()))],
                feedback: Feedback::Bad(why),
                connect: Duration::ZERO,
                transfer: Duration::ZERO,
            }))
        }
        Output::Append(ticket, _) => Some(Input::Appended(ticket, Ok(()))),
        _ => None,
    }
}

fn told(files: &[Vec<u8>]) -> (String, Summary) {
    let mut text = String::new();
    let summary = explain(files, &Wish::default(), &mut |entry| text += &entry.text());
    (text, summary)
}

#[test]
fn the_manager_says_why_a_message_waits_and_a_destination_shrinks() {
    let mut office = Office::new();
    for number in 1..=3 {
        office.letter(number);
    }
    office.end_attempts();
    let (text, summary) = told(&[office.file()]);
    assert_eq!((summary.divergences, summary.unexplained, summary.damages), (0, 0, 0), "{text}");
    for sentence in [
        "destination there.example: window 5→4 because it could not be reached: connection refused",
        "its next turn is in",
        "less than minimal_backoff_time 300 s; jitter",
        "attempt 1 by smtp to there.example",
    ] {
        assert!(text.contains(sentence), "{sentence}\n{text}");
    }
}

#[test]
fn a_manager_that_is_written_down_again_is_the_one_that_its_facts_make() {
    let mut office = Office::new();
    office.letter(1);
    office.write_down();
    office.letter(2);
    let (text, summary) = told(&[office.file()]);
    assert_eq!((summary.divergences, summary.unexplained), (0, 0), "{text}");
    // Another manager, of which the facts know nothing.
    let other = Office::new();
    let mut frames = office.frames.clone();
    frames.extend(office.minutes.state(office.now, &other.manager).0);
    let mut file = MAGIC.to_vec();
    frames.iter().for_each(|frame| file.extend(frame));
    let (text, summary) = told(&[file]);
    assert_eq!(summary.divergences, 1, "{text}");
    assert!(text.contains("the same facts lead to another state"), "{text}");
}

#[test]
fn facts_behind_a_lost_one_are_not_explained_until_the_manager_is_written_down_again() {
    let mut office = Office::new();
    office.letter(1);
    let lost = office.frames.len();
    office.letter(2);
    office.write_down();
    office.letter(3);
    office.frames.remove(lost);
    let (text, summary) = told(&[office.file()]);
    assert_eq!(summary.divergences, 0, "{text}");
    assert!(summary.unexplained > 0, "{text}");
    assert!(text.contains(&format!("{} is durable", QueueId(3))), "{text}");
    assert!(!text.contains(&format!("{} is durable", QueueId(2))), "{text}");
}

#[test]
fn a_recording_of_another_commit_says_so_and_an_old_one_that_it_does_not_know() {
    let of = |version: &str| {
        let at = postrider_core::time::Timestamp::from_seconds(1_700_000_000);
        let begin = Begin { version: version.to_owned(), number: 1, at, content: false };
        let mut file = MAGIC.to_vec();
        file.extend(frame(Kind::Begin, &begin).expect("small"));
        let (text, summary) = told(&[file]);
        assert_eq!((summary.records, summary.damages), (1, 0), "{text}");
        text
    };
    let ours = of(BUILT);
    assert!(ours.contains(&format!("recorded by version {BUILT} since ")) && !ours.contains("may decide"));
    assert!(BUILT.contains('+'), "{BUILT}");
    let plain = env!("CARGO_PKG_VERSION");
    let other = of(&format!("{plain}+0123456789ab"));
    assert!(
        other.contains(&format!("{plain}+0123456789ab, this is {BUILT}: it may decide otherwise")),
        "{other}"
    );
    let old = of(plain);
    assert!(old.contains(&format!("{plain} of a commit that it does not say, this is {BUILT}")), "{old}");
}
