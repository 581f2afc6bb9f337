//! What two servers never have in common, made equal: ids, dates, durations, and the few words that name the program.

use fancy_regex::Regex;
use std::sync::LazyLock;

/// Patterns, what is put in their place, and why that is no difference. The first ones are tried first.
const TABLE: &[(&str, &str)] = &[
    // Dates.
    (r"[A-Z][a-z]{2}, +\d+ [A-Z][a-z]{2} 20(?!24)\d\d \d\d:\d\d:\d\d [+-]\d{4}( \([A-Z]+\))?", "DATE"),
    // That of a line `From ` in an mbox.
    (r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d 20\d\d", "DATE"),
    // A Message-Id of ours begins with the time.
    (r"<20\d{12}\.", "<TIME."),
    // Boundaries hold the time.
    (r"(ID\d+)\.\d{10}/", "$1.TIME/"),
    // A queue id may have an octet more, and stands in the Received field.
    (r"(?i)size=\d+", "size=*"),
    (r"message size \d+", "message size *"),
    // That of a file in the maildrop, which `sendmail -bs` writes into a Received field.
    (r"\bid [0-9A-Za-z]{12,};", "id *;"),
    // How long it took.
    (r"delay=[\d.]+, delays=[\d./]+", "delay=*"),
];

static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let compile = |(pattern, text): &(&str, &'static str)| (Regex::new(pattern).expect("a pattern"), *text);
    TABLE.iter().map(compile).collect()
});

/// A line without what is never the same. Ids have been replaced before.
#[must_use]
pub fn line(text: &str) -> String {
    PATTERNS.iter().fold(text.to_owned(), |text, (pattern, by)| pattern.replace_all(&text, *by).into_owned())
}

/// Replaces each queue id by its name among those of a situation.
#[must_use]
pub fn ids(text: &str, ids: &[String]) -> String {
    let mut text = text.to_owned();
    for (index, id) in ids.iter().enumerate() {
        text = text.replace(id.as_str(), &format!("ID{}", index + 1));
    }
    text
}

/// Text with its control characters shown.
#[must_use]
pub fn visible(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_of_today_are_taken_out_and_those_of_the_message_stay() {
        let now = super::line("; Sat, 21 Nov 2026 07:03:37 +0000 (UTC)");
        assert_eq!(now, "; DATE");
        let then = super::line("Date: Thu, 21 Nov 2024 10:00:00 +0000");
        assert_eq!(then, "Date: Thu, 21 Nov 2024 10:00:00 +0000");
    }

    #[test]
    fn durations_ids_and_boundaries_are_taken_out() {
        assert_eq!(super::line("delay=0.12, delays=0.1/0/0/0.02, dsn=2.0.0"), "delay=*, dsn=2.0.0");
        assert_eq!(super::ids("4abc: to=<x>", &["4abc".to_owned()]), "ID1: to=<x>");
        assert_eq!(super::line("ID2.1700000000/mx"), "ID2.TIME/mx");
    }
}
