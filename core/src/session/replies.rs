//! TABLE of every reply that a session says of its own accord; policy and cleanup bring theirs.
//!
//! Texts are Postfix's, because people and programs read them. `{}` is filled in by [`Row::with`]. The last column is the class
//! of `notify_classes` that a reply belongs to.

use crate::mail::NoticeClass;
use crate::wire::command::CommandError;
use crate::wire::{EnhancedStatus, Reply, code_digits};

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    code: u16,
    status: Option<EnhancedStatus>,
    text: &'static str,
    class: Option<NoticeClass>,
}

impl Row {
    /// The reply, for a row without `{}`.
    pub(crate) fn reply(self) -> Reply {
        Reply::new(self.code, self.status, self.text)
    }

    /// The reply with each `{}` replaced, in order.
    pub(crate) fn with(self, values: &[&str]) -> Reply {
        let mut text = String::with_capacity(80);
        let mut values = values.iter();
        for (place, part) in self.text.split("{}").enumerate() {
            if place > 0 {
                text.push_str(values.next().copied().unwrap_or_default());
            }
            text.push_str(part);
        }
        Reply::new(self.code, self.status, text)
    }
}

macro_rules! replies {
    ($($name:ident: $code:literal ($($class:literal $subject:literal $detail:literal)?) $text:literal $($notice:ident)?;)*) => {
        $(pub(crate) const $name: Row = Row {
            code: $code,
            status: replies!(@status $($class $subject $detail)?),
            text: $text,
            class: replies!(@class $($notice)?),
        };)*
        const TABLE: &[(&str, Row)] = &[$((stringify!($name), $name)),*];
    };
    (@class) => { None };
    (@class $notice:ident) => { Some(NoticeClass::$notice) };
    (@status) => { None };
    (@status $class:literal $subject:literal $detail:literal) => {
        Some(EnhancedStatus::new($class, $subject, $detail))
    };
}

replies! {
    READY_FOR_TLS:       220 (2 0 0) "Ready to start TLS";
    BYE:                 221 (2 0 0) "Bye";
    NOT_SMTP:            221 (2 7 0) "Error: I can break rules, too. Goodbye.";
    OK:                  250 (2 0 0) "Ok";
    SENDER_OK:           250 (2 1 0) "Ok";
    RECIPIENT_OK:        250 (2 1 5) "Ok";
    CHUNK_OK:            250 (2 0 0) "Ok: {} bytes";
    QUEUED:              250 (2 0 0) "Ok: queued as {}";
    CHUNKS_QUEUED:       250 (2 0 0) "Ok: {} bytes queued as {}";
    MAY_EXIST:           252 (2 0 0) "{}";
    GO_AHEAD:            354 () "End data with <CR><LF>.<CR><LF>";
    TOO_MANY_ERRORS:     421 (4 7 0) "{} Error: too many errors";
    TOO_MANY_CONNECTIONS: 421 (4 7 0) "{} Error: too many connections from {}";
    TIMEOUT:             421 (4 4 2) "{} Error: timeout exceeded";
    SHUTTING_DOWN:       421 (4 3 2) "{} Error: service shutting down";
    CONFIGURATION:       451 (4 3 5) "Server configuration error" Software;
    TABLE_BROKEN:        451 (4 3 0) "Temporary lookup error" Data;
    NOT_WRITTEN:         451 (4 3 0) "Error: queue file write error" Resource;
    NO_SPACE:            452 (4 3 1) "Insufficient system storage" Resource;
    TOO_MANY_RECIPIENTS: 452 (4 5 3) "Error: too many recipients";
    NO_TLS_NOW:          454 (4 7 0) "TLS not available due to local problem" Software;
    BAD_SYNTAX:          500 (5 5 2) "Error: bad syntax" Protocol;
    BAD_UTF8:            500 (5 5 2) "Error: bad UTF-8 syntax" Protocol;
    LINE_TOO_LONG:       500 (5 5 2) "Error: line too long" Protocol;
    NOT_RECOGNIZED:      500 (5 5 2) "Error: command not recognized" Protocol;
    HELO_SYNTAX:         501 () "Syntax: HELO hostname" Protocol;
    EHLO_SYNTAX:         501 () "Syntax: EHLO hostname" Protocol;
    MAIL_SYNTAX:         501 (5 5 4) "Syntax: MAIL FROM:<address>" Protocol;
    RCPT_SYNTAX:         501 (5 5 4) "Syntax: RCPT TO:<address>" Protocol;
    DATA_SYNTAX:         501 (5 5 4) "Syntax: DATA" Protocol;
    RSET_SYNTAX:         501 (5 5 4) "Syntax: RSET" Protocol;
    VRFY_SYNTAX:         501 (5 5 4) "Syntax: VRFY address [SMTPUTF8]" Protocol;
    STARTTLS_SYNTAX:     501 (5 5 4) "Syntax: STARTTLS" Protocol;
    BAD_SENDER:          501 (5 1 7) "Bad sender address syntax" Protocol;
    BAD_RECIPIENT:       501 (5 1 3) "Bad recipient address syntax" Protocol;
    BAD_SIZE:            501 (5 5 4) "Bad message size syntax" Protocol;
    BAD_RET:             501 (5 5 4) "Bad RET parameter syntax" Protocol;
    BAD_ENVID:           501 (5 5 4) "Bad ENVID parameter syntax" Protocol;
    BAD_NOTIFY:          501 (5 5 4) "Error: Bad NOTIFY parameter syntax" Protocol;
    BAD_ORCPT:           501 (5 5 4) "Error: Bad ORCPT parameter syntax" Protocol;
    DSN_DISABLED:        501 (5 7 1) "DSN support is disabled" Policy;
    NOT_IMPLEMENTED:     502 (5 5 1) "Error: command not implemented" Protocol;
    VRFY_DISABLED:       502 (5 5 1) "VRFY command is disabled" Policy;
    HELO_FIRST:          503 (5 5 1) "Error: send HELO/EHLO first" Policy;
    NESTED_MAIL:         503 (5 5 1) "Error: nested MAIL command" Protocol;
    MAIL_FIRST:          503 (5 5 1) "Error: need MAIL command" Protocol;
    RCPT_FIRST:          503 (5 5 1) "Error: need RCPT command" Protocol;
    MAIL_AFTER_BDAT:     503 (5 5 1) "Error: MAIL after BDAT" Protocol;
    RCPT_AFTER_BDAT:     503 (5 5 1) "Error: RCPT after BDAT" Protocol;
    DATA_AFTER_BDAT:     503 (5 5 1) "Error: DATA after BDAT" Protocol;
    NO_AUTH:             503 (5 5 1) "Error: authentication not enabled" Protocol;
    ACCESS_DENIED:       503 (5 7 0) "Error: access denied for {}";
    BDAT_OFF:            521 (5 5 1) "Error: command not implemented" Protocol;
    BDAT_SYNTAX:         521 (5 5 4) "Syntax: BDAT count [LAST]" Protocol;
    TLS_FIRST:           530 (5 7 0) "Must issue a STARTTLS command first";
    NOT_PERMITTED:       550 (5 7 0) "Error: insufficient authorization" Policy;
    BARE_LF:             550 (5 5 2) "Error: bare <LF> received" Protocol;
    CHUNK_DISCARDED:     551 (5 0 0) "Discarded {} bytes after earlier error";
    NULL_CHUNK:          551 (5 7 1) "Null BDAT request" Policy;
    SIZE_OVER_LIMIT:     552 (5 3 4) "Message size exceeds fixed limit" Policy;
    CHUNK_OVER_LIMIT:    552 (5 3 4) "Chunk exceeds message size limit" Policy;
    MESSAGE_TOO_BIG:     552 (5 3 4) "Error: message file too big" Bounce;
    UTF8_UNDECLARED:     553 (5 6 7) "Must declare SMTPUTF8 to send unicode address" Protocol;
    OUT_OF_STEP:         554 (5 5 0) "Error: SMTP protocol synchronization";
    NO_VALID_RECIPIENTS: 554 (5 5 1) "Error: no valid recipients";
    TLS_ALREADY:         554 (5 5 1) "Error: TLS already active" Protocol;
    UNSUPPORTED:         555 (5 5 4) "Unsupported option: {}" Protocol;
}

/// What kind of trouble a reply of this table tells of; those that wait or say goodbye tell of none, as with Postfix.
pub(crate) fn class(reply: &Reply) -> Option<NoticeClass> {
    let said = reply.lines.first()?;
    let is = |row: &Row| {
        let start = row.text.split("{}").next().unwrap_or_default();
        row.code == reply.code && row.status == reply.status && said.starts_with(start)
    };
    TABLE.iter().find(|(_, row)| is(row)).and_then(|(_, row)| row.class)
}

/// What the client hears of a command that can not be read.
pub(crate) fn of_error(error: &CommandError) -> Reply {
    match error {
        CommandError::MailSyntax => MAIL_SYNTAX.reply(),
        CommandError::RcptSyntax => RCPT_SYNTAX.reply(),
        CommandError::BadSender => BAD_SENDER.reply(),
        CommandError::BadRecipient => BAD_RECIPIENT.reply(),
        CommandError::BadSize => BAD_SIZE.reply(),
        CommandError::BadRet => BAD_RET.reply(),
        CommandError::BadEnvid => BAD_ENVID.reply(),
        CommandError::BadNotify => BAD_NOTIFY.reply(),
        CommandError::BadOrcpt => BAD_ORCPT.reply(),
        CommandError::Unsupported(word) => UNSUPPORTED.with(&[word]),
    }
}

/// Appends the octets of a reply. Control characters become `?`: what a table or a peer said can not end the line.
pub(crate) fn emit(reply: &Reply, out: &mut Vec<u8>) {
    let last = reply.lines.len().saturating_sub(1);
    for (place, line) in reply.lines.iter().enumerate() {
        out.extend_from_slice(&code_digits(reply.code));
        out.push(if place == last { b' ' } else { b'-' });
        if let Some(status) = reply.status {
            status.emit(out);
            out.push(b' ');
        }
        if line.contains(char::is_control) {
            let line: String = line.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            out.extend_from_slice(line.as_bytes());
        } else {
            out.extend_from_slice(line.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_agrees_with_itself() {
        for (name, row) in TABLE {
            if let Some(status) = row.status {
                assert_eq!(u16::from(status.class), row.code / 100, "{name}");
            }
            let mut out = Vec::new();
            emit(&row.reply(), &mut out);
            assert!(out.len() <= 512, "{name}: RFC 5321 4.5.3.1.5");
        }
    }

    #[test]
    fn rows_are_filled_in_and_replies_can_not_be_broken_open() {
        let mut out = Vec::new();
        emit(&CHUNKS_QUEUED.with(&["5", "ID"]), &mut out);
        emit(&Reply { code: 250, status: None, lines: vec!["a".into(), "b\r\n250 c".into()] }, &mut out);
        assert_eq!(out, b"250 2.0.0 Ok: 5 bytes queued as ID\r\n250-a\r\n250 b??250 c\r\n");
    }
}
