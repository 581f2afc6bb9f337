//! TABLE: how far a failure reaches, and what becomes of those it reaches.
//!
//! The reply's class gives the severity, the moment gives the reach. What is merely put off goes to the next host, and is
//! deferred when there is none; what failed is returned. Follows the reasoning of Postfix's smtp(8) client:
//! a host that will not talk says nothing of the next one, a refused MAIL concerns the message, a refused RCPT one recipient.
//!
//! RFC 5321 4.2.1, 4.2.4.2, 4.5.4.1; RFC 1047.

/// What we were waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// The greeting.
    Greeting,
    /// The answer to EHLO, HELO or LHLO.
    Hello,
    /// The answer to STARTTLS, where TLS is required.
    StartTls,
    /// The answer to the RSET with which a kept connection is used again.
    Rset,
    /// The answer to MAIL.
    Mail,
    /// The answer to RCPT.
    Rcpt,
    /// The answer to DATA.
    Data,
    /// Nothing: we are sending the content.
    Body,
    /// The answer to the final dot.
    Dot,
}

/// How it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// 4yz.
    Soft,
    /// 421: the server closes the connection.
    Closing,
    /// 5yz.
    Hard,
    /// A reply of a class that can not be meant here.
    Odd,
    /// No reply: the connection was lost, or the time is over.
    Cut,
    /// Octets that are no reply, or a reply that nobody asked for.
    Garbled,
}

/// How far it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// The recipient it was about.
    Recipient,
    /// All recipients of the message that remain.
    Transaction,
    /// All that remain, and the connection is of no more use; the destination counts as unavailable when no host is better.
    Host,
}

/// What becomes of those it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// To the next host, or deferred when there is none.
    PutOff,
    /// Returned to the sender.
    Fail,
}

/// The table.
#[must_use]
pub const fn classify(moment: Moment, severity: Severity) -> (Reach, Fate) {
    use Fate::{Fail, PutOff};
    use Reach::{Host, Recipient, Transaction};
    match (moment, severity) {
        // Out of step or out of reach: whatever it was, the next host may do better. A lost answer to the final dot is among
        // them (RFC 1047): a second copy is better than none. A reply of the wrong class belongs to another command, so that
        // nobody has refused this one (Postfix returns the mail).
        (_, Severity::Cut | Severity::Garbled | Severity::Closing | Severity::Odd) => (Host, PutOff),
        (Moment::Greeting | Moment::Hello | Moment::StartTls | Moment::Rset, Severity::Soft) => {
            (Host, PutOff)
        }
        // A hard refusal before any transaction: returned, unless smtp_skip_5xx_greeting made it soft.
        (Moment::Greeting | Moment::Hello, Severity::Hard) => (Host, Fail),
        // RSET can not be refused by a working server; a fresh connection decides.
        (Moment::StartTls | Moment::Rset, Severity::Hard) => (Host, PutOff),
        (Moment::Rcpt, Severity::Soft) => (Recipient, PutOff),
        (Moment::Rcpt, Severity::Hard) => (Recipient, Fail),
        (Moment::Mail | Moment::Data | Moment::Body | Moment::Dot, Severity::Soft) => (Transaction, PutOff),
        (Moment::Mail | Moment::Data | Moment::Body | Moment::Dot, Severity::Hard) => (Transaction, Fail),
    }
}

/// How a reply of this code went wrong, where one of class `wanted` was.
#[must_use]
pub fn severity(code: u16, wanted: u16) -> Option<Severity> {
    match code {
        421 => Some(Severity::Closing),
        _ if code / 100 == wanted => None,
        400..=499 if planted!(SoftIsHard) => Some(Severity::Hard),
        500..=599 if planted!(HardIsSoft) => Some(Severity::Soft),
        400..=499 => Some(Severity::Soft),
        500..=599 => Some(Severity::Hard),
        _ => Some(Severity::Odd),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn the_whole_table_is_as_it_was_agreed() {
        use Moment::{Body, Data, Dot, Greeting, Hello, Mail, Rcpt, Rset, StartTls};
        use Severity::{Closing, Cut, Garbled, Hard, Odd, Soft};
        let mut text = String::new();
        for moment in [Greeting, Hello, StartTls, Rset, Mail, Rcpt, Data, Body, Dot] {
            _ = write!(text, "\n{:<9}", format!("{moment:?}"));
            for severity in [Soft, Closing, Hard, Odd, Cut, Garbled] {
                let (reach, fate) = classify(moment, severity);
                _ = write!(text, " {severity:?}={reach:?}/{fate:?}");
            }
        }
        insta::assert_snapshot!(text, @r#"
        Greeting  Soft=Host/PutOff Closing=Host/PutOff Hard=Host/Fail Odd=Host/PutOff Cut=Host/PutOff Garbled=Host/PutOff
        Hello     Soft=Host/PutOff Closing=Host/PutOff Hard=Host/Fail Odd=Host/PutOff Cut=Host/PutOff Garbled=Host/PutOff
        StartTls  Soft=Host/PutOff Closing=Host/PutOff Hard=Host/PutOff Odd=Host/PutOff Cut=Host/PutOff Garbled=Host/PutOff
        Rset      Soft=Host/PutOff Closing=Host/PutOff Hard=Host/PutOff Odd=Host/PutOff Cut=Host/PutOff Garbled=Host/PutOff
        Mail      Soft=Transaction/PutOff Closing=Host/PutOff Hard=Transaction/Fail Odd=Host/PutOff Cut=Host/PutOff Garbled=Host/PutOff
        Rcpt      Soft=Recipient/PutOff Closing=Host/PutOff Hard=Recipient/Fail Odd=Host/PutOff Cut=Host/PutOff Garbled=Host/PutOff
        Data      Soft=Transaction/PutOff Closing=Host/PutOff Hard=Transaction/Fail Odd=Host/PutOff Cut=Host/PutOff Garbled=Host/PutOff
        Body      Soft=Transaction/PutOff Closing=Host/PutOff Hard=Transaction/Fail Odd=Host/PutOff Cut=Host/PutOff Garbled=Host/PutOff
        Dot       Soft=Transaction/PutOff Closing=Host/PutOff Hard=Transaction/Fail Odd=Host/PutOff Cut=Host/PutOff Garbled=Host/PutOff
        "#);
    }

    #[test]
    fn a_421_closes_whatever_was_asked() {
        assert_eq!(severity(421, 2), Some(Severity::Closing));
        assert_eq!(severity(250, 2), None);
        assert_eq!(severity(354, 2), Some(Severity::Odd));
        assert_eq!(severity(250, 3), Some(Severity::Odd));
    }
}
