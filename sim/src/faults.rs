//! TABLE of the classes of faults, and how often each has fired.
//!
//! A class counts when it does harm, not when it was planned: a loss that met no segment is no loss. A swarm in which a
//! class never fired has not tried it, and says so.

use std::fmt::Write as _;

macro_rules! classes {
    ($($variant:ident $name:literal,)*) => {
        /// A class of faults.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)] // The name beside each says it.
        pub enum Class { $($variant,)* }

        impl Class {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// For people.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

classes! {
    Loss "a segment or datagram is lost",
    Delay "a segment takes more than a second",
    Reorder "a connection overtakes another",
    Reset "a connection is reset",
    HalfClose "a peer sends no more, but listens",
    BlackHole "an address where nobody answers",
    Drip "a link so slow that octets drip",
    DripServer "a server says a reply a few octets at a time",
    DripClient "a client sends a few octets at a time",
    CutBoth "a partition, both ways",
    CutOneWay "a partition, one way",
    DnsSilent "a name server says nothing",
    DnsServfail "SERVFAIL",
    DnsRefused "REFUSED",
    DnsNoEdns "FORMERR to EDNS",
    DnsForged "a forged answer comes first",
    DnsTtlZero "a time to live of nothing",
    DnsTtlLong "a time to live of a month",
    DnsTruncated "TC",
    DnsGarbled "half an answer",
    DnsMxChanges "exchangers change between answers",
    MxMoved "a zone has other exchangers than at the attempt before",
    AddressMoved "an exchanger has another address than at the attempt before",
    Rude "421 or 554 instead of a greeting",
    Crowded "421 for too many connections",
    Silent "a server accepts and never greets",
    Sleeps "a server stops answering",
    Soft "451 to a command",
    SoftDot "451 to the content",
    Greylisted "450 until one comes again",
    RecipientLater "452 to one recipient",
    Babble "words that are no reply",
    OutOfTurn "a reply that nobody asked for",
    LmtpFew "fewer LMTP replies than recipients",
    LmtpMany "more LMTP replies than recipients",
    ReplyLost "the reply to the dot is lost",
    CloseGreeting "hangs up instead of greeting",
    CloseHello "hangs up at EHLO or LHLO",
    CloseStartTls "hangs up at STARTTLS",
    CloseHandshake "hangs up in a TLS handshake",
    CloseMail "hangs up at MAIL",
    CloseRcpt "hangs up at RCPT",
    CloseData "hangs up at DATA",
    CloseBody "hangs up in the content",
    CloseDot "hangs up at the dot",
    CloseReset "hangs up at RSET",
    CloseQuit "hangs up at QUIT",
    IdleWord "421 to a client that is idle",
    IdleClose "hangs up on a client that is idle",
    TlsHandshake "a TLS handshake fails",
    TlsWrongName "a certificate for another name",
    TlsExpired "an expired certificate",
    DiskTorn "a write is torn by a power failure",
    DiskUnsynced "an unsynced write is lost",
    DiskName "an unsynced name is lost or comes back",
    DiskFull "no space is left",
    DiskWrite "a write fails",
    DiskRead "a read fails",
    DiskSync "a sync fails",
    DiskRot "an octet changes on the disk",
    DiskStale "a torn file shows old octets of another",
    Killed "a process is killed",
    PowerLost "a machine loses power",
    CrashAtOperation "power is lost in the middle of a disk operation",
    CrashAtEffect "the process ends right behind an effect",
    ClockForward "a clock jumps forward",
    ClockBack "a clock jumps back",
    TableFails "a lookup table fails",
    ClientHangsUp "a client hangs up in the middle",
    ClientVanishes "a client does not wait for the reply to its dot",
    Requeued "an operator has mail go through cleanup anew",
    Held "an operator puts mail on hold",
    Deleted "an operator deletes a message",
    Reloaded "an operator reloads",
    Lasting "a machine is down or refuses for good",
    LastingCut "a direction is silent for good",
    LastingPath "the usual path stays lossy or slow",
    LastingManners "a server keeps its bad manners for good",
    LastingHumour "a name server keeps its humour for good",
}

/// How often each class has fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired([u64; Class::ALL.len()]);

impl Default for Fired {
    fn default() -> Self {
        Self([0; Class::ALL.len()])
    }
}

impl Fired {
    /// It did harm once more.
    pub const fn note(&mut self, class: Class) {
        self.0[class as usize] += 1;
    }

    /// How often.
    #[must_use]
    pub const fn count(&self, class: Class) -> u64 {
        self.0[class as usize]
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, more)| *own += more);
    }

    /// The classes that never fired.
    pub fn never(&self) -> impl Iterator<Item = Class> {
        Class::ALL.iter().copied().filter(|class| self.count(*class) == 0)
    }

    /// The classes that have fired more often than here.
    pub fn since(&self, before: &Self) -> impl Iterator<Item = Class> {
        Class::ALL.iter().copied().filter(|class| self.count(*class) > before.count(*class))
    }

    /// One line for each class.
    #[must_use]
    pub fn table(&self) -> String {
        self.lines(|_| true)
    }

    /// One line for each class that has fired.
    #[must_use]
    pub fn happened(&self) -> String {
        self.lines(|count| count > 0)
    }

    fn lines(&self, wanted: impl Fn(u64) -> bool) -> String {
        let classes = Class::ALL.iter().filter(|class| wanted(self.count(**class)));
        classes.fold(String::new(), |mut text, class| {
            _ = writeln!(text, "{:>12}  {}", self.count(*class), class.name());
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_fired_is_named() {
        let mut fired = Fired::default();
        fired.note(Class::Loss);
        let mut other = Fired::default();
        other.note(Class::Loss);
        fired.add(&other);
        assert_eq!(fired.count(Class::Loss), 2);
        assert_eq!(fired.never().count(), Class::ALL.len() - 1);
        assert_eq!(fired.since(&Fired::default()).collect::<Vec<_>>(), [Class::Loss]);
        assert_eq!(fired.since(&fired).count(), 0);
        assert!(fired.table().starts_with("           2  a segment"));
        assert_eq!((fired.table().lines().count(), fired.happened().lines().count()), (Class::ALL.len(), 1));
    }
}
