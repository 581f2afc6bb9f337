//! Values that their kind alone can not judge: names of hosts, addresses, and values that must fit each other.

use super::master_cf::Service;
use super::ports::port_number;
use super::problem::Place;
use super::{Config, Problem, ServerTls, Settings};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses from which mail is sent.
const SOURCES: [(&str, bool); 4] = [
    ("smtp_bind_address", false),
    ("lmtp_bind_address", false),
    ("smtp_bind_address6", true),
    ("lmtp_bind_address6", true),
];
/// Parameters that let fewer clients in where TLS is mandatory.
const GUARDS: [&str; 1] = ["smtpd_tls_req_ccert"];
/// Users of every system, whom daemons without a user of their own become.
const SHARED_USERS: [&str; 2] = ["nobody", "daemon"];
/// Names that others read in a greeting.
const GREETINGS: [&str; 2] = ["smtp_helo_name", "lmtp_lhlo_name"];
/// Octets of a mailbox, which must hold one message of any size that is taken.
const MAILBOXES: [&str; 2] = ["virtual_mailbox_limit", "mailbox_size_limit"];

/// Everything that can not be right, and what is hardly meant: of main.cf, and of what each service overrides.
#[must_use]
pub fn judge(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    values(&View { config, service: None, settings: config.settings(None) }, &mut problems);
    let own: BTreeSet<String> = problems.iter().map(|problem| problem.text.clone()).collect();
    for service in config.services().iter().filter(|service| !service.overrides.is_empty()) {
        let settings = config.settings(Some(&service.key()));
        let mut found = Vec::new();
        values(&View { config, service: Some(service), settings }, &mut found);
        for mut problem in found {
            // What main.cf says is told once, at main.cf; what comes of both, where the service differs.
            let is_mains = problem.place != service.place && own.contains(&problem.text);
            problem.place = service.place;
            problems.extend(Some(problem).filter(|_| !is_mains));
        }
    }
    guards(config, &mut problems);
    problems
}

/// The values of main.cf, or those that one service sees.
struct View<'c> {
    config: &'c Config,
    service: Option<&'c Service>,
    settings: Settings,
}

impl View<'_> {
    fn place(&self, name: &str) -> Place {
        self.config.place(name, self.service)
    }

    fn fault(&self, name: &str, what: &str, remedy: &str) -> Problem {
        Problem::error(self.place(name), format!("{name}: {what}"), remedy)
    }

    fn doubt(&self, name: &str, what: &str, remedy: &str) -> Problem {
        Problem::warning(self.place(name), format!("{name}: {what}"), remedy)
    }
}

fn values(view: &View<'_>, problems: &mut Vec<Problem>) {
    let settings = &view.settings;
    for (name, sixth) in SOURCES {
        let text = settings.text(name).trim_matches(['[', ']']);
        let fits = if sixth { text.parse::<Ipv6Addr>().is_ok() } else { text.parse::<Ipv4Addr>().is_ok() };
        if !text.is_empty() && !fits {
            let what = format!("\"{text}\" is no IPv{} address", if sixth { 6 } else { 4 });
            problems.push(view.fault(name, &what, "write the address of an interface of this host"));
        }
    }
    for item in settings.list("proxy_interfaces") {
        let digits = item.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if digits && item.parse::<IpAddr>().is_err() {
            let what = format!("\"{item}\" is no address");
            problems.push(view.fault("proxy_interfaces", &what, "write it in full, like 192.0.2.1"));
        }
    }
    names(view, problems);
    if port_number(settings.text("lmtp_tcp_port")).is_none() {
        let what = format!("\"{}\" is no port", settings.text("lmtp_tcp_port"));
        problems.push(view.fault("lmtp_tcp_port", &what, "write a number, or lmtp"));
    }
    let queue = settings.text("queue_directory");
    if !queue.starts_with('/') {
        let what = format!("\"{queue}\" depends on where the daemon is started");
        problems.push(view.fault("queue_directory", &what, "write the whole path, from / on"));
    }
    meanings(view, problems);
    owner(view, problems);
    sizes(view, problems);
}

/// Whom the daemon becomes: nobody else may be that user. Each could read the queue, and stop the daemon.
fn owner(view: &View<'_>, problems: &mut Vec<Problem>) {
    let owner = view.settings.text("mail_owner");
    if owner == view.settings.text("default_privs") {
        // At the line that is there: each has a default.
        let name = match view.place("mail_owner").line {
            Some(_) => "mail_owner",
            None => "default_privs",
        };
        let what = format!("mail_owner and default_privs are the same user, {owner}");
        problems.push(view.fault(name, &what, "give the daemon a user of its own"));
    }
    if SHARED_USERS.contains(&owner) {
        let what = format!("{owner} is whom other programs run as: they could read the queue");
        problems.push(view.doubt("mail_owner", &what, "give the daemon a user of its own"));
    }
}

/// Values that mean something else here than their words.
fn meanings(view: &View<'_>, problems: &mut Vec<Problem>) {
    let level = view.settings.text("smtpd_tls_security_level");
    if ServerTls::is_of_clients(level) {
        let what = format!("{level} is a level of clients: encrypt is used");
        problems.push(view.doubt("smtpd_tls_security_level", &what, "write encrypt"));
    }
    let newline = view.settings.text("smtpd_forbid_bare_newline").to_ascii_lowercase();
    if matches!(newline.as_str(), "no" | "note") {
        let what = format!("{newline} acts as normalize: only CRLF.CRLF ends a message here");
        problems.push(view.doubt("smtpd_forbid_bare_newline", &what, "write normalize, or reject"));
    }
}

/// What does not work yet and lets fewer clients in, where it would do so: without it strangers would be let in.
fn guards(config: &Config, problems: &mut Vec<Problem>) {
    let services = config.services().iter().map(Some);
    for service in std::iter::once(None).chain(services) {
        let settings = config.settings(service.map(Service::key).as_deref());
        let mandatory = ServerTls::is_mandatory(&settings);
        for name in GUARDS.iter().filter(|name| mandatory && settings.flag(name)) {
            let text = format!("not working yet: {name}, and without it strangers would be let in");
            let remedy = "take the line out, and keep them out otherwise";
            let problem = Problem::error(config.place(name, service), text, remedy);
            problems.extend(Some(problem).filter(|problem| !problems.contains(problem)));
        }
    }
}

fn names(view: &View<'_>, problems: &mut Vec<Problem>) {
    let settings = &view.settings;
    let host = settings.text("myhostname");
    if !is_host_name(host) {
        let what = format!("\"{host}\" is no name of a host");
        problems.push(view.fault(
            "myhostname",
            &what,
            "write letters, digits, - and dots, like mail.example.com",
        ));
    }
    for name in GREETINGS {
        let text = settings.text(name);
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let what = format!("\"{text}\" can not be said in a greeting");
            problems.push(view.fault(name, &what, "write the name of this host, as others find it"));
        }
    }
    let sender = settings.text("double_bounce_sender");
    if sender.is_empty()
        || sender.contains(|c: char| c.is_whitespace() || c.is_control() || "<>@".contains(c))
    {
        let what = format!("\"{sender}\" is no local part of an address");
        problems.push(view.fault("double_bounce_sender", &what, "write one word, like double-bounce"));
    }
}

/// As Postfix: letters, digits, `-` and `_` in labels of 63 at most, no label of nothing, no `-` at an end of one, and
/// not only digits, which would pass for an address.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.len() <= 255 && !is_numeric && text.split('.').all(is_label)
}

fn sizes(view: &View<'_>, problems: &mut Vec<Problem>) {
    let settings = &view.settings;
    let message = settings.number("message_size_limit");
    for name in MAILBOXES {
        let mailbox = settings.number(name);
        if mailbox > 0 && (message == 0 || mailbox < message) {
            let what = format!(
                "{mailbox} octets are less than a message may have (message_size_limit = {message}): a larger one is taken, and returned"
            );
            problems.push(view.doubt(name, &what, "make it larger, or message_size_limit smaller"));
        }
    }
    if settings.time("maximal_backoff_time") < settings.time("minimal_backoff_time") {
        let what = "is less than minimal_backoff_time";
        problems.push(view.doubt(
            "maximal_backoff_time",
            what,
            "make it larger; until then the greater of both counts",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Host;

    fn said(line: &str) -> Vec<String> {
        said_of(line, "")
    }

    fn said_of(line: &str, master: &str) -> Vec<String> {
        let (config, _) = Config::read(&format!("myhostname = a.test\n{line}\n"), master, Host::default());
        judge(&config).into_iter().map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn values_that_no_kind_can_judge() {
        assert_eq!(said(""), Vec::<String>::new());
        for (line, words) in [
            (
                "smtp_bind_address = 1.2.3",
                "main.cf:2: error: smtp_bind_address: \"1.2.3\" is no IPv4 address",
            ),
            ("smtp_bind_address6 = 192.0.2.1", "is no IPv6 address"),
            ("proxy_interfaces = 1.2.3", "error: proxy_interfaces: \"1.2.3\" is no address"),
            ("lmtp_tcp_port = abc", "error: lmtp_tcp_port: \"abc\" is no port"),
            ("smtp_helo_name = foo bar", "error: smtp_helo_name: \"foo bar\" can not be said in a greeting"),
            ("double_bounce_sender = a b@c", "error: double_bounce_sender: "),
            (
                "virtual_mailbox_limit = 100",
                "warning: virtual_mailbox_limit: 100 octets are less than a message may have",
            ),
            ("maximal_backoff_time = 1s", "warning: maximal_backoff_time: is less than minimal_backoff_time"),
            ("myhostname = -bad_.host..name", "error: myhostname: \"-bad_.host..name\" is no name of a host"),
            ("myhostname = 192.0.2.1", "error: myhostname: \"192.0.2.1\" is no name of a host"),
            (
                "queue_directory = spool",
                "error: queue_directory: \"spool\" depends on where the daemon is started",
            ),
            ("myhostname =", "error: myhostname: \"\" is no name of a host"),
            (
                "mail_owner = nobody",
                "main.cf:2: error: mail_owner: mail_owner and default_privs are the same user, nobody; give the daemon a user of its own",
            ),
            (
                "default_privs = postfix",
                "main.cf:2: error: default_privs: mail_owner and default_privs are the same user",
            ),
            ("mail_owner = nobody", "main.cf:2: warning: mail_owner: nobody is whom other programs run as"),
            ("mail_owner = daemon", "main.cf:2: warning: mail_owner: daemon is whom other programs run as"),
            (
                "smtpd_tls_security_level = verify",
                "main.cf:2: warning: smtpd_tls_security_level: verify is a level of clients: encrypt is used; write encrypt",
            ),
            (
                "smtpd_forbid_bare_newline = no",
                "main.cf:2: warning: smtpd_forbid_bare_newline: no acts as normalize: only CRLF.CRLF ends a message here; write normalize, or reject",
            ),
            (
                "smtpd_forbid_bare_newline = note",
                "warning: smtpd_forbid_bare_newline: note acts as normalize",
            ),
        ] {
            let said = said(line).join("\n");
            assert!(said.contains(words), "{line}: {said}");
        }
    }

    #[test]
    fn what_a_service_overrides_is_judged_where_it_stands() {
        let master = "smtp unix - - n - - smtp\nother unix - - n - - smtp -o smtp_bind_address=1.2.3\n";
        assert_eq!(
            said_of("smtp_bind_address6 = x", master),
            [
                "main.cf:2: error: smtp_bind_address6: \"x\" is no IPv6 address; write the address of an interface of this host",
                "master.cf:2: error: smtp_bind_address: \"1.2.3\" is no IPv4 address; write the address of an interface of this host",
            ]
        );
    }

    #[test]
    fn what_comes_of_a_service_s_value_and_main_cf_s_is_told_at_the_service() {
        for (line, overridden, words) in [
            (
                "smtpd_tls_req_ccert = yes\nsmtpd_tls_security_level = may",
                "smtpd -o smtpd_tls_security_level=encrypt",
                // The line to take out is that of the parameter that does not work.
                "main.cf:2: error: not working yet: smtpd_tls_req_ccert, and without it strangers would be let in",
            ),
            (
                "mailbox_size_limit = 51200000",
                "smtpd -o message_size_limit=200000000",
                "master.cf:1: warning: mailbox_size_limit: 51200000 octets are less than a message may have",
            ),
            (
                "helo = mx.a.test\nsmtp_helo_name = $helo",
                "smtp -o helo=",
                "master.cf:1: error: smtp_helo_name: \"\" can not be said in a greeting",
            ),
            (
                "mail_owner = post",
                "smtp -o default_privs=post",
                "master.cf:1: error: mail_owner: mail_owner and default_privs are the same user, post",
            ),
        ] {
            let service = if overridden.starts_with("smtpd") { "2525 inet" } else { "out unix" };
            let master = format!("{service} n - n - - {overridden}\n");
            let said = said_of(line, &master);
            assert_eq!(said.iter().filter(|said| said.contains(words)).count(), 1, "{line}: {said:?}");
        }
        // Both see it, and it is said once.
        let line = "smtpd_tls_req_ccert = yes\nsmtpd_tls_security_level = encrypt";
        assert_eq!(said_of(line, "2525 inet n - n - - smtpd\n").len(), 1);
    }

    #[test]
    fn values_that_are_right_stay_unsaid() {
        for line in [
            "smtp_bind_address6 = [2001:db8::1]",
            "proxy_interfaces = 192.0.2.1, gate.example",
            "lmtp_tcp_port = lmtp",
            "mailbox_size_limit = 0\nvirtual_mailbox_limit = 0",
            "smtp_helo_name = [192.0.2.1]",
            "smtpd_tls_security_level = encrypt",
            "smtpd_forbid_bare_newline = yes",
        ] {
            assert_eq!(said(line), Vec::<String>::new(), "{line}");
        }
    }
}
