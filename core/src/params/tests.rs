//! Tests of whole configurations.

use super::*;
use proptest::prelude::*;

const MASTER: &str = "\
smtp inet n - y - - smtpd
submission inet n - y - 20 smtpd
  -o syslog_name=postfix/submission
  -o smtpd_banner=$custom_banner
  -o { smtpd_client_restrictions = permit_mynetworks, reject }
cleanup unix n - y - 0 cleanup
  -o header_checks=
relay unix - - y - - smtp
  -o syslog_name=postfix/$service_name
smtp unix - - y - - smtp
scalemail-backend unix - n n - 2 pipe
  flags=R user=scalemail argv=/bin/true ${user}
";

fn read(main: &str) -> (Config, Vec<String>) {
    let (config, problems) = Config::read(main, MASTER, Host::default());
    (config, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn a_service_sees_its_own_values_over_those_of_main_cf() {
    let (config, problems) = read("custom_banner = hello\nsmtpd_banner = main\nheader_checks = regexp:/x\n");
    assert!(problems.iter().all(|problem| problem.contains("not working yet")), "{problems:?}");
    assert_eq!(config.settings(None).text("smtpd_banner"), "main");
    let submission = config.settings(Some("submission"));
    assert_eq!(submission.text("smtpd_banner"), "hello");
    assert_eq!(submission.text("syslog_name"), "postfix/submission");
    assert_eq!(submission.list("smtpd_client_restrictions"), ["permit_mynetworks", "reject"]);
    assert_eq!(config.settings(Some("relay")).text("syslog_name"), "postfix/relay");
    assert_eq!(config.settings(Some("cleanup")).text("header_checks"), "");
    assert_eq!(config.settings(Some("smtp/inet")).text("header_checks"), "regexp:/x");
}

#[test]
fn defaults_follow_the_host_and_the_compatibility_level() {
    let host = Host { hostname: "mail.example.org".into(), ..Host::default() };
    let (config, problems) = Config::read("compatibility_level = 3.6", "", host);
    assert_eq!(problems, []);
    let settings = config.settings(None);
    assert_eq!(settings.text("myhostname"), "mail.example.org");
    assert_eq!(settings.text("mydestination"), "mail.example.org, localhost.example.org, localhost");
    assert_eq!(settings.text("mynetworks"), "127.0.0.1/32 [::1]/128");
    assert_eq!(settings.text("relay_domains"), "");
    assert!(!settings.flag("append_dot_mydomain"));
    assert!(Settings::of(&[]).flag("append_dot_mydomain"));
}

#[test]
fn names_that_refer_to_one_another_in_a_circle_are_an_error() {
    let (config, problems) = read("myhostname = mail.$mydomain\nmydomain = $myhostname\n");
    assert!(
        problems.iter().any(|problem| problem.starts_with("main.cf:1: error: myhostname:")),
        "{problems:?}"
    );
    assert_eq!(config.settings(None).text("myhostname"), "");
    let (config, _) = read("mydomain = $myhostname\n");
    assert_eq!(config.settings(None).text("myhostname"), "");
}

#[test]
fn times_numbers_and_flags_are_read_by_their_kind() {
    let settings =
        Settings::of(&[("maximal_queue_lifetime", "2"), ("smtpd_timeout", "5m"), ("soft_bounce", "YES")]);
    assert_eq!(settings.time("maximal_queue_lifetime"), Duration::from_secs(2 * 86_400));
    assert_eq!(settings.time("smtpd_timeout"), Duration::from_secs(300));
    assert_eq!(settings.time("bounce_queue_lifetime"), Duration::from_secs(5 * 86_400));
    assert_eq!(settings.number("smtpd_hard_error_limit"), 20);
    assert!(settings.flag("soft_bounce"));
    let tables =
        Settings::of(&[("virtual_alias_maps", "hash:/a, inline:{a=b, c=d}")]).tables("virtual_alias_maps");
    assert_eq!(tables, [TableName("hash:/a".into()), TableName("inline:{a=b, c=d}".into())]);
}

#[test]
fn stress_changes_what_depends_on_it() {
    let (config, _) = read("");
    assert_eq!(
        config.settings_under_stress(Some("smtp/inet")).time("smtpd_timeout"),
        Duration::from_secs(10)
    );
    assert_eq!(config.settings(Some("smtp/inet")).time("smtpd_timeout"), Duration::from_secs(300));
}

#[test]
fn transports_have_parameters_of_their_own() {
    let (config, problems) = read(
        "default_destination_concurrency_limit = 7\nscalemail-backend_destination_concurrency_limit = 3\n",
    );
    assert!(problems.iter().all(|problem| problem.contains("not working yet") || problem.contains("custom")));
    let settings = config.settings(None);
    assert_eq!(settings.transport_number("relay", "destination_concurrency_limit"), 7);
    assert_eq!(settings.transport_number("scalemail-backend", "destination_concurrency_limit"), 3);
    assert_eq!(settings.transport_number("unheard-of", "destination_concurrency_limit"), 7);
    assert_eq!(settings.transport_number("local", "destination_recipient_limit"), 1);
    assert_eq!(settings.transport_time("relay", "recipient_refill_delay"), Duration::from_secs(5));
    assert_eq!(settings.transport_time("scalemail-backend", "time_limit"), Duration::from_secs(1_000));
}

#[test]
fn a_value_that_can_not_be_right_is_an_error_with_its_line() {
    let (_, problems) = read("\nsmtpd_recipient_limit = many\nqueue_run_delay = 5x\nsoft_bounce = perhaps\n");
    let errors: Vec<&String> = problems.iter().filter(|problem| problem.contains("error:")).collect();
    assert_eq!(errors.len(), 3, "{problems:?}");
    assert!(errors[0].starts_with("main.cf:2: error: smtpd_recipient_limit = many: a whole number"));
    assert!(errors[1].starts_with("main.cf:3: error: queue_run_delay = 5x: a time"));
    assert!(errors[2].starts_with("main.cf:4: error: soft_bounce = perhaps: yes or no"));
    let (_, problems) =
        Config::read("", "smtp inet n - y - - smtpd -o smtpd_recipient_limit=x", Host::default());
    assert!(problems[0].to_string().starts_with("master.cf:1: error: smtpd_recipient_limit = x"));
}

#[test]
fn unused_names_are_told_with_the_nearest_known_one() {
    let (_, problems) = read(
        "relayhots = x\nmine = y\nmyorigin = $mine\nclass = reject\nsmtpd_restriction_classes = class\n",
    );
    let unused: Vec<&String> = problems.iter().filter(|problem| problem.contains("unused")).collect();
    assert_eq!(unused, ["main.cf:1: warning: unused parameter: relayhots; did you mean relayhost?"]);
    let service = "slow unix - - n - - smtp\n";
    let (_, problems) = Config::read("slow_destination_concurency_limit = 3\n", service, Host::default());
    let near = "did you mean slow_destination_concurrency_limit?";
    assert!(problems.iter().any(|problem| problem.to_string().ends_with(near)), "{problems:?}");
}

#[test]
fn attributes_of_a_table_without_a_path_are_used() {
    let (_, problems) =
        read("relocated_maps = proxy:ldap:accounts\naccounts_server_host = x\nother_server_host = y\n");
    let unused: Vec<&String> = problems.iter().filter(|problem| problem.contains("unused")).collect();
    assert_eq!(unused, ["main.cf:3: warning: unused parameter: other_server_host; remove the line"]);
}

#[test]
fn undefined_names_are_told() {
    let (_, problems) = read("myorigin = $mydomian\n");
    let told = "main.cf:1: warning: myorigin refers to $mydomian, which nothing defines: it counts as empty; did you mean $mydomain?";
    assert!(problems.iter().any(|problem| problem == told), "{problems:?}");
}

#[test]
fn the_defaults_of_the_table_are_right_by_its_own_rules() {
    let (_, problems) = Config::read("", config::STOCK_TRANSPORTS, Host::default());
    assert_eq!(problems, []);
    let (config, _) = read("");
    let again: Vec<String> = config.defaults(Printing::Plain);
    let main: String = again
        .iter()
        .filter(|line| !line.starts_with("process_") && !line.starts_with("service_name"))
        .map(|line| format!("{line}\n"))
        .collect();
    let (_, problems) = Config::read(&main, MASTER, Host::default());
    let errors: Vec<&Problem> =
        problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn listeners_know_whose_settings_hold() {
    let master = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - 50 smtpd -o smtpd_banner=x\n2525 inet n - n - - smtpd\n";
    let (config, _) = Config::read("", master, Host::default());
    let listeners = config.listeners();
    assert_eq!(
        (listeners[0].settings.as_str(), listeners[0].port, listeners[0].sessions),
        ("smtpd/pass", 25, Some(50))
    );
    assert_eq!((listeners[1].settings.as_str(), listeners[1].sessions), ("2525/inet", Some(10_000)));
}

#[test]
fn a_postscreen_without_a_service_behind_it_has_sessions_of_its_own() {
    let (config, _) = Config::read("", "smtp inet n - y - 1 postscreen\n", Host::default());
    assert_eq!(config.listeners()[0].sessions, Some(10_000));
    assert_eq!(config.listeners()[0].settings, "smtp/inet");
}

#[test]
fn the_origin_may_stand_in_a_file() {
    let (mut config, _) = read("myorigin = /etc/mailname\nrelayhost = $myorigin\n");
    assert_eq!(config.origin_file().as_deref(), Some("/etc/mailname"));
    config.set_origin("example.org\n");
    assert_eq!(config.settings(None).text("myorigin"), "example.org");
    assert_eq!(config.settings(Some("smtp/inet")).text("relayhost"), "example.org");
    assert_eq!(config.value("myorigin", Printing::Plain).unwrap(), "myorigin = /etc/mailname");
    assert_eq!(read("").0.origin_file(), None);
}

#[test]
fn words_are_the_same_in_any_case() {
    assert_eq!(Settings::of(&[("smtpd_tls_security_level", "May")]).text("smtpd_tls_security_level"), "may");
}

#[test]
fn printing_is_postconfs() {
    let (config, _) =
        read("relayhost = \nmydestination = a,\n   b\nmine = z\nmyorigin = $mine\nnobody_asks = 1\n");
    assert_eq!(
        config.set(Printing::Plain),
        ["mine = z", "mydestination = a, b", "myorigin = $mine", "relayhost ="]
    );
    assert_eq!(config.value("myorigin", Printing::Expanded).unwrap(), "myorigin = z");
    assert_eq!(config.value("nosuch", Printing::Plain), None);
    assert_eq!(config.default_value("myorigin", Printing::Plain).unwrap(), "myorigin = $myhostname");
    assert!(config.value("default_rbl_reply", Printing::Expanded).unwrap().contains("$rbl_code"));
}

/// Lines that look like configuration: known and unknown names, references, overrides, faults.
fn line() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "myhostname",
        "mydomain",
        "mynetworks",
        "relayhost",
        "smtpd_timeout",
        "stress",
        "own",
        "smtp",
        "inet",
        "unix",
        "n",
        "-",
        "smtpd",
        "postscreen",
        "-o",
        "{",
        "}",
        "=",
        "$own",
        "${stress?{",
        "}:{",
        "}}",
        "$mydomain",
        "$$",
        "5x",
        "",
        "/etc/mailname",
    ]);
    prop::collection::vec(word, 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    // Each case reads a whole configuration: some milliseconds.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_configuration_can_be_read_and_has_all_values(
        main in prop::collection::vec(line(), 0..10),
        master in prop::collection::vec(line(), 0..6),
        hostname in "[a-z.]{0,12}",
    ) {
        let host = Host { hostname, ..Host::default() };
        let (config, _) = Config::read(&main.join("\n"), &master.join("\n"), host);
        for service in config.services() {
            let settings = config.settings(Some(&service.key()));
            for row in table::all() {
                let _ = settings.text(row.name);
            }
        }
        let settings = config.settings_under_stress(None);
        let _ = (settings.time("smtpd_timeout"), settings.list("mynetworks"), config.listeners());
        let _ = (config.all(Printing::Expanded), config.set(Printing::Plain), config.own_addresses());
    }
}

#[test]
fn a_fault_is_told_once_and_with_its_line() {
    let errors = |main: &str| -> Vec<String> {
        read(main).1.into_iter().filter(|problem| problem.contains(": error: ")).collect()
    };
    // postscreen_pre_queue_limit and others have their defaults from it.
    let told = errors("default_process_limit = ${nope\n");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("main.cf:1: error: default_process_limit: \"}\" is missing"), "{told:?}");
    let told = errors("default_process_limit = many\n");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("main.cf:1: error: default_process_limit = many: "), "{told:?}");
    // One that refers to a faulty one has no fault of its own.
    let told = errors("relay_domains = $mydestination\nmydestination = ${nope\n");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("main.cf:2: error: mydestination: "), "{told:?}");
    // Two faults are two.
    assert_eq!(errors("smtpd_use_tls = perhaps\nsmtp_use_tls = ${nope\n").len(), 2);
}
