//! Commands for the queue: `queue`, `postqueue`, `mailq`, `postsuper`, `postcat`.

use super::client::ask_with_body;
use super::list::{Form, list, list_maildrop};
use super::show::{Parts, as_json, as_text};
use super::{Failure, Setup, ask, print};
use crate::control::{Reply, Request};
use crate::trouble::told;
use postrider_core::mail::{Order, QueueId, QueueName, Selection};
use std::io::{IsTerminal as _, Write as _};

/// EX_USAGE and EX_UNAVAILABLE of sysexits.h.
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;

const QUEUE_USAGE: &str = "usage: postrider queue [-c DIR] [--json] list [QUEUE] | show ID… | flush [ID|DOMAIN] | \
                           hold|release|requeue|delete ID…|ALL|QUEUE|- | \
                           export [--hold] [ID…|ALL|QUEUE|-] > FILE | import < FILE";
const POSTQUEUE_USAGE: &str = "postqueue: fatal: usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site";
const POSTSUPER_USAGE: &str = "postsuper: fatal: usage: postsuper [-c config_dir] [-d queue_id (delete)] \
                               [-h queue_id (hold)] [-H queue_id (un-hold)] [-r queue_id (requeue)] [queue...]";
const POSTCAT_USAGE: &str = "usage: postcat [-c config_dir] [-ebh] -q queue_id...";

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(USAGE, text.into())
}

fn id(text: &str) -> Result<QueueId, Failure> {
    text.parse().map_err(|_| usage(format!("{text} is not a queue id; see the list for their form")))
}

/// A failure of the daemon, in the form in which Postfix's commands speak.
fn fatal(command: &'static str) -> impl Fn(Failure) -> Failure {
    move |failure| match failure.text.as_str() {
        "" => failure,
        text => Failure { text: format!("{command}: fatal: {text}"), ..failure },
    }
}

/// `postrider queue VERB …`.
///
/// # Errors
/// What went wrong.
pub(super) fn run(arguments: &[String], setup: &Setup) -> Result<(), Failure> {
    let json = arguments.iter().any(|argument| argument == "--json");
    let form = if json { Form::Json } else { Form::Text };
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| *word != "--json").collect();
    match words[..] {
        [] | ["list"] => list(setup, Selection::All(None), form),
        ["list", "maildrop"] => list_maildrop(setup, form),
        ["list", what] => {
            list(setup, what.parse().map_or_else(|_| queue_name(what).map(whole), |id| Ok(one(id)))?, form)
        }
        ["show", ref ids @ ..] if !ids.is_empty() => ids.iter().try_for_each(|text| match json {
            true => as_json(setup, id(text)?),
            false => as_text(setup, id(text)?, Parts::ALL),
        }),
        ["export", ref rest @ ..] => export(setup, rest),
        ["import"] => import(setup, json),
        ["flush"] => order(setup, vec![Order::Flush(Selection::All(None))], "scheduled for delivery", json),
        ["flush", what] => order(setup, vec![Order::Flush(site_or_id(what))], "scheduled for delivery", json),
        [verb @ ("hold" | "release" | "requeue" | "delete"), ref targets @ ..] if !targets.is_empty() => {
            let (make, done) = verb_of(verb);
            // All words are understood before the first is obeyed.
            let orders: Result<Vec<Vec<Selection>>, Failure> =
                targets.iter().map(|text| selections(text)).collect();
            order(setup, orders?.into_iter().flatten().map(make).collect(), done, json)
        }
        _ => Err(usage(QUEUE_USAGE)),
    }
}

/// Writes messages to standard output, for `queue import` on another host or later on this one.
fn export(setup: &Setup, words: &[&str]) -> Result<(), Failure> {
    let hold = words.contains(&"--hold");
    let targets: Vec<&str> = words.iter().copied().filter(|word| *word != "--hold").collect();
    let mut chosen = Vec::new();
    for target in &targets {
        chosen.extend(selections(target)?);
    }
    if targets.is_empty() {
        chosen.push(Selection::All(None));
    }
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        return Err(usage("queue export: this is for a file: postrider queue export … > FILE"));
    }
    let closed = |error: std::io::Error| Failure::new(74, format!("standard output: {}", told(&error)));
    ask(setup, &Request::Export(chosen, hold), |reply| {
        match reply {
            Reply::Content(octets) => out.write_all(&octets).map_err(closed)?,
            Reply::Note(text) => eprintln!("queue export: {text}"),
            _ => {}
        }
        Ok(())
    })?;
    out.flush().map_err(closed)
}

/// Takes an export from standard input; tells the old and the new id of each message that is durable here.
fn import(setup: &Setup, json: bool) -> Result<(), Failure> {
    ask_with_body(setup, &Request::Import, std::io::stdin(), |reply| match reply {
        Reply::Imported(before, id) if json => {
            print(&format!("{{\"from\": \"{before}\", \"queue_id\": \"{id}\"}}\n"))
        }
        Reply::Imported(before, id) => print(&format!("{before} {id}\n")),
        _ => Ok(()),
    })
}

const fn one(id: QueueId) -> Selection {
    Selection::Id(id)
}

const fn whole(queue: QueueName) -> Selection {
    Selection::All(Some(queue))
}

type MakeOrder = fn(Selection) -> Order;

fn verb_of(verb: &str) -> (MakeOrder, &'static str) {
    match verb {
        "hold" => (Order::Hold, "placed on hold"),
        "release" => (Order::Release, "released from hold"),
        "requeue" => (Order::Requeue, "requeued"),
        _ => (Order::Delete, "deleted"),
    }
}

fn queue_name(text: &str) -> Result<QueueName, Failure> {
    serde_json::from_value(serde_json::Value::String(text.to_ascii_lowercase())).map_err(|_| {
        usage(format!("{text} is no queue; there are maildrop (to be listed only), incoming, active, deferred, hold, corrupt"))
    })
}

fn selections(text: &str) -> Result<Vec<Selection>, Failure> {
    if text == "ALL" {
        return Ok(vec![Selection::All(None)]);
    }
    if text == "-" {
        return standard_input().map(|line| id(&line).map(one)).collect();
    }
    if let Ok(id) = text.parse() {
        return Ok(vec![one(id)]);
    }
    queue_name(text).map(|queue| vec![whole(queue)]).map_err(|_| {
        usage(format!(
            "{text} is neither a queue id, nor a queue (incoming, active, deferred, hold), nor ALL"
        ))
    })
}

/// Words of standard input, one a line.
fn standard_input() -> impl Iterator<Item = String> {
    let lines = std::io::stdin().lines().map_while(Result::ok);
    lines.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

fn site_or_id(text: &str) -> Selection {
    text.parse().map_or_else(|_| Selection::Site(text.to_owned()), Selection::Id)
}

fn order(setup: &Setup, orders: Vec<Order>, done: &str, json: bool) -> Result<(), Failure> {
    let mut count = 0;
    for order in orders {
        count += carry_out(setup, order)?;
    }
    if json {
        return print(&format!("{{\"messages\": {count}}}\n"));
    }
    let plural = if count == 1 { "" } else { "s" };
    print(&format!("{count} message{plural} {done}\n"))
}

fn carry_out(setup: &Setup, order: Order) -> Result<u64, Failure> {
    let mut count = 0;
    ask(setup, &Request::Order(order), |reply| {
        if let Reply::Done(messages) = reply {
            count += messages;
        }
        Ok(())
    })?;
    Ok(count)
}

/// `mailq`.
///
/// # Errors
/// What went wrong.
pub(super) fn mailq(setup: &Setup) -> Result<(), Failure> {
    list(setup, Selection::All(None), Form::Text).map_err(fatal("mailq"))
}

/// `postqueue -p | -j | -f | -i ID | -s SITE`.
///
/// # Errors
/// What went wrong.
pub(super) fn postqueue(arguments: &[String], setup: &Setup) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| *word != "-v").collect();
    let flush = |selection| carry_out(setup, Order::Flush(selection)).map(drop);
    match words[..] {
        ["-p"] => list(setup, Selection::All(None), Form::Text),
        ["-j"] => list(setup, Selection::All(None), Form::Json),
        ["-f"] => flush(Selection::All(None)),
        // Not there, or not waiting: postqueue(1) is content too.
        ["-i", text] => match text.parse() {
            Ok(id) => flush(Selection::Id(id)),
            Err(_) => {
                Err(Failure::new(UNAVAILABLE, format!("Cannot flush queue ID - invalid name: \"{text}\"")))
            }
        },
        ["-s", site] => flush(Selection::Site(site.to_owned())),
        _ => return Err(usage(POSTQUEUE_USAGE)),
    }
    .map_err(fatal("postqueue"))
}

/// `postsuper -d|-h|-H|-r ID|ALL [QUEUE]…`; `-` reads ids from standard input.
///
/// # Errors
/// What went wrong.
pub(super) fn postsuper(arguments: &[String], setup: &Setup) -> Result<(), Failure> {
    let mut rest = arguments.iter();
    let mut orders: Vec<(char, String)> = Vec::new();
    let mut queues = Vec::new();
    while let Some(argument) = rest.next() {
        let mut letters = argument.strip_prefix('-').unwrap_or_default().chars();
        match letters.next() {
            Some(letter @ ('d' | 'h' | 'H' | 'r')) => {
                let attached = letters.as_str();
                let target =
                    if attached.is_empty() { rest.next().cloned() } else { Some(attached.to_owned()) };
                orders.push((letter, target.ok_or_else(|| usage(POSTSUPER_USAGE))?));
            }
            // The log has neither stray files nor a wrong structure that these would mend.
            Some('v' | 'p' | 's' | 'S') => {}
            Some(_) => return Err(usage(POSTSUPER_USAGE)),
            None => {
                let wrong =
                    |_| Failure::new(1, format!("postsuper: fatal: invalid directory name: {argument}"));
                queues.push(queue_name(argument).map_err(wrong)?);
            }
        }
    }
    let mut counts =
        [('r', "Requeued"), ('d', "Deleted"), ('h', "Placed on hold"), ('H', "Released from hold")]
            .map(|(letter, done)| (letter, done, None));
    for (letter, target) in orders {
        let count = super_order(setup, letter, &target, &queues).map_err(fatal("postsuper"))?;
        for (_, _, sum) in counts.iter_mut().filter(|(other, ..)| *other == letter) {
            *sum = Some(sum.unwrap_or(0) + count);
        }
    }
    for (_, done, sum) in counts {
        if let Some(count) = sum {
            eprintln!("postsuper: {done}: {count} message{}", if count == 1 { "" } else { "s" });
        }
    }
    Ok(())
}

/// Obeys one option; how many messages it was for.
fn super_order(setup: &Setup, letter: char, target: &str, queues: &[QueueName]) -> Result<u64, Failure> {
    let (make, done): (MakeOrder, &str) = match letter {
        'h' => (Order::Hold, "placed on hold"),
        'H' => (Order::Release, "released from hold"),
        'r' => (Order::Requeue, "requeued"),
        _ => (Order::Delete, "removed"),
    };
    if target == "ALL" {
        let selections = match queues {
            [] => vec![Selection::All(None)],
            queues => queues.iter().map(|queue| whole(*queue)).collect(),
        };
        return selections
            .into_iter()
            .try_fold(0, |sum, selection| Ok(sum + carry_out(setup, make(selection))?));
    }
    let mut count = 0;
    let words: Box<dyn Iterator<Item = String>> =
        if target == "-" { Box::new(standard_input()) } else { Box::new(std::iter::once(target.to_owned())) };
    for word in words {
        let Ok(id) = word.parse() else {
            eprintln!("postsuper: warning: invalid mail queue id: {word}");
            continue;
        };
        if carry_out(setup, make(Selection::Id(id)))? > 0 {
            eprintln!("postsuper: {id}: {done}");
            count += 1;
        }
    }
    Ok(count)
}

/// `postcat [-e] [-h] [-b] -q ID…`.
///
/// # Errors
/// What went wrong.
pub(super) fn postcat(arguments: &[String], setup: &Setup) -> Result<(), Failure> {
    let mut parts = Parts::NONE;
    let mut from_queue = false;
    let mut ids = Vec::new();
    for argument in arguments {
        let Some(letters) = argument.strip_prefix('-') else {
            ids.push(id(argument).map_err(fatal("postcat"))?);
            continue;
        };
        for letter in letters.chars() {
            match letter {
                'q' => from_queue = true,
                'e' => parts.envelope = true,
                'h' => parts.header = true,
                'b' => parts.body = true,
                'v' | 'o' | 'd' => {}
                _ => return Err(usage(POSTCAT_USAGE)),
            }
        }
    }
    if parts == Parts::NONE {
        parts = Parts::ALL;
    }
    // There are no queue files to be named without -q.
    if ids.is_empty() || !from_queue {
        return Err(usage(POSTCAT_USAGE));
    }
    ids.into_iter().try_for_each(|id| as_text(setup, id, parts)).map_err(fatal("postcat"))
}
