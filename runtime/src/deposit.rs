//! Final delivery: carries out what local(8), virtual(8), error(8) and discard(8) decide in core.

use crate::content::{Reader, Stored};
use crate::env::{Environment, Letter};
use crate::inbound::Shared;
use crate::manager::deliberate;
use crate::site::Site;
use crate::submit::submit;
use postrider_core::limits::CHUNK_MAX;
use postrider_core::local::{self, Delivery, Deposit, Encoder, Fault, Forward, Job, Params};
use postrider_core::mail::{
    Attempt, AttemptRecipient, Change, Diagnosis, Feedback, Outcome, QueueId, Settled, Settlement,
};
use postrider_core::params::master_cf::Delivery as Program;
use postrider_core::submission::{Failure, Maker, Start};
use postrider_core::time::Duration;
use postrider_core::wire::EnhancedStatus;
use std::sync::Arc;

/// Octets of a header in which earlier deliveries are looked for.
const HEADER_MAX: usize = 256 * 1024;

/// Delivers to every recipient of an attempt. `outcomes` has each one as soon as it is known: a panic at the second recipient does
/// not make the first get the message twice.
pub async fn deliver<E: Environment>(
    shared: &Arc<Shared<E>>,
    site: &Arc<Site<E>>,
    program: Program,
    params: &Params,
    attempt: &Attempt,
    outcomes: &mut impl Extend<(u32, Outcome)>,
) {
    let mut alike = |outcome: Outcome| {
        outcomes.extend(attempt.recipients.iter().map(|recipient| (recipient.index, outcome.clone())));
    };
    match program {
        // `retry` is error(8) under another name: it defers.
        Program::Error => alike(local::failed(attempt, attempt.transport == "retry")),
        Program::Discard => alike(local::discarded(attempt)),
        _ => {
            let before = match header(shared, attempt).await {
                Ok(octets) => local::delivered_to(&octets),
                Err(why) => return alike(deferred((4, 3, 0), why, &attempt.transport)),
            };
            for recipient in &attempt.recipients {
                let desk = Desk { shared, site, params, attempt, program };
                let outcome = desk.recipient(recipient, &before).await;
                outcomes.extend([(recipient.index, outcome)]);
            }
        }
    }
}

/// The end of an attempt for a transport that is not there.
#[must_use]
pub fn unavailable(attempt: &Attempt) -> Settled {
    let outcome = deferred((4, 3, 5), "mail transport unavailable".to_owned(), "none");
    let outcomes = attempt.recipients.iter().map(|recipient| (recipient.index, outcome.clone())).collect();
    let (feedback, connect, transfer) = (Feedback::Neutral, Duration::ZERO, Duration::ZERO);
    Settled { id: attempt.id, outcomes, feedback, connect, transfer }
}

fn deferred(status: (u8, u16, u16), text: String, relay: &str) -> Outcome {
    let status = EnhancedStatus::new(status.0, status.1, status.2);
    Outcome::Deferred(Diagnosis { relay: relay.to_owned(), ..Diagnosis::ours(status, text) })
}

async fn header<E: Environment>(shared: &Shared<E>, attempt: &Attempt) -> Result<Vec<u8>, String> {
    let mut reader = Reader::new(attempt.message, Arc::clone(&attempt.pieces));
    let mut octets = Vec::new();
    while octets.len() < HEADER_MAX {
        let more = reader.next(&shared.spool, CHUNK_MAX).await?;
        let done = more.is_empty();
        octets.extend_from_slice(&more);
        if done || octets.windows(4).any(|four| four == b"\r\n\r\n") {
            break;
        }
    }
    Ok(octets)
}

fn gone() -> Fault {
    Fault::Other("the daemon is stopping".to_owned())
}

struct Desk<'a, E: Environment> {
    shared: &'a Arc<Shared<E>>,
    site: &'a Arc<Site<E>>,
    params: &'a Params,
    attempt: &'a Attempt,
    program: Program,
}

impl<E: Environment> Desk<'_, E> {
    async fn recipient(&self, recipient: &AttemptRecipient, before: &[String]) -> Outcome {
        let job = Job { attempt: self.attempt, recipient, delivered_to: before };
        let decided = match self.program {
            Program::Local => {
                deliberate(&self.site.answers, |facts| {
                    local::decide(job, self.params, &self.site.rewrite, facts)
                })
                .await
            }
            _ => deliberate(&self.site.answers, |facts| local::decide_virtual(job, self.params, facts)).await,
        };
        match decided {
            Ok(delivery) => self.carry_out(recipient, delivery).await,
            Err(why) => deferred((4, 3, 0), why, &self.attempt.transport),
        }
    }

    async fn carry_out(&self, recipient: &AttemptRecipient, delivery: Delivery) -> Outcome {
        let relay = delivery.outcome.diagnosis().relay.clone();
        for deposit in &delivery.deposits {
            if let Err(why) = self.deposit(deposit).await {
                return local::fault(deposit, &why, &relay);
            }
        }
        if let Some(handover) = &delivery.handover {
            let outcome = self.hand_over(recipient, &handover.transport, &handover.nexthop).await;
            // Copies for others leave once the own one has: should that fail, all is tried again.
            if !matches!(outcome, Outcome::Delivered { .. }) || delivery.forward.is_none() {
                return outcome;
            }
        }
        match &delivery.forward {
            Some(forward) => self.forward(recipient, forward).await,
            None => delivery.outcome,
        }
    }

    /// Writes a message into a mailbox.
    async fn deposit(&self, deposit: &Deposit) -> Result<(), Fault> {
        let env = &self.shared.env;
        let letter = self.open(deposit).await?;
        match self.write(deposit, letter).await? {
            (letter, Ok(())) => env.blocking(move || letter.finish()).await.ok_or_else(gone)?,
            (letter, Err(why)) => {
                env.blocking(move || letter.abandon()).await;
                Err(why)
            }
        }
    }

    /// Opens a mailbox; one that is locked is waited for, without keeping a thread.
    async fn open(&self, deposit: &Deposit) -> Result<Box<dyn Letter>, Fault> {
        let env = &self.shared.env;
        let mut waited = Duration::ZERO;
        loop {
            let now = env.now().wall;
            let (mailboxes, wanted) = (env.mailboxes(), deposit.clone());
            let opened = env.blocking(move || mailboxes.open(&wanted, now)).await;
            let opened = opened.unwrap_or_else(|| Err(gone()));
            match (opened, self.params.patience.pause(waited)) {
                (Err(Fault::Locked(_)), Some(pause)) => {
                    tokio::time::sleep(pause).await;
                    waited += pause;
                }
                (opened, _) => return opened,
            }
        }
    }

    /// Writes the message; the letter comes back with how that went. A file may be on a slow disk, so no worker waits for it.
    async fn write(
        &self,
        deposit: &Deposit,
        mut letter: Box<dyn Letter>,
    ) -> Result<(Box<dyn Letter>, Result<(), Fault>), Fault> {
        let env = &self.shared.env;
        let now = env.now().wall;
        let (mut encoder, mut encoded) =
            Encoder::new(deposit, &self.attempt.sender, now, env.utc_offset(now));
        let mut reader = Reader::new(self.attempt.message, Arc::clone(&self.attempt.pieces));
        loop {
            let octets = match reader.next(&self.shared.spool, CHUNK_MAX).await {
                Ok(octets) => octets,
                Err(why) => return Ok((letter, Err(Fault::Other(why)))),
            };
            let ended = octets.is_empty();
            encoded.extend_from_slice(&if ended { encoder.finish() } else { encoder.take(&octets) });
            // A small message goes out in one write.
            if !ended && encoded.len() < CHUNK_MAX {
                continue;
            }
            let write = std::mem::take(&mut encoded);
            let written = env.blocking(move || {
                let result = letter.write(&write);
                (letter, result)
            });
            let (back, result) = written.await.ok_or_else(gone)?;
            if ended || result.is_err() {
                return Ok((back, result));
            }
            letter = back;
        }
    }

    /// Another transport delivers in place of local(8), within the same attempt.
    async fn hand_over(&self, recipient: &AttemptRecipient, transport: &str, nexthop: &str) -> Outcome {
        let attempt = Attempt {
            transport: transport.to_owned(),
            nexthop: nexthop.to_owned(),
            recipients: vec![recipient.clone()],
            keep_connection: false,
            ..self.attempt.clone()
        };
        crate::manager::deliver_aside(self.shared, self.site, attempt).await
    }

    /// A new message takes the recipient's place, in one step with the recipient's end.
    async fn forward(&self, recipient: &AttemptRecipient, forward: &Forward) -> Outcome {
        let (of, relay) = (self.attempt.message, self.attempt.transport.as_str());
        let start = Start {
            maker: Maker::Forward { of },
            envelope: forward.envelope(self.attempt),
            prepend: forward.prepend.clone(),
            // The new id is not known yet; the outcome that the manager writes later has it.
            changes: vec![Change::Settle(Settlement {
                id: of,
                at: self.shared.env.now().wall,
                outcomes: vec![(recipient.index, local::forwarded_as(QueueId::default(), relay))],
                retry_at: None,
            })],
        };
        let mut stored =
            Stored::new(&self.shared.spool, self.attempt.message, Arc::clone(&self.attempt.pieces));
        match submit(self.shared, self.site, start, &mut stored).await {
            Ok(Some(id)) => local::forwarded_as(id, relay),
            Ok(None) => local::forwarded_as(of, relay),
            Err(Failure::Refused(reply)) => local::not_forwarded(&reply, relay),
            Err(_) => deferred((4, 3, 0), "cannot forward: queue file write error".to_owned(), relay),
        }
    }
}
