//! Commands for the queue: `queue`, `postqueue`, `mailq`, `postsuper`, `postcat`.

use super::{Failure, Setup, ask, print};
use crate::control::{Reply, Request};
use postrider_core::mail::{Listing, Order, QueueId, QueueName, Selection};
use std::fmt::Write as _;
use std::io::Write as _;

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(64, text.into())
}

fn id(text: &str) -> Result<QueueId, Failure> {
    text.parse().map_err(|_| usage(format!("{text} is not a queue id; see the list for their form")))
}

/// `postrider queue VERB …`.
///
/// # Errors
/// What went wrong.
pub fn run(arguments: &[String], setup: &Setup) -> Result<(), Failure> {
    let json = arguments.iter().any(|argument| argument == "--json");
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| *word != "--json").collect();
    match words[..] {
        [] | ["list"] => list(setup, Selection::All(None), if json { Form::Json } else { Form::Text }),
        ["list", queue] => {
            list(setup, Selection::All(Some(queue_name(queue)?)), if json { Form::Json } else { Form::Text })
        }
        ["show", text] => show(setup, id(text)?, Parts::ALL, json),
        ["flush"] => order(setup, Order::Flush(Selection::All(None)), "scheduled for delivery", json),
        ["flush", what] => order(setup, Order::Flush(site_or_id(what)), "scheduled for delivery", json),
        [verb @ ("hold" | "release" | "requeue" | "delete"), ref targets @ ..] if !targets.is_empty() => {
            for target in targets {
                let (make, done) = verb_of(verb);
                order(setup, make(selection(target)?), done, json)?;
            }
            Ok(())
        }
        _ => Err(usage(
            "usage: postrider queue [--json] list [QUEUE] | show ID | flush [ID|DOMAIN] | \
             hold|release|requeue|delete ID…|ALL|QUEUE",
        )),
    }
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
    serde_json::from_value(serde_json::Value::String(text.to_ascii_lowercase()))
        .map_err(|_| usage(format!("{text} is no queue; there are incoming, active, deferred, hold, corrupt")))
}

fn selection(text: &str) -> Result<Selection, Failure> {
    if text == "ALL" {
        return Ok(Selection::All(None));
    }
    if let Ok(id) = text.parse() {
        return Ok(Selection::Id(id));
    }
    queue_name(text).map(|queue| Selection::All(Some(queue))).map_err(|_| {
        usage(format!("{text} is neither a queue id, nor a queue (incoming, active, deferred, hold), nor ALL"))
    })
}

fn site_or_id(text: &str) -> Selection {
    text.parse().map_or_else(|_| Selection::Site(text.to_owned()), Selection::Id)
}

fn order(setup: &Setup, order: Order, done: &str, json: bool) -> Result<(), Failure> {
    let count = carry_out(setup, order)?;
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

fn list(setup: &Setup, selection: Selection, form: Form) -> Result<(), Failure> {
    let mut listings = 0u64;
    let mut octets = 0u64;
    ask(setup, &Request::Order(Order::List(selection)), |reply| {
        let Reply::Listing(listing) = reply else { return Ok(()) };
        if form == Form::Json {
            let line = serde_json::to_string(&listing).map_err(|error| Failure::new(75, error.to_string()))?;
            return print(&format!("{line}\n"));
        }
        if listings == 0 {
            print("-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n")?;
        }
        listings += 1;
        octets += listing.message_size;
        print(&text_of(&listing))
    })?;
    if form == Form::Json {
        return Ok(());
    }
    if listings == 0 {
        return print("Mail queue is empty\n");
    }
    let plural = if listings == 1 { "" } else { "s" };
    print(&format!("-- {} Kbytes in {listings} Request{plural}.\n", octets / 1024))
}

/// The form of postqueue(1) -p: `*` active, `!` on hold.
fn text_of(listing: &Listing) -> String {
    let mark = match listing.queue_name {
        QueueName::Active => '*',
        QueueName::Hold => '!',
        _ => ' ',
    };
    let time = jiff::Timestamp::from_second(listing.arrival_time)
        .map(|at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S").to_string())
        .unwrap_or_default();
    let sender = if listing.sender.is_empty() { "MAILER-DAEMON" } else { &listing.sender };
    let mut text = format!("{}{mark} {:>8} {time}  {sender}\n", listing.queue_id, listing.message_size);
    let mut reason = None;
    for recipient in &listing.recipients {
        // A reason stands once in front of the recipients that share it.
        if recipient.delay_reason != reason {
            if let Some(why) = &recipient.delay_reason {
                _ = writeln!(text, "{:>width$}({why})", "", width = 8usize.saturating_sub(why.len() % 8));
            }
            reason.clone_from(&recipient.delay_reason);
        }
        _ = writeln!(text, "{:41}{}", "", recipient.address);
    }
    text.push('\n');
    text
}

/// `mailq`.
///
/// # Errors
/// What went wrong.
pub fn mailq(setup: &Setup) -> Result<(), Failure> {
    list(setup, Selection::All(None), Form::Text)
}

/// `postqueue -p | -j | -f | -i ID | -s SITE`.
///
/// # Errors
/// What went wrong.
pub fn postqueue(arguments: &[String], setup: &Setup) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["-p"] => mailq(setup),
        ["-j"] => list(setup, Selection::All(None), Form::Json),
        ["-f"] => carry_out(setup, Order::Flush(Selection::All(None))).map(drop),
        ["-i", text] => match carry_out(setup, Order::Flush(Selection::Id(id(text)?)))? {
            0 => Err(Failure::new(69, format!("postqueue: no message {text} is deferred"))),
            _ => Ok(()),
        },
        ["-s", site] => carry_out(setup, Order::Flush(Selection::Site(site.to_owned()))).map(drop),
        _ => Err(usage("usage: postqueue -f | -p | -j | -i QUEUEID | -s SITE")),
    }
}

/// `postsuper -d|-h|-H|-r ID|ALL [QUEUE]…`; `-` reads ids from standard input.
///
/// # Errors
/// What went wrong.
pub fn postsuper(arguments: &[String], setup: &Setup) -> Result<(), Failure> {
    let mut rest = arguments.iter().peekable();
    let mut orders: Vec<(char, String)> = Vec::new();
    let mut queues = Vec::new();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "-d" | "-h" | "-H" | "-r" => {
                let letter = argument.chars().nth(1).unwrap_or('d');
                let target = rest.next().ok_or_else(|| usage(format!("postsuper: {argument} needs a queue id or ALL")))?;
                orders.push((letter, target.clone()));
            }
            "-v" | "-p" | "-s" | "-S" => {}
            queue if !queue.starts_with('-') => queues.push(queue_name(queue)?),
            other => {
                return Err(usage(format!(
                    "postsuper: unknown option {other}; usage: postsuper -d|-h|-H|-r QUEUEID|ALL|- [QUEUE]…"
                )));
            }
        }
    }
    for (letter, target) in orders {
        super_order(setup, letter, &target, &queues)?;
    }
    Ok(())
}

fn super_order(setup: &Setup, letter: char, target: &str, queues: &[QueueName]) -> Result<(), Failure> {
    let (make, done): (MakeOrder, &str) = match letter {
        'h' => (Order::Hold, "Placed on hold"),
        'H' => (Order::Release, "Released from hold"),
        'r' => (Order::Requeue, "Requeued"),
        _ => (Order::Delete, "Deleted"),
    };
    let selections = match target {
        "ALL" if queues.is_empty() => vec![Selection::All(None)],
        "ALL" => queues.iter().map(|queue| Selection::All(Some(*queue))).collect(),
        "-" => std::io::stdin()
            .lines()
            .map_while(Result::ok)
            .map(|line| id(line.trim()).map(Selection::Id))
            .collect::<Result<_, _>>()?,
        text => vec![Selection::Id(id(text)?)],
    };
    let mut count = 0;
    for selection in selections {
        count += carry_out(setup, make(selection))?;
    }
    let plural = if count == 1 { "" } else { "s" };
    if count > 0 {
        eprintln!("postsuper: {done}: {count} message{plural}");
    }
    Ok(())
}

/// Which parts of a message to show.
#[derive(Clone, Copy)]
struct Parts {
    envelope: bool,
    header: bool,
    body: bool,
}

impl Parts {
    const ALL: Self = Self { envelope: true, header: true, body: true };
}

/// `postcat [-e] [-h] [-b] -q ID…`.
///
/// # Errors
/// What went wrong.
pub fn postcat(arguments: &[String], setup: &Setup) -> Result<(), Failure> {
    let mut parts = Parts { envelope: false, header: false, body: false };
    let mut ids = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "-q" | "-v" | "-o" => {}
            "-e" => parts.envelope = true,
            "-h" => parts.header = true,
            "-b" => parts.body = true,
            "-bh" | "-hb" => (parts.body, parts.header) = (true, true),
            other if other.starts_with('-') => {
                return Err(usage(format!("postcat: unknown option {other}; usage: postcat [-ebh] -q QUEUEID…")));
            }
            text => ids.push(id(text)?),
        }
    }
    if !(parts.envelope || parts.header || parts.body) {
        parts = Parts::ALL;
    }
    if ids.is_empty() {
        return Err(usage("usage: postcat [-ebh] -q QUEUEID…"));
    }
    ids.into_iter().try_for_each(|id| show(setup, id, parts, false))
}

fn show(setup: &Setup, id: QueueId, parts: Parts, json: bool) -> Result<(), Failure> {
    let mut content = Vec::new();
    let mut envelope = Vec::new();
    ask(setup, &Request::Show(id), |reply| {
        match reply {
            Reply::Envelope(lines) => envelope = lines,
            Reply::Content(octets) => content.extend_from_slice(&octets),
            _ => {}
        }
        Ok(())
    })?;
    if json {
        let object = serde_json::json!({
            "queue_id": id.to_string(),
            "envelope": envelope,
            "content": String::from_utf8_lossy(&content),
        });
        return print(&format!("{object}\n"));
    }
    if parts.envelope {
        print(&format!("*** ENVELOPE RECORDS {id} ***\n"))?;
        for (name, value) in &envelope {
            print(&format!("{name}: {value}\n"))?;
        }
    }
    let text: Vec<u8> = content.iter().copied().filter(|octet| *octet != b'\r').collect();
    let split = text.windows(2).position(|pair| pair == b"\n\n").map_or(text.len(), |at| at + 1);
    let headings = parts.envelope;
    if headings {
        print(&format!("*** MESSAGE CONTENTS {id} ***\n"))?;
    }
    let mut out = std::io::stdout().lock();
    let shown = [(parts.header, &text[..split]), (parts.body, &text[split..])];
    for (_, part) in shown.iter().filter(|(wanted, _)| *wanted) {
        out.write_all(part).map_err(|error| Failure::new(74, format!("standard output: {error}")))?;
    }
    drop(out);
    if headings { print(&format!("*** MESSAGE FILE END {id} ***\n")) } else { Ok(()) }
}
