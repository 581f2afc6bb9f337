//! What the spool was given in a model check, and whether a recovery found what it had to.

use super::platter::Platter;
use super::spool::{Seen, Step, finish, octets};
use postrider_core::machine::Machine;
use postrider_core::mail::{
    ContentPlace, Envelope, Loaded, Message, Origin, Pieces, QueueId, Recipient, Sender, Standing, Summary,
};
use postrider_core::queue::{Input, Log, Output, Ticket, Whereabouts};
use postrider_core::time::Now;
use postrider_core::wire::Mailbox;

/// How a rule was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Wrong {
    Lost,
    Invented,
    Changed,
    CameBack,
    OutcomeLost,
    OutcomeInvented,
    IdRepeats,
    AnsweredTwice,
    TakenForDamage,
    Stuck,
}

/// One message, as whoever handed it in knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mail {
    pub(super) id: QueueId,
    size: u64,
    pub(super) committed: Step,
    pub(super) settled: Step,
    pub(super) removed: Step,
    pub(super) refused: bool,
    /// It must not come back: a recovery has not found it, or it was refused and the log has worked since.
    pub(super) void: bool,
}

impl Mail {
    pub(super) fn new(id: QueueId, size: u64) -> Self {
        let no = Step::No;
        Self { id, size, committed: Step::Maybe, settled: no, removed: no, refused: false, void: false }
    }

    /// True when changes may be asked for.
    pub(super) fn is_there(&self) -> bool {
        self.committed == Step::Promised && self.removed == Step::No && !self.void
    }

    /// What was answered must hold from here.
    pub(super) fn promise(&mut self) {
        for step in [&mut self.settled, &mut self.removed] {
            if *step == Step::Answered {
                *step = Step::Promised;
            }
        }
    }

    /// What was only written may be gone.
    pub(super) fn doubt(&mut self) {
        for step in [&mut self.settled, &mut self.removed] {
            if *step == Step::Answered {
                *step = Step::Maybe;
            }
        }
    }
}

/// The message of this number, and its content.
pub(super) fn message(id: QueueId, number: usize, size: u64) -> (Message, Vec<u8>) {
    let mut pieces = Pieces::default();
    pieces.stored(0, size);
    let sender = Sender::Mailbox(Mailbox::new(["a", "b", "c", "d"][number % 4], "y.sim"));
    let recipients = ["r", "s"].map(|name| Recipient::new(Mailbox::new(name, "x.sim"))).to_vec();
    let message = Message {
        id,
        envelope: Envelope { sender, recipients, ..Envelope::default() },
        pieces,
        place: ContentPlace::Inline,
        stored: size,
        checksum: None,
        origin: Origin::Submitted,
        message_id: String::new(),
        hold: false,
        unknown: Vec::new(),
    };
    let content = (0..size).map(|at| (at as u8) ^ (0x40 + number as u8)).collect();
    (message, content)
}

fn load(log: &Log, platter: &mut Platter, now: Now, id: QueueId) -> Option<Loaded> {
    let mut log = log.clone();
    let mut found = None;
    log.handle_input(now, Input::Load { ticket: Ticket(0), id });
    finish(&mut log, platter, now, |output| {
        if let Output::Loaded { loaded: Ok(Some(loaded)), .. } = output {
            found = Some(*loaded);
        }
    });
    found
}

/// Compares what was recovered with what was promised; what was found is promised from here.
pub(super) fn judge(
    log: &Log,
    platter: &Platter,
    now: Now,
    found: &[Summary],
    all: &mut [Mail],
) -> Result<Seen, Wrong> {
    let mut platter = platter.clone();
    let mut seen = Seen::default();
    if found.iter().any(|summary| !all.iter().any(|mail| mail.id == summary.id)) {
        return Err(Wrong::Invented);
    }
    for (number, mail) in all.iter_mut().enumerate() {
        let there = found.iter().filter(|summary| summary.id == mail.id).count();
        seen.refused |= mail.refused;
        match (there, mail.committed, mail.removed) {
            (0, Step::Promised, Step::No) => return Err(Wrong::Lost),
            (0, committed, removed) => {
                seen.torn |= committed != Step::Promised;
                seen.removed |= removed.is_answered();
                mail.void = true;
            }
            (1, ..) if mail.void || mail.removed.is_answered() => return Err(Wrong::CameBack),
            (1, committed, _) => {
                seen.kept |= committed == Step::Promised;
                seen.unasked |= committed != Step::Promised;
                let loaded = load(log, &mut platter, now, mail.id).ok_or(Wrong::Changed)?;
                let place = log.whereabouts(mail.id).ok_or(Wrong::Changed)?;
                examine(&mut platter, number, mail, &loaded, place)?;
                seen.outcome |= mail.settled == Step::Promised;
                (mail.committed, mail.removed) = (Step::Promised, Step::No);
            }
            _ => return Err(Wrong::Invented),
        }
    }
    Ok(seen)
}

fn examine(
    platter: &mut Platter,
    number: usize,
    mail: &mut Mail,
    loaded: &Loaded,
    place: Whereabouts,
) -> Result<(), Wrong> {
    let (message, content) = message(mail.id, number, mail.size);
    if loaded.message != message || octets(platter, place.file, place.offset, place.length) != content {
        return Err(Wrong::Changed);
    }
    let is_settled = |standing: Option<&Standing>| !matches!(standing, Some(Standing::Waiting(_)));
    match (is_settled(loaded.standing.first()), mail.settled) {
        (false, step) if step.is_answered() => return Err(Wrong::OutcomeLost),
        (true, Step::No) => return Err(Wrong::OutcomeInvented),
        (true, _) => mail.settled = Step::Promised,
        (false, _) => mail.settled = Step::No,
    }
    if is_settled(loaded.standing.get(1)) {
        return Err(Wrong::OutcomeInvented);
    }
    Ok(())
}
