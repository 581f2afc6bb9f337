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
mod tests {
    use super::*;
    use crate::tables::{Kind, Table};
    use proptest::prelude::*;

    fn regexp(text: &str) -> (Table, Vec<Problem>) {
        Table::compile(Kind::Regexp, text, "/t")
    }

    fn answer(kind: Kind, text: &str, key: &str) -> Option<String> {
        Table::compile(kind, text, "/t").0.lookup(key).unwrap()
    }

    #[test]
    fn matching_is_case_insensitive_unless_the_flag_toggles_it() {
        assert_eq!(answer(Kind::Regexp, "/ABC/ x", "abc").as_deref(), Some("x"));
        assert_eq!(answer(Kind::Regexp, "/ABC/i x", "abc"), None);
        assert_eq!(answer(Kind::Regexp, "/ABC/ii x", "abc").as_deref(), Some("x"));
        assert_eq!(answer(Kind::Pcre, "/ABC/i x", "abc"), None);
    }

    #[test]
    fn results_take_text_from_the_key() {
        let text = "/^(.*)-outgoing@(.*)$/  550 Use ${1}@$(2) for $$5 not $1\n";
        assert_eq!(
            answer(Kind::Regexp, text, "list-outgoing@example.com").as_deref(),
            Some("550 Use list@example.com for $5 not list")
        );
        assert_eq!(answer(Kind::Pcre, r"/^(friend@(?!my\.domain$).*)$/ no $1", "friend@my.domain"), None);
        assert_eq!(answer(Kind::Pcre, r"/^(?<who>a)(b)?$/ <$1$2>", "a").as_deref(), Some("<a>"));
    }

    #[test]
    fn the_delimiter_may_be_another_and_may_be_escaped() {
        assert_eq!(answer(Kind::Regexp, "~^[[:alnum:]+/]{4,}$~ OK", "ab+/").as_deref(), Some("OK"));
        assert_eq!(answer(Kind::Regexp, r"/a\/b c/ OK", "a/b c").as_deref(), Some("OK"));
    }

    #[test]
    fn conditions_nest_and_negate() {
        let text = "if !/^owner-/\nif /@a$/\n/x/ in a\nendif\n/x/ elsewhere\nendif\n!/never/ rest\n";
        assert_eq!(answer(Kind::Regexp, text, "x@a").as_deref(), Some("in a"));
        assert_eq!(answer(Kind::Regexp, text, "x@b").as_deref(), Some("elsewhere"));
        assert_eq!(answer(Kind::Regexp, text, "owner-x@b").as_deref(), Some("rest"));
    }

    #[test]
    fn rules_that_postfix_skips_are_skipped_and_named() {
        let text = "/x(y)z/ $1x\n!/foo/ bar $1\n/a b\n/q/z one\n/(a)/ $2\nendif\n/end/ $name\n\
                    /(x)/ $0\n/(x)/ ${+1}\n/x/ last\n";
        let (table, problems) = regexp(text);
        let lines: Vec<usize> = problems.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7, 8, 9], "{problems:?}");
        assert_eq!(table.lookup("xyz"), Ok(Some("last".into())));
    }

    #[test]
    fn a_pattern_that_does_not_compile_fails_the_lookups_that_reach_it() {
        let (table, problems) = regexp("/^ok/ fine\n/(?:x)/ REJECT\n");
        assert!(problems[0].fatal);
        assert_eq!(table.lookup("ok"), Ok(Some("fine".into())));
        assert!(table.lookup("x").unwrap_err().contains("/t, line 2"));
    }

    #[test]
    fn a_search_without_end_is_try_again_later() {
        let (table, problems) = Table::compile(Kind::Pcre, r"/^(a|aa)+(?!b)\1$/ OK", "/t");
        assert_eq!(problems, []);
        let key = format!("{}c", "a".repeat(60));
        assert!(table.lookup(&key).unwrap_err().contains("given up"));
    }

    #[test]
    fn perl_flags_change_the_match() {
        assert_eq!(answer(Kind::Pcre, "/b/A x", "ab"), None);
        assert_eq!(answer(Kind::Pcre, "/a b #c/x x", "ab").as_deref(), Some("x"));
        assert_eq!(answer(Kind::Pcre, "/a b #c/xA x", "ab").as_deref(), Some("x"));
        assert_eq!(answer(Kind::Pcre, "/(a+)/U $1", "aaa").as_deref(), Some("a"));
        assert_eq!(answer(Kind::Pcre, "/a.b/ x", "a\nb").as_deref(), Some("x"));
        assert_eq!(answer(Kind::Pcre, "/a.b/s x", "a\nb"), None);
        assert_eq!(answer(Kind::Pcre, "/^b/ x", "a\nb"), None);
        assert_eq!(answer(Kind::Pcre, "/^b/m x", "a\nb").as_deref(), Some("x"));
    }

    #[test]
    fn a_huge_repetition_is_refused() {
        let (table, problems) = Table::compile(Kind::Pcre, "/((a{1,1000}){1,1000}){1,1000}/ x", "/t");
        assert!(problems[0].fatal);
        assert!(table.lookup("b").is_err());
    }

    /// A pattern that says a text, in both languages, between slashes.
    fn literal(text: &str) -> String {
        let sign = |c: char| r"/\.[(){*+?|^$".contains(c);
        text.chars().map(|c| if sign(c) { format!("\\{c}") } else { c.to_string() }).collect()
    }

    /// A piece of a result as it is written, and what it is.
    fn piece() -> impl Strategy<Value = (&'static str, Part)> {
        let text = |text: &str| Part::Text(text.to_owned());
        prop::sample::select(vec![
            ("$1", Part::Group(1)),
            ("${1}", Part::Group(1)),
            ("$(2)", Part::Group(2)),
            ("$2", Part::Group(2)),
            ("$$", text("$")),
            (" - ", text(" - ")),
            (":x,", text(":x,")),
        ])
    }

    const BOTH: [Kind; 2] = [Kind::Regexp, Kind::Pcre];

    proptest! {
        #[test]
        fn a_literal_pattern_matches_the_keys_that_contain_it(
            text in "[aB.*+(\\[\\\\$^/{|?]{1,3}|[ -~]{1,6}",
            key in "[aB.*+(\\[\\\\$^/{|?]{0,8}",
            exact: bool,
        ) {
            for key in [key.clone(), format!("{key}{text}")] {
                let wanted = match exact {
                    true => key.contains(&text),
                    false => key.to_lowercase().contains(&text.to_lowercase()),
                };
                let line = format!("/{}/{} yes", literal(&text), if exact { "i" } else { "" });
                for kind in BOTH {
                    prop_assert_eq!(answer(kind, &line, &key).is_some(), wanted, "{:?} {} {}", kind, line, key);
                }
            }
        }

        #[test]
        fn the_first_rule_that_applies_answers(
            rules in prop::collection::vec((any::<bool>(), "[ab]{1,3}"), 0..6),
            key in "[ab]{0,5}",
        ) {
            let line = |(at, (negated, text)): (usize, &(bool, String))| {
                format!("{}/{text}/ {at}\n", if *negated { "!" } else { "" })
            };
            let lines: String = rules.iter().enumerate().map(line).collect();
            let wanted = rules.iter().position(|(negated, text)| key.contains(text.as_str()) != *negated);
            for kind in BOTH {
                prop_assert_eq!(answer(kind, &lines, &key), wanted.map(|at| at.to_string()));
            }
        }

        #[test]
        fn a_group_stands_for_the_text_it_took(
            one in "[a-z$]{0,5}",
            two in "[a-z$1]{0,5}",
            pieces in prop::collection::vec(piece(), 0..6),
        ) {
            let written: String = pieces.iter().map(|(text, _)| *text).collect();
            let meaning = |(_, part): &(&str, Part)| match part {
                Part::Text(text) => text.clone(),
                Part::Group(1) => one.clone(),
                Part::Group(_) => two.clone(),
            };
            let wanted: String = pieces.iter().map(meaning).collect();
            for kind in BOTH {
                let found = answer(kind, &format!("/^(.*)@(.*)$/ <{written}>"), &format!("{one}@{two}"));
                prop_assert_eq!(found, Some(format!("<{wanted}>")));
            }
        }

        #[test]
        fn what_looks_like_a_rule_is_compiled_or_a_problem(
            text in "(if |endif)?!?/[-ab\\[\\]\\\\(){}|*+?.^$:<>=#QE0-3 ]{0,12}/[imsxAEUX]{0,2} [a$0-2{}()]{0,5}",
            key in "[ab \\n]{0,6}",
        ) {
            for kind in BOTH {
                let (table, problems) = Table::compile(kind, &text, "/t");
                // No rule is lost without a word.
                prop_assert!(!problems.is_empty() || table.values().len() == 1, "{text}");
                _ = table.lookup(&key);
            }
        }
    }

    quickcheck::quickcheck! {
        fn no_text_makes_it_panic(text: String, key: String) -> bool {
            for kind in BOTH {
                _ = Table::compile(kind, &text, "/t").0.lookup(&key);
                _ = Table::compile(kind, &format!("/{text}/ {text}"), "/t").0.lookup(&key);
            }
            true
        }
    }
}
