//! TABLE of the header fields that cleanup treats in a way of their own.

/// Whose addresses a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {
    Sender,
    Recipient,
}

/// What is known of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Known {
    /// Lower case.
    pub(super) name: &'static str,
    /// Its addresses are rewritten.
    pub(super) addresses: Option<Role>,
    /// It makes the message a resent one.
    pub(super) resent: bool,
    /// `mime_header_checks` are for it.
    pub(super) mime: bool,
}

const fn row(name: &'static str, addresses: Option<Role>, resent: bool, mime: bool) -> Known {
    Known { name, addresses, resent, mime }
}

const S: Option<Role> = Some(Role::Sender);
const R: Option<Role> = Some(Role::Recipient);

/// In the order of names.
const TABLE: [Known; 34] = [
    row("apparently-to", R, false, false),
    row("bcc", R, false, false),
    row("cc", R, false, false),
    row("content-description", None, false, true),
    row("content-disposition", None, false, true),
    row("content-id", None, false, true),
    row("content-length", None, false, false),
    row("content-transfer-encoding", None, false, true),
    row("content-type", None, false, true),
    row("date", None, false, false),
    row("delivered-to", None, false, false),
    row("disposition-notification-to", S, false, false),
    row("errors-to", S, false, false),
    row("from", S, false, false),
    row("mail-followup-to", S, false, false),
    row("message-id", None, false, false),
    row("mime-version", None, false, true),
    row("received", None, false, false),
    row("reply-to", S, false, false),
    row("resent-bcc", R, true, false),
    row("resent-cc", R, true, false),
    row("resent-date", None, true, false),
    row("resent-from", S, true, false),
    row("resent-message-id", None, true, false),
    row("resent-reply-to", R, true, false),
    row("resent-sender", S, true, false),
    row("resent-to", R, true, false),
    row("return-path", S, false, false),
    row("return-receipt-to", S, false, false),
    row("sender", S, false, false),
    row("subject", None, false, false),
    row("to", R, false, false),
    row("x-mailbox-line", None, false, false),
    row("x-original-to", None, false, false),
];

/// The row for a name in any case.
pub(super) fn known(name: &[u8]) -> Option<&'static Known> {
    let name = name.to_ascii_lowercase();
    let place = TABLE.binary_search_by(|row| row.name.as_bytes().cmp(&name)).ok()?;
    TABLE.get(place)
}

/// Fields beside those with addresses whose value cleanup reads.
const READ: [&str; 7] = [
    "content-transfer-encoding",
    "date",
    "delivered-to",
    "message-id",
    "received",
    "resent-date",
    "resent-message-id",
];

/// Whether something is decided by the value of a field of this name. A rule may look at every other one; what it said is known
/// apart from the field.
#[must_use]
pub fn decides(name: &[u8]) -> bool {
    known(name).is_some_and(|row| row.addresses.is_some() || READ.contains(&row.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_name() {
        assert!(TABLE.iter().all(|row| known(row.name.to_uppercase().as_bytes()) == Some(row)));
        assert_eq!(known(b"X-Other"), None);
    }
}
