//! What becomes of a task that panics: one session, one attempt or one errand is lost, and nothing that it held.
//!
//! A panic is a bug of ours, and no reason to keep a message active for ever or a seat taken. Whoever waits for a task gives it a
//! guard; when the task ends without having said its word (its stack unwinds), the guard says another one in its place. The log has a
//! line at error level, with the name of the task and the place of the panic. A file that a session was staging content in stays until the next start.

use crate::observe;
use postrider_core::event::Event;
use postrider_core::mail::{Attempt, AttemptId, Feedback, Outcome, QueueId, Settled};
use postrider_core::manager::Input;
use postrider_core::time::Duration;
use std::cell::RefCell;
use tokio::sync::mpsc::UnboundedSender;

thread_local! {
    /// Where this thread panicked last, and what it said.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on panics are remembered, for the log. They go to standard error too: who has no guard is heard as well.
pub fn remember_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Not logged here: the log may be what panicked, and have its lock.
        LAST.with(|last| {
            if let Ok(mut last) = last.try_borrow_mut() {
                *last = info.to_string().replace('\n', " ");
            }
        });
        before(info);
    }));
}

/// Tells the log, if the thread is panicking, whose task it was.
pub fn tell(id: Option<QueueId>, what: &str, hence: &str) {
    if !std::thread::panicking() {
        return;
    }
    let place = LAST.with(|last| last.try_borrow().map(|last| last.clone()).unwrap_or_default());
    let text = format!("internal error: {what} has panicked; {hence}: {place}");
    observe::log(Event::Trouble {
        program: "master",
        id,
        text: text.trim_end_matches([':', ' ']).to_owned(),
    });
}

/// A task that the manager waits for, and what it hears if the task does not end well.
#[derive(Debug)]
pub struct Errand {
    what: &'static str,
    id: QueueId,
    manager: UnboundedSender<Input>,
    otherwise: Option<Input>,
}

impl Errand {
    /// For `what` (a report, a route) of a message.
    #[must_use]
    pub const fn new(
        what: &'static str,
        id: QueueId,
        manager: UnboundedSender<Input>,
        otherwise: Input,
    ) -> Self {
        Self { what, id, manager, otherwise: Some(otherwise) }
    }

    /// It has ended.
    pub fn done(mut self, input: Input) {
        self.otherwise = None;
        _ = self.manager.send(input);
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if let Some(otherwise) = self.otherwise.take() {
            tell(Some(self.id), self.what, "it is tried again later");
            _ = self.manager.send(otherwise);
        }
    }
}

/// An attempt under way: whatever becomes of the task, the manager hears its end once. It travels with the attempt.
#[derive(Debug)]
pub struct Charge {
    attempt: AttemptId,
    message: QueueId,
    /// Final ones that are known already: who has the message must not get it again.
    outcomes: Vec<(u32, Outcome)>,
    /// `None` when it has been told.
    manager: Option<UnboundedSender<Input>>,
}

impl Charge {
    /// Of an attempt that begins.
    #[must_use]
    pub const fn new(attempt: &Attempt, manager: UnboundedSender<Input>) -> Self {
        Self { attempt: attempt.id, message: attempt.message, outcomes: Vec::new(), manager: Some(manager) }
    }

    /// It has ended.
    pub fn settle(mut self, settled: Settled) {
        if let Some(manager) = self.manager.take() {
            _ = manager.send(Input::Settled(settled));
        }
    }

    /// It has ended with the outcomes that were taken down.
    pub fn settle_as_noted(mut self, transfer: Duration) {
        self.end(transfer);
    }

    /// Recipients without an outcome are deferred by the manager.
    fn end(&mut self, transfer: Duration) {
        let Some(manager) = self.manager.take() else { return };
        let outcomes = std::mem::take(&mut self.outcomes);
        let feedback = Feedback::Neutral;
        _ = manager.send(Input::Settled(Settled {
            id: self.attempt,
            outcomes,
            feedback,
            connect: Duration::ZERO,
            transfer,
        }));
    }
}

/// Takes down outcomes while others of the attempt are still under way.
impl Extend<(u32, Outcome)> for Charge {
    fn extend<I: IntoIterator<Item = (u32, Outcome)>>(&mut self, outcomes: I) {
        self.outcomes.extend(outcomes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.manager.is_some() {
            tell(Some(self.message), "a delivery", "it is tried again later");
            self.end(Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_core::mail::Diagnosis;
    use postrider_core::wire::EnhancedStatus;
    use tokio::sync::mpsc::unbounded_channel;

    fn delivered() -> Outcome {
        let diagnosis = Diagnosis::ours(EnhancedStatus::new(2, 0, 0), "delivered");
        Outcome::Delivered { diagnosis, last_hop_for_dsn: true }
    }

    fn charge(manager: UnboundedSender<Input>) -> Charge {
        Charge {
            attempt: AttemptId(7),
            message: QueueId::default(),
            outcomes: Vec::new(),
            manager: Some(manager),
        }
    }

    #[tokio::test]
    async fn an_attempt_whose_task_panics_ends_with_what_was_known() {
        let (manager, mut heard) = unbounded_channel();
        let mut charge = charge(manager);
        let task = tokio::spawn(async move {
            charge.extend([(3, delivered())]);
            tokio::task::yield_now().await;
            panic!("a bug");
        });
        assert!(task.await.is_err_and(|error| error.is_panic()));
        let Some(Input::Settled(settled)) = heard.recv().await else { panic!("the manager waits for ever") };
        assert_eq!((settled.id, settled.outcomes), (AttemptId(7), vec![(3, delivered())]));
        assert!(heard.recv().await.is_none());
    }

    #[tokio::test]
    async fn an_attempt_that_nobody_takes_ends_too() {
        let (manager, mut heard) = unbounded_channel();
        // As in the channel of a parked connection that has died.
        drop(charge(manager));
        assert!(matches!(heard.recv().await, Some(Input::Settled(settled)) if settled.outcomes.is_empty()));
    }

    #[tokio::test]
    async fn the_end_is_told_once() {
        let (manager, mut heard) = unbounded_channel();
        let mut first = charge(manager.clone());
        first.extend([(0, delivered())]);
        first.settle_as_noted(Duration::ZERO);
        Errand::new("a route", QueueId::default(), manager, Input::Drain).done(Input::Ready);
        assert!(matches!(heard.recv().await, Some(Input::Settled(settled)) if settled.outcomes.len() == 1));
        assert!(matches!(heard.recv().await, Some(Input::Ready)));
        assert!(heard.recv().await.is_none());
    }

    #[tokio::test]
    async fn an_errand_that_panics_has_failed() {
        let (manager, mut heard) = unbounded_channel();
        let errand = Errand::new(
            "a route",
            QueueId::default(),
            manager,
            Input::Routed(QueueId::default(), Err("x".into())),
        );
        let task = tokio::spawn(async move {
            let _errand = errand;
            panic!("a bug");
        });
        assert!(task.await.is_err());
        assert!(matches!(heard.recv().await, Some(Input::Routed(_, Err(_)))));
    }
}
