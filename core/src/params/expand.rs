//! `$name` and `${…}` in values; see postconf(5).
//!
//! Forms: `$name`, `$(name)`, `${name}`, `${name?text}`, `${name:text}`, `${name?{a}:{b}}`,
//! `${{a} == {b} ? {c} : {d}}` with `==`, `!=`, `<`, `<=`, `>=`, `>` (numbers when both sides are all digits, otherwise text), the
//! same operators with `level` behind them for compatibility levels, and `$$`. Each value that is taken is
//! expanded in its turn. Total and bounded: depth, references and octets have limits, and beyond them stands an error.

use std::borrow::Cow;
use std::cmp::Ordering;

/// Values within values within values: as deep as Postfix goes.
pub const DEPTH_MAX: usize = 100;
/// References in the expansion of one value: `a = $b$b`, `b = $c$c`, … doubles with each line.
pub const REFERENCES_MAX: usize = 10_000;
/// Octets of one expanded value.
pub const EXPANDED_MAX: usize = 1 << 20;

/// What a name stands for, before expansion; `None` when nothing defines it.
pub type Lookup<'a> = dyn Fn(&str) -> Option<Cow<'a, str>> + 'a;

/// An expanded value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expanded {
    /// The text.
    pub text: String,
    /// Names that nothing defines, which count as empty; each once, in order of appearance.
    pub undefined: Vec<String>,
}

/// Expands a text.
///
/// # Errors
/// What can not be understood, or the limit that was passed.
pub fn expand<'a>(text: &str, lookup: &Lookup<'a>) -> Result<Expanded, String> {
    expand_blaming(text, lookup).map_err(|(why, _)| why)
}

/// The same; an error comes with the name in whose value it stands, when it is not in the text itself.
///
/// # Errors
/// As [`expand`].
pub fn expand_blaming<'a>(text: &str, lookup: &Lookup<'a>) -> Result<Expanded, (String, Option<String>)> {
    let mut expander = Expander {
        lookup,
        references: 0,
        octets: 0,
        undefined: Vec::new(),
        blamed: None,
        passed_limit: false,
    };
    let mut out = String::new();
    match expander.text(text, 0, &mut out) {
        Ok(()) => Ok(Expanded { text: out, undefined: expander.undefined }),
        Err(why) => Err((why, expander.blamed)),
    }
}

/// The names that a text refers to, whether or not their branch would be taken. Total: what can not be parsed has none.
#[must_use]
pub fn references(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
            continue;
        }
        let inner = rest.trim_start_matches(['{', '(']).trim_start();
        let (name, _) = split_name(inner);
        if !name.is_empty() {
            names.push(name.to_owned());
        }
    }
    names
}

struct Expander<'l, 'a> {
    lookup: &'l Lookup<'a>,
    references: usize,
    /// Octets of all texts on the way, those that only a comparison reads included.
    octets: usize,
    undefined: Vec<String>,
    /// The name whose value has the fault.
    blamed: Option<String>,
    /// A limit was the fault, and nobody is blamed.
    passed_limit: bool,
}

impl Expander<'_, '_> {
    fn text(&mut self, text: &str, depth: usize, out: &mut String) -> Result<(), String> {
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            self.push(&rest[..at], out)?;
            rest = &rest[at + 1..];
            rest = match rest.chars().next() {
                Some('$') => {
                    self.push("$", out)?;
                    &rest[1..]
                }
                Some(open @ ('{' | '(')) => {
                    let (inner, after) = balanced(rest, open)?;
                    self.expression(inner, depth, out)?;
                    after
                }
                _ => {
                    let (name, after) = split_name(rest);
                    if name.is_empty() {
                        return Err(format!("a name is missing after \"$\" in \"{text}\""));
                    }
                    self.reference(name, depth, out)?;
                    after
                }
            };
        }
        self.push(rest, out)
    }

    /// What stands inside `${…}`.
    fn expression(&mut self, inner: &str, depth: usize, out: &mut String) -> Result<(), String> {
        self.count(depth)?;
        let inner_text = inner.trim_start();
        if inner_text.starts_with('{') {
            let (left, rest) = balanced(inner_text, '{')?;
            let (operator, rest) = Operator::split(rest.trim_start())?;
            let rest = rest.trim_start();
            if !rest.starts_with('{') {
                return Err(format!("\"{{\" is expected after the operator in \"${{{inner}}}\""));
            }
            let (right, rest) = balanced(rest, '{')?;
            let holds = operator.holds(&self.value(left, depth)?, &self.value(right, depth)?)?;
            return match Branches::split(rest)? {
                None => self.push(if holds { "true" } else { "" }, out),
                Some(branches) => self.text(branches.taken(holds), depth + 1, out),
            };
        }
        let (name, rest) = split_name(inner_text);
        if name.is_empty() {
            return Err(format!("a name is missing in \"${{{inner}}}\""));
        }
        match Branches::split(rest)? {
            None => self.reference(name, depth, out),
            Some(branches) => {
                // As in Postfix the value is tested as it is written: one that expands to nothing is not empty.
                let holds = self.look_up(name).is_some_and(|value| !value.is_empty());
                self.text(branches.taken(holds), depth + 1, out)
            }
        }
    }

    fn reference(&mut self, name: &str, depth: usize, out: &mut String) -> Result<(), String> {
        if depth >= DEPTH_MAX {
            return Err(format!("values refer to each other too deeply at \"{name}\""));
        }
        self.count(depth)?;
        let Some(value) = self.look_up(name) else { return Ok(()) };
        let result = self.text(&value, depth + 1, out);
        // What goes in a circle or is too long is the fault of each that takes part.
        let is_limit =
            depth + 1 >= DEPTH_MAX || self.references > REFERENCES_MAX || self.octets > EXPANDED_MAX;
        if result.is_err() && !is_limit && self.blamed.is_none() && !self.passed_limit {
            self.blamed = Some(name.to_owned());
        }
        self.passed_limit |= result.is_err() && is_limit;
        result
    }

    fn look_up(&mut self, name: &str) -> Option<String> {
        let value = (self.lookup)(name).map(Cow::into_owned);
        if value.is_none() && !self.undefined.iter().any(|known| known == name) {
            self.undefined.push(name.to_owned());
        }
        value
    }

    fn value(&mut self, text: &str, depth: usize) -> Result<String, String> {
        let mut out = String::new();
        self.text(text, depth + 1, &mut out)?;
        Ok(out)
    }

    fn count(&mut self, depth: usize) -> Result<(), String> {
        self.references += 1;
        if depth > DEPTH_MAX || self.references > REFERENCES_MAX {
            return Err(format!("more than {DEPTH_MAX} levels or {REFERENCES_MAX} references in one value"));
        }
        Ok(())
    }

    fn push(&mut self, text: &str, out: &mut String) -> Result<(), String> {
        self.octets = self.octets.saturating_add(text.len());
        if self.octets > EXPANDED_MAX {
            return Err(format!("the value has more than {EXPANDED_MAX} octets"));
        }
        out.push_str(text);
        Ok(())
    }
}

/// Splits a name off the front: ASCII letters, digits, `_`.
fn split_name(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// What stands between the bracket at the front and its partner, and what follows. Only brackets of that sort count.
fn balanced(text: &str, open: char) -> Result<(&str, &str), String> {
    let close = if open == '{' { '}' } else { ')' };
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Ok((&text[1..at], &text[at + 1..]));
            }
        }
    }
    Err(format!("\"{close}\" is missing in \"{text}\""))
}

/// The two texts of a choice.
struct Branches<'t> {
    yes: &'t str,
    no: &'t str,
}

impl<'t> Branches<'t> {
    fn taken(&self, holds: bool) -> &'t str {
        if holds { self.yes } else { self.no }
    }

    /// Reads `?text`, `:text`, `?{a}`, `:{b}`, `?{a}:{b}`, `?{a}:text`; nothing when nothing is there.
    fn split(rest: &'t str) -> Result<Option<Self>, String> {
        let rest = rest.trim_start();
        if let Some(text) = rest.strip_prefix('?') {
            if !text.trim_start().starts_with('{') {
                return Ok(Some(Self { yes: text, no: "" }));
            }
            let (yes, after) = balanced(text.trim_start(), '{')?;
            let after = after.trim_start();
            return match after.strip_prefix(':') {
                Some(text) => Ok(Some(Self { yes, no: last(text)? })),
                None if after.is_empty() => Ok(Some(Self { yes, no: "" })),
                None => Err(format!("\":\" is expected at \"{after}\"")),
            };
        }
        match rest.strip_prefix(':') {
            Some(text) => Ok(Some(Self { yes: "", no: last(text)? })),
            None if rest.is_empty() => Ok(None),
            None => Err(format!("\"?\" or \":\" is expected at \"{rest}\"")),
        }
    }
}

/// The text after the last `:`: in braces, or all of it.
fn last(text: &str) -> Result<&str, String> {
    let trimmed = text.trim_start();
    if !trimmed.starts_with('{') {
        return Ok(text);
    }
    let (inner, after) = balanced(trimmed, '{')?;
    if after.trim().is_empty() { Ok(inner) } else { Err(format!("nothing is expected at \"{after}\"")) }
}

/// What a sign asks of an order.
type Test = fn(Ordering) -> bool;

/// A comparison.
#[derive(Debug, Clone, Copy)]
struct Operator {
    test: Test,
    level: bool,
}

impl Operator {
    fn split(text: &str) -> Result<(Self, &str), String> {
        let tests: [(&str, Test); 6] = [
            ("==", Ordering::is_eq),
            ("!=", Ordering::is_ne),
            ("<=", Ordering::is_le),
            (">=", Ordering::is_ge),
            ("<", Ordering::is_lt),
            (">", Ordering::is_gt),
        ];
        let end = text.find(|c: char| !"=!<>".contains(c)).unwrap_or(text.len());
        let (sign, rest) = text.split_at(end);
        let Some((_, test)) = tests.iter().find(|(known, _)| *known == sign) else {
            return Err(format!("one of == != < <= >= > is expected at \"{text}\""));
        };
        match rest.strip_prefix("level") {
            Some(rest) => Ok((Self { test: *test, level: true }, rest)),
            None => Ok((Self { test: *test, level: false }, rest)),
        }
    }

    fn holds(self, left: &str, right: &str) -> Result<bool, String> {
        let order = if self.level {
            level(left)?.cmp(&level(right)?)
        } else if is_number(left) && is_number(right) {
            digits(left).cmp(&digits(right))
        } else {
            left.cmp(right)
        };
        Ok((self.test)(order))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

/// Digits in an order that is the order of numbers, however long they are.
fn digits(text: &str) -> (usize, &str) {
    let text = text.trim_start_matches('0');
    (text.len(), text)
}

/// What is said of a compatibility level that is none.
pub(super) const NO_LEVEL: &str = "is no compatibility level";

/// A compatibility level: one to three numbers between dots.
///
/// # Errors
/// When it is none.
pub fn level(text: &str) -> Result<[u64; 3], String> {
    let mut level = [0; 3];
    let mut parts = text.trim().split('.');
    for place in &mut level {
        let Some(part) = parts.next() else { return Ok(level) };
        *place = part.parse().map_err(|_| format!("\"{text}\" {NO_LEVEL}"))?;
    }
    if parts.next().is_some() { Err(format!("\"{text}\" {NO_LEVEL}")) } else { Ok(level) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [(&str, &str); 9] = [
        ("one", "1"),
        ("empty", ""),
        ("two_words", "a b"),
        ("indirect", "$one"),
        ("hollow", "${empty}"),
        ("loop", "x$loop"),
        ("b1", "$b2$b2$b2$b2$b2$b2$b2$b2$b2$b2"),
        ("b2", "$b3$b3$b3$b3$b3$b3$b3$b3$b3$b3"),
        ("b3", "$b1"),
    ];

    fn lookup(name: &str) -> Option<Cow<'static, str>> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value))
    }

    fn plain(text: &str) -> String {
        expand(text, &lookup).unwrap().text
    }

    fn wrong(text: &str) -> String {
        expand(text, &lookup).unwrap_err()
    }

    #[test]
    fn the_three_ways_to_write_a_name_mean_the_same() {
        assert_eq!(plain("$one ${one} $(one) ${ one } $$ $indirect"), "1 1 1 1 $ 1");
        assert_eq!(plain("$one-b $unknown.x"), "1-b .x");
    }

    #[test]
    fn a_choice_by_name_tests_for_emptiness() {
        assert_eq!(plain("${one?yes}${empty?no}${unknown?no}"), "yes");
        assert_eq!(plain("${empty:x}${one:y}"), "x");
        assert_eq!(plain("${one?{a}:{b}} ${empty?{a}:{b}} ${empty?{a}:b c}"), "a b b c");
        assert_eq!(plain("${one ? {a} : {b} }|${one ? a }|"), "a| a |");
        assert_eq!(plain("${one?{${empty:{deep $two_words}}}}"), "deep a b");
        assert_eq!(plain("${one?a{b}c}"), "a{b}c");
    }

    #[test]
    fn a_value_that_expands_to_nothing_counts_as_something_like_in_postfix() {
        assert_eq!(plain("${hollow?x}"), "x");
        assert_eq!(plain("${{} == {$hollow}}"), "true");
    }

    #[test]
    fn digits_compare_as_numbers_and_everything_else_as_text() {
        assert_eq!(plain("${{10} < {9} ? {y} : {n}}${{007} == {7} ? {y}:{n}}"), "ny");
        assert_eq!(plain("${{a} < {b}}|${{b} < {a}}|${{b} < {a} : {no}}"), "true||no");
        assert_eq!(plain("${{ x} == {x } ? {y}}${{a} =={b}?{c}:d }"), "d ");
        assert_eq!(plain("${{99999999999999999999} > {99999999999999999998}}"), "true");
    }

    #[test]
    fn levels_compare_part_by_part() {
        assert_eq!(plain("${{3.10} <level {3.9} ? {y} : {n}}"), "n");
        assert_eq!(plain("${{3.6.1} >level {3.6}} ${{3} ==level {3.0}}"), "true true");
        assert!(wrong("${{x} <level {3}}").contains("compatibility level"));
    }

    #[test]
    fn what_can_not_be_understood_is_an_error() {
        for text in
            ["${", "$", "$-", "a $ b", "${one)", "$(one}", "${}", "${?x}", "${one!{a}}", "${one?{a}:{b}c}"]
        {
            assert!(!wrong(text).is_empty(), "{text}");
        }
        for text in ["${empty:{b}?{a}}", "${one?{a}b}", "${{a} = {a}}", "${{a} == a}", "${{a}}"] {
            assert!(!wrong(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn loops_and_avalanches_end() {
        assert!(wrong("$loop").contains("too deeply"));
        assert!(!wrong("$b1").is_empty());
    }

    #[test]
    fn undefined_names_are_told_once() {
        let expanded = expand("$nope ${nope} ${nada?x}", &lookup).unwrap();
        assert_eq!(expanded.undefined, ["nope", "nada"]);
    }

    #[test]
    fn references_are_found_in_every_form() {
        assert_eq!(references("$a ${b?{$c}:{$(d)}} ${{$e} == {f} ? {x}} $$g"), ["a", "b", "c", "d", "e"]);
    }

    proptest! {
        #[test]
        fn any_text_expands_or_fails_within_the_bounds(text in "[a$(){}?: =<>!one1\\u{e9}]{0,60}") {
            if let Ok(expanded) = expand(&text, &lookup) {
                prop_assert!(expanded.text.len() <= EXPANDED_MAX);
            }
            let _ = references(&text);
        }

        #[test]
        fn a_text_without_dollars_is_itself(text in "[^$]{0,80}") {
            prop_assert_eq!(plain(&text), text);
        }
    }
}
