//! access(5): what tables say, and under which keys they are asked.

use super::*;

/// What a table's value does for a recipient.
fn obeyed(value: &str) -> (String, Vec<Action>) {
    let text = format!("u@here.example {value}\n");
    let scene = Scene::with_table("check_recipient_access hash:/a", ("hash:/a", &text));
    let judgement = scene.judge("u@here.example");
    (said(&judgement), judgement.actions)
}

#[test]
fn values_of_access_tables_mean_what_access_5_says() {
    const ABOUT: &str = "<u@here.example>: Recipient address rejected:";
    for (value, wanted) in [
        ("REJECT", format!("554 5.7.1 {ABOUT} Access denied")),
        ("reject 5.1.2 a  b", format!("554 5.1.2 {ABOUT} a  b")),
        ("REJECT 4.1.8 zz", format!("554 5.1.2 {ABOUT} zz")),
        ("DEFER 4.1.1 x", format!("450 4.1.1 {ABOUT} x")),
        ("DEFER_IF_PERMIT", format!("450 4.7.1 {ABOUT} Service unavailable")),
        ("DEFER_IF_PERMIT 5.1.1 hm", format!("450 4.1.1 {ABOUT} hm")),
        ("DEFER_IF_REJECT hi", "ok".into()),
        // All-numeric text permits, but a reply code without its text is no time stamp.
        ("1732212000", "ok".into()),
        ("550", format!("550 5.7.1 {ABOUT} Access denied")),
        ("450 ", format!("450 4.7.1 {ABOUT} Access denied")),
        ("550 5.1.1 no", format!("550 5.1.1 {ABOUT} no")),
        ("450 x y", format!("450 4.7.1 {ABOUT} x y")),
        ("421 bye", format!("421 4.7.1 {ABOUT} bye")),
        ("250 x", "451 4.3.5 Server configuration error".into()),
        ("nonsense", "451 4.3.5 Server configuration error".into()),
        ("DEFER_IF_PERMIT,reject", format!("554 5.7.1 {ABOUT} Access denied")),
        ("check_sender_access hash:/other", "451 4.3.5 Server configuration error".into()),
        ("DUNNO whatever", "ok".into()),
        ("ok", "ok".into()),
    ] {
        // The first word alone decides that `DEFER_IF_PERMIT,reject` is a list.
        assert_eq!(obeyed(value).0, wanted, "{value}");
    }
}

#[test]
fn tables_ask_for_actions() {
    let about = |text: &str| format!("<u@here.example>: Recipient address {text}");
    assert_eq!(obeyed("HOLD").1, [Action::Hold(about("triggers HOLD action"))]);
    assert_eq!(obeyed("DISCARD why").1, [Action::Discard(about("why"))]);
    assert_eq!(
        obeyed("FILTER a:b").1,
        [Action::Log("filter", about("triggers FILTER a:b")), Action::Filter("a:b".into())]
    );
    assert_eq!(
        obeyed("REDIRECT x@y.z").1,
        [
            Action::Log("redirect", about("triggers REDIRECT x@y.z")),
            Action::Redirect(Mailbox::new("x", "y.z"))
        ]
    );
    assert_eq!(obeyed("PREPEND X-Y: z").1, [Action::Prepend("X-Y: z".into())]);
    assert_eq!(obeyed("WARN w x").1, [Action::Log("warn", "w x".into())]);
    for value in ["FILTER nope", "REDIRECT nope", "PREPEND nope", "BCC"] {
        let (reply, actions) = obeyed(value);
        assert_eq!(reply, "ok", "{value}");
        assert!(matches!(&actions[..], [Action::Log("warn", _)]), "{value}: {actions:?}");
    }
}

#[test]
fn a_discarded_message_is_not_judged_further() {
    let mut scene = Scene::default();
    scene.policy.client = "check_client_access static:DISCARD".into();
    let judgement = scene.judge("u@elsewhere.test");
    assert_eq!(judgement.verdict, Verdict::Permit);
    assert!(matches!(&judgement.actions[..], [Action::Discard(_)]));
}

#[test]
fn keys_are_tried_in_the_order_of_access_5() {
    let mut text = String::new();
    for key in ["u@", "u+x@", "example", "here.example", "u@here.example", "u+x@here.example"] {
        text = format!("{text}{key} REJECT {key}\n");
        let mut scene = Scene::with_table("check_recipient_access hash:/a", ("hash:/a", &text));
        scene.rewriting.recipient_delimiter = "+".into();
        let reply = scene.says("u+x@here.example");
        assert_eq!(reply, format!("554 5.7.1 <u+x@here.example>: Recipient address rejected: {key}"));
    }
    for (text, wanted) in [
        ("mx.client.test REJECT a\nclient.test REJECT b\n", "a"),
        ("client.test REJECT b\n198.51.100.7 REJECT c\n", "b"),
        (".client.test REJECT b\n198.51.100 REJECT c\n198.51 REJECT d\n", "c"),
        ("198 REJECT e\n", "e"),
    ] {
        let mut scene = Scene::with_table("check_client_access hash:/a", ("hash:/a", text));
        scene.client = ("mx.client.test", "198.51.100.7");
        let reply = scene.says("u@here.example");
        assert_eq!(
            reply,
            format!("554 5.7.1 <mx.client.test[198.51.100.7]>: Client host rejected: {wanted}")
        );
    }
}

#[test]
fn extensions_and_parents_are_found() {
    for (key, found) in [
        ("u+x@here.example", true),
        ("u@here.example", true),
        ("here.example", true),
        ("example", true),
        (".example", false),
        ("u+x@", true),
        ("u@", true),
        ("x@", false),
    ] {
        let text = format!("{key} REJECT\n");
        let mut scene = Scene::with_table("check_recipient_access hash:/a", ("hash:/a", &text));
        scene.rewriting.recipient_delimiter = "+".into();
        assert_eq!(scene.says("u+x@here.example") != "ok", found, "{key}");
    }
    let mut dotted = Scene::with_table("check_recipient_access hash:/a", ("hash:/a", ".example REJECT\n"));
    dotted.policy.access_parents = false;
    assert_ne!(dotted.says("u@here.example"), "ok");
}

#[test]
fn null_senders_have_a_key_of_their_own() {
    let mut scene =
        Scene::with_table("check_sender_access hash:/a", ("hash:/a", "<> REJECT 5.1.1 no reports\n"));
    scene.sender = "";
    assert_eq!(scene.says("u@here.example"), "554 5.1.7 <>: Sender address rejected: no reports");
}

#[test]
fn statuses_are_fitted_to_what_they_are_about() {
    for (status, sender, recipient, host) in [
        ("5.1.0", "5.1.0", "5.1.0", "5.0.0"),
        ("5.1.1", "5.1.7", "5.1.1", "5.0.0"),
        ("5.1.2", "5.1.8", "5.1.2", "5.0.0"),
        ("5.1.5", "5.1.0", "5.1.5", "5.0.0"),
        ("5.1.7", "5.1.7", "5.1.3", "5.0.0"),
        ("5.1.8", "5.1.8", "5.1.2", "5.0.0"),
        ("5.7.1", "5.7.1", "5.7.1", "5.7.1"),
    ] {
        assert_eq!(access::fitted(status, "Sender address"), sender);
        assert_eq!(access::fitted(status, "Recipient address"), recipient);
        assert_eq!(access::fitted(status, "Client host"), host);
    }
}

#[test]
fn suspicious_recipients_get_no_permission_from_a_table() {
    let mut scene = Scene::with_table("", ("hash:/a", "relay.example OK\n"));
    scene.policy.relay = "check_recipient_access hash:/a, reject_unauth_destination".into();
    assert_eq!(scene.says("u@relay.example"), "ok");
    assert!(scene.says("u%d.test@relay.example").ends_with("Relay access denied"));
}
