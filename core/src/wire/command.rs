//! SMTP commands and their parameters (RFC 5321 4.1.1, RFC 1870, 3030, 3461, 4954, 6152, 6531).
//!
//! A line is split into a verb and the rest first, because whether a command is allowed is asked before how it is written.
//! Errors are values; session/replies.rs says what the client hears. Knows nothing of the state of a session.

use super::xtext;
use super::{Mailbox, Path};

/// The first word of a command line. The order is that of Postfix's table, in which a disconnect line counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// HELO.
    Helo,
    /// EHLO.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// BDAT.
    Bdat,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// VRFY.
    Vrfy,
    /// ETRN.
    Etrn,
    /// QUIT.
    Quit,
    /// XCLIENT.
    Xclient,
    /// XFORWARD.
    Xforward,
    /// EXPN.
    Expn,
    /// TURN.
    Turn,
    /// HELP.
    Help,
    /// Anything else.
    Unknown,
}

impl Verb {
    /// All of them, in their order.
    pub const ALL: [Self; 19] = [
        Self::Helo,
        Self::Ehlo,
        Self::StartTls,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Bdat,
        Self::Rset,
        Self::Noop,
        Self::Vrfy,
        Self::Etrn,
        Self::Quit,
        Self::Xclient,
        Self::Xforward,
        Self::Expn,
        Self::Turn,
        Self::Help,
        Self::Unknown,
    ];

    /// The word, upper case; `UNKNOWN` for the last.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Helo => "HELO",
            Self::Ehlo => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Bdat => "BDAT",
            Self::Rset => "RSET",
            Self::Noop => "NOOP",
            Self::Vrfy => "VRFY",
            Self::Etrn => "ETRN",
            Self::Quit => "QUIT",
            Self::Xclient => "XCLIENT",
            Self::Xforward => "XFORWARD",
            Self::Expn => "EXPN",
            Self::Turn => "TURN",
            Self::Help => "HELP",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The verb that a word is.
    #[must_use]
    pub fn of(word: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|verb| *verb != Self::Unknown && verb.word().eq_ignore_ascii_case(word))
            .unwrap_or(Self::Unknown)
    }
}

/// The first word of a line and what follows, both without the white space around.
#[must_use]
pub fn split(line: &str) -> (&str, &str) {
    let line = line.trim_matches(BLANK);
    let (word, rest) = line.split_once(BLANK).unwrap_or((line, ""));
    (word, rest.trim_start_matches(BLANK))
}

const BLANK: [char; 2] = [' ', '\t'];

/// What is wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CommandError {
    /// MAIL without `FROM:` or an address behind it.
    MailSyntax,
    /// RCPT without `TO:` or an address behind it.
    RcptSyntax,
    /// The reverse-path is none.
    BadSender,
    /// The forward-path is none.
    BadRecipient,
    /// `SIZE=` without a number.
    BadSize,
    /// `RET=` with something else than FULL or HDRS, or twice.
    BadRet,
    /// `ENVID=` that is no xtext, or twice.
    BadEnvid,
    /// `NOTIFY=` with something unknown, NEVER among others, or twice.
    BadNotify,
    /// `ORCPT=` that is not `type;xtext`, or twice.
    BadOrcpt,
    /// A parameter that we do not know.
    Unsupported(String),
}

/// A parameter of MAIL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MailParameter {
    /// `SIZE=`; the largest number when it is larger.
    Size(u64),
    /// `BODY=7BIT`.
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
    /// `SMTPUTF8`.
    SmtpUtf8,
    /// `RET=FULL`.
    RetFull,
    /// `RET=HDRS`.
    RetHeaders,
    /// `ENVID=`, decoded.
    Envid(String),
    /// `AUTH=`, which is not trusted from anybody and therefore not kept.
    Auth,
}

/// A parameter of RCPT.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RcptParameter {
    /// `NOTIFY=`; all false for NEVER.
    Notify {
        /// SUCCESS.
        success: bool,
        /// FAILURE.
        failure: bool,
        /// DELAY.
        delay: bool,
    },
    /// `ORCPT=`, decoded.
    Orcpt {
        /// Before the semicolon.
        kind: String,
        /// Behind it.
        address: String,
    },
}

/// Reads the arguments of MAIL.
///
/// # Errors
/// The first thing that is wrong, from the left.
pub fn mail(arguments: &str, strict: bool) -> Result<(Path, Vec<MailParameter>), CommandError> {
    let text = behind(arguments, "FROM:").ok_or(CommandError::MailSyntax)?;
    let (path, rest) = Path::parse(text, strict).map_err(|_| CommandError::BadSender)?;
    let mut parameters = Vec::new();
    for word in words(rest) {
        let parameter = mail_parameter(word)?;
        let twice = |known: fn(&MailParameter) -> bool| known(&parameter) && parameters.iter().any(known);
        if twice(|p| matches!(p, MailParameter::Envid(_))) {
            return Err(CommandError::BadEnvid);
        }
        if twice(|p| matches!(p, MailParameter::RetFull | MailParameter::RetHeaders)) {
            return Err(CommandError::BadRet);
        }
        parameters.push(parameter);
    }
    Ok((path, parameters))
}

fn mail_parameter(word: &str) -> Result<MailParameter, CommandError> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    Ok(match (name.to_ascii_uppercase().as_str(), value) {
        ("SIZE", Some(value)) => MailParameter::Size(size(value).ok_or(CommandError::BadSize)?),
        ("BODY", Some(value)) if value.eq_ignore_ascii_case("7BIT") => MailParameter::SevenBit,
        ("BODY", Some(value)) if value.eq_ignore_ascii_case("8BITMIME") => MailParameter::EightBitMime,
        ("SMTPUTF8", None) => MailParameter::SmtpUtf8,
        ("RET", Some(value)) if value.eq_ignore_ascii_case("FULL") => MailParameter::RetFull,
        ("RET", Some(value)) if value.eq_ignore_ascii_case("HDRS") => MailParameter::RetHeaders,
        ("RET", Some(_)) => return Err(CommandError::BadRet),
        ("ENVID", Some(value)) if !value.is_empty() => {
            MailParameter::Envid(xtext::decode(value).map_err(|_| CommandError::BadEnvid)?)
        }
        ("ENVID", Some(_)) => return Err(CommandError::BadEnvid),
        ("AUTH", Some(_)) => MailParameter::Auth,
        _ => return Err(CommandError::Unsupported(word.to_owned())),
    })
}

/// Reads the arguments of RCPT.
///
/// # Errors
/// The first thing that is wrong, from the left.
pub fn rcpt(arguments: &str, strict: bool) -> Result<(Mailbox, Vec<RcptParameter>), CommandError> {
    let text = behind(arguments, "TO:").ok_or(CommandError::RcptSyntax)?;
    let (path, rest) = Path::parse(text, strict).map_err(|_| CommandError::BadRecipient)?;
    let Path::Mailbox(mailbox) = path else { return Err(CommandError::BadRecipient) };
    let mut parameters: Vec<RcptParameter> = Vec::new();
    for word in words(rest) {
        let parameter = rcpt_parameter(word)?;
        let same =
            |other: &RcptParameter| std::mem::discriminant(other) == std::mem::discriminant(&parameter);
        if parameters.iter().any(same) {
            return Err(match parameter {
                RcptParameter::Notify { .. } => CommandError::BadNotify,
                RcptParameter::Orcpt { .. } => CommandError::BadOrcpt,
            });
        }
        parameters.push(parameter);
    }
    Ok((mailbox, parameters))
}

fn rcpt_parameter(word: &str) -> Result<RcptParameter, CommandError> {
    let unsupported = || CommandError::Unsupported(word.to_owned());
    let (name, value) = word.split_once('=').ok_or_else(unsupported)?;
    match name.to_ascii_uppercase().as_str() {
        "NOTIFY" => notify(value).ok_or(CommandError::BadNotify),
        "ORCPT" => orcpt(value).ok_or(CommandError::BadOrcpt),
        _ => Err(unsupported()),
    }
}

fn notify(value: &str) -> Option<RcptParameter> {
    let (mut success, mut failure, mut delay) = (false, false, false);
    if !value.eq_ignore_ascii_case("NEVER") {
        for word in value.split(',') {
            match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => success = true,
                "FAILURE" => failure = true,
                "DELAY" => delay = true,
                _ => return None,
            }
        }
    }
    Some(RcptParameter::Notify { success, failure, delay })
}

fn orcpt(value: &str) -> Option<RcptParameter> {
    let (kind, address) = value.split_once(';')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if kind.is_empty() || address.is_empty() || !kind.chars().all(plain) {
        return None;
    }
    // RFC 6533 3: the utf-8 type writes UTF-8 as it is.
    let address = if address.is_ascii() {
        xtext::decode(address).ok()?
    } else if kind.eq_ignore_ascii_case("utf-8") && !address.chars().any(char::is_control) {
        address.to_owned()
    } else {
        return None;
    };
    Some(RcptParameter::Orcpt { kind: kind.to_owned(), address })
}

/// The arguments of BDAT: octets of the chunk, and whether it is the last. `None` when they can not be relied upon: then
/// nobody knows where the chunk ends.
#[must_use]
pub fn bdat(arguments: &str) -> Option<(u64, bool)> {
    let mut words = words(arguments);
    let count = words.next()?;
    if count.is_empty() || !count.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    // As Postfix: more octets than a file can have are no count, and are not waited for.
    let count = count.parse::<i64>().ok()?.unsigned_abs();
    match (words.next(), words.next()) {
        (None, _) => Some((count, false)),
        (Some(last), None) if last.eq_ignore_ascii_case("LAST") => Some((count, true)),
        _ => None,
    }
}

fn size(value: &str) -> Option<u64> {
    let digits = !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

/// What follows `FROM:` or `TO:`. RFC 5321 has no space there; clients do.
fn behind<'a>(arguments: &'a str, keyword: &str) -> Option<&'a str> {
    let head = arguments.get(..keyword.len())?;
    let rest = arguments[keyword.len()..].trim_matches(BLANK);
    (head.eq_ignore_ascii_case(keyword) && !rest.is_empty()).then_some(rest)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(BLANK).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests;
