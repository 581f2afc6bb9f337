//! The concurrency window of a destination: how many deliveries at once, and when it counts as dead.
//!
//! SCHEDULER_README, "Summary of the Postfix 2.5 concurrency feedback algorithm". Positive feedback adds up and widens the
//! window at the end of a sequence of 1/feedback deliveries; negative feedback narrows it at the start of one, so that
//! overload is corrected at once. Failures are also counted in pseudo-cohorts; enough of them, and the destination is dead.
//! Whole numbers only: a window is part of a machine's state, and states are compared and hashed.

use serde::{Deserialize, Serialize};

/// One, in the fixed point of feedback: 32 bits behind the point.
const ONE: u64 = 1 << 32;

/// An amount of feedback per delivery, as a function of the window: `1`, `0.25`, `1/4`, `1/concurrency`, `1/sqrt_concurrency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Gain {
    /// The same at every window.
    Constant(Amount),
    /// This divided by the window.
    PerConcurrency(Amount),
    /// This divided by the square root of the window.
    PerRoot(Amount),
}

/// A number from 0 to 1, in units of 2^-32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Amount(u64);

impl Amount {
    /// One.
    pub const ONE: Self = Self(ONE);
}

impl Default for Gain {
    /// Postfix's default: 1.
    fn default() -> Self {
        Self::Constant(Amount::ONE)
    }
}

/// Not a feedback expression, or not between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAGain;

/// `0.25` in units of 2^-32; digits beyond the ninth are cut.
fn decimal(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !digits(whole) || !digits(part) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok().filter(|&n| n < 1 << 20)? };
    let part = part.get(..9).unwrap_or(part);
    let value: u64 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let scale = 10u64.pow(u32::try_from(part.len()).ok()?);
    Some(whole * ONE + (u128::from(value) * u128::from(ONE) / u128::from(scale)) as u64)
}

impl std::str::FromStr for Gain {
    type Err = NotAGain;

    fn from_str(text: &str) -> Result<Self, NotAGain> {
        let (over, under) = match text.split_once('/') {
            Some((over, under)) => (over.trim(), Some(under.trim())),
            None => (text.trim(), None),
        };
        let over = decimal(over).ok_or(NotAGain)?;
        let gain = match under {
            None => Self::Constant(Amount(over)),
            Some("concurrency") => Self::PerConcurrency(Amount(over)),
            Some("sqrt_concurrency") => Self::PerRoot(Amount(over)),
            Some(number) => {
                let under = decimal(number).filter(|&n| n > 0).ok_or(NotAGain)?;
                let quotient = (u128::from(over) * u128::from(ONE)).div_ceil(u128::from(under));
                Self::Constant(Amount(u64::try_from(quotient).map_err(|_| NotAGain)?))
            }
        };
        match gain {
            Self::Constant(Amount(n)) | Self::PerConcurrency(Amount(n)) | Self::PerRoot(Amount(n))
                if n <= ONE =>
            {
                Ok(gain)
            }
            _ => Err(NotAGain),
        }
    }
}

impl Gain {
    /// For positive feedback, rounded up: N times 1/N is at least one.
    fn rounded_up(self, width: u32) -> u64 {
        let width = u64::from(width.max(1));
        match self {
            Self::Constant(Amount(n)) => n,
            Self::PerConcurrency(Amount(n)) => n.div_ceil(width),
            Self::PerRoot(Amount(n)) => (n << 16).div_ceil((width << 32).isqrt()),
        }
    }

    /// For negative feedback, rounded down: the next step comes after a whole sequence, not within it.
    fn rounded_down(self, width: u32) -> u64 {
        let width = u64::from(width.max(1));
        match self {
            Self::Constant(Amount(n)) => n,
            Self::PerConcurrency(Amount(n)) => n / width,
            Self::PerRoot(Amount(n)) => (n << 16) / (width << 32).isqrt(),
        }
    }
}

/// What a window obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowRule {
    /// Its width at the start and after a rest (`initial_destination_concurrency`).
    pub initial: u32,
    /// It grows no wider (`…_destination_concurrency_limit`); 0: without limit.
    pub limit: u32,
    /// After a good delivery (`…_destination_concurrency_positive_feedback`).
    pub positive: Gain,
    /// After a bad one (`…_destination_concurrency_negative_feedback`).
    pub negative: Gain,
    /// Failed pseudo-cohorts until the destination is dead (`…_destination_concurrency_failed_cohort_limit`); 0: never.
    pub cohorts: u32,
}

impl Default for WindowRule {
    fn default() -> Self {
        Self { initial: 5, limit: 20, positive: Gain::default(), negative: Gain::default(), cohorts: 1 }
    }
}

impl WindowRule {
    const fn widest(&self) -> u32 {
        if self.limit == 0 { u32::MAX } else { self.limit }
    }

    fn first(&self) -> u32 {
        self.initial.clamp(1, self.widest())
    }
}

/// The window of one destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    rule: WindowRule,
    width: u32,
    busy: u32,
    success: u64,
    failure: i64,
    failed_cohorts: u64,
}

impl Window {
    /// As it is when a destination is first met.
    #[must_use]
    pub fn new(rule: WindowRule) -> Self {
        Self { rule, width: rule.first(), busy: 0, success: 0, failure: 0, failed_cohorts: 0 }
    }

    /// Deliveries that may run at once.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Deliveries that run.
    #[must_use]
    pub const fn busy(&self) -> u32 {
        self.busy
    }

    /// True when another delivery may start.
    #[must_use]
    pub fn permits(&self) -> bool {
        self.busy < self.width || (planted!(OneTooMany) && self.busy == self.width)
    }

    /// A delivery starts.
    pub const fn take(&mut self) {
        self.busy = self.busy.saturating_add(1);
    }

    /// A delivery has ended; what it says of the destination comes before.
    pub const fn give_back(&mut self) {
        self.busy = self.busy.saturating_sub(1);
    }

    /// A delivery ended without connection or handshake failure. Call it before [`Window::give_back`].
    pub fn good(&mut self) {
        self.failed_cohorts = 0;
        // A window much wider than what runs would hide later failures.
        if self.width < self.busy.saturating_add(self.rule.first()) {
            self.success += self.rule.positive.rounded_up(self.width);
            while self.success >= ONE {
                self.width = self.width.saturating_add(1);
                self.success -= ONE;
                self.failure = 0;
            }
        }
        self.width = self.width.min(self.rule.widest());
    }

    /// A delivery ended with connection or handshake failure; true when the destination counts as dead now.
    #[must_use]
    pub fn bad(&mut self) -> bool {
        self.failed_cohorts = self.failed_cohorts.saturating_add(ONE.div_ceil(u64::from(self.width.max(1))));
        if self.rule.cohorts > 0 && self.failed_cohorts >= u64::from(self.rule.cohorts) * ONE {
            return true;
        }
        self.failure -= self.rule.negative.rounded_down(self.width) as i64;
        while self.failure < 0 {
            self.width = self.width.saturating_sub(1);
            self.failure += ONE as i64;
            self.success = 0;
        }
        self.width = self.width.max(1);
        false
    }

    /// The destination may be tried again after a rest; what still runs is still counted.
    pub fn restart(&mut self) {
        *self = Self { busy: self.busy, ..Self::new(self.rule) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(text: &str) -> Gain {
        text.parse().unwrap_or_else(|NotAGain| panic!("{text} is a gain"))
    }

    /// A window that is full, so that positive feedback counts.
    fn full(initial: u32, positive: &str, negative: &str, cohorts: u32) -> Window {
        let rule =
            WindowRule { initial, limit: 20, positive: gain(positive), negative: gain(negative), cohorts };
        let mut window = Window::new(rule);
        window.busy = 20;
        window
    }

    fn widths(mut window: Window, feedback: &str) -> Vec<u32> {
        feedback
            .chars()
            .map(|c| {
                match c {
                    '+' => window.good(),
                    _ => _ = window.bad(),
                }
                window.width()
            })
            .collect()
    }

    #[test]
    fn feedback_expressions_read_as_the_manual_writes_them() {
        assert_eq!(gain("1"), Gain::Constant(Amount(ONE)));
        assert_eq!(gain("0.25"), gain("1/4"));
        assert_eq!(gain(" .5 "), Gain::Constant(Amount(ONE / 2)));
        assert_eq!(gain("1 / concurrency"), Gain::PerConcurrency(Amount(ONE)));
        assert_eq!(gain("0.5/sqrt_concurrency"), Gain::PerRoot(Amount(ONE / 2)));
        assert_eq!(gain("0.1234567891"), gain("0.123456789"), "digits beyond the ninth are cut");
        assert_ne!(gain("0.123456789"), gain("0.12345678"));
        assert_eq!(gain("3/4"), Gain::Constant(Amount(ONE / 4 * 3)));
        assert_eq!(Amount::ONE.0, 1 << 32, "32 bits behind the point");
        assert_eq!(
            gain("1048575/1048575"),
            gain("1"),
            "larger numbers are refused: they could not be divided"
        );
        let wrong = [
            "",
            "x",
            "2",
            "1.1/concurrency",
            "1/0",
            "-1",
            "+1",
            "0.+5",
            "1/2/3",
            ".",
            "1048576/1048576",
            "99999999999999999999",
        ];
        for bad in wrong {
            assert_eq!(bad.parse::<Gain>(), Err(NotAGain), "{bad}");
        }
    }

    #[test]
    fn the_window_follows_the_manual_s_arithmetic() {
        type Row = (&'static str, u32, &'static str, &'static str, &'static str, &'static [u32]);
        let table: &[Row] = &[
            ("fixed 1: one more after each", 5, "1", "1", "+++", &[6, 7, 8]),
            ("fixed 1: one less after each", 5, "1", "1", "---", &[4, 3, 2]),
            ("1/N: one more after a cohort", 3, "1/concurrency", "1", "+++++++", &[3, 3, 4, 4, 4, 4, 5]),
            ("1/N: one less at the start", 4, "1", "1/concurrency", "-----", &[3, 3, 3, 2, 2]),
            ("1/sqrt N", 4, "1/sqrt_concurrency", "1", "+++++", &[4, 5, 5, 5, 6]),
            ("1/sqrt N, down", 4, "1", "1/sqrt_concurrency", "-----", &[3, 2, 2, 1, 1]),
            ("what is left over counts for the next", 5, "0.75", "1", "+++++", &[5, 6, 7, 8, 8]),
            ("1/4 at any width", 9, "1/4", "1", "++++", &[9, 9, 9, 10]),
            ("nothing", 5, "0", "0", "+-+-", &[5, 5, 5, 5]),
            ("never below one", 2, "1", "1", "---", &[1, 1, 1]),
            ("never above the limit", 19, "1", "1", "+++", &[20, 20, 20]),
        ];
        for (what, initial, positive, negative, feedback, expected) in table {
            assert_eq!(&widths(full(*initial, positive, negative, 0), feedback), expected, "{what}");
        }
    }

    #[test]
    fn a_destination_is_dead_after_its_cohorts_have_failed() {
        let falls = |initial, negative, cohorts| {
            let mut window = full(initial, "1", negative, cohorts);
            (1..1_000).find(|_| window.bad())
        };
        assert_eq!(falls(5, "1", 1), Some(4), "1/5 + 1/4 + 1/3 + 1/2 is more than one");
        assert_eq!(falls(5, "0", 1), Some(5), "a cohort of five");
        assert_eq!(falls(1, "1", 1), Some(1));
        assert_eq!(falls(1, "1", 10), Some(10));
        assert_eq!(falls(5, "1", 0), None, "the check is off");
    }

    #[test]
    fn after_a_rest_it_begins_anew_but_knows_what_still_runs() {
        let mut window = full(5, "1", "1", 1);
        assert!((0..3).all(|_| !window.bad()) && window.bad());
        window.restart();
        assert_eq!((window.width(), window.busy()), (5, 20));
        assert!((0..3).all(|_| !window.bad()) && window.bad(), "failures from before the rest do not count");
    }

    #[test]
    fn a_limit_of_zero_is_no_limit_and_no_window_begins_closed() {
        let rule = |initial, limit| WindowRule { initial, limit, ..WindowRule::default() };
        let width = |initial, limit| Window::new(rule(initial, limit)).width();
        assert_eq!([width(0, 20), width(5, 3), width(50, 0)], [1, 3, 50]);
        let mut window = Window::new(rule(50, 0));
        window.busy = 50;
        window.good();
        assert_eq!(window.width(), 51);
    }

    #[test]
    fn a_window_grows_until_it_is_as_much_wider_than_what_runs_as_it_was_at_the_start() {
        let mut window = Window::new(WindowRule { initial: 3, limit: 20, ..WindowRule::default() });
        window.busy = 4;
        (0..20).for_each(|_| window.good());
        assert_eq!(window.width(), 7);
    }

    #[test]
    fn permits_are_counted_one_by_one() {
        let mut window = Window::new(WindowRule { initial: 2, ..WindowRule::default() });
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.push((window.busy(), window.permits()));
            window.take();
        }
        seen.push((window.busy(), window.permits()));
        window.give_back();
        seen.push((window.busy(), window.permits()));
        assert_eq!(seen, [(0, true), (1, true), (2, false), (1, true)]);
    }

    #[test]
    fn one_good_delivery_forgets_failed_cohorts() {
        let mut window = full(5, "0", "0", 1);
        for _ in 0..100 {
            assert!((0..4).all(|_| !window.bad()));
            window.good();
        }
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut window = Window::new(WindowRule { initial: 2, ..WindowRule::default() });
        for _ in 0..100 {
            window.take();
            window.good();
            window.give_back();
        }
        assert_eq!(window.width(), 3, "one delivery at a time never proves more");
    }

    quickcheck::quickcheck! {
        fn the_width_stays_between_one_and_the_limit(initial: u32, limit: u8, feedback: Vec<bool>) -> bool {
            let limit = u32::from(limit).max(1);
            let rule = WindowRule { initial, limit, cohorts: 0, ..WindowRule::default() };
            let mut window = Window::new(rule);
            window.busy = limit;
            feedback.into_iter().all(|good| {
                if good { window.good() } else { _ = window.bad() }
                (1..=limit).contains(&window.width())
            })
        }
    }
}
