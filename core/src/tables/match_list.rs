//! Lists of patterns: mydestination, relay_domains, mynetworks and their like.
//!
//! The first item that matches wins; `!` in front of it turns a match into "no". An item is a text, a network, a
//! table `type:name`, or `/file/name`, which stands for the items of that file. The text of such a file is asked for as the
//! table `list:/file/name` with an empty key: the driver compiles it as [`super::Kind::List`].
//!
//! Lookups go through [`Facts`], so matching pauses where an answer is missing. Nothing here is case-sensitive.

use super::cidr::Network;
use super::lines::items;
use crate::ask::{Facts, Pause, TableFailure, TableName};
use std::net::IpAddr;

/// Files in files; Postfix has no bound, but a file that names itself would have no end.
const FILE_DEPTH_MAX: usize = 8;

/// What a list is matched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// Whole strings (mydestination, virtual_alias_domains, virtual_mailbox_domains).
    Text,
    /// Domains and those below them: `.domain`, or `domain` where parent_domain_matches_subdomains says so (relay_domains).
    Domains,
    /// Client names, like domains, and addresses (mynetworks).
    Clients,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum What {
    Text(String),
    Network(Network),
    Table(TableName),
    File(TableName),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Item {
    negated: bool,
    what: What,
}

/// A list of patterns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MatchList {
    form: Form,
    /// `domain` matches what is below it as well; else only `.domain` does.
    parents: bool,
    items: Vec<Item>,
    /// As it was written.
    text: String,
}

impl MatchList {
    /// Reads a list. `parents`: parent_domain_matches_subdomains has this list's name.
    ///
    /// # Errors
    /// The item that can not be right, and why.
    pub fn parse(text: &str, form: Form, parents: bool) -> Result<Self, String> {
        Ok(Self { form, parents, items: parse_items(text, form)?, text: text.to_owned() })
    }

    /// A list that matches nothing.
    #[must_use]
    pub const fn empty(form: Form) -> Self {
        Self { form, parents: false, items: Vec::new(), text: String::new() }
    }

    /// As it was written, for people.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The tables it asks, `list:/file` among them; those that such a file names are not known before it is read.
    pub fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.items.iter().filter_map(|item| match &item.what {
            What::Table(table) | What::File(table) => Some(table),
            What::Text(_) | What::Network(_) => None,
        })
    }

    /// True when more than networks is listed: whether a client is on the list may then depend on its name.
    #[must_use]
    pub fn asks_names(&self) -> bool {
        self.items.iter().any(|item| !matches!(item.what, What::Network(_)))
    }

    /// True when it matches nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the list has a string or domain.
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn matches(&self, text: &str, facts: &Facts) -> Result<bool, Pause> {
        if self.items.is_empty() {
            return Ok(false);
        }
        let text = text.to_lowercase();
        Ok(self.find(&self.items, &text, None, facts, 0)?.unwrap_or(false))
    }

    /// Whether the list has a client, by name or address.
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn matches_client(&self, name: &str, address: IpAddr, facts: &Facts) -> Result<bool, Pause> {
        let name = if self.asks_names() { name.to_lowercase() } else { String::new() };
        Ok(self.find(&self.items, &name, Some(address), facts, 0)?.unwrap_or(false))
    }

    fn find(
        &self,
        items: &[Item],
        text: &str,
        address: Option<IpAddr>,
        facts: &Facts,
        depth: usize,
    ) -> Result<Option<bool>, Pause> {
        for item in items {
            let found = match &item.what {
                What::Text(pattern) => self.text_matches(pattern, text).then_some(true),
                What::Network(network) => {
                    address.is_some_and(|address| network.contains(address)).then_some(true)
                }
                What::Table(table) => self.table_matches(table, text, address, facts)?.then_some(true),
                What::File(table) => {
                    let inner = self.file(table, facts, depth)?;
                    self.find(&inner, text, address, facts, depth + 1)?
                }
            };
            if let Some(found) = found {
                return Ok(Some(found != item.negated));
            }
        }
        Ok(None)
    }

    fn file(&self, table: &TableName, facts: &Facts, depth: usize) -> Result<Vec<Item>, Pause> {
        let broken = |why: String| Pause::Broken(TableFailure { table: table.clone(), why });
        if depth >= FILE_DEPTH_MAX {
            return Err(broken("files of patterns name one another without end".into()));
        }
        let text = facts.lookup(table, "")?.unwrap_or("");
        parse_items(text, self.form).map_err(broken)
    }

    fn text_matches(&self, pattern: &str, text: &str) -> bool {
        if pattern == text {
            return true;
        }
        if self.form == Form::Text || text.len() <= pattern.len() {
            return false;
        }
        match text.strip_suffix(pattern) {
            Some(below) if self.parents => below.ends_with('.'),
            Some(_) => pattern.starts_with('.'),
            None => false,
        }
    }

    fn table_matches(
        &self,
        table: &TableName,
        text: &str,
        address: Option<IpAddr>,
        facts: &Facts,
    ) -> Result<bool, Pause> {
        let partial = self.form != Form::Text && !table.is_pattern();
        let keys = domain_keys(text, self.parents).take(if partial { usize::MAX } else { 1 });
        for key in keys.filter(|key| !key.is_empty()) {
            if facts.lookup(table, key)?.is_some() {
                return Ok(true);
            }
        }
        match address {
            Some(address) => Ok(facts.lookup(table, &address.to_canonical().to_string())?.is_some()),
            None => Ok(false),
        }
    }
}

/// A domain, and the keys under which it is found by those above it: `a.b.c`, then `b.c` and `c` (`parents`), or
/// `.b.c` and `.c`.
pub(crate) fn domain_keys(domain: &str, parents: bool) -> impl Iterator<Item = &str> {
    let dots = domain.bytes().enumerate().skip(1).filter(|&(_, octet)| octet == b'.');
    let above = dots.map(move |(dot, _)| &domain[if parents { dot + 1 } else { dot }..]);
    std::iter::once(domain).chain(above)
}

fn parse_items(text: &str, form: Form) -> Result<Vec<Item>, String> {
    let mut found = Vec::new();
    let mut negate_next = false;
    for item in items(text) {
        let bare = item.trim_start_matches('!');
        let negated = negate_next ^ ((item.len() - bare.len()) % 2 == 1);
        // `! item` with a space: the sign belongs to the item behind it, never to nothing.
        negate_next = bare.is_empty() && negated;
        if !bare.is_empty() {
            found.push(Item { negated, what: parse_item(bare, form)? });
        }
    }
    Ok(found)
}

fn parse_item(item: &str, form: Form) -> Result<What, String> {
    if item.starts_with('/') {
        return Ok(What::File(TableName(format!("list:{item}"))));
    }
    if form == Form::Clients {
        if item.starts_with('[') || item.starts_with(|c: char| c.is_ascii_digit()) && !item.contains(':') {
            return Network::parse(item).map(What::Network);
        }
        if item.split('/').next().is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()) {
            return Err(format!("\"{item}\": write an IPv6 address in brackets, as in [::1]/128"));
        }
    }
    // A literal such as [IPv6:::1] has a colon and is no table.
    if item.contains(':') && !item.starts_with('[') {
        return Ok(What::Table(TableName(item.to_owned())));
    }
    if form == Form::Clients && item.contains('/') {
        return Err(format!("\"{item}\" is no network"));
    }
    Ok(What::Text(item.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{Answer, Question};
    use crate::tables::{Kind, Table};
    use proptest::prelude::*;

    fn facts(tables: &[(&str, &str)]) -> impl Fn(&MatchList, &str, Option<&str>) -> bool {
        let tables: Vec<(String, Table)> = tables
            .iter()
            .map(|(name, text)| {
                let kind = if name.starts_with("list:") { Kind::List } else { Kind::Keys };
                ((*name).to_owned(), Table::compile(kind, text, name).0)
            })
            .collect();
        move |list, text, address| {
            let mut facts = Facts::new();
            loop {
                let result = match address {
                    None => list.matches(text, &facts),
                    Some(address) => list.matches_client(text, address.parse().unwrap(), &facts),
                };
                match result {
                    Ok(found) => return found,
                    Err(Pause::Need(Question::Lookup { table, key })) => {
                        let engine = &tables.iter().find(|(name, _)| *name == table.0).unwrap().1;
                        let answer = Answer::Lookup(Ok(engine.lookup(&key).unwrap()));
                        facts.learn(Question::Lookup { table, key }, answer);
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    }

    fn list(text: &str, form: Form, parents: bool) -> MatchList {
        MatchList::parse(text, form, parents).unwrap()
    }

    #[test]
    fn the_first_item_that_matches_wins() {
        let matches = facts(&[]);
        let domains = list("!bad.example.com, example.com, ! other.org .org", Form::Domains, true);
        assert!(matches(&domains, "Example.COM", None));
        assert!(matches(&domains, "a.example.com", None));
        assert!(!matches(&domains, "bad.example.com", None));
        assert!(!matches(&domains, "x.bad.example.com", None));
        assert!(!matches(&domains, "other.org", None));
        assert!(!matches(&domains, "notexample.com", None));
    }

    #[test]
    fn a_leading_dot_matches_what_is_below_only() {
        let matches = facts(&[]);
        let domains = list(".example.com", Form::Domains, false);
        assert!(matches(&domains, "a.b.example.com", None));
        assert!(!matches(&domains, "example.com", None));
        let strings = list(".example.com", Form::Text, false);
        assert!(!matches(&strings, "a.example.com", None));
    }

    #[test]
    fn networks_and_names_share_a_list() {
        let matches = facts(&[]);
        let clients = list("!10.1.0.0/16 10.0.0.0/8 [2001:db8::]/32 trusted.example", Form::Clients, true);
        assert!(matches(&clients, "unknown", Some("10.2.0.1")));
        assert!(matches(&clients, "unknown", Some("::ffff:10.2.0.1")));
        assert!(!matches(&clients, "unknown", Some("10.1.0.1")));
        assert!(matches(&clients, "unknown", Some("2001:db8::1")));
        assert!(matches(&clients, "mx.trusted.example", Some("9.9.9.9")));
        assert!(!matches(&clients, "unknown", Some("9.9.9.9")));
    }

    #[test]
    fn tables_are_asked_for_parents_as_the_style_says() {
        let matches = facts(&[("hash:/d", "example.com x\n.example.org x\n10.9.9.9 x\n")]);
        let parents = list("hash:/d", Form::Domains, true);
        assert!(matches(&parents, "a.b.example.com", None));
        assert!(!matches(&parents, "a.example.org", None));
        let dotted = list("hash:/d", Form::Domains, false);
        assert!(!matches(&dotted, "a.example.com", None));
        assert!(matches(&dotted, "a.example.org", None));
        assert!(!matches(&list("hash:/d", Form::Text, true), "a.example.com", None));
        assert!(matches(&list("hash:/d", Form::Clients, true), "unknown", Some("10.9.9.9")));
    }

    #[test]
    fn a_file_stands_for_its_items() {
        let matches =
            facts(&[("list:/f", "# ours\n10.0.0.0/8\n!192.0.2.1, 192.0.2.0/24\n"), ("list:/loop", "/loop")]);
        let clients = list("/f", Form::Clients, true);
        assert!(matches(&clients, "unknown", Some("10.0.0.1")));
        assert!(!matches(&clients, "unknown", Some("192.0.2.1")));
        assert!(matches(&clients, "unknown", Some("192.0.2.2")));
        let without = list("!/f 0.0.0.0/0", Form::Clients, true);
        assert!(!matches(&without, "unknown", Some("10.0.0.1")));
        assert!(matches(&without, "unknown", Some("9.9.9.9")));
    }

    #[test]
    fn a_file_that_names_itself_is_a_broken_table() {
        let mut facts = Facts::new();
        let question = Question::Lookup { table: TableName("list:/loop".into()), key: String::new() };
        facts.learn(question, Answer::Lookup(Ok(Some("/loop".into()))));
        let result = list("/loop", Form::Text, false).matches("x", &facts);
        assert!(matches!(result, Err(Pause::Broken(_))), "{result:?}");
    }

    #[test]
    fn networks_that_can_not_be_right_are_refused() {
        for bad in ["10.0.0.1/8", "::1", "2001:db8::/32", "10.0.0.0/40", "[::1", "a/8"] {
            assert!(MatchList::parse(bad, Form::Clients, true).is_err(), "{bad}");
        }
        assert!(MatchList::parse("[1.2.3.4], [IPv6:::1], a:b", Form::Text, false).is_ok());
    }

    #[test]
    fn the_keys_of_a_domain_end_with_its_top() {
        let keys = |domain, parents| domain_keys(domain, parents).collect::<Vec<_>>();
        assert_eq!(keys("a.b.c", true), ["a.b.c", "b.c", "c"]);
        assert_eq!(keys("a.b.c", false), ["a.b.c", ".b.c", ".c"]);
        assert_eq!(keys("", false), [""]);
        assert_eq!(keys("é.b", true), ["é.b", "b"]);
        assert_eq!(keys(".a..b", false), [".a..b", "..b", ".b"]);
    }

    /// Signs before an item, the item, and the separator behind it.
    fn written() -> impl Strategy<Value = Vec<(String, String, String)>> {
        prop::collection::vec(("!{0,3}( !{0,2})?", "\\.?[ab](\\.[ab]){0,2}", "[, \\n]{1,2}"), 0..8)
    }

    /// Whether a pattern covers a domain, as postconf(5) says of parent_domain_matches_subdomains.
    fn covers(pattern: &str, domain: &str, form: Form, parents: bool) -> bool {
        let below = match (form, parents) {
            (Form::Text, _) => false,
            (_, true) => domain.ends_with(&format!(".{pattern}")),
            (_, false) => {
                pattern.starts_with('.') && domain.len() > pattern.len() && domain.ends_with(pattern)
            }
        };
        domain == pattern || below
    }

    proptest! {
        #[test]
        fn the_first_match_decides_and_signs_turn_it(
            written in written(),
            domain in "[abAB](\\.[ab]){0,3}",
            form in prop::sample::select(&[Form::Text, Form::Domains, Form::Clients][..]),
            parents: bool,
        ) {
            let text: String = written.iter().map(|(signs, item, end)| format!("{signs}{item}{end}")).collect();
            let first = written.iter().find(|(_, item, _)| covers(item, &domain.to_lowercase(), form, parents));
            let wanted = first.is_some_and(|(signs, _, _)| signs.matches('!').count() % 2 == 0);
            prop_assert_eq!(list(&text, form, parents).matches(&domain, &Facts::new()), Ok(wanted));
        }

        #[test]
        fn a_domain_in_the_list_and_in_a_table_is_found_alike(
            item in "\\.?[ab](\\.[ab]){0,2}",
            domain in "[ab](\\.[ab]){0,3}",
            parents: bool,
        ) {
            let in_list = list(&item, Form::Domains, parents).matches(&domain, &Facts::new());
            prop_assert_eq!(in_list, Ok(domain_keys(&domain, parents).any(|key| key == item)));
        }

        #[test]
        fn a_client_is_on_the_list_by_its_network(
            items in prop::collection::vec((any::<bool>(), 0..16u8), 0..6),
            last in 0..16u8,
        ) {
            let text: String = items
                .iter()
                .map(|(negated, last)| format!("{}10.0.0.{last} ", if *negated { "!" } else { "" }))
                .collect();
            let wanted = items.iter().find(|(_, item)| *item == last).is_some_and(|(negated, _)| !negated);
            let clients = list(&text, Form::Clients, true);
            let found = clients.matches_client("unknown", [10, 0, 0, last].into(), &Facts::new());
            prop_assert_eq!(found, Ok(wanted));
        }

        #[test]
        fn any_text_is_a_list_or_refused(
            text in "\\PC{0,20}|[!/a0.:,{}\\[\\] ]{0,16}",
            domain in "\\PC{0,9}",
        ) {
            for form in [Form::Text, Form::Domains, Form::Clients] {
                if let Ok(list) = MatchList::parse(&text, form, true) {
                    _ = list.matches(&domain, &Facts::new());
                    _ = list.matches_client(&domain, [127, 0, 0, 1].into(), &Facts::new());
                    prop_assert_eq!(list.text(), text.as_str());
                }
            }
        }
    }
}
