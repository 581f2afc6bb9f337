//! `$name` in values that are expanded for each recipient (`forward_path`, `luser_relay`): local(8).
//!
//! `$name`, `${name}`, `${name?text}`, `${name:text}`, `${name?{text}}`, `${name?{a}:{b}}`. Unknown names are empty.

/// How deep texts may stand in texts.
const DEPTH_MAX: usize = 10;

/// The text with its names replaced by what `value` says.
pub(super) fn expand(text: &str, value: &dyn Fn(&str) -> String) -> String {
    within(text, value, 0)
}

fn within(text: &str, value: &dyn Fn(&str) -> String, depth: usize) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(place) = rest.find('$') {
        let (before, after) = rest.split_at(place);
        out.push_str(before);
        let after = after.get(1..).unwrap_or_default();
        if let Some(braced) = after.strip_prefix('{') {
            let end = closing(braced);
            if depth < DEPTH_MAX {
                out.push_str(&conditional(braced.get(..end).unwrap_or_default(), value, depth));
            }
            rest = braced.get(end + 1..).unwrap_or_default();
        } else {
            let end = name_end(after);
            out.push_str(&value(after.get(..end).unwrap_or_default()));
            rest = after.get(end..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

fn name_end(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// Where the brace that was opened in front of this text is closed.
fn closing(text: &str) -> usize {
    let mut depth = 0usize;
    for (place, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return place,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

fn conditional(text: &str, value: &dyn Fn(&str) -> String, depth: usize) -> String {
    let (name, rest) = text.split_at(name_end(text));
    let found = value(name);
    let (set, unset) = match (rest.chars().next(), rest.get(1..).unwrap_or_default()) {
        (Some('?'), texts) => {
            let (first, after) = braced(texts);
            (first, after.strip_prefix(':').map_or("", |second| braced(second).0))
        }
        (Some(':'), text) => ("", braced(text).0),
        _ => return found,
    };
    within(if found.is_empty() { unset } else { set }, value, depth + 1)
}

/// The text in braces, and what is behind them; all of it where there are none.
fn braced(text: &str) -> (&str, &str) {
    match text.strip_prefix('{') {
        Some(inner) => {
            let end = closing(inner);
            (inner.get(..end).unwrap_or_default().trim(), inner.get(end + 1..).unwrap_or_default())
        }
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn names_are_replaced_and_conditions_obeyed() {
        let value = |name: &str| match name {
            "home" => "/home/joe".to_owned(),
            "extension" => "list".to_owned(),
            _ => String::new(),
        };
        let said = |text: &str| expand(text, &value);
        assert_eq!(said("$home/.forward${extension?+$extension}"), "/home/joe/.forward+list");
        assert_eq!(said("${shell?x}${shell:y}${home?{a}:{b}}${shell?{a}:{b}}"), "yab");
        assert_eq!(said("$$home$"), "/home/joe");
        assert_eq!(said("${home"), "/home/joe");
        assert_eq!(said(&"${home?{".repeat(1000)), "");
    }

    quickcheck::quickcheck! {
        fn any_text_is_expanded(text: String) -> bool {
            _ = expand(&text, &|name| name.to_owned());
            true
        }
    }
}
