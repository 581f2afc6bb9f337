//! The language of restriction lists: words to rules.
//!
//! Promise: a word that is not understood never lets anything pass. A known restriction that does not work yet
//! is a rule that answers "try again later"; an unknown word is an error that names what was meant, if that can be told.

use crate::ask::TableName;
use crate::params::check::nearest;
use crate::tables::items;

/// What a restriction looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    Client,
    ReverseClient,
    Helo,
    Sender,
    Recipient,
}

/// One restriction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    Permit,
    Reject,
    Defer,
    DeferIfPermit,
    DeferIfReject,
    WarnIfReject,
    PermitMynetworks,
    PermitInetInterfaces,
    PermitSaslAuthenticated,
    PermitAuthDestination,
    RejectUnauthDestination,
    DeferUnauthDestination,
    RejectNonFqdn(Subject),
    RejectInvalidHelo,
    RejectUnknown(Subject),
    RejectUnlisted(Subject),
    RejectMultiRecipientBounce,
    RejectPlaintextSession,
    Access(Subject, TableName),
    Class(String),
    /// The session does it, or it neither permits nor refuses.
    Nothing,
    /// Known, not working, might have permitted: later refusals are put off.
    MissingPermit(String),
    /// Known, not working, might have refused: try again later.
    MissingReject(String),
    /// A mistake in the configuration: try again later.
    Mistake(String),
}

/// What follows a word, and what it is.
#[derive(Clone)]
enum Word {
    Is(Rule),
    Access(Subject),
    /// Not working yet; the number of words that belong to it.
    Missing(usize),
}

fn known(word: &str) -> Option<Word> {
    use Rule as R;
    use Subject as S;
    let rule = match word {
        "permit" => R::Permit,
        "reject" => R::Reject,
        "defer" => R::Defer,
        "defer_if_permit" => R::DeferIfPermit,
        "defer_if_reject" => R::DeferIfReject,
        "warn_if_reject" => R::WarnIfReject,
        "permit_mynetworks" => R::PermitMynetworks,
        "permit_inet_interfaces" => R::PermitInetInterfaces,
        "permit_sasl_authenticated" => R::PermitSaslAuthenticated,
        "permit_auth_destination" => R::PermitAuthDestination,
        "reject_unauth_destination" => R::RejectUnauthDestination,
        "defer_unauth_destination" => R::DeferUnauthDestination,
        "reject_non_fqdn_sender" => R::RejectNonFqdn(S::Sender),
        "reject_non_fqdn_recipient" => R::RejectNonFqdn(S::Recipient),
        "reject_non_fqdn_helo_hostname" | "reject_non_fqdn_hostname" => R::RejectNonFqdn(S::Helo),
        "reject_invalid_helo_hostname" | "reject_invalid_hostname" => R::RejectInvalidHelo,
        "reject_unknown_helo_hostname" | "reject_unknown_hostname" => R::RejectUnknown(S::Helo),
        "reject_unknown_sender_domain" => R::RejectUnknown(S::Sender),
        "reject_unknown_recipient_domain" => R::RejectUnknown(S::Recipient),
        "reject_unknown_client_hostname" | "reject_unknown_client" => R::RejectUnknown(S::Client),
        "reject_unknown_reverse_client_hostname" => R::RejectUnknown(S::ReverseClient),
        "reject_unlisted_sender" => R::RejectUnlisted(S::Sender),
        "reject_unlisted_recipient" | "check_recipient_maps" => R::RejectUnlisted(S::Recipient),
        "reject_multi_recipient_bounce" => R::RejectMultiRecipientBounce,
        "reject_plaintext_session" => R::RejectPlaintextSession,
        "reject_unauth_pipelining" => R::Nothing,
        "check_client_access" => return Some(Word::Access(S::Client)),
        "check_reverse_client_hostname_access" => return Some(Word::Access(S::ReverseClient)),
        "check_helo_access" => return Some(Word::Access(S::Helo)),
        "check_sender_access" => return Some(Word::Access(S::Sender)),
        "check_recipient_access" => return Some(Word::Access(S::Recipient)),
        _ => return missing(word).map(Word::Missing),
    };
    Some(Word::Is(rule))
}

/// Known restrictions without an engine yet, and how many words follow each.
const MISSING: [(&str, usize); 37] = [
    ("check_ccert_access", 1),
    ("check_client_a_access", 1),
    ("check_client_mx_access", 1),
    ("check_client_ns_access", 1),
    ("check_etrn_access", 1),
    ("check_helo_a_access", 1),
    ("check_helo_mx_access", 1),
    ("check_helo_ns_access", 1),
    ("check_policy_service", 1),
    ("check_recipient_a_access", 1),
    ("check_recipient_mx_access", 1),
    ("check_recipient_ns_access", 1),
    ("check_relay_domains", 0),
    ("check_reverse_client_hostname_a_access", 1),
    ("check_reverse_client_hostname_mx_access", 1),
    ("check_reverse_client_hostname_ns_access", 1),
    ("check_sasl_access", 1),
    ("check_sender_a_access", 1),
    ("check_sender_mx_access", 1),
    ("check_sender_ns_access", 1),
    ("permit_dnswl_client", 1),
    ("permit_mx_backup", 0),
    ("permit_naked_ip_address", 0),
    ("permit_rhswl_client", 1),
    ("permit_tls_all_clientcerts", 0),
    ("permit_tls_clientcerts", 0),
    ("reject_authenticated_sender_login_mismatch", 0),
    ("reject_known_sender_login_mismatch", 0),
    ("reject_rbl_client", 1),
    ("reject_rhsbl_client", 1),
    ("reject_rhsbl_helo", 1),
    ("reject_rhsbl_recipient", 1),
    ("reject_rhsbl_reverse_client", 1),
    ("reject_rhsbl_sender", 1),
    ("reject_sender_login_mismatch", 0),
    ("reject_unauthenticated_sender_login_mismatch", 0),
    ("reject_unverified_recipient", 0),
];

/// The rest of [`MISSING`]: names without a neighbour above.
const MISSING_TOO: [(&str, usize); 4] =
    [("reject_maps_rbl", 0), ("reject_rbl", 1), ("reject_unverified_sender", 0), ("sleep", 1)];

/// The words of [`known`] that have an engine, for the search of the nearest.
const WORKING: [&str; 31] = [
    "check_client_access",
    "check_helo_access",
    "check_recipient_access",
    "check_reverse_client_hostname_access",
    "check_sender_access",
    "defer",
    "defer_if_permit",
    "defer_if_reject",
    "defer_unauth_destination",
    "permit",
    "permit_auth_destination",
    "permit_inet_interfaces",
    "permit_mynetworks",
    "permit_sasl_authenticated",
    "reject",
    "reject_invalid_helo_hostname",
    "reject_multi_recipient_bounce",
    "reject_non_fqdn_helo_hostname",
    "reject_non_fqdn_recipient",
    "reject_non_fqdn_sender",
    "reject_plaintext_session",
    "reject_unauth_destination",
    "reject_unauth_pipelining",
    "reject_unknown_client_hostname",
    "reject_unknown_helo_hostname",
    "reject_unknown_recipient_domain",
    "reject_unknown_reverse_client_hostname",
    "reject_unknown_sender_domain",
    "reject_unlisted_recipient",
    "reject_unlisted_sender",
    "warn_if_reject",
];

fn missing(word: &str) -> Option<usize> {
    MISSING.iter().chain(&MISSING_TOO).find(|(name, _)| *name == word).map(|(_, words)| *words)
}

/// What to do about a word that is no restriction.
fn remedy(word: &str) -> String {
    let names = WORKING.iter().copied().chain(MISSING.iter().chain(&MISSING_TOO).map(|(name, _)| *name));
    match nearest(word, names) {
        Some(near) => format!("did you mean {near}?"),
        None => "a restriction of your own is named in smtpd_restriction_classes".to_owned(),
    }
}

/// Reads a list. `default` is what a table without `check_…_access` in front is asked about; `classes` are the names that
/// the configuration defines.
pub(super) fn compile(text: &str, default: Option<Subject>, classes: &[String]) -> Vec<Rule> {
    let words = items(text);
    let mut words = words.iter();
    let mut rules = Vec::new();
    while let Some(word) = words.next() {
        let rule = if word.contains(':') {
            match default {
                Some(subject) => Rule::Access(subject, TableName(word.clone())),
                None => Rule::Mistake(format!(
                    "specify one of check_client_access, check_helo_access, check_sender_access, check_recipient_access before \"{word}\""
                )),
            }
        } else {
            let lower = word.to_ascii_lowercase();
            match known(&lower) {
                Some(Word::Is(rule)) => rule,
                Some(Word::Access(subject)) => match words.next().filter(|table| table.contains(':')) {
                    Some(table) => Rule::Access(subject, TableName(table.clone())),
                    None => Rule::Mistake(format!("restriction {word}: need maptype:mapname behind it")),
                },
                Some(Word::Missing(arguments)) => {
                    let complete = (0..arguments).all(|_| words.next().is_some());
                    not_working(&lower, complete)
                }
                None if classes.contains(word) => Rule::Class(word.clone()),
                None => Rule::Mistake(format!("unknown smtpd restriction: \"{word}\"; {}", remedy(&lower))),
            }
        };
        rules.push(rule);
    }
    rules
}

fn not_working(word: &str, complete: bool) -> Rule {
    if !complete {
        return Rule::Mistake(format!("restriction {word}: something is missing behind it"));
    }
    match word {
        // A pause neither permits nor refuses.
        "sleep" => Rule::Nothing,
        _ if word.starts_with("permit") => Rule::MissingPermit(word.to_owned()),
        _ => Rule::MissingReject(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Rule> {
        compile(text, Some(Subject::Client), &["mine".to_owned()])
    }

    #[test]
    fn words_become_rules_in_their_order() {
        let table = |name: &str| TableName(name.to_owned());
        assert_eq!(
            read("permit_mynetworks, check_sender_access hash:/s mine\n hash:/c REJECT sleep 5"),
            [
                Rule::PermitMynetworks,
                Rule::Access(Subject::Sender, table("hash:/s")),
                Rule::Class("mine".into()),
                Rule::Access(Subject::Client, table("hash:/c")),
                Rule::Reject,
                Rule::Nothing,
            ]
        );
    }

    #[test]
    fn a_typing_error_names_what_was_meant() {
        let [Rule::Mistake(why)] = &read("reject_unauth_destinaton")[..] else { panic!() };
        assert!(why.ends_with("did you mean reject_unauth_destination?"), "{why}");
        let [Rule::Mistake(why)] = &read("our_own_rules")[..] else { panic!() };
        assert!(why.ends_with("named in smtpd_restriction_classes"), "{why}");
        assert!(matches!(&read("check_sender_access")[..], [Rule::Mistake(_)]));
        assert!(matches!(&read("check_sender_access permit")[..], [Rule::Mistake(_)]));
        assert!(matches!(&compile("hash:/x", None, &[])[..], [Rule::Mistake(_)]));
    }

    #[test]
    fn what_does_not_work_yet_takes_its_arguments_with_it() {
        assert_eq!(
            read("reject_rbl_client zen.example, permit_tls_clientcerts reject"),
            [
                Rule::MissingReject("reject_rbl_client".into()),
                Rule::MissingPermit("permit_tls_clientcerts".into()),
                Rule::Reject
            ]
        );
    }

    #[test]
    fn every_working_word_is_known() {
        for word in WORKING {
            assert!(matches!(known(word), Some(Word::Is(_) | Word::Access(_))), "{word}");
        }
    }
}
