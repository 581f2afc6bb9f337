//! Lines of master.cf, right and wrong.

use super::*;
use proptest::prelude::*;

fn one(text: &str) -> Service {
    let (services, problems) = parse(text);
    assert_eq!(problems, []);
    services.into_iter().next().unwrap()
}

fn problem(text: &str) -> String {
    parse(text).1[0].to_string()
}

#[test]
fn fields_have_defaults() {
    let service = one("smtp inet n - y - - smtpd");
    assert_eq!(service.key(), "smtp/inet");
    assert_eq!((service.private, service.unprivileged, service.chroot), (false, true, true));
    assert_eq!((service.limit, service.limit_given, service.wakeup), (Some(SESSIONS_DEFAULT), false, 0));
    assert_eq!(service.role, Role::Listener { host: Host::Interfaces, port: 25 });
    let service = one("relay unix - - n 1000? 0 smtp");
    assert_eq!((service.limit, service.wakeup), (None, 1_000));
    assert_eq!(service.role, Role::Transport(Delivery::Smtp));
}

#[test]
fn overrides_are_read_in_both_forms_and_on_continuation_lines() {
    let service = one(
        "submission inet n - y - 20 smtpd\n  -o syslog_name=postfix/submission\n# between\n  -o { smtpd_banner = a b } -v\n",
    );
    assert_eq!(service.overrides["syslog_name"].value, "postfix/submission");
    assert_eq!(service.overrides["smtpd_banner"].value, "a b");
    assert_eq!((service.limit, service.verbose), (Some(20), 1));
}

#[test]
fn what_follows_the_first_argument_belongs_to_the_command() {
    let service = one(
        "maildrop unix - n n - - pipe -o x=y\n  flags=DRXhu user=vmail argv=/usr/bin/maildrop -o ${recipient} {a b}",
    );
    assert_eq!(
        service.arguments,
        ["flags=DRXhu", "user=vmail", "argv=/usr/bin/maildrop", "-o", "${recipient}", "a b"]
    );
    assert_eq!(service.overrides.len(), 1);
}

#[test]
fn addresses_of_listeners() {
    for (name, host, port) in [
        ("127.0.0.1:10025", Host::Address([127, 0, 0, 1].into()), 10025),
        ("[::1]:smtp", Host::Address("::1".parse().unwrap()), 25),
        ("::1:submission", Host::Address("::1".parse().unwrap()), 587),
        ("localhost:smtps", Host::Name("localhost".into()), 465),
        ("[::1]:imap", Host::Address("::1".parse().unwrap()), 143),
        ("2525", Host::Interfaces, 2525),
        ("inet:2525", Host::Interfaces, 2525),
    ] {
        assert_eq!(one(&format!("{name} inet n - n - - smtpd")).role, Role::Listener { host, port });
    }
    assert!(problem("nosuch inet n - n - - smtpd").contains("\"nosuch\" is no port"));
    assert!(problem("70000 inet n - n - - smtpd").contains("is no port"));
}

#[test]
fn postscreen_listens_as_smtpd_and_says_so() {
    let (services, problems) = parse("smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n");
    assert!(matches!(services[0].role, Role::Listener { port: 25, .. }));
    assert_eq!(services[1].role, Role::Inside);
    assert_eq!(problems.len(), 1);
}

#[test]
fn faults_are_told_with_their_line() {
    assert!(problem("\nsmtp inet n - y - smtpd").starts_with("master.cf:2: error: 7 fields"));
    assert!(problem("smtp tcp n - y - - smtpd").contains("\"tcp\" is no type of service"));
    assert!(problem("smtp inet x - y - - smtpd").contains("field private"));
    assert!(problem("smtp inet y - y - - smtpd").contains("can not be private"));
    assert!(problem("smtp inet n - y - many smtpd").contains("field maxproc"));
    assert!(problem("smtp inet n - y soon - smtpd").contains("field wakeup"));
    assert!(problem("smtp inet n - y - - smtpd -o").contains("-o without"));
    assert!(problem("smtp inet n - y - - smtpd -o {a = b").contains("\"}\" is missing"));
    assert!(problem("smtp inet n - y - - smtpd -q").contains("smtpd takes no argument \"-q\"; remove it"));
    assert!(problem("local unix - n n - - local flags=R").contains("local takes no argument \"flags=R\""));
    assert!(problem("policy inet n - y - - policyd").contains("not working yet"));
}

#[test]
fn the_last_of_two_services_of_the_same_name_and_type_counts() {
    let (services, problems) = parse("a unix - - n - 1 smtp\na unix - - n - 2 smtp\na inet n - n - - spawn");
    assert_eq!((services.len(), services[0].limit), (2, Some(2)));
    assert!(problems[0].to_string().contains("overriding earlier entry: a/unix (master.cf:1)"));
}

proptest! {
    #[test]
    fn any_text_can_be_read(text in "([a-z:\\[\\]{}=0-9 #y-]{0,60}\n){0,6}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_line_that_looks_like_a_service_can_be_read(name in "[^\n]{0,20}", rest in "[^\n]{0,40}") {
        let _ = parse(&format!("{name} inet n - n - - smtpd {rest}"));
    }
}
