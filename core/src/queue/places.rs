//! How many messages the queue holds at most.
//!
//! Each costs memory for as long as it is there, some 400 octets, and destinations may stand still for days. So new mail is refused with 452 at
//! `queue_message_limit` (ours), before the machine is short of memory for what it already answers for. Reports and forwards are taken: they
//! stand for mail that is about to leave. So are notices to the postmaster, of which there are few.

use super::item::Item;
use super::log::{Log, PROGRAM};
use crate::event::Event;
use crate::mail::Origin;

impl Log {
    /// False for new mail that the queue has no place for; that it began to refuse is told once.
    pub(super) fn has_place_for(&mut self, item: &Item) -> bool {
        let (limit, messages) = (self.params.message_limit, self.messages() + self.writer.coming());
        if messages < limit {
            // Not at each message that leaves from a full queue.
            self.is_crowded &= messages >= limit - limit / 16;
            return true;
        }
        // One that takes another's place needs none of its own.
        if item.commits().is_none_or(|message| message.origin != Origin::Submitted) || item.replaces() {
            return true;
        }
        if !std::mem::replace(&mut self.is_crowded, true) {
            let text = format!(
                "the queue holds {messages} messages, as many as queue_message_limit allows: new mail is refused with 452 until some \
                 have left; see what does not leave with \"postqueue -p\", or set a higher limit and start anew"
            );
            self.event(Event::Trouble { program: PROGRAM, id: None, text });
        }
        false
    }
}
