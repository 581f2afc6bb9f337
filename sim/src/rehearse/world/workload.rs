//! What comes when, to whom: drawn from the seed by the scenario.

use crate::rehearse::scenario::{Destination, Octets, Range, Scenario};
use postrider_core::prng::Prng;
use postrider_core::time::{Duration, Instant};

const HOUR: f64 = 3_600.0;

/// A letter to be handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    /// Domain and destination of each recipient.
    pub(super) recipients: Vec<(String, u16)>,
    /// Octets.
    pub(super) size: u64,
    /// It is of a mailing.
    pub(super) mailed: bool,
}

/// The domains of one destination, with what each gets of its mail.
#[derive(Debug)]
struct Domains {
    names: Vec<String>,
    /// Sums of shares; the last is all of it.
    sums: Vec<f64>,
}

impl Domains {
    fn of(destination: &Destination) -> Self {
        let names = destination.all_domains();
        let mut sum = 0.0;
        let share = |number: usize| 1.0 / ((number + 1) as f64).powf(destination.skew);
        let sums = (0..names.len()).map(|number| {
            sum += share(number);
            sum
        });
        Self { sums: sums.collect(), names }
    }

    fn draw(&self, prng: &mut Prng) -> String {
        self.names[pick(prng, &self.sums)].clone()
    }
}

/// A place by its share.
fn pick(prng: &mut Prng, sums: &[f64]) -> usize {
    let at = part(prng) * sums.last().copied().unwrap_or(0.0);
    sums.partition_point(|sum| *sum <= at).min(sums.len().saturating_sub(1))
}

/// A number from 0 to 1.
fn part(prng: &mut Prng) -> f64 {
    (prng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Where mail comes from.
#[derive(Debug)]
pub(super) struct Workload {
    prng: Prng,
    per_hour: [f64; 24],
    until: f64,
    size: Range<Octets>,
    recipients: (u64, u64),
    destinations: Vec<Domains>,
    sums: Vec<f64>,
    /// Letters of mailings, the latest first.
    mailings: Vec<(Instant, Letter)>,
    /// When the next single letter comes, in seconds.
    next: f64,
}

impl Workload {
    /// Of a scenario.
    #[must_use]
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut sum = 0.0;
        let sums = scenario.destinations.iter().map(|one| {
            sum += one.share;
            sum
        });
        let load = &scenario.workload;
        let mut made = Self {
            prng: Prng::new(seed),
            per_hour: load.per_hour.0,
            until: scenario.duration.0.0.as_secs_f64(),
            size: load.size,
            recipients: (load.recipients.least.0, load.recipients.most.0),
            sums: sums.collect(),
            destinations: scenario.destinations.iter().map(Domains::of).collect(),
            mailings: Vec::new(),
            next: 0.0,
        };
        for mailing in &load.mailings {
            let only = mailing
                .to
                .as_ref()
                .and_then(|name| scenario.destinations.iter().position(|one| one.name.get_ref() == name));
            let at = Instant::default().after(mailing.at.0.0);
            let mut left = mailing.recipients;
            while left > 0 {
                let count = left.min(mailing.per_message);
                left -= count;
                let letter = Letter { mailed: true, ..made.letter(u64::from(count), mailing.size, only) };
                made.mailings.push((at, letter));
            }
        }
        made.mailings.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        made.next = made.after(0.0);
        made
    }

    /// The next arrival after a moment, at the rate of each hour.
    fn after(&mut self, mut at: f64) -> f64 {
        // Without any mail it never comes: a day of hours without is enough to know.
        let end = at + 25.0 * HOUR;
        while at < end {
            let hour = (at / HOUR).floor();
            let rate = self.per_hour[(hour as u64 % 24) as usize] / HOUR;
            let wait = -(1.0 - part(&mut self.prng)).ln() / rate;
            if rate > 0.0 && at + wait < (hour + 1.0) * HOUR {
                return at + wait;
            }
            at = (hour + 1.0) * HOUR;
        }
        f64::INFINITY
    }

    fn letter(&mut self, count: u64, size: Range<Octets>, only: Option<usize>) -> Letter {
        let mut recipients = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let group = only.unwrap_or_else(|| pick(&mut self.prng, &self.sums));
            recipients.push((self.destinations[group].draw(&mut self.prng), group as u16));
        }
        let size = size.least.0 + self.prng.below(size.most.0 - size.least.0 + 1);
        Letter { recipients, size, mailed: false }
    }

    /// When the next letter comes; `None` when no more do.
    #[must_use]
    pub(super) fn next_at(&self) -> Option<Instant> {
        let single = (self.next < self.until)
            .then(|| Instant::default().after(Duration::from_micros((self.next * 1e6) as u64)));
        let mailed = self.mailings.last().map(|(at, _)| *at);
        [single, mailed].into_iter().flatten().min()
    }

    /// The letter that comes now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Letter> {
        if self.mailings.last().is_some_and(|(at, _)| *at <= now) {
            return self.mailings.pop().map(|(_, letter)| letter);
        }
        if self.next_at().is_none_or(|at| at > now) {
            return None;
        }
        let at = self.next;
        self.next = self.after(at);
        let (least, most) = self.recipients;
        let count = least + self.prng.below(most - least + 1);
        Some(self.letter(count, self.size, None))
    }
}
