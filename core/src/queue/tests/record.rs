//! Laws of the records, over arbitrary values and arbitrary octets.

use super::*;
use proptest::option::of;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,8}", "\\PC{0,6}"]
}

fn mailbox() -> impl Strategy<Value = Mailbox> {
    ("[a-z.]{1,8}", "[a-z.]{0,8}").prop_map(|(local, domain)| Mailbox::new(&local, &domain))
}

fn recipient() -> impl Strategy<Value = Recipient> {
    let orcpt = of((text(), text()).prop_map(|(kind, address)| OriginalRecipient { kind, address }));
    (mailbox(), of(mailbox()), orcpt, any::<[bool; 4]>()).prop_map(|(address, original, orcpt, flags)| {
        let [success, failure, delay, explicit] = flags;
        Recipient { address, original, orcpt, notify: Notify { success, failure, delay, explicit } }
    })
}

fn client() -> impl Strategy<Value = ClientFacts> {
    (text(), any::<Option<IpAddr>>(), any::<u16>(), text(), text())
        .prop_map(|(name, address, port, helo, protocol)| ClientFacts { name, address, port, helo, protocol })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let facts = (of(text()), any::<Option<bool>>(), any::<bool>(), any::<bool>(), client(), of(text()));
    (of(mailbox()), prop::collection::vec(recipient(), 0..4), any::<i64>(), facts).prop_map(
        |(sender, recipients, arrived, (envid, ret, eight, smtputf8, client, filter))| Envelope {
            sender: sender.map_or(Sender::Null, Sender::Mailbox),
            recipients,
            arrived: Timestamp(arrived),
            envid,
            ret: ret.map(|headers| if headers { Ret::Headers } else { Ret::Full }),
            body: if eight { BodyType::EightBitMime } else { BodyType::SevenBit },
            smtputf8,
            client,
            filter,
        },
    )
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        (0u64..1000, 0u64..1000).prop_map(|(offset, length)| Piece::Stored { offset, length }),
        any::<Vec<u8>>().prop_map(Piece::Literal),
    ]
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![Just(Origin::Submitted), Just(Origin::Report), Just(Origin::Notice), Just(Origin::Forwarded)]
}

fn message() -> impl Strategy<Value = Message> {
    let unknown = prop::collection::vec((18u16.., any::<Vec<u8>>()), 0..3);
    let rest = (of(any::<u32>()), origin(), text(), any::<bool>(), unknown);
    (any::<u64>(), envelope(), prop::collection::vec(piece(), 0..4), any::<bool>(), 2000u64.., rest).prop_map(
        |(id, envelope, pieces, file, stored, (checksum, origin, message_id, hold, unknown))| Message {
            id: QueueId(id),
            envelope,
            pieces: Pieces(pieces),
            place: if file { ContentPlace::File } else { ContentPlace::Inline },
            stored,
            checksum,
            origin,
            message_id,
            hold,
            unknown,
        },
    )
}

fn status() -> impl Strategy<Value = EnhancedStatus> {
    any::<(u8, u16, u16)>().prop_map(|(class, subject, detail)| EnhancedStatus::new(class, subject, detail))
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let reply = (any::<u16>(), of(status()), prop::collection::vec(text(), 0..3))
        .prop_map(|(code, status, lines)| Reply { code, status, lines });
    let diagnosis = (status(), text(), of(text()), of(reply), text()).prop_map(
        |(status, text, remote_mta, reply, relay)| Diagnosis { status, text, remote_mta, reply, relay },
    );
    (diagnosis, 0..6).prop_map(|(diagnosis, kind)| match kind {
        0 => Outcome::Delivered { diagnosis, last_hop_for_dsn: false },
        1 => Outcome::Delivered { diagnosis, last_hop_for_dsn: true },
        2 => Outcome::Deferred(diagnosis),
        3 => Outcome::Failed(diagnosis),
        4 => Outcome::Expanded(diagnosis),
        _ => Outcome::Discarded(diagnosis),
    })
}

fn settlement() -> impl Strategy<Value = Settlement> {
    let outcomes = prop::collection::vec((any::<u32>(), outcome()), 0..4);
    (any::<u64>(), any::<i64>(), outcomes, any::<Option<i64>>()).prop_map(|(id, at, outcomes, retry)| {
        Settlement { id: QueueId(id), at: Timestamp(at), outcomes, retry_at: retry.map(Timestamp) }
    })
}

/// Any change that the joints may hand over.
pub(in crate::queue) fn change() -> impl Strategy<Value = Change> {
    let id = || any::<u64>().prop_map(QueueId);
    prop_oneof![
        3 => message().prop_map(|message| Change::Commit(Box::new(message))),
        2 => settlement().prop_map(Change::Settle),
        1 => id().prop_map(Change::Hold),
        1 => id().prop_map(Change::Release),
        1 => (id(), any::<i64>()).prop_map(|(id, at)| Change::Retry(id, Timestamp(at))),
        1 => (id(), any::<i64>()).prop_map(|(id, at)| Change::Warned(id, Timestamp(at))),
        1 => (id(), any::<Vec<u32>>()).prop_map(|(id, list)| Change::Reported(id, list)),
        1 => id().prop_map(Change::Remove),
    ]
}

proptest! {
    #[test]
    fn what_is_emitted_parses_back(changes in prop::collection::vec(change(), 0..5)) {
        prop_assert_eq!(parse_batch(&emit_batch(&changes)), Ok(changes));
    }

    #[test]
    fn arbitrary_octets_never_panic(octets in any::<Vec<u8>>()) {
        let _ = parse_batch(&octets);
    }

    #[test]
    fn damaged_records_never_panic_and_never_read_back_longer_than_they_were(
        change in change(), at in any::<prop::sample::Index>(), octet in any::<u8>(),
    ) {
        let mut octets = emit_batch(&[change]);
        let at = at.index(octets.len());
        octets[at] = octet;
        if let Ok(changes) = parse_batch(&octets) {
            prop_assert!(emit_batch(&changes).len() <= octets.len() + 24);
        }
    }
}

#[test]
fn a_small_message_takes_less_than_300_octets() {
    let mailbox = |local: &str, domain: &str| Mailbox::new(local, domain);
    let mut pieces = Pieces::default();
    pieces.literal(&[b'x'; 40]);
    pieces.stored(0, 4000);
    let message = Message {
        id: QueueId::new(1_795_233_600_123_456, 7),
        envelope: Envelope {
            sender: Sender::Mailbox(mailbox("newsletter-bounces", "lists.example.com")),
            recipients: vec![Recipient::new(mailbox("firstname.lastname", "department.example.org"))],
            arrived: Timestamp(1_795_233_600_123_456),
            client: ClientFacts {
                name: "mail-out-7.example.com".into(),
                address: Some([192, 0, 2, 1].into()),
                port: 45678,
                helo: "mail-out-7.example.com".into(),
                protocol: "ESMTPS".into(),
            },
            ..Envelope::default()
        },
        pieces,
        place: ContentPlace::Inline,
        stored: 4000,
        origin: Origin::Submitted,
        message_id: "<20261121.0123456789@mail-out-7.example.com>".into(),
        hold: false,
        checksum: None,
        unknown: Vec::new(),
    };
    let octets = emit_batch(&[Change::Commit(Box::new(message))]);
    assert!(octets.len() < 300, "{}", octets.len());
}

#[test]
fn a_default_that_is_written_is_read_and_an_origin_that_we_do_not_know_is_not() {
    let mut message = take_message(&mut Cursor::new(&[]), QueueId(1)).unwrap();
    message.origin = Origin::Report;
    assert_eq!(take_storage_field(&mut message, tag::ORIGIN, &[0]), Ok(()));
    assert_eq!(message.origin, Origin::Submitted);
    assert!(take_storage_field(&mut message, tag::ORIGIN, &[4]).is_err());
}

#[test]
fn pieces_outside_the_stored_content_are_refused() {
    let mut octets = Vec::new();
    let mut message = take_message(&mut Cursor::new(&[]), QueueId(1)).unwrap();
    message.pieces.stored(u64::MAX, 5);
    put_message(&mut octets, &message);
    assert!(take_message(&mut Cursor::new(&octets), QueueId(1)).is_err());
}
