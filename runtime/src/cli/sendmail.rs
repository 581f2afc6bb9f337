//! `sendmail`, `postrider send`: mail from standard input into the maildrop. Works while the daemon is down.

use super::{Failure, Setup};
use crate::maildrop::{self, Header};
use std::io::Read;

/// EX_USAGE, EX_DATAERR, EX_TEMPFAIL of sysexits.h, as sendmail(1) exits.
const USAGE: u8 = 64;
const DATA_ERROR: u8 = 65;
const TEMPORARY: u8 = 75;

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    header: Header,
    extract: bool,
    ignore_dots: bool,
    mode: Mode,
    directory: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Submit,
    List,
    Aliases,
    Flush,
    Site(String),
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with the exit status of sysexits.h.
pub fn run(arguments: &[String], directory: Option<String>) -> Result<(), Failure> {
    let mut options = parse(arguments)?;
    let setup = Setup::find(options.directory.take().or(directory))?;
    match options.mode {
        Mode::List => super::queue::mailq(&setup),
        Mode::Flush => super::queue::postqueue(&["-f".to_owned()], &setup),
        Mode::Site(site) => super::queue::postqueue(&["-s".to_owned(), site], &setup),
        // Aliases are read from their text: there is nothing to build.
        Mode::Aliases => Ok(()),
        Mode::Submit => submit(options, &setup),
    }
}

fn usage(text: String) -> Failure {
    Failure { status: USAGE, text: format!("sendmail: {text}") }
}

fn parse(arguments: &[String]) -> Result<Options, Failure> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            options.header.recipients.push(argument.clone());
            continue;
        };
        if letters == "-" {
            options.header.recipients.extend(rest.by_ref().cloned());
            break;
        }
        let (letter, attached) = letters.split_at(letters.chars().next().map_or(0, char::len_utf8));
        let mut value = || {
            let next = if attached.is_empty() { rest.next().cloned() } else { Some(attached.to_owned()) };
            next.ok_or_else(|| usage(format!("option -{letter} needs a value")))
        };
        match letter {
            "f" | "r" => options.header.sender = Some(value()?),
            "F" => options.header.full_name = Some(value()?),
            "N" => options.header.notify = Some(value()?),
            "R" => options.header.ret = Some(value()?),
            "V" => options.header.envid = Some(value()?),
            "B" => options.header.eight_bit = value()?.eq_ignore_ascii_case("8BITMIME"),
            "C" => options.directory = Some(value()?),
            "A" | "D" | "h" | "L" | "O" | "p" | "X" | "d" | "M" | "S" => _ = value()?,
            "b" => options.mode = mode(attached)?,
            "I" => options.mode = Mode::Aliases,
            "q" => options.mode = attached.strip_prefix('R').map_or(Mode::Flush, |site| Mode::Site(site.to_owned())),
            "t" => options.extract = true,
            "i" => options.ignore_dots = true,
            "o" if attached == "i" => options.ignore_dots = true,
            // Options of old programs that mean nothing here, as sendmail(1) says.
            "o" | "e" | "m" | "n" | "U" | "v" | "G" | "x" => {}
            _ => return Err(usage(format!("unknown option -{letters}"))),
        }
    }
    Ok(options)
}

fn mode(letter: &str) -> Result<Mode, Failure> {
    match letter {
        "m" => Ok(Mode::Submit),
        "p" => Ok(Mode::List),
        "i" => Ok(Mode::Aliases),
        other => Err(usage(format!(
            "-b{other} does not work yet; -bm submits, -bp lists, -bi does nothing (aliases are read as text)"
        ))),
    }
}

fn submit(mut options: Options, setup: &Setup) -> Result<(), Failure> {
    let mut content = Vec::new();
    let limit = setup.settings.number("message_size_limit");
    let read = std::io::stdin().lock().take(limit.saturating_add(1)).read_to_end(&mut content);
    read.map_err(|error| Failure::new(TEMPORARY, format!("sendmail: standard input: {error}")))?;
    if limit > 0 && content.len() as u64 > limit {
        let text = format!("sendmail: the message is larger than message_size_limit = {limit} octets");
        return Err(Failure::new(DATA_ERROR, text));
    }
    if !options.ignore_dots {
        cut_at_dot(&mut content);
    }
    if options.extract {
        options.header.recipients.extend(postrider_core::submission::recipients_of(&content));
    }
    if options.header.recipients.is_empty() {
        return Err(usage("no recipients: name them, or use -t and a To, Cc or Bcc field".to_owned()));
    }
    let spool = setup.spool();
    maildrop::leave(&spool, &options.header, &content).map_err(|error| {
        let text = format!("sendmail: {}: {error}; has the daemon been started once?", spool.display());
        Failure::new(TEMPORARY, text)
    })?;
    // The daemon looks by itself after a while; this only makes it look now.
    super::wake(setup);
    Ok(())
}

/// Without `-i` a line of one dot ends the message.
fn cut_at_dot(content: &mut Vec<u8>) {
    let mut start = 0;
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if matches!(line, b".\n" | b".\r\n" | b".") {
            content.truncate(start);
            return;
        }
        start += line.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Options {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        parse(&arguments).expect("well formed")
    }

    #[test]
    fn the_usual_call_of_a_program_is_understood() {
        let options = options("-oi -t -f a@example.com -F Me -- b@example.com");
        assert!(options.ignore_dots && options.extract);
        assert_eq!(options.header.sender.as_deref(), Some("a@example.com"));
        assert_eq!(options.header.recipients, ["b@example.com"]);
    }

    #[test]
    fn a_line_of_one_dot_ends_the_message_unless_told_otherwise() {
        let mut content = b"a\n..\n.\nb\n".to_vec();
        cut_at_dot(&mut content);
        assert_eq!(content, b"a\n..\n");
    }

    #[test]
    fn attached_and_separate_values_are_the_same() {
        assert_eq!(options("-fa@b c"), options("-f a@b c"));
        assert_eq!(options("-qRexample.com").mode, Mode::Site("example.com".to_owned()));
    }
}
