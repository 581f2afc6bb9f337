//! Octets as a client sends them: lines, verbs, arguments.

use super::octets::{Octets, however_cut};
use super::path::is_sound;
use postrider_core::wire::command::{self, CommandError, MailParameter, RcptParameter};
use postrider_core::wire::line::{Backlog, Line};
use postrider_core::wire::{Mailbox, Path, xtext};

/// Frames lines under a limit that the first octets choose, and reads each as every command with arguments.
///
/// # Panics
/// When a law is broken.
pub fn command(octets: &[u8]) {
    let mut octets = Octets(octets);
    let limit = usize::from(octets.octet()) * 8;
    let lines = however_cut(octets.0, |pieces| lines(limit, pieces));
    for line in lines {
        let Line::Whole(line) = line else { continue };
        assert!(line.len() <= limit && !line.contains(&b'\n'));
        if let Ok(text) = std::str::from_utf8(&line) {
            read(text);
        }
    }
}

fn lines(limit: usize, pieces: &[&[u8]]) -> Vec<Line> {
    let (mut backlog, mut found) = (Backlog::new(limit), Vec::new());
    for piece in pieces {
        backlog.push(piece);
        while let Some(line) = backlog.take_line() {
            found.push(line);
        }
        assert!(backlog.waiting().len() <= limit + 1, "an endless line takes no memory");
    }
    found
}

fn read(text: &str) {
    let (word, arguments) = command::split(text);
    assert!(word.len() + arguments.len() <= text.len());
    assert_eq!(command::Verb::of(word), command::Verb::of(&word.to_ascii_lowercase()));
    let mail = command::mail(arguments, false);
    if let Ok(strict) = command::mail(arguments, true) {
        assert_eq!(mail, Ok(strict), "what is strictly right means the same without strictness");
    }
    if let Ok((path, parameters)) = &mail {
        if let Path::Mailbox(mailbox) = path {
            is_sound(mailbox);
        }
        parameters.iter().for_each(|parameter| {
            if let MailParameter::Envid(envid) = parameter {
                travels(envid);
            }
        });
        said_again(path, parameters);
    }
    let rcpt = command::rcpt(arguments, false);
    if let Ok(strict) = command::rcpt(arguments, true) {
        assert_eq!(rcpt, Ok(strict));
    }
    match &rcpt {
        Ok((mailbox, parameters)) => recipient(mailbox, parameters),
        Err(CommandError::Unsupported(word)) => assert!(text.contains(word.as_str())),
        Err(_) => {}
    }
    if let Some((count, last)) = command::bdat(arguments) {
        let again = format!("{count}{}", if last { " LAST" } else { "" });
        assert_eq!(command::bdat(&again), Some((count, last)));
    }
}

fn recipient(mailbox: &Mailbox, parameters: &[RcptParameter]) {
    is_sound(mailbox);
    assert!(parameters.len() <= 2, "each parameter stands once");
    for parameter in parameters {
        if let RcptParameter::Orcpt { kind, address } = parameter {
            assert!(!kind.is_empty() && kind.is_ascii() && !address.is_empty());
            travels(address);
        }
    }
}

/// What is kept of a parameter is one line, and leaves us as it came.
fn travels(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert_eq!(xtext::decode(&xtext::encode(text)).as_deref(), Ok(text));
}

/// MAIL as we would say it is understood as it was meant.
fn said_again(path: &Path, parameters: &[MailParameter]) {
    let address = match path {
        Path::Null => String::new(),
        Path::Mailbox(mailbox) => mailbox.external(),
    };
    let mut line = format!("FROM:<{address}>");
    for parameter in parameters {
        line.push(' ');
        line.push_str(&match parameter {
            MailParameter::Size(size) => format!("SIZE={size}"),
            MailParameter::SevenBit => "BODY=7BIT".to_owned(),
            MailParameter::EightBitMime => "BODY=8BITMIME".to_owned(),
            MailParameter::SmtpUtf8 => "SMTPUTF8".to_owned(),
            MailParameter::RetFull => "RET=FULL".to_owned(),
            MailParameter::RetHeaders => "RET=HDRS".to_owned(),
            MailParameter::Envid(envid) => format!("ENVID={}", xtext::encode(envid)),
            MailParameter::Auth => "AUTH=<>".to_owned(),
        });
    }
    assert_eq!(command::mail(&line, true), Ok((path.clone(), parameters.to_vec())), "{line:?}");
}
