//! The nouns: what rooms hand to one another.
//!
//! No behaviour in time, no I/O. A queue id is never a bare integer, the null sender never an empty string.

mod attempt;
mod content;
mod envelope;
mod extension;
mod ids;
mod notice;
mod order;
mod outcome;
mod record;
mod route;
mod walk;

pub use attempt::{Attempt, AttemptRecipient, Feedback, Settled};
pub use content::{ContentPlace, Piece, Pieces};
pub use envelope::{
    BodyType, ClientFacts, Envelope, Notify, OriginalRecipient, Recipient, Ret, Sender, TlsFacts,
};
pub use extension::Extensions;
pub use ids::{AttemptId, QueueId, QueueIds, SessionId};
pub use notice::{Minutes, Notice, NoticeClass, NoticeClasses, Transcript, Voice};
pub use order::{ListedRecipient, Listing, Order, OrderResult, QueueName, Selection};
pub use outcome::{Diagnosis, Outcome};
pub use record::{Change, Loaded, Marks, Message, Origin, Refusal, Settlement, Standing, Summary};
pub use route::{Route, RouteClass};
pub use walk::Walk;
