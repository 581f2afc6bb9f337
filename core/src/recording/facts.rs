//! Facts of a session, as they are kept.

use crate::ask::Answer;
use crate::inbound::Input;
use crate::mail::{QueueId, Refusal, TlsFacts};
use serde::{Deserialize, Serialize};

/// What stands for an octet of a content.
pub(super) const MASK: u8 = b'x';
/// Masks in a row that are worth counting.
const RUN_MIN: usize = 4;

/// Octets, with rows of masks counted instead of written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Octets(Vec<Span>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Span {
    Plain(Vec<u8>),
    Masks(u32),
}

impl Octets {
    /// Packs octets.
    #[must_use]
    pub fn pack(octets: &[u8]) -> Self {
        let (mut spans, mut plain, mut rest) = (Vec::new(), Vec::new(), octets);
        while let Some(&first) = rest.first() {
            let run = rest.iter().take_while(|&&octet| octet == MASK).count();
            let taken = run.max(1);
            match u32::try_from(run) {
                Ok(count) if run >= RUN_MIN => {
                    if !plain.is_empty() {
                        spans.push(Span::Plain(std::mem::take(&mut plain)));
                    }
                    spans.push(Span::Masks(count));
                }
                _ if run > 0 => plain.extend(std::iter::repeat_n(MASK, run)),
                _ => plain.push(first),
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        if !plain.is_empty() {
            spans.push(Span::Plain(plain));
        }
        Self(spans)
    }

    /// The octets again.
    #[must_use]
    pub fn unpack(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        for span in &self.0 {
            match span {
                Span::Plain(plain) => octets.extend_from_slice(plain),
                // A driver hands on no more than a chunk at once; whatever a file says, no more is made of it.
                Span::Masks(count) => {
                    let count = (*count as usize).min(crate::limits::CHUNK_MAX);
                    octets.extend(std::iter::repeat_n(MASK, count));
                }
            }
        }
        octets
    }
}

/// What a session was told.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // As in `inbound::Input`.
pub enum SessionFact {
    Bytes(Octets),
    Closed,
    Secured(TlsFacts),
    TlsFailed(String),
    Answer(Answer),
    Identified(QueueId),
    Committed(Result<(), Refusal>),
    Drain,
    /// Only time passed.
    Time,
    Crowded,
}

impl SessionFact {
    /// All but octets, which are kept elsewhere until it is known what they are.
    pub(super) fn of(input: &Input<'_>) -> Self {
        match input {
            Input::Bytes(_) => Self::Bytes(Octets::default()),
            Input::Closed => Self::Closed,
            Input::Secured(facts) => Self::Secured(facts.clone()),
            Input::TlsFailed(why) => Self::TlsFailed(why.clone()),
            Input::Answer(answer) => Self::Answer(answer.clone()),
            Input::Identified(id) => Self::Identified(*id),
            Input::Committed(result) => Self::Committed(*result),
            Input::Drain => Self::Drain,
            Input::Crowded => Self::Crowded,
        }
    }

    /// For the machine; `octets` are those of [`SessionFact::Bytes`], unpacked. Nothing: let time pass.
    #[must_use]
    pub fn input<'a>(&self, octets: &'a [u8]) -> Option<Input<'a>> {
        Some(match self {
            Self::Bytes(_) => Input::Bytes(octets),
            Self::Closed => Input::Closed,
            Self::Secured(facts) => Input::Secured(facts.clone()),
            Self::TlsFailed(why) => Input::TlsFailed(why.clone()),
            Self::Answer(answer) => Input::Answer(answer.clone()),
            Self::Identified(id) => Input::Identified(*id),
            Self::Committed(result) => Input::Committed(*result),
            Self::Drain => Input::Drain,
            Self::Crowded => Input::Crowded,
            Self::Time => return None,
        })
    }
}
