//! Sessions are recorded and taken again, cut anywhere, with and without their contents.

use super::*;
use crate::ask::{Answer, Question};
use crate::inbound::{self, Effect, Inbound};
use crate::machine::Machine;
use crate::mail::QueueId;
use crate::params::Settings;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

fn config() -> Arc<inbound::Config> {
    let settings = Settings::of(&[
        ("mydestination", "example.org"),
        ("local_recipient_maps", ""),
        ("header_checks", "pcre:/checks"),
        ("smtpd_relay_restrictions", "permit_mynetworks, reject_unauth_destination"),
        ("smtpd_forbid_unauth_pipelining", "no"),
    ]);
    Arc::new(inbound::Config::new(&settings, false).expect("values that are right"))
}

const PEER: Peer = Peer {
    address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    port: 40_000,
    local: IpAddr::V4(Ipv4Addr::LOCALHOST),
};

const DIALOGUE: &[u8] = b"EHLO client.example\r\n\
MAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<x@elsewhere.example>\r\nDATA\r\n\
From: Alice <alice@example.com>\r\nSubject: the quick brown\r\n fox jumps\r\nMessage-Id: <1@example.com>\r\n\
X-Secret: sphinx of black quartz\r\n\r\nlazy dog\r\n..\r\n.dotted\nbare\r\n\xc3\xa9t\xc3\xa9\r\n.\r\n\
MAIL FROM:<>\r\nRCPT TO:<carol@example.org>\r\nBDAT 27\r\nTo: carol@example.org\r\n\r\nja\
BDAT 6 LAST\r\nckdaw\nMAIL FROM:<>\r\nBDAT 9 LAST\r\nunwanted\nNOOP\r\nQUIT\r\n";

/// Words that stand in contents only, and must not be in a recording without contents.
const SECRETS: [&str; 9] =
    ["quick", "brown", "fox", "sphinx", "quartz", "lazy", "dotted", "ckdaw", "unwanted"];

/// A driver that answers at once, and records.
struct Driver {
    machine: Inbound,
    scribe: Scribe,
    frames: Vec<u8>,
    now: Now,
    next_id: u64,
}

impl Driver {
    fn new(whole: bool) -> Self {
        let now = Now::default();
        let scribe = Scribe::new(
            Opened {
                session: 1,
                at: now,
                service: "smtp/inet".to_owned(),
                hurried: false,
                setting: 1,
                peer: PEER,
                said: Said::default(),
            },
            whole,
        );
        let machine = Inbound::new(now, config(), PEER);
        Self { machine, scribe, frames: MAGIC.to_vec(), now, next_id: 0 }
    }

    fn tell(&mut self, input: inbound::Input<'_>) {
        self.now.mono = self.now.mono.after(crate::time::Duration::from_millis(1));
        self.scribe.begin(self.now, Some(&input));
        self.machine.handle_input(self.now, input);
    }

    /// Until the client must speak.
    fn settle(&mut self) {
        loop {
            let mut next = None;
            while let Some(effect) = self.machine.poll_output() {
                self.scribe.effect(&effect);
                next = self.next(&effect).or(next);
            }
            let frames = &mut self.frames;
            self.scribe.end(&self.machine, &mut |octets| frames.extend(octets));
            match next {
                Some(input) => self.tell(input),
                None => return,
            }
        }
    }

    fn next(&mut self, effect: &Effect) -> Option<inbound::Input<'static>> {
        match effect {
            Effect::Ask(Question::Lookup { .. }) => Some(inbound::Input::Answer(Answer::Lookup(Ok(None)))),
            Effect::Ask(Question::Resolve { .. }) => {
                Some(inbound::Input::Answer(Answer::Resolve(Err(crate::ask::DnsFailure::NoSuchName))))
            }
            Effect::Ask(Question::ListedHost { .. }) => {
                Some(inbound::Input::Answer(Answer::ListedHost(Ok(Vec::new()))))
            }
            Effect::Ask(Question::ListedName { .. }) => {
                Some(inbound::Input::Answer(Answer::ListedName(Ok(None))))
            }
            Effect::Ask(Question::FreeSpace) => Some(inbound::Input::Answer(Answer::FreeSpace(1 << 40))),
            Effect::Identify => {
                self.next_id += 1;
                Some(inbound::Input::Identified(QueueId(self.next_id)))
            }
            Effect::Commit(_) => Some(inbound::Input::Committed(Ok(()))),
            _ => None,
        }
    }

    /// Plays the dialogue in pieces of these lengths, over and over.
    fn play(whole: bool, lengths: &[usize]) -> Vec<u8> {
        let mut driver = Self::new(whole);
        driver.settle();
        let (mut rest, mut lengths) = (DIALOGUE, lengths.iter().cycle());
        while !rest.is_empty() && !driver.machine.is_closed() {
            let length = lengths.next().map_or(1, |length| (*length).clamp(1, rest.len()));
            let (piece, behind) = rest.split_at(length);
            driver.tell(inbound::Input::Bytes(piece));
            driver.settle();
            rest = behind;
        }
        let frames = &mut driver.frames;
        driver.scribe.close(&driver.machine, &mut |octets| frames.extend(octets));
        driver.frames
    }
}

/// Takes the decisions again; says how many facts fitted, or the number of the first that did not.
fn take_again(frames: &[u8], whole: bool) -> Result<u32, u32> {
    let mut digest = Digest::new(whole);
    let mut machine = None;
    let mut facts = 0;
    for record in Records::new(frames) {
        let said = match record.expect("what was just written") {
            Record::Opened(opened) => {
                machine = Some(Inbound::new(opened.at, config(), opened.peer));
                opened.said
            }
            Record::Heard(heard) => {
                facts = heard.number;
                let octets =
                    if let SessionFact::Bytes(octets) = &heard.fact { octets.unpack() } else { vec![] };
                let input = heard.fact.input(&octets).expect("no time passes here");
                machine.as_mut().expect("it was opened").handle_input(heard.at, input);
                heard.said
            }
            other => panic!("{other:?}"),
        };
        while let Some(effect) = machine.as_mut().and_then(Machine::poll_output) {
            digest.effect(&effect);
        }
        if digest.said() != said {
            return Err(facts);
        }
    }
    Ok(facts)
}

/// All that the client said, as it was recorded.
fn said(frames: &[u8]) -> String {
    let mut all = Vec::new();
    for record in Records::new(frames) {
        if let Ok(Record::Heard(Heard { fact: SessionFact::Bytes(octets), .. })) = record {
            all.extend(octets.unpack());
        }
    }
    assert_eq!(all.len(), DIALOGUE.len(), "as many octets as there were");
    String::from_utf8_lossy(&all).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_session_is_taken_again_however_it_was_cut(lengths in prop::collection::vec(1usize..700, 1..12), whole: bool) {
        let frames = Driver::play(whole, &lengths);
        let facts = take_again(&frames, whole);
        prop_assert!(facts.is_ok_and(|facts| facts > 10), "{facts:?}");
        let text = said(&frames);
        for secret in SECRETS {
            prop_assert_eq!(text.contains(secret) && !whole, false, "{}", secret);
        }
        prop_assert!(text.contains("alice@example.com"), "what is decided by stays");
    }

    #[test]
    fn masks_are_counted_and_come_back(octets: Vec<u8>, runs in prop::collection::vec(0usize..9, 0..6)) {
        let mut octets = octets;
        for run in runs {
            octets.extend(std::iter::repeat_n(b'x', run));
            octets.push(b'\n');
        }
        prop_assert_eq!(Octets::pack(&octets).unpack(), octets);
    }
}

#[test]
fn a_recording_with_contents_has_them() {
    let text = said(&Driver::play(true, &[10_000]));
    assert!(SECRETS.iter().all(|secret| text.contains(secret)));
}

#[test]
fn a_fact_that_is_not_what_it_was_is_found_out() {
    let frames = Driver::play(false, &[10_000]);
    let mut other = MAGIC.to_vec();
    for record in Records::new(&frames) {
        match record.expect("what was just written") {
            Record::Opened(opened) => other.extend(frame(Kind::Opened, &opened).expect("small")),
            Record::Heard(mut heard) => {
                if let SessionFact::Bytes(octets) = &mut heard.fact {
                    let changed = octets.unpack().to_ascii_lowercase();
                    let text =
                        String::from_utf8_lossy(&changed).replace("bob@example.org", "bob@elsewhere.example");
                    *octets = Octets::pack(text.as_bytes());
                }
                other.extend(frame(Kind::Heard, &heard).expect("small"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(take_again(&other, false).is_err());
}

#[test]
fn a_file_cut_anywhere_is_read_to_its_last_whole_record() {
    let frames = Driver::play(false, &[50]);
    let whole = Records::new(&frames).count();
    let mut seen = 0;
    for end in 0..=frames.len() {
        let records: Vec<_> = Records::new(&frames[..end]).collect();
        let read = records.iter().filter(|record| record.is_ok()).count();
        assert!(read >= seen, "more octets never say less");
        seen = read;
        if let Some(Err(damage)) = records.last() {
            assert!(damage.torn, "{damage:?} at {end}");
        }
    }
    assert_eq!(seen, whole);
}

#[test]
fn a_flipped_bit_is_damage_and_ends_the_reading() {
    let frames = Driver::play(false, &[50]);
    for at in (0..frames.len()).step_by(7) {
        let mut broken = frames.clone();
        broken[at] ^= 0x40;
        let last = Records::new(&broken).last().expect("it says something");
        assert!(last.is_err(), "the bit at {at}");
    }
}
