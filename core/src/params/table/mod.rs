//! TABLE of parameters: a row for each name.
//!
//! A row says everything about a parameter: its kind (which decides how a value is checked), its default as Postfix 3.7
//! writes it, the machine that it serves, whether it works, and a paragraph for the manual. The getters of
//! [`Settings`](super::Settings), `postrider config`, the checks at start and docs/reference/parameters.md all come from here.
//! The default is a safer one where a later release of Postfix is safer; docs/reference says which.
//!
//! Knows nothing of the values of a configuration.

mod cleanup;
mod filter;
mod general;
mod lmtp;
mod local;
mod ours;
mod postscreen;
mod queue;
mod rewrite;
mod sasl;
mod smtp;
mod smtpd;
mod tls;
mod verify;

use std::cmp::Ordering;
use std::sync::LazyLock;

/// The unit of a time that is written without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// `s`
    Seconds,
    /// `m`
    Minutes,
    /// `h`
    Hours,
    /// `d`
    Days,
    /// `w`
    Weeks,
}

impl Unit {
    /// Seconds in one.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Seconds => 1,
            Self::Minutes => 60,
            Self::Hours => 3_600,
            Self::Days => 86_400,
            Self::Weeks => 604_800,
        }
    }

    /// The unit of a letter.
    #[must_use]
    pub const fn of_letter(letter: char) -> Option<Self> {
        match letter {
            's' => Some(Self::Seconds),
            'm' => Some(Self::Minutes),
            'h' => Some(Self::Hours),
            'd' => Some(Self::Days),
            'w' => Some(Self::Weeks),
            _ => None,
        }
    }

    /// Its letter.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Seconds => 's',
            Self::Minutes => 'm',
            Self::Hours => 'h',
            Self::Days => 'd',
            Self::Weeks => 'w',
        }
    }
}

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Any text, expanded.
    Text,
    /// A template: never expanded when it is read; who uses it expands its own names.
    Raw,
    /// `yes` or `no`.
    Flag,
    /// A whole number.
    Number {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// A time.
    Time {
        /// The unit of a bare number.
        unit: Unit,
        /// The least, in seconds.
        min: u64,
        /// The greatest, in seconds.
        max: u64,
    },
    /// Items, split at commas and white space.
    List,
    /// `type:name` tables.
    Tables,
    /// A match list: patterns, `!pattern`, tables, `/files`.
    Matches,
    /// Access restrictions.
    Restrictions,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any of these words.
    Words(&'static [&'static str]),
    /// Feedback of the scheduler: a number, or a number divided by `concurrency` or `sqrt_concurrency`.
    Feedback,
    /// A compatibility level: `3.6`.
    Level,
}

impl Kind {
    /// A word as the table writes it: words are the same in any case, and rooms compare them as they are.
    #[must_use]
    pub fn canonical(self, value: &str) -> Option<&'static str> {
        let Self::Word(words) = self else { return None };
        words.iter().find(|word| word.eq_ignore_ascii_case(value)).copied()
    }
}

/// The machine that a parameter serves, by the name of the Postfix program that does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Serves {
    Every,
    Smtpd,
    Smtp,
    Lmtp,
    Cleanup,
    Rewrite,
    Qmgr,
    Queue,
    Bounce,
    Local,
    Virtual,
    Pipe,
    Discard,
    Verify,
    Anvil,
    Scache,
    Flush,
    Tls,
    Master,
    Pickup,
    Commands,
    Postscreen,
    Proxymap,
    Qmqpd,
}

/// How far a parameter works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Works {
    /// As in Postfix.
    Works,
    /// Not yet: a configuration that sets it is told at start.
    NotYet,
    /// A parameter that Postfix does not have.
    Ours,
    /// Read by other programs through `postrider config`, never by the daemon.
    KnownElsewhere,
    /// Tunes a part of Postfix that has no counterpart here: a configuration that sets it is told that this has no effect.
    Moot,
}

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// The default, before expansion; [`HOST`] and [`OLD`] are not texts but marks.
    pub default: &'static str,
    /// Whom it serves.
    pub serves: Serves,
    /// Whether it works.
    pub works: Works,
    /// The release of Postfix that brought it, where the manuals say so.
    pub since: &'static str,
    /// A paragraph of documentation; empty where a parameter is only known.
    pub manual: &'static str,
}

impl Row {
    /// The default as text before expansion; `None` when the host decides.
    #[must_use]
    pub fn expression(&self) -> Option<&'static str> {
        match self.default {
            HOST => None,
            OLD => Some(""),
            text => Some(text),
        }
    }

    /// The default where it is the same in every configuration that does not set the name: it refers to no other.
    #[must_use]
    pub fn plain(&self) -> Option<&'static str> {
        let text = self.expression()?;
        (self.kind == Kind::Raw || !text.contains('$')).then(|| self.kind.canonical(text).unwrap_or(text))
    }

    /// True for a name that only older releases know: empty unless set, and not printed among the defaults.
    #[must_use]
    pub fn is_old(&self) -> bool {
        self.default == OLD
    }
}

/// A parameter of each transport, `TRANSPORT_suffix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportRow {
    /// What follows the transport's name and `_`.
    pub suffix: &'static str,
    /// The parameter that holds for transports that say nothing.
    pub fallback: &'static str,
    /// Only for `pipe` and `spawn` services.
    pub commands_only: bool,
}

/// The mark of a default that the host decides.
pub const HOST: &str = "(from the host)";
/// The mark of a name that only older releases know.
pub const OLD: &str = "(none)";

/// The greatest number that Postfix reads into an `int`.
const INT_MAX: u64 = 2_147_483_647;
/// The greatest size that Postfix reads into a `long`.
const SIZE_MAX: u64 = 9_223_372_036_854_775_807;

const TEXT: Kind = Kind::Text;
const RAW: Kind = Kind::Raw;
const FLAG: Kind = Kind::Flag;
const COUNT: Kind = number(0, INT_MAX);
const CODE: Kind = number(400, 599);
const SECONDS: Kind = time(Unit::Seconds, 0, INT_MAX);
const LIST: Kind = Kind::List;
const TABLES: Kind = Kind::Tables;
const MATCHES: Kind = Kind::Matches;
const RESTRICTIONS: Kind = Kind::Restrictions;
const FEEDBACK: Kind = Kind::Feedback;
const LEVEL: Kind = Kind::Level;

const fn number(min: u64, max: u64) -> Kind {
    Kind::Number { min, max }
}

const fn time(unit: Unit, min: u64, max: u64) -> Kind {
    Kind::Time { unit, min, max }
}

const fn word(words: &'static [&'static str]) -> Kind {
    Kind::Word(words)
}

const fn words(words: &'static [&'static str]) -> Kind {
    Kind::Words(words)
}

/// A row reads: `/// paragraph`, `"name" KIND = "default", Serves, Works, since "2.6";`.
macro_rules! rows {
    ($group:ident: $(
        $(#[doc = $line:literal])*
        $name:literal $kind:ident $(($($argument:expr),*))? = $default:expr, $serves:ident, $works:ident
        $(, since $since:literal)?;
    )*) => {
        /// The rows of this file, in the order of their names.
        pub(super) static $group: &[Row] = &[$(Row {
            name: $name,
            kind: $kind $(($($argument),*))?,
            default: $default,
            serves: Serves::$serves,
            works: Works::$works,
            since: concat!($($since)?),
            manual: concat!($($line),*).trim_ascii_start(),
        }),*];
    };
}
use rows;

/// All files of the table; the rows of each are in the order of their names.
static GROUPS: &[&[Row]] = &[
    smtpd::SMTPD,
    smtp::SMTP,
    queue::QUEUE,
    general::GENERAL,
    tls::TLS,
    cleanup::CLEANUP,
    rewrite::REWRITE,
    lmtp::LMTP,
    local::LOCAL,
    sasl::SASL,
    filter::FILTER,
    verify::VERIFY,
    postscreen::POSTSCREEN,
    ours::OURS,
];

/// The parameters of each transport of master.cf.
pub static TRANSPORT: &[TransportRow] = &[
    transport("delivery_slot_cost", "default_delivery_slot_cost"),
    transport("delivery_slot_discount", "default_delivery_slot_discount"),
    transport("delivery_slot_loan", "default_delivery_slot_loan"),
    transport(
        "destination_concurrency_failed_cohort_limit",
        "default_destination_concurrency_failed_cohort_limit",
    ),
    transport("destination_concurrency_limit", "default_destination_concurrency_limit"),
    transport(
        "destination_concurrency_negative_feedback",
        "default_destination_concurrency_negative_feedback",
    ),
    transport(
        "destination_concurrency_positive_feedback",
        "default_destination_concurrency_positive_feedback",
    ),
    transport("destination_rate_delay", "default_destination_rate_delay"),
    transport("destination_recipient_limit", "default_destination_recipient_limit"),
    transport("extra_recipient_limit", "default_extra_recipient_limit"),
    transport("initial_destination_concurrency", "initial_destination_concurrency"),
    transport("minimum_delivery_slots", "default_minimum_delivery_slots"),
    transport("recipient_limit", "default_recipient_limit"),
    transport("recipient_refill_delay", "default_recipient_refill_delay"),
    transport("recipient_refill_limit", "default_recipient_refill_limit"),
    TransportRow { suffix: "time_limit", fallback: "command_time_limit", commands_only: true },
    transport("transport_rate_delay", "default_transport_rate_delay"),
];

const fn transport(suffix: &'static str, fallback: &'static str) -> TransportRow {
    TransportRow { suffix, fallback, commands_only: false }
}

/// The order in which a name is found soonest: most names that are not meant differ in length already. A configuration asks ten thousand times.
pub(super) fn by_length(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// All rows in the order of [`by_length`].
static BY_LENGTH: LazyLock<Vec<&'static Row>> = LazyLock::new(|| {
    let mut rows: Vec<&Row> = all().collect();
    rows.sort_unstable_by(|one, other| by_length(one.name, other.name));
    rows
});

/// The row of a name.
#[must_use]
pub fn row(name: &str) -> Option<&'static Row> {
    let at = BY_LENGTH.binary_search_by(|row| by_length(row.name, name)).ok()?;
    BY_LENGTH.get(at).copied()
}

/// All rows, file by file.
pub fn all() -> impl Iterator<Item = &'static Row> {
    GROUPS.iter().flat_map(|group| group.iter())
}

/// The row of `TRANSPORT_suffix` and the transport's name, whether or not there is such a transport.
#[must_use]
pub fn transport_row(name: &str) -> Option<(&str, &'static TransportRow)> {
    // The longest suffix wins: `x_destination_recipient_limit` also ends in `_recipient_limit`.
    TRANSPORT
        .iter()
        .filter_map(|row| Some((name.strip_suffix(row.suffix)?.strip_suffix('_')?, row)))
        .filter(|(transport, _)| !transport.is_empty())
        .min_by_key(|(transport, _)| transport.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_the_table_is_in_the_order_of_names() {
        for group in GROUPS {
            assert!(group.windows(2).all(|pair| pair[0].name < pair[1].name));
        }
    }

    #[test]
    fn no_name_has_two_rows() {
        let mut names = BTreeSet::new();
        for row in all() {
            assert!(names.insert(row.name), "{} has two rows", row.name);
            assert_eq!(super::row(row.name), Some(row));
        }
    }

    #[test]
    fn the_longest_suffix_of_a_transport_wins() {
        let (transport, row) = transport_row("x_destination_recipient_limit").unwrap();
        assert_eq!((transport, row.suffix), ("x", "destination_recipient_limit"));
        assert_eq!(transport_row("x_recipient_limit").unwrap().1.suffix, "recipient_limit");
        assert_eq!(transport_row("destination_rate_delay"), None);
    }

    #[test]
    fn what_a_transport_falls_back_to_is_in_the_table() {
        for row in TRANSPORT {
            assert!(super::row(row.fallback).is_some(), "{}", row.fallback);
        }
    }
}
