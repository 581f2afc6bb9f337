//! Can mail go where main.cf and the tables send it? Asked at start, so that a slip of the pen is found by who wrote
//! it, with its line, and not by the first message.
//!
//! Where a route leads is judged, not whether anybody is there: the form of a next hop, and the name of a transport.
//! transport(5), postconf(5) relayhost, smtp(8) and lmtp(8) "DESTINATION SYNTAX".

use crate::delivery::{Destination, Protocol, split};
use crate::params::check::nearest;
use crate::params::master_cf::{Delivery, Role, Service, ServiceType};
use crate::params::problem::{File, Place};
use crate::params::{Config, Problem, Severity};

/// How a parameter or a table writes a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `transport:nexthop`.
    Hop,
    /// The same; without a transport the usual one is meant, and DUNNO is no route.
    Entry,
    /// A next hop of the default transport.
    Relay,
    /// Next hops of smtp(8), one after the other.
    SmtpRelays,
    /// Next hops of lmtp(8), one after the other.
    LmtpRelays,
}

/// Parameters whose values are routes.
const VALUES: [(&str, Form); 11] = [
    ("default_transport", Form::Hop),
    ("local_transport", Form::Hop),
    ("virtual_transport", Form::Hop),
    ("relay_transport", Form::Hop),
    ("mailbox_transport", Form::Hop),
    ("fallback_transport", Form::Hop),
    ("best_mx_transport", Form::Hop),
    ("relayhost", Form::Relay),
    ("smtp_fallback_relay", Form::SmtpRelays),
    ("fallback_relay", Form::SmtpRelays),
    ("lmtp_fallback_relay", Form::LmtpRelays),
];

/// Parameters that name tables whose values are routes.
pub const TABLES: [(&str, Form); 5] = [
    ("transport_maps", Form::Entry),
    ("sender_dependent_default_transport_maps", Form::Entry),
    ("sender_dependent_relayhost_maps", Form::Relay),
    ("mailbox_transport_maps", Form::Entry),
    ("fallback_transport_maps", Form::Entry),
];

/// What is wrong with a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRoute {
    /// It can never work; otherwise it does not work yet.
    pub severity: Severity,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

fn error(text: String, remedy: impl Into<String>) -> BadRoute {
    BadRoute { severity: Severity::Error, text, remedy: remedy.into() }
}

/// Judges what main.cf and the services set; defaults are ours to get right. But where master.cf lacks the transport that all mail for
/// others takes by default, that is told: whoever has left it out may mean it.
#[must_use]
pub fn judge(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let main = config.settings(None);
    for (name, form) in VALUES {
        if let Some(place) = config.set_at(name, None)
            && let Err(bad) = judge_value(config, form, main.text(name))
        {
            problems.push(bad.at(place, name, main.text(name)));
        }
        for service in config.services().iter().filter(|service| service.overrides.contains_key(name)) {
            let settings = config.settings(Some(&service.key()));
            if let Some(place) = config.set_at(name, Some(service))
                && let Err(bad) = judge_value(config, form, settings.text(name))
            {
                problems.push(bad.at(place, name, settings.text(name)));
            }
        }
    }
    let name = "default_transport";
    if config.set_at(name, None).is_none()
        && let Err(bad) = judge_value(config, Form::Hop, main.text(name))
    {
        let place = Place { file: File::Main, line: None };
        let remedy = format!("{}; until then mail for other hosts waits in the queue", bad.remedy);
        problems.push(BadRoute { severity: Severity::Warning, remedy, ..bad }.at(
            place,
            name,
            main.text(name),
        ));
    }
    problems
}

impl BadRoute {
    fn at(self, place: Place, name: &str, value: &str) -> Problem {
        let text = format!("{name} = {value}: {}", self.text);
        Problem { place, severity: self.severity, text, remedy: self.remedy }
    }
}

/// Judges one value; an empty one is no route, and right.
///
/// # Errors
/// What is wrong with it.
pub fn judge_value(config: &Config, form: Form, value: &str) -> Result<(), BadRoute> {
    let value = value.trim();
    if value.is_empty() {
        return Ok(());
    }
    match form {
        Form::SmtpRelays => next_hops(value, Protocol::Smtp),
        Form::LmtpRelays => next_hops(value, Protocol::Lmtp),
        Form::Entry | Form::Relay if value.eq_ignore_ascii_case("DUNNO") => Ok(()),
        Form::Hop | Form::Entry => hop(config, form, value),
        Form::Relay => {
            let settings = config.settings(None);
            let default = settings.text("default_transport").trim();
            let name = default.split_once(':').map_or(default, |(name, _)| name);
            match transport(config, name).and_then(protocol) {
                Some(protocol) => next_hops(value, protocol),
                None => Ok(()),
            }
        }
    }
}

fn hop(config: &Config, form: Form, value: &str) -> Result<(), BadRoute> {
    let (name, nexthop) = value.split_once(':').unwrap_or((value, ""));
    let (name, nexthop) = (name.trim(), nexthop.trim());
    if name.is_empty() {
        return match form {
            Form::Entry => Ok(()),
            _ => Err(error("the transport is missing".to_owned(), "write transport:nexthop or transport")),
        };
    }
    // What these two say needs no service.
    if matches!(name, "error" | "retry") {
        return Ok(());
    }
    let Some(service) = transport(config, name) else {
        return Err(unknown(config, name));
    };
    if matches!(service.role, Role::Transport(Delivery::Pipe | Delivery::Spawn) | Role::Unknown) {
        return Err(BadRoute {
            severity: Severity::Warning,
            text: format!("not working yet: {} of service {}", service.command, service.key()),
            remedy: "mail for this transport waits in the queue".to_owned(),
        });
    }
    match protocol(service) {
        Some(protocol) if !nexthop.is_empty() => next_hops(nexthop, protocol),
        _ => Ok(()),
    }
}

fn unknown(config: &Config, name: &str) -> BadRoute {
    let names = config.services().iter().filter(|service| service.kind == ServiceType::Unix);
    let remedy = match nearest(name, names.map(|service| service.name.as_str())) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("add a service {name} to master.cf, or name another"),
    };
    error(format!("master.cf has no transport \"{name}\""), remedy)
}

fn next_hops(list: &str, protocol: Protocol) -> Result<(), BadRoute> {
    split(list).iter().try_for_each(|item| match Destination::parse(item, protocol, 1) {
        Ok(_) => Ok(()),
        Err(bad) => {
            let (what, remedy) = bad.0.split_once("; ").unwrap_or((bad.0, ""));
            Err(error(format!("\"{item}\" is no destination: {what}"), remedy))
        }
    })
}

fn transport<'c>(config: &'c Config, name: &str) -> Option<&'c Service> {
    config.services().iter().find(|service| service.kind == ServiceType::Unix && service.name == name)
}

fn protocol(service: &Service) -> Option<Protocol> {
    match service.role {
        Role::Transport(Delivery::Smtp | Delivery::Lmtp) => Protocol::of_command(&service.command),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Host;

    const MASTER: &str = "smtp unix - - n - - smtp\nlmtp unix - - n - - lmtp\nlocal unix - n n - - local\n\
                          mailman unix - n n - - pipe user=list argv=/bin/true\n\
                          relay unix - - n - - smtp\n  -o smtp_fallback_relay=[192.0.2.1\n";

    fn config(main: &str) -> Config {
        Config::read(main, MASTER, Host::default()).0
    }

    fn judged(form: Form, value: &str) -> String {
        match judge_value(&config(""), form, value) {
            Ok(()) => "right".to_owned(),
            Err(bad) => bad.text,
        }
    }

    #[test]
    fn a_route_that_can_be_used_is_right() {
        for (form, value) in [
            (Form::Hop, "smtp"),
            (Form::Hop, "smtp:[mail.example]:submission"),
            (Form::Hop, "lmtp:unix:private/dovecot"),
            (Form::Hop, "local:anything at all:"),
            (Form::Hop, "error:5.1.1 no mail here"),
            (Form::Entry, ":[192.0.2.1]"),
            (Form::Entry, "dunno"),
            (Form::Relay, "[192.0.2.1]:2525, example.net:26 other.example"),
            (Form::Relay, "[ipv6:2001:db8::1]:smtp"),
            (Form::Relay, ""),
            (Form::LmtpRelays, "inet:host:24"),
        ] {
            assert_eq!(judged(form, value), "right", "{value}");
        }
    }

    #[test]
    fn a_next_hop_that_is_none_is_told_with_what_was_expected() {
        for (form, value, said) in [
            (Form::Relay, "[127.0.0.1", "\"[127.0.0.1\" is no destination: \"]\" is missing"),
            (Form::Relay, "[host]:25:x", "\"[host]:25:x\" is no destination: its port is neither a number"),
            (Form::Relay, "ok.example, host:notaport", "\"host:notaport\" is no destination: its port"),
            (Form::Relay, "[host]x", "only :port may follow"),
            (Form::Relay, "2001:db8::1", "its port is neither"),
            (Form::Relay, "smtp:[host]", "its port is neither"),
            (Form::SmtpRelays, "a.example [b", "\"[b\" is no destination"),
            (Form::Hop, "smtp:[host", "\"[host\" is no destination"),
            (Form::Hop, ":[host]", "the transport is missing"),
            (Form::Entry, "lmtp:unix:", "the path is missing"),
        ] {
            assert!(judged(form, value).contains(said), "{value}: {}", judged(form, value));
        }
    }

    #[test]
    fn a_transport_that_master_cf_does_not_have_is_told() {
        assert_eq!(judged(Form::Hop, "smpt:host"), "master.cf has no transport \"smpt\"");
        assert_eq!(judge_value(&config(""), Form::Entry, "lmpt:x").unwrap_err().remedy, "did you mean lmtp?");
        let pipe = judge_value(&config(""), Form::Hop, "mailman:").unwrap_err();
        assert_eq!(
            (pipe.severity, pipe.text.as_str()),
            (Severity::Warning, "not working yet: pipe of service mailman/unix")
        );
    }

    #[test]
    fn a_master_cf_without_the_default_transport_is_told() {
        let (config, _) = Config::read("", "smtp inet n - n - - smtpd\n", Host::default());
        let told: Vec<String> = judge(&config).iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with(
                "main.cf: warning: default_transport = smtp: master.cf has no transport \"smtp\""
            ),
            "{told:?}"
        );
    }

    #[test]
    fn what_is_set_is_judged_where_it_stands_and_defaults_are_not() {
        let told: Vec<String> = judge(&config("\nrelayhost = [a\nvirtual_transport = nosuch\n"))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[0].starts_with("main.cf:3: error: virtual_transport = nosuch: master.cf has no"),
            "{told:?}"
        );
        assert!(
            told[1].starts_with("main.cf:2: error: relayhost = [a: \"[a\" is no destination"),
            "{told:?}"
        );
        assert!(told[2].starts_with("master.cf:5: error: smtp_fallback_relay = [192.0.2.1: "), "{told:?}");
    }
}
