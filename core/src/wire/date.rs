//! Dates in header fields (RFC 5322 3.3) and in mailboxes, from a timestamp and an offset that the driver knows.
//!
//! Emits only. Knows no time zones: the offset is minutes east of UTC at that moment.

use crate::time::Timestamp;
use time::{OffsetDateTime, UtcOffset};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The civil time of a timestamp; one beyond the year 9999 or an offset beyond a day is 1970 or UTC.
fn civil(at: Timestamp, offset: i32) -> OffsetDateTime {
    let utc = OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let offset = UtcOffset::from_whole_seconds(offset.saturating_mul(60)).unwrap_or(UtcOffset::UTC);
    utc.checked_to_offset(offset).unwrap_or(utc)
}

fn day_name(civil: &OffsetDateTime) -> &'static str {
    DAYS.get(usize::from(civil.weekday().number_days_from_monday())).copied().unwrap_or("Mon")
}

fn month_name(civil: &OffsetDateTime) -> &'static str {
    MONTHS.get(usize::from(u8::from(civil.month())).wrapping_sub(1)).copied().unwrap_or("Jan")
}

/// `Sat, 21 Nov 2026 04:20:51 +0000 (UTC)`: as header fields have it.
#[must_use]
pub fn rfc5322(at: Timestamp, offset: i32) -> String {
    let civil = civil(at, offset);
    let (hour, minute, second) = civil.to_hms();
    let zone = civil.offset();
    let (sign, hours, minutes) = (
        if zone.is_negative() { '-' } else { '+' },
        zone.whole_hours().unsigned_abs(),
        zone.minutes_past_hour().unsigned_abs(),
    );
    let comment = if zone.is_utc() { " (UTC)" } else { "" };
    // Each message has some: by hand, because a format costs more than all that it says.
    let mut text = String::with_capacity(38);
    let day = civil.day();
    let year = civil.year().unsigned_abs();
    text.extend([day_name(&civil), if day < 10 { ",  " } else { ", " }]);
    put(u32::from(day), if day < 10 { 1 } else { 2 }, &mut text);
    text.extend([" ", month_name(&civil), " "]);
    put(year, 4, &mut text);
    for (before, number) in [(' ', hour), (':', minute), (':', second)] {
        text.push(before);
        put(number.into(), 2, &mut text);
    }
    text.extend([' ', sign]);
    put(hours.into(), 2, &mut text);
    put(minutes.into(), 2, &mut text);
    text.push_str(comment);
    text
}

/// Appends the last digits of a number.
fn put(number: u32, digits: u32, text: &mut String) {
    for place in (0..digits).rev() {
        text.push(char::from(b'0' + (number / 10_u32.pow(place) % 10) as u8));
    }
}

/// `Sat Nov 21 04:20:51 2026`: as the `From ` line of a mailbox has it.
#[must_use]
pub fn mbox(at: Timestamp, offset: i32) -> String {
    let civil = civil(at, offset);
    let (hour, minute, second) = civil.to_hms();
    format!(
        "{} {} {:2} {hour:02}:{minute:02}:{second:02} {:04}",
        day_name(&civil),
        month_name(&civil),
        civil.day(),
        civil.year(),
    )
}

/// `20261121042051`, in UTC: the time in a Message-Id.
#[must_use]
pub fn compact(at: Timestamp) -> String {
    let civil = civil(at, 0);
    let (hour, minute, second) = civil.to_hms();
    let month = u8::from(civil.month());
    format!("{:04}{month:02}{:02}{hour:02}{minute:02}{second:02}", civil.year(), civil.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_its_day_padded_with_a_space_and_utc_named() {
        assert_eq!(rfc5322(Timestamp::from_seconds(0), 0), "Thu,  1 Jan 1970 00:00:00 +0000 (UTC)");
        assert_eq!(
            rfc5322(Timestamp::from_seconds(1_795_234_851), 0),
            "Sat, 21 Nov 2026 04:20:51 +0000 (UTC)"
        );
    }

    #[test]
    fn offsets_are_minutes_east() {
        assert_eq!(rfc5322(Timestamp::from_seconds(0), 330), "Thu,  1 Jan 1970 05:30:00 +0530");
        assert_eq!(rfc5322(Timestamp::from_seconds(0), -210), "Wed, 31 Dec 1969 20:30:00 -0330");
        assert_eq!(rfc5322(Timestamp::from_seconds(0), -30), "Wed, 31 Dec 1969 23:30:00 -0030");
    }

    #[test]
    fn mailboxes_and_message_ids_have_forms_of_their_own() {
        assert_eq!(mbox(Timestamp::from_seconds(0), 60), "Thu Jan  1 01:00:00 1970");
        assert_eq!(compact(Timestamp::from_seconds(1_795_234_851)), "20261121042051");
    }

    quickcheck::quickcheck! {
        fn every_timestamp_and_offset_has_a_date(micros: i64, offset: i32) -> bool {
            let at = Timestamp(micros);
            rfc5322(at, offset).len() >= 31 && mbox(at, offset).len() >= 24 && compact(at).len() >= 14
        }
    }
}
