//! Tables of regular expressions: regexp_table(5) and pcre_table(5).
//!
//! The first rule that matches wins. The steps of a search are bounded: a search that would go on for ever is "try
//! again later", and so is a rule that our engine can not compile once a lookup has come that far; neither
//! is ever "not found", because the rule might have been a refusal.

use super::lines::Line;
use super::posix::{Dialect, translate};
use super::{Problem, Report};
use fancy_regex::{Regex, RegexBuilder};

/// Steps of backtracking in one search. Linear patterns use none; at some 10 ns a step this is 10 ms.
const BACKTRACK_STEPS_MAX: usize = 1_000_000;
/// Octets of one compiled pattern: `(.{1,1000}){1,1000}` must not eat the memory.
const PATTERN_SIZE_MAX: usize = 4 << 20;
/// Instructions of one compiled pattern of the backtracking engine.
const PROGRAM_MAX: usize = 100_000;

/// Which language the patterns are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Posix,
    Perl,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

#[derive(Debug, Clone)]
enum Step {
    Match { regex: Regex, wanted: bool, result: Vec<Part>, line: usize },
    If { regex: Regex, wanted: bool, otherwise: usize },
    Broken(String),
}

/// A compiled table of patterns.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    steps: Vec<Step>,
    open: Vec<usize>,
}

/// `/pattern/flags rest`, taken apart.
struct Shape<'a> {
    wanted: bool,
    pattern: &'a str,
    flags: &'a str,
    rest: &'a str,
}

fn shape(language: Language, text: &str) -> Result<Shape<'_>, String> {
    let shape = take_apart(text)?;
    let known = match language {
        Language::Posix => "imx",
        Language::Perl => "imsxAEUX",
    };
    match shape.flags.chars().find(|&flag| !known.contains(flag)) {
        Some(flag) => Err(format!("unknown regexp option \"{flag}\"")),
        None => Ok(shape),
    }
}

fn take_apart(text: &str) -> Result<Shape<'_>, String> {
    let mut wanted = true;
    let mut text = text.trim_start();
    while let Some(rest) = text.strip_prefix('!') {
        wanted = !wanted;
        text = rest.trim_start();
    }
    let mut characters = text.char_indices();
    let (_, delimiter) = characters.next().ok_or("no regexp")?;
    if delimiter.is_alphanumeric() {
        return Err(format!("a pattern starts with a delimiter such as /, not with \"{delimiter}\""));
    }
    let mut escaped = false;
    for (at, c) in characters {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == delimiter {
            let pattern = &text[delimiter.len_utf8()..at];
            let after = &text[at + c.len_utf8()..];
            let (flags, rest) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
            return Ok(Shape { wanted, pattern, flags, rest: rest.trim() });
        }
    }
    Err(format!("no closing regexp delimiter \"{delimiter}\""))
}

fn compile(language: Language, shape: &Shape<'_>) -> Result<Regex, String> {
    let on = |flag: char, default: bool| default ^ (shape.flags.matches(flag).count() % 2 == 1);
    let multi_line = on('m', false);
    let (pattern, dot_all, extended) = match language {
        Language::Posix => {
            let dialect = Dialect { extended: on('x', true), lines: multi_line };
            (translate(shape.pattern, dialect)?, !multi_line, false)
        }
        Language::Perl => {
            let start = if on('A', false) { "\\A" } else { "" };
            let greed = if on('U', false) { "(?U)" } else { "" };
            let pattern = super::perl::translate(shape.pattern, on('x', false));
            let pattern = match (start, greed) {
                ("", "") => pattern,
                _ => format!("{start}(?:{greed}{pattern})"),
            };
            (pattern, on('s', true), on('x', false))
        }
    };
    RegexBuilder::new(&pattern)
        .case_insensitive(on('i', true))
        .multi_line(multi_line)
        .dot_matches_new_line(dot_all)
        .ignore_whitespace(extended)
        .backtrack_limit(BACKTRACK_STEPS_MAX)
        .delegate_size_limit(PATTERN_SIZE_MAX)
        .max_prog_size(PROGRAM_MAX)
        .build()
        .map_err(|error| format!("this pattern does not compile: {error}"))
}

/// Reads a result with its `$1`, `${1}`, `$(1)` and `$$`.
fn template(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = vec![Part::Text(String::new())];
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        push_text(&mut parts, &rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            push_text(&mut parts, "$");
            rest = after;
            continue;
        }
        let (name, after) = if let Some(inner) = rest.strip_prefix('{') {
            inner.split_once('}').ok_or("a closing brace is missing behind ${")?
        } else if let Some(inner) = rest.strip_prefix('(') {
            inner.split_once(')').ok_or("a closing parenthesis is missing behind $(")?
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            rest.split_at(end)
        };
        // A sign in front is no digit, though `parse` takes it.
        let group = Some(name).filter(|name| name.bytes().all(|octet| octet.is_ascii_digit()));
        let group = group.and_then(|name| name.parse().ok());
        let group = group.ok_or_else(|| format!("non-numeric replacement index \"{name}\""))?;
        if group == 0 {
            // The whole match: neither of Postfix's languages gives it.
            return Err("out of range replacement index \"0\"".to_owned());
        }
        parts.push(Part::Group(group));
        rest = after;
    }
    push_text(&mut parts, rest);
    parts.retain(|part| *part != Part::Text(String::new()));
    Ok(parts)
}

fn push_text(parts: &mut Vec<Part>, more: &str) {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.push_str(more),
        _ => parts.push(Part::Text(more.to_owned())),
    }
}

/// `if` or `endif` at the start of a line, and what follows.
fn keyword<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let head = line.get(..word.len()).filter(|head| head.eq_ignore_ascii_case(word))?;
    let rest = &line[head.len()..];
    (!rest.starts_with(|c: char| c.is_alphanumeric())).then_some(rest)
}

impl Rules {
    pub(super) fn compile(language: Language, lines: &[Line], report: &mut Report) -> Self {
        let mut rules = Self::default();
        for line in lines {
            let text = line.text.trim();
            if let Some(rest) = keyword(text, "endif") {
                rules.close(rest, line, report);
            } else if let Some(rest) = keyword(text, "if") {
                rules.condition(language, rest, line, report);
            } else {
                rules.rule(language, text, line, report);
            }
        }
        if !rules.open.is_empty() {
            report.problems.push(Problem::new(
                report.file,
                0,
                "IF has no matching ENDIF",
                "add an endif line",
            ));
        }
        rules
    }

    fn rule(&mut self, language: Language, text: &str, line: &Line, report: &mut Report) {
        const SKIPPED: &str = "this rule is skipped until it is corrected";
        let shape = match shape(language, text) {
            Ok(shape) => shape,
            Err(what) => return report.warn(line, &what, SKIPPED),
        };
        let result = match template(shape.rest) {
            Ok(result) => result,
            Err(what) => return report.warn(line, &what, SKIPPED),
        };
        if shape.rest.is_empty() {
            report.warn(line, "no replacement text: using empty string", "add a result");
        }
        let highest = result.iter().map(|part| if let Part::Group(n) = part { *n } else { 0 }).max();
        let substitutes = result.iter().any(|part| matches!(part, Part::Group(_)));
        if substitutes && !shape.wanted {
            return report.warn(line, "$number found in negative match replacement text", SKIPPED);
        }
        match compile(language, &shape) {
            Ok(regex) if highest.unwrap_or(0) >= regex.captures_len() => {
                report.warn(line, "out of range replacement index", SKIPPED);
            }
            Ok(regex) => {
                self.steps.push(Step::Match { regex, wanted: shape.wanted, result, line: line.number });
            }
            Err(what) => self.broken(&what, line, report),
        }
    }

    fn broken(&mut self, what: &str, line: &Line, report: &mut Report) {
        let why = report.fatal(line, what, "correct it: until then lookups that come so far fail");
        self.steps.push(Step::Broken(why));
    }

    fn condition(&mut self, language: Language, text: &str, line: &Line, report: &mut Report) {
        self.open.push(self.steps.len());
        match shape(language, text).and_then(|shape| Ok((compile(language, &shape)?, shape))) {
            Ok((regex, shape)) => {
                if !shape.rest.is_empty() {
                    report.warn(line, "ignoring extra text after IF statement", "remove it");
                }
                self.steps.push(Step::If { regex, wanted: shape.wanted, otherwise: usize::MAX });
            }
            Err(what) => self.broken(&what, line, report),
        }
    }

    fn close(&mut self, rest: &str, line: &Line, report: &mut Report) {
        if !rest.trim().is_empty() {
            report.warn(line, "ignoring extra text after ENDIF", "remove it");
        }
        let end = self.steps.len();
        let Some(start) = self.open.pop() else {
            return report.warn(line, "ignoring ENDIF without matching IF", "remove the line");
        };
        if let Some(Step::If { otherwise, .. }) = self.steps.get_mut(start) {
            *otherwise = end;
        }
    }

    /// The results and their lines, `$1` where text of the key comes in.
    pub(super) fn results(&self) -> impl Iterator<Item = (usize, String)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Match { result, line, .. } => {
                let text = result.iter().map(|part| match part {
                    Part::Text(text) => text.clone(),
                    Part::Group(number) => format!("${number}"),
                });
                Some((*line, text.collect()))
            }
            Step::If { .. } | Step::Broken(_) => None,
        })
    }

    /// Whether a result takes text from the key.
    pub(super) fn substitutes(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Match { result, .. } => result.iter().any(|part| matches!(part, Part::Group(_))),
            _ => false,
        })
    }

    pub(super) fn lookup(&self, key: &str) -> Result<Option<String>, String> {
        let gave_up = |error: fancy_regex::Error| format!("the search was given up: {error}");
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            at += 1;
            match step {
                Step::Match { regex, wanted, result, .. } => {
                    if let Some(value) = apply(regex, *wanted, result, key).map_err(gave_up)? {
                        return Ok(Some(value));
                    }
                }
                Step::If { regex, wanted, otherwise } => {
                    if regex.is_match(key).map_err(gave_up)? != *wanted {
                        at = *otherwise;
                    }
                }
                Step::Broken(why) => return Err(why.clone()),
            }
        }
        Ok(None)
    }
}

fn apply(
    regex: &Regex,
    wanted: bool,
    result: &[Part],
    key: &str,
) -> Result<Option<String>, fancy_regex::Error> {
    if !result.iter().any(|part| matches!(part, Part::Group(_))) {
        let text =
            || result.iter().map(|part| if let Part::Text(t) = part { t.as_str() } else { "" }).collect();
        return Ok((regex.is_match(key)? == wanted).then(text));
    }
    let Some(captures) = regex.captures(key)? else { return Ok(None) };
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Group(group) => captures.get(*group).map_or_else(String::new, |m| m.as_str().to_owned()),
    };
    Ok(Some(result.iter().map(part).collect()))
}

#[cfg(test)]
mod tests;
