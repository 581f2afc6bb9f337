//! Addresses, in a command and in a table.

use postrider_core::wire::{Mailbox, Path, address_list, xtext};

/// Reads a text as a path, strictly and not, as an address, and as a list of addresses of a table.
///
/// # Panics
/// When a law is broken.
pub fn path(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let lax = Path::parse(&text, false);
    if let Ok((path, rest)) = Path::parse(&text, true) {
        assert_eq!(lax, Ok((path, rest)), "what is strictly right means the same without strictness");
    }
    if let Ok((path, rest)) = lax {
        assert!(rest.is_empty() || rest.starts_with([' ', '\t']), "{rest:?}");
        if let Path::Mailbox(mailbox) = &path {
            is_sound(mailbox);
        }
    }
    if let Ok(mailbox) = Mailbox::parse(&text) {
        is_sound(&mailbox);
    }
    for mailbox in address_list::mailboxes(&text) {
        assert!(!mailbox.local().chars().any(char::is_control), "{mailbox:?}");
    }
    if let Ok(decoded) = xtext::decode(&text) {
        assert!(!decoded.chars().any(char::is_control), "{decoded:?}");
        assert_eq!(xtext::decode(&xtext::encode(&decoded)), Ok(decoded));
    }
}

/// A mailbox that was read has sizes that any server takes, hides nothing, and is read again as itself, on its own and in a path.
#[track_caller]
pub(super) fn is_sound(mailbox: &Mailbox) {
    let external = mailbox.external();
    assert!(mailbox.local().len() <= 64 && mailbox.domain().len() <= 255, "{mailbox:?}");
    assert!(!external.chars().any(char::is_control), "{external:?}");
    assert_eq!(Mailbox::parse(&external).as_ref(), Ok(mailbox), "{external:?}");
    assert_eq!(mailbox.key().key(), mailbox.key());
    for strict in [true, false] {
        let path = format!("<{external}> SIZE=1");
        assert_eq!(Path::parse(&path, strict), Ok((Path::Mailbox(mailbox.clone()), " SIZE=1")), "{path:?}");
    }
}
