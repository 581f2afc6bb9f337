//! Quantities as people write them: `"6h"`, `"20 kB"`, `"5 %"`, one of them or a range of two.

use postrider_core::time::Duration;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

/// Something that a person writes as a number or a word.
pub trait Human: Sized + Copy {
    /// What was expected, for errors.
    const EXPECTED: &'static str;
    /// From a bare number.
    fn number(number: f64) -> Option<Self>;
    /// From a text.
    fn text(text: &str) -> Option<Self>;
}

/// A time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

/// More than any rehearsal lasts: ten years.
const SPAN_MAX: f64 = 10.0 * 366.0 * 86_400.0;

impl Human for Span {
    const EXPECTED: &'static str = "a time such as \"6h\", \"90s\", \"250ms\" or \"1d12h\"";

    fn number(number: f64) -> Option<Self> {
        (0.0..=SPAN_MAX).contains(&number).then(|| Self(Duration::from_millis((number * 1e3) as u64)))
    }

    fn text(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let mut rest = text.as_str();
        let mut seconds = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let number: f64 = rest.get(..digits)?.parse().ok()?;
            rest = rest.get(digits..)?;
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            seconds += number * unit(rest.get(..letters)?)?;
            rest = rest.get(letters..)?;
        }
        (!text.is_empty()).then(|| Self::number(seconds))?
    }
}

fn unit(word: &str) -> Option<f64> {
    Some(match word {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    })
}

/// A number of octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Octets(pub u64);

impl Human for Octets {
    const EXPECTED: &'static str = "a size such as 4000, \"20 kB\" or \"2 MB\"";

    fn number(number: f64) -> Option<Self> {
        (0.0..=1e9).contains(&number).then_some(Self(number as u64))
    }

    fn text(text: &str) -> Option<Self> {
        let text = text.trim();
        let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let number: f64 = text.get(..at)?.parse().ok()?;
        let factor = match text.get(at..)?.trim() {
            "" | "B" => 1.0,
            "kB" | "KB" => 1e3,
            "MB" => 1e6,
            _ => return None,
        };
        Self::number(number * factor)
    }
}

/// A count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

impl Human for Count {
    const EXPECTED: &'static str = "a whole number of 0 or more";

    fn number(number: f64) -> Option<Self> {
        (number >= 0.0 && number.fract() == 0.0 && number < 1e12).then_some(Self(number as u64))
    }

    fn text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

/// How often something happens, of one.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Odds(pub f64);

impl Human for Odds {
    const EXPECTED: &'static str = "a part of one such as 0.05, or \"5 %\"";

    fn number(number: f64) -> Option<Self> {
        (0.0..=1.0).contains(&number).then_some(Self(number))
    }

    fn text(text: &str) -> Option<Self> {
        let number: f64 = text.trim().strip_suffix('%')?.trim().parse().ok()?;
        Self::number(number / 100.0)
    }
}

impl Odds {
    /// Of a million, for draws without fractions.
    #[must_use]
    pub fn of_million(self) -> u64 {
        (self.0 * 1e6).round() as u64
    }
}

/// One value, or the least and the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range<T> {
    /// The least.
    pub least: T,
    /// The most.
    pub most: T,
}

impl<T: Copy> Range<T> {
    /// Always the same.
    pub const fn of(value: T) -> Self {
        Self { least: value, most: value }
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Human + PartialOrd> Visitor<'de> for Reader<T> {
    type Value = Range<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Range<T>, E> {
        T::number(number).map(Range::of).ok_or_else(|| wrong::<T, E>(&number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Range<T>, E> {
        T::number(number as f64).map(Range::of).ok_or_else(|| wrong::<T, E>(&number.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Range<T>, E> {
        T::text(text).map(Range::of).ok_or_else(|| wrong::<T, E>(&format!("\"{text}\"")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Range<T>, A::Error> {
        let two = || A::Error::custom("expected one value, or two: the least and the most");
        let least: One<T> = list.next_element()?.ok_or_else(two)?;
        let most: One<T> = list.next_element()?.ok_or_else(two)?;
        if list.next_element::<One<T>>()?.is_some() {
            return Err(two());
        }
        if most.0 < least.0 {
            return Err(A::Error::custom("the least comes first, and is not more than the most"));
        }
        Ok(Range { least: least.0, most: most.0 })
    }
}

fn wrong<T: Human, E: Error>(found: &str) -> E {
    E::custom(format!("{found} is not {}", T::EXPECTED))
}

impl<'de, T: Human + PartialOrd> Deserialize<'de> for Range<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// Exactly one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct One<T>(pub T);

impl<'de, T: Human + PartialOrd> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Single<T>(PhantomData<T>);
        impl<T: Human + PartialOrd> Visitor<'_> for Single<T> {
            type Value = One<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<One<T>, E> {
                T::number(number).map(One).ok_or_else(|| wrong::<T, E>(&number.to_string()))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<One<T>, E> {
                T::number(number as f64).map(One).ok_or_else(|| wrong::<T, E>(&number.to_string()))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<One<T>, E> {
                T::text(text).map(One).ok_or_else(|| wrong::<T, E>(&format!("\"{text}\"")))
            }
        }
        deserializer.deserialize_any(Single(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let seconds = |text| Span::text(text).map(|span| span.0.as_secs_f64());
        assert_eq!(seconds("6h"), Some(21_600.0));
        assert_eq!(seconds("1d 12h"), Some(129_600.0));
        assert_eq!(seconds("250ms"), Some(0.25));
        assert_eq!(seconds("1.5 min"), Some(90.0));
        for wrong in ["", "h", "6", "6 hours", "-1s", "6h7"] {
            assert_eq!(seconds(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn sizes_and_odds_are_read_as_people_write_them() {
        assert_eq!(Octets::text("20 kB"), Some(Octets(20_000)));
        assert_eq!(Octets::text("20 kib"), None);
        assert_eq!(Odds::text("2.5 %").map(Odds::of_million), Some(25_000));
        assert_eq!(Odds::number(1.2), None);
    }
}
