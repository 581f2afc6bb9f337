//! The player of corpus/dialogues: every file is played whole, cut at every place, octet by octet, and at random places,
//! and must always sound the same (segments do not matter). corpus/dialogues/README.md is the notation.

mod playing;
mod reading;

use super::{Config, Effect, Inbound, Input, Peer};
use crate::ask::{Answer, DnsFailure, DnsRecord, DnsRecords, Question, RecordKind, TableFailure};
use crate::cleanup::{Draft, Finished};
use crate::event::Event;
use crate::limits;
use crate::machine::Machine;
use crate::mail::{
    ContentPlace, Message, Notice, NoticeClass, Piece, Pieces, QueueId, Refusal, TlsFacts, Voice,
};
use crate::params::Settings;
use crate::policy::{Action, Judgement, Situation, Stage, Verdict};
use crate::prng::Prng;
use crate::time::{Duration, Instant, Now, Timestamp};
use crate::wire::{EnhancedStatus, Reply};
use playing::{edges, like, play, transcript};
use reading::read;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Verdicts and the end of cleanup, as a dialogue scripts them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    rules: Vec<(Stage, String, Judgement)>,
    cleanup: Option<Reply>,
}

impl Script {
    /// The first rule of the stage whose key is `*`, the recipient, the sender or the HELO name.
    pub(crate) fn judge(&self, stage: Stage, situation: &Situation<'_>) -> Judgement {
        let known = [
            situation.recipient.map(|recipient| recipient.external()),
            situation.sender.map(|sender| format!("<{}>", sender.external())),
            situation.helo.map(str::to_owned),
        ];
        let fits = |key: &str| key == "*" || known.iter().flatten().any(|text| text == key);
        self.rules
            .iter()
            .find(|(at, key, _)| *at == stage && fits(key))
            .map_or_else(|| judgement(Verdict::Permit, None), |(_, _, judgement)| judgement.clone())
    }

    /// A message of trace, prepended fields and all that is stored.
    pub(crate) fn finish(&self, draft: &Draft, stored: u64) -> (Finished, Vec<Event>) {
        if let Some(reply) = &self.cleanup {
            return (Finished::Refused(reply.clone(), NoticeClass::Policy), Vec::new());
        }
        let mut pieces = Pieces::default();
        pieces.literal(&draft.trace);
        for line in &draft.prepend {
            pieces.literal(format!("{line}\r\n").as_bytes());
        }
        pieces.stored(0, stored);
        let message = Message {
            id: draft.id,
            envelope: draft.envelope.clone(),
            pieces,
            place: ContentPlace::Inline,
            stored,
            origin: draft.origin,
            message_id: String::new(),
            hold: draft.hold,
            checksum: None,
            unknown: Vec::new(),
        };
        (Finished::Message(Box::new(message)), Vec::new())
    }
}

fn judgement(verdict: Verdict, action: Option<Action>) -> Judgement {
    Judgement { verdict, actions: action.into_iter().collect(), class: NoticeClass::Policy }
}

/// One line of a dialogue, behind its line number.
#[derive(Debug, Clone)]
enum Step {
    /// The client says these octets.
    Say(Vec<u8>),
    /// The client goes away.
    Leave,
    /// The server says a line like this.
    Hear(String),
    /// The server closes.
    Closed,
    /// The handshake ends.
    Secured(Result<TlsFacts, String>),
    /// Time passes.
    Wait(Duration),
    /// The daemon is told to stop.
    Drain,
    /// A line like this was logged.
    Logged(String),
    /// No line like this was logged.
    NotLogged(String),
    /// The literal part of the last message begins with a line like this (and goes on with those of the next such steps).
    Trace(String),
    /// The stored content of the last message has this line; consecutive steps are all of it.
    Content(String),
    /// The envelope of the last message is like this.
    Envelope(String),
    /// So many messages were committed.
    Messages(usize),
    /// The first notice that was not looked at yet is of these classes, and its lines are like these.
    Notice(String),
    /// No other notice was sent.
    NoNotice,
}

#[derive(Debug, Default)]
struct Dialogue {
    steps: Vec<(usize, Step)>,
    settings: Vec<(String, String)>,
    script: Script,
    names: BTreeMap<(String, RecordKind), Result<DnsRecord, DnsFailure>>,
    tables: BTreeMap<(String, String), String>,
    /// Lines of the hosts file.
    hosts: String,
    space: Option<u64>,
    commits: Vec<Result<(), Refusal>>,
    /// Made once: a dialogue is played a thousand times.
    made: std::cell::OnceCell<Arc<Config>>,
    /// The access lists judge and cleanup cleans up, instead of the script.
    judged: bool,
    /// Cuts would change what happens: it is about octets that come too early.
    uncut: bool,
}

type Failure = String;

/// Octets that the client says in all, in bursts.
fn said(dialogue: &Dialogue) -> usize {
    dialogue.steps.iter().map(|(_, step)| if let Step::Say(octets) = step { octets.len() } else { 0 }).sum()
}

/// So many octets of a client are cut at every one alone: 6,000 plays take a second.
const ALONE_MAX: usize = 6_000;
/// Octets between two cuts of one play.
const APART: usize = 600;

fn play_all_ways(text: &str) -> Result<(), Failure> {
    let dialogue = read(text)?;
    let whole = play(&dialogue, &mut |_| Vec::new())?;
    if dialogue.uncut {
        return Ok(());
    }
    let check = |way: &str, cuts: &mut dyn FnMut(usize) -> Vec<usize>| {
        let other = play(&dialogue, cuts).map_err(|failure| format!("{way}: {failure}"))?;
        if other == whole { Ok(()) } else { Err(format!("{way}: {other:#?}\nis not\n{whole:#?}")) }
    };
    check("octet by octet", &mut |length| (1..length).collect())?;
    let total = said(&dialogue);
    // A cut at every octet, alone. Of the few that are very long, where that takes minutes: alone before every k-th octet,
    // and before every octet together with others, which are further apart than most lines are long.
    let step = if total <= ALONE_MAX { 1 } else { 1 + total / APART };
    for cut in (1..total).step_by(step) {
        let mut before = 0;
        check(&format!("cut before octet {cut}"), &mut |length| {
            let here = cut.checked_sub(before).filter(|here| *here > 0 && *here < length);
            before += length;
            here.into_iter().collect()
        })?;
    }
    for first in (0..APART).filter(|_| step > 1) {
        let mut before = 0;
        check(&format!("cut before octet {first} and every {APART}th from there"), &mut |length| {
            let here = (before..before + length).filter(|at| at % APART == first && *at > before);
            let here = here.map(|at| at - before).collect();
            before += length;
            here
        })?;
    }
    for seed in 0..8 {
        let mut prng = Prng::new(seed);
        check(&format!("random cuts of seed {seed}"), &mut |length| {
            (1..length).filter(|_| prng.next_u64().is_multiple_of(7)).collect()
        })?;
    }
    Ok(())
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/dialogues")
}

/// Deliveries of ours (`client-…`) have a player of their own, in `outbound`.
fn is_ours(path: &std::path::Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".smtp") && !name.starts_with("client-")
}

fn dialogues() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![corpus()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the corpus is there") {
            let path = entry.expect("the corpus is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if is_ours(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_dialogue_goes_as_written_however_it_is_cut() {
    let mut failures = Vec::new();
    let all = dialogues();
    for path in &all {
        let text = std::fs::read_to_string(path).expect("a dialogue is UTF-8");
        if let Err(failure) = play_all_ways(&text) {
            failures.push(format!("{}: {failure}", path.file_name().unwrap_or_default().to_string_lossy()));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), all.len(), failures.join("\n"));
    assert!(all.len() >= 200, "only {} dialogues: is the corpus complete?", all.len());
}

/// Edges that no dialogue takes: the world of the dialogues answers each question at once, also what is asked in its turn.
const UNPLAYED: [&str; 6] = [
    "arriving -> judging",
    "arriving -> closed",
    "judging -> securing",
    "judging -> finishing",
    "content -> judging",
    "finishing -> identifying",
];

#[test]
fn dialogues_take_the_edges_of_the_session_and_no_others() {
    let mut taken = BTreeSet::new();
    for path in dialogues() {
        let text = std::fs::read_to_string(path).expect("a dialogue is UTF-8");
        let dialogue = read(&text).expect("it is well formed");
        taken.extend(edges(&dialogue, &mut |_| Vec::new()).expect("it goes as written"));
        if !dialogue.uncut {
            taken.extend(edges(&dialogue, &mut |length| (1..length).collect()).expect("it goes as written"));
        }
    }
    let (strange, missing) = crate::session::STAGES.compare(&taken);
    assert!(strange.is_empty(), "not in the table: {strange:?}");
    assert_eq!(missing, UNPLAYED);
}

/// Whole transcripts: whoever changes a word that we say or log sees it here as a difference.
#[test]
fn these_sessions_sound_and_are_logged_like_this() {
    for name in [
        "mail/transaction",
        "mail/parameters",
        "mail/smtputf8",
        "other/pipelining",
        "other/vrfy",
        "bdat/chunks",
        "tls/starttls",
        "limits/hard-errors",
        "attacks/relay-forms-judged",
        "data/bare-newlines-rejected",
        "limits/hop-count",
        "time/idle",
    ] {
        let text = std::fs::read_to_string(corpus().join(format!("{name}.smtp"))).expect("it is there");
        let dialogue = read(&text).expect("it is well formed");
        insta::assert_snapshot!(name.replace('/', "-"), transcript(&dialogue).expect("it goes as written"));
    }
}

#[test]
fn every_dialogue_cites_its_section_first() {
    for path in dialogues() {
        let text = std::fs::read_to_string(&path).expect("a dialogue is UTF-8");
        let first = text.lines().next().unwrap_or_default();
        let cites =
            ["RFC ", "CVE-", "smtpd(8)", "smtp(8)", "lmtp(8)", "postconf(5)", "access(5)", "hosts(5)"];
        assert!(
            first.starts_with("# ") && cites.iter().any(|word| first.contains(word)),
            "{}: the first line cites nothing: {first}",
            path.display()
        );
    }
}

#[test]
fn the_player_notices_what_is_wrong() {
    let failure = |text: &str| play_all_ways(text).expect_err("must fail");
    assert!(failure("S: 221 ...").contains("heard \"220"));
    assert!(failure("C: QUIT").contains("more than it should"));
    assert!(failure("S: 220 ...\nC: QUIT\nS: 221 2.0.0 Bye\nS: 250 ...").contains("heard nothing"));
    assert!(failure("S: 220 ...\nC: QUIT").contains("at the end"));
    assert!(like("a...c", "abcbc") && like("a...", "a") && !like("a...c", "ab") && !like("a", "ab"));
}

/// The dialogues that show a parameter, with the parameter, as the register in `tests/tests/relay_parameters.rs` has them.
pub(crate) fn shown_by_dialogues() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let register =
        std::fs::read_to_string(root.join("tests/tests/relay_parameters.rs")).expect("it is there");
    let texts: Vec<&str> = register.split('"').skip(1).step_by(2).collect();
    let rows = texts
        .windows(2)
        .filter(|pair| pair[1].starts_with("corpus/dialogues/") && pair[1].ends_with(".smtp"));
    rows.map(|pair| (pair[0].to_owned(), root.join(pair[1]))).collect()
}

/// A dialogue without the line that sets the parameter, which then has its default.
pub(crate) fn without(text: &str, parameter: &str) -> String {
    let sets = format!("! {parameter} =");
    text.lines().filter(|line| !line.starts_with(&sets)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_shows_a_parameter_goes_otherwise_without_it() {
    let shown: Vec<_> = shown_by_dialogues().into_iter().filter(|(_, path)| is_ours(path)).collect();
    assert!(shown.len() > 50, "is the register read?");
    let same = |(parameter, path): &(String, PathBuf)| {
        let text = std::fs::read_to_string(path).expect("the register names dialogues that are there");
        let dialogue = read(&without(&text, parameter)).expect("a line less is well formed");
        play(&dialogue, &mut |_| Vec::new()).is_ok()
    };
    let same: Vec<_> = shown.iter().filter(|row| same(row)).collect();
    assert!(same.is_empty(), "these would go the same with the default: {same:#?}");
}
