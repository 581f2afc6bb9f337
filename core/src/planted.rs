//! Bugs on purpose, one at a time, to see whether the simulator's oracle has eyes (`postrider-sim canary`).
//!
//! Behind those that were thought out are those that stories found and that are mended: each brings its bug back, so that the story which shows it
//! (corpus/plans/) is known to show it still.
//!
//! Only with the feature `planted`, which no shipped program has: without it each site is the constant false, and this file is a
//! macro. tests/tests/purity.rs shows that the daemon knows nothing of it.

/// True when this bug is planted.
macro_rules! planted {
    ($bug:ident) => {{
        #[cfg(feature = "planted")]
        let planted = $crate::planted::is($crate::planted::Bug::$bug);
        #[cfg(not(feature = "planted"))]
        let planted = false;
        planted
    }};
}

#[cfg(feature = "planted")]
macro_rules! bugs {
    ($($variant:ident $words:literal,)*; found: $($found:ident $told:literal,)*) => {
        /// A bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)] // The words beside each say it.
        pub enum Bug { $($variant,)* $($found,)* }

        impl Bug {
            /// All that were thought out.
            pub const ALL: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$variant, stringify!($variant), $words),)*];

            /// Those that stories found and that are mended. One story in some thousands shows such a bug.
            pub const FOUND: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$found, stringify!($found), $told),)*];

            /// A bug of either sort: its name and its words.
            #[must_use]
            pub fn named(name: &str) -> Option<(Self, &'static str, &'static str)> {
                Self::ALL.iter().chain(Self::FOUND).find(|(_, other, _)| *other == name).copied()
            }

            /// The name of the bug that is planted.
            #[must_use]
            pub fn planted() -> Option<&'static str> {
                Self::ALL.iter().chain(Self::FOUND).find(|(bug, ..)| is(*bug)).map(|(_, name, _)| *name)
            }
        }
    };
}

#[cfg(feature = "planted")]
bugs! {
    StaleMove "a message that changed while it was read is moved as it was",
    SnapshotForgetsDone "compaction forgets who is done",
    RefusedCounts "a refused recipient counts as accepted at the dot",
    SpareUnnamed "a segment is used before its name is durable",
    AnyAnswer "a DNS answer with another id is believed",
    ClockSticks "a stored time far in the future is believed",
    OutOfTurn "a reply that nobody asked for answers the next command",
    HalfContent "a content that can not be read on ends in a dot",
    ExpireUntried "mail is returned for its age before it was tried",
    AgainDropped "outcomes whose sync failed are not written again",
    GoneBeforeTold "a message goes with the first of its reports",
    AckBeforeSync "mail is acknowledged when it is written, not synced",
    NeverSynced "outcomes are written and never synced",
    SyncRetried "a sync that failed is taken for done",
    IdsRepeat "after a restart the highest id is forgotten",
    EndIgnored "recovery reads on behind the durable end of a segment",
    RefusedWriteDropped "an outcome that the disk refused is forgotten",
    SecondRecipientLost "one recipient done is all recipients done",
    BounceToNull "mail without a sender is bounced",
    RetryAtOnce "deferred mail is tried again at once",
    RetryNever "deferred mail waits for ever",
    OneTooMany "the concurrency window lets one more in",
    DeadForever "a destination that rests is not woken",
    PermitLeaked "a permit is kept when a delivery went wrong",
    PauseIgnored "the pause between two deliveries to a destination is not kept",
    SoftIsHard "4xx counts as 5xx",
    HardIsSoft "5xx counts as 4xx",
    LostIsDone "a reply that was lost counts as delivered",
    LmtpAnsweredAgain "who was answered by LMTP is tried again when the rest is not",
    CertificateDecides "a certificate of another name ends the connection, though nobody asked for one",
    ClearAfterHandshake "after a failed handshake mail goes in the clear, though it must not",
    ClearIfNotOffered "where TLS is not offered mail goes in the clear, though it must not",
    DotsUndoubled "a dot at the start of a line is not doubled",
    LowerMxSkipped "only the best exchangers are tried",
    ServfailIsNxdomain "SERVFAIL means that there is no such domain",
    TtlIgnored "an answer is kept for ever",
    TruncatedTaken "a truncated answer is taken for whole",
    KeptForAnyone "a kept connection takes mail for another destination",
    KeptUnderOldPolicy "a connection that was kept before a reload is used after it",
    SaysYes "250 is said although the disk refused",
    ; found:
    ReadOnce "a read that fails once while the spool is recovered is not tried again",
    ClaimAsked "while mail waits for company the time of a claim passes, and is asked for again and again",
    EndNotRenewed "recovery syncs the end of the last segment, and does not write it again",
    FullUnclaimed "on a disk without room for another segment nothing says that the last batch is durable",
    ClaimUnsynced "what says that mail is durable is not durable itself",
    NoRoomToClaim "nothing says that mail which ends where its segment does is durable",
    GivenUpUnclaimed "a segment is removed before anything says that the mail that was moved out of it is durable",
    OddIsHard "a reply of a class that can not be meant is a refusal for good",
    KeptForADay "records are kept for a day, where their time to live is as long",
    OrdersMeet "an order passes over messages for which an order before it is still being written",
}

/// The bug of this process: chosen once, before anything runs.
#[cfg(feature = "planted")]
static BUG: std::sync::OnceLock<Bug> = std::sync::OnceLock::new();

/// Plants a bug; false when there is one already.
#[cfg(feature = "planted")]
pub fn plant(bug: Bug) -> bool {
    BUG.set(bug).is_ok()
}

/// True when this bug is planted.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(bug: Bug) -> bool {
    BUG.get() == Some(&bug)
}
