//! The difference of two observations, held against the one that is expected.

use super::corpus::Situation;
use std::path::Path;

/// Why a situation fails, if it does. Differences that are the same everywhere are counted there.
#[must_use]
pub fn fault(
    situation: &Situation,
    everywhere: &mut Everywhere,
    reference: &[String],
    ours: &[String],
) -> Option<String> {
    let mut faults = Vec::new();
    for must in &situation.must {
        if !reference.iter().any(|line| fits(must, line)) {
            faults.push(format!("Postfix did not: {must}\n{}", reference.join("\n")));
        }
    }
    if situation.must.is_empty() {
        faults.push(format!("no line says what Postfix must do:\n{}", reference.join("\n")));
    }
    let mut difference = difference(reference, ours);
    difference.retain(|line| !everywhere.expects(line));
    let mut expected = situation.differs.clone();
    let mut found = difference.clone();
    expected.sort_unstable();
    found.sort_unstable();
    if expected != found {
        let gone = expected.iter().filter(|line| !found.contains(line));
        let new = difference.iter().filter(|line| !expected.contains(line));
        let list =
            |lines: Vec<&String>| lines.into_iter().map(|line| format!("{line}\n")).collect::<String>();
        faults.push(format!(
            "not expected:\n{}expected, but not so:\n{}",
            list(new.collect()),
            list(gone.collect())
        ));
    }
    match (&situation.why, situation.differs.is_empty()) {
        (None, false) => faults.push("a difference without a reason".to_owned()),
        (Some(why), false) if !document().contains(why.as_str()) => {
            faults.push(format!("docs/differences.md does not say: {why}"));
        }
        _ => {}
    }
    let title = format!("== {} ({})", situation.title, situation.number);
    (!faults.is_empty()).then(|| format!("{title}\n{}", faults.join("\n")))
}

/// Differences that any situation of a setting may have, each with its reason, and how often each was seen.
#[derive(Debug, Default)]
pub struct Everywhere {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    line: String,
    count: usize,
}

impl Everywhere {
    /// Reads those of this setting in `corpus/differential/everywhere`: differences as in a situation, with `...`, each group behind lines
    /// `why: ` and `shown: `, the settings in which each may be seen, and must be.
    ///
    /// # Panics
    /// When it is not there, or a group has no reason.
    #[must_use]
    pub fn read(setting: &str) -> Self {
        let text = std::fs::read_to_string(super::corpus::folder().join("everywhere"));
        let mut rows = Vec::new();
        let mut reason = false;
        let mut is_shown = false;
        for line in text.expect("corpus/differential/everywhere is there").lines() {
            if let Some(why) = line.strip_prefix("why: ") {
                assert!(document().contains(why), "docs/differences.md does not say: {why}");
                reason = true;
            } else if let Some(settings) = line.strip_prefix("shown: ") {
                is_shown = settings.split(", ").any(|name| name == setting);
            } else if line.starts_with("- ") || line.starts_with("+ ") {
                assert!(reason, "no reason: {line}");
                if is_shown {
                    rows.push(Row { line: line.to_owned(), count: 0 });
                }
            }
        }
        Self { rows }
    }

    fn expects(&mut self, line: &str) -> bool {
        // Whole lines: the words before the first `...` begin it.
        let fits =
            |row: &str| line.starts_with(row.split("...").next().unwrap_or_default()) && fits(row, line);
        let row = self.rows.iter_mut().find(|row| fits(&row.line));
        row.is_some_and(|row| {
            row.count += 1;
            true
        })
    }

    /// Rows that were to be seen, and were not.
    #[must_use]
    pub fn unseen(&self) -> Vec<&str> {
        let unseen = self.rows.iter().filter(|row| row.count == 0);
        unseen.map(|row| row.line.as_str()).collect()
    }
}

fn document() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    std::fs::read_to_string(root.join("docs/differences.md")).expect("docs/differences.md is there")
}

/// Whether a line contains these words, where `...` stands for anything.
fn fits(pattern: &str, line: &str) -> bool {
    let mut rest = line;
    pattern.split("...").all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// Lines only of the first (`- `) and only of the second (`+ `), by the longest common subsequence.
#[must_use]
pub fn difference(one: &[String], other: &[String]) -> Vec<String> {
    let mut common = vec![vec![0_usize; other.len() + 1]; one.len() + 1];
    for i in (0..one.len()).rev() {
        for j in (0..other.len()).rev() {
            common[i][j] = if one[i] == other[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while i < one.len() || j < other.len() {
        if i < one.len() && j < other.len() && one[i] == other[j] {
            i += 1;
            j += 1;
        } else if j == other.len() || i < one.len() && common[i + 1][j] >= common[i][j + 1] {
            out.push(format!("- {}", one[i]));
            i += 1;
        } else {
            out.push(format!("+ {}", other[j]));
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Everywhere, difference, fits};
    use crate::differential::corpus::Situation;

    fn fault(situation: &Situation, one: &[String], other: &[String]) -> Option<String> {
        super::fault(situation, &mut Everywhere::default(), one, other)
    }

    fn lines(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_only_one_has_is_found() {
        assert_eq!(difference(&lines("a b c d"), &lines("a c x d")), ["- b", "+ x"]);
        assert!(difference(&lines("a b"), &lines("a b")).is_empty());
    }

    #[test]
    fn words_must_stand_in_their_order() {
        assert!(fits("S: 550...unknown", "client   S: 550 5.1.1 user unknown"));
        assert!(!fits("unknown...550", "client   S: 550 5.1.1 user unknown"));
    }

    #[test]
    fn an_expected_difference_that_is_gone_is_a_fault_and_so_is_a_new_one() {
        let mut situation = Situation { must: vec!["a".to_owned()], ..Situation::default() };
        assert_eq!(fault(&situation, &lines("a"), &lines("a")), None);
        assert!(fault(&situation, &lines("a"), &lines("b")).is_some());
        situation.differs = lines("-_a +_b").iter().map(|line| line.replace('_', " ")).collect();
        situation.why = Some("SMTP smuggling".to_owned());
        assert_eq!(fault(&situation, &lines("a"), &lines("b")), None);
        assert!(fault(&situation, &lines("a"), &lines("a")).is_some(), "it no longer differs");
        situation.why = Some("no such reason".to_owned());
        assert!(fault(&situation, &lines("a"), &lines("b")).is_some());
    }
}
