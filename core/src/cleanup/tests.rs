use super::*;
use crate::ask::{Answer, Question, TableFailure, TableName};
use crate::mail::{ClientFacts, Notify, Piece, Recipient};
use crate::wire::Mailbox;
use std::collections::BTreeMap;

/// A world of tables, and a message in it.
struct World {
    params: Params,
    rewrite: Rewrite,
    tables: BTreeMap<(String, String), String>,
    draft: Draft,
}

fn tables(names: &[&str]) -> Vec<TableName> {
    names.iter().map(|name| TableName((*name).to_owned())).collect()
}

fn mailbox(text: &str) -> Mailbox {
    let (local, domain) = text.split_once('@').unwrap_or((text, ""));
    Mailbox::new(local, domain)
}

impl World {
    fn new() -> Self {
        let envelope = Envelope {
            sender: Sender::Mailbox(mailbox("joe@a.example")),
            recipients: vec![Recipient::new(mailbox("ann@b.example"))],
            arrived: Timestamp::from_seconds(1_795_234_851),
            client: ClientFacts {
                name: "mail.c.example".into(),
                address: Some("192.0.2.1".parse().unwrap()),
                helo: "c.example".into(),
                protocol: "ESMTP".into(),
                port: 1234,
            },
            ..Envelope::default()
        };
        let draft = Draft {
            id: QueueId::new(1_795_233_600_123_456, 7),
            envelope,
            origin: Origin::Submitted,
            trace: b"Received: from c.example\r\n\tby here; now\r\n".to_vec(),
            prepend: Vec::new(),
            hold: false,
            filtered: true,
        };
        let params = Params { myhostname: "mx.here.example".into(), ..Params::default() };
        let rewrite = Rewrite::new(&crate::params::Settings::default()).unwrap();
        Self { params, rewrite, tables: BTreeMap::new(), draft }
    }

    fn local(mut self) -> Self {
        self.draft.envelope.client = ClientFacts::default();
        self
    }

    fn table(mut self, name: &str, key: &str, value: &str) -> Self {
        self.tables.insert((name.to_owned(), key.to_owned()), value.to_owned());
        self
    }

    fn answer(&self, question: &Question) -> Answer {
        let Question::Lookup { table, key } = question else { panic!("only tables are asked: {question:?}") };
        if table.kind() == "fail" {
            return Answer::Lookup(Err(TableFailure { table: table.clone(), why: "broken".into() }));
        }
        Answer::Lookup(Ok(self.tables.get(&(table.0.clone(), key.clone())).cloned()))
    }

    fn run(&self, content: &[u8]) -> (Finished, Vec<Event>) {
        let mut cleanup = Cleanup::new();
        cleanup.content(content);
        let mut facts = Facts::new();
        let now = Now::default();
        loop {
            let pure = cleanup.finish(now, &self.draft, &self.params, &self.rewrite, &facts);
            let resumed = cleanup.resume(now, &self.draft, &self.params, &self.rewrite, &facts);
            assert_eq!(pure, resumed, "going on and starting again must agree");
            match resumed {
                Ok(finished) => return finished,
                Err(Pause::Need(question)) => {
                    let answer = self.answer(&question);
                    facts.learn(question, answer);
                }
                Err(Pause::Broken(failure)) => panic!("{failure:?}"),
            }
        }
    }

    fn message(&self, content: &[u8]) -> (Message, Vec<Event>) {
        match self.run(content) {
            (Finished::Message(message), events) => (*message, events),
            (other, _) => panic!("{other:?}"),
        }
    }

    /// The whole text of the message.
    fn text(&self, content: &[u8]) -> String {
        let pieces = self.message(content).0.pieces;
        let octets = pieces.0.into_iter().flat_map(|piece| match piece {
            Piece::Literal(octets) => octets,
            Piece::Stored { offset, length } => content[offset as usize..][..length as usize].to_vec(),
        });
        String::from_utf8(octets.collect()).unwrap()
    }

    fn recipients(&self) -> Vec<String> {
        let (message, _) = self.message(b"To: x\r\n\r\n");
        message.envelope.recipients.iter().map(|recipient| recipient.address.external()).collect()
    }

    fn refusal(&self, content: &[u8]) -> String {
        match self.run(content).0 {
            Finished::Refused(reply, _) => {
                format!("{} {} {}", reply.code, reply.status.unwrap(), reply.lines.join("/"))
            }
            other => panic!("{other:?}"),
        }
    }
}

const PLAIN: &[u8] = b"From: joe@a.example\r\nTo: ann\r\nBcc: secret\r\nSubject: x\r\n\r\nbody\r\n";

#[test]
fn mail_of_a_stranger_keeps_its_header_but_for_bcc() {
    let world = World::new();
    assert_eq!(
        world.text(PLAIN),
        "Received: from c.example\r\n\tby here; now\r\nFrom: joe@a.example\r\nTo: ann\r\nSubject: x\r\n\r\nbody\r\n"
    );
    let (message, events) = world.message(PLAIN);
    // The Bcc field parts the header: two ranges, and no octet of the body is copied.
    assert_eq!(message.pieces.0.len(), 3);
    assert_eq!(
        events,
        [Event::MessageId { id: world.draft.id, resent: false, message_id: "<>".into() }],
        "a missing Message-Id is logged, not added"
    );
}

#[test]
fn mail_of_this_host_gets_what_it_lacks() {
    let world = World::new().local();
    let id = world.draft.id;
    assert_eq!(
        world.text(b"Subject: x\r\n\r\nbody\r\n"),
        format!(
            "Received: from c.example\r\n\tby here; now\r\nSubject: x\r\n\
             Message-Id: <20261121042051.{id}@mx.here.example>\r\n\
             Date: Sat, 21 Nov 2026 04:20:51 +0000 (UTC)\r\nFrom: joe@a.example\r\n\r\nbody\r\n"
        )
    );
    let resent = world.text(b"From: a\r\nResent-To: b\r\n\r\n");
    assert!(resent.contains("Resent-Message-Id: <") && resent.contains("\r\nResent-From: joe@a.example\r\n"));
    assert!(!resent.contains("\r\nDate:"));
}

#[test]
fn the_log_names_the_ids_of_a_resent_message() {
    let logged = |world: &World, content: &[u8]| -> Vec<String> {
        let id = format!("{}: ", world.draft.id);
        world.message(content).1.iter().map(|event| event.text().replace(&id, "")).collect()
    };
    let both = b"Resent-From: b\r\nResent-Message-Id: <2@x>\r\nMessage-Id: <1@x>\r\n\r\n";
    assert_eq!(logged(&World::new(), both), ["resent-message-id=<2@x>", "message-id=<1@x>"]);
    let neither = b"Resent-From: b\r\n\r\n";
    assert_eq!(logged(&World::new(), neither), ["message-id=<>"]);
    let world = World::new().local();
    let id = world.draft.id;
    let added = format!("resent-message-id=<20261121042051.{id}@mx.here.example>");
    assert_eq!(logged(&world, neither), [added]);
}

#[test]
fn a_field_may_say_that_the_body_has_8_bits() {
    let world = World::new();
    let body = |content: &[u8]| world.message(content).0.envelope.body;
    assert_eq!(body(b"Content-Transfer-Encoding: 8BIT\r\n\r\n"), crate::mail::BodyType::EightBitMime);
    assert_eq!(body(b"Content-Transfer-Encoding: base64\r\n\r\n"), crate::mail::BodyType::SevenBit);
}

#[test]
fn undisclosed_recipients_are_named_only_when_configured() {
    let mut world = World::new().local();
    assert!(!world.text(b"From: a\r\n\r\n").contains("\r\nTo:"));
    world.params.undisclosed_recipients_header = "To: undisclosed-recipients:;".into();
    assert!(world.text(b"From: a\r\n\r\n").contains("\r\nTo: undisclosed-recipients:;\r\n"));
    assert!(!world.text(b"From: a\r\nCc: b\r\n\r\n").contains("undisclosed"));
}

#[test]
fn a_body_without_its_blank_line_gets_one() {
    let world = World::new();
    assert!(world.text(b"Subject: x\r\nnot a field\r\n").ends_with("Subject: x\r\n\r\nnot a field\r\n"));
    assert!(world.text(b" folded\r\n").ends_with("now\r\n\r\n folded\r\n"));
    assert!(
        world.text(b"From a@b Mon\r\nTo: x\r\n\r\n").contains("X-Mailbox-Line: From a@b Mon\r\nTo: x\r\n")
    );
}

#[test]
fn a_mailbox_line_of_a_program_is_dropped() {
    assert!(!World::new().local().text(b"From a@b Mon\r\nTo: x\r\n\r\n").contains("From a@b Mon"));
}

#[test]
fn a_message_that_went_round_too_often_is_refused() {
    let world = World::new();
    let hops = |count: usize| [b"Received: x\r\n".repeat(count), b"\r\n".to_vec()].concat();
    assert_eq!(world.refusal(&hops(49)), "554 5.4.0 Error: too many hops");
    world.message(&hops(48));
}

#[test]
fn canonical_tables_change_envelope_and_header_of_local_mail() {
    let mut world = World::new().local().table("hash:c", "joe@a.example", "joe.doe@new.example");
    world.params.canonical_maps = tables(&["hash:c"]);
    let text = world.text(PLAIN);
    assert!(text.contains("From: joe.doe@new.example\r\n"), "{text}");
    let (message, _) = world.message(PLAIN);
    assert_eq!(message.envelope.sender.external(), "joe.doe@new.example");
    world.draft.envelope.client.address = Some("192.0.2.1".parse().unwrap());
    assert!(world.text(PLAIN).contains("From: joe@a.example\r\n"));
    assert_eq!(world.message(PLAIN).0.envelope.sender.external(), "joe.doe@new.example");
}

#[test]
fn incomplete_addresses_of_strangers_get_the_remote_domain() {
    let mut world = World::new();
    world.params.remote_header_rewrite_domain = "domain.invalid".into();
    let text = world.text(b"From: joe (Joe)\r\nTo: Ann <ann@host>,\r\n b@c.example\r\n\r\n");
    assert!(text.contains("From: joe@domain.invalid (Joe)\r\n"), "{text}");
    assert!(text.contains("To: Ann <ann@host.domain.invalid>,\r\n b@c.example\r\n"), "{text}");
}

#[test]
fn virtual_aliases_replace_the_recipient_and_remember_it() {
    let mut world = World::new()
        .table("hash:v", "ann@b.example", "one@x.example, two@x.example, one@x.example")
        .table("hash:v", "two@x.example", "three@x.example")
        .table("hash:v", "@d.example", "@b.example");
    world.params.virtual_alias_maps = tables(&["hash:v"]);
    assert_eq!(world.recipients(), ["one@x.example", "three@x.example"]);
    let (message, _) = world.message(b"\r\n");
    assert_eq!(message.envelope.recipients[1].original, Some(mailbox("ann@b.example")));
    world.draft.envelope.recipients = vec![Recipient::new(mailbox("bob@d.example"))];
    assert_eq!(world.recipients(), ["bob@b.example"]);
}

#[test]
fn an_alias_may_name_itself_and_extensions_are_kept() {
    let mut world = World::new().table("hash:v", "ann@b.example", "ann@b.example, copy@x.example").table(
        "hash:v",
        "cyd@b.example",
        "cyd@y.example",
    );
    world.params.virtual_alias_maps = tables(&["hash:v"]);
    let rewriting =
        crate::rewrite::Params { recipient_delimiter: "+".into(), ..world.rewrite.params().clone() };
    world.rewrite = Rewrite::with(rewriting);
    assert_eq!(world.recipients(), ["ann@b.example", "copy@x.example"]);
    world.draft.envelope.recipients = vec![Recipient::new(mailbox("cyd+list@b.example"))];
    assert_eq!(world.recipients(), ["cyd+list@y.example"]);
}

#[test]
fn an_expansion_without_end_is_refused_for_now() {
    let mut world = World::new().table("hash:v", "ann@b.example", "bob@b.example").table(
        "hash:v",
        "bob@b.example",
        "ann@b.example",
    );
    world.params.virtual_alias_maps = tables(&["hash:v"]);
    world.params.virtual_alias_recursion_limit = 10;
    assert_eq!(world.refusal(b"\r\n"), "451 4.6.0 Alias expansion error");
    let many: Vec<String> = (0..12).map(|n| format!("u{n}@x.example")).collect();
    let mut world = World::new().table("hash:v", "ann@b.example", &many.join(","));
    world.params.virtual_alias_maps = tables(&["hash:v"]);
    world.params.virtual_alias_expansion_limit = 11;
    assert_eq!(world.refusal(b"\r\n"), "451 4.6.0 Alias expansion error");
}

#[test]
fn virtual_aliases_that_lead_back_end_however_many_there_are() {
    // What the client hears, and of what there was too much.
    let refused = |world: &World| {
        let (_, events) = world.run(b"\r\n");
        let Some(Event::Warning { text, .. }) = events.last() else { panic!("{events:?}") };
        let what = ["map nesting", "map expansion size"];
        let told = what.into_iter().find(|what| text.contains(what));
        format!("{}, {}", world.refusal(b"\r\n"), told.unwrap_or(text))
    };
    for count in [1, 2, 3, 10, 100, 1000] {
        let mut world = (0..count).fold(World::new(), |world, number| {
            let next = format!("u{}@b.example", (number + 1) % count);
            world.table("hash:v", &format!("u{number}@b.example"), &next)
        });
        world.params.virtual_alias_maps = tables(&["hash:v"]);
        world.draft.envelope.recipients = vec![Recipient::new(mailbox("u0@b.example"))];
        if count == 1 {
            assert_eq!(world.recipients(), ["u0@b.example"], "an alias for itself is the address");
            continue;
        }
        assert_eq!(refused(&world), "451 4.6.0 Alias expansion error, map nesting", "{count} aliases");
        // With a copy for somebody at every turn it is as many recipients as are bearable, and no more.
        for number in 0..count {
            let both = format!("u{}@b.example, copy{number}@x.example", (number + 1) % count);
            world = world.table("hash:v", &format!("u{number}@b.example"), &both);
        }
        world.params.virtual_alias_expansion_limit = 50;
        assert_eq!(refused(&world), "451 4.6.0 Alias expansion error, map expansion size", "{count} lists");
    }
}

#[test]
fn a_broken_table_refuses_and_says_so_in_the_log() {
    let mut world = World::new();
    world.params.virtual_alias_maps = tables(&["fail:v"]);
    assert_eq!(world.refusal(b"\r\n"), "451 4.3.0 Error: queue file write error");
    let (_, events) = world.run(b"\r\n");
    assert!(matches!(events.last(), Some(Event::Warning { text, .. }) if text.contains("fail:v")));
}

#[test]
fn copies_go_to_bcc_recipients_and_are_never_reported_on() {
    let mut world = World::new().table("hash:s", "joe@a.example", "s@x.example").table(
        "hash:r",
        "@b.example",
        "r@x.example",
    );
    world.params.always_bcc = "all@x.example".into();
    world.params.sender_bcc_maps = tables(&["hash:s"]);
    world.params.recipient_bcc_maps = tables(&["hash:r"]);
    assert_eq!(world.recipients(), ["ann@b.example", "s@x.example", "all@x.example", "r@x.example"]);
    let (message, _) = world.message(b"\r\n");
    assert!(message.envelope.recipients[1..].iter().all(|r| r.notify == Notify::NEVER));
    world.draft.filtered = false;
    assert_eq!(world.recipients(), ["ann@b.example"]);
}

#[test]
fn header_rules_act_and_are_logged() {
    let mut world = World::new()
        .table("regexp:h", "Subject: spam", "REJECT 5.7.9 no spam")
        .table("regexp:h", "Subject: drop", "IGNORE")
        .table("regexp:h", "Subject: hold", "HOLD look at it")
        .table("regexp:h", "Subject: mark", "PREPEND X-Mark: yes")
        .table("regexp:h", "Subject: edit", "REPLACE Subject: edited")
        .table("regexp:h", "Subject: gone", "DISCARD")
        .table("regexp:h", "Subject: move", "REDIRECT x@y.example")
        .table("regexp:h", "Subject: copy", "BCC x@y.example")
        .table("regexp:m", "Content-Type: x", "REJECT");
    world.params.header_checks = tables(&["regexp:h"]);
    world.params.mime_header_checks = tables(&["regexp:m"]);
    assert_eq!(world.refusal(b"Subject: spam\r\n\r\n"), "550 5.7.9 no spam");
    assert_eq!(world.refusal(b"Content-Type: x\r\n\r\n"), "550 5.7.1 message content rejected");
    assert!(!world.text(b"Subject: drop\r\n\r\n").contains("Subject"));
    assert!(
        world.text(b"A: b\r\nSubject: mark\r\n\r\n").contains("A: b\r\nX-Mark: yes\r\nSubject: mark\r\n")
    );
    assert!(world.text(b"Subject: edit\r\n\r\n").contains("Subject: edited\r\n"));
    assert_eq!(world.run(b"Subject: gone\r\n\r\n").0, Finished::Discarded);
    let (moved, _) = world.message(b"Subject: move\r\n\r\n");
    let [to] = &moved.envelope.recipients[..] else {
        panic!("one recipient: {:?}", moved.envelope.recipients)
    };
    assert_eq!((&to.address, &to.original), (&mailbox("x@y.example"), &Some(mailbox("ann@b.example"))));
    assert_eq!(world.message(b"Subject: copy\r\n\r\n").0.envelope.recipients.len(), 2);
    let (held, events) = world.message(b"Subject: hold\r\n\r\n");
    assert!(held.hold);
    assert_eq!(
        events[0].text(),
        format!(
            "{}: hold: header Subject: hold from mail.c.example[192.0.2.1]; from=<joe@a.example> to=<ann@b.example> \
             proto=ESMTP helo=<c.example>: look at it",
            world.draft.id
        )
    );
    world.draft.filtered = false;
    world.message(b"Subject: spam\r\n\r\n");
}

#[test]
fn an_oversized_field_loses_its_excess() {
    let mut world = World::new();
    world.params.header_size_limit = 20;
    let text = world.text(b"Subject: 1234567\r\n 89012\r\nX: y\r\n\r\nbody");
    assert!(text.ends_with("Subject: 1234567\r\nX: y\r\n\r\nbody"), "{text}");
}

#[test]
fn a_header_beyond_the_bound_is_handed_on_unread() {
    let world = World::new().local();
    let content = [b"X: y\r\n".repeat(1_000_000), b"\r\nbody\r\n".to_vec()].concat();
    let (message, _) = world.message(&content);
    assert_eq!(message.pieces.size(), content.len() as u64 + world.draft.trace.len() as u64);
}

/// Answers every question with nothing, forgetting facts as a joint may; gives the number of questions and of facts at once.
fn drained(world: &World, content: &[u8]) -> (usize, usize) {
    let mut cleanup = Cleanup::new();
    content.chunks(10_240).for_each(|chunk| cleanup.content(chunk));
    let (mut facts, mut asked, mut known, mut steps) = (Facts::new(), 0, 0, 0);
    while let Err(Pause::Need(question)) =
        cleanup.resume(Now::default(), &world.draft, &world.params, &world.rewrite, &facts)
    {
        if cleanup.steps() != steps {
            facts.clear();
            steps = cleanup.steps();
        }
        facts.learn(question, Answer::Lookup(Ok(None)));
        (asked, known) = (asked + 1, known.max(facts.len()));
    }
    (asked, known)
}

#[test]
fn many_questions_cost_no_more_than_their_answers() {
    let mut world = World::new();
    world.params.header_checks = tables(&["regexp:h"]);
    world.draft.trace.clear();
    let header: Vec<u8> = (0..50_000).flat_map(|n| format!("X: {n}\r\n").into_bytes()).collect();
    assert_eq!(drained(&world, &header), (50_000, 1));
}

#[test]
fn a_long_list_of_addresses_is_gone_through_once() {
    let mut world = World::new().local();
    world.params.canonical_maps = tables(&["regexp:c"]);
    let list: String = (0..2_000).map(|n| format!("u{n}@x.example,\r\n ")).collect();
    let (asked, known) = drained(&world, format!("To: {list}z\r\n\r\n").as_bytes());
    // The limit of tokens ends the list a little earlier.
    assert!(asked > 1_700 && known <= asked, "{asked} {known}");
}

#[test]
fn a_thousand_recipients_ask_for_themselves_only() {
    let mut world = World::new();
    world.params.virtual_alias_maps = tables(&["hash:v"]);
    let recipient = |n: u32| Recipient::new(Mailbox::new(&format!("u{n}"), "x.example"));
    world.draft.envelope.recipients = (0..1_000).map(recipient).collect();
    let (asked, known) = drained(&world, b"\r\n");
    assert!(asked >= 2_000 && known <= 4, "{asked} {known}");
}

proptest::proptest! {
    #[test]
    fn segments_do_not_matter(content in "([A-Za-z: \t@<>,]|\r\n){0,120}", cut in 1usize..20) {
        let world = World::new().local();
        let run = |cut: usize| {
            let mut cleanup = Cleanup::new();
            content.as_bytes().chunks(cut.max(1)).for_each(|chunk| cleanup.content(chunk));
            cleanup.finish(Now::default(), &world.draft, &world.params, &world.rewrite, &Facts::new())
        };
        proptest::prop_assert_eq!(run(cut), run(content.len()));
    }
}
