//! What the manager says of its reasons, when somebody listens (docs/RECORDING.md). A manager that works says nothing.

use crate::mail::{Attempt, Feedback, Outcome, QueueId, Sender};
use crate::manager::Manager;
use crate::manager::index::Queue;
use crate::manager::reports::Draft;
use crate::schedule::{Condition, Place, Target};
use crate::time::{Duration, Now};
use crate::wire::Mailbox;
use crate::wire::date::rfc5322;
use std::collections::BTreeMap;

/// A duration in words: seconds, with as many decimals as matter.
fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 || duration >= Duration::from_secs(100) {
        format!("{} s", duration.as_secs())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

impl Manager {
    /// From now on reasons are noted.
    pub fn listen(&mut self) {
        self.because.listen();
    }

    /// The reasons that were noted since the last call.
    #[must_use]
    pub fn reasons(&mut self) -> Vec<String> {
        self.because.take()
    }

    /// From now on edges of the tables of queues and of destinations are noted.
    pub fn listen_to_edges(&mut self) {
        self.index.taken.listen();
        self.scheduler.listen_to_edges();
    }

    /// Edges of [`super::STAGES`] that were taken since the last call.
    #[must_use]
    pub fn queue_edges(&mut self) -> Vec<(u8, u8)> {
        self.index.taken.take()
    }

    /// Edges of [`crate::schedule::STAGES`] that were taken since the last call.
    #[must_use]
    pub fn destination_edges(&mut self) -> Vec<(u8, u8)> {
        self.scheduler.edges_taken()
    }

    pub(super) fn tell_admission(&mut self, id: QueueId, queue: Queue) {
        let (active, limit) = (self.places.taken(), self.params.active_limit);
        let (well, behind) = (self.writer.is_well(), self.writer.is_behind());
        self.because.note(|| match queue {
            Queue::Active => format!("{id}: active at once: no mail waits before it, and {active} of {limit} places are taken (qmgr_message_active_limit)"),
            Queue::Hold => format!("{id}: on hold, as a rule said"),
            _ if !well => format!("{id}: waits in incoming: the disk takes no outcomes"),
            _ if behind => format!("{id}: waits in incoming: the disk is behind with outcomes"),
            _ => format!("{id}: waits in incoming: other mail came before it, or {active} of {limit} places are taken (qmgr_message_active_limit)"),
        });
    }

    pub(super) fn tell_pause(&mut self, now: Now, id: QueueId, age: Duration, pause: Duration) {
        let rule = self.params.retry;
        self.because.note(|| {
            let base = age.min(rule.maximal_backoff).max(rule.minimal_backoff);
            let bound = if age < rule.minimal_backoff {
                format!("less than minimal_backoff_time {}", seconds(rule.minimal_backoff))
            } else if age > rule.maximal_backoff {
                format!("more than maximal_backoff_time {}", seconds(rule.maximal_backoff))
            } else {
                "which is the pause".to_owned()
            };
            let jitter = pause.saturating_sub(base).as_secs_f64() * 100.0 / base.as_secs_f64().max(0.001);
            let next = rfc5322(now.wall.after(pause), 0);
            let (pause, age) = (seconds(pause), seconds(age));
            let most = rule.jitter_percent;
            format!("{id}: its next turn is in {pause}, at {next}: its age is {age}, {bound}; jitter {jitter:.1} % (retry_jitter {most})")
        });
    }

    pub(super) fn tell_expiry(&mut self, now: Now, id: QueueId) {
        if !self.because.is_heard() {
            return;
        }
        let age = self.index.get(id).map_or(Duration::ZERO, |entry| entry.age(now.mono));
        let sender = self.active.get(&id).and_then(|active| Some(&active.message.as_ref()?.envelope.sender));
        let (name, lifetime) = match sender {
            Some(Sender::Null) => ("bounce_queue_lifetime", self.params.retry.bounce_lifetime),
            _ => ("maximal_queue_lifetime", self.params.retry.lifetime),
        };
        self.because.note(|| {
            let (age, lifetime) = (seconds(age), seconds(lifetime));
            format!(
                "{id}: what remains is returned: its age is {age}, {name} is {lifetime}, and it was tried"
            )
        });
    }

    pub(super) fn tell_drafts(&mut self, id: QueueId, drafts: &[Draft]) {
        for draft in drafts {
            self.because.note(|| {
                let (to, kind) = (draft.plan.to.external(), draft.plan.kind.word());
                let count = draft.plan.recipients.len();
                format!("{id}: a {kind} notification to <{to}> is owed; recipients that it is about: {count}")
            });
        }
    }

    pub(super) fn tell_sorted(
        &mut self,
        id: QueueId,
        targets: &BTreeMap<Target, Vec<(u32, Mailbox)>>,
        outcomes: &[(u32, Outcome)],
    ) {
        if !self.because.is_heard() {
            return;
        }
        for (target, recipients) in targets {
            let place = self.scheduler.transport_name(target);
            self.because.note(|| {
                let (count, key) = (recipients.len(), target.name().1);
                format!("{id}: recipients that wait for {key} by transport {place}: {count}")
            });
        }
        for (number, outcome) in outcomes {
            let why = outcome.diagnosis();
            self.because
                .note(|| format!("{id}: recipient {number} is not tried: {} {}", why.status, why.text));
        }
    }

    pub(super) fn tell_parked(&mut self, id: QueueId, destination: &str, free: usize) {
        self.because.note(|| format!("{id}: set aside: more mail waits for {destination} than the {free} active places that are free"));
    }

    pub(super) fn tell_start(&mut self, attempt: &Attempt, place: Place) {
        if !self.because.is_heard() {
            return;
        }
        let Some(Condition { name, width, busy, .. }) = self.scheduler.health_of(place) else { return };
        self.because.note(|| {
            let Attempt { id, message, transport, .. } = attempt;
            let count = attempt.recipients.len();
            let kept = if attempt.keep_connection { "; more waits, the connection is kept" } else { "" };
            format!("{message}: attempt {} by {transport} to {name}; recipients: {count}; {busy} of {width} deliveries to it run{kept}", id.0)
        });
    }

    pub(super) fn tell_feedback(
        &mut self,
        place: Place,
        before: Option<Condition>,
        feedback: &Feedback,
        back: usize,
    ) {
        if !self.because.is_heard() {
            return;
        }
        let Some(before) = before else { return };
        let name = before.name;
        let cause = match feedback {
            Feedback::Good => "a delivery reached it".to_owned(),
            Feedback::Neutral => "a delivery that says nothing of it".to_owned(),
            Feedback::Bad(why) => format!("it could not be reached: {}", why.text),
        };
        let words = match self.scheduler.health_of(place) {
            None => {
                format!("destination {name}: forgotten, nothing waits for it (window was {})", before.width)
            }
            Some(after) if before.rests_until.is_none() && after.rests_until.is_some() => {
                let rest = seconds(self.params.retry.minimal_backoff);
                format!(
                    "destination {name}: rests for minimal_backoff_time {rest} because {cause}, and its failed pseudo-cohorts reached the limit; messages that come back: {back}"
                )
            }
            Some(after) if before.rests_until.is_some() && after.rests_until.is_none() => {
                format!("destination {name}: rests no longer because {cause}")
            }
            Some(after) if after.width != before.width => {
                format!("destination {name}: window {}→{} because {cause}", before.width, after.width)
            }
            Some(after) => format!("destination {name}: window stays {} ({cause})", after.width),
        };
        self.because.note(|| words);
    }
}
