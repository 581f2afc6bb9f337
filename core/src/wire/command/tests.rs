//! The command line: what is read, and what is refused.

use super::*;
use proptest::prelude::*;

#[test]
fn verbs_are_read_in_any_case() {
    for verb in Verb::ALL {
        assert_eq!(Verb::of(&verb.word().to_lowercase()), verb);
    }
    assert_eq!(split(" \tmail  FROM:<> "), ("mail", "FROM:<>"));
    assert_eq!(split(""), ("", ""));
}

#[test]
fn mail_parameters_are_read_and_their_errors_told_apart() {
    let error = |text: &str| mail(text, false).err();
    assert_eq!(
        mail("from: <a@b.example> SIZE=10 body=8bitmime SMTPUTF8 RET=HDRS ENVID=x+2By AUTH=<>", true),
        Ok((
            Path::Mailbox(Mailbox::new("a", "b.example")),
            vec![
                MailParameter::Size(10),
                MailParameter::EightBitMime,
                MailParameter::SmtpUtf8,
                MailParameter::RetHeaders,
                MailParameter::Envid("x+y".into()),
                MailParameter::Auth,
            ]
        ))
    );
    assert_eq!(
        mail("FROM:<> SIZE=18446744073709551616", true),
        Ok((Path::Null, vec![MailParameter::Size(u64::MAX)]))
    );
    assert_eq!(error("<a@b.example>"), Some(CommandError::MailSyntax));
    assert_eq!(error("FROM:"), Some(CommandError::MailSyntax));
    assert_eq!(error("FROM:<a@b"), Some(CommandError::BadSender));
    assert_eq!(error("FROM:<> SIZE=-1"), Some(CommandError::BadSize));
    assert_eq!(error("FROM:<> RET=X"), Some(CommandError::BadRet));
    assert_eq!(error("FROM:<> ENVID=a+0D+0Ab"), Some(CommandError::BadEnvid));
    assert_eq!(error("FROM:<> ENVID=a ENVID=b"), Some(CommandError::BadEnvid));
    assert_eq!(error("FROM:<> BODY=BINARYMIME"), Some(CommandError::Unsupported("BODY=BINARYMIME".into())));
}

#[test]
fn rcpt_parameters_are_read_and_their_errors_told_apart() {
    let error = |text: &str| rcpt(text, false).err();
    assert_eq!(
        rcpt("TO:<a@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bx@b.example", true),
        Ok((
            Mailbox::new("a", "b.example"),
            vec![
                RcptParameter::Notify { success: true, failure: false, delay: true },
                RcptParameter::Orcpt { kind: "rfc822".into(), address: "a+x@b.example".into() },
            ]
        ))
    );
    assert_eq!(error("TO:<>"), Some(CommandError::BadRecipient));
    assert_eq!(error("a@b.example"), Some(CommandError::RcptSyntax));
    assert_eq!(error("TO:<a@b.example> NOTIFY=NEVER,SUCCESS"), Some(CommandError::BadNotify));
    assert_eq!(error("TO:<a@b.example> NOTIFY=NEVER NOTIFY=NEVER"), Some(CommandError::BadNotify));
    assert_eq!(error("TO:<a@b.example> ORCPT=rfc822;a+0Ab"), Some(CommandError::BadOrcpt));
    assert_eq!(error("TO:<a@b.example> X"), Some(CommandError::Unsupported("X".into())));
}

#[test]
fn chunk_sizes_that_can_not_be_relied_upon_are_none() {
    assert_eq!(bdat("10"), Some((10, false)));
    assert_eq!(bdat("0010 last"), Some((10, true)));
    for text in
        ["", "-1", "+5", "0x5", "9223372036854775808", "18446744073709551617", "1 FIRST", "1 LAST LAST"]
    {
        assert_eq!(bdat(text), None, "{text}");
    }
}

/// The word with the case of those letters turned that the bits of `turned` say.
fn in_case(word: &str, turned: u16) -> String {
    let turn = |(at, c): (usize, char)| match turned >> (at % 16) & 1 {
        0 => c.to_ascii_uppercase(),
        _ => c.to_ascii_lowercase(),
    };
    word.chars().enumerate().map(turn).collect()
}

fn mail_parameters() -> impl Strategy<Value = Vec<MailParameter>> {
    use MailParameter::{Auth, EightBitMime, Envid, RetFull, RetHeaders, SevenBit, Size, SmtpUtf8};
    let body = prop::sample::select(vec![SevenBit, EightBitMime]);
    let ret = prop::sample::select(vec![RetFull, RetHeaders]);
    let some = |each: BoxedStrategy<MailParameter>| prop::option::of(each);
    (
        some(any::<u64>().prop_map(Size).boxed()),
        some(body.boxed()),
        some(Just(SmtpUtf8).boxed()),
        some(ret.boxed()),
        some("\\PC{1,20}".prop_map(Envid).boxed()),
        some(Just(Auth).boxed()),
    )
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].into_iter().flatten().collect::<Vec<_>>())
        .prop_shuffle()
}

/// A parameter as a client writes it, with its keywords in some case.
fn mail_word(parameter: &MailParameter, turned: u16) -> String {
    let keyword = |word| in_case(word, turned);
    match parameter {
        MailParameter::Size(size) => format!("{}{size}", keyword("SIZE=")),
        MailParameter::SevenBit => keyword("BODY=7BIT"),
        MailParameter::EightBitMime => keyword("BODY=8BITMIME"),
        MailParameter::SmtpUtf8 => keyword("SMTPUTF8"),
        MailParameter::RetFull => keyword("RET=FULL"),
        MailParameter::RetHeaders => keyword("RET=HDRS"),
        MailParameter::Envid(text) => format!("{}{}", keyword("ENVID="), xtext::encode(text)),
        MailParameter::Auth => keyword("AUTH=<>"),
    }
}

fn rcpt_parameters() -> impl Strategy<Value = Vec<RcptParameter>> {
    let notify = any::<(bool, bool, bool)>().prop_map(|(success, failure, delay)| RcptParameter::Notify {
        success,
        failure,
        delay,
    });
    let orcpt = ("[a-zA-Z0-9-]{1,8}|utf-8", "\\PC{1,20}")
        .prop_map(|(kind, address)| RcptParameter::Orcpt { kind, address });
    (prop::option::of(notify), prop::option::of(orcpt))
        .prop_map(|(notify, orcpt)| notify.into_iter().chain(orcpt).collect::<Vec<_>>())
        .prop_shuffle()
}

/// A parameter as a client writes it, with its keywords in some case.
fn rcpt_word(parameter: &RcptParameter, turned: u16) -> String {
    match parameter {
        RcptParameter::Notify { success, failure, delay } => {
            let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
            let words: Vec<&str> = words.into_iter().filter(|(on, _)| **on).map(|(_, word)| word).collect();
            let value = if words.is_empty() { "NEVER".to_owned() } else { words.join(",") };
            in_case(&format!("NOTIFY={value}"), turned)
        }
        RcptParameter::Orcpt { kind, address } => {
            format!("{}{kind};{}", in_case("ORCPT=", turned), xtext::encode(address))
        }
    }
}

fn mailbox() -> impl Strategy<Value = Mailbox> {
    ("[ -~é]{1,20}", "[a-z]{1,8}\\.example").prop_map(|(local, domain)| Mailbox::new(&local, &domain))
}

proptest! {
    #[test]
    fn mail_reads_back_what_was_written(
        sender in prop::option::of(mailbox()), wanted in mail_parameters(), turned: u16, strict: bool,
    ) {
        let path = sender.map_or(Path::Null, Path::Mailbox);
        let address = if let Path::Mailbox(mailbox) = &path { mailbox.external() } else { String::new() };
        let words: String = wanted.iter().map(|parameter| format!(" {}", mail_word(parameter, turned))).collect();
        let text = format!("{}<{address}>{words}", in_case("FROM:", turned));
        prop_assert_eq!(mail(&text, strict), Ok((path, wanted)));
    }

    #[test]
    fn rcpt_reads_back_what_was_written(
        recipient in mailbox(), wanted in rcpt_parameters(), turned: u16, strict: bool,
    ) {
        let words: String = wanted.iter().map(|parameter| format!("\t{}", rcpt_word(parameter, turned))).collect();
        let text = format!("{}<{}>{words}", in_case("TO:", turned), recipient.external());
        prop_assert_eq!(rcpt(&text, strict), Ok((recipient, wanted)));
    }

    #[test]
    fn bdat_reads_back_what_was_written(count in 0..=i64::MAX.unsigned_abs(), last: bool, turned: u16) {
        let text = format!("{count}{}", if last { in_case(" LAST", turned) } else { String::new() });
        prop_assert_eq!(bdat(&text), Some((count, last)));
    }

    #[test]
    fn a_verb_is_the_same_in_any_case(
        verb in prop::sample::select(&Verb::ALL[..]),
        turned: u16,
        rest in "[!-~ ]{0,9}",
    ) {
        let line = format!(" {} \t{rest}", in_case(verb.word(), turned));
        let (word, arguments) = split(&line);
        prop_assert_eq!((Verb::of(word), arguments), (verb, rest.trim()));
    }

    #[test]
    fn any_arguments_are_read_or_refused(
        text in "\\PC{0,40}|(FROM:|TO:)?[<>@\"\\\\a =;,+\\t]{0,20}( (SIZE|RET|ENVID|NOTIFY|ORCPT)=\\PC{0,9})?",
    ) {
        for strict in [false, true] {
            // What is not known is named as it was written.
            for error in [mail(&text, strict).err(), rcpt(&text, strict).err()].into_iter().flatten() {
                prop_assert!(!matches!(error, CommandError::Unsupported(word) if !text.contains(&word)));
            }
        }
        _ = bdat(&text);
    }
}
