//! The shipped scenarios, in a short form: each is played, and what it asks has the answer that it must have.

#![cfg(not(madsim))]

use postrider_sim::rehearse::page;
use postrider_sim::rehearse::report::Report;
use postrider_sim::rehearse::scenario::Scenario;
use postrider_sim::rehearse::setup::Directory;
use postrider_sim::rehearse::study;
use postrider_sim::rehearse::tally::{Case, Latency, Summary};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/rehearsals")
}

fn directory() -> Directory {
    Directory::read(&corpus().join("config")).expect("the corpus has a configuration")
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(corpus().join(name)).expect("the scenario is in the corpus")
}

/// The scenario with so many messages in each hour instead of its own, and mailings of a tenth.
fn short(name: &str, per_hour: u32) -> String {
    let shorter = |line: &str| match line.split_once(" = ") {
        Some(("per_hour", _)) => format!("per_hour = {per_hour}"),
        _ => line.replace("0, per_message", ", per_message"),
    };
    text_of(name).lines().map(shorter).collect::<Vec<_>>().join("\n")
}

fn rehearse(text: &str) -> Report {
    let plans = study::plans(&[directory()], "scenario.toml", text, &BTreeMap::new());
    study::run(&plans.expect("the scenario is right"), &[1], text)
}

/// The only case of a scenario; in it every recipient has come to an end, and one that the servers agree with.
fn case(text: &str) -> Case {
    only(rehearse(text))
}

fn only(mut report: Report) -> Case {
    assert_eq!(report.cases.len(), 1);
    let case = report.cases.remove(0);
    assert!(case.refused.is_empty(), "{:?}", case.refused);
    assert_eq!(case.total.left, 0.0, "the queue is empty at the end");
    settled(&case.total);
    case.destinations.iter().for_each(settled);
    case
}

fn settled(one: &Summary) {
    assert_eq!(one.accepted, one.delivered + one.bounced + one.expired, "{}", one.name);
}

fn named<'a>(case: &'a Case, name: &str) -> &'a Summary {
    case.destinations.iter().find(|one| one.name == name).expect("a destination of the scenario")
}

/// How long it took to reach those who were reached.
fn took(one: &Summary) -> &Latency {
    one.latency.as_ref().expect("somebody was reached")
}

const HOUR: f64 = 3_600.0;

#[test]
fn a_provider_that_is_down_delays_its_own_mail_and_no_other() {
    let case = case(&short("big-provider-down.toml", 60));
    let (big, others) = (named(&case, "big provider"), named(&case, "others"));
    assert_eq!(case.total.bounced + case.total.expired + case.total.duplicates, 0.0);
    assert!(big.queue_most > 0.3 * 6.0 * 60.0 * 0.9, "mail of six hours waits: {}", big.queue_most);
    assert!(
        big.drained_at.is_some_and(|at| (15.0 * HOUR..20.0 * HOUR).contains(&at)),
        "{:?}",
        big.drained_at
    );
    assert!((5.0 * HOUR..9.0 * HOUR).contains(&took(big).most), "{}", took(big).most);
    assert!(took(big).p50 < 5.0 && took(others).most < 60.0, "{:?} {:?}", took(big).p50, took(others).most);
    assert_eq!(others.deferred + others.suspended, 0.0);
}

#[test]
fn greylisting_costs_at_least_its_delay_until_the_client_is_known() {
    let case = case(&short("greylisting.toml", 60));
    let (grey, learns) = (named(&case, "greylists"), named(&case, "greylists, and learns"));
    assert!(took(grey).p50 >= 300.0, "{}", took(grey).p50);
    assert_eq!(grey.done_after[1], 0.0, "nobody is let in at once");
    assert!(took(learns).p50 < 5.0 && took(learns).most >= 300.0, "{:?}", took(learns).p50);
    assert!(took(named(&case, "others")).most < 60.0);
}

#[test]
fn an_exchanger_behind_a_silent_one_takes_the_mail_after_the_connect_timeout() {
    let case = case(&short("slow-first-mx.toml", 30));
    let (slow, silent) = (named(&case, "slow first MX"), named(&case, "silent first MX"));
    assert_eq!(case.total.delivered, case.total.accepted);
    assert!(took(slow).p50 >= 9.0, "three replies of three seconds at least: {}", took(slow).p50);
    assert!((29.0..120.0).contains(&took(silent).p90), "{}", took(silent).p90);
    assert!(silent.deferred == 0.0 && took(named(&case, "others")).p99 < 5.0);
}

#[test]
fn a_bad_exchanger_costs_what_its_place_in_the_order_says() {
    let case = case(&short("exchanger-order.toml", 30));
    assert_eq!(case.total.delivered, case.total.accepted);
    let latency = |name| took(named(&case, name));
    assert!(latency("slow first").p50 >= 9.0, "each letter pays for three replies at least");
    assert!(latency("slow beside").p90 >= 9.0, "some letters do");
    assert!((29.0..60.0).contains(&latency("silent first").p50), "each connection waits for its time-out");
    for last in ["slow last", "silent last"] {
        assert!(latency(last).most < 9.0, "{last}: who stands behind a good one is not asked");
    }
}

#[test]
fn mail_for_the_dead_is_returned_once_and_the_living_do_not_notice() {
    let report = rehearse(&short("a-tenth-is-dead.toml", 20));
    let rows = report.summary_csv();
    assert_eq!(
        rows.lines().filter(|row| row.contains(",silent,") && row.ends_with(",,,,,,")).count(),
        2,
        "{rows}"
    );
    let case = only(report);
    let (living, silent, refusing) =
        (named(&case, "living"), named(&case, "silent"), named(&case, "refusing"));
    assert!(silent.expired > 0.0 && silent.expired == silent.accepted && silent.connections == 0.0);
    assert!(refusing.expired > 0.0 && refusing.expired == refusing.accepted);
    assert!(silent.latency.is_none() && refusing.latency.is_none(), "nobody was reached");
    assert_eq!(case.reports, silent.expired + refusing.expired, "one report each");
    assert!(living.delivered == living.accepted && took(living).p99 < 5.0);
    let five_days = 5.0 * 24.0 * HOUR;
    assert!(silent.empty_at.is_some_and(|at| at > five_days), "not before maximal_queue_lifetime");
}

#[test]
fn without_names_mail_waits_and_none_is_returned() {
    let case = case(&short("dns-outage.toml", 60));
    assert_eq!(case.total.bounced + case.total.expired, 0.0, "SERVFAIL and silence are not NXDOMAIN");
    assert!(case.total.deferred > 0.0);
    let (big, others) = (named(&case, "big provider"), named(&case, "others"));
    assert!(
        big.deferred / big.accepted < others.deferred / others.accepted,
        "a name that is often asked for is more often in the cache: {} of {}, {} of {}",
        big.deferred,
        big.accepted,
        others.deferred,
        others.accepted
    );
}

#[test]
fn single_letters_overtake_a_newsletter() {
    let case = case(&short("newsletter.toml", 60));
    let (single, mailed) = case.beside_mailings.clone().expect("the scenario has a mailing");
    assert_eq!(case.total.delivered, case.total.accepted);
    assert!(mailed.p50 > 5.0 * single.p50, "{} {}", mailed.p50, single.p50);
    assert!(single.p50 < 2.0, "{}", single.p50);
}

#[test]
fn a_policy_of_the_provider_costs_tries_and_no_mail() {
    let case = case(&short("connection-limits.toml", 60));
    let strict = named(&case, "strict provider");
    assert!(strict.sent_away > 0.0 && strict.deferred > 0.0);
    assert_eq!((strict.delivered, strict.duplicates), (strict.accepted, 0.0));
    assert_eq!(named(&case, "others").sent_away, 0.0);
}

#[test]
fn every_lost_reply_makes_exactly_one_copy_more() {
    let case = case(&short("lost-replies.toml", 60));
    let (loses, others) = (named(&case, "loses replies"), named(&case, "others"));
    assert!(loses.replies_lost > 0.0, "the fault has fired");
    assert_eq!(loses.duplicates, loses.replies_lost);
    assert_eq!(
        (others.duplicates, others.delivered),
        (0.0, others.accepted),
        "a lost packet is no lost reply"
    );
}

#[test]
fn a_level_of_security_decides_which_trouble_of_certificates_matters() {
    let report = rehearse(&short("certificates.toml", 20));
    let labels: Vec<&str> = report.cases.iter().map(|case| case.label.as_str()).collect();
    let level = |word: &str| format!("smtp_tls_security_level = {word}");
    assert_eq!(labels, [level("none"), level("may"), level("encrypt")]);
    let arrives = |case: &Case, name: &str| {
        let one = named(case, name);
        assert!(one.accepted > 0.0);
        one.delivered == one.accepted
    };
    for (case, fails) in report.cases.iter().zip([&[][..], &[], &["broken handshake", "no TLS"]]) {
        for one in &case.destinations {
            assert_eq!(
                arrives(case, &one.name),
                !fails.contains(&one.name.as_str()),
                "{}: {}",
                case.label,
                one.name
            );
        }
    }
}

#[test]
fn a_hoster_that_is_down_in_three_ways_gets_all_its_mail_in_the_end() {
    let case = case(&short("one-site-hosts-many.toml", 40));
    let hoster = named(&case, "hoster");
    assert_eq!(case.total.delivered, case.total.accepted);
    assert!(hoster.deferred > 0.0 && hoster.sent_away > 0.0 && took(hoster).most > HOUR);
    assert_eq!(named(&case, "others").deferred, 0.0);
}

#[test]
fn who_does_not_exist_is_reported_and_who_is_full_waits_alone() {
    let case = case(&short("full-mailboxes.toml", 60));
    let provider = named(&case, "provider");
    assert!(provider.bounced > 0.0 && provider.deferred > 0.0 && provider.duplicates == 0.0);
    assert!(case.reports > 0.0 && case.reports <= provider.bounced);
    let once = provider.done_after[1];
    assert!((0.9..1.0).contains(&once), "most recipients are done at the first try: {once}");
}

#[test]
fn a_week_has_an_end_for_every_message() {
    let case = case(&short("week.toml", 4));
    assert_eq!(case.destinations.len(), 6);
    let dead = named(&case, "dead");
    assert_eq!(dead.expired, dead.accepted);
    assert!(took(&case.total).p50 < 5.0);
}

#[test]
fn every_shipped_scenario_can_be_read_and_says_what_it_asks() {
    let files = std::fs::read_dir(corpus()).expect("the corpus is there");
    let mut count = 0;
    for path in files.map(|file| file.expect("readable").path()).filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(&path).expect("text");
        let scenario = Scenario::parse(&text).unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()));
        assert!(text.starts_with("# ") && scenario.question.ends_with('?'), "{}", path.display());
        count += 1;
    }
    assert!(count >= 8, "{count}");
}

#[test]
fn the_same_seeds_give_the_same_octets() {
    let text = short("connection-limits.toml", 20);
    let all = |seeds: &[u64]| {
        let plans = study::plans(&[directory()], "s.toml", &text, &BTreeMap::new()).expect("right");
        let report = study::run(&plans, seeds, &text);
        (page::page(&report), report.json(), report.summary_csv(), report.series_csv(), report.latency_csv())
    };
    let once = all(&[1, 2]);
    assert_eq!(once, all(&[1, 2]));
    assert_ne!(once.1, all(&[2, 3]).1);
}

#[test]
fn how_far_the_seeds_lie_apart_is_told_for_each_destination() {
    let text = short("connection-limits.toml", 20);
    let report = |seeds: &[u64]| {
        let plans = study::plans(&[directory()], "s.toml", &text, &BTreeMap::new()).expect("right");
        study::run(&plans, seeds, &text)
    };
    let (one, two, both) = (report(&[1]), report(&[2]), report(&[1, 2]));
    assert_eq!(one.spread(), "", "one lies apart from nothing");
    assert!(!page::page(&one).contains("How far the seeds lie apart"));
    let tries = |report: &postrider_sim::rehearse::report::Report| named(&report.cases[0], "others").tries;
    let (low, high) = (tries(&one).min(tries(&two)), tries(&one).max(tries(&two)));
    assert!(low < high, "these differ");
    let range = format!("{low} – {high}");
    let spread = both.spread();
    let row = spread.lines().find(|line| line.contains("others")).expect("a row for it");
    assert!(row.contains(&range), "{range}: {row}");
    assert!(page::page(&both).contains(&range));
    let rows = both.summary_csv();
    assert!(rows.lines().any(|line| line.contains(&format!(",2,others,{}", tries(&two)))), "{rows}");
}

#[test]
fn two_configurations_are_compared_on_the_same_seeds() {
    let text = short("greylisting.toml", 20);
    let sweep = BTreeMap::from([(
        "minimal_backoff_time".to_owned(),
        vec![toml::Value::String("300s".to_owned()), toml::Value::String("1800s".to_owned())],
    )]);
    let plans = study::plans(&[directory(), directory()], "s.toml", &text, &sweep).expect("right");
    let labels: Vec<&str> = plans.iter().map(|plan| plan.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "config, minimal_backoff_time = 300s",
            "config, minimal_backoff_time = 1800s",
            "config, minimal_backoff_time = 300s (2)",
            "config, minimal_backoff_time = 1800s (2)"
        ]
    );
    let report = study::run(&plans, &[1], &text);
    let p50 = |place: usize| took(named(&report.cases[place], "greylists")).p50;
    assert!(p50(1) > 1_800.0 && p50(0) < 1_000.0, "{} {}", p50(0), p50(1));
    assert_eq!(took(&report.cases[0].total).p99, took(&report.cases[2].total).p99, "the same, played twice");
    let html = page::page(&report);
    assert!(html.contains("Recipients in the queue: greylists") && !html.contains("<script"));
}

#[test]
fn tables_of_the_directory_decide_routes() {
    let text = "title = \"t\"\nduration = \"1h\"\n[workload]\nper_hour = 30\n[[destination]]\nname = \"partner\"\n\
                domains = [\"partner.example\"]\nshare = 1\n[[destination.outage]]\nfrom = 0\nto = \"30d\"\nhow = \"refuse\"\n";
    let case = case(text);
    // Its own servers refuse all day: the table of the directory leads elsewhere.
    assert_eq!(case.strangers.keys().collect::<Vec<_>>(), ["gateway.partner.example"]);
    assert!(case.total.accepted > 0.0 && case.total.delivered == case.total.accepted);
    assert_eq!(named(&case, "partner").connections, 0.0);
}

#[test]
fn what_is_wrong_with_a_scenario_is_told_with_its_line() {
    let told = |from: &str, to: &str| {
        let text = text_of("big-provider-down.toml");
        assert!(text.contains(from), "{from}");
        let plans = study::plans(&[directory()], "s.toml", &text.replacen(from, to, 1), &BTreeMap::new());
        plans.expect_err("it is wrong")
    };
    let wrong = told("duration = \"1d\"", "duration = \"one day\"");
    assert!(wrong.starts_with("s.toml:5: ") && wrong.contains("is not a time such as \"6h\""), "{wrong}");
    let wrong = told("from = \"9h\"", "from = \"16h\"");
    assert!(
        wrong.starts_with("s.toml:13: destination \"big provider\": an outage")
            && wrong.contains("ends before"),
        "{wrong}"
    );
    let wrong = told("name = \"big provider\"", "name = \"all\"");
    assert!(wrong.contains("reports have a row of this name anyhow"), "{wrong}");
    let wrong = told("share = 35", "shares = 35");
    assert!(wrong.starts_with("s.toml:15: ") && wrong.contains("unknown field `shares`"), "{wrong}");
    let wrong = told("how = \"timeout\"", "how = \"sleep\"");
    assert!(wrong.contains("`refuse`, `timeout`"), "{wrong}");
    let wrong = told("[workload]", "[set]\nmaximal_backoff_time = \"soon\"\n[workload]");
    assert!(wrong.starts_with("[set]: ") && wrong.contains("maximal_backoff_time"), "{wrong}");
}

#[test]
fn a_parameter_that_changes_nothing_is_refused() {
    let text = text_of("dns-outage.toml");
    let swept = |name: &str| {
        let sweep = BTreeMap::from([(name.to_owned(), vec![toml::Value::Integer(0)])]);
        study::plans(&[directory()], "s.toml", &text, &sweep).map(|plans| plans.len())
    };
    let wrong = |name| swept(name).expect_err(name);
    assert_eq!(
        wrong("retry_jiter"),
        "--sweep: there is no parameter retry_jiter; did you mean retry_jitter?"
    );
    let why = "--sweep: smtpd_milters plays no role in a rehearsal: no milter runs: mail goes on as if it had passed";
    assert_eq!(wrong("smtpd_milters"), why);
    assert!(wrong("spool_reserve").starts_with("--sweep: spool_reserve plays no role in a rehearsal: "));
    assert!(wrong("default_process_limit").starts_with("--sweep: default_process_limit has no effect: "));
    assert_eq!(swept("retry_jitter"), Ok(1));

    let lines = "[set]\nretry_jiter = 1\nsmtp_bind_address = \"10.0.0.1\"\n[sweep]\nmilter_protocol = [2, 6]\n[workload]";
    let text = text.replacen("[workload]", lines, 1);
    let told = study::plans(&[directory()], "s.toml", &text, &BTreeMap::new()).expect_err("it is wrong");
    let line = |name: &str| text.lines().position(|line| line.starts_with(name)).expect("a line") + 1;
    for (name, words) in [
        ("retry_jiter", "there is no parameter retry_jiter; did you mean retry_jitter?"),
        (
            "smtp_bind_address",
            "smtp_bind_address plays no role in a rehearsal: the simulated host has one address",
        ),
        ("milter_protocol", "milter_protocol does not work in Postrider yet"),
    ] {
        assert!(told.contains(&format!("s.toml:{}: {words}", line(name))), "{told}");
    }
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn a_value_that_does_not_work_yet_is_among_the_notes() {
    let text = text_of("dns-outage.toml").replacen(
        "[workload]",
        "[set]\nsmtp_tls_security_level = \"verify\"\n[workload]",
        1,
    );
    let plans = study::plans(&[directory()], "s.toml", &text, &BTreeMap::new()).expect("right");
    let notes = &plans[0].setup.notes;
    let words = "[set]: smtp_tls_security_level: not working yet: verify; its mail waits in the queue, nothing is sent.";
    assert!(notes.iter().any(|note| note == words), "{notes:?}");
    assert!(notes.iter().all(|note| !note.contains("overriding earlier entry")), "{notes:?}");
}

#[test]
fn a_variable_that_names_nothing_is_refused() {
    let text = text_of("dns-outage.toml");
    let sweep = |name: &str, value: &str| {
        let values = vec![toml::Value::String(value.to_owned())];
        study::plans(&[directory()], "s.toml", &text, &BTreeMap::from([(name.to_owned(), values)]))
    };
    assert!(sweep("destination.nobody.rate", "1").is_err());
    assert!(sweep("dns.tll", "1h").is_err());
    assert!(sweep("dns.ttl", "tomorrow").is_err());
    assert_eq!(sweep("dns.ttl", "2h").expect("right")[0].label, "dns.ttl = 2h");
}
