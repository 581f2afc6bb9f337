//! Operators who wait for the results of their orders.

use crate::sync::{Mutex, MutexGuard, PoisonError};
use postrider_core::mail::{Order, OrderResult};
use postrider_core::manager::Input;
use postrider_core::queue::Ticket;
use std::collections::BTreeMap;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// Who waits for which result.
#[derive(Debug, Default)]
pub struct Orders {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    /// The manager has ended.
    over: bool,
    replies: BTreeMap<Ticket, oneshot::Sender<OrderResult>>,
}

impl Orders {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an order to the manager, and waits for its result; there is one even if the manager ends before it has obeyed.
    pub async fn give(&self, facts: &UnboundedSender<Input>, order: Order) -> OrderResult {
        let (ticket, answer) = self.wait();
        _ = facts.send(Input::Order(ticket, order));
        answer.await.unwrap_or_else(|_| OrderResult::Failed("the daemon is stopping".to_owned()))
    }

    /// A ticket, and where its result will come.
    fn wait(&self) -> (Ticket, oneshot::Receiver<OrderResult>) {
        let (reply, answer) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.last += 1;
        let ticket = Ticket(waiting.last);
        // Dropped where nobody is left who could answer.
        if !waiting.over {
            waiting.replies.insert(ticket, reply);
        }
        (ticket, answer)
    }

    /// The result of an order.
    pub(crate) fn done(&self, ticket: Ticket, result: OrderResult) {
        let reply = self.waiting().replies.remove(&ticket);
        if let Some(reply) = reply {
            _ = reply.send(result);
        }
    }

    /// No order is obeyed any more when what this gives is dropped.
    pub(crate) const fn until_end(&self) -> Open<'_> {
        Open(self)
    }
}

/// Orders are obeyed.
pub(crate) struct Open<'a>(&'a Orders);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.over = true;
        waiting.replies.clear();
    }
}
