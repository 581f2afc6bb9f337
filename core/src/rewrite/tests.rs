//! Tests of rewriting, and a world of small tables for those of other rooms' decisions.

use super::*;
use crate::ask::{Answer, DnsFailure, Question, TableFailure, TableName};
use crate::mail::{Diagnosis, Sender};
use crate::tables::{Form, Kind, MatchList, Table, TableSpec};
use crate::wire::EnhancedStatus;
use std::collections::BTreeMap;

/// Answers questions from texts.
#[derive(Default)]
pub(crate) struct World {
    tables: BTreeMap<String, Table>,
    pub(crate) names: BTreeMap<(String, crate::ask::RecordKind), crate::ask::DnsAnswer>,
}

impl World {
    pub(crate) fn new(tables: &[(&str, &str)]) -> Self {
        let mut world = Self::default();
        for (name, text) in tables {
            let kind = match TableName((*name).to_owned()).kind() {
                "regexp" => Kind::Regexp,
                "pcre" => Kind::Pcre,
                "cidr" => Kind::Cidr,
                "list" => Kind::List,
                _ => Kind::Keys,
            };
            let (table, problems) = Table::compile(kind, text, name);
            assert_eq!(problems, []);
            world.tables.insert((*name).to_owned(), table);
        }
        world
    }

    fn lookup(&self, table: &TableName, key: &str) -> Result<Option<String>, String> {
        if let Some(engine) = self.tables.get(&table.0) {
            return engine.lookup(key);
        }
        match TableSpec::parse(&table.0, false).map(|spec| spec.source) {
            Ok(crate::tables::Source::Ready(engine, _)) => engine.lookup(key),
            _ => Err(format!("{} is not there", table.0)),
        }
    }

    /// Runs a decision to its end.
    pub(crate) fn decide<T>(&self, decision: impl Fn(&Facts) -> Result<T, Pause>) -> Result<T, Pause> {
        let mut facts = Facts::new();
        loop {
            let question = match decision(&facts) {
                Err(Pause::Need(question)) => question,
                other => return other,
            };
            let answer = match &question {
                Question::Lookup { table, key } => Answer::Lookup(
                    self.lookup(table, key).map_err(|why| TableFailure { table: table.clone(), why }),
                ),
                Question::Resolve { name, kind } => Answer::Resolve(
                    self.names.get(&(name.clone(), *kind)).cloned().unwrap_or(Err(DnsFailure::NoSuchName)),
                ),
                other => panic!("{other:?}"),
            };
            assert!(facts.len() < 1000, "a decision without end");
            facts.learn(question, answer);
        }
    }
}

pub(crate) fn strings(text: &str) -> MatchList {
    MatchList::parse(text, Form::Text, false).unwrap()
}

pub(crate) fn tables(text: &str) -> Vec<TableName> {
    crate::tables::items(text).into_iter().map(TableName).collect()
}

/// `mx.here.example`, with a domain of each class.
pub(crate) fn site() -> Params {
    Params {
        myhostname: "mx.here.example".into(),
        mydomain: "here.example".into(),
        myorigin: "here.example".into(),
        mydestination: strings("mx.here.example, here.example, localhost"),
        virtual_alias_domains: strings("alias.example"),
        virtual_mailbox_domains: strings("box.example"),
        relay_domains: MatchList::parse("relay.example", Form::Domains, true).unwrap(),
        interfaces: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        local_transport: "local:mx.here.example".into(),
        ..Params::default()
    }
}

fn mailbox(text: &str) -> Mailbox {
    parse_address(text).unwrap_or_default()
}

fn resolved(params: &Params, local: &str, domain: &str) -> Resolved {
    let rewrite = Rewrite::with(params.clone());
    let mailbox = Mailbox::new(local, domain);
    World::default().decide(|facts| rewrite.resolve(&rewrite.canonical(&mailbox), facts)).unwrap()
}

#[test]
fn an_address_within_an_address_is_the_one_that_counts() {
    for (local, domain, wanted, class) in [
        ("user%there.example", "here.example", "user@there.example", RouteClass::Default),
        ("there.example!user", "here.example", "user@there.example", RouteClass::Default),
        ("user@there.example", "here.example", "user@there.example", RouteClass::Default),
        ("user@there.example", "[192.0.2.1]", "user@there.example", RouteClass::Default),
        ("user%there.example", "[IPv6:2001:DB8::1]", "user@there.example", RouteClass::Default),
        ("user%relay.example%here.example", "localhost", "user@relay.example", RouteClass::Relay),
        ("us er%there.example", "here.example", "us er@there.example", RouteClass::Default),
        ("user%here.example", "here.example", "user@here.example", RouteClass::Local),
        ("user", "here.example.", "user@here.example", RouteClass::Local),
        ("user", "", "user@here.example", RouteClass::Local),
        ("", "", "MAILER-DAEMON@mx.here.example", RouteClass::Local),
        ("user", "alias.example", "user@alias.example", RouteClass::VirtualAlias),
        ("user", "BOX.example", "user@BOX.example", RouteClass::VirtualMailbox),
        ("user", "sub.relay.example", "user@sub.relay.example", RouteClass::Relay),
        ("user", "[192.0.2.9]", "user@[192.0.2.9]", RouteClass::Default),
    ] {
        let found = resolved(&site(), local, domain);
        let address = format!("{}@{}", found.mailbox.local(), found.mailbox.domain());
        assert_eq!((address.as_str(), found.class), (wanted, class), "{local} at {domain}");
        assert!(!found.routed, "{local} at {domain}");
    }
}

#[test]
fn routing_that_asks_others_to_route_on_is_marked() {
    for local in ["user%there.example", "there!user", "user@there.example"] {
        assert!(resolved(&site(), local, "relay.example").routed, "{local}");
    }
    let off = Params { allow_percent_hack: false, ..site() };
    assert!(!resolved(&off, "user%there.example", "relay.example").routed);
    assert_eq!(resolved(&off, "user%there.example", "here.example").class, RouteClass::Local);
}

#[test]
fn what_can_be_no_address_is_malformed() {
    for (local, domain) in
        [("user", "1.2.3.4"), ("-f", "a.example"), ("u@", "here.example"), ("u", "a..b"), ("", "a.example")]
    {
        assert!(resolved(&site(), local, domain).malformed, "{local} at {domain}");
    }
    let numeric = Params { resolve_numeric_domain: true, ..site() };
    assert_eq!(resolved(&numeric, "user", "192.0.2.1").class, RouteClass::Local);
    let null = Params { resolve_null_domain: true, ..site() };
    assert_eq!(resolved(&null, "u@", "here.example").mailbox, Mailbox::new("u", "mx.here.example"));
}

#[test]
fn an_extension_begins_at_the_first_delimiter() {
    let rewrite = Rewrite::with(Params { recipient_delimiter: "+-".into(), ..site() });
    assert_eq!(rewrite.split_extension("user+a-b"), Some(("user", "+a-b")));
    assert_eq!(rewrite.split_extension("+user"), None);
    assert_eq!(rewrite.split_extension("owner-list"), None);
    assert_eq!(rewrite.split_extension("list-request"), None);
    assert_eq!(rewrite.split_extension("owner+list"), Some(("owner", "+list")));
    assert_eq!(rewrite.split_extension("Mailer-Daemon"), None);
    assert_eq!(rewrite.split_extension("double-bounce"), None);
}

fn mapped(text: &str, address: &str, propagate: bool) -> Option<Vec<String>> {
    let world =
        World::new(&[("hash:/m", text), ("regexp:/r", "/^(.*)@pattern\\.example$/ $1@other.example")]);
    let rewrite = Rewrite::with(Params { recipient_delimiter: "+".into(), ..site() });
    let tables = tables("hash:/m regexp:/r");
    let found =
        world.decide(|facts| rewrite.map_address(&tables, &mailbox(address), propagate, facts)).unwrap();
    found.map(|list| list.iter().map(Mailbox::external).collect())
}

#[test]
fn keys_are_tried_from_the_most_to_the_least_particular() {
    let text = "u+x@here.example one\nu@here.example two\nu+x three\nu four\n@here.example five\n";
    for (address, wanted) in
        [("u+x@here.example", "one"), ("u+y@here.example", "two+y"), ("other@here.example", "five")]
    {
        let wanted = vec![format!("{wanted}@here.example")];
        assert_eq!(mapped(text, address, true), Some(wanted), "{address}");
    }
    let local = "u+x three\nu four\n@here.example five\n";
    assert_eq!(mapped(local, "u+x@here.example", true), Some(vec!["three@here.example".into()]));
    assert_eq!(mapped(local, "U+z@here.example", true), Some(vec!["four+z@here.example".into()]));
    assert_eq!(mapped(local, "u@localhost", true), Some(vec!["four@here.example".into()]));
    assert_eq!(mapped(local, "u@there.example", true), None);
}

#[test]
fn a_domain_may_be_mapped_to_another_with_or_without_the_extension() {
    let text = "@old.example @new.example\n@one.example someone@new.example\n";
    assert_eq!(mapped(text, "u+x@old.example", true), Some(vec!["u+x@new.example".into()]));
    assert_eq!(mapped(text, "u+x@old.example", false), Some(vec!["u@new.example".into()]));
    assert_eq!(mapped(text, "u@old.example", false), Some(vec!["u@new.example".into()]));
    assert_eq!(mapped(text, "u+x@one.example", true), Some(vec!["someone+x@new.example".into()]));
}

#[test]
fn patterns_are_asked_for_the_whole_address_only() {
    assert_eq!(mapped("x y\n", "A+b@pattern.example", true), Some(vec!["A+b@other.example".into()]));
}

#[test]
fn lists_of_addresses_keep_what_is_quoted() {
    let parsed = parse_addresses("a@x, \"b, c\"@y <d@z>\n\"e\\\"f\", @w");
    let parsed: Vec<(&str, &str)> = parsed.iter().map(|m| (m.local(), m.domain())).collect();
    assert_eq!(parsed, [("a", "x"), ("b, c", "y"), ("d", "z"), ("e\"f", ""), ("", "w")]);
    assert_eq!(parse_address("\"u@v\"@w"), Some(Mailbox::new("u@v", "w")));
    assert_eq!(parse_address("u@v@w"), Some(Mailbox::new("u@v", "w")));
    assert_eq!(parse_address(" <> "), None);
}

fn unlisted(params: Params, address: &str) -> Option<String> {
    let world = World::new(&[
        ("hash:/users", "known x\n"),
        ("hash:/alias", "a@alias.example known\n"),
        ("hash:/box", "b@box.example b/\n"),
        ("hash:/relay", "r@relay.example x\n"),
        ("hash:/moved", "gone new@there.example\n"),
        ("hash:/transport", "closed.example error:5.7.1 closed\n"),
    ]);
    let params = Params {
        local_recipient_maps: tables("hash:/users"),
        virtual_alias_maps: tables("hash:/alias"),
        virtual_mailbox_maps: tables("hash:/box"),
        relay_recipient_maps: tables("hash:/relay"),
        relocated_maps: tables("hash:/moved"),
        transport_maps: tables("hash:/transport"),
        recipient_delimiter: "+".into(),
        ..params
    };
    let rewrite = Rewrite::with(params);
    let found = world.decide(|facts| rewrite.unlisted(&mailbox(address), Role::Recipient, facts)).unwrap();
    found.map(|found| format!("{} {}", found.status.as_deref().unwrap_or("-"), found.why))
}

#[test]
fn each_class_has_its_table_of_users() {
    for (address, wanted) in [
        ("known+ext@here.example", None),
        ("nobody@here.example", Some("- User unknown in local recipient table")),
        ("Postmaster@here.example", None),
        ("a@alias.example", None),
        ("x@alias.example", Some("5.1.1 User unknown in virtual alias table")),
        ("b@box.example", None),
        ("x@box.example", Some("- User unknown in virtual mailbox table")),
        ("r@relay.example", None),
        ("x@relay.example", Some("- User unknown in relay recipient table")),
        ("x@there.example", None),
        ("gone@here.example", Some("5.1.6 User has moved to new@there.example")),
        ("x@closed.example", Some("5.7.1 closed")),
    ] {
        assert_eq!(unlisted(site(), address).as_deref(), wanted, "{address}");
    }
    let silent = Params { show_user_unknown_table_name: false, ..site() };
    assert_eq!(unlisted(silent, "nobody@here.example").as_deref(), Some("- User unknown"));
}

#[test]
fn users_are_found_as_postfix_finds_them() {
    let text = "inline:{u@here.example=x, w=x, z+ext=x}";
    let params = Params { local_recipient_maps: tables(text), recipient_delimiter: "+".into(), ..site() };
    let rewrite = Rewrite::with(params);
    // What a Postfix 3.7 with this table said to RCPT.
    for (address, wanted) in [
        ("u+x@here.example", true),
        ("w+q@here.example", true),
        ("w@[192.0.2.1]", true),
        ("z+ext@here.example", true),
        ("z+no@here.example", false),
        ("u%here.example@here.example", true),
        ("\"u@here.example\"@here.example", true),
        ("U@HERE.EXAMPLE", true),
        ("postmaster+x@here.example", false),
        ("mailer-daemon@here.example", true),
        ("+u@here.example", false),
    ] {
        let listed = World::default().decide(|facts| rewrite.listed(&mailbox(address), facts)).unwrap();
        let wanted = if wanted { Listed::Yes } else { Listed::No(RouteClass::Local) };
        assert_eq!(listed, wanted, "{address}");
    }
    let known = rewrite.tables();
    assert_eq!(known.len(), 1);
}

fn route(params: Params, sender: &str, recipient: &str, filter: Option<&str>) -> Route {
    let world = World::new(&[
        (
            "hash:/transport",
            "u+x@t.example slow:one\nu@t.example slow:two\nt.example slow:\n.t.example :[gw.example]:2525\n\
             keep.t.example :\nbad.example error:\nlist.example smtp:a.example, b.example\n* smtp:wild\n",
        ),
        ("hash:/hosts", "boss@here.example [boss.example]:587\n@plain.example DUNNO\n<> [null.example]\n"),
        ("hash:/ways", "boss@way.example special:\n@far.example far:[far.example]\n"),
    ]);
    let rewrite = Rewrite::with(params);
    let sender = parse_address(sender).map_or(Sender::Null, Sender::Mailbox);
    let envelope = Envelope { sender, filter: filter.map(str::to_owned), ..Envelope::default() };
    world.decide(|facts| rewrite.route(&envelope, &mailbox(recipient), facts)).unwrap()
}

fn hop(params: Params, sender: &str, recipient: &str) -> String {
    match route(params, sender, recipient, None) {
        Route::To { transport, nexthop, .. } => format!("{transport}:{nexthop}"),
        Route::Nowhere(Diagnosis { status, text, .. }) => format!("{status} {text}"),
    }
}

#[test]
fn each_class_has_its_transport() {
    for (recipient, wanted) in [
        ("u@here.example", "local:mx.here.example"),
        ("u@box.example", "virtual:box.example"),
        ("u@sub.relay.example", "relay:sub.relay.example"),
        ("u@there.example", "smtp:there.example"),
        ("u@[198.51.100.1]", "smtp:[198.51.100.1]"),
        ("u@alias.example", "5.1.1 User unknown in virtual alias table"),
        ("u@1.2.3.4", "5.1.3 bad address syntax"),
        ("double-bounce@here.example", "discard:undeliverable postmaster notification discarded"),
        ("", "local:mx.here.example"),
    ] {
        assert_eq!(hop(site(), "s@there.example", recipient), wanted, "{recipient}");
    }
}

#[test]
fn transport_tables_are_searched_from_the_address_to_the_wildcard() {
    let params =
        || Params { transport_maps: tables("hash:/transport"), recipient_delimiter: "+".into(), ..site() };
    for (recipient, wanted) in [
        ("u+x@t.example", "slow:one"),
        ("u+y@t.example", "slow:two"),
        ("v@t.example", "slow:t.example"),
        ("v@sub.t.example", "smtp:[gw.example]:2525"),
        ("v@keep.t.example", "smtp:keep.t.example"),
        ("v@bad.example", "5.0.0 Address is undeliverable"),
        ("v@list.example", "smtp:a.example, b.example"),
        ("v@elsewhere.example", "smtp:wild"),
        ("v@alias.example", "5.1.1 User unknown in virtual alias table"),
    ] {
        assert_eq!(hop(params(), "s@there.example", recipient), wanted, "{recipient}");
    }
    let parents = Params { transport_parents: true, ..params() };
    assert_eq!(hop(parents, "", "v@deep.t.example"), "slow:deep.t.example");
}

#[test]
fn senders_choose_their_relay_host_and_transport() {
    let params = || Params {
        relayhost: "[hub.example]".into(),
        sender_dependent_relayhost_maps: tables("hash:/hosts"),
        sender_dependent_default_transport_maps: tables("hash:/ways"),
        ..site()
    };
    for (sender, recipient, wanted) in [
        ("boss@here.example", "u@there.example", "smtp:[boss.example]:587"),
        ("x@plain.example", "u@there.example", "smtp:[hub.example]"),
        ("x@other.example", "u@relay.example", "relay:[hub.example]"),
        ("", "u@there.example", "smtp:[null.example]"),
        ("boss@way.example", "u@there.example", "special:[hub.example]"),
        ("x@far.example", "u@there.example", "far:[far.example]"),
        ("x@far.example", "u@relay.example", "relay:[hub.example]"),
        ("boss@here.example", "u@here.example", "local:mx.here.example"),
    ] {
        assert_eq!(hop(params(), sender, recipient), wanted, "{sender} to {recipient}");
    }
    let fixed = Params { default_transport: "smtp:[gw.example]".into(), ..params() };
    assert_eq!(hop(fixed, "boss@here.example", "u@there.example"), "smtp:[gw.example]");
}

#[test]
fn a_filter_takes_the_place_of_the_route() {
    let filtered = |filter| match route(site(), "s@x", "u%box.example@here.example", Some(filter)) {
        Route::To { transport, nexthop, recipient, .. } => {
            format!("{transport} {nexthop} {}", recipient.external())
        }
        Route::Nowhere(diagnosis) => diagnosis.text,
    };
    assert_eq!(filtered("scan:[127.0.0.1]:10024"), "scan [127.0.0.1]:10024 u@box.example");
    assert_eq!(filtered("scan:"), "scan box.example u@box.example");
}

#[test]
fn a_broken_table_is_never_an_unknown_user() {
    let rewrite = Rewrite::with(Params { local_recipient_maps: tables("fail:users"), ..site() });
    let result = World::default().decide(|facts| rewrite.listed(&mailbox("u@here.example"), facts));
    assert!(matches!(result, Err(Pause::Broken(_))), "{result:?}");
}

#[test]
fn statuses_of_error_routes_are_never_a_success() {
    let params = Params { default_transport: "error:2.1.0 odd".into(), ..site() };
    let Route::Nowhere(diagnosis) = route(params, "", "u@there.example", None) else { panic!() };
    assert_eq!(diagnosis.status, EnhancedStatus::new(5, 1, 0));
    let params = Params { default_transport: "retry:5.7.1 not today".into(), ..site() };
    let Route::Nowhere(diagnosis) = route(params, "", "u@there.example", None) else { panic!() };
    assert_eq!((diagnosis.status, diagnosis.text.as_str()), (EnhancedStatus::new(4, 7, 1), "not today"));
}

proptest::proptest! {
    #[test]
    fn resolving_ends_and_never_calls_a_stranger_local(local in "[a-z@%!.\" :\\[\\]]{0,40}") {
        let found = resolved(&site(), &local, "here.example");
        let domain = found.mailbox.domain().to_owned();
        if found.class == RouteClass::Local && !found.malformed {
            let ours = World::default().decide(|facts| Rewrite::with(site()).is_local_domain(&domain, facts));
            proptest::prop_assert!(ours.unwrap(), "{local} {domain}");
        }
    }
}
