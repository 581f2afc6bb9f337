//! Answers while they hold (RFC 1035 7.4, RFC 2308, RFC 9520).
//!
//! An answer is given until its instant and never after. Bounded by entries and by octets; what would end first is
//! thrown away first, so equal histories keep equal entries. Knows nothing of servers.

use crate::ask::{DnsAnswer, DnsRecord, RecordKind};
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// Entries kept.
pub const ENTRIES_MAX: usize = 20_000;
/// Octets that their records take, roughly: one answer may be 64 KiB of text.
pub const OCTETS_MAX: usize = 16 * 1024 * 1024;
/// Octets that an entry takes besides its names and records.
const ENTRY_OVERHEAD: usize = 160;

/// What was asked.
pub(super) type Key = (String, RecordKind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Entry {
    answer: DnsAnswer,
    until: Instant,
    octets: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Cache {
    entries: BTreeMap<Key, Entry>,
    by_end: BTreeSet<(Instant, Key)>,
    octets: usize,
}

impl Cache {
    /// The answer, if it still holds.
    pub(super) fn get(&self, now: Instant, key: &Key) -> Option<&DnsAnswer> {
        self.entries
            .get(key)
            .filter(|entry| now < entry.until || planted!(TtlIgnored))
            .map(|entry| &entry.answer)
    }

    /// Keeps an answer until an instant.
    pub(super) fn put(&mut self, now: Instant, key: Key, answer: DnsAnswer, until: Instant) {
        self.remove(&key);
        while self.by_end.first().is_some_and(|(end, _)| *end <= now) {
            self.drop_first();
        }
        let octets = weight(&key, &answer);
        if until <= now || octets > OCTETS_MAX {
            return;
        }
        while self.entries.len() >= ENTRIES_MAX || self.octets + octets > OCTETS_MAX {
            self.drop_first();
        }
        self.octets += octets;
        self.by_end.insert((until, key.clone()));
        self.entries.insert(key, Entry { answer, until, octets });
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Entries kept.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn drop_first(&mut self) {
        if let Some((_, key)) = self.by_end.first().cloned() {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_end.remove(&(entry.until, key.clone()));
            self.octets = self.octets.saturating_sub(entry.octets);
        }
    }
}

fn weight(key: &Key, answer: &DnsAnswer) -> usize {
    let records = answer.as_ref().map_or(0, |found| {
        let each = |record: &DnsRecord| {
            size_of::<DnsRecord>()
                + match record {
                    DnsRecord::Mx { exchange, .. } => exchange.len(),
                    DnsRecord::Ptr(name) => name.len(),
                    DnsRecord::Txt(text) => text.len(),
                    _ => 0,
                }
        };
        found.canonical.len() + found.records.iter().map(each).sum::<usize>()
    });
    ENTRY_OVERHEAD + 2 * key.0.len() + records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::DnsFailure;

    fn key(number: usize) -> Key {
        (format!("n{number}.example"), RecordKind::A)
    }

    #[test]
    fn an_answer_is_not_given_at_its_end_or_after() {
        let mut cache = Cache::default();
        cache.put(Instant(0), key(1), Err(DnsFailure::NoSuchName), Instant(10));
        assert!(cache.get(Instant(9), &key(1)).is_some());
        assert!(cache.get(Instant(10), &key(1)).is_none());
    }

    #[test]
    fn what_would_end_first_goes_first_when_all_is_full() {
        let mut cache = Cache::default();
        for number in 0..=ENTRIES_MAX {
            let until = Instant(1_000_000 - number as u64);
            cache.put(Instant(0), key(number), Err(DnsFailure::NoSuchName), until);
        }
        assert_eq!(cache.len(), ENTRIES_MAX);
        assert!(cache.get(Instant(1), &key(ENTRIES_MAX)).is_some(), "the newest always gets in");
        assert!(cache.get(Instant(1), &key(ENTRIES_MAX - 1)).is_none());
        assert!(cache.get(Instant(1), &key(0)).is_some());
    }

    #[test]
    fn the_ended_are_swept_out_by_what_comes_after_them() {
        let mut cache = Cache::default();
        for number in 0..100 {
            cache.put(Instant(0), key(number), Err(DnsFailure::NoSuchName), Instant(10));
        }
        cache.put(Instant(10), key(100), Err(DnsFailure::NoSuchName), Instant(20));
        assert_eq!(cache.len(), 1);
        cache.put(Instant(10), key(100), Err(DnsFailure::NoSuchName), Instant(5));
        assert_eq!((cache.len(), cache.octets, cache.by_end.len()), (0, 0, 0));
    }
}
