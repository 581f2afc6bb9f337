//! Access tables: which keys are tried, and what the answers mean. access(5).

use super::names::internal;
use super::program::{Rule, Subject, compile};
use super::run::{About, Flow, Run};
use super::{Action, Stage};
use crate::ask::{Pause, TableName};
use crate::mail::Sender;
use crate::rewrite::{ask, parse_address, split_status};
use crate::tables::domain_keys;
use crate::wire::Mailbox;
use std::net::IpAddr;

/// A key, and whether it is whole: the only kind that tables of patterns are asked for.
type Key = (String, bool);

impl Run<'_> {
    /// Asks one table about one part of the situation.
    pub(super) fn access(&mut self, subject: Subject, table: &TableName) -> Result<Flow, Pause> {
        self.asking(subject);
        let mut suspicious = false;
        let keys = match subject {
            Subject::Client => self.client_keys(&self.at.client.name, self.at.client.address),
            Subject::ReverseClient => self.client_keys(self.at.reverse_name, None),
            Subject::Helo => match self.at.helo {
                Some(helo) => self.name_keys(helo.strip_suffix('.').unwrap_or(helo)),
                None => return Ok(Flow::Dunno),
            },
            Subject::Sender => match self.at.sender {
                None => return Ok(Flow::Dunno),
                Some(Sender::Null) => vec![(self.policy.params.null_key.clone(), true)],
                Some(Sender::Mailbox(mailbox)) => self.mail_keys(mailbox)?.0,
            },
            Subject::Recipient => match self.at.recipient {
                None => return Ok(Flow::Dunno),
                Some(mailbox) => {
                    let (keys, routed) = self.mail_keys(mailbox)?;
                    suspicious = routed && !self.policy.params.allow_untrusted_routing;
                    keys
                }
            },
        };
        for (key, whole) in keys.iter().filter(|(key, _)| !key.is_empty()) {
            if let Some(value) = ask(std::slice::from_ref(table), key, *whole, self.facts)? {
                let about = self.about(subject);
                let flow = self.obey(&value, &about, subject, table)?;
                self.find(|_| format!("it has \"{value}\" for {key}"));
                // Nobody can say where an address that asks others to route on would end: no permission for it.
                return Ok(if suspicious && flow == Flow::Permit { Flow::Dunno } else { flow });
            }
        }
        Ok(Flow::Dunno)
    }

    fn name_keys(&self, name: &str) -> Vec<Key> {
        if name.is_empty() || name.starts_with('[') || name.parse::<IpAddr>().is_ok() {
            return vec![(name.to_owned(), true)];
        }
        let keys = domain_keys(name, self.policy.params.access_parents);
        keys.enumerate().map(|(place, key)| (key.to_owned(), place == 0)).collect()
    }

    /// The name and those above it, then the address, losing its last part again and again.
    fn client_keys(&self, name: &str, address: Option<IpAddr>) -> Vec<Key> {
        let mut keys = self.name_keys(name);
        let Some(address) = address.map(|address| address.to_canonical()) else { return keys };
        let text = address.to_string();
        let delimiter = if address.is_ipv4() { '.' } else { ':' };
        let mut rest = text.as_str();
        keys.push((text.clone(), true));
        while let Some((shorter, _)) = rest.rsplit_once(delimiter) {
            rest = shorter;
            keys.push((rest.to_owned(), false));
        }
        keys
    }

    /// `user+ext@domain`, `user@domain`, the domain and those above it, `user+ext@`, `user@`; and whether the address
    /// asks to be routed on.
    fn mail_keys(&self, mailbox: &Mailbox) -> Result<(Vec<Key>, bool), Pause> {
        let resolved = self.rewrite.resolve(mailbox, self.facts)?;
        let mailbox = resolved.mailbox;
        let (local, domain) = (mailbox.local(), mailbox.domain());
        let bare = self.rewrite.split_extension(local).map(|(user, _)| user);
        let mut keys = vec![(mailbox.external(), true)];
        if mailbox.external() != internal(&mailbox) {
            keys.push((internal(&mailbox), false));
        }
        keys.extend(bare.map(|user| (format!("{user}@{domain}"), false)));
        keys.extend(self.name_keys(domain).into_iter().map(|(key, _)| (key, false)));
        keys.push((format!("{local}@"), false));
        keys.extend(bare.map(|user| (format!("{user}@"), false)));
        Ok((keys, resolved.routed))
    }

    /// Does what a table says.
    fn obey(
        &mut self,
        value: &str,
        about: &About,
        subject: Subject,
        table: &TableName,
    ) -> Result<Flow, Pause> {
        let value = value.trim();
        let (word, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
        let rest = rest.trim();
        let codes = self.policy.params.codes;
        let says = |rest: &str, default: &str| {
            format!("<{}>: {} {}", about.name, about.class, if rest.is_empty() { default } else { rest })
        };
        Ok(match word.to_ascii_uppercase().as_str() {
            "DUNNO" => Flow::Dunno,
            "OK" | "RELAY" => Flow::Permit,
            "REJECT" => {
                let (status, text) = told(rest, "5.7.1", "Access denied", about);
                self.refuse(codes.access_map_reject, &status, &text)
            }
            "DEFER" => {
                let (status, text) = told(rest, "4.7.1", "Access denied", about);
                self.refuse(codes.access_map_defer, &status, &text)
            }
            "DEFER_IF_PERMIT" => {
                let (status, text) = told(rest, "4.7.1", "Service unavailable", about);
                self.doubt_permit(codes.access_map_defer, &status, &text)
            }
            "DEFER_IF_REJECT" => {
                let (status, text) = told(rest, "4.7.1", "Service unavailable", about);
                self.doubt_reject(codes.access_map_defer, &status, &text)
            }
            "HOLD" => self.act(Action::Hold(says(rest, "triggers HOLD action"))),
            "DISCARD" => {
                self.discarded = true;
                self.act(Action::Discard(says(rest, "triggers DISCARD action")));
                Flow::Permit
            }
            "WARN" => self.act(Action::Log("warn", rest.to_owned())),
            "INFO" => self.act(Action::Log("info", rest.to_owned())),
            "FILTER" | "REDIRECT" | "BCC" | "PREPEND" => self.change(word, rest, about, table),
            // Before the digits that permit: who forgets the text behind a code does not mean to let anybody in.
            _ if is_code(word) => {
                let code = word.parse().unwrap_or(450);
                let status = if code >= 500 { "5.7.1" } else { "4.7.1" };
                let (status, text) = told(rest, status, "Access denied", about);
                self.refuse(code, &status, &text)
            }
            _ if value.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty() => Flow::Permit,
            _ => self.apply(value, about, subject)?,
        })
    }

    fn act(&mut self, action: Action) -> Flow {
        self.actions.push(action);
        Flow::Dunno
    }

    /// The actions that need a well-formed text; without one they are a mistake of the table's, and nothing happens.
    fn change(&mut self, word: &str, rest: &str, about: &About, table: &TableName) -> Flow {
        let verb = word.to_ascii_uppercase();
        let triggers = format!("<{}>: {} triggers {verb} {rest}", about.name, about.class);
        let mistake = |needs: &str| {
            Action::Log("warn", format!("access table {} entry \"{}\" requires {needs}", table.0, about.name))
        };
        let address =
            parse_address(rest).filter(|mailbox| !mailbox.domain().is_empty() && !mailbox.local().is_empty());
        let found = match (verb.as_str(), address) {
            ("FILTER", _) if rest.split_once(':').is_some_and(|(transport, _)| !transport.is_empty()) => {
                Ok(("filter", Action::Filter(rest.to_owned())))
            }
            ("FILTER", _) => Err("transport:destination"),
            ("REDIRECT", Some(mailbox)) => Ok(("redirect", Action::Redirect(mailbox))),
            ("BCC", Some(mailbox)) => Ok(("bcc", Action::Bcc(mailbox))),
            ("REDIRECT" | "BCC", None) => Err("user@domain target"),
            _ => return self.prepend(rest, mistake("header: text")),
        };
        match found {
            Ok((verb, action)) => {
                self.actions.push(Action::Log(verb, triggers));
                self.actions.push(action);
            }
            Err(needs) => self.actions.push(mistake(needs)),
        }
        Flow::Dunno
    }

    fn prepend(&mut self, rest: &str, mistake: Action) -> Flow {
        let name = rest.split_once(':').map_or("", |(name, _)| name.trim_end());
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        // The header has passed by when the content has.
        let in_time = self.stage != Stage::EndOfData;
        self.act(if plain && in_time { Action::Prepend(rest.to_owned()) } else { mistake })
    }

    /// A list of restrictions as a table's value. Tables in it must be named in the configuration as well: the driver
    /// opens no others.
    fn apply(&mut self, value: &str, about: &About, subject: Subject) -> Result<Flow, Pause> {
        let names: Vec<String> = self.policy.classes.keys().cloned().collect();
        let rules = compile(value, Some(subject), &names);
        let foreign = rules.iter().find_map(|rule| match rule {
            Rule::Access(_, table) if !self.policy.tables.contains(table) => Some(table.0.clone()),
            _ => None,
        });
        if let Some(table) = foreign {
            let why = format!(
                "table {table} is named in a table only: define a restriction class and specify its name instead"
            );
            return Ok(self.server_error(&why));
        }
        self.list(&rules, about)
    }
}

/// What is wrong with a value of an access table; nothing where it can be obeyed. `classes` are the names of restriction classes.
pub(super) fn fault_of(value: &str, classes: &[String]) -> Option<String> {
    let value = value.trim();
    let (word, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
    let needs = |what: &str| Some(format!("{word} needs {what} behind it"));
    match word.to_ascii_uppercase().as_str() {
        "" => Some("an action is missing".to_owned()),
        "DUNNO" | "OK" | "RELAY" | "REJECT" | "DEFER" | "DEFER_IF_PERMIT" | "DEFER_IF_REJECT" | "HOLD"
        | "DISCARD" | "WARN" | "INFO" => None,
        "FILTER" if rest.trim().split_once(':').is_none_or(|(transport, _)| transport.is_empty()) => {
            needs("transport:destination")
        }
        "REDIRECT" | "BCC" if parse_address(rest.trim()).is_none_or(|to| to.domain().is_empty()) => {
            needs("user@domain")
        }
        "PREPEND" if !rest.contains(':') => needs("a header field"),
        "FILTER" | "REDIRECT" | "BCC" | "PREPEND" => None,
        _ if value.bytes().all(|b| b.is_ascii_digit()) || is_code(word) => None,
        _ => compile(value, Some(Subject::Client), classes).into_iter().find_map(|rule| match rule {
            Rule::Mistake(why) => Some(why),
            _ => None,
        }),
    }
}

/// `4NN`, `5NN`.
fn is_code(word: &str) -> bool {
    word.len() == 3 && word.starts_with(['4', '5']) && word.bytes().all(|b| b.is_ascii_digit())
}

/// Status and text of a refusal that a table words: its own status, fitted to what it is about, or the default.
fn told(rest: &str, default_status: &str, default_text: &str, about: &About) -> (String, String) {
    let (status, text) = split_status(rest);
    let status = status.unwrap_or_else(|| default_status.to_owned());
    let text = if text.is_empty() { default_text } else { text };
    (fitted(&status, about.class), format!("<{}>: {} rejected: {text}", about.name, about.class))
}

/// One table may serve for senders, recipients and hosts: `x.1.y` says of a sender what it says of a recipient.
pub(super) fn fitted(status: &str, class: &str) -> String {
    let Some((severity, "1", detail)) = split3(status) else { return status.to_owned() };
    let detail = match (class, detail) {
        ("Sender address", "1" | "3" | "4" | "6") => "7",
        ("Sender address", "2") => "8",
        ("Sender address", "5") => "0",
        ("Recipient address", "7") => "3",
        ("Recipient address", "8") => "2",
        ("Sender address" | "Recipient address", _) => return status.to_owned(),
        (_, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8") => return format!("{severity}.0.0"),
        _ => return status.to_owned(),
    };
    format!("{severity}.1.{detail}")
}

fn split3(status: &str) -> Option<(&str, &str, &str)> {
    let (severity, rest) = status.split_once('.')?;
    let (subject, detail) = rest.split_once('.')?;
    Some((severity, subject, detail))
}
