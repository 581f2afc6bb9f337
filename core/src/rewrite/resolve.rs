//! What an address comes to when our own domains are stripped off: who is really meant, and of which class.
//!
//! Promise: whatever way an address hides another (`user%there@here`, `"user@there"@here`, `there!user@here`),
//! the class is that of the domain to which the mail would go. This is what stands between us and an open relay, so the loop looks
//! inside quotes (resolve_dequoted_address: safely instead of correctly).

use super::Rewrite;
use super::canonical::{is_dot_string, is_numeric, is_valid_domain, literal, without_final_dot};
use crate::ask::{Facts, Pause};
use crate::mail::RouteClass;
use crate::wire::Mailbox;
use std::borrow::Cow;

/// Rounds of stripping: an address has no more operators than octets, and no more octets than a command line.
const ROUNDS_MAX: usize = 1000;

/// Who is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resolved {
    /// The address behind all routing; always with a domain.
    pub mailbox: Mailbox,
    /// Its class.
    pub class: RouteClass,
    /// The domain is not local, and the local part asks for more routing there: nobody can say where that would end.
    pub routed: bool,
    /// Mail can not be sent there: `5.1.3 bad address syntax`.
    pub malformed: bool,
}

impl Rewrite {
    /// Finds who is meant by a canonical address.
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn resolve(&self, mailbox: &Mailbox, facts: &Facts) -> Result<Resolved, Pause> {
        let mut local = Cow::Borrowed(mailbox.local());
        let mut domain = Some(Cow::Borrowed(mailbox.domain())).filter(|domain| !domain.is_empty());
        let mut stripped = None;
        for _ in 0..ROUNDS_MAX {
            if let Some(name) = domain.take() {
                let name = self.bracketed(without_final_dot(&name));
                let null = name.is_empty() && self.params.resolve_null_domain;
                if !null && !self.is_local_domain(&name, facts)? {
                    return self.elsewhere(&local, &name, facts);
                }
                stripped = (!null).then(|| name.into_owned());
            }
            match self.uncover(&local) {
                Some((user, host)) => {
                    local = Cow::Owned(user);
                    domain = Some(Cow::Owned(host));
                }
                None => return Ok(self.here(&local, stripped)),
            }
        }
        // Not reached by anything a command line can hold; if it is, it is no address.
        Ok(Resolved { malformed: true, ..self.here(&local, stripped) })
    }

    fn bracketed<'a>(&self, domain: &'a str) -> Cow<'a, str> {
        let address = is_numeric(domain) && domain.parse::<std::net::Ipv4Addr>().is_ok();
        if address && self.params.resolve_numeric_domain {
            Cow::Owned(format!("[{domain}]"))
        } else {
            Cow::Borrowed(domain)
        }
    }

    /// The address in a local part behind which our domain was stripped, if there is one.
    fn uncover(&self, local: &str) -> Option<(String, String)> {
        let params = &self.params;
        let quoted = !is_dot_string(local);
        if quoted && !params.resolve_dequoted_address {
            return None;
        }
        if quoted && let Some((user, host)) = local.rsplit_once('@') {
            return Some((user.to_owned(), self.completed(host)));
        }
        let bang = params.swap_bangpath.then(|| local.split_once('!')).flatten();
        let percent = params.allow_percent_hack.then(|| local.rsplit_once('%')).flatten();
        // Without quotes `!` binds first, within them `%` does, as in Postfix.
        let found = match (bang, percent) {
            (Some((site, user)), None) => (user, site),
            (Some((site, user)), Some(_)) if !quoted => (user, site),
            (_, Some((user, host))) => (user, host),
            (None, None) => return None,
        };
        Some((found.0.to_owned(), self.completed(found.1)))
    }

    fn completed(&self, host: &str) -> String {
        let params = &self.params;
        let short = !host.is_empty() && !host.contains(['.', '[']);
        if short && params.append_dot_mydomain && !params.mydomain.is_empty() {
            return format!("{host}.{}", params.mydomain);
        }
        host.to_owned()
    }

    fn here(&self, local: &str, stripped: Option<String>) -> Resolved {
        let params = &self.params;
        let user = if local.is_empty() { params.empty_address_recipient.as_str() } else { local };
        let domain = stripped.unwrap_or_else(|| params.myhostname.clone());
        Resolved {
            mailbox: Mailbox::new(user, &domain),
            class: RouteClass::Local,
            routed: false,
            malformed: user.starts_with('-') && !params.allow_min_user,
        }
    }

    fn elsewhere(&self, local: &str, domain: &str, facts: &Facts) -> Result<Resolved, Pause> {
        let params = &self.params;
        let class = if params.virtual_alias_domains.matches(domain, facts)? {
            RouteClass::VirtualAlias
        } else if params.virtual_mailbox_domains.matches(domain, facts)? {
            RouteClass::VirtualMailbox
        } else if params.relay_domains.matches(domain, facts)? {
            RouteClass::Relay
        } else {
            RouteClass::Default
        };
        let routed = local.contains('@')
            || (params.swap_bangpath && local.contains('!'))
            || (params.allow_percent_hack && local.contains('%'));
        let malformed = local.is_empty()
            || !is_valid_domain(domain)
            || (local.starts_with('-') && !params.allow_min_user);
        Ok(Resolved { mailbox: Mailbox::new(local, domain), class, routed, malformed })
    }

    /// Whether a domain is delivered here: mydestination, or a literal of one of our addresses.
    ///
    /// # Errors
    /// A question, or a broken table.
    pub fn is_local_domain(&self, domain: &str, facts: &Facts) -> Result<bool, Pause> {
        if domain.is_empty() {
            return Ok(false);
        }
        if self.params.mydestination.matches(domain, facts)? {
            return Ok(true);
        }
        Ok(literal(domain).is_some_and(|address| self.is_own_address(address)))
    }
}
