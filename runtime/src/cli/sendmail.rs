//! `sendmail`, `postrider send`: mail from standard input into the maildrop. Works while the daemon is down.

use super::{Failure, Setup, author};
use crate::maildrop::{self, Header};
use crate::trouble::{told, words};
use postrider_core::mail::Notify;
use postrider_core::wire::{Mailbox, address_list};
use std::io::Read;

/// EX_USAGE, EX_DATAERR, EX_TEMPFAIL of sysexits.h, as sendmail(1) exits.
const USAGE: u8 = 64;
const DATA_ERROR: u8 = 65;
const TEMPORARY: u8 = 75;

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    header: Header,
    /// `-F`.
    full_name: Option<String>,
    extract: bool,
    ignore_dots: bool,
    mode: Mode,
    directory: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Submit,
    Dialogue,
    List,
    Aliases,
    Flush,
    Site(String),
    One(String),
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with the exit status of sysexits.h.
pub(super) fn run(called: &str, arguments: &[String], directory: Option<String>) -> Result<(), Failure> {
    let mut options = parse(arguments)?;
    match called {
        "mailq" => options.mode = Mode::List,
        "newaliases" => options.mode = Mode::Aliases,
        _ => {}
    }
    if options.mode == Mode::List && !options.header.recipients.is_empty() {
        return Err(usage("display queue mode requires no recipient"));
    }
    if options.mode == Mode::Dialogue && !options.header.recipients.is_empty() {
        return Err(usage("stand-alone mode requires no recipient"));
    }
    let directory = options.directory.take().or(directory);
    let aliases = options.mode == Mode::Aliases;
    let setup = if aliases { Setup::find_main(directory)? } else { Setup::find(directory)? };
    let postqueue = |words: [&str; 2]| {
        let words: Vec<String> =
            words.iter().filter(|word| !word.is_empty()).map(ToString::to_string).collect();
        super::queue::postqueue(&words, &setup)
    };
    match &options.mode {
        Mode::List => super::queue::mailq(&setup),
        Mode::Flush => postqueue(["-f", ""]),
        Mode::Site(site) => postqueue(["-s", site]),
        Mode::One(id) => postqueue(["-i", id]),
        Mode::Aliases => super::map::newaliases(&setup),
        Mode::Dialogue => super::dialogue::run(&setup),
        Mode::Submit => submit(options, &setup),
    }
}

fn usage(text: impl std::fmt::Display) -> Failure {
    Failure { status: USAGE, text: format!("sendmail: fatal: {text}") }
}

/// The options that take a value, in the same word or as the next one.
const WITH_VALUE: &str = "ABCDFLMNORSVXbdefhopr";
/// Those that take none and mean nothing here, as sendmail(1) says.
const WITHOUT_MEANING: &str = "GUcmnvx";

fn parse(arguments: &[String]) -> Result<Options, Failure> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            None => options.header.recipients.extend(addresses(argument)?),
            Some("-") => {
                for argument in rest.by_ref() {
                    options.header.recipients.extend(addresses(argument)?);
                }
            }
            Some(letters) => options.letters(letters, &mut rest)?,
        }
    }
    Ok(options)
}

/// The addresses of one word of the command line, which may be a list.
fn addresses(text: &str) -> Result<Vec<String>, Failure> {
    let found = address_list::mailboxes(text);
    if found.is_empty() {
        return Err(Failure::new(DATA_ERROR, format!("sendmail: fatal: {text:?} is no address")));
    }
    Ok(found.iter().map(Mailbox::external).collect())
}

impl Options {
    /// The letters of one word: `-ti` is `-t -i`; a value ends the word.
    fn letters<'a>(
        &mut self,
        letters: &str,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), Failure> {
        let mut left = letters.chars();
        while let Some(letter) = left.next() {
            let attached = left.as_str();
            if letter == 'q' {
                return self.queue_run(attached);
            }
            if WITH_VALUE.contains(letter) {
                let next = if attached.is_empty() { rest.next().map(String::as_str) } else { Some(attached) };
                let value = next.ok_or_else(|| usage(format!("option -{letter} needs a value")))?;
                return self.with_value(letter, value);
            }
            match letter {
                'I' => self.mode = Mode::Aliases,
                't' => self.extract = true,
                'i' => self.ignore_dots = true,
                letter if WITHOUT_MEANING.contains(letter) => {}
                _ => return Err(usage(format!("unknown option -{letter}"))),
            }
        }
        Ok(())
    }

    fn with_value(&mut self, letter: char, value: &str) -> Result<(), Failure> {
        match letter {
            'f' | 'r' => self.header.sender = Some(sender(value)),
            'F' => self.full_name = Some(value.to_owned()),
            'N' if Notify::parse(value).is_some() => self.header.notify = Some(value.to_owned()),
            'R' if ["full", "hdrs"].iter().any(|word| value.eq_ignore_ascii_case(word)) => {
                self.header.ret = Some(value.to_owned());
            }
            'N' | 'R' => eprintln!("sendmail: warning: bad -{letter} option value -- ignored"),
            'V' => self.header.envid = Some(value.to_owned()),
            'B' if ["7BIT", "8BITMIME"].iter().any(|word| value.eq_ignore_ascii_case(word)) => {
                self.header.eight_bit = value.eq_ignore_ascii_case("8BITMIME");
            }
            'B' => return Err(usage(format!("-B {value} is no type of body: 7BIT or 8BITMIME"))),
            'C' => self.directory = Some(value.to_owned()),
            'b' => self.mode = mode(value)?,
            'o' if value == "i" => self.ignore_dots = true,
            // Options of old programs that mean nothing here, as sendmail(1) says.
            _ => {}
        }
        Ok(())
    }

    /// `-q`, `-qID`, `-qRSITE`; an interval means nothing: each message has a time of its own.
    fn queue_run(&mut self, attached: &str) -> Result<(), Failure> {
        let mut left = attached.chars();
        match left.next() {
            None => self.mode = Mode::Flush,
            Some('I') => self.mode = Mode::One(left.as_str().to_owned()),
            Some('R') => self.mode = Mode::Site(left.as_str().to_owned()),
            Some('0'..='9') => {}
            Some(_) => return Err(usage(format!("-q{attached} does not work; there are -q, -qI and -qR"))),
        }
        Ok(())
    }
}

/// What is no address is the null sender, as with sendmail(1): a report has nowhere to go.
fn sender(value: &str) -> String {
    let found = address_list::mailboxes(value).first().map(Mailbox::external);
    if found.is_none() && !matches!(value.trim(), "" | "<>") {
        eprintln!("sendmail: warning: -f option specified malformed sender: {value}");
    }
    found.unwrap_or_default()
}

fn mode(letter: &str) -> Result<Mode, Failure> {
    match letter {
        "m" => Ok(Mode::Submit),
        "p" => Ok(Mode::List),
        "i" => Ok(Mode::Aliases),
        "s" => Ok(Mode::Dialogue),
        "d" | "l" => Err(usage(format!("-b{letter} does not start the daemon; `postrider start` does"))),
        "v" => Err(usage("-bv does not work yet: there is no probe of an address that sends no message")),
        other => Err(usage(format!(
            "-b{other} is unknown; -bm submits, -bs speaks SMTP, -bp lists, -bi does nothing (aliases are read as text)"
        ))),
    }
}

fn submit(mut options: Options, setup: &Setup) -> Result<(), Failure> {
    let mut content = Vec::new();
    let limit = setup.settings.number("message_size_limit");
    let most = if limit == 0 { u64::MAX } else { limit.saturating_add(1) };
    let read = std::io::stdin().lock().take(most).read_to_end(&mut content);
    read.map_err(|error| {
        Failure::new(TEMPORARY, format!("sendmail: fatal: standard input: {}", told(&error)))
    })?;
    if limit > 0 && content.len() as u64 > limit {
        let text = format!("sendmail: fatal: message file too big: message_size_limit is {limit} octets");
        return Err(Failure::new(DATA_ERROR, text));
    }
    if !options.ignore_dots {
        cut_at_dot(&mut content);
    }
    if options.extract {
        options.header.recipients.extend(postrider_core::submission::recipients_of(&content));
        if options.header.recipients.is_empty() {
            return Err(Failure::new(
                DATA_ERROR,
                "sendmail: fatal: No recipient addresses found in message header",
            ));
        }
    }
    if options.header.recipients.is_empty() {
        return Err(usage("Recipient addresses must be specified on the command line or via the -t option"));
    }
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten();
    let login = user.as_ref().map_or("unknown", |user| user.name.as_str());
    let full_name = options.full_name.or_else(|| std::env::var("NAME").ok()).unwrap_or_else(|| {
        user.as_ref().map(|user| real_name(&user.gecos.to_string_lossy(), login)).unwrap_or_default()
    });
    author::add(&mut content, &full_name, options.header.sender.as_deref().unwrap_or(login));
    let spool = setup.spool();
    maildrop::leave(&spool, &options.header, &content).map_err(|error| {
        let text = format!(
            "sendmail: fatal: {}: {}; has the daemon been started once?",
            spool.display(),
            words(&error)
        );
        Failure::new(TEMPORARY, text)
    })?;
    // The daemon looks by itself after a while; this only makes it look now.
    super::wake(setup);
    Ok(())
}

/// The name of passwd(5): up to the first comma; `&` is the login name.
fn real_name(gecos: &str, login: &str) -> String {
    let name = gecos.split(',').next().unwrap_or_default();
    let mut initial = login.chars();
    let capital: String = initial.next().into_iter().flat_map(char::to_uppercase).chain(initial).collect();
    name.replace('&', &capital)
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
    fn letters_may_share_a_word() {
        assert_eq!(options("-ti"), options("-t -i"));
        assert_eq!(options("-itfa@b.test"), options("-i -t -f a@b.test"));
    }

    #[test]
    fn an_argument_may_be_a_list_and_nonsense_is_refused() {
        let parsed = parse(&["a@x.test, B <b@x.test>".to_owned()]).expect("a list");
        assert_eq!(parsed.header.recipients, ["a@x.test", "b@x.test"]);
        assert_eq!(parse(&["<>".to_owned()]).expect_err("nobody").status, DATA_ERROR);
        assert_eq!(parse(&["-K".to_owned()]).expect_err("unknown").status, USAGE);
        assert_eq!(parse(&["-bz".to_owned()]).expect_err("unknown").status, USAGE);
    }

    #[test]
    fn a_real_name_comes_from_the_user_s_entry() {
        assert_eq!(real_name("& User,Room 1,,", "joe"), "Joe User");
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
