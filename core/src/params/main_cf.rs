//! The reader of main.cf: `name = value` on logical lines; see postconf(5).
//!
//! Reading never fails as a whole: what can be read is returned beside what is wrong. A name set twice has its
//! last value, and a warning. Values are not looked into: expand.rs and check.rs do that.

use super::lines::logical_lines;
use super::problem::{Place, Problem};
use std::collections::BTreeMap;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Assigned {
    /// The text, trimmed.
    pub value: String,
    /// Where.
    pub place: Place,
}

/// Reads a text: the values, and what is wrong with it.
#[must_use]
pub fn parse(text: &str) -> (BTreeMap<String, Assigned>, Vec<Problem>) {
    let mut values: BTreeMap<String, Assigned> = BTreeMap::new();
    let mut problems = Vec::new();
    for line in logical_lines(text) {
        let place = Place::main(line.number);
        if line.indented {
            problems.push(Problem::warning(
                place,
                format!("a logical line must not start with white space: \"{}\"; it is left out", line.text),
                "remove the white space, or put it after the line that it continues",
            ));
            continue;
        }
        match split_assignment(&line.text) {
            Ok((name, value)) => {
                let assigned = Assigned { value: value.to_owned(), place };
                if let Some(earlier) = values.insert(name.to_owned(), assigned) {
                    problems.push(Problem::warning(
                        place,
                        format!("overriding earlier entry: {name}={} ({})", earlier.value, earlier.place),
                        "remove one of them",
                    ));
                }
            }
            Err(wrong) => problems.push(Problem::error(place, wrong, "write \"name = value\"")),
        }
    }
    (values, problems)
}

/// Splits `name = value`.
///
/// # Errors
/// What is missing.
pub fn split_assignment(text: &str) -> Result<(&str, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Err(format!("missing parameter name: \"{text}\""));
    }
    match rest.trim_start().strip_prefix('=') {
        Some(value) => Ok((name, value.trim())),
        None => Err(format!("missing '=' after parameter name: \"{text}\"")),
    }
}

/// The text that reads as these values: one line each, in the order of names.
#[must_use]
pub fn print(values: &BTreeMap<String, Assigned>) -> String {
    values.iter().map(|(name, assigned)| line(name, &assigned.value) + "\n").collect()
}

/// `name = value` as postconf(1) writes it: white space between words is one space.
#[must_use]
pub fn line(name: &str, value: &str) -> String {
    let mut line = format!("{name} =");
    for word in value.split_whitespace() {
        line.push(' ');
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<(String, String)> {
        parse(text).0.into_iter().map(|(name, assigned)| (name, assigned.value)).collect()
    }

    fn problems(text: &str) -> Vec<String> {
        parse(text).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_last_of_two_values_counts_and_is_told() {
        assert_eq!(values("a = 1\na = 2"), [("a".into(), "2".into())]);
        assert_eq!(
            problems("a = 1\na = 2"),
            ["main.cf:2: warning: overriding earlier entry: a=1 (main.cf:1); remove one of them"]
        );
    }

    #[test]
    fn white_space_around_the_equals_sign_means_nothing() {
        assert_eq!(
            values("a=1\nb   =  2  \nc ="),
            [("a".into(), "1".into()), ("b".into(), "2".into()), ("c".into(), String::new())]
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_the_rest_is_read() {
        let text = "a = 1\n\n=2\nb c = 3\nnothing\nd = 4\n";
        assert_eq!(values(text).len(), 2);
        assert_eq!(
            problems(text),
            [
                "main.cf:3: error: missing parameter name: \"=2\"; write \"name = value\"",
                "main.cf:4: error: missing '=' after parameter name: \"b c = 3\"; write \"name = value\"",
                "main.cf:5: error: missing '=' after parameter name: \"nothing\"; write \"name = value\"",
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in "(?s).{0,400}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_was_printed_reads_as_it_was(text in "([a-z= #\\t\\n${}]{0,40}\n){0,12}") {
            let printed = print(&parse(&text).0);
            let (again, problems) = parse(&printed);
            prop_assert_eq!(print(&again), printed);
            prop_assert!(problems.is_empty(), "{:?}", problems);
        }
    }
}
