//! Questions to the world, and decisions that pause for their answers.
//!
//! Core never looks anything up. A decision that needs a table or a name is an ordinary function over
//! [`Facts`], the answers so far: `facts.lookup(table, key)?` returns the answer, or pauses the decision with the
//! question. The joint emits the question, remembers the answer, and runs the decision again. So a decision
//! reads from top to bottom, is a pure function of its facts, and may be replayed.
//!
//! Knows nothing of how tables and resolvers work.

use crate::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A lookup table as the configuration names it: `type:name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName(pub String);

impl TableName {
    /// `hash` of `hash:/etc/postfix/virtual`; `proxy:` is looked through.
    #[must_use]
    pub fn kind(&self) -> &str {
        let text = self.0.strip_prefix("proxy:").unwrap_or(&self.0);
        text.split_once(':').map_or("", |(kind, _)| kind)
    }

    /// True for tables of patterns (regexp, pcre, cidr), which are asked once with the whole string: no partial keys.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        let text = self.0.strip_prefix("proxy:").unwrap_or(&self.0);
        ["regexp:", "pcre:", "cidr:"].iter().any(|kind| text.starts_with(kind))
    }
}

/// What a name is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail exchangers.
    Mx,
    /// The name of an address.
    Ptr,
    /// Text.
    Txt,
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DnsRecord {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A mail exchanger; lower preference first. The exchange is lower case without a final dot; empty for the null MX.
    Mx {
        /// Lower is better.
        preference: u16,
        /// The host.
        exchange: String,
    },
    /// A host name, lower case, no final dot.
    Ptr(String),
    /// Text, its strings joined.
    Txt(Vec<u8>),
}

/// Why a name gave no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DnsFailure {
    /// NXDOMAIN: the name does not exist.
    NoSuchName,
    /// NODATA: the name exists, without such records.
    NoSuchRecord,
    /// SERVFAIL, REFUSED, a time-out, or an answer that makes no sense: try again later.
    TryAgain,
    /// The name can not be asked for (too long, an empty label).
    BadName,
    /// This host lacks descriptors or memory to ask anybody: try again later, and blame no server.
    Short,
}

/// Records and how long they hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DnsRecords {
    /// At least one; in the order of the answer.
    pub records: Vec<DnsRecord>,
    /// The name at the end of the CNAME chain, lower case without a final dot; the asked name when there was none.
    pub canonical: String,
    /// After this they must not be used.
    pub valid_until: Instant,
    /// The resolver vouches for them (AD bit).
    pub authentic: bool,
}

/// What a DNS question came to.
pub type DnsAnswer = Result<DnsRecords, DnsFailure>;

/// A question of a decision; at most one is open at a time for each machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// Look a key up in a table.
    Lookup {
        /// Which table.
        table: TableName,
        /// The key as the caller folded it.
        key: String,
    },
    /// Ask for the records of a name (through the cache).
    Resolve {
        /// The name, without a final dot.
        name: String,
        /// Which records.
        kind: RecordKind,
    },
    /// The addresses of a name in this host's hosts file.
    ListedHost {
        /// The name.
        name: String,
    },
    /// The name of an address in this host's hosts file.
    ListedName {
        /// The address.
        address: IpAddr,
    },
    /// The octets free in the file system of the queue.
    FreeSpace,
}

/// An answer; its kind is the question's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// `None`: the table does not know the key.
    Lookup(Result<Option<String>, TableFailure>),
    /// Records or the reason for none.
    Resolve(DnsAnswer),
    /// Addresses, none when the host is not listed; or why the file can not be read now.
    ListedHost(Result<Vec<IpAddr>, String>),
    /// A name, if the address is listed; or why the file can not be read now.
    ListedName(Result<Option<String>, String>),
    /// Octets.
    FreeSpace(u64),
}

/// A table that can not answer now. Never "not found".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableFailure {
    /// Which table.
    pub table: TableName,
    /// What went wrong, for the log.
    pub why: String,
}

/// Why a decision stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pause {
    /// It needs this answer; ask, remember, and decide again.
    Need(Question),
    /// A table is broken: the caller says "try again later".
    Broken(TableFailure),
}

/// The answers so far of one decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Facts {
    /// Apart from the others, so that to look one up makes no question: a decision that pauses looks all of them up again.
    lookups: BTreeMap<TableName, BTreeMap<String, Answer>>,
    records: BTreeMap<RecordKind, BTreeMap<String, Answer>>,
    others: BTreeMap<Question, Answer>,
}

impl Facts {
    /// No answers yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the answer to a question for the rest of the decision.
    pub fn learn(&mut self, question: Question, answer: Answer) {
        match question {
            Question::Lookup { table, key } => self.lookups.entry(table).or_default().insert(key, answer),
            Question::Resolve { name, kind } => self.records.entry(kind).or_default().insert(name, answer),
            question => self.others.insert(question, answer),
        };
    }

    /// Forgets all, for the next decision.
    pub fn clear(&mut self) {
        self.lookups.clear();
        self.records.clear();
        self.others.clear();
    }

    /// How many answers are known; a joint bounds it (`limits::QUESTIONS_PER_DECISION_MAX`).
    #[must_use]
    pub fn len(&self) -> usize {
        let lookups: usize = self.lookups.values().map(BTreeMap::len).sum();
        let records: usize = self.records.values().map(BTreeMap::len).sum();
        lookups + records + self.others.len()
    }

    /// True when nothing has been asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lookups.is_empty() && self.records.is_empty() && self.others.is_empty()
    }

    /// What a table says of a key.
    ///
    /// # Errors
    /// [`Pause::Need`] when it has not been asked, [`Pause::Broken`] when it could not answer.
    pub fn lookup(&self, table: &TableName, key: &str) -> Result<Option<&str>, Pause> {
        match self.lookups.get(table).and_then(|known| known.get(key)) {
            Some(Answer::Lookup(Ok(value))) => Ok(value.as_deref()),
            Some(Answer::Lookup(Err(failure))) => Err(Pause::Broken(failure.clone())),
            _ => Err(Pause::Need(Question::Lookup { table: table.clone(), key: key.to_owned() })),
        }
    }

    /// The records of a name.
    ///
    /// # Errors
    /// [`Pause::Need`] when it has not been asked.
    pub fn resolve(&self, name: &str, kind: RecordKind) -> Result<&DnsAnswer, Pause> {
        match self.records.get(&kind).and_then(|known| known.get(name)) {
            Some(Answer::Resolve(answer)) => Ok(answer),
            _ => Err(Pause::Need(Question::Resolve { name: name.to_owned(), kind })),
        }
    }

    /// The addresses that the hosts file gives a name; `Err` inside says why it can not be read now.
    ///
    /// # Errors
    /// [`Pause::Need`] when it has not been asked.
    pub fn listed_host(&self, name: &str) -> Result<&Result<Vec<IpAddr>, String>, Pause> {
        let question = Question::ListedHost { name: name.to_owned() };
        match self.others.get(&question) {
            Some(Answer::ListedHost(answer)) => Ok(answer),
            _ => Err(Pause::Need(question)),
        }
    }

    /// The name that the hosts file gives an address; `Err` inside says why it can not be read now.
    ///
    /// # Errors
    /// [`Pause::Need`] when it has not been asked.
    pub fn listed_name(&self, address: IpAddr) -> Result<&Result<Option<String>, String>, Pause> {
        let question = Question::ListedName { address };
        match self.others.get(&question) {
            Some(Answer::ListedName(answer)) => Ok(answer),
            _ => Err(Pause::Need(question)),
        }
    }

    /// Octets free for the queue.
    ///
    /// # Errors
    /// [`Pause::Need`] when it has not been asked.
    pub fn free_space(&self) -> Result<u64, Pause> {
        match self.others.get(&Question::FreeSpace) {
            Some(Answer::FreeSpace(octets)) => Ok(*octets),
            _ => Err(Pause::Need(Question::FreeSpace)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_pauses_until_its_question_is_answered() {
        let table = TableName("hash:/etc/aliases".into());
        let mut facts = Facts::new();
        let Err(Pause::Need(question)) = facts.lookup(&table, "root") else { panic!("must pause") };
        facts.learn(question, Answer::Lookup(Ok(Some("alice".into()))));
        assert_eq!(facts.lookup(&table, "root"), Ok(Some("alice")));
    }

    #[test]
    fn the_kind_of_a_table_looks_through_proxy() {
        assert_eq!(TableName("proxy:unix:passwd.byname".into()).kind(), "unix");
        assert!(TableName("regexp:/x".into()).is_pattern());
        assert!(TableName("proxy:pcre:/x".into()).is_pattern());
        assert!(!TableName("hash:/x".into()).is_pattern());
        assert!(!TableName("cidr".into()).is_pattern());
    }
}
