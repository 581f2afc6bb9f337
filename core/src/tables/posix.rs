//! POSIX regular expressions, as the C library reads them, in the notation of our engine.
//!
//! Extended by default, basic on request. What POSIX leaves undefined follows GNU: `\<`, `\>`, `\b`, `\w`, `\1`,
//! an unmatched `)` is itself. A construct of Perl, such as `(?:`, is an error here as it is there,
//! so that a rule never means something else than it did.
//!
//! One known difference: of two alternatives that match at the same place the first wins, not the longest. Whether
//! a string matches is not touched by it; what `$1` holds may be.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

/// How to read a pattern.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// Extended syntax.
    pub(super) extended: bool,
    /// A newline ends a line: `.` and `[^…]` do not match it.
    pub(super) lines: bool,
}

/// The pattern in the engine's notation.
///
/// # Errors
/// What is wrong with it.
pub(super) fn translate(pattern: &str, dialect: Dialect) -> Result<String, &'static str> {
    let mut reader = Reader {
        input: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() + 8),
        dialect,
        groups: Vec::new(),
        start: 0,
        operand: false,
        repeated: false,
    };
    while let Some(c) = reader.input.next() {
        reader.step(c)?;
    }
    if !reader.groups.is_empty() {
        return Err("Unmatched ( or \\(");
    }
    Ok(reader.out)
}

struct Reader<'a> {
    input: Peekable<Chars<'a>>,
    out: String,
    dialect: Dialect,
    /// Where each open group starts in `out`.
    groups: Vec<usize>,
    /// Where in `out` the operand starts that a repetition would repeat.
    start: usize,
    /// There is such an operand.
    operand: bool,
    /// It ends with a repetition already.
    repeated: bool,
}

impl Reader<'_> {
    fn step(&mut self, c: char) -> Result<(), &'static str> {
        let extended = self.dialect.extended;
        match c {
            '\\' => return self.escape(),
            '[' => return self.bracket(),
            '(' if extended => self.group(),
            ')' if extended && !self.groups.is_empty() => self.group_end(),
            '|' if extended => self.alternative(),
            '{' if extended => return self.interval("}"),
            '*' if !self.operand && !extended => self.literal('*'),
            '*' => return self.repeat('*'),
            '+' | '?' if extended => return self.repeat(c),
            '^' if extended || self.at_start() => {
                self.out.push('^');
                self.operand = false;
            }
            '$' if extended || self.at_end() => {
                self.out.push('$');
                self.operand = false;
            }
            '.' => {
                self.begin();
                self.out.push('.');
            }
            _ => self.literal(c),
        }
        Ok(())
    }

    /// In basic syntax an anchor is one only at an edge of the pattern or a group.
    fn at_start(&self) -> bool {
        self.out.is_empty()
            || (self.out.ends_with(['(', '|']) && !self.out.ends_with("\\(") && !self.out.ends_with("\\|"))
    }

    fn at_end(&self) -> bool {
        let rest: String = self.input.clone().take(2).collect();
        rest.is_empty() || rest == "\\)" || rest == "\\|"
    }

    /// Notes that what is written next is one operand.
    fn begin(&mut self) {
        self.start = self.out.len();
        self.operand = true;
        self.repeated = false;
    }

    fn literal(&mut self, c: char) {
        self.begin();
        self.plain(c);
    }

    /// A character that means itself. `<` and `>` do so bare: behind a backslash they are the edges of words.
    fn plain(&mut self, c: char) {
        if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    fn group(&mut self) {
        self.groups.push(self.out.len());
        self.out.push('(');
        self.operand = false;
    }

    fn group_end(&mut self) {
        self.start = self.groups.pop().unwrap_or(0);
        self.out.push(')');
        self.operand = true;
        self.repeated = false;
    }

    fn alternative(&mut self) {
        self.out.push('|');
        self.operand = false;
    }

    /// Makes sure that there is something to repeat. What is repeated already goes into a group of its own, because
    /// `a*?` and `a*+` mean something else to our engine.
    fn before_repetition(&mut self) -> Result<(), &'static str> {
        if !self.operand {
            return Err("Invalid preceding regular expression");
        }
        if self.repeated {
            self.out.insert_str(self.start, "(?:");
            self.out.push(')');
        }
        self.repeated = true;
        Ok(())
    }

    fn repeat(&mut self, c: char) -> Result<(), &'static str> {
        self.before_repetition()?;
        self.out.push(c);
        Ok(())
    }

    /// `{n,m}`.
    fn interval(&mut self, end: &str) -> Result<(), &'static str> {
        self.before_repetition()?;
        let rest: String = self.input.clone().collect();
        let length = rest.find(end).ok_or("Unmatched { or \\{")?;
        let body = rest.get(..length).unwrap_or("");
        let (low, high) = body.split_once(',').unwrap_or((body, body));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if body.is_empty() || !digits(low) || !digits(high) {
            return Err("Invalid content of \\{\\}");
        }
        let low = if low.is_empty() { "0" } else { low };
        let comma = if body.contains(',') { "," } else { "" };
        let high = if comma.is_empty() { "" } else { high };
        _ = write!(self.out, "{{{low}{comma}{high}}}");
        self.input.nth(length + end.len() - 1);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        let c = self.input.next().ok_or("Trailing backslash")?;
        let basic = !self.dialect.extended;
        match c {
            '(' if basic => self.group(),
            ')' if basic && !self.groups.is_empty() => self.group_end(),
            ')' if basic => return Err("Unmatched ) or \\)"),
            '|' if basic => self.alternative(),
            '{' if basic => return self.interval("\\}"),
            '+' | '?' if basic => return self.repeat(c),
            '<' => self.word("\\<"),
            '>' => self.word("\\>"),
            '`' => self.word("\\A"),
            '\'' => self.word("\\z"),
            'b' | 'B' => self.word(if c == 'b' { "\\b" } else { "\\B" }),
            'w' | 'W' | 's' | 'S' | '1'..='9' => {
                self.begin();
                self.out.push('\\');
                self.out.push(c);
            }
            _ => self.literal(c),
        }
        Ok(())
    }

    fn word(&mut self, assertion: &str) {
        self.out.push_str(assertion);
        self.operand = false;
    }

    /// `[…]`: backslash is itself in it, and so are the engine's own operators for sets.
    fn bracket(&mut self) -> Result<(), &'static str> {
        const UNMATCHED: &str = "Unmatched [, [^, [:, [., or [=";
        self.begin();
        self.out.push('[');
        let negated = self.input.next_if_eq(&'^').is_some();
        if negated {
            self.out.push('^');
            if self.dialect.lines {
                self.out.push_str("\\n");
            }
        }
        let mut first = true;
        loop {
            let c = self.input.next().ok_or(UNMATCHED)?;
            match c {
                ']' if !first => break,
                '[' if matches!(self.input.peek(), Some(':' | '.' | '=')) => self.bracket_class()?,
                '-' if !first && self.input.peek() != Some(&']') => self.out.push('-'),
                _ => self.plain(c),
            }
            first = false;
        }
        self.out.push(']');
        Ok(())
    }

    /// `[:name:]`, and `[.c.]`, `[=c=]` of a single character.
    fn bracket_class(&mut self) -> Result<(), &'static str> {
        let mark = self.input.next().unwrap_or(':');
        let mut name = String::new();
        loop {
            let c = self.input.next().ok_or("Unmatched [, [^, [:, [., or [=")?;
            if c == mark && self.input.next_if_eq(&']').is_some() {
                break;
            }
            name.push(c);
        }
        if mark == ':' {
            const NAMES: [&str; 12] = [
                "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
                "upper", "xdigit",
            ];
            if !NAMES.contains(&name.as_str()) {
                return Err("Invalid character class name");
            }
            _ = write!(self.out, "[:{name}:]");
            return Ok(());
        }
        let mut characters = name.chars();
        match (characters.next(), characters.next()) {
            (Some(c), None) => self.plain(c),
            _ => return Err("Invalid collation character"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extended(pattern: &str) -> Result<String, &'static str> {
        translate(pattern, Dialect { extended: true, lines: false })
    }

    fn matches(pattern: &str, text: &str) -> bool {
        let translated = extended(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
        fancy_regex::Regex::new(&translated).unwrap().is_match(text).unwrap()
    }

    #[test]
    fn extended_expressions_mean_what_they_mean_in_the_c_library() {
        for (pattern, text, wanted) in [
            ("a*b+c", "aabbc", true),
            ("[\\.]", "a\\b", true),
            ("a)b", "a)b", true),
            ("^<>$", "<>", true),
            ("^[<>]$", ">", true),
            ("a{,2}k", "aak", true),
            ("^a{2}$", "aaa", false),
            ("^(a{2}){2}*b$", "aaaab", true),
            ("^a{2}*b$", "aaaaab", false),
            ("[]a]", "]", true),
            ("[^]a]", "]", false),
            ("[a&&b]", "&", true),
            ("[a-]", "-", true),
            ("[[:alnum:]+/]{3,}", "+a/", true),
            ("\\<bar\\>", "foo bar!", true),
            ("\\<bar\\>", "foobar", false),
            ("(a)(b)\\2", "abb", true),
            ("a|b$", "xb", true),
            ("a\\*\\+", "a*+", true),
            ("x**y", "xxxy", true),
            ("x*?y", "y", true),
            ("[[.-.]]", "-", true),
            ("a\\/b#c d", "a/b#c d", true),
            ("é+", "éé", true),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn perl_is_not_posix() {
        for pattern in
            ["+bad", "(?:x)", "(*)", "a|*b", "(", "[a", "a\\", "[[:nope:]]", "^*", "a{x", "{", "a{x}", "a$+"]
        {
            assert!(extended(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn basic_expressions_keep_their_plus_and_parentheses() {
        let basic = |pattern: &str| translate(pattern, Dialect { extended: false, lines: false }).unwrap();
        assert_eq!(basic("a+(b)|{"), r"a\+\(b\)\|\{");
        assert_eq!(basic(r"^\(a\)\{2\}^$x$"), r"^(a){2}\^\$x$");
        assert_eq!(basic("*a"), r"\*a");
    }

    proptest::proptest! {
        #[test]
        fn a_range_of_a_bracket_is_the_characters_between(
            low in "[!-\\\\_-~]",
            high in "[!-\\\\^-~]",
            c in "[!-~]",
            negated: bool,
        ) {
            let pattern = format!("^[{}{low}-{high}]$", if negated { "^" } else { "" });
            let regex = fancy_regex::Regex::new(&extended(&pattern).unwrap());
            let wanted = (low <= high).then_some((low <= c && c <= high) != negated);
            let found = regex.ok().map(|regex| regex.is_match(&c).unwrap());
            proptest::prop_assert_eq!(found, wanted, "{} {}", pattern, c);
        }

        #[test]
        fn whatever_is_translated_compiles_or_is_refused(
            pattern in "[-a\\[\\]\\\\(){}|*+?.^$:,&~0-3 ]{0,12}",
        ) {
            if let Ok(translated) = extended(&pattern) {
                // The engine may refuse it (a huge repetition, a missing group), but must not panic.
                let _ = fancy_regex::Regex::new(&translated);
            }
        }
    }
}
