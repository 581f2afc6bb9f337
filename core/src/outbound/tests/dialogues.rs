//! Plays `corpus/dialogues/client-*.smtp`: each as written, and again with what the server says cut at every octet, octet by
//! octet, and in many random ways; always with the same result.
//!
//! ```text
//! % nexthop example.net           the attempt and the world (see `Script::set`)
//! ! name = value                  a line of main.cf, read as the daemon reads it
//! ?: connect 192.0.2.1:25 ok      we connect; it works (or: refused, timeout, unbound, any other words; silence: nothing comes)
//! S: 220 mx                       the server says a line          S& …: in the same segment as the line before, never cut
//! C: EHLO client.example          we must say exactly this, and nothing more before the server's next line
//! S! close                        the server closes
//! % stuck                         a long content, of which the kernel takes nothing
//! % breaks words                  the content can not be read behind its first piece
//! ?: starttls ok                  we start TLS; it works (or: why not)
//! +300s                           time passes; before it everything that happened must have been looked at
//! =: b@example.net sent 2.0.0 (…) the outcome of a recipient
//! ?: feedback good                what the scheduler is told
//! ?: park / ?: close              what becomes of the connection
//! ?: again b@example.net          another attempt on the kept connection
//! ?: hand over local example.net  to another transport, which delivers (best_mx_transport)
//! ?: log text                     the log has such a line
//! N: protocol of mx[192.0.2.1]:25 a notice to the postmaster; its lines follow: N: In: …, N: Out: …   N: [none]  none was sent
//! ```

use super::{Seen, World, attempt, loss, mailbox, outcome_text, tls_facts};
use crate::ask::{DnsAnswer, DnsFailure, RecordKind};
use crate::delivery::{Params, Protocol};
use crate::inbound::dialogues::{shown_by_dialogues, without};
use crate::mail::{
    Attempt, BodyType, Diagnosis, Feedback, Notice, Notify, OriginalRecipient, Outcome, Ret, Sender, Settled,
    Voice,
};
use crate::outbound::Input;
use crate::params::Settings;
use crate::prng::Prng;
use crate::time::Duration;
use crate::wire::EnhancedStatus;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Where a segment of so many octets is cut.
type Cuts<'a> = &'a mut dyn FnMut(usize) -> Vec<usize>;

#[derive(Clone)]
struct Script {
    protocol: Protocol,
    attempt: Attempt,
    settled: Option<Settled>,
    /// What is left of the notice that is being looked at.
    notice: VecDeque<String>,
    /// All that was said and settled.
    transcript: Vec<String>,
}

/// A dialogue, read once: it is played many times.
struct Dialogue {
    script: Script,
    params: Params,
    zone: BTreeMap<(String, RecordKind), DnsAnswer>,
    tables: BTreeMap<(String, String), String>,
    hosts: Result<String, String>,
    content: Vec<u8>,
    stuck: bool,
    breaks: Option<String>,
    /// Lines, and whether each is of several that come in one segment whatever happens.
    steps: Vec<(String, bool)>,
}

impl Script {
    /// One `%` line.
    fn set(&mut self, world: &mut World, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest.trim());
        match words[0] {
            "nexthop" => rest.clone_into(&mut self.attempt.nexthop),
            "from" if rest == "<>" => self.attempt.sender = Sender::Null,
            "from" => self.attempt.sender = Sender::Mailbox(mailbox(rest)),
            "to" => {
                let fresh = attempt("", &words[1..]);
                self.attempt.recipients = fresh.recipients;
            }
            "mx" => world.mx(words[1], words[2].parse().unwrap(), words[3]),
            "a" => words[2..].iter().for_each(|address| world.address(words[1], address)),
            "hosts" if rest == "broken" => world.hosts = Err("scripted".into()),
            "hosts" => world.hosts = Ok(format!("{rest}\n")),
            "servfail" => world.fails(words[1], DnsFailure::TryAgain),
            "lmtp" => self.protocol = Protocol::Lmtp,
            "lookup" => _ = world.tables.insert((words[1].into(), words[2].into()), words[3].into()),
            "keep" => self.attempt.keep_connection = true,
            "stuck" => {
                world.stuck = true;
                world.content = "0123456789\r\n".repeat(10_000).into_bytes();
            }
            "breaks" => world.breaks = Some(rest.to_owned()),
            "size" => self.attempt.size = words[1].parse().unwrap(),
            "8bit" => self.attempt.body = BodyType::EightBitMime,
            "smtputf8" => self.attempt.smtputf8 = true,
            "envid" => self.attempt.envid = Some(rest.to_owned()),
            "ret" => self.attempt.ret = Some(if rest == "full" { Ret::Full } else { Ret::Headers }),
            "notify" => {
                let said = |word: &str| words.contains(&word);
                let explicit = true;
                let notify = Notify {
                    success: said("success"),
                    failure: said("failure"),
                    delay: said("delay"),
                    explicit,
                };
                self.attempt.recipients.iter_mut().for_each(|r| r.notify = notify);
            }
            "orcpt" => {
                let orcpt = OriginalRecipient { kind: "rfc822".into(), address: rest.to_owned() };
                self.attempt.recipients.iter_mut().for_each(|r| r.orcpt = Some(orcpt.clone()));
            }
            "original" => self.attempt.recipients.iter_mut().for_each(|r| r.original = Some(mailbox(rest))),
            "content" => world.content = rest.replace("\\r", "\r").replace("\\n", "\n").into_bytes(),
            other => panic!("unknown setting {other}"),
        }
    }

    /// The server says this, in pieces. Before the last of them we have not heard a whole line, and say and do nothing.
    fn hear(&mut self, world: &mut World, text: &str, cuts: &[usize]) {
        assert_eq!(String::from_utf8_lossy(&world.said), "", "we say more than we may before {text}");
        self.transcript.extend(text.split_terminator("\r\n").map(|line| format!("S: {line}")));
        let (before, mut from) = (world.seen.clone(), 0);
        for &to in cuts {
            world.tell(Input::Bytes(&text.as_bytes()[from..to]));
            assert_eq!(String::from_utf8_lossy(&world.said), "", "we speak after {to} octets of {text}");
            assert_eq!(world.seen, before, "we act after {to} octets of {text}");
            from = to;
        }
        world.tell(Input::Bytes(&text.as_bytes()[from..]));
    }

    fn step(&mut self, world: &mut World, line: &str, cuts: Option<Cuts<'_>>) {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        if !matches!(mark, "S:" | "C:" | "=:" | "N:") {
            self.transcript.push(line.to_owned());
        }
        match mark {
            "S:" => {
                let text = format!("{rest}\r\n");
                self.hear(world, &text, &cuts.map_or_else(Vec::new, |cuts| cuts(text.len())));
            }
            "S!" => world.tell(Input::Lost(loss("reset"))),
            "C:" => {
                let end = world.said.iter().position(|octet| *octet == b'\n').map(|at| at + 1);
                let said: Vec<u8> = world.said.drain(..end.unwrap_or(0)).collect();
                let said = String::from_utf8_lossy(&said);
                assert_eq!(said, format!("{rest}\r\n"));
                self.transcript.push(format!("C: {}", said.trim_end_matches("\r\n")));
            }
            "?:" => self.ask(world, rest),
            "N:" if rest == "[none]" => assert_eq!(world.notices, []),
            "N:" => {
                if self.notice.is_empty() {
                    assert!(!world.notices.is_empty(), "no notice before {line}");
                    self.notice = notice_lines(&world.notices.remove(0));
                    self.transcript.extend(self.notice.iter().map(|line| format!("N: {line}")));
                }
                assert_eq!(self.notice.pop_front().as_deref(), Some(rest));
            }
            "=:" => {
                let settled = self.settled.get_or_insert_with(|| world.settled());
                let (address, expected) = rest.split_once(' ').unwrap();
                let recipient =
                    self.attempt.recipients.iter().find(|r| r.address.external() == address).unwrap();
                let mine: Vec<_> = settled.outcomes.iter().filter(|(i, _)| *i == recipient.index).collect();
                assert_eq!(mine.len(), 1, "one outcome for {address}");
                let is = outcome_text(&mine[0].1);
                assert_eq!(is, expected);
                self.transcript.push(format!("=: {address} {is}"));
            }
            time if time.starts_with('+') => {
                assert_eq!(String::from_utf8_lossy(&world.said), "", "we say this already before {line}");
                assert_eq!(world.seen, [], "this happened already before {line}");
                let seconds = time.trim_matches(['+', 's']).parse().unwrap();
                world.pass(Duration::from_secs(seconds));
            }
            _ => panic!("what is {line}?"),
        }
    }

    fn ask(&mut self, world: &mut World, rest: &str) {
        let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let next = |world: &mut World| if world.seen.is_empty() { None } else { Some(world.seen.remove(0)) };
        match verb {
            "connect" => {
                let bound = rest.contains(" from ");
                let (endpoint, how) =
                    if bound { rest.rsplit_once(' ') } else { rest.split_once(' ') }.unwrap();
                if matches!(world.seen.first(), Some(Seen::Progress(_))) {
                    world.seen.remove(0);
                    world.tell(Input::Written);
                }
                assert_eq!(next(world), Some(Seen::Connect(endpoint.to_owned())));
                match how {
                    "ok" => world.tell(Input::Connected),
                    "silence" => {}
                    how => world.tell(Input::Lost(loss(how))),
                }
            }
            "starttls" => {
                assert_eq!(next(world), Some(Seen::StartTls));
                world.tell(if rest == "ok" {
                    Input::Secured(tls_facts())
                } else {
                    Input::TlsFailed(rest.to_owned())
                });
            }
            "progress" => {
                assert!(matches!(next(world), Some(Seen::Progress(_))));
                world.tell(Input::Written);
            }
            "feedback" => {
                let feedback = &self.settled.as_ref().unwrap().feedback;
                let word = match feedback {
                    Feedback::Good => "good",
                    Feedback::Bad(_) => "bad",
                    Feedback::Neutral => "neutral",
                };
                assert_eq!(word, rest);
            }
            "hand" => {
                let Some(Seen::HandOver(aside)) = next(world) else { panic!("nothing is handed over") };
                let to = format!("over {} {}", aside.transport, aside.nexthop);
                assert_eq!(rest, to);
                let diagnosis = Diagnosis::ours(EnhancedStatus::new(2, 0, 0), "delivered aside");
                let sent = Outcome::Delivered { diagnosis, last_hop_for_dsn: false };
                let outcomes = aside.recipients.iter().map(|r| (r.index, sent.clone())).collect();
                world.tell(Input::HandedOver(outcomes));
            }
            "park" => assert_eq!(next(world), Some(Seen::Park)),
            "close" => assert_eq!(next(world), Some(Seen::Close)),
            "again" => {
                let to: Vec<&str> = rest.split_whitespace().collect();
                self.attempt.recipients = attempt("", &to).recipients;
                self.settled = None;
                world.tell(Input::Attempt(Box::new(self.attempt.clone())));
            }
            "log" => assert!(world.log.iter().any(|line| line.contains(rest)), "{:#?}", world.log),
            other => panic!("what is ?: {other}"),
        }
    }
}

fn notice_lines(notice: &Notice) -> VecDeque<String> {
    let classes: Vec<&str> = notice.classes.words().collect();
    let said = notice.transcript.lines().map(|(voice, line)| {
        let sign = if voice == Voice::Peer { "In" } else { "Out" };
        format!("{sign}: {}", String::from_utf8_lossy(line))
    });
    std::iter::once(format!("{} of {}", classes.join(" "), notice.peer)).chain(said).collect()
}

/// The parameters of a main.cf with these lines.
fn params(lines: &[&str], protocol: Protocol) -> Params {
    let mut pairs = vec![("myhostname", "client.example")];
    let settings = lines.iter().filter_map(|line| line.strip_prefix("! "));
    pairs.extend(settings.map(|line| line.split_once(" = ").expect("! name = value")));
    Params::new(&Settings::of(&pairs), protocol)
}

fn read(text: &str) -> Dialogue {
    let mut script = Script {
        protocol: Protocol::Smtp,
        attempt: attempt("example.net", &["b@example.net"]),
        settled: None,
        notice: VecDeque::new(),
        transcript: Vec::new(),
    };
    let mut world = World::new(Params::default());
    let lines: Vec<&str> =
        text.lines().map(str::trim_end).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    for line in lines.iter().filter_map(|line| line.strip_prefix("% ")) {
        script.set(&mut world, line);
    }
    if world.zone.is_empty() {
        world.mx("example.net", 10, "mx.example.net");
        world.address("mx.example.net", "192.0.2.1");
    }
    let mut steps: Vec<(String, bool)> = Vec::new();
    for line in lines.iter().filter(|line| !line.starts_with(['%', '!'])) {
        match (line.strip_prefix("S& "), steps.last_mut()) {
            (Some(more), Some((before, whole))) => {
                *before = format!("{before}\r\n{more}");
                *whole = true;
            }
            _ => steps.push(((*line).to_owned(), false)),
        }
    }
    let params = params(&lines, script.protocol);
    let World { zone, tables, hosts, content, stuck, breaks, .. } = world;
    Dialogue { script, params, zone, tables, hosts, content, stuck, breaks, steps }
}

/// Plays it, and gives all that was said, settled and logged.
fn play(dialogue: &Dialogue, cuts: Cuts<'_>) -> Vec<String> {
    play_to_end(dialogue, cuts).0
}

/// The same, and the edges of [`World::edges`].
fn play_to_end(dialogue: &Dialogue, cuts: Cuts<'_>) -> (Vec<String>, [BTreeSet<(u8, u8)>; 2]) {
    let mut script = dialogue.script.clone();
    let mut world = World {
        zone: dialogue.zone.clone(),
        tables: dialogue.tables.clone(),
        hosts: dialogue.hosts.clone(),
        content: dialogue.content.clone(),
        stuck: dialogue.stuck,
        breaks: dialogue.breaks.clone(),
        ..World::new(dialogue.params.clone())
    };
    world.tell(Input::Attempt(Box::new(script.attempt.clone())));
    for (line, whole) in &dialogue.steps {
        if *whole {
            script.step(&mut world, line, None);
        } else {
            script.step(&mut world, line, Some(&mut *cuts));
        }
    }
    assert_eq!(String::from_utf8_lossy(&world.said), "", "we say more than the dialogue has");
    assert_eq!(world.seen, [], "more happened than the dialogue has");
    assert_eq!(
        (world.notices, script.notice),
        (Vec::new(), VecDeque::new()),
        "more notices than the dialogue has"
    );
    if let Some(settled) = &script.settled {
        assert_eq!(settled.outcomes.len(), script.attempt.recipients.len());
    }
    script.transcript.extend(world.log.iter().map(|line| format!("log: {line}")));
    (script.transcript, world.edges)
}

/// Plays it in every way, and compares with how it goes as written.
fn play_all_ways(dialogue: &Dialogue) {
    let mut total = 0;
    let whole = play(dialogue, &mut |length| {
        total += length;
        Vec::new()
    });
    let check = |way: &str, cuts: Cuts<'_>| assert_eq!(play(dialogue, cuts), whole, "{way}");
    check("octet by octet", &mut |length| (1..length).collect());
    for cut in 1..total {
        let mut before = 0;
        check(&format!("cut before octet {cut}"), &mut |length| {
            let here = cut.checked_sub(before).filter(|here| *here > 0 && *here < length);
            before += length;
            here.into_iter().collect()
        });
    }
    for seed in 0..8 {
        let mut prng = Prng::new(seed);
        check(&format!("random cuts of seed {seed}"), &mut |length| {
            (1..length).filter(|_| prng.next_u64().is_multiple_of(7)).collect()
        });
    }
}

fn corpus() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/dialogues")
}

fn files() -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("client-"))
        .collect();
    files.sort();
    files
}

/// Edges that no dialogue takes: of the outbound joint, and of its connection. Several attempts are the business of `keeping` and of stories, an
/// attempt for another destination on a kept connection that of a model check; and the world of the dialogues answers each question at once.
const UNPLAYED: [&[&str]; 2] = [
    &[
        "talking -> leaving",
        "progressing -> leaving",
        "progressing -> searching",
        "progressing -> writing",
        "leaving -> connecting",
        "leaving -> searching",
        "leaving -> writing",
        "parked -> searching",
        "parked -> connecting",
        "parked -> leaving",
        "parked -> writing",
    ],
    &[
        "greeting -> quit",
        "ehlo -> quit",
        "helo -> quit",
        "helo -> ready",
        "lhlo -> quit",
        "lhlo -> ready",
        "starttls -> quit",
        "dialogue -> quit",
        "ready -> gone",
        "spent -> gone",
        "quit -> gone",
    ],
];

#[test]
fn dialogues_take_the_edges_of_the_client_and_no_others() {
    let mut taken = [BTreeSet::new(), BTreeSet::new()];
    for path in files() {
        let dialogue = read(&std::fs::read_to_string(path).unwrap());
        let (_, whole) = play_to_end(&dialogue, &mut |_| Vec::new());
        let (_, cut) = play_to_end(&dialogue, &mut |length| (1..length).collect());
        taken.iter_mut().zip(whole.into_iter().zip(cut)).for_each(|(taken, (whole, cut))| {
            taken.extend(whole);
            taken.extend(cut);
        });
    }
    let tables = [&crate::outbound::STAGES, &crate::delivery::STAGES];
    let compared: Vec<_> = tables.iter().zip(&taken).map(|(table, taken)| table.compare(taken)).collect();
    let strange: Vec<_> = compared.iter().flat_map(|(strange, _)| strange).collect();
    assert!(strange.is_empty(), "not in the tables: {strange:?}");
    let missing: Vec<_> = compared.iter().map(|(_, missing)| missing).collect();
    assert_eq!(missing, UNPLAYED);
}

#[test]
fn every_dialogue_of_the_client_goes_as_written_however_it_is_cut() {
    let files = files();
    assert!(files.len() >= 60, "the dialogues of the client are missing: {}", files.len());
    let mut wrong = Vec::new();
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("# "), "{path:?} says first what it is about");
        if let Err(panic) = std::panic::catch_unwind(|| play_all_ways(&read(&text))) {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            wrong.push(format!("{}: {words:?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whole transcripts: whoever changes a word that we say or log sees it here as a difference.
#[test]
fn these_deliveries_sound_and_are_logged_like_this() {
    for name in [
        "plain",
        "pipelining",
        "starttls",
        "lmtp",
        "esmtp-parameters",
        "lost-after-dot",
        "greylisted-then-next",
    ] {
        let text = std::fs::read_to_string(corpus().join(format!("client-{name}.smtp"))).unwrap();
        let transcript = play(&read(&text), &mut |_| Vec::new()).join("\n");
        insta::assert_snapshot!(format!("client-{name}"), transcript);
    }
}

#[test]
fn what_shows_a_parameter_goes_otherwise_without_it() {
    let is_ours = |path: &std::path::Path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("client-"))
    };
    let shown: Vec<_> = shown_by_dialogues().into_iter().filter(|(_, path)| is_ours(path)).collect();
    assert!(shown.len() > 40, "is the register read?");
    let same = |(parameter, path): &(String, std::path::PathBuf)| {
        let text = std::fs::read_to_string(path).unwrap();
        std::panic::catch_unwind(|| play(&read(&without(&text, parameter)), &mut |_| Vec::new())).is_ok()
    };
    let same: Vec<_> = shown.iter().filter(|row| same(row)).collect();
    assert!(same.is_empty(), "these would go the same with the default: {same:#?}");
}
