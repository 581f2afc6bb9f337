//! Settings that ask for what is done anyhow: of these a parameter that does not work yet is not worth a warning.
//!
//! That is the default, in whatever spelling; and of a few parameters whose default switches something on that does not
//! exist here, the value that switches it off (Debian's main.cf says `biff = no`).

use super::check::{flag, items, number, seconds};
use super::scope::Scope;
use super::table::Kind;

/// Values other than the default that ask for what is done anyhow.
const OFF: [(&str, &str); 5] = [
    ("address_verify_map", ""),
    ("biff", "no"),
    ("lmtp_pix_workarounds", ""),
    ("nested_header_checks", ""),
    ("smtp_pix_workarounds", ""),
];

/// Whether the value that a name is set to asks for nothing.
pub(super) fn asks_nothing(scope: &Scope<'_>, name: &str) -> bool {
    let kind = scope.kind(name);
    // A template means its own text.
    let expanded = |text: &str| match kind {
        Kind::Raw => Some(text.to_owned()),
        _ => scope.expand(text).ok().map(|expanded| expanded.text),
    };
    let Some(value) = scope.assigned(name).and_then(expanded) else { return false };
    let is = |other: &str| same(kind, &value, other);
    let default = scope.default(name).and_then(|default| expanded(&default));
    default.is_some_and(|default| is(&default)) || OFF.iter().any(|(known, off)| *known == name && is(off))
}

/// Whether two values of a kind mean the same.
fn same(kind: Kind, a: &str, b: &str) -> bool {
    if a.trim() == b.trim() {
        return true;
    }
    match kind {
        Kind::Flag => flag(a).is_some() && flag(a) == flag(b),
        Kind::Number { .. } => number(a).is_some() && number(a) == number(b),
        Kind::Time { unit, .. } => seconds(a, unit).is_some() && seconds(a, unit) == seconds(b, unit),
        Kind::Word(_) => a.eq_ignore_ascii_case(b),
        Kind::List | Kind::Tables | Kind::Matches | Kind::Restrictions | Kind::Words(_) => {
            items(a) == items(b)
        }
        Kind::Text | Kind::Raw | Kind::Feedback | Kind::Level => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::table::{self, Works};
    use crate::params::{Config, Host};

    fn told(main: &str) -> Vec<String> {
        let (_, problems) = Config::read(&format!("compatibility_level = 3.6\n{main}"), "", Host::default());
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_default_in_any_spelling_asks_nothing() {
        let main = "milter_protocol = 6\nsmtp_sasl_auth_enable = NO\nlmtp_xforward_timeout = 5m\n\
                    smtp_sasl_security_options = noplaintext,noanonymous\nsmtpd_sasl_path = smtpd\n\
                    address_verify_relayhost = $relayhost\n";
        assert_eq!(told(main), Vec::<String>::new());
    }

    #[test]
    fn what_switches_off_what_does_not_exist_asks_nothing() {
        assert_eq!(told("biff = no\nsmtp_pix_workarounds =\nnested_header_checks =\n"), Vec::<String>::new());
        for (name, off) in OFF {
            let row = table::row(name).expect("a name of the table");
            assert_eq!(row.works, Works::NotYet, "{name}");
            assert!(!same(row.kind, row.default, off), "{name}: the default needs no mention");
        }
    }

    #[test]
    fn what_asks_for_something_is_told() {
        for line in ["smtp_sasl_auth_enable = yes", "milter_protocol = 2", "lmtp_xforward_timeout = 5"] {
            let told = told(line);
            assert!(
                told.len() == 1 && told[0].starts_with("main.cf:2: warning: not working yet: "),
                "{told:?}"
            );
        }
    }
}
