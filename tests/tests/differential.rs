//! Debian's Postfix and Postrider with one configuration: what a client, a peer and an operator see is the same, or is listed with
//! its reason. `corpus/differential/README.md` says how a situation is written; `SHOW=1` prints what Postfix did.

use postrider_tests::differential::{addresses, compare, corpus};

/// Settings that a test below plays.
const PLAYED: &[&str] =
    &["access", "addresses", "checks", "classes", "content", "peers", "reports", "routes"];

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
    if std::env::var_os("SHOW").is_some() {
        for (number, address) in reference.iter().filter(|(number, _)| !ours.contains_key(number)) {
            println!("only Postfix takes {:?} as {address:?}", generated[*number]);
        }
    }
    assert!(wrong.is_empty(), "{} of 10,000:\n{}", wrong.len(), wrong.join("\n"));
    // Without this a server that refuses all would pass.
    assert!(ours.len() > 1_000, "{} addresses were taken", ours.len());
}
