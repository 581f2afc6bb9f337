//! Whom a destination stands for, zone by zone.

use super::*;
use crate::ask::{Answer, DnsRecords, Question};
use crate::time::Instant;
use proptest::prelude::*;

/// `("example.net", "mx 10 a.example.net")`, `("a.example.net", "192.0.2.1")`.
type Zone<'a> = &'a [(&'a str, &'a str)];

fn answer(zone: Zone<'_>, question: &Question) -> Answer {
    let Question::Resolve { name, kind } = question else {
        return Answer::ListedHost(Ok(vec!["192.0.2.77".parse().unwrap()]));
    };
    let mut records = Vec::new();
    for (_, text) in zone.iter().filter(|(owner, _)| owner == name) {
        if *text == "servfail" {
            return Answer::Resolve(Err(DnsFailure::TryAgain));
        }
        let words: Vec<&str> = text.split(' ').collect();
        match (kind, words.as_slice()) {
            (RecordKind::Mx, ["mx", preference, exchange]) => records.push(DnsRecord::Mx {
                preference: preference.parse().unwrap(),
                exchange: (*exchange).to_owned(),
            }),
            (RecordKind::A, [address]) => records.extend(address.parse().map(DnsRecord::A)),
            (RecordKind::Aaaa, [address]) => records.extend(address.parse().map(DnsRecord::Aaaa)),
            _ => {}
        }
    }
    let known = zone.iter().any(|(owner, _)| owner == name);
    let valid_until = Instant(u64::MAX);
    Answer::Resolve(match records.is_empty() {
        true if known => Err(DnsFailure::NoSuchRecord),
        true => Err(DnsFailure::NoSuchName),
        false => Ok(DnsRecords { records, canonical: name.clone(), valid_until, authentic: false }),
    })
}

fn run(params: &HostParams, zone: Zone<'_>, host: &str, seed: u64) -> Found {
    seek(params, (Protocol::Smtp, 25), zone, host, seed).0
}

/// What is found, and what was asked for it: `Mx example.net`, or `host example.net`.
fn seek(
    params: &HostParams,
    (protocol, port): (Protocol, u16),
    zone: Zone<'_>,
    host: &str,
    seed: u64,
) -> (Found, Vec<String>) {
    let local = ["198.51.100.7".parse().unwrap()];
    let search = Search { params, protocol, local: &local, seed };
    let mx = !host.starts_with('[');
    let (mut facts, mut asked) = (Facts::new(), Vec::new());
    for _ in 0..1_000 {
        match find(search, host.trim_matches(['[', ']']), port, mx, &facts) {
            Ok(found) => return (found, asked),
            Err(Pause::Need(question)) => {
                asked.push(match &question {
                    Question::Resolve { name, kind } => format!("{kind:?} {name}"),
                    Question::ListedHost { name } => format!("host {name}"),
                    other => panic!("{other:?}"),
                });
                let answer = answer(zone, &question);
                facts.learn(question, answer);
            }
            Err(Pause::Broken(failure)) => panic!("{failure:?}"),
        }
    }
    panic!("it asks for ever");
}

/// The addresses in order, or status and text.
fn text(found: &Found) -> String {
    match found {
        Found::Hosts { hosts, .. } => {
            hosts.iter().map(|host| host.address.to_string()).collect::<Vec<_>>().join(" ")
        }
        Found::Nowhere { diagnosis, .. } => format!("{} {}", diagnosis.status, diagnosis.text),
    }
}

const TWO: Zone<'static> = &[
    ("example.net", "mx 20 b.example.net"),
    ("example.net", "mx 10 a.example.net"),
    ("a.example.net", "192.0.2.1"),
    ("a.example.net", "2001:db8::1"),
    ("b.example.net", "192.0.2.2"),
];

#[test]
fn exchangers_come_by_preference_and_families_as_asked() {
    let prefer = |address_preference| HostParams { address_preference, ..HostParams::default() };
    assert_eq!(
        text(&run(&prefer(Preference::Ipv6), TWO, "example.net", 1)),
        "2001:db8::1 192.0.2.1 192.0.2.2"
    );
    assert_eq!(
        text(&run(&prefer(Preference::Ipv4), TWO, "example.net", 1)),
        "192.0.2.1 2001:db8::1 192.0.2.2"
    );
    let ipv4 = HostParams { ipv6: false, ..HostParams::default() };
    assert_eq!(text(&run(&ipv4, TWO, "example.net", 1)), "192.0.2.1 192.0.2.2");
    let Found::Hosts { hosts, we_are_mx } = run(&ipv4, TWO, "example.net", 1) else { panic!() };
    assert_eq!((hosts[0].best, hosts[1].best, we_are_mx), (true, false, false));
    assert_eq!(hosts[1].name, "b.example.net");
}

#[test]
fn equals_are_shuffled_only_where_that_is_wanted() {
    let zone: Vec<(&str, &str)> = vec![
        ("e.example", "192.0.2.1"),
        ("e.example", "192.0.2.2"),
        ("e.example", "192.0.2.3"),
        ("e.example", "192.0.2.4"),
    ];
    let orders = |randomize_addresses| {
        let params = HostParams { randomize_addresses, ..HostParams::default() };
        (0..50)
            .map(|seed| text(&run(&params, &zone, "e.example", seed)))
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert!(orders(true).len() > 10);
    assert_eq!(orders(false).len(), 1);
}

#[test]
fn no_more_addresses_than_the_limit_and_both_families_among_them() {
    let zone: Vec<(&str, &str)> = vec![
        ("e.example", "2001:db8::1"),
        ("e.example", "2001:db8::2"),
        ("e.example", "2001:db8::3"),
        ("e.example", "192.0.2.4"),
    ];
    let params = HostParams {
        mx_address_limit: 2,
        address_preference: Preference::Ipv6,
        randomize_addresses: false,
        ..HostParams::default()
    };
    assert_eq!(text(&run(&params, &zone, "e.example", 1)), "2001:db8::1 192.0.2.4");
    let one = HostParams { mx_address_limit: 1, ..params.clone() };
    assert_eq!(text(&run(&one, &zone, "e.example", 1)), "2001:db8::1", "of one nothing is exchanged");
    let params = HostParams { balance_inet_protocols: false, ..params };
    assert_eq!(text(&run(&params, &zone, "e.example", 1)), "2001:db8::1 2001:db8::2");
    let params = HostParams { mx_address_limit: 0, ..params };
    assert_eq!(text(&run(&params, &zone, "e.example", 1)).split(' ').count(), 4);
}

#[test]
fn only_what_may_have_exchangers_is_asked_for_them() {
    let asked = |params: &HostParams, host| seek(params, (Protocol::Smtp, 25), TWO, host, 1).1;
    let ipv4 = HostParams { ipv6: false, ..HostParams::default() };
    assert_eq!(asked(&ipv4, "example.net"), ["Mx example.net", "A a.example.net", "A b.example.net"]);
    assert_eq!(asked(&ipv4, "[a.example.net]"), ["A a.example.net"]);
    assert_eq!(asked(&ipv4, "192.0.2.5"), Vec::<String>::new(), "an address is one");
    let without_dns = HostParams { disable_dns_lookups: true, ..HostParams::default() };
    assert_eq!(asked(&without_dns, "example.net"), ["host example.net"]);
    assert_eq!(asked(&without_dns, "192.0.2.5"), Vec::<String>::new());
    let native = HostParams { lookup_dns: false, lookup_native: true, ..HostParams::default() };
    assert_eq!(asked(&native, "[a.example.net]"), ["host a.example.net"]);
}

#[test]
fn our_own_address_is_a_loop_only_where_we_listen() {
    let found = |service| text(&seek(&HostParams::default(), service, &[], "[198.51.100.7]", 1).0);
    assert!(found((Protocol::Smtp, 25)).starts_with("5.4.6 "));
    for service in [(Protocol::Smtp, 26), (Protocol::Lmtp, 24), (Protocol::Lmtp, 25)] {
        assert_eq!(found(service), "198.51.100.7", "{service:?}");
    }
}

#[test]
fn of_listed_interfaces_those_that_are_named_by_address_or_by_name_are_ours() {
    let interfaces = Interfaces::Listed(vec!["203.0.113.9".parse().unwrap()]);
    let params = HostParams { interfaces, ..HostParams::default() };
    for (address, ours) in [("203.0.113.9", true), ("198.51.100.7", true), ("203.0.113.10", false)] {
        let found = text(&run(&params, &[], &format!("[{address}]"), 1));
        assert_eq!(found.starts_with("5.4.6 "), ours, "{address}: {found}");
    }
}

#[test]
fn every_way_to_name_ourselves_is_a_loop() {
    for address in ["127.0.0.1", "127.3.2.1", "0.0.0.0", "::", "::1", "198.51.100.7"] {
        let zone = [("example.net", "mx 10 a.example.net"), ("a.example.net", address)];
        let found = text(&run(&HostParams::default(), &zone, "example.net", 1));
        assert_eq!(found, "5.4.6 mail for example.net loops back to myself", "{address}");
        let found = text(&run(&HostParams::default(), &[], &format!("[{address}]"), 1));
        assert!(found.starts_with("5.4.6 "), "{address}: {found}");
    }
}

#[test]
fn a_server_beside_us_on_loopback_is_no_loop_where_we_do_not_listen_there() {
    let interfaces = Interfaces::Listed(vec!["198.51.100.7".parse().unwrap()]);
    let params = HostParams { interfaces, ..HostParams::default() };
    assert_eq!(text(&run(&params, &[], "[127.0.0.1]", 1)), "127.0.0.1");
    let zone = [("example.net", "mx 10 a.example.net"), ("a.example.net", "127.0.0.1")];
    assert!(text(&run(&params, &zone, "example.net", 1)).starts_with("5.4.6 "));
}

#[test]
fn better_exchangers_that_can_not_be_found_leave_hope_to_a_backup() {
    let zone = [
        ("example.net", "mx 10 gone.example.net"),
        ("example.net", "mx 20 us.example.net"),
        ("us.example.net", "198.51.100.7"),
    ];
    let found = run(&HostParams::default(), &zone, "example.net", 1);
    assert_eq!(text(&found), "4.4.4 unable to find primary relay for example.net");
    assert!(matches!(found, Found::Nowhere { last: true, .. }));
}

#[test]
fn exchangers_without_an_address_fail_or_wait_as_asked() {
    let zone = [("example.net", "mx 10 gone.example.net")];
    let found = text(&run(&HostParams::default(), &zone, "example.net", 1));
    assert!(found.starts_with("5.4.4 Host or domain name not found."), "{found}");
    let params = HostParams { defer_if_no_mx_address_found: true, ..HostParams::default() };
    assert!(text(&run(&params, &zone, "example.net", 1)).starts_with("4.4.4 "));
}

#[test]
fn a_failing_name_server_is_passed_over_only_where_that_is_asked_for() {
    let zone = [("example.net", "servfail")];
    assert!(text(&run(&HostParams::default(), &zone, "example.net", 1)).starts_with("4.4.3 "));
    let params = HostParams { ignore_mx_lookup_error: true, lookup_native: true, ..HostParams::default() };
    // The address lookup fails as well: the host's own lookup is only for names that do not exist in DNS.
    assert!(text(&run(&params, &zone, "example.net", 1)).starts_with("4.4.3 "));
}

#[test]
fn without_dns_the_host_s_own_lookup_decides() {
    let params = HostParams { disable_dns_lookups: true, ..HostParams::default() };
    assert_eq!(text(&run(&params, TWO, "example.net", 1)), "192.0.2.77");
    let params = HostParams { lookup_native: true, ..HostParams::default() };
    assert_eq!(text(&run(&params, &[], "local.example", 1)), "192.0.2.77");
}

#[test]
fn a_null_mx_beside_others_is_passed_over() {
    let zone =
        [("example.net", "mx 0 "), ("example.net", "mx 10 a.example.net"), ("a.example.net", "192.0.2.1")];
    assert_eq!(text(&run(&HostParams::default(), &zone, "example.net", 1)), "192.0.2.1");
}

#[test]
fn a_thousand_exchangers_are_not_all_looked_up() {
    let names: Vec<(String, String)> =
        (0..1_000).map(|n| ("example.net".to_owned(), format!("mx {n} h{n}.example.net"))).collect();
    let zone: Vec<(&str, &str)> = names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert!(text(&run(&HostParams::default(), &zone, "example.net", 1)).starts_with("5.4.4 "));
}

proptest! {
    #[test]
    fn no_host_is_ours_or_worse_than_we_are(
        hosts in prop::collection::vec((0..5u16, 0..8u8), 1..8),
        seed: u64,
    ) {
        let mut rows: Vec<(String, String)> = Vec::new();
        for (place, (preference, last)) in hosts.iter().enumerate() {
            rows.push(("example.net".into(), format!("mx {preference} h{place}.example.net")));
            let address = if *last == 7 { "198.51.100.7".to_owned() } else { format!("192.0.2.{last}") };
            rows.push((format!("h{place}.example.net"), address));
        }
        let zone: Vec<(&str, &str)> = rows.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let ours = hosts.iter().filter(|(_, last)| *last == 7).map(|(preference, _)| *preference).min();
        if let Found::Hosts { hosts: found, we_are_mx } = run(&HostParams::default(), &zone, "example.net", seed) {
            prop_assert_eq!(we_are_mx, ours.is_some());
            prop_assert!(found.len() <= 5);
            let mut before = 0;
            for host in &found {
                let place: usize = host.name[1..].split('.').next().unwrap().parse().unwrap();
                let preference = hosts[place].0;
                prop_assert!(ours.is_none_or(|ours| preference < ours));
                prop_assert!(preference >= before);
                before = preference;
            }
        } else {
            prop_assert!(ours.is_some());
        }
    }
}
