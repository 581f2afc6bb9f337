use super::*;
use crate::ask::{Answer, Facts, Pause, Question, TableFailure, TableName};
use crate::mail::{AttemptId, BodyType, Notify};
use crate::params::Settings;
use crate::rewrite::Rewrite;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// A host with its tables, users and files; every domain is ours, but for those that a table `class` would know better.
struct Host {
    params: Params,
    tables: BTreeMap<(String, String), String>,
    delivered_to: Vec<String>,
    sender: Sender,
    size: u64,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            params: Params { alias_maps: vec![TableName("hash:a".into())], ..Params::default() },
            tables: BTreeMap::new(),
            delivered_to: Vec::new(),
            sender: Sender::Mailbox(Mailbox::new("joe", "x.example")),
            size: 1000,
        };
        host.with("unix:passwd.byname", "ann", "ann:x:1000:1001:Ann:/home/ann:/bin/sh").with(
            "unix:passwd.byname",
            "nobody",
            "nobody:x:65534:65533::/:/bin/false",
        )
    }

    fn with(mut self, table: &str, key: &str, value: &str) -> Self {
        self.tables.insert((table.to_owned(), key.to_owned()), value.to_owned());
        self
    }

    fn alias(self, name: &str, value: &str) -> Self {
        self.with("hash:a", name, value)
    }

    fn attempt(&self, address: &str, nexthop: &str) -> Attempt {
        let (local, domain) = address.split_once('@').unwrap_or((address, ""));
        Attempt {
            id: AttemptId(1),
            message: QueueId::default(),
            transport: "local".into(),
            nexthop: nexthop.into(),
            sender: self.sender.clone(),
            recipients: vec![AttemptRecipient {
                index: 0,
                address: Mailbox::new(local, domain),
                original: None,
                orcpt: None,
                notify: Notify::default(),
            }],
            size: self.size,
            pieces: crate::mail::Pieces::default().into(),
            body: BodyType::SevenBit,
            smtputf8: false,
            envid: None,
            ret: None,
            arrived: Timestamp::default(),
            keep_connection: false,
        }
    }

    fn answer(&self, question: &Question) -> Answer {
        let Question::Lookup { table, key } = question else { panic!("{question:?}") };
        let found = self.tables.get(&(table.0.clone(), key.clone())).cloned();
        if found.as_deref() == Some("FAIL") {
            return Answer::Lookup(Err(TableFailure { table: table.clone(), why: "broken".into() }));
        }
        Answer::Lookup(Ok(found))
    }

    fn run(&self, address: &str, virtually: bool) -> Delivery {
        let attempt = self.attempt(address, "");
        let job =
            Job { attempt: &attempt, recipient: &attempt.recipients[0], delivered_to: &self.delivered_to };
        let rewrite = Rewrite::new(&Settings::default()).unwrap();
        let mut facts = Facts::new();
        loop {
            let result = if virtually {
                decide_virtual(job, &self.params, &facts)
            } else {
                decide(job, &self.params, &rewrite, &facts)
            };
            match result {
                Ok(delivery) => return delivery,
                Err(Pause::Need(question)) => {
                    let answer = self.answer(&question);
                    facts.learn(question, answer);
                }
                Err(Pause::Broken(failure)) => panic!("{failure:?}"),
            }
        }
    }

    /// What is done, in words.
    fn said(&self, address: &str) -> String {
        said(&self.run(address, false))
    }

    fn said_virtual(&self, address: &str) -> String {
        said(&self.run(address, true))
    }
}

fn said(delivery: &Delivery) -> String {
    let mut words = Vec::new();
    for deposit in &delivery.deposits {
        words.push(format!("{:?} {} {}:{}", deposit.format, deposit.path, deposit.uid, deposit.gid));
    }
    words.extend(delivery.handover.iter().map(|to| format!("{}:{}", to.transport, to.nexthop)));
    if let Some(forward) = &delivery.forward {
        let to: Vec<String> = forward.recipients.iter().map(|r| r.address.external()).collect();
        words.push(format!("from {} to {}", forward.sender.external(), to.join(" ")));
    }
    if words.is_empty() {
        let diagnosis = delivery.outcome.diagnosis();
        words.push(format!("{} {}", diagnosis.status, diagnosis.text));
    }
    words.join(", ")
}

#[test]
fn a_user_gets_mail_into_the_mailbox_of_the_configuration() {
    let mut host = Host::new();
    assert_eq!(host.said("Ann@here"), "Mbox /var/mail/ann 1000:1001");
    host.params.mail_spool_directory = "/var/mail/".into();
    assert_eq!(host.said("ann@here"), "Maildir /var/mail/ann/ 1000:1001");
    host.params.home_mailbox = "Maildir/".into();
    let delivery = host.run("ann@Here", false);
    assert_eq!(said(&delivery), "Maildir /home/ann/Maildir/ 1000:1001");
    assert_eq!(delivery.outcome.diagnosis().text, "delivered to maildir");
    assert_eq!(
        String::from_utf8_lossy(&delivery.deposits[0].header),
        "Return-Path: <joe@x.example>\r\nX-Original-To: ann@Here\r\nDelivered-To: ann@Here\r\n"
    );
}

#[test]
fn nobody_s_mail_is_returned_unless_somebody_takes_it() {
    let mut host = Host::new();
    assert_eq!(host.said("zoe@here"), "5.1.1 unknown user: \"zoe\"");
    assert_eq!(host.said("postmaster@here"), "2.0.0 discarded");
    assert_eq!(host.said("../ann@here"), "5.1.1 unknown user: \"../ann\"");
    host.params.luser_relay = "$user+unknown@x.example".into();
    assert_eq!(host.said("zoe@here"), "from joe@x.example to zoe+unknown@x.example");
    host.params.fallback_transport = "lmtp:unix:private/x".into();
    assert_eq!(host.said("zoe@here"), "lmtp:unix:private/x");
    host.params.mailbox_transport = "lmtp".into();
    assert_eq!(host.said("ann@here"), "lmtp:here");
    let mut host = Host::new().alias("ann", "ann, copy@y.example");
    host.params.mailbox_transport = "lmtp".into();
    assert_eq!(
        host.said("ann@here"),
        "lmtp:here, from joe@x.example to copy@y.example",
        "both, in this order"
    );
}

#[test]
fn aliases_are_followed_and_lists_become_a_message() {
    let host = Host::new()
        .alias("postmaster", "root")
        .alias("root", "Ann")
        .alias("staff", "ann, bob, Zoe <zoe@y.example>, bob")
        .alias("ring", "gnir")
        .alias("gnir", "ring")
        .alias("empty", "");
    assert_eq!(host.said("Postmaster@here"), "Mbox /var/mail/ann 1000:1001");
    assert_eq!(
        host.said("staff@here"),
        "from joe@x.example to ann@localhost.localdomain bob@localhost.localdomain zoe@y.example"
    );
    assert_eq!(host.run("staff@here", false).forward.unwrap().prepend, ["Delivered-To: staff@here"]);
    assert_eq!(host.said("ring@here"), "5.4.6 alias database loop for gnir");
    assert_eq!(host.said("empty@here"), "4.3.5 alias empty has no destination");
}

#[test]
fn who_stands_in_two_lists_of_a_list_gets_it_once() {
    let host = Host::new()
        .alias("all", "ann, staff, board, Staff, x@y.example")
        .alias("staff", "bob, ann")
        .alias("board", "chair, bob")
        .alias("chair", "Ann")
        .alias("mixed", "ann, archive, guild")
        .alias("archive", "ann, /var/box")
        .alias("guild", "ann")
        .alias("owner-guild", "boss@y.example")
        .alias("over", "under, ann")
        .alias("under", "over, bob")
        .alias("ann", "ann, copy@y.example")
        .alias("keeper", "bob, ann");
    let to = |names: &str| format!("from joe@x.example to {names}").replace("@@", "@localhost.localdomain");
    assert_eq!(host.said("all@here"), to("ann@@ bob@@ x@y.example"));
    // What could fail by itself, or has an owner of its own, stays a recipient of its own.
    assert_eq!(host.said("mixed@here"), to("ann@@ archive@@ guild@@"));
    assert_eq!(host.said("over@here"), to("over@@ bob@@ ann@@"), "only the loop will be returned");
    assert_eq!(host.said("keeper@here"), to("bob@@ ann@@"), "her own copy is her own business");
    assert_eq!(host.said("ann@here"), "Mbox /var/mail/ann 1000:1001, from joe@x.example to copy@y.example");
}

#[test]
fn who_stands_in_their_own_alias_gets_it_themselves() {
    let host = Host::new().alias("ann", "ann, copy@y.example");
    assert_eq!(host.said("ann@here"), "Mbox /var/mail/ann 1000:1001, from joe@x.example to copy@y.example");
    let host = Host::new().alias("ann", "\\ann");
    assert_eq!(host.said("ann@here"), "Mbox /var/mail/ann 1000:1001");
}

#[test]
fn the_owner_of_a_list_answers_for_it() {
    let mut host = Host::new().alias("list", "ann").alias("owner-list", "boss@y.example");
    assert_eq!(
        host.said("list@localhost.localdomain"),
        "from owner-list@localhost.localdomain to ann@localhost.localdomain"
    );
    host.params.expand_owner_alias = true;
    assert_eq!(host.said("list@here"), "from boss@y.example to ann@localhost.localdomain");
    host.sender = Sender::Null;
    assert_eq!(host.said("list@here"), "Mbox /var/mail/ann 1000:1001");
}

#[test]
fn what_the_writer_wants_to_be_told_of_does_not_hold_for_the_members_of_a_list_with_an_owner() {
    let host =
        Host::new().alias("list", "a@y.example").alias("owner-list", "boss").alias("all", "a@y.example");
    let attempt = Attempt { envid: Some("E1".to_owned()), ..host.attempt("x@here", "") };
    for (name, of_list) in [("list@here", true), ("all@here", false)] {
        let forward = host.run(name, false).forward.expect("an address elsewhere");
        assert_eq!(forward.recipients[0].original.is_none(), of_list, "{name}");
        assert_eq!(forward.envelope(&attempt).envid.is_none(), of_list, "{name}");
    }
}

#[test]
fn names_of_aliases_may_hold_spaces() {
    let host = Host::new().alias("two words", "ann");
    assert_eq!(host.said("Two Words@here"), "Mbox /var/mail/ann 1000:1001");
}

#[test]
fn outcomes_name_the_service() {
    let host = Host::new();
    let attempt = Attempt { transport: "homes".to_owned(), ..host.attempt("zoe@here", "") };
    let job = Job { attempt: &attempt, recipient: &attempt.recipients[0], delivered_to: &[] };
    let facts = Facts::default();
    let delivery = decide_virtual(job, &host.params, &facts).expect("no table");
    assert_eq!(delivery.outcome.diagnosis().relay, "homes");
}

#[test]
fn extensions_find_their_alias_and_their_forward_file() {
    let mut host = Host::new()
        .alias("list+admin", "a@y.example, c@y.example")
        .alias("list", "b@y.example, d@y.example")
        .with("forward:/home/ann/.forward+work", "ann", "work@y.example");
    host.params.recipient_delimiter = "+".into();
    assert_eq!(host.said("list+admin@here"), "from joe@x.example to a@y.example c@y.example");
    assert_eq!(host.said("list+other@here"), "from joe@x.example to b@y.example d@y.example");
    assert_eq!(host.said("ann+work@here"), "from joe@x.example to work@y.example");
    assert_eq!(host.said("ann+../x@here"), "Mbox /var/mail/ann 1000:1001");
}

#[test]
fn forward_files_may_keep_a_copy() {
    let host = Host::new().with(
        "forward:/home/ann/.forward",
        "ann",
        "# mine\n\\ann, ann\nAnn@localhost.localdomain\n",
    );
    assert_eq!(host.said("ann@here"), "Mbox /var/mail/ann 1000:1001");
    let host = Host::new().with("forward:/home/ann/.forward", "ann", "\\ann, bob, /home/ann/box/");
    assert_eq!(
        host.said("ann@here"),
        "Mbox /var/mail/ann 1000:1001, Maildir /home/ann/box/ 1000:1001, from joe@x.example to bob@localhost.localdomain"
    );
    let host = Host::new().with("forward:/home/ann/.forward", "ann", "\n");
    assert_eq!(host.said("ann@here"), "Mbox /var/mail/ann 1000:1001");
    let host = Host::new().with("forward:/home/ann/.forward", "ann", "FAIL");
    assert_eq!(host.said("ann@here"), "4.3.0 cannot open file forward:/home/ann/.forward: broken");
}

#[test]
fn a_forward_file_that_names_its_own_user_is_no_loop() {
    for names in [
        "ann",
        "Ann",
        "\\ann",
        "ann@localhost.localdomain",
        "ann, ann",
        "ann\nann\n",
        "Ann <ann@localhost.localdomain>",
    ] {
        let host = Host::new().with("forward:/home/ann/.forward", "ann", names);
        assert_eq!(host.said("ann@here"), "Mbox /var/mail/ann 1000:1001", "{names}");
    }
    // By way of another she gets it back, and it is returned instead of going round.
    let mut host = Host::new()
        .with("unix:passwd.byname", "bob", "bob:x:1002:1003:Bob:/home/bob:/bin/sh")
        .with("forward:/home/ann/.forward", "ann", "bob")
        .with("forward:/home/bob/.forward", "bob", "ann");
    for (address, next) in [("ann@localhost.localdomain", "bob"), ("bob@localhost.localdomain", "ann")] {
        assert_eq!(host.said(address), format!("from joe@x.example to {next}@localhost.localdomain"));
        let mut prepend = host.run(address, false).forward.unwrap().prepend;
        prepend.extend(host.delivered_to.iter().map(|to| format!("Delivered-To: {to}")));
        host.delivered_to = delivered_to(format!("{}\r\n\r\nbody", prepend.join("\r\n")).as_bytes());
    }
    assert_eq!(
        host.said("ann@localhost.localdomain"),
        "5.4.6 mail forwarding loop for ann@localhost.localdomain"
    );
}

#[test]
fn files_commands_and_inclusions_have_their_rules() {
    let host = Host::new()
        .alias("file", "/var/box")
        .alias("command", "\"|cmd\"")
        .alias("all", ":include:/etc/list")
        .alias("some", ":include:/etc/bad, a@y.example")
        .alias("gone", ":include:/etc/gone")
        .with("include:/etc/list", "nobody", "a@y.example\n# no\nb@y.example\n")
        .with("include:/etc/bad", "nobody", "/var/box\n|cmd\n");
    assert_eq!(host.said("file@here"), "Mbox /var/box 65534:65533");
    assert_eq!(host.said("command@here"), "4.3.5 delivery to commands does not work yet");
    assert_eq!(host.said("all@here"), "from joe@x.example to a@y.example b@y.example");
    assert_eq!(host.said("some@here"), "4.3.5 mail to command is restricted");
    assert_eq!(host.said("gone@here"), "4.3.5 cannot open include file /etc/gone");
}

#[test]
fn a_list_is_read_with_the_rights_of_whoever_names_it() {
    let host = Host::new()
        .alias("list", ":include:/etc/secret")
        .with("forward:/home/ann/.forward", "ann", ":include:/etc/secret")
        .with("include:/etc/secret", "ann", "for-ann@y.example, more@y.example")
        .with("include:/etc/secret", "nobody", "for-all@y.example, more@y.example");
    assert_eq!(host.said("ann@here"), "from joe@x.example to for-ann@y.example more@y.example");
    assert_eq!(host.said("list@here"), "from joe@x.example to for-all@y.example more@y.example");
}

#[test]
fn loops_end() {
    let mut host = Host::new().alias("self", ":include:/etc/self").with(
        "include:/etc/self",
        "nobody",
        ":include:/etc/self",
    );
    assert_eq!(host.said("self@here"), "5.4.6 possible mail forwarding loop in /etc/self");
    host.delivered_to = delivered_to(b"X: y\r\nDelivered-To: Ann@Here\r\n\r\nDelivered-To: z\r\n");
    assert_eq!(host.said("ann@here"), "5.4.6 mail forwarding loop for ann@here");
    assert_eq!(host.said_virtual("ann@here"), "5.4.6 mail forwarding loop for ann@here");
}

/// How many go round.
const ROUNDS: [usize; 6] = [1, 2, 3, 10, 100, 1000];

#[test]
fn aliases_that_lead_back_end_however_many_there_are() {
    for count in ROUNDS {
        let next = |number: usize| format!("a{}", (number + 1) % count);
        let host =
            (0..count).fold(Host::new(), |host, number| host.alias(&format!("a{number}"), &next(number)));
        let end = match count {
            // It means the user, who is not there.
            1 => "5.1.1 unknown user: \"a0\"".to_owned(),
            2..=100 => format!("5.4.6 alias database loop for a{}", count - 1),
            _ => "5.4.6 possible mail forwarding loop for a0@here".to_owned(),
        };
        assert_eq!(host.said("a0@here"), end, "{count} aliases");
    }
}

#[test]
fn files_that_include_one_another_end_however_many_there_are() {
    for count in ROUNDS {
        let next = |number: usize| format!(":include:/etc/{}", (number + 1) % count);
        let host = (0..count).fold(Host::new().alias("list", ":include:/etc/0"), |host, number| {
            host.with(&format!("include:/etc/{number}"), "nobody", &next(number))
        });
        // The first that lies deeper than a hundred.
        let end = format!("5.4.6 possible mail forwarding loop in /etc/{}", 101 % count);
        assert_eq!(host.said("list@here"), end, "{count} files");
    }
}

#[test]
fn users_who_forward_to_one_another_end_however_many_there_are() {
    for count in ROUNDS.into_iter().skip(1) {
        let mut host = (0..count).fold(Host::new(), |host, number| {
            let (name, next) = (format!("u{number}"), format!("u{}", (number + 1) % count));
            host.with("unix:passwd.byname", &name, &format!("{name}:x:1:1::/home/{name}:/bin/sh")).with(
                &format!("forward:/home/{name}/.forward"),
                &name,
                &next,
            )
        });
        for number in 0..count {
            let address = format!("u{number}@localhost.localdomain");
            let forward = host.run(&address, false).forward.expect("one message to the next");
            assert_eq!(forward.recipients.len(), 1, "never more than one copy");
            let next = format!("u{}@localhost.localdomain", (number + 1) % count);
            assert_eq!(forward.recipients[0].address.external(), next);
            let header = format!("{}\r\n\r\n", forward.prepend.join("\r\n"));
            host.delivered_to.extend(delivered_to(header.as_bytes()));
        }
        assert_eq!(
            host.said("u0@localhost.localdomain"),
            "5.4.6 mail forwarding loop for u0@localhost.localdomain",
            "{count} users"
        );
    }
}

#[test]
fn broken_tables_defer() {
    assert_eq!(Host::new().alias("x", "FAIL").said("x@here"), "4.3.0 alias database unavailable");
    let host = Host::new().with("unix:passwd.byname", "ann", "FAIL");
    assert_eq!(host.said("ann@here"), "4.3.0 user database lookup error");
}

#[test]
fn virtual_mailboxes_come_from_tables() {
    let mut host = Host::new()
        .with("hash:m", "ann@v.example", "v.example/ann/")
        .with("hash:m", "@all.example", "all.example/box")
        .with("hash:m", "bad@v.example", "../../etc/box")
        .with("static:u", "ann@v.example", "5000")
        .with("static:u", "@all.example", "5000")
        .with("static:u", "bad@v.example", "5000");
    let table = |name: &str| vec![TableName(name.to_owned())];
    host.params.virtual_mailbox_base = "/var/vmail".into();
    host.params.virtual_mailbox_maps = table("hash:m");
    host.params.virtual_uid_maps = table("static:u");
    host.params.virtual_gid_maps = table("static:u");
    host.params.recipient_delimiter = "+".into();
    assert_eq!(host.said_virtual("Ann+x@v.example"), "Maildir /var/vmail/v.example/ann/ 5000:5000");
    assert_eq!(host.said_virtual("z@all.example"), "Mbox /var/vmail/all.example/box 5000:5000");
    assert_eq!(host.said_virtual("z@v.example"), "5.1.1 unknown user: \"z@v.example\"");
    assert_eq!(host.said_virtual("bad@v.example"), "4.3.5 mail system configuration error");
    host.params.virtual_minimum_uid = 6000;
    assert_eq!(host.said_virtual("ann@v.example"), "4.3.5 mail system configuration error");
    host.params.virtual_minimum_uid = 100;
    host.size = 60_000_000;
    assert_eq!(
        host.said_virtual("ann@v.example"),
        "5.2.2 maildir delivery failed: error writing message: File too large"
    );
}

#[test]
fn the_next_hop_of_error_and_discard_is_the_reason() {
    let host = Host::new();
    let text = |outcome: &Outcome| format!("{} {}", outcome.diagnosis().status, outcome.diagnosis().text);
    let attempt = |nexthop: &str| host.attempt("a@b", nexthop);
    assert_eq!(text(&failed(&attempt("5.1.2 no such place"), false)), "5.1.2 no such place");
    assert_eq!(text(&failed(&attempt("closed"), false)), "5.0.0 closed");
    assert_eq!(text(&failed(&attempt("5.7.1 later"), true)), "4.7.1 later");
    assert_eq!(text(&discarded(&attempt("gone"))), "2.0.0 gone");
    assert!(matches!(failed(&attempt(""), true), Outcome::Deferred(_)));
}

#[test]
fn faults_of_the_disk_defer_and_full_mailboxes_fail() {
    let deposit = Deposit { path: "/m".into(), owner: "ann".into(), ..Deposit::default() };
    let text = |f: &Fault| fault(&deposit, f, "local").diagnosis().text.clone();
    assert_eq!(
        text(&Fault::Full),
        "cannot update mailbox /m for user ann. error writing message: File too large"
    );
    assert!(matches!(fault(&deposit, &Fault::Full, "local"), Outcome::Failed(_)));
    assert!(matches!(fault(&deposit, &Fault::Other("x".into()), "local"), Outcome::Deferred(_)));
}
