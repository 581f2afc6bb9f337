//! `type:name`, taken apart: what the driver must read, or that it must not.

use super::lines::{inside_braces, items};
use super::{Kind, Problem, Table};

/// Where a table's answers come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A text file: read it, [`Table::compile`] it, and again when it changes.
    File {
        /// The file of the text, without the suffix of a compiled one.
        path: String,
        /// Its form.
        kind: Kind,
    },
    /// Complete already (inline, static, fail), with what is wrong in it.
    Ready(Box<Table>, Vec<Problem>),
    /// `unix:passwd.byname`: the driver answers with a line of passwd(5) for a login name.
    Users,
    /// `unix:group.byname`: the driver answers with a line of group(5) for the name of a group.
    Groups,
}

/// What a table's name says.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// The type, `proxy:` taken off.
    pub kind: String,
    /// Where answers come from.
    pub source: Source,
}

/// Types of Postfix that have no engine here yet.
const NOT_YET: [&str; 13] = [
    "environ",
    "ldap",
    "memcache",
    "mysql",
    "nis",
    "nisplus",
    "pgsql",
    "pipemap",
    "randmap",
    "socketmap",
    "sqlite",
    "tcp",
    "unionmap",
];

/// Types that have one, for messages; the last is ours.
const TYPES: &str =
    "hash, btree, texthash, lmdb, cdb, dbm, sdbm, regexp, pcre, cidr, inline, static, fail, unix, localpart";

/// Why a name is no table that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoTable {
    /// What is wrong.
    pub why: String,
    /// What to do.
    pub remedy: String,
    /// The name can not be right: a configuration that has it is refused. Otherwise its lookups fail, and all else works.
    pub refused: bool,
}

impl NoTable {
    fn wrong(why: String, remedy: impl Into<String>) -> Self {
        Self { why, remedy: remedy.into(), refused: true }
    }
}

impl std::fmt::Display for NoTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.why, self.remedy)
    }
}

impl TableSpec {
    /// Reads a name. `aliases` is set for the tables of `alias_maps` and `alias_database`, whose text files have the form
    /// `name: value`; a table that is also named elsewhere (local_recipient_maps) is still that one table.
    ///
    /// # Errors
    /// Why there can be no such table, and what to do; its lookups must fail ([`Table::failing`]).
    pub fn parse(name: &str, aliases: bool) -> Result<Self, NoTable> {
        let full = name;
        let name = name.strip_prefix("proxy:").or_else(|| name.strip_prefix("proxywrite:")).unwrap_or(name);
        let Some((kind, rest)) = name.split_once(':') else {
            let why = format!("\"{full}\" is no lookup table");
            return Err(NoTable::wrong(why, format!("write type:name, for example hash:{full}")));
        };
        let file = |kind| Source::File { path: rest.to_owned(), kind };
        let source = match kind {
            "hash" | "btree" | "texthash" | "dbm" | "sdbm" | "cdb" | "lmdb" => {
                file(if aliases { Kind::Aliases } else { Kind::Keys })
            }
            "regexp" => patterns(Kind::Regexp, rest, full),
            "pcre" => patterns(Kind::Pcre, rest, full),
            "cidr" => patterns(Kind::Cidr, rest, full),
            "list" => file(Kind::List),
            "inline" => {
                let (table, problems) = Table::inline(rest, full);
                Source::Ready(Box::new(table), problems)
            }
            "static" => {
                let value = inside_braces(rest).unwrap_or(rest);
                Source::Ready(Box::new(Table::constant(value)), Vec::new())
            }
            "localpart" => Source::Ready(Box::new(Table::local_parts(rest)), Vec::new()),
            "fail" => Source::Ready(Box::new(Table::failing(&format!("{full} always fails"))), Vec::new()),
            "unix" if rest == "passwd.byname" => Source::Users,
            "unix" if rest == "group.byname" => Source::Groups,
            "unix" => {
                let why = format!("{full}: there is no such table of the system");
                return Err(NoTable::wrong(why, "write unix:passwd.byname or unix:group.byname"));
            }
            _ if NOT_YET.contains(&kind) => {
                return Err(NoTable {
                    why: format!("not working yet: tables of type {kind} ({full})"),
                    remedy: "its lookups fail: try again later".to_owned(),
                    refused: false,
                });
            }
            _ => {
                let why = format!("{full}: unknown table type \"{kind}\"");
                return Err(NoTable::wrong(why, format!("there are {TYPES}")));
            }
        };
        if let Source::File { path, .. } = &source
            && path.is_empty()
        {
            return Err(NoTable::wrong(
                format!("{full}: the file name is missing"),
                "write it behind the colon",
            ));
        }
        Ok(Self { kind: kind.to_owned(), source })
    }
}

/// A file of rules, or rules in the name itself: `regexp:{ {/pattern/ result}, … }`.
fn patterns(kind: Kind, rest: &str, full: &str) -> Source {
    let Some(body) = inside_braces(rest) else {
        return Source::File { path: rest.to_owned(), kind };
    };
    let mut text = String::new();
    for rule in items(body) {
        let Some(rule) = inside_braces(&rule) else {
            let why = format!("{full}: each rule must be in braces of its own, not \"{rule}\"");
            let problem = Problem { fatal: true, ..Problem::new(full, 0, &why, "write {{rule}, {rule}}") };
            return Source::Ready(Box::new(Table::failing(&why)), vec![problem]);
        };
        text.push_str(rule);
        text.push('\n');
    }
    let (table, problems) = Table::compile(kind, &text, full);
    Source::Ready(Box::new(table), problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ready(name: &str) -> (Table, Vec<Problem>) {
        match TableSpec::parse(name, false).unwrap().source {
            Source::Ready(table, problems) => (*table, problems),
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn a_file_s_form_depends_on_its_type_and_its_use() {
        for (name, aliases, wanted) in [
            ("hash:/etc/aliases", true, Kind::Aliases),
            ("proxy:hash:/etc/aliases", false, Kind::Keys),
            ("regexp:/etc/aliases", true, Kind::Regexp),
            ("list:/etc/aliases", false, Kind::List),
        ] {
            let Source::File { path, kind } = TableSpec::parse(name, aliases).unwrap().source else {
                panic!("{name}")
            };
            assert_eq!((path.as_str(), kind), ("/etc/aliases", wanted));
        }
        assert!(matches!(TableSpec::parse("proxy:unix:passwd.byname", false).unwrap().source, Source::Users));
    }

    #[test]
    fn small_tables_stand_in_their_name() {
        let (table, problems) = ready("inline:{a=b, {C = d e}, f=g}");
        assert_eq!(problems, []);
        assert_eq!(table.lookup("c"), Ok(Some("d e".into())));
        assert_eq!(ready("static:{ a b }").0.lookup("any"), Ok(Some("a b".into())));
        assert_eq!(ready("static:OK").0.lookup(""), Ok(Some("OK".into())));
        assert_eq!(ready("regexp:{ {/X/ yes}, {/y/i no} }").0.lookup("x"), Ok(Some("yes".into())));
        assert_eq!(ready("cidr:{{10.0.0.0/8 in}}").0.lookup("10.1.2.3"), Ok(Some("in".into())));
    }

    #[test]
    fn a_local_part_that_is_no_plain_name_has_no_mailbox() {
        let (table, _) = ready("localpart:/");
        assert_eq!(table.lookup("Me@localhost"), Ok(Some("me/".into())));
        assert_eq!(table.lookup("Grüße@localhost"), Ok(Some("grüße/".into())));
        for key in ["me", "@localhost", "../me@localhost", "a/b@localhost", ".x@localhost", "a\0b@localhost"]
        {
            assert_eq!(table.lookup(key), Ok(None), "{key}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_name_fails_every_lookup() {
        for name in ["inline:{}", "inline:{a}", "inline:a=b", "regexp:{/x/ y}", "fail:test"] {
            assert!(ready(name).0.lookup("a").is_err(), "{name}");
        }
    }

    #[test]
    fn types_without_an_engine_are_named() {
        let wrong = |name: &str| TableSpec::parse(name, false).unwrap_err();
        assert!(wrong("hsah:/etc/l").why.contains("unknown table type \"hsah\""));
        assert!(wrong("hsah:/etc/l").remedy.starts_with("there are hash, btree"));
        assert!(wrong("/etc/aliases").remedy.contains("hash:/etc/aliases"));
        assert!(
            ["hsah:/etc/l", "/etc/aliases", "hash:", "unix:shadow"].iter().all(|name| wrong(name).refused)
        );
        // What is only not there yet must not keep the rest of the mail from flowing.
        assert!(NOT_YET.iter().all(|kind| !wrong(&format!("{kind}:x")).refused));
        assert!(wrong("proxy:ldap:/etc/l.cf").to_string().contains("not working yet: tables of type ldap"));
    }

    const FILES: [&str; 10] =
        ["hash", "btree", "texthash", "lmdb", "cdb", "dbm", "sdbm", "regexp", "pcre", "cidr"];

    proptest! {
        #[test]
        fn a_file_s_name_is_kept_as_it_is(
            kind in prop::sample::select(&FILES[..]),
            path in "/[!-~é:]{0,12}",
            aliases: bool,
            proxy in "(proxy:|proxywrite:)?",
        ) {
            let spec = TableSpec::parse(&format!("{proxy}{kind}:{path}"), aliases).unwrap();
            prop_assert_eq!(&spec.kind, kind);
            let Source::File { path: found, .. } = spec.source else { panic!("{kind} is a file's type") };
            prop_assert_eq!(found, path);
        }

        #[test]
        fn a_constant_answers_every_key_alike(value in "[!-z]([ -z]{0,9}[!-z])?", key: String, braces: bool) {
            let name = if braces { format!("static:{{ {value} }}") } else { format!("static:{value}") };
            prop_assert_eq!(ready(&name).0.lookup(&key), Ok(Some(value)));
        }

        // A client chooses the key, and the answer names a file of root's to write to.
        #[test]
        fn a_local_part_is_one_name_below_the_folder(key in "\\PC{0,12}@\\PC{0,4}|[a./\\\\@\\x00]{0,9}") {
            if let Some(name) = ready("localpart:/").0.lookup(&key).unwrap() {
                let name = name.strip_suffix('/').unwrap();
                prop_assert!(!name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']), "{name}");
            }
        }

        #[test]
        fn rules_in_a_name_are_the_rules_of_a_file(
            results in prop::collection::vec("[a-z]{1,4}", 1..5),
            key in 0..6u8,
        ) {
            let rules: Vec<String> =
                results.iter().enumerate().map(|(at, result)| format!("10.0.0.{at} {result}")).collect();
            let braced: Vec<String> = rules.iter().map(|rule| format!("{{{rule}}}")).collect();
            let (table, problems) = ready(&format!("cidr:{{ {} }}", braced.join(", ")));
            let key = format!("10.0.0.{key}");
            prop_assert_eq!(problems, []);
            prop_assert_eq!(table.lookup(&key), Table::compile(Kind::Cidr, &rules.join("\n"), "/t").0.lookup(&key));
        }

        #[test]
        fn any_name_is_a_table_or_says_what_to_do(
            name in "\\PC{0,20}|(proxy:)?(hash|inline|static|pcre|regexp|cidr|localpart|unix|list|ldap|fail):[{}= ,/a0.$]{0,16}",
            aliases: bool,
        ) {
            match TableSpec::parse(&name, aliases) {
                Ok(spec) => {
                    if let Source::Ready(table, _) = spec.source {
                        _ = table.lookup(&name);
                    }
                }
                Err(none) => prop_assert!(none.why.contains(&name) && !none.remedy.is_empty(), "{none}"),
            }
        }
    }
}
