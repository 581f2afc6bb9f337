//! Where a session stands. Each stage owns what only it needs.

use crate::machine::Stages;
use crate::mail::{BodyType, Envelope};
use crate::mail::{QueueId, Recipient, Ret, Sender};
use crate::time::Timestamp;
use crate::wire::Reply;
use crate::wire::content::Decoder;

/// The stage of a connection. Only `Command` obeys lines; only `Content` takes content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// The name of the client is not known yet; nothing has been said.
    Arriving,
    /// A TLS handshake is to start once replies are written, or is going on.
    Securing {
        /// The driver has been told.
        started: bool,
    },
    /// A line is awaited.
    Command,
    /// The first word of this line is being looked up: may it be obeyed?
    Sorting(String),
    /// A verdict is awaited.
    Judging(Pending),
    /// An id is awaited for the transaction of this recipient, its first.
    Identifying(Box<Recipient>),
    /// Content comes.
    Content(Receiving),
    /// The end of data was judged well; cleanup and spool have the message.
    Finishing {
        /// Octets of the last chunk, for the reply to BDAT.
        chunk: Option<u64>,
    },
    /// Nothing more is said or heard.
    Closed,
}

impl Stage {
    /// Its place in [`STAGES`].
    pub(super) const fn number(&self) -> u8 {
        match self {
            Self::Arriving => 0,
            Self::Securing { .. } => 1,
            Self::Command => 2,
            // To those who look on, both are a verdict that is awaited.
            Self::Sorting(_) | Self::Judging(_) => 3,
            Self::Identifying(_) => 4,
            Self::Content(_) => 5,
            Self::Finishing { .. } => 6,
            Self::Closed => 7,
        }
    }
}

/// The stages of a session.
pub const STAGES: Stages = Stages {
    machine: "session",
    names: &["arriving", "securing", "command", "judging", "identifying", "content", "finishing", "closed"],
    // A driver that answers at once lets a stimulus pass several stages; a client that pipelines does, too.
    edges: &[
        ("arriving", "judging"),
        ("arriving", "command"),
        // smtpd_tls_wrappermode.
        ("arriving", "securing"),
        ("arriving", "closed"),
        ("judging", "command"),
        ("judging", "identifying"),
        ("judging", "content"),
        ("judging", "securing"),
        ("judging", "finishing"),
        ("judging", "closed"),
        ("command", "judging"),
        ("command", "identifying"),
        ("command", "content"),
        ("command", "securing"),
        // BDAT 0 LAST.
        ("command", "finishing"),
        ("command", "closed"),
        ("securing", "command"),
        ("securing", "closed"),
        ("identifying", "command"),
        ("identifying", "judging"),
        ("identifying", "content"),
        // The whole content came with its command.
        ("identifying", "finishing"),
        ("identifying", "closed"),
        ("content", "judging"),
        ("content", "finishing"),
        ("content", "command"),
        ("content", "closed"),
        ("finishing", "command"),
        ("finishing", "judging"),
        ("finishing", "identifying"),
        ("finishing", "closed"),
    ],
};

/// What a verdict is awaited for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Pending {
    /// The connection.
    Connect,
    /// HELO or EHLO.
    Hello(Hello),
    /// MAIL.
    Mail(Box<Transaction>),
    /// RCPT.
    Rcpt(Box<Recipient>),
    /// DATA.
    Data,
    /// The first BDAT.
    Bdat {
        /// Octets of the chunk.
        count: u64,
        /// It is the last as well.
        last: bool,
    },
    /// VRFY: the address, and as it was written.
    Vrfy(Box<Recipient>, String),
    /// The end of data.
    EndOfData {
        /// Octets of the last chunk, for the reply to BDAT.
        chunk: Option<u64>,
    },
}

/// How a client introduced itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Hello {
    /// Its argument, control characters as `?`.
    pub(crate) name: String,
    /// By EHLO.
    pub(crate) extended: bool,
}

/// MAIL to the end of data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// The reverse-path as given.
    pub sender: Sender,
    /// The forward-paths accepted, as given.
    pub recipients: Vec<Recipient>,
    /// When MAIL came.
    pub arrived: Timestamp,
    /// `SIZE` as declared; 0 for none.
    pub declared: u64,
    /// Octets of content so far.
    pub stored: u64,
    /// `ENVID`, decoded.
    pub envid: Option<String>,
    /// `RET`.
    pub ret: Option<Ret>,
    /// `BODY`.
    pub body: BodyType,
    /// `SMTPUTF8`.
    pub smtputf8: bool,
    /// Its queue id, once it has an accepted recipient.
    pub id: Option<QueueId>,
    /// Recipients beyond the limit.
    pub(crate) overshoot: u64,
    /// Why the content will be refused at its end.
    pub(crate) trouble: Option<Trouble>,
}

impl Transaction {
    /// The envelope, of what this room knows.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        Envelope {
            sender: self.sender.clone(),
            recipients: self.recipients.clone(),
            arrived: self.arrived,
            envid: self.envid.clone(),
            ret: self.ret,
            body: self.body,
            smtputf8: self.smtputf8,
            ..Envelope::default()
        }
    }
}

/// Why content is received only to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trouble {
    /// It is larger than message_size_limit.
    TooBig,
    /// It has a bare LF, which the configuration does not want.
    BareLf,
    /// There is no memory for it.
    Crowded,
}

/// Content that is coming.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Receiving {
    /// Behind 354.
    Data(Decoder),
    /// A chunk.
    Chunk {
        /// The decoder of all chunks of the message.
        decoder: Decoder,
        /// Octets still to come.
        left: u64,
        /// Octets of the chunk.
        count: u64,
        /// It is the last.
        last: bool,
    },
    /// A chunk that was refused: its octets must pass before the reply, or they would be taken for commands.
    Skip {
        /// Octets still to come.
        left: u64,
        /// It is the last.
        last: bool,
        /// What is said then.
        reply: Reply,
    },
}

/// Where a sequence of BDAT commands stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Chunks {
    /// There is none.
    None,
    /// More chunks are to come.
    Open(Decoder),
    /// One was refused; those that a client had under way are discarded (RFC 3030 3).
    Failed,
}
