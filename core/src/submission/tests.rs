use super::*;
use crate::mail::{Piece, Recipient};
use crate::wire::Mailbox;

fn submission() -> Submission {
    let setup = Setup {
        cleanup: cleanup::Params { myhostname: "mx.here.example".into(), ..cleanup::Params::default() },
        rewrite: Rewrite::new(&Settings::default()).unwrap(),
        myhostname: "mx.here.example".into(),
        mail_name: "Postrider".into(),
        message_size_limit: 100,
    };
    Submission::new(Arc::new(setup))
}

fn start(maker: Maker) -> Box<Start> {
    let envelope = Envelope {
        sender: Sender::Mailbox(Mailbox::new("joe", "a.example")),
        recipients: vec![Recipient::new(Mailbox::new("ann", "b.example"))],
        ..Envelope::default()
    };
    let changes = vec![Change::Remove(QueueId::new(1, 0))];
    Box::new(Start { maker, envelope, prepend: Vec::new(), changes })
}

const ID: QueueId = QueueId(QueueId::new(1_795_233_600_123_456, 7).0);

fn told(submission: &mut Submission, input: Input<'_>) -> Vec<Effect> {
    let now = Now { wall: Timestamp::from_seconds(1_795_234_851), ..Now::default() };
    submission.handle_input(now, input);
    std::iter::from_fn(|| submission.poll_output()).collect()
}

/// Runs up to the commit; gives the staged octets and the commit.
fn made(maker: Maker, chunks: &[&[u8]]) -> (Submission, Vec<u8>, Box<Message>, Vec<Change>) {
    let mut submission = submission();
    assert_eq!(told(&mut submission, Input::Start(start(maker))), [Effect::Identify]);
    let mut effects = told(&mut submission, Input::Identified(ID));
    for chunk in chunks {
        effects.extend(told(&mut submission, Input::Content(chunk)));
    }
    effects.extend(told(&mut submission, Input::End));
    let mut staged = Vec::new();
    for effect in effects {
        match effect {
            Effect::Stage(octets) => staged.extend(octets),
            Effect::Commit(message, changes) => return (submission, staged, message, changes),
            Effect::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("no commit")
}

#[test]
fn mail_from_a_program_gets_a_trace_and_network_lines() {
    let (mut submission, staged, message, _) =
        made(Maker::Pickup { uid: 1000 }, &[b"Subject: x\n\nbo", b"dy\r", b"\nmo\rre"]);
    assert_eq!(staged, b"Subject: x\r\n\r\nbody\r\nmo re\r\n");
    let Piece::Literal(trace) = &message.pieces.0[0] else { panic!() };
    assert_eq!(
        String::from_utf8_lossy(trace),
        format!(
            "Received: by mx.here.example (Postrider, from userid 1000)\r\n\tid {ID}; \
             Sat, 21 Nov 2026 04:20:51 +0000 (UTC)\r\n"
        )
    );
    assert_eq!(told(&mut submission, Input::Committed(Ok(()))), [Effect::Done(Ok(Some(ID)))]);
    assert!(submission.is_idle());
}

#[test]
fn a_report_is_committed_with_its_changes_and_logged_once_durable() {
    let about = QueueId::new(5, 0);
    let maker = Maker::Report { kind: Kind::Failure, about, postmaster: false };
    let (mut submission, _, message, changes) = made(maker, &[b"Subject: x\r\n\r\nbody\r\n"]);
    assert_eq!((message.origin, changes.len()), (Origin::Report, 1));
    let effects = told(&mut submission, Input::Committed(Ok(())));
    let Effect::Event(event) = &effects[0] else { panic!() };
    assert_eq!(event.text(), format!("{about}: sender non-delivery notification: {ID}"));
    let (mut submission, ..) = made(maker, &[b"\r\n"]);
    let effects = told(&mut submission, Input::Committed(Err(Refusal::Full)));
    assert_eq!(effects, [Effect::Done(Err(Failure::Spool(Refusal::Full)))]);
}

#[test]
fn a_message_that_is_too_large_is_given_up_at_once() {
    let mut submission = submission();
    told(&mut submission, Input::Start(start(Maker::Pickup { uid: 0 })));
    told(&mut submission, Input::Identified(ID));
    let effects = told(&mut submission, Input::Content(&b"x\n".repeat(60)));
    assert!(matches!(effects[1..], [Effect::Unstage, Effect::Done(Err(Failure::Refused(_)))]), "{effects:?}");
    assert!(told(&mut submission, Input::Content(b"more")).is_empty());
}

#[test]
fn the_driver_may_give_up_at_any_time() {
    let mut submission = submission();
    assert!(told(&mut submission, Input::Abort).is_empty());
    told(&mut submission, Input::Start(start(Maker::Pickup { uid: 0 })));
    let gone = [Effect::Unstage, Effect::Done(Err(Failure::Aborted))];
    assert_eq!(told(&mut submission, Input::Abort), gone);
    assert!(submission.is_idle());
}

proptest::proptest! {
    #[test]
    fn segments_do_not_matter(content in "[a\r\n:]{0,40}", cut in 1usize..5) {
        let content = content.as_bytes();
        let chunks: Vec<&[u8]> = content.chunks(cut).collect();
        let (_, whole, message, _) = made(Maker::Pickup { uid: 1 }, &[content]);
        let (_, cut, other, _) = made(Maker::Pickup { uid: 1 }, &chunks);
        proptest::prop_assert_eq!((&whole, message), (&cut, other));
        let bare = whole.windows(2).any(|w| (w[0] == b'\r') != (w[1] == b'\n'));
        proptest::prop_assert!(!bare);
    }
}

#[test]
fn the_log_has_the_sender_as_it_was_given() {
    let mut submission = submission();
    let mut start = start(Maker::Pickup { uid: 1000 });
    start.envelope.sender = Sender::Mailbox(Mailbox::new("joe", ""));
    assert_eq!(told(&mut submission, Input::Start(start)), [Effect::Identify]);
    let effects = told(&mut submission, Input::Identified(ID));
    let event = Event::PickedUp { id: ID, uid: 1000, sender: "joe".to_owned() };
    assert!(effects.contains(&Effect::Event(event)), "{effects:?}");
}
