//! Makes a new message of one in the queue, through cleanup, as postsuper(1) `-r` has it; the recipients of the old one end with the commit of the new one.

use crate::content::Stored;
use crate::env::Environment;
use crate::inbound::Shared;
use crate::site::Site;
use crate::submit::submit;
use postrider_core::mail::{Attempt, Change, Envelope, Outcome, QueueId, Settlement};
use postrider_core::manager::{requeued_as, unable_to_requeue};
use postrider_core::report::Unmade;
use postrider_core::submission::{Maker, Start};
use postrider_core::time::Timestamp;

/// Requeues the recipients of an attempt; each has an outcome when this returns.
pub async fn requeue<E: Environment>(
    shared: &Shared<E>,
    site: &Site<E>,
    attempt: &Attempt,
    outcomes: &mut impl Extend<(u32, Outcome)>,
) {
    let outcome = match make(shared, site, attempt).await {
        Ok(id) => requeued_as(id),
        Err(why) => unable_to_requeue(&why),
    };
    outcomes.extend(attempt.recipients.iter().map(|recipient| (recipient.index, outcome.clone())));
}

async fn make<E: Environment>(
    shared: &Shared<E>,
    site: &Site<E>,
    attempt: &Attempt,
) -> Result<QueueId, String> {
    let of = attempt.message;
    let old = shared.spool.load(of).await?.ok_or("it is no longer in the queue")?.message;
    let recipients = attempt
        .recipients
        .iter()
        .filter_map(|recipient| old.envelope.recipients.get(recipient.index as usize).cloned())
        .collect();
    // The new id is not known yet, and nobody reads the outcomes of a message that is gone.
    let ends = attempt.recipients.iter().map(|recipient| (recipient.index, requeued_as(of)));
    let settlement =
        Settlement { id: of, at: shared.env.now().wall, outcomes: ends.collect(), retry_at: None };
    let start = Start {
        maker: Maker::Requeue { of, origin: old.origin },
        // As Postfix's pickup(8): the filter is found anew, and the age begins.
        envelope: Envelope { recipients, filter: None, arrived: Timestamp::default(), ..old.envelope },
        prepend: Vec::new(),
        changes: vec![Change::Settle(settlement)],
    };
    let mut content = Stored::new(&shared.spool, of, std::sync::Arc::clone(&attempt.pieces));
    match submit(shared, site, start, &mut content).await {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err("a rule throws it away".to_owned()),
        Err(failure) => Err(Unmade::from(failure).why().to_owned()),
    }
}
