//! Pattern tables: how their lines are read, and which of them answers.

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
