//! What can not be right in a scenario whose every field can be read.

use super::{Destination, How, Outage, Refused, Scenario, line_of};
use std::collections::BTreeSet;

/// Rows of a report that are no destination of a scenario: all together, and names that it does not have.
const TAKEN: [&str; 2] = ["all", "elsewhere"];
/// Machines of a world, with room for what belongs to every world.
const MACHINES_MAX: u64 = 60_000;
/// Messages of one rehearsal: memory and patience.
const MESSAGES_MAX: f64 = 5e6;
/// Recipients of one message: `smtpd_recipient_limit` has it too.
const PER_MESSAGE_MAX: u64 = 1_000;

pub(super) fn judge(scenario: &Scenario, text: &str) -> Result<(), Refused> {
    let about = |header: &str, why: String| {
        let line = text.lines().position(|line| line.trim().starts_with(header)).map(|line| line + 1);
        Err(Refused { line, why })
    };
    if scenario.duration.0.0.is_zero() {
        return about("duration", "duration is 0: nothing would happen".to_owned());
    }
    if scenario.destinations.is_empty() {
        return about("destination", "there is no [[destination]]: mail has nowhere to go".to_owned());
    }
    let workload = &scenario.workload;
    let hours = scenario.duration.0.0.as_secs_f64() / 3_600.0;
    let mean = workload.per_hour.0.iter().sum::<f64>() / 24.0;
    let mailings: f64 =
        workload.mailings.iter().map(|m| f64::from(m.recipients) / f64::from(m.per_message.max(1))).sum();
    if mean * hours + mailings > MESSAGES_MAX {
        let why = format!("about {:.0} messages: at most {MESSAGES_MAX:.0} are rehearsed", mean * hours);
        return about("per_hour", why);
    }
    let recipients = workload.recipients;
    if recipients.least.0 == 0 || recipients.most.0 > PER_MESSAGE_MAX {
        return about("recipients", format!("recipients of a message are 1 to {PER_MESSAGE_MAX}"));
    }
    for mailing in &workload.mailings {
        if mailing.per_message == 0 || u64::from(mailing.per_message) > PER_MESSAGE_MAX {
            return about("per_message", format!("recipients of a message are 1 to {PER_MESSAGE_MAX}"));
        }
        let known = |name: &String| scenario.destinations.iter().any(|other| other.name.get_ref() == name);
        if let Some(name) = mailing.to.as_ref().filter(|name| !known(name)) {
            return about("to =", format!("there is no [[destination]] named \"{name}\""));
        }
    }
    for outage in &scenario.dns.outage {
        let fits = matches!(outage.how, How::Dns | How::Timeout);
        if let Err(why) = window(outage).and_then(|()| match fits {
            true => Ok(()),
            false => Err("how is \"dns\" (SERVFAIL) or \"timeout\" where name servers are down".to_owned()),
        }) {
            return about("[[dns.outage]]", why);
        }
    }
    destinations(scenario, text)
}

fn destinations(scenario: &Scenario, text: &str) -> Result<(), Refused> {
    let (mut names, mut domains) = (BTreeSet::new(), BTreeSet::new());
    let mut machines = 0;
    for destination in &scenario.destinations {
        let line = Some(line_of(text, destination.name.span().start));
        let name = destination.name.get_ref();
        let wrong = |why: String| Err(Refused { line, why: format!("destination \"{name}\": {why}") });
        if !names.insert(name) {
            return wrong("another one has this name".to_owned());
        }
        if TAKEN.contains(&name.as_str()) {
            return wrong("reports have a row of this name anyhow; call it something else".to_owned());
        }
        if let Err(why) = one(destination) {
            return wrong(why);
        }
        for domain in destination.all_domains() {
            if !domains.insert(domain.clone()) {
                return wrong(format!("{domain} belongs to another one, or stands twice"));
            }
        }
        let hosts: u64 = destination.mx.iter().map(|mx| u64::from(mx.hosts)).sum();
        machines += hosts * if destination.shared { 1 } else { destination.all_domains().len() as u64 };
        if machines > MACHINES_MAX {
            return wrong(format!("more than {MACHINES_MAX} servers in all; shared = true makes fewer"));
        }
    }
    if scenario.destinations.iter().all(|destination| destination.share == 0.0) {
        return Err(Refused { line: None, why: "no destination has a share of the mail".to_owned() });
    }
    Ok(())
}

fn one(destination: &Destination) -> Result<(), String> {
    if !(0.0..=1e9).contains(&destination.share) || !(0.0..=5.0).contains(&destination.skew) {
        return Err("share is 0 or more, skew is 0 to 5".to_owned());
    }
    if !(0.0..=1e6).contains(&destination.rate) {
        return Err("rate is messages a second, 0 for any".to_owned());
    }
    let numbered = destination.domains.iter().any(|domain| domain.contains("{n}"));
    if destination.domains.is_empty() || destination.domains.iter().any(|domain| !is_domain(domain)) {
        return Err("domains is a list such as [\"example.com\"] or [\"shop{n}.test\"]".to_owned());
    }
    if numbered != (destination.count > 1) && !(numbered && destination.count == 1) {
        return Err("count goes with {n} in the name of a domain".to_owned());
    }
    if destination.count == 0 {
        return Err("count is 1 or more".to_owned());
    }
    if destination.mx.is_empty() || destination.mx.iter().any(|mx| mx.hosts == 0) {
        return Err("mx is a list such as [{ preference = 10, hosts = 2 }]".to_owned());
    }
    if destination.too_many == super::Beyond::Later {
        return Err("too_many is \"wait\" or \"421\"".to_owned());
    }
    for outage in &destination.outage {
        window(outage)?;
        let has = |preference| destination.mx.iter().any(|mx| mx.preference == preference);
        if let Some(preference) = outage.preference.filter(|preference| !has(*preference)) {
            return Err(format!("an outage of preference {preference}, which no exchanger has"));
        }
    }
    Ok(())
}

fn is_domain(text: &str) -> bool {
    let plain = text.replacen("{n}", "1", 1);
    let fine = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    plain.len() <= 200 && plain.split('.').all(fine)
}

fn window(outage: &Outage) -> Result<(), String> {
    let (from, to) = (outage.from.0.0, outage.to.0.0);
    if from < to {
        Ok(())
    } else {
        Err(format!("an outage from {from:?} to {to:?}: it ends before it begins"))
    }
}
