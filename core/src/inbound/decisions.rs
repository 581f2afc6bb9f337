//! The decisions of the joint: which lists run when, and what becomes of a message whose content is complete.

use super::{Inbound, received};
use crate::ask::Pause;
use crate::because::Because;
use crate::cleanup::{Draft, Finished};
use crate::event::Event;
use crate::mail::{ClientFacts, NoticeClass, Origin, Sender};
use crate::policy::{self, Judgement, Situation, Stage, Verdict};
use crate::session::{Moment, Refused, replies};
use crate::time::Now;

/// A verdict, and what was asked besides.
type Judged = (Result<(), Refused>, Vec<policy::Action>);

impl Inbound {
    fn client_facts(&self) -> ClientFacts {
        ClientFacts {
            name: self.name.clone(),
            address: Some(self.peer.address),
            port: self.peer.port,
            helo: self.session.helo().unwrap_or_default().to_owned(),
            protocol: self.session.protocol().to_owned(),
        }
    }

    /// Runs the lists of a moment until one refuses, and notes why.
    pub(super) fn judge_because(&mut self, moment: Moment) -> Result<Judged, Pause> {
        let mut because = std::mem::take(&mut self.because);
        let judged = self.judge(moment, &mut because);
        self.because = because;
        judged
    }

    /// Runs the lists of a moment until one refuses.
    fn judge(&self, moment: Moment, because: &mut Because) -> Result<Judged, Pause> {
        let client = self.client_facts();
        let transaction = self.session.transaction();
        let sender = transaction.map(|transaction| self.canonical_sender(&transaction.sender));
        let recipient = self.session.recipient().map(|recipient| self.config.rewrite.canonical(recipient));
        let situation = Situation {
            client: &client,
            reverse_name: &self.reverse_name,
            helo: self.session.helo(),
            sender: sender.as_ref(),
            recipient: recipient.as_ref(),
            recipients: transaction.map_or(0, |t| u32::try_from(t.recipients.len()).unwrap_or(u32::MAX)),
            size: transaction.map_or(0, |t| if moment == Moment::EndOfData { t.stored } else { t.declared }),
            sasl_user: None,
            tls: self.session.tls(),
        };
        let mut actions = Vec::new();
        for &stage in stages(moment, self.config.session.delay_reject) {
            if stage == Stage::Helo && situation.helo.is_none() {
                continue;
            }
            let judgement = self.run_list(stage, &situation, because)?;
            actions.extend(judgement.actions);
            if let Verdict::Refuse(reply) = judgement.verdict {
                return Ok((Err(Refused::new(judgement.class, reply)), actions));
            }
        }
        if moment == Moment::Mail && !self.has_space(situation.size)? {
            because.note(|| {
                "the queue's file system has too little room (queue_minfree, message_size_limit)".to_owned()
            });
            let refused = Refused::new(NoticeClass::Resource, replies::NO_SPACE.reply());
            return Ok((Err(refused), actions));
        }
        Ok((Ok(()), actions))
    }

    fn run_list(
        &self,
        stage: Stage,
        situation: &Situation<'_>,
        because: &mut Because,
    ) -> Result<Judgement, Pause> {
        #[cfg(test)]
        if let Some(script) = &self.config.script {
            return Ok(script.judge(stage, situation));
        }
        self.config.policy.judge_because(stage, situation, &self.config.rewrite, &self.facts, because)
    }

    /// smtpd(8) takes no mail when queue_minfree or one and a half of the largest message would not fit.
    fn has_space(&self, declared: u64) -> Result<bool, Pause> {
        let params = &self.config.session;
        let largest = params.message_size_limit.max(declared);
        let needed = params.queue_minfree.max(largest.saturating_add(largest / 2));
        Ok(needed == 0 || self.facts.free_space()? >= needed)
    }

    fn canonical_sender(&self, sender: &Sender) -> Sender {
        match sender {
            Sender::Null => Sender::Null,
            Sender::Mailbox(mailbox) => Sender::Mailbox(self.config.rewrite.canonical(mailbox)),
        }
    }

    /// What cleanup gets of the transaction. `None`: it is to be thrown away.
    pub(super) fn draft(&self) -> Option<Draft> {
        let transaction = self.session.transaction()?;
        let id = transaction.id.filter(|_| !self.wishes.discard)?;
        let mut envelope = transaction.envelope();
        envelope.sender = self.canonical_sender(&envelope.sender);
        for recipient in &mut envelope.recipients {
            let canonical = self.config.rewrite.canonical(&recipient.address);
            let given = std::mem::replace(&mut recipient.address, canonical);
            recipient.original = (given != recipient.address).then_some(given);
        }
        envelope.client = self.client_facts();
        let trace = received::field(
            &received::Trace {
                client: &envelope.client,
                tls: self.session.tls().filter(|_| self.config.session.tls_received_header),
                host: &self.config.session.host,
                mail_name: &self.config.session.mail_name,
                id,
                transaction,
                utc_offset_minutes: self.config.cleanup.zone.offset(transaction.arrived),
            },
            transaction.arrived,
        );
        self.wishes.apply(&mut envelope);
        // Above the trace field, as RFC 7208 9.1 wants of Received-SPF: what is below came from elsewhere.
        let mut front: Vec<u8> =
            self.wishes.prepend.iter().flat_map(|line| [line, "\r\n"].concat().into_bytes()).collect();
        front.extend_from_slice(&trace);
        Some(Draft {
            id,
            envelope,
            origin: Origin::Submitted,
            trace: front,
            prepend: Vec::new(),
            hold: self.wishes.hold,
            filtered: true,
        })
    }

    /// Makes the message, or goes on making it where it paused.
    pub(super) fn finish(&mut self, at: Now, draft: Option<&Draft>) -> Result<(Finished, Vec<Event>), Pause> {
        let Some(draft) = draft else { return Ok((Finished::Discarded, Vec::new())) };
        let config = &self.config;
        #[cfg(test)]
        if let Some(script) = &config.script {
            return Ok(script.finish(draft, self.cleanup.stored()));
        }
        self.cleanup.resume(at, draft, &config.cleanup, &config.rewrite, &self.facts)
    }
}

/// Which lists run when. With `smtpd_delay_reject` the early ones wait for the recipient, so that the log tells whom the mail was for.
fn stages(moment: Moment, delayed: bool) -> &'static [Stage] {
    match (moment, delayed) {
        (Moment::Connect | Moment::Hello | Moment::Mail, true) => &[],
        (Moment::Connect, false) => &[Stage::Client],
        (Moment::Hello, false) => &[Stage::Helo],
        (Moment::Mail, false) => &[Stage::Mail],
        (Moment::Rcpt, true) => &[Stage::Client, Stage::Helo, Stage::Mail, Stage::Rcpt],
        (Moment::Rcpt, false) => &[Stage::Rcpt],
        (Moment::Vrfy, true) => &[Stage::Client, Stage::Helo, Stage::Vrfy],
        (Moment::Vrfy, false) => &[Stage::Vrfy],
        (Moment::Data, _) => &[Stage::Data],
        (Moment::EndOfData, _) => &[Stage::EndOfData],
    }
}
