//! Facts and effects, for people.

use postrider_core::ask::{Answer, DnsRecord, Question};
use postrider_core::inbound::Effect;
use postrider_core::mail::{Outcome, Route};
use postrider_core::manager::{Input, Output};
use postrider_core::recording::SessionFact;
use std::ops::Range;

/// Letters of one line of a client that are shown.
const SHOWN_MAX: usize = 200;
/// Lines of one stimulus that are shown.
const LINES_MAX: usize = 20;

fn shown(text: &str) -> String {
    let mut text: String = text.chars().take(SHOWN_MAX + 1).collect();
    if text.chars().count() > SHOWN_MAX {
        text.pop();
        text.push('…');
    }
    text
}

/// What a session was told. `heard`: from where on octets were not understood before, and which of them proved to be content.
pub(super) fn session_fact(
    fact: &SessionFact,
    octets: &[u8],
    heard: (u64, &[Range<u64>]),
    asked: &str,
) -> String {
    match fact {
        SessionFact::Bytes(_) => said(octets, heard),
        SessionFact::Closed => "the connection is closed".to_owned(),
        SessionFact::Secured(tls) => format!("TLS is on: {} {}", tls.protocol, tls.cipher),
        SessionFact::TlsFailed(why) => format!("TLS failed: {why}"),
        SessionFact::Answer(answer) => format!("{asked}: {}", self::answer(answer)),
        SessionFact::Identified(id) => format!("the message is called {id}"),
        SessionFact::Committed(Ok(())) => "the message is durable".to_owned(),
        SessionFact::Committed(Err(why)) => format!("the message could not be made durable: {why:?}"),
        SessionFact::Drain => "the daemon stops".to_owned(),
        SessionFact::Crowded => "there is no memory for the content".to_owned(),
        SessionFact::Time => "time passes".to_owned(),
    }
}

fn said(octets: &[u8], (understood, content): (u64, &[Range<u64>])) -> String {
    let size: u64 = content.iter().map(|range| range.end - range.start).sum();
    let words = |octets: &[u8]| {
        let text = String::from_utf8_lossy(octets).into_owned();
        let lines: Vec<String> = text.lines().map(shown).collect();
        let more = lines.len().saturating_sub(LINES_MAX);
        let mut words = lines.get(..LINES_MAX).unwrap_or(&lines).join(" ⏎ ");
        if more > 0 {
            words += &format!(" … and {more} lines");
        }
        words
    };
    let Some(first) = content.first() else { return format!("> {}", words(octets)) };
    // Octets that waited were told of when they came; of those that came now the content is behind the commands.
    let before = usize::try_from(first.start.saturating_sub(understood)).unwrap_or(0).min(octets.len());
    let commands = words(octets.get(..before).unwrap_or_default());
    let space = if commands.is_empty() { "" } else { " ⏎ " };
    format!("> {commands}{space}({size} octets of content)")
}

/// A question.
pub(super) fn question(question: &Question) -> String {
    match question {
        Question::Lookup { table, key } => format!("table {} for {key}", table.0),
        Question::Resolve { name, kind } => format!("{kind:?} of {name}"),
        Question::ListedHost { name } => format!("the addresses of {name} in the hosts file"),
        Question::ListedName { address } => format!("the name of {address} in the hosts file"),
        Question::FreeSpace => "the room in the queue's file system".to_owned(),
    }
}

fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Lookup(Ok(Some(value))) => format!("\"{value}\""),
        Answer::Lookup(Ok(None)) => "not there".to_owned(),
        Answer::Lookup(Err(failure)) => format!("it can not answer: {}", failure.why),
        Answer::Resolve(Ok(found)) => found.records.iter().map(record).collect::<Vec<_>>().join(", "),
        Answer::Resolve(Err(why)) => format!("{why:?}"),
        Answer::ListedHost(Ok(addresses)) if addresses.is_empty() => "not there".to_owned(),
        Answer::ListedName(Ok(None)) => "not there".to_owned(),
        Answer::ListedHost(Ok(addresses)) => format!("{addresses:?}"),
        Answer::ListedName(Ok(Some(name))) => name.clone(),
        Answer::ListedHost(Err(why)) | Answer::ListedName(Err(why)) => format!("it can not be read: {why}"),
        Answer::FreeSpace(octets) => format!("{octets} octets"),
    }
}

fn record(record: &DnsRecord) -> String {
    match record {
        DnsRecord::A(address) => address.to_string(),
        DnsRecord::Aaaa(address) => address.to_string(),
        DnsRecord::Mx { preference, exchange } => format!("{preference} {exchange}"),
        DnsRecord::Ptr(name) => name.clone(),
        DnsRecord::Txt(text) => String::from_utf8_lossy(text).into_owned(),
    }
}

/// What a session put out, where it is of interest.
pub(super) fn effect(effect: &Effect) -> Vec<String> {
    match effect {
        Effect::Send(octets) => {
            String::from_utf8_lossy(octets).lines().map(|line| format!("< {}", shown(line))).collect()
        }
        Effect::Ask(question) => vec![format!("asks: {}", self::question(question))],
        Effect::Event(event) => vec![format!("log: {}", event.text())],
        Effect::Commit(message) => vec![format!("makes {} durable", message.id)],
        Effect::StartTls => vec!["starts TLS".to_owned()],
        Effect::Close => vec!["closes the connection".to_owned()],
        Effect::Unstage => vec!["throws the content away".to_owned()],
        Effect::Notice(_) => vec!["tells the postmaster".to_owned()],
        Effect::Identify | Effect::Stage(_) => Vec::new(),
    }
}

/// What the manager was told.
pub(super) fn manager_fact(input: Option<&Input>) -> String {
    let Some(input) = input else { return "time passes".to_owned() };
    match input {
        Input::Recovered(summary) => format!("{} was on disk at the start", summary.id),
        Input::Ready => "the queue is read".to_owned(),
        Input::Committed(message) => {
            let (sender, count) = (message.envelope.sender.external(), message.envelope.recipients.len());
            format!("{} is durable: from <{sender}>, recipients: {count}", message.id)
        }
        Input::Loaded(id, Ok(Some(_))) => format!("{id} is loaded"),
        Input::Loaded(id, Ok(None)) => format!("{id} is gone"),
        Input::Loaded(id, Err(why)) => format!("{id} can not be read: {why}"),
        Input::Routed(id, Ok(routes)) => {
            let routes: Vec<String> = routes.iter().map(|(number, route)| routed(*number, route)).collect();
            format!("{id} is routed: {}", routes.join(", "))
        }
        Input::Routed(id, Err(why)) => format!("{id} can not be routed: {why}"),
        Input::Settled(settled) => {
            let outcomes: Vec<String> =
                settled.outcomes.iter().map(|(number, outcome)| outcome_words(*number, outcome)).collect();
            format!("attempt {} has ended: {}", settled.id.0, outcomes.join(", "))
        }
        Input::Appended(ticket, Ok(())) => format!("write {} is on disk", ticket.0),
        Input::Appended(ticket, Err(why)) => format!("write {} was refused: {why:?}", ticket.0),
        Input::Reported(id, Ok(())) => format!("a report about {id} is durable"),
        Input::Reported(id, Err(why)) => format!("a report about {id} can not be made: {}", why.why()),
        Input::Order(_, order) => format!("an operator orders: {order:?}"),
        Input::Reload(_) => "the configuration is read again".to_owned(),
        Input::Drain => "the daemon stops".to_owned(),
    }
}

fn routed(number: u32, route: &Route) -> String {
    match route {
        Route::To { transport, nexthop, recipient, .. } => {
            format!("recipient {number} <{}> to {transport}:{nexthop}", recipient.external())
        }
        Route::Nowhere(why) => format!("recipient {number} nowhere ({} {})", why.status, why.text),
    }
}

fn outcome_words(number: u32, outcome: &Outcome) -> String {
    let what = match outcome {
        Outcome::Deferred(_) => "deferred",
        Outcome::Failed(_) => "failed",
        Outcome::Delivered { .. } => "delivered",
        Outcome::Expanded(_) => "expanded",
        Outcome::Discarded(_) => "discarded",
    };
    let why = outcome.diagnosis();
    format!("recipient {number} {what} ({} {})", why.status, why.text)
}

/// What the manager put out, where it is of interest.
pub(super) fn output(output: &Output) -> Option<String> {
    Some(match output {
        Output::Load(id) => format!("loads {id}"),
        Output::Route { id, recipients, .. } => {
            format!("asks where {id} goes; recipients: {}", recipients.len())
        }
        Output::Attempt(attempt) => {
            format!(
                "starts attempt {} of {} by {} to {}",
                attempt.id.0, attempt.message, attempt.transport, attempt.nexthop
            )
        }
        Output::Append(ticket, changes) => {
            let changes: Vec<String> = changes.iter().map(|change| change.id().to_string()).collect();
            format!("writes {} about {}", ticket.0, changes.join(", "))
        }
        Output::Report(plan) => {
            format!(
                "has a {} notification about {} made for <{}>",
                plan.kind.word(),
                plan.about.id,
                plan.to.external()
            )
        }
        Output::Ordered(_, result) => format!("tells the operator: {result:?}"),
        Output::Drained => "all attempts have ended".to_owned(),
        Output::Event(event) => format!("log: {}", event.text()),
        Output::Written(_) => return None,
    })
}
