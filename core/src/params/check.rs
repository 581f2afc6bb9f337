//! Can this value be right? The check of a value by the kind of its row.
//!
//! Values are checked after expansion. What one machine can check better (the names of restrictions, tables that
//! exist) is that machine's matter.

use super::table::{Kind, Unit};

/// A value that can not be right: what was expected, and how to write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// `a number between 1 and 10 is expected`
    pub expected: String,
    /// What to write instead.
    pub remedy: String,
}

fn wrong(expected: impl Into<String>, remedy: impl Into<String>) -> Wrong {
    Wrong { expected: expected.into(), remedy: remedy.into() }
}

/// Checks an expanded value.
///
/// # Errors
/// What is expected instead.
pub fn check(kind: Kind, value: &str) -> Result<(), Wrong> {
    match kind {
        Kind::Text | Kind::Raw => Ok(()),
        Kind::Flag if flag(value).is_some() => Ok(()),
        Kind::Flag if value.contains('#') => {
            Err(wrong("yes or no is expected", "write yes or no; a comment needs a line of its own"))
        }
        Kind::Flag => Err(wrong("yes or no is expected", "write yes or no")),
        Kind::Number { min, max } => check_number(value, min, max),
        Kind::Time { unit, min, max } => check_time(value, unit, min, max),
        Kind::List | Kind::Matches | Kind::Restrictions => check_braces(value),
        Kind::Tables => check_tables(value),
        Kind::Word(words) if words.iter().any(|word| word.eq_ignore_ascii_case(value)) => Ok(()),
        Kind::Word(words) => {
            Err(wrong(format!("one of {} is expected", join(words)), nearest_remedy(value, words)))
        }
        Kind::Words(words) => check_words(value, words),
        Kind::Feedback => check_feedback(value),
        Kind::Level => super::expand::level(value).map(|_| ()).map_err(|text| {
            match value.contains(char::is_whitespace) {
                true => wrong(
                    text,
                    "an indented line continues the one before it: begin each parameter in the first column",
                ),
                false => wrong(text, "write a release of Postfix, like 3.6"),
            }
        }),
    }
}

/// `yes` or `no`, in any case.
#[must_use]
pub fn flag(value: &str) -> Option<bool> {
    if value.eq_ignore_ascii_case("yes") {
        Some(true)
    } else if value.eq_ignore_ascii_case("no") {
        Some(false)
    } else {
        None
    }
}

/// A whole number of digits.
#[must_use]
pub fn number(value: &str) -> Option<u64> {
    if value.bytes().all(|octet| octet.is_ascii_digit()) { value.parse().ok() } else { None }
}

/// Seconds of a number with an optional letter for its unit; `None` for what is none, or too long to count.
#[must_use]
pub fn seconds(value: &str, unit: Unit) -> Option<u64> {
    let (digits, unit) = match value.chars().last().filter(char::is_ascii_alphabetic) {
        Some(letter) => (&value[..value.len() - 1], Unit::of_letter(letter)?),
        None => (value, unit),
    };
    number(digits)?.checked_mul(unit.seconds())
}

/// The items of a list: split at commas and white space, `{…}` kept together with its braces.
#[must_use]
pub fn items(value: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut depth = 0usize;
    for c in value.chars() {
        if depth == 0 && (c == ',' || c.is_ascii_whitespace()) {
            if !item.is_empty() {
                items.push(std::mem::take(&mut item));
            }
            continue;
        }
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        item.push(c);
    }
    if !item.is_empty() {
        items.push(item);
    }
    items
}

fn check_number(value: &str, min: u64, max: u64) -> Result<(), Wrong> {
    let range = match max {
        2_147_483_647.. => format!("a whole number not below {min} is expected"),
        _ => format!("a whole number between {min} and {max} is expected"),
    };
    match number(value) {
        Some(number) if (min..=max).contains(&number) => Ok(()),
        Some(_) => Err(wrong(range, "choose another number")),
        None if value.strip_prefix('-').and_then(number).is_some() => {
            Err(wrong(range, "choose another number"))
        }
        None => Err(wrong(range, "write digits only")),
    }
}

fn check_time(value: &str, unit: Unit, min: u64, max: u64) -> Result<(), Wrong> {
    let letter = unit.letter();
    let Some(seconds) = seconds(value, unit) else {
        let expected = "a time is expected: a whole number and s, m, h, d or w";
        return Err(wrong(
            expected,
            format!("write it like 5{letter}; without a letter the unit is {letter}"),
        ));
    };
    if (min..=max).contains(&seconds) {
        Ok(())
    } else {
        Err(wrong(format!("a time between {min}s and {max}s is expected"), "choose another time"))
    }
}

fn check_words(value: &str, words: &[&str]) -> Result<(), Wrong> {
    for item in items(value) {
        if !words.iter().any(|word| word.eq_ignore_ascii_case(&item)) {
            let expected = format!("\"{item}\" is none of {}", join(words));
            return Err(wrong(expected, nearest_remedy(&item, words)));
        }
    }
    Ok(())
}

fn check_braces(value: &str) -> Result<(), Wrong> {
    let mut depth = 0i64;
    for octet in value.bytes() {
        match octet {
            b'{' => depth = depth.saturating_add(1),
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if depth == 0 { Ok(()) } else { Err(wrong("braces are not in pairs", "write a \"}\" for each \"{\"")) }
}

fn check_tables(value: &str) -> Result<(), Wrong> {
    check_braces(value)?;
    match items(value).into_iter().find(|item| !item.contains(':')) {
        None => Ok(()),
        Some(item) => {
            let expected = format!("\"{item}\" is no lookup table: type:name is expected");
            Err(wrong(expected, format!("write hash:{item}, or another type of table")))
        }
    }
}

/// `1`, `0.5`, `1/concurrency`, `1/sqrt_concurrency`.
fn check_feedback(value: &str) -> Result<(), Wrong> {
    let (number, divisor) = value.split_once('/').unwrap_or((value, "concurrency"));
    let decimal = !number.is_empty()
        && number.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.')
        && number.parse::<f64>().is_ok_and(|number| (0.0..=1.0).contains(&number));
    if decimal && matches!(divisor.trim(), "concurrency" | "sqrt_concurrency") {
        Ok(())
    } else {
        let expected =
            "a number between 0 and 1 is expected, alone or with /concurrency or /sqrt_concurrency";
        Err(wrong(expected, "write it like 1/concurrency"))
    }
}

fn join(words: &[&str]) -> String {
    let shown: Vec<&str> = words.iter().filter(|word| !word.is_empty()).copied().collect();
    shown.join(", ")
}

fn nearest_remedy(value: &str, words: &[&str]) -> String {
    match nearest(value, words.iter().copied()) {
        Some(word) => format!("did you mean {word}?"),
        None => "choose one of them".to_owned(),
    }
}

/// The candidate that a slip of the pen may have meant: the one that takes the fewest edits, when these are so few that the
/// two are hardly different words.
pub fn nearest<'c>(text: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let close = |candidate: &str| slips_max(text.len().min(candidate.len()));
    candidates
        .filter(|candidate| candidate.len().abs_diff(text.len()) <= close(candidate))
        .map(|candidate| (edits(text, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= close(candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many slips a word of so many octets has room for. `smtp` and `lmtp` are two words, `smtp` and `smpt` are one.
const fn slips_max(length: usize) -> usize {
    match length {
        0..=2 => 0,
        3..=5 => 1,
        6..=14 => 2,
        _ => 3,
    }
}

/// How many octets must be inserted, removed, changed, or exchanged with their neighbour.
fn edits(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    // Distances between the first octets of `a` (one row before the last, the last) and those of `b`.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, right) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(left != right)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *left == b[j - 1] && a[i - 1] == *right {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(value: &str) -> Option<u64> {
        seconds(value, Unit::Days)
    }

    #[test]
    fn a_bare_number_has_the_unit_of_its_row() {
        assert_eq!(
            (time("2"), time("2s"), time("2m"), time("2h")),
            (Some(172_800), Some(2), Some(120), Some(7_200))
        );
        assert_eq!((time("1w"), time("5x"), time(""), time("d")), (Some(604_800), None, None, None));
        assert_eq!((time("-1s"), time("1.5h"), time("99999999999999999999d")), (None, None, None));
    }

    #[test]
    fn lists_split_at_commas_and_spaces_and_keep_braces_together() {
        assert_eq!(
            items("a, b,,c\td  { e, f } regexp:{{/x/ y}}"),
            ["a", "b", "c", "d", "{ e, f }", "regexp:{{/x/ y}}"]
        );
    }

    #[test]
    fn a_word_that_is_nearly_right_is_proposed() {
        let wrong = check(Kind::Word(&["may", "encrypt"]), "maybe").unwrap_err();
        assert_eq!(wrong.remedy, "choose one of them");
        let wrong = check(Kind::Word(&["may", "encrypt"]), "encrpyt").unwrap_err();
        assert_eq!(wrong.remedy, "did you mean encrypt?");
        assert_eq!(wrong.expected, "one of may, encrypt is expected");
    }

    fn known(typed: &str) -> Option<&'static str> {
        nearest(typed, crate::params::table::all().map(|row| row.name))
    }

    #[test]
    fn slips_of_the_pen_find_the_name_that_was_meant() {
        for (typed, meant) in [
            ("mydestinaton", "mydestination"),
            ("my_destination", "mydestination"),
            ("my_host_name", "myhostname"),
            ("relay_host", "relayhost"),
            ("realyhost", "relayhost"),
            ("mynetwork", "mynetworks"),
            ("alias_map", "alias_maps"),
            ("virtual_alias_map", "virtual_alias_maps"),
            ("virtual_mailbox_domians", "virtual_mailbox_domains"),
            ("smtpd_recipients_restriction", "smtpd_recipient_restrictions"),
            ("smtpd_relay_restricitons", "smtpd_relay_restrictions"),
            ("smtpd_tls_certfile", "smtpd_tls_cert_file"),
            ("smtpd_tls_CA_file", "smtpd_tls_CAfile"),
            ("mesage_size_limit", "message_size_limit"),
            ("recipent_delimiter", "recipient_delimiter"),
        ] {
            assert_eq!(known(typed), Some(meant), "{typed}");
        }
    }

    #[test]
    fn another_word_is_no_slip_of_the_pen() {
        for typed in [
            "mua_client_restrictions",
            "my_relayhost",
            "my_blocklist",
            "spam_filter",
            "dovecot_destination",
            "policy_time",
            "smtp_auth",
            "local_rules",
            "virtual_users",
            "x",
            "",
        ] {
            assert_eq!(known(typed), None, "{typed}");
        }
        let transports = ["smtp", "lmtp", "local", "virtual", "error"];
        let nearest = |typed| nearest(typed, transports.into_iter());
        assert_eq!(
            (nearest("smpt"), nearest("lmpt"), nearest("locla")),
            (Some("smtp"), Some("lmtp"), Some("local"))
        );
        assert_eq!((nearest("tmp"), nearest("mailman"), nearest("dovecot")), (None, None, None));
    }

    #[test]
    fn a_neighbour_exchanged_is_one_slip() {
        assert_eq!((edits("smpt", "smtp"), edits("ab", "ba"), edits("", "abc")), (1, 1, 3));
        assert_eq!((edits("kitten", "sitting"), edits("same", "same")), (3, 0));
    }

    #[test]
    fn feedback_is_a_number_or_a_number_by_concurrency() {
        for value in ["1", "0.5", "1/concurrency", "0.3/sqrt_concurrency", "1 / concurrency"] {
            let value = value.replace(' ', "");
            assert_eq!(check(Kind::Feedback, &value), Ok(()), "{value}");
        }
        assert!(check(Kind::Feedback, "2").is_err());
        assert!(check(Kind::Feedback, "1/x").is_err());
    }

    #[test]
    fn tables_need_a_type() {
        assert_eq!(check(Kind::Tables, "hash:/a, pcre:{{/a b/ c}}"), Ok(()));
        assert!(check(Kind::Tables, "/etc/postfix/x").unwrap_err().remedy.contains("hash:/etc/postfix/x"));
    }

    proptest! {
        #[test]
        fn no_value_can_upset_a_check(value in "(?s).{0,60}") {
            for row in crate::params::table::all() {
                let _ = check(row.kind, &value);
            }
            let _ = items(&value);
        }
    }
}
