//! MAIL, RCPT, RSET: building an envelope. Read, judge, then act.

use super::stage::{Chunks, Pending, Stage, Transaction};
use super::{Output, Session, needs_utf8, replies};
use crate::event::Event;
use crate::mail::{BodyType, Notify, OriginalRecipient, QueueId, Recipient, Ret, Sender};
use crate::time::Now;
use crate::wire::command::{self, CommandError, MailParameter, RcptParameter};
use crate::wire::{Mailbox, Path, Reply};

impl Session {
    /// MAIL.
    pub(super) fn mail(&mut self, now: Now, arguments: &str) {
        let row = if self.params.helo_required && self.hello.is_none() {
            Some(replies::HELO_FIRST)
        } else if self.chunks != Chunks::None {
            Some(replies::MAIL_AFTER_BDAT)
        } else if self.transaction.is_some() {
            Some(replies::NESTED_MAIL)
        } else {
            None
        };
        if let Some(row) = row {
            return self.say(now, &row.reply(), false);
        }
        match self.read_mail(now, arguments) {
            Ok(transaction) => self.judge(Pending::Mail(Box::new(transaction))),
            Err(reply) => {
                self.warn_of_address(&reply, arguments);
                self.say(now, &reply, false);
            }
        }
    }

    fn read_mail(&self, now: Now, arguments: &str) -> Result<Transaction, Reply> {
        let (path, parameters) = command::mail(arguments, self.params.strict_envelopes)
            .map_err(|error| replies::of_error(&error))?;
        let sender = match path {
            Path::Null => Sender::Null,
            Path::Mailbox(mailbox) if self.is_doubtful(&mailbox) => {
                return Err(replies::of_error(&CommandError::BadSender));
            }
            Path::Mailbox(mailbox) => Sender::Mailbox(mailbox),
        };
        let mut transaction = Transaction {
            sender,
            recipients: Vec::new(),
            arrived: now.wall,
            declared: 0,
            stored: 0,
            envid: None,
            ret: None,
            body: BodyType::SevenBit,
            smtputf8: false,
            id: None,
            overshoot: 0,
            trouble: None,
        };
        for parameter in parameters {
            self.take_mail_parameter(&mut transaction, parameter)?;
        }
        if needs_utf8(&transaction.sender) && !self.permits_utf8(&transaction) {
            return Err(replies::UTF8_UNDECLARED.reply());
        }
        let limit = self.params.message_size_limit;
        if limit > 0 && transaction.declared > limit {
            return Err(replies::SIZE_OVER_LIMIT.reply());
        }
        Ok(transaction)
    }

    fn take_mail_parameter(
        &self,
        transaction: &mut Transaction,
        parameter: MailParameter,
    ) -> Result<(), Reply> {
        let dsn = || if self.discards("DSN") { Err(replies::DSN_DISABLED.reply()) } else { Ok(()) };
        match parameter {
            MailParameter::Size(size) => transaction.declared = size,
            MailParameter::SevenBit => transaction.body = BodyType::SevenBit,
            MailParameter::EightBitMime => transaction.body = BodyType::EightBitMime,
            MailParameter::SmtpUtf8 if !self.params.smtputf8 || self.discards("SMTPUTF8") => {
                return Err(replies::of_error(&CommandError::Unsupported("SMTPUTF8".to_owned())));
            }
            MailParameter::SmtpUtf8 => transaction.smtputf8 = true,
            MailParameter::RetFull => {
                dsn()?;
                transaction.ret = Some(Ret::Full);
            }
            MailParameter::RetHeaders => {
                dsn()?;
                transaction.ret = Some(Ret::Headers);
            }
            MailParameter::Envid(envid) => {
                dsn()?;
                transaction.envid = Some(envid);
            }
            // RFC 4954 5: from a client that is not authenticated it is to be taken as AUTH=<>, and that is no news.
            MailParameter::Auth => {}
        }
        Ok(())
    }

    fn permits_utf8(&self, transaction: &Transaction) -> bool {
        transaction.smtputf8 || !self.params.strict_smtputf8
    }

    /// RCPT.
    pub(super) fn rcpt(&mut self, now: Now, arguments: &str) {
        let row = if self.transaction.is_none() {
            Some(replies::MAIL_FIRST)
        } else if self.chunks != Chunks::None {
            Some(replies::RCPT_AFTER_BDAT)
        } else {
            None
        };
        if let Some(row) = row {
            return self.say(now, &row.reply(), false);
        }
        match self.read_rcpt(arguments) {
            Ok(recipient) if self.is_full() => self.refuse_for_number(now, recipient),
            Ok(recipient) => self.judge(Pending::Rcpt(Box::new(recipient))),
            Err(reply) => {
                self.warn_of_address(&reply, arguments);
                self.say(now, &reply, false);
            }
        }
    }

    fn read_rcpt(&self, arguments: &str) -> Result<Recipient, Reply> {
        let (mailbox, parameters) = command::rcpt(arguments, self.params.strict_envelopes)
            .map_err(|error| replies::of_error(&error))?;
        if self.is_doubtful(&mailbox) {
            return Err(replies::of_error(&CommandError::BadRecipient));
        }
        if !parameters.is_empty() && self.discards("DSN") {
            return Err(replies::DSN_DISABLED.reply());
        }
        if !self.permits_recipient(&mailbox) {
            return Err(replies::UTF8_UNDECLARED.reply());
        }
        let mut recipient = Recipient::new(mailbox);
        for parameter in parameters {
            match parameter {
                RcptParameter::Notify { success, failure, delay } => {
                    recipient.notify = Notify { success, failure, delay, explicit: true };
                }
                RcptParameter::Orcpt { kind, address } => {
                    recipient.orcpt = Some(OriginalRecipient { kind, address });
                }
            }
        }
        Ok(recipient)
    }

    /// Whether a command that is handed the address could take it for an option, or whoever swaps `%` for `@` finds no domain.
    fn is_doubtful(&self, mailbox: &Mailbox) -> bool {
        let local = mailbox.local();
        (local.starts_with('-') && !self.params.allow_min_user)
            || (mailbox.domain().is_empty() && local.ends_with('%'))
    }

    fn permits_recipient(&self, mailbox: &Mailbox) -> bool {
        mailbox.is_ascii()
            || self.transaction.as_ref().is_some_and(|transaction| self.permits_utf8(transaction))
    }

    fn is_full(&self) -> bool {
        let count = self.transaction.as_ref().map_or(0, |transaction| transaction.recipients.len());
        self.params.recipient_limit > 0 && count >= self.params.recipient_limit
    }

    /// RFC 5321 4.5.3.1.10: 452 for those beyond the limit. A client that never stops makes errors in the end.
    fn refuse_for_number(&mut self, now: Now, _recipient: Recipient) {
        let limit = self.params.recipient_overshoot_limit;
        let patient = self.transaction.as_mut().is_some_and(|transaction| {
            transaction.overshoot += 1;
            transaction.overshoot <= limit
        });
        let reply = replies::TOO_MANY_RECIPIENTS.reply();
        if patient { self.reply(now, &reply) } else { self.say(now, &reply, false) }
    }

    /// The recipient may be. The first one opens the message: it needs an id.
    pub(super) fn accept(&mut self, now: Now, recipient: Box<Recipient>) {
        let Some(transaction) = &mut self.transaction else { return };
        if transaction.id.is_none() {
            self.stage = Stage::Identifying(recipient);
            return self.ask(Output::Identify);
        }
        transaction.recipients.push(*recipient);
        self.say(now, &replies::RECIPIENT_OK.reply(), true);
    }

    /// The id has come.
    pub(super) fn identified(&mut self, now: Now, id: QueueId) {
        if !matches!(self.stage, Stage::Identifying(_)) {
            return;
        }
        let Stage::Identifying(recipient) = std::mem::replace(&mut self.stage, Stage::Command) else {
            return;
        };
        let client = self.client();
        if let Some(transaction) = &mut self.transaction {
            transaction.id = Some(id);
            self.event(Event::TransactionOpened { id, client });
            self.accept(now, recipient);
        }
    }

    /// RSET.
    pub(super) fn rset(&mut self, now: Now, arguments: &str) {
        if !arguments.is_empty() {
            return self.say(now, &replies::RSET_SYNTAX.reply(), false);
        }
        self.abandon();
        self.close_long_minutes();
        self.say(now, &replies::OK.reply(), true);
    }

    /// Log tools look for this line.
    fn warn_of_address(&mut self, reply: &Reply, arguments: &str) {
        let is_address =
            reply.status.is_some_and(|status| status.subject == 1 && matches!(status.detail, 3 | 7));
        if !is_address {
            return;
        }
        let what = self.place;
        let written = arguments.split_once(':').map_or(arguments, |(_, rest)| rest.trim());
        let client = self.client();
        self.warn(format!("Illegal address syntax from {client} in {what} command: {written}"));
    }
}
