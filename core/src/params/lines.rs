//! Logical lines, the common ground of main.cf and master.cf.
//!
//! Empty lines and lines whose first visible character is `#` are nothing, also between a line and its continuation.
//! A line that begins with white space continues the one before it. The number of the first physical line is kept.

/// A line with its continuations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogicalLine {
    /// Where it begins, counted from 1.
    pub(super) number: u32,
    /// The text; continuations keep the white space that they begin with, the end has none.
    pub(super) text: String,
    /// True when it began with white space, though nothing stood before it that it could continue.
    pub(super) indented: bool,
}

/// Splits a text into logical lines. Total.
#[must_use]
pub(super) fn logical_lines(text: &str) -> Vec<LogicalLine> {
    let mut lines: Vec<LogicalLine> = Vec::new();
    for (number, line) in (1u32..).zip(text.split('\n')) {
        let visible = line.trim();
        if visible.is_empty() || visible.starts_with('#') {
            continue;
        }
        let indented = line.starts_with(|first: char| first.is_ascii_whitespace() || first.is_whitespace());
        match lines.last_mut() {
            Some(last) if indented => last.text.push_str(line.trim_end()),
            _ => lines.push(LogicalLine { number, text: visible.to_owned(), indented }),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_empty_lines_do_not_end_a_logical_line() {
        let lines = logical_lines("# one\na = b,\n# two\n\n   c\r\nd = e\n");
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].number, lines[0].text.as_str()), (2, "a = b,   c"));
        assert_eq!((lines[1].number, lines[1].text.as_str()), (6, "d = e"));
    }

    #[test]
    fn a_file_that_begins_with_white_space_is_noted() {
        let lines = logical_lines("  a = b\n");
        assert!(lines[0].indented);
    }
}
