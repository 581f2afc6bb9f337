//! TABLE of what a crash may find of a message, and what recovery makes of it.
//!
//! docs/RELIABILITY.md prints this table; a test says when it is stale. Every row is a state that the crash tests visit.

use crate::mail::Summary;

/// Where a recovered message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stand {
    /// Never tried.
    Incoming,
    /// Tried, and to be tried again.
    Deferred,
    /// Held.
    Hold,
    /// All recipients have a final outcome, and somebody must still be told.
    Owed,
    /// Nothing is left to do but to remove it.
    Finished,
}

impl Stand {
    /// The stand of a recovered message. On hold comes first: what is held is neither tried nor reported.
    #[must_use]
    pub const fn of(summary: &Summary) -> Self {
        match summary {
            Summary { held: true, .. } => Self::Hold,
            Summary { waiting: 0, owed: 0, .. } => Self::Finished,
            Summary { waiting: 0, .. } => Self::Owed,
            Summary { retry_at: None, .. } => Self::Incoming,
            Summary { .. } => Self::Deferred,
        }
    }
}

/// A row: what lies on the disk, what was promised, what recovery does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// What the power failure left.
    pub on_disk: &'static str,
    /// What anybody had been told.
    pub promised: &'static str,
    /// What comes of it.
    pub recovered: &'static str,
}

const fn row(on_disk: &'static str, promised: &'static str, recovered: &'static str) -> Row {
    Row { on_disk, promised, recovered }
}

/// Every state.
pub const TABLE: &[Row] = &[
    row(
        "nothing, or a content file that no record names",
        "nothing",
        "the file is removed; where records are damaged or cut off, it is set aside",
    ),
    row("a commit that is not whole", "nothing", "void: the torn end of the log"),
    row(
        "a commit that is whole, not yet answered",
        "nothing",
        "incoming; the client may send it again (its reply was lost)",
    ),
    row(
        "a commit that was refused after a failed sync, and a fresh segment behind it",
        "451 or 452",
        "void: it lies behind the end that the fresh segment names; incoming, if the disk refuses to read that",
    ),
    row(
        "a commit that was refused, and no fresh segment yet",
        "451 or 452",
        "void or incoming: here, too, refused mail may come back; if its content file is removed already, set aside as damage",
    ),
    row("a commit, synced", "250", "incoming"),
    row("and outcomes that defer it", "-", "deferred, tried again at the time that the last one names"),
    row("and a hold", "-", "hold"),
    row(
        "and outcomes that are written, not yet synced",
        "the connection went on",
        "with them or without; without, those recipients are tried again (duplicate)",
    ),
    row("and a final outcome for each recipient", "-", "owed: reports are made for those who want them"),
    row("and reports for all", "-", "finished: it is removed"),
    row("and a removal that is written, not yet synced", "-", "gone, or as before the removal"),
    row("and a removal, synced", "-", "gone; a content file that is left is removed"),
    row(
        "and a copy in a newer segment, written when the older one was compacted",
        "-",
        "the newer one counts, with all that was folded into it",
    ),
    row(
        "a commit that is damaged, or whose content file is",
        "250",
        "corrupt: set aside for a person, loudly",
    ),
    row(
        "a commit that the disk refuses to read",
        "250",
        "stays, loudly; incoming at the first start that can read it",
    ),
    row(
        "a damaged outcome or removal",
        "-",
        "as before it, loudly; those recipients are tried again (duplicate)",
    ),
];

/// The table, as the manual shows it.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from("| on disk | promised | recovered |\n|---|---|---|\n");
    for Row { on_disk, promised, recovered } in TABLE {
        out.push_str(&format!("| {on_disk} | {promised} | {recovered} |\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn the_manual_shows_this_table() {
        let manual = include_str!("../../../docs/RELIABILITY.md");
        assert_eq!(markdown().lines().count(), 2 + TABLE.len());
        assert!(manual.contains(&markdown()), "docs/RELIABILITY.md should contain:\n{}", markdown());
    }

    #[test]
    fn a_summary_has_one_stand() {
        let summary = |waiting, owed, held, tried: bool| Summary {
            waiting,
            owed,
            held,
            retry_at: tried.then(Timestamp::default),
            ..Summary::default()
        };
        assert_eq!(Stand::of(&summary(2, 0, false, false)), Stand::Incoming);
        assert_eq!(Stand::of(&summary(1, 1, false, true)), Stand::Deferred);
        assert_eq!(Stand::of(&summary(1, 1, true, true)), Stand::Hold);
        assert_eq!(Stand::of(&summary(0, 1, false, true)), Stand::Owed);
        assert_eq!(Stand::of(&summary(0, 0, false, true)), Stand::Finished);
    }
}
