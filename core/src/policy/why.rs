//! Restrictions as postconf(5) writes them, and what came of each, for who asks why.

use super::program::{Rule, Subject};
use super::run::Flow;
use crate::mail::RouteClass;

impl Rule {
    /// As it stands in a list.
    pub(super) fn words(&self) -> String {
        let word = match self {
            Self::Permit => "permit",
            Self::Reject => "reject",
            Self::Defer => "defer",
            Self::DeferIfPermit => "defer_if_permit",
            Self::DeferIfReject => "defer_if_reject",
            Self::WarnIfReject => "warn_if_reject",
            Self::PermitMynetworks => "permit_mynetworks",
            Self::PermitInetInterfaces => "permit_inet_interfaces",
            Self::PermitSaslAuthenticated => "permit_sasl_authenticated",
            Self::PermitAuthDestination => "permit_auth_destination",
            Self::RejectUnauthDestination => "reject_unauth_destination",
            Self::DeferUnauthDestination => "defer_unauth_destination",
            Self::RejectNonFqdn(Subject::Sender) => "reject_non_fqdn_sender",
            Self::RejectNonFqdn(Subject::Recipient) => "reject_non_fqdn_recipient",
            Self::RejectNonFqdn(_) => "reject_non_fqdn_helo_hostname",
            Self::RejectInvalidHelo => "reject_invalid_helo_hostname",
            Self::RejectUnknown(Subject::Helo) => "reject_unknown_helo_hostname",
            Self::RejectUnknown(Subject::Sender) => "reject_unknown_sender_domain",
            Self::RejectUnknown(Subject::Recipient) => "reject_unknown_recipient_domain",
            Self::RejectUnknown(Subject::Client) => "reject_unknown_client_hostname",
            Self::RejectUnknown(Subject::ReverseClient) => "reject_unknown_reverse_client_hostname",
            Self::RejectUnlisted(Subject::Sender) => "reject_unlisted_sender",
            Self::RejectUnlisted(_) => "reject_unlisted_recipient",
            Self::RejectMultiRecipientBounce => "reject_multi_recipient_bounce",
            Self::RejectPlaintextSession => "reject_plaintext_session",
            Self::Access(subject, table) => return format!("{} {}", access(*subject), table.0),
            Self::Class(name) => name,
            Self::Nothing => "a restriction without effect",
            Self::MissingPermit(word) | Self::MissingReject(word) => word,
            Self::Mistake(why) => return format!("a mistake ({why})"),
        };
        word.to_owned()
    }
}

const fn access(subject: Subject) -> &'static str {
    match subject {
        Subject::Client => "check_client_access",
        Subject::ReverseClient => "check_reverse_client_hostname_access",
        Subject::Helo => "check_helo_access",
        Subject::Sender => "check_sender_access",
        Subject::Recipient => "check_recipient_access",
    }
}

/// What came of a rule.
pub(super) fn came(flow: &Flow) -> String {
    match flow {
        Flow::Dunno => "does not decide".to_owned(),
        Flow::Permit => "permits".to_owned(),
        Flow::Refuse(reply) => format!("refuses with {}", reply.code),
    }
}

/// A class of addresses.
pub(super) const fn class(class: RouteClass) -> &'static str {
    match class {
        RouteClass::Local => "is local",
        RouteClass::VirtualAlias => "is a virtual alias domain",
        RouteClass::VirtualMailbox => "is a virtual mailbox domain",
        RouteClass::Relay => "is in relay_domains",
        RouteClass::Default => "is neither local, virtual nor in relay_domains",
    }
}
