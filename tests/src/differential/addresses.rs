//! Row S12 of the attacks: thousands of odd addresses, and whom each server takes each of them for.
//!
//! Every address carries its number in `ORCPT`, which a next hop is told: so what arrives there names who was meant.

use super::corpus::Setting;
use super::site::{Kind, Running, Site};
use crate::names::Names;
use crate::server::{Answer, Server};
use crate::wait_for;
use postrider_core::prng::Prng;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// Recipients of one message.
const BATCH: usize = 500;
/// The next hop of all mail.
const HOP: &str = "192.0.2.10:25";

/// Shapes: `#` is a number of its own, so that no two addresses are the same; `~` is where something odd may stand.
const SHAPES: &[&str] = &[
    "u#@~x.test",
    "u#~@x.test",
    "~u#@x.test",
    "\"u#~\"@x.test",
    "u#@x.test~",
    "@a.test:u#~@x.test",
    "@a.test,@b.test:u#@x.test~",
    "u#%y.test~@x.test",
    "y.test!u#~@x.test",
    "u#@[192.0.2.77~]",
    "u#~",
    "\"u#@y.test\"~@x.test",
    "u#@y.test@~x.test",
    "<u#@x.test>~",
    "u#(~)@x.test",
    "u#@x.test,v#@y.test~",
    "u.#~.v@x.test",
    "u#~@x..test",
    "u#@X.TEST.~",
    "u+#~@x.test",
];

/// What makes an address odd.
const ODD: &[&str] = &[
    "", "", "", ".", "..", "@", "%", "!", ":", ";", ",", "<", ">", "(", ")", "(a(b)c)", "[", "]", "\"", "\\",
    "\\\\", "\\@", " ", "  ", "\t", "-", "_", "'", "`", "|", "$x", "&", "*", "#x", "=", "?", "^", "{}", "~",
    "/", "/../", "%z.test", "@z.test", "!z", "<>", "\"\"", "\"a b\"", "+x", "\u{7f}", "\u{1}", "0x41",
];

/// Shapes of the last ones: `~` is a comment in comments, a hundred deep.
const COMMENTED: [&str; 4] = ["~u#@x.test", "u#~@x.test", "u#@~x.test", "u#@x.test~"];

/// So many addresses, always the same.
#[must_use]
pub fn generated(count: usize) -> Vec<String> {
    let mut chance = Prng::new(12);
    let mut pick =
        |list: &[&'static str]| list[usize::try_from(chance.below(list.len() as u64)).unwrap_or_default()];
    let first = count - COMMENTED.len();
    let comment = format!("{}x{}", "(".repeat(100), ")".repeat(100));
    let shaped =
        |shape: &str, number: usize, odd: &str| shape.replace('#', &number.to_string()).replace('~', odd);
    (0..first)
        .map(|number| {
            let odd = format!("{}{}", pick(ODD), pick(ODD));
            shaped(pick(SHAPES), number, &odd)
        })
        .chain(COMMENTED.into_iter().zip(first..).map(|(shape, number)| shaped(shape, number, &comment)))
        .collect()
}

/// What makes an address one that Postfix takes for something and we refuse: words of `docs/differences.md`.
pub const CLASSES: [&str; 8] = [
    "control characters",
    "comments and parentheses",
    "backslashes outside of quotes",
    "blanks outside of quotes",
    "special characters outside of quotes",
    "more than one `@`",
    "quoted strings joined to other words",
    "nothing beside a `!` or `%`",
];

/// The first class that an address belongs to, if it is in any.
#[must_use]
pub fn class(address: &str) -> Option<&'static str> {
    // A source route is read, and its colon, commas and signs are none of the local part.
    let behind_route = if address.starts_with("@a.test") { address.split_once(':') } else { None };
    let (_, text) = behind_route.unwrap_or(("", address));
    let (mut bare, mut quoted, mut escaped, mut joined) = (String::new(), false, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                // A mark where a quoted string stands.
                if quoted {
                    bare.push('"');
                }
            }
            _ if quoted => {}
            c => bare.push(c),
        }
    }
    for (at, _) in bare.match_indices('"') {
        joined |= at > 0 || !bare[at + 1..].starts_with('@');
    }
    // And nothing behind the `@`, if there is one.
    let beside = |mark: char| {
        let is_bare = bare.contains(mark) && bare.ends_with('@');
        bare.starts_with(mark) || bare.ends_with(mark) || bare.contains(&format!("{mark}@")) || is_bare
    };
    let holds = [
        address.chars().any(char::is_control),
        bare.contains(['(', ')']),
        bare.contains('\\'),
        bare.contains(' '),
        bare.contains([',', ';', ':', '<', '>', '[', ']']),
        bare.matches('@').count() > 1,
        joined,
        beside('!') || beside('%'),
    ];
    CLASSES.into_iter().zip(holds).find(|(_, holds)| *holds).map(|(class, _)| class)
}

/// Whom the next hop was given for each number, by one server in a world of its own.
#[must_use]
pub fn delivered(name: &str, addresses: &[String]) -> [BTreeMap<usize, String>; 2] {
    let setting = Setting { name: name.to_owned(), main_cf: main_cf(), ..Setting::default() };
    let scratch = crate::Scratch::new(name);
    let site = Site::write(&setting, scratch.path());
    std::thread::scope(|scope| {
        [Kind::Postfix, Kind::Postrider]
            .map(|kind| {
                let site = &site;
                scope.spawn(move || by(site, kind, addresses))
            })
            .map(|thread| thread.join().unwrap_or_else(|_| panic!("see above")))
    })
}

fn main_cf() -> Vec<String> {
    let lines = [
        "local_recipient_maps =",
        "local_transport = smtp:[192.0.2.10]",
        "default_transport = smtp:[192.0.2.10]",
        "smtpd_hard_error_limit = 1000000",
        "smtpd_soft_error_limit = 1000000",
        // Reports are of no interest here.
        "bounce_queue_lifetime = 0",
    ];
    lines.map(str::to_owned).to_vec()
}

fn by(site: &Site, kind: Kind, addresses: &[String]) -> BTreeMap<usize, String> {
    crate::world::enter(&site.own(kind), &site.state());
    let _names = Names::start_at("127.0.0.1:53");
    let hop = Server::scripted_at(HOP, |_, _| Answer::Usual);
    let running = Running::start(site, kind);
    for (batch, chunk) in addresses.chunks(BATCH).enumerate() {
        submit(batch * BATCH, chunk);
    }
    wait_for("all mail to leave", || {
        let rests = |entry: &serde_json::Value| entry["queue_name"] == "deferred";
        (running.queue().iter().all(rests) && hop.open() == 0).then_some(())
    });
    let taken = hop.taken().into_iter().flat_map(|message| message.recipients);
    let number = |line: &str| {
        let (address, rest) = line.rsplit_once(" ORCPT=rfc822;n")?;
        let digits = rest.split(' ').next()?.split('@').next()?;
        Some((digits.parse::<usize>().ok()?, address.to_owned()))
    };
    taken.filter_map(|line| number(&line)).collect()
}

/// One message to all of them, from the null sender: what is refused later is nobody's business.
fn submit(first: usize, addresses: &[String]) {
    let stream = super::play::connect_from(
        "10.0.0.1",
        format!("{}:25", crate::world::SERVER).parse().expect("an address"),
    );
    let mut stream = BufReader::new(stream);
    let mut say = |text: &str, replies: usize| {
        stream.get_mut().write_all(text.as_bytes()).expect("the server reads");
        (0..replies).map(|_| reply(&mut stream)).collect::<Vec<_>>()
    };
    // Who does not wait for the greeting is refused.
    _ = say("", 1);
    _ = say("EHLO client.test\r\n", 1);
    _ = say("MAIL FROM:<>\r\n", 1);
    for (place, address) in addresses.iter().enumerate() {
        let line = format!("RCPT TO:<{address}> NOTIFY=NEVER ORCPT=rfc822;n{}@x\r\n", first + place);
        _ = say(&line, 1);
    }
    _ = say("DATA\r\n", 1);
    _ = say("Subject: addresses\r\n\r\nbody\r\n.\r\n", 1);
    _ = say("QUIT\r\n", 1);
}

fn reply(stream: &mut BufReader<TcpStream>) -> String {
    loop {
        let mut line = String::new();
        let count = stream.read_line(&mut line).expect("the server answers");
        if count == 0 || line.as_bytes().get(3) != Some(&b'-') {
            return line;
        }
    }
}
