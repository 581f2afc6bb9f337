//! Debian's Postfix and Postrider with one configuration: what a client, a peer and an operator see is the same, or is listed with
//! its reason. `corpus/differential/README.md` says how a situation is written; `SHOW=1` prints what Postfix did.

use postrider_tests::differential::{addresses, compare, corpus};
use std::collections::BTreeMap;

/// Settings that a test below plays.
const PLAYED: &[&str] = &[
    "access",
    "addresses",
    "checks",
    "classes",
    "content",
    "local",
    "peers",
    "reports",
    "routes",
    "submission",
    "tls",
];

#[test]
fn addresses_and_commands_are_read_alike() {
    compare("addresses");
}

#[test]
fn reports_differ_in_their_wording_only() {
    compare("reports");
}

#[test]
fn restrictions_act_alike() {
    compare("access");
}

#[test]
fn names_and_syntax_are_judged_alike() {
    compare("checks");
}

#[test]
fn recipients_are_known_and_rewritten_alike() {
    compare("classes");
}

#[test]
fn contents_are_judged_and_passed_on_alike() {
    compare("content");
}

#[test]
fn users_and_aliases_get_their_mail_alike() {
    compare("local");
}

#[test]
fn commands_and_submission_services_take_mail_alike() {
    compare("submission");
}

#[test]
fn tls_is_offered_demanded_and_used_alike() {
    compare("tls");
}

#[test]
fn next_hops_that_answer_oddly_are_understood_alike() {
    compare("peers");
}

#[test]
fn mail_goes_the_same_way() {
    compare("routes");
}

#[test]
fn each_setting_is_played_and_a_hundred_situations_are_there() {
    assert_eq!(corpus::names(), PLAYED);
    let all: usize = PLAYED.iter().map(|name| corpus::read(name).situations.len()).sum();
    assert!(all >= 100, "{all} situations");
}

#[test]
fn ten_thousand_addresses_are_read_as_postfix_reads_them_or_refused() {
    let generated = addresses::generated(10_000);
    let [reference, ours] = addresses::delivered("ten-thousand", &generated);
    let wrong: Vec<String> = ours
        .iter()
        .filter(|(number, address)| reference.get(number) != Some(address))
        .map(|(number, address)| {
            format!("{}: {address}, Postfix {:?}", generated[*number], reference.get(number))
        })
        .collect();
    println!("delivered by Postfix {}, by Postrider {}", reference.len(), ours.len());
    let mut classes: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for number in reference.keys().filter(|number| !ours.contains_key(number)) {
        let address = generated[*number].as_str();
        classes.entry(addresses::class(address)).or_default().push(address);
    }
    for (class, found) in &classes {
        println!("{class:?}: only Postfix takes {}, like {:?}", found.len(), &found[..found.len().min(3)]);
    }
    assert_eq!(classes.get(&None), None, "refused for no reason that is listed");
    let listed = include_str!("../../docs/differences.md");
    for class in addresses::CLASSES {
        assert!(classes.contains_key(&Some(class)), "{class}: no such address any more");
        assert!(listed.contains(class), "docs/differences.md does not tell of {class}");
    }
    assert!(wrong.is_empty(), "{} of 10,000:\n{}", wrong.len(), wrong.join("\n"));
    // Without this a server that refuses all would pass.
    assert!(ours.len() > 1_000, "{} addresses were taken", ours.len());
}
