//! Debian's Postfix and Postrider, each in a world of its own, with the same configuration directory, names, peers and clients; and
//! what differs between what could be seen of them.
//!
//! A file of `corpus/differential` is one configuration and its situations. Both servers play all of it at the same time. What
//! is compared, for each situation, are lines: the client's transcript, the log, what the peers heard and took, what lies in mailboxes,
//! and the queue (`observe`). What must differ and what is never the same is made equal first, by one table (`normal`).

pub mod addresses;
pub mod command;
pub mod compare;
pub mod corpus;
pub mod normal;
pub mod observe;
pub mod play;
pub mod site;

use crate::Scratch;
use crate::names::Names;
use crate::server::{Answer, Server};
use corpus::{Peer, Rule, Setting};
use observe::{Observation, Party};
use site::{Kind, Running, Site};
use std::path::Path;

/// Plays a file with both servers and compares.
///
/// # Panics
/// When something differs that the file does not list, or does not differ although the file lists it, or when Postfix does not
/// do what a situation says it must: the text shows all of it.
pub fn compare(name: &str) {
    let mut everywhere = compare::Everywhere::read(name);
    let setting = corpus::read(name);
    let scratch = Scratch::new(&format!("differential-{name}"));
    let site = Site::write(&setting, scratch.path());
    let [reference, ours] = std::thread::scope(|scope| {
        [Kind::Postfix, Kind::Postrider]
            .map(|kind| {
                scope.spawn({
                    let (site, setting) = (&site, &setting);
                    move || observation(site, setting, kind)
                })
            })
            .map(|thread| thread.join().unwrap_or_else(|_| panic!("see above")))
    });
    if std::env::var_os("SHOW").is_some() {
        for situation in &setting.situations {
            println!("== {}\n{}\n", situation.title, reference.lines(situation.number).join("\n"));
        }
    }
    let faults: Vec<String> = setting
        .situations
        .iter()
        .filter_map(|situation| {
            compare::fault(
                situation,
                &mut everywhere,
                reference.lines(situation.number),
                ours.lines(situation.number),
            )
        })
        .collect();
    let unseen = everywhere.unseen();
    assert!(
        faults.is_empty() && unseen.is_empty(),
        "{} of {} situations of {name}:\n\n{}\nno longer seen: {unseen:#?}",
        faults.len(),
        setting.situations.len(),
        faults.join("\n\n")
    );
}

/// Plays all situations with one server, in a world that ends with this thread.
fn observation(site: &Site, setting: &Setting, kind: Kind) -> Observation {
    crate::world::enter(&site.own(kind), &site.state());
    crate::world::bind(&site.config(), Path::new(site::CONFIG));
    crate::world::add_users(&site.own(kind), &site.passwd(setting));
    let names = Names::start_at("127.0.0.1:53");
    let mut peers = Vec::new();
    let stages = setting.situations.iter().map(|situation| (situation.number, &situation.stage));
    for (number, stage) in stages.chain([(0, &setting.common)]) {
        stage.names.iter().for_each(|line| names.line(line));
        for peer in &stage.peers {
            peers.push(Party { situation: number, name: peer.name.clone(), server: serve(peer) });
        }
    }
    let running = Running::start(site, kind);
    let mut played = Observation::default();
    for situation in &setting.situations {
        if situation.has_client() {
            let client = client(situation);
            played.begin(situation.number, Some(&client));
            for line in play::play(situation, &client) {
                played.add(situation.number, format!("client   {line}"));
            }
        } else {
            played.begin(situation.number, None);
            command::play(situation, &running, &mut played);
        }
    }
    observe::wait_until_settled(&running, &played);
    observe::collect(&running, &peers, &mut played);
    played
}

/// A client's address: given, or one of a friend, or of a stranger.
fn client(situation: &corpus::Situation) -> String {
    let number = situation.number;
    match situation.from.as_deref() {
        None => format!("10.0.0.{number}"),
        Some("stranger") => format!("198.51.100.{number}"),
        Some(address) => address.to_owned(),
    }
}

fn serve(peer: &Peer) -> Server {
    let rules = peer.rules.clone();
    Server::scripted_at(&peer.address, move |line, before| {
        rules.iter().find(|rule| fits(rule, line, before)).map_or(Answer::Usual, answer)
    })
}

fn fits(rule: &Rule, line: &str, before: usize) -> bool {
    let verb = line.split([' ', ':']).next().unwrap_or_default();
    verb.eq_ignore_ascii_case(&rule.verb)
        && rule.number.is_none_or(|number| number == before + 1)
        && rule.with.as_ref().is_none_or(|with| line.contains(with))
}

fn answer(rule: &Rule) -> Answer {
    match rule.reply.as_str() {
        "[close]" => Answer::Hangup,
        "[silence]" => Answer::Silence,
        "[take and close]" => Answer::TakeAndHangup,
        "[reply and close]" => Answer::ReplyAndHangup,
        "[tls]" => Answer::Secure,
        "[no tls]" => Answer::SecureBadly,
        text => Answer::Say(format!("{}\r\n", String::from_utf8_lossy(&play::octets(text)))),
    }
}
