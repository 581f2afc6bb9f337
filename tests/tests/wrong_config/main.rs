//! Wrong configurations: file, line, what and remedy are said, and nothing starts or changes.

mod running;

use postrider_tests::binary;
use postrider_tests::daemon::Daemon;
use std::fs;
use std::process::{Command, Output, Stdio};

/// What stands in line 1 and following before each wrong line, so that line numbers are known.
const SANE: &str = "compatibility_level = 3.6\nmyhostname = mail.here.test\ninet_protocols = ipv4\n";
const WRONG_LINE: &str = "main.cf:4: error: ";
/// EX_CONFIG, EX_OSERR of sysexits.h: what a supervisor may restart, and what needs a person.
const CONFIGURATION: i32 = 78;
const SYSTEM: i32 = 71;
const SERVICE: &str = "smtp unix - - n - - smtp\n";

fn run(daemon: &Daemon, verb: &str) -> (Output, String) {
    let output = Command::new(binary("postrider"))
        .args([verb, "-c"])
        .arg(daemon.config())
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

/// Both `check` and `start` say all of these words and fail.
#[track_caller]
fn refused(main_cf: &str, master_cf: &str, words: &[&str]) {
    let daemon = Daemon::prepare("wrong", "", "");
    let folder = daemon.path().display();
    let main = format!("{main_cf}\nqueue_directory = {folder}/spool\nmaillog_file = {folder}/mail.log\n");
    fs::write(daemon.config().join("main.cf"), main).expect("a scratch folder");
    fs::write(daemon.config().join("master.cf"), master_cf).expect("a scratch folder");
    for verb in ["check", "start"] {
        let (output, text) = run(&daemon, verb);
        let status = if verb == "start" { CONFIGURATION } else { 1 };
        assert_eq!(output.status.code(), Some(status), "{verb}: {text}");
        for word in words {
            assert!(text.contains(word), "{verb} does not say {word:?}:\n{text}");
        }
    }
}

/// A wrong fourth line of main.cf.
#[track_caller]
fn wrong_line(line: &str, words: &[&str]) {
    let door = format!("127.0.0.1:{} inet n - n - - smtpd\n{SERVICE}", postrider_tests::free_port());
    let mut all = vec![WRONG_LINE];
    all.extend(words);
    refused(&format!("{SANE}{line}"), &door, &all);
}

#[test]
fn values_that_cannot_be_right() {
    wrong_line("smtpd_timeout = soon", &["smtpd_timeout = soon: a time is expected", "write it like 5s"]);
    wrong_line(
        "message_size_limit = 10M",
        &["message_size_limit = 10M: a whole number", "write digits only"],
    );
    wrong_line("strict_rfc821_envelopes = perhaps", &["yes or no is expected; write yes or no"]);
    wrong_line("smtp_tls_security_level = maybe", &["smtp_tls_security_level = maybe", "choose one of them"]);
    wrong_line("just words", &["missing '=' after parameter name: \"just words\"; write \"name = value\""]);
    wrong_line("mynetworks = 127.0.0.0/40", &["mynetworks: bad mask value: \"127.0.0.0/40\"; correct it"]);
    wrong_line("dns_servers = x", &["dns_servers: bad address of a server: x; correct it"]);
}

#[test]
fn values_that_refer_to_nothing_or_to_themselves() {
    wrong_line(
        "mydestination = $mydestination",
        &["refer to each other too deeply", "for the forms of $name"],
    );
    wrong_line("mydestination = ${nope", &["\"}\" is missing", "for the forms of $name"]);
}

#[test]
fn restrictions_that_would_not_do_what_they_seem_to() {
    wrong_line(
        "smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destinations",
        &[
            "unknown smtpd restriction: \"reject_unauth_destinations\"; did you mean reject_unauth_destination?",
        ],
    );
    // An open relay.
    wrong_line("smtpd_relay_restrictions = permit_mynetworks", &["specify at least one working instance of"]);
}

#[test]
fn files_that_are_not_there() {
    wrong_line(
        "smtpd_tls_cert_file = /nowhere.pem\nsmtpd_tls_security_level = may",
        &["smtpd_tls_cert_file: /nowhere.pem: No such file or directory; make it, or correct the path\n"],
    );
    wrong_line(
        "smtp_tls_CApath = /nowhere",
        &["smtp_tls_CApath: /nowhere: No such file or directory; make it, or correct the path\n"],
    );
    wrong_line(
        "smtpd_tls_cert_file = /etc/passwd\nsmtpd_tls_security_level = may",
        &["smtpd_tls_cert_file: /etc/passwd, /etc/passwd: it has no CERTIFICATE section; correct it"],
    );
    wrong_line(
        "smtpd_tls_security_level = dane",
        &["smtpd_tls_security_level: dane is no level of a server: none, may or encrypt expected"],
    );
    wrong_line(
        "smtpd_forbidden_commands = GET regexp:{{/(/ x}}",
        &["smtpd_forbidden_commands: regexp:{{/(/ x}}: "],
    );
    wrong_line("smtpd_noop_commands = hahs:/words", &["hahs:/words: unknown table type \"hahs\""]);
    wrong_line(
        "mail_owner = nobody",
        &["mail_owner: mail_owner and default_privs are the same user, nobody"],
    );
    let daemon = Daemon::prepare("missing", "", "");
    fs::remove_file(daemon.config().join("main.cf")).expect("it was there");
    for verb in ["check", "start"] {
        let (output, text) = run(&daemon, verb);
        assert!(!output.status.success());
        assert!(
            text.contains("main.cf: No such file or directory; name the directory")
                && text.contains("with -c DIR"),
            "{text}"
        );
    }
}

/// A table that is written out in main.cf has no other place.
#[test]
fn what_is_wrong_in_a_table_without_a_file_is_told_at_the_line_that_has_it() {
    for table in ["regexp:{{/^X/ NONSENSE}}", "pcre:{{/^X/ NONSENSE}}", "inline:{{x=NONSENSE}}"] {
        let line = format!("smtpd_helo_restrictions = check_helo_access {table}");
        let daemon = Daemon::prepare("inline", &line, "");
        let main_cf = fs::read_to_string(daemon.config().join("main.cf")).expect("it was written");
        let number = 1 + main_cf.lines().position(|other| other == line).expect("the line is there");
        let (_, text) = run(&daemon, "check");
        let warning = text.lines().find(|line| line.contains("NONSENSE")).unwrap_or_default();
        let place = format!("/main.cf:{number}: warning: smtpd_helo_restrictions: ");
        assert!(warning.contains(&place) && warning.contains(table), "{table}: {text}");
        assert!(!text.contains("}:1:"), "{text}");
    }
}

/// Paths that only the start uses: the line that names them, and a status that says that trying again does not help.
#[test]
fn a_start_names_the_line_of_a_path_that_cannot_be_used() {
    let cases = [
        ("maillog_file = /dev/null/log", "maillog_file: /dev/null/log: Not a directory; correct the path\n"),
        (
            "maillog_file = /nowhere/log",
            "maillog_file: /nowhere/log: No such file or directory; make it, or correct the path\n",
        ),
        (
            "queue_directory = /dev/null",
            "queue_directory: /dev/null/postrider: Not a directory; correct the path\n",
        ),
        ("mail_owner = nobody-at-all", "mail_owner = nobody-at-all: there is no such user; make one"),
    ];
    for (line, said) in cases {
        let daemon = Daemon::prepare("paths", line, "");
        let (output, text) = run(&daemon, "start");
        assert_eq!(output.status.code(), Some(CONFIGURATION), "{text}");
        assert!(text.contains(said), "{text}");
        let main_cf = fs::read_to_string(daemon.config().join("main.cf")).expect("it was written");
        let number = 1 + main_cf.lines().position(|other| other == line).expect("the line is there");
        assert!(text.contains(&format!("/main.cf:{number}: error: ")), "{text}");
    }
    let daemon = Daemon::prepare("no-log-folder", "maillog_file = /nowhere/log", "");
    let (output, text) = run(&daemon, "check");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: maillog_file: there is no directory /nowhere; make it"), "{text}");
}

#[test]
fn places_where_no_mail_can_go() {
    wrong_line(
        "relayhost = [127.0.0.1",
        &[
            "relayhost = [127.0.0.1: \"[127.0.0.1\" is no destination: \"]\" is missing; write [host] or [host]:port\n",
        ],
    );
    wrong_line(
        "relayhost = [mail.example]:25:x",
        &["is no destination: its port is neither a number nor smtp"],
    );
    wrong_line(
        "smtp_fallback_relay = a.example, b.example:notaport",
        &["\"b.example:notaport\" is no destination"],
    );
    wrong_line(
        "default_transport = smpt:[192.0.2.1]",
        &["default_transport = smpt:[192.0.2.1]: master.cf has no transport \"smpt\"; did you mean smtp?\n"],
    );
}

/// A table has its own file and line; the rest of it is right, so the daemon starts and says it.
#[test]
fn routes_of_a_table_where_no_mail_can_go() {
    let daemon = Daemon::prepare("routes", "", "");
    let table = daemon.config().join("transport");
    fs::write(&table, "good.test smtp:[127.0.0.1]:25\n# two\nbad.test smtp:[127.0.0.1\nodd.test smtpx:\n")
        .expect("a scratch folder");
    daemon.write_main_cf(&format!("transport_maps = hash:{}", table.display()));
    let (output, text) = run(&daemon, "check");
    assert!(output.status.success(), "{text}");
    let said = |line: u32, what: &str| text.contains(&format!("{}:{line}: warning: {what}", table.display()));
    assert!(
        said(3, "\"bad.test\": \"[127.0.0.1\" is no destination: \"]\" is missing; write [host]"),
        "{text}"
    );
    assert!(said(4, "\"odd.test\": master.cf has no transport \"smtpx\"; did you mean smtp?"), "{text}");
    assert!(!text.contains("good.test"), "{text}");
}

#[test]
fn what_no_list_could_obey_is_told_before_mail_meets_it_also_where_main_cf_is_wrong_besides() {
    let daemon = Daemon::prepare("values", "", "");
    let config = daemon.config();
    let main = fs::read_to_string(config.join("main.cf")).expect("it was made");
    let folder = config.display();
    let first = main.lines().count() + 1;
    let lines = format!(
        "smtpd_helo_restrictions = check_helo_access inline:{{ a.test=REJEKT, b.test=OK }}\n\
         smtpd_client_restrictions = check_client_access cidr:{folder}/nets\n\
         smtpd_sender_restrictions = check_sender_access regexp:{folder}/senders\n\
         header_checks = pcre:{folder}/headers\n\
         hopcount_limit = many\nsmtpd_data_restrictions = permt\n"
    );
    fs::write(config.join("main.cf"), format!("{main}{lines}")).expect("a scratch folder");
    fs::write(config.join("nets"), "10.0.0.0/8 OK\n# no\n192.0.2.0/24 PERMITT\n").expect("a scratch folder");
    fs::write(config.join("senders"), "/^x@/ REDIRECT nowhere\n/y(/ REJECT\n").expect("a scratch folder");
    fs::write(config.join("headers"), "/^X: (.*)/ REPLACE no header $1\n").expect("a scratch folder");
    let (output, text) = run(&daemon, "check");
    assert_eq!(output.status.code(), Some(1), "{text}");
    for words in [
        format!("main.cf:{first}: warning: smtpd_helo_restrictions: "),
        "\"REJEKT\": unknown smtpd restriction: \"REJEKT\"; did you mean reject?".to_owned(),
        format!("{folder}/nets:3: warning: \"PERMITT\": "),
        format!("{folder}/senders:1: warning: \"REDIRECT nowhere\": REDIRECT needs user@domain behind it"),
        format!("{folder}/senders:2: warning: "),
        format!("{folder}/headers:1: warning: \"REPLACE no header $1\": bad header text"),
        "unknown smtpd restriction: \"permt\"; did you mean permit?".to_owned(),
        "2 errors, 5 warnings".to_owned(),
    ] {
        assert!(text.contains(&words), "{words:?} is not in\n{text}");
    }
    assert_eq!(text.matches("hopcount_limit").count(), 1, "an error is said once: {text}");
}

#[test]
fn a_domain_that_is_two_things_is_told() {
    let two = "mydestination = here.test, twice.test\nvirtual_alias_domains = Twice.test\n\
               virtual_mailbox_domains = box.test\nrelay_domains = $mydestination box.test";
    let daemon = Daemon::prepare("classes", two, "");
    let (output, text) = run(&daemon, "check");
    assert_eq!(output.status.code(), Some(0), "{text}");
    for words in [
        "warning: virtual_alias_domains: twice.test is also in mydestination, and mail for it goes by that; list it in one of them only",
        "warning: relay_domains: twice.test is also in virtual_alias_domains",
        "warning: relay_domains: box.test is also in virtual_mailbox_domains",
        "0 errors, 3 warnings",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

#[test]
fn tables_of_no_known_type_are_refused_and_of_types_to_come_are_told() {
    wrong_line(
        "virtual_alias_maps = hsah:/etc/postfix/virtual",
        &[
            "virtual_alias_maps: hsah:/etc/postfix/virtual: unknown table type \"hsah\"; there are hash, btree, texthash",
        ],
    );
    wrong_line(
        "smtpd_sender_restrictions = check_sender_access hahs:/etc/postfix/access",
        &["smtpd_sender_restrictions: hahs:/etc/postfix/access: unknown table type \"hahs\""],
    );
    let daemon = Daemon::prepare("to-come", "virtual_alias_maps = pgsql:/etc/postfix/virtual.cf", "");
    let (output, text) = run(&daemon, "check");
    assert!(output.status.success(), "{text}");
    let said = "warning: virtual_alias_maps: not working yet: tables of type pgsql (pgsql:/etc/postfix/virtual.cf); \
                its lookups fail: try again later";
    assert!(text.contains(said), "{text}");
}

/// A client chooses the key: where the value says what is run or where mail goes, it must not choose that too.
#[test]
fn a_table_whose_answers_take_text_from_the_key_is_refused_where_they_are_paths_or_routes() {
    let daemon = Daemon::prepare("substitutes", "", "");
    let (rules, plain) = (daemon.config().join("rules"), daemon.config().join("plain"));
    fs::write(&rules, "/^(.*)@here\\.test$/ $1/\n").expect("a scratch folder");
    fs::write(&plain, "/^me@here\\.test$/ me/\n").expect("a scratch folder");
    for parameter in ["virtual_mailbox_maps", "transport_maps", "virtual_uid_maps", "alias_maps"] {
        let line = format!("{parameter} = proxy:pcre:{}", rules.display());
        wrong_line(
            &line,
            &[
                &format!("{parameter}: proxy:pcre:"),
                "its answers take text from the key ($1), which a client chooses",
            ],
        );
    }
    // In a rewriting table the same is fine, and so are answers that are written out.
    for line in [
        format!("virtual_alias_maps = regexp:{}", rules.display()),
        format!("virtual_mailbox_maps = regexp:{}", plain.display()),
    ] {
        daemon.write_main_cf(&line);
        let (output, text) = run(&daemon, "check");
        assert!(output.status.success(), "{text}");
    }
}

#[test]
fn a_cleanup_service_that_is_not_there() {
    wrong_line(
        "cleanup_service_name = second",
        &["cleanup_service_name", "no service second with the command cleanup"],
    );
}

#[test]
fn services_that_are_none() {
    let wrong = |line: &str, words: &[&str]| {
        let mut all = vec!["master.cf:2: error: "];
        all.extend(words);
        refused(SANE, &format!("{SERVICE}{line}\n"), &all);
    };
    wrong(
        "smtpd inet n",
        &["3 fields, 8 are expected", "write: name type private unpriv chroot wakeup maxproc command"],
    );
    wrong("127.0.0.1:99999 inet n - n - - smtpd", &["\"99999\" is no port; write a number"]);
    wrong("127.0.0.1:2626 innet n - n - - smtpd", &["\"innet\" is no type of service; write inet, unix"]);
}

#[test]
fn every_error_is_said_at_once() {
    let main = format!("{SANE}smtpd_timeout = soon\nmessage_size_limit = big\nmydestinaton = here.test");
    refused(
        &main,
        "127.0.0.1:99999 inet n - n - - smtpd\n",
        &["main.cf:4: error: ", "main.cf:5: error: ", "master.cf:1: error: ", "did you mean mydestination?"],
    );
}

#[test]
fn what_would_leave_a_door_open_or_mail_behind_is_told() {
    wrong_line(
        "smtpd_tls_req_ccert = yes\nsmtpd_tls_security_level = encrypt",
        &["without it strangers would be let in"],
    );
    let nowhere = Daemon::prepare("nowhere", "", "");
    let main = fs::read_to_string(nowhere.config().join("main.cf")).expect("it was made");
    let own = main.lines().filter(|line| !line.starts_with("queue_directory"));
    let own: Vec<&str> = own.chain(["queue_directory = /dev/null"]).collect();
    fs::write(nowhere.config().join("main.cf"), own.join("\n") + "\n").expect("a scratch folder");
    let (output, text) = run(&nowhere, "check");
    assert!(output.status.code() == Some(1) && text.contains("/dev/null is not a directory"), "{text}");
    refused(SANE, "2601 inet n - n - - smptd\n", &["master.cf:1: error: ", "did you mean smtpd?"]);
    let file = Daemon::prepare("origin", "", "");
    let empty = file.path().join("mailname");
    fs::write(&empty, "\n").expect("a scratch folder");
    wrong_line(&format!("myorigin = {}", empty.display()), &["has no domain in its first line"]);
    refused(
        "compatibility_level = 3.6\n  smtpd_timeout = 5s\n",
        SERVICE,
        &["main.cf:1: error: ", "an indented line continues the one before it"],
    );
    let daemon = Daemon::prepare("no-certificate", "smtpd_tls_security_level = encrypt", "");
    let (output, text) = run(&daemon, "check");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("warning: smtpd_tls_cert_file: there is no certificate"), "{text}");
}
