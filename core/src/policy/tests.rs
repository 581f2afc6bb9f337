mod keys;

use super::*;
use crate::ask::{DnsFailure, DnsRecord, DnsRecords, RecordKind};
use crate::rewrite;
use crate::rewrite::parse_address;
use crate::rewrite::tests::{World, site, tables};
use crate::tables::{Form, MatchList};
use crate::time::Instant;

/// A stranger's command, unless said otherwise.
struct Scene {
    policy: Params,
    rewriting: rewrite::Params,
    world: World,
    client: (&'static str, &'static str),
    helo: Option<&'static str>,
    sender: &'static str,
    recipients: u32,
    user: Option<&'static str>,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            policy: Params {
                relay: "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination".into(),
                mynetworks: MatchList::parse("10.0.0.0/8 [::1]/128", Form::Clients, true).unwrap(),
                ..Params::default()
            },
            rewriting: site(),
            world: World::default(),
            client: ("unknown", "198.51.100.7"),
            helo: Some("client.test"),
            sender: "s@sender.test",
            recipients: 0,
            user: None,
        }
    }
}

impl Scene {
    fn with_recipient_list(list: &str) -> Self {
        let mut scene = Self::default();
        scene.policy.recipient = list.into();
        scene
    }

    fn with_table(list: &str, table: (&str, &str)) -> Self {
        Self { world: World::new(&[table]), ..Self::with_recipient_list(list) }
    }

    fn judge_mailbox(&self, stage: Stage, recipient: Option<&Mailbox>) -> Judgement {
        let rewrite = Rewrite::with(self.rewriting.clone());
        let policy = Policy::with(self.policy.clone()).unwrap();
        let client = ClientFacts {
            name: self.client.0.into(),
            address: Some(self.client.1.parse().unwrap()),
            ..ClientFacts::default()
        };
        let sender =
            parse_address(self.sender).map_or(Sender::Null, |m| Sender::Mailbox(rewrite.canonical(&m)));
        let recipient = recipient.map(|mailbox| rewrite.canonical(mailbox));
        let situation = Situation {
            client: &client,
            reverse_name: self.client.0,
            helo: self.helo,
            sender: Some(&sender),
            recipient: recipient.as_ref(),
            recipients: self.recipients,
            size: 0,
            sasl_user: self.user,
            tls: None,
        };
        self.world.decide(|facts| policy.judge(stage, &situation, &rewrite, facts)).unwrap()
    }

    fn judge(&self, recipient: &str) -> Judgement {
        self.judge_mailbox(Stage::Rcpt, Some(&parse_address(recipient).unwrap_or_default()))
    }

    /// The reply as the client sees it, or `ok`.
    fn says(&self, recipient: &str) -> String {
        said(&self.judge(recipient))
    }
}

fn said(judgement: &Judgement) -> String {
    match &judgement.verdict {
        Verdict::Permit => "ok".into(),
        Verdict::Refuse(reply) => {
            assert!(reply.status.is_some_and(|status| u16::from(status.class) == reply.code / 100));
            format!("{} {} {}", reply.code, reply.status.unwrap(), reply.lines[0])
        }
    }
}

/// attacks.md, S14: every way in which a recipient has been written to make a host relay, and some more.
fn relay_battery() -> Vec<Mailbox> {
    let text = [
        "u@d.test",
        "u%d.test@here.example",
        "u%d.test@[192.0.2.1]",
        "\"u@d.test\"",
        "\"u%d.test\"",
        "u@d.test@[192.0.2.1]",
        "\"u@d.test\"@[192.0.2.1]",
        "u@d.test@here.example",
        "@[192.0.2.1]:u@d.test",
        "@here.example:u@d.test",
        "@here.example,@x.test:u@d.test",
        "d.test!u",
        "d.test!u@[192.0.2.1]",
        "d.test!u@here.example",
        "u@d.test%here.example",
        "u@d.test.",
        "u@[198.51.100.9]",
        "\"u \"@d.test",
        "u(c)@d.test",
        "\"u\\\"@here.example\"@d.test",
        "\"<u@d.test>\"@here.example",
        "u@here.example.d.test",
        "u%d.test",
        "u%d.test%here.example@here.example",
        "\"u@d.test\"@relay.example",
        "u%d.test@relay.example",
        "d.test!u@box.example",
        "u@hеre.example",
        "\"d.test!u v\"@here.example",
        "u@[IPv6:2001:db8::9]",
        "a.test!d.test!u",
        "u@d.test@relay.example",
        "\"@here.example:u@d.test\"@here.example",
        "u@here.example@d.test",
    ];
    let mut battery: Vec<Mailbox> = text.iter().filter_map(|text| parse_address(text)).collect();
    battery.push(Mailbox::new("u@d.test\0", "here.example"));
    battery.push(Mailbox::new("u@d.test", ""));
    battery.push(Mailbox::new("u%d.test", "localhost"));
    assert_eq!(battery.len(), text.len() + 3);
    battery
}

#[test]
fn strangers_relay_nothing_however_they_write_it() {
    for defer in [false, true] {
        for sender in
            ["", "s@d.test", "s@localhost", "s@[192.0.2.1]", "root@here.example", "s@mx.here.example"]
        {
            let mut scene = Scene { sender, ..Scene::default() };
            if defer {
                scene.policy.relay = Params::default().relay;
            }
            for recipient in relay_battery() {
                let reply = said(&scene.judge_mailbox(Stage::Rcpt, Some(&recipient)));
                let wanted = if defer { "454 4.7.1" } else { "554 5.7.1" };
                assert!(
                    reply.starts_with(wanted) && reply.ends_with("Relay access denied"),
                    "{sender} {recipient:?}: {reply}"
                );
            }
        }
    }
}

#[test]
fn those_we_trust_may_relay() {
    let network = Scene { client: ("unknown", "10.1.2.3"), ..Scene::default() };
    let login = Scene { user: Some("alice"), ..Scene::default() };
    for scene in [network, login] {
        for recipient in relay_battery() {
            assert_eq!(said(&scene.judge_mailbox(Stage::Rcpt, Some(&recipient))), "ok", "{recipient:?}");
        }
    }
}

#[test]
fn our_own_domains_take_mail_from_anybody() {
    for recipient in [
        "u@here.example",
        "u@box.example",
        "u@sub.relay.example",
        "u@[192.0.2.1]",
        "u%here.example@localhost",
    ] {
        assert_eq!(Scene::default().says(recipient), "ok", "{recipient}");
    }
    let allowed = Scene {
        policy: Params { allow_untrusted_routing: true, ..Scene::default().policy },
        ..Scene::default()
    };
    assert_eq!(allowed.says("u%d.test@relay.example"), "ok");
}

#[test]
fn replies_are_those_of_postfix() {
    for (list, wanted) in [
        ("reject", "554 5.7.1 <u@here.example>: Recipient address rejected: Access denied"),
        ("defer", "450 4.3.2 <u@here.example>: Recipient address rejected: Try again later"),
        (
            "defer_if_permit",
            "450 4.7.0 <u@here.example>: Recipient address rejected: defer_if_permit requested",
        ),
        (
            "defer_if_reject, reject",
            "450 4.7.0 <u@here.example>: Recipient address rejected: defer_if_reject requested",
        ),
        ("defer_if_reject", "ok"),
        ("defer_if_permit, reject", "554 5.7.1 <u@here.example>: Recipient address rejected: Access denied"),
        ("permit, reject", "ok"),
        ("warn_if_reject reject, permit", "ok"),
        ("reject_plaintext_session", "450 4.7.1 Session encryption is required"),
        (
            "reject_unknown_client_hostname",
            "450 4.7.25 Client host rejected: cannot find your hostname, [198.51.100.7]",
        ),
        ("reject_rbl_client x.test", "451 4.3.5 Server configuration error"),
        ("warn_if_reject reject_rbl_client x.test", "ok"),
        ("permit_tls_clientcerts reject", "451 4.3.5 Server configuration error"),
        ("permit_tls_clientcerts permit", "ok"),
        ("reject_non_fqdn_sender reject_non_fqdn_recipient reject_non_fqdn_helo_hostname", "ok"),
    ] {
        assert_eq!(Scene::with_recipient_list(list).says("u@here.example"), wanted, "{list}");
    }
}

#[test]
fn names_that_can_not_be_are_refused() {
    let says = |list: &str, helo, sender| {
        let scene = Scene { helo, sender, ..Scene::with_recipient_list(list) };
        scene.says("u@here.example")
    };
    let fqdn = "reject_non_fqdn_helo_hostname";
    assert_eq!(
        says(fqdn, Some("bad"), ""),
        "504 5.5.2 <bad>: Helo command rejected: need fully-qualified hostname"
    );
    assert_eq!(
        says(fqdn, Some("bad_name!.x"), ""),
        "504 5.5.2 <bad_name!.x>: Helo command rejected: need fully-qualified hostname"
    );
    assert_eq!(
        says(fqdn, Some("[1.2.3]"), ""),
        "501 5.5.2 <[1.2.3]>: Helo command rejected: invalid ip address"
    );
    assert_eq!(says(fqdn, None, ""), "ok");
    assert_eq!(
        says("reject_invalid_helo_hostname", Some("a b"), ""),
        "501 5.5.2 <a b>: Helo command rejected: Invalid name"
    );
    assert_eq!(says("reject_invalid_helo_hostname", Some("1.2.3.4"), ""), "ok");
    assert_eq!(
        says("reject_non_fqdn_sender", None, "foo@bar"),
        "504 5.5.2 <foo@bar>: Sender address rejected: need fully-qualified address"
    );
    assert_eq!(says("reject_non_fqdn_sender", None, ""), "ok");
}

#[test]
fn domains_that_can_not_be_answered_are_refused() {
    let records = |records| {
        Ok(DnsRecords { records, canonical: "x".into(), valid_until: Instant(0), authentic: false })
    };
    let mut scene = Scene::with_recipient_list("reject_unknown_sender_domain, reject_unknown_helo_hostname");
    let mut name = |name: &str, kind, answer| scene.world.names.insert((name.to_owned(), kind), answer);
    name(
        "null.test",
        RecordKind::Mx,
        records(vec![DnsRecord::Mx { preference: 0, exchange: String::new() }]),
    );
    name("addr.test", RecordKind::Mx, Err(DnsFailure::NoSuchRecord));
    name("addr.test", RecordKind::A, records(vec![DnsRecord::A([192, 0, 2, 9].into())]));
    name("slow.test", RecordKind::Mx, Err(DnsFailure::TryAgain));
    scene.helo = Some("addr.test");
    for (sender, wanted) in [
        ("a@addr.test", "ok"),
        ("a@nx.test", "450 4.1.8 <a@nx.test>: Sender address rejected: Domain not found"),
        ("a@slow.test", "450 4.1.8 <a@slow.test>: Sender address rejected: Domain not found"),
        (
            "a@null.test",
            "550 5.7.27 <a@null.test>: Sender address rejected: Domain null.test does not accept mail (nullMX)",
        ),
        ("a@here.example", "ok"),
        ("a@[192.0.2.77]", "ok"),
        ("", "ok"),
    ] {
        scene.sender = sender;
        assert_eq!(scene.says("u@here.example"), wanted, "{sender}");
    }
    scene.helo = Some("nx.test");
    assert_eq!(scene.says("u@here.example"), "450 4.7.1 <nx.test>: Helo command rejected: Host not found");
    scene.policy.recipient = "reject_unknown_recipient_domain".into();
    scene.client.1 = "10.0.0.1";
    assert_eq!(
        scene.says("u@null.test"),
        "556 5.1.10 <u@null.test>: Recipient address rejected: Domain null.test does not accept mail (nullMX)"
    );
}

#[test]
fn users_that_no_table_knows_are_refused() {
    let mut scene = Scene::default();
    scene.rewriting.local_recipient_maps = tables("inline:{known=x}");
    scene.rewriting.transport_maps =
        tables("inline:{{e.relay.example = error:5.7.9 foo}, {q.relay.example = retry:4.4.4 wait}}");
    scene.rewriting.relocated_maps = tables("inline:{m@here.example=n@x.test}");
    for (recipient, wanted) in [
        ("known@here.example", "ok"),
        (
            "x@here.example",
            "550 5.1.1 <x@here.example>: Recipient address rejected: User unknown in local recipient table",
        ),
        (
            "x@alias.example",
            "550 5.1.1 <x@alias.example>: Recipient address rejected: User unknown in virtual alias table",
        ),
        (
            "m@here.example",
            "550 5.1.6 <m@here.example>: Recipient address rejected: User has moved to n@x.test",
        ),
        ("x@e.relay.example", "550 5.7.9 <x@e.relay.example>: Recipient address rejected: foo"),
        ("x@q.relay.example", "450 4.4.4 <x@q.relay.example>: Recipient address rejected: wait"),
    ] {
        assert_eq!(scene.says(recipient), wanted, "{recipient}");
    }
    scene.policy.reject_unlisted_recipient = false;
    assert_eq!(scene.says("x@here.example"), "ok");
    scene.policy.reject_unlisted_sender = true;
    scene.sender = "x@here.example";
    let wanted = "550 5.1.0 <x@here.example>: Sender address rejected: User unknown in local recipient table";
    assert_eq!(scene.says("known@here.example"), wanted);
    scene.sender = "x@alias.example";
    let wanted = "550 5.1.7 <x@alias.example>: Sender address rejected: User unknown in virtual alias table";
    assert_eq!(scene.says("known@here.example"), wanted);
}

#[test]
fn classes_are_lists_with_a_name() {
    let mut scene =
        Scene::with_table("check_recipient_access hash:/a", ("hash:/a", "u@here.example strict\n"));
    scene.policy.classes.insert("strict".into(), "warn_if_reject inner, reject_non_fqdn_sender".into());
    scene.policy.classes.insert("inner".into(), "reject".into());
    scene.sender = "foo@bar";
    let judgement = scene.judge("u@here.example");
    assert!(said(&judgement).starts_with("504 5.5.2"), "{judgement:?}");
    let warned = "554 5.7.1 <u@here.example>: Recipient address rejected: Access denied";
    assert_eq!(judgement.actions, [Action::Log("reject_warning", warned.into())]);
}

#[test]
fn classes_without_end_are_a_configuration_error() {
    for inner in ["a", "warn_if_reject a a, a"] {
        let mut scene = Scene::with_recipient_list("a");
        scene.policy.classes.insert("a".into(), inner.into());
        assert_eq!(scene.says("u@here.example"), "451 4.3.5 Server configuration error");
    }
}

#[test]
fn a_broken_table_is_try_again_later() {
    let scene = Scene::with_recipient_list("check_sender_access fail:x");
    assert_eq!(scene.says("u@here.example"), "451 4.3.0 <s@sender.test>: Temporary lookup failure");
    let mut scene = Scene::default();
    scene.rewriting.local_recipient_maps = tables("fail:x");
    assert_eq!(scene.says("u@here.example"), "451 4.3.0 <u@here.example>: Temporary lookup failure");
}

#[test]
fn lists_of_earlier_stages_wait_for_the_recipient() {
    let mut scene = Scene::default();
    scene.policy.client = "reject".into();
    scene.policy.helo = "reject".into();
    assert_eq!(said(&scene.judge_mailbox(Stage::Client, None)), "ok");
    assert_eq!(
        scene.says("u@here.example"),
        "554 5.7.1 <unknown[198.51.100.7]>: Client host rejected: Access denied"
    );
    scene.policy.delay_reject = false;
    assert!(said(&scene.judge_mailbox(Stage::Client, None)).starts_with("554 5.7.1 <unknown[198.51.100.7]>"));
    assert_eq!(
        said(&scene.judge_mailbox(Stage::Helo, None)),
        "554 5.7.1 <client.test>: Helo command rejected: Access denied"
    );
    assert_eq!(scene.says("u@here.example"), "ok");
}

#[test]
fn a_permission_of_one_list_says_nothing_for_the_next() {
    let mut scene = Scene::default();
    scene.policy.client = "permit".into();
    scene.policy.sender = "permit".into();
    assert!(scene.says("u@d.test").ends_with("Relay access denied"));
    scene.policy.recipient = "permit".into();
    assert!(scene.says("u@d.test").ends_with("Relay access denied"));
    scene.policy.relay_first = false;
    assert!(scene.says("u@d.test").ends_with("Relay access denied"));
}

#[test]
fn doubts_of_an_earlier_list_hold_back_the_permission() {
    let mut scene = Scene::default();
    scene.policy.client = "defer_if_permit".into();
    assert!(scene.says("u@here.example").starts_with("450 4.7.0 <unknown[198.51.100.7]>"));
    assert!(scene.says("u@d.test").starts_with("554 5.7.1"));
}

#[test]
fn soft_bounces_are_for_now() {
    let mut scene = Scene::default();
    scene.policy.soft_bounce = true;
    assert_eq!(scene.says("u@d.test"), "454 4.7.1 <u@d.test>: Relay access denied");
}

#[test]
fn reports_go_to_one_recipient() {
    let mut scene = Scene { sender: "", recipients: 1, ..Scene::default() };
    scene.policy.data = "reject_multi_recipient_bounce".into();
    assert_eq!(said(&scene.judge_mailbox(Stage::Data, None)), "ok");
    scene.recipients = 2;
    assert_eq!(
        said(&scene.judge_mailbox(Stage::Data, None)),
        "550 5.5.3 <DATA>: Data command rejected: Multi-recipient bounce"
    );
    scene.policy.end_of_data = "reject".into();
    assert_eq!(
        said(&scene.judge_mailbox(Stage::EndOfData, None)),
        "554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: Access denied"
    );
}

#[test]
fn a_configuration_that_would_relay_for_all_is_refused() {
    for (relay, recipient, good) in [
        ("", "", false),
        ("permit_mynetworks", "permit, reject_unauth_destination", false),
        ("permit_mynetworks", "warn_if_reject reject_unauth_destination", false),
        ("permit_mynetworks", "reject_unauth_destination", true),
        ("", "mine", true),
        ("reject_unauth_destinatoin", "", false),
    ] {
        let mut params = Params { relay: relay.into(), recipient: recipient.into(), ..Params::default() };
        params.classes.insert("mine".into(), "permit_mynetworks, defer".into());
        assert_eq!(Policy::with(params).is_ok(), good, "{relay} | {recipient}");
    }
}

#[test]
fn what_does_not_work_yet_is_listed() {
    let params = Params {
        recipient: "sleep 1, reject_rbl_client x.test, permit_mx_backup".into(),
        ..Params::default()
    };
    let policy = Policy::with(params).unwrap();
    let words: Vec<&str> = policy.not_working().iter().map(|(_, word)| word.as_str()).collect();
    assert_eq!(words, ["reject_rbl_client", "permit_mx_backup", "sleep"]);
}

#[test]
fn a_reply_is_one_line_whatever_the_client_said() {
    let scene =
        Scene { helo: Some("a\r\n250 ok"), ..Scene::with_recipient_list("reject_invalid_helo_hostname") };
    assert_eq!(scene.says("u@here.example"), "501 5.5.2 <a??250 ok>: Helo command rejected: Invalid name");
}
