//! An operator: what a story has done to the queue of a host, as postqueue(1) and postsuper(1) do, and to its configuration.

use super::{Live, Site, Work};
use crate::faults::Class;
use crate::world::Scope;
use postrider_core::dns;
use postrider_core::event::Event;
use postrider_core::mail::{Order, OrderResult, Selection};
use postrider_core::manager::Input;
use postrider_core::queue::Ticket;
use postrider_core::time::{Duration, Instant};
use std::sync::Arc;

const FLUSH: Ticket = Ticket(0);
const REQUEUE: Ticket = Ticket(1);
const HOLD: Ticket = Ticket(2);
const RELEASE: Ticket = Ticket(3);
const LIST: Ticket = Ticket(4);
const DELETE: Ticket = Ticket(5);
/// Until an order to release that failed is given again.
const AGAIN: Duration = Duration::from_secs(60);

/// What the operator has in mind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Operator {
    /// Mail is to be released, and it has not been said that it is. Outlives a crash: it is a person who wants it.
    pub(super) releasing: bool,
    /// When that is ordered again.
    again: Option<Instant>,
    /// One message of those that are listed next is to be deleted.
    deleting: Option<u64>,
}

impl Operator {
    /// What is left after a crash of the host.
    pub(super) fn after_crash(self) -> Self {
        Self { releasing: self.releasing, ..Self::default() }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.again
    }
}

impl Live {
    /// All mail is to be tried now.
    pub(super) fn flush(&mut self, scope: &mut Scope<'_>) {
        if self.ids.is_some() {
            scope.fabric.ledger.flushed(scope.node);
            self.order(FLUSH, Order::Flush(Selection::All(None)));
        }
    }

    /// All mail is to go through cleanup anew.
    pub(super) fn requeue_all(&mut self) {
        self.order(REQUEUE, Order::Requeue(Selection::All(None)));
    }

    /// All mail that is there is to wait.
    pub(super) fn hold_all(&mut self) {
        self.operator.releasing = false;
        self.order(HOLD, Order::Hold(Selection::All(None)));
    }

    /// Mail that waits for the operator is to go on.
    pub(super) fn release_all(&mut self, scope: &mut Scope<'_>) {
        scope.fabric.ledger.releasing(scope.node, true);
        (self.operator.releasing, self.operator.again) = (true, None);
        self.order(RELEASE, Order::Release(Selection::All(None)));
    }

    /// Some message is to be deleted.
    pub(super) fn delete_one(&mut self, choice: u64) {
        self.operator.deleting = Some(choice);
        self.order(LIST, Order::List(Selection::All(None)));
    }

    /// Another configuration is used from now on, as the runtime does it: sessions and attempts that are under way keep theirs.
    pub(super) fn reload(&mut self, scope: &mut Scope<'_>, site: Arc<Site>) {
        self.transports = site.fresh_transports();
        self.site = site;
        self.reloaded = scope.fabric.kernel.now();
        self.ended.clear();
        self.promise(scope);
        scope.fired(Class::Reloaded);
        self.tell_resolver(scope, dns::Input::Reload(self.site.dns.clone()));
        self.work.push_back(Work::Manager(Input::Reload(Box::new(self.site.manager.clone()))));
    }

    fn order(&mut self, ticket: Ticket, order: Order) {
        self.work.push_back(Work::Manager(Input::Order(ticket, order)));
    }

    /// What an order came to.
    pub(super) fn ordered(&mut self, scope: &mut Scope<'_>, ticket: Ticket, result: &OrderResult) {
        match (ticket, result) {
            (LIST, OrderResult::Listed(lines)) => {
                let choice = self.operator.deleting.take();
                let place = choice.and_then(|choice| choice.checked_rem(lines.len() as u64));
                let Some((id, ..)) = place.and_then(|place| lines.get(place as usize)) else { return };
                // From now on it may be gone: whether the order was written is seen only when it has been.
                scope.fabric.ledger.deleting(&id.to_string());
                self.order(DELETE, Order::Delete(Selection::Id(*id)));
            }
            (RELEASE, OrderResult::Done(_)) => {
                self.operator.releasing = false;
                scope.fabric.ledger.releasing(scope.node, false);
            }
            (RELEASE, _) => self.operator.again = Some(scope.fabric.kernel.now().after(AGAIN)),
            _ => {}
        }
    }

    /// The operator looks again.
    pub(super) fn operator_returns(&mut self, scope: &mut Scope<'_>) {
        if self.operator.again.is_some_and(|at| at <= scope.fabric.kernel.now()) {
            self.release_all(scope);
        }
    }

    /// The oracle hears what came of orders.
    pub(super) fn overhear_order(&self, scope: &mut Scope<'_>, event: &Event) {
        let Event::Ordered { id, what } = event else { return };
        let ledger = &mut scope.fabric.ledger;
        match *what {
            "requeued" | "released from hold" => ledger.may_hurry(scope.node, *id),
            "placed on hold" => {
                ledger.held(scope.node, *id);
                scope.fired(Class::Held);
            }
            "removed" => {
                ledger.deleted(scope.node, *id);
                scope.fired(Class::Deleted);
            }
            _ => {}
        }
    }
}
