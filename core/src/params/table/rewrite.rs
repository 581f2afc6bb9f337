//! TABLE of parameters: rewriting and routing: trivial-rewrite(8).

use super::*;

rows! { REWRITE:
    /// Allow recipients that begin with `-`.
    "allow_min_user" FLAG = "no", Qmgr, Works;
    /// Rewrite `user%domain` to `user@domain`.
    "allow_percent_hack" FLAG = "yes", Rewrite, Works;
    /// Add `@$myorigin` to addresses without a domain.
    "append_at_myorigin" FLAG = "yes", Rewrite, Works;
    /// Add `.$mydomain` to domains without a dot.
    "append_dot_mydomain" FLAG = "${{$compatibility_level} <level {1} ? {yes} : {no}}", Rewrite, Works;
    /// The `transport:nexthop` of domains that belong to none of our classes.
    "default_transport" TEXT = "smtp", Rewrite, Works;
    /// The key under which sender_dependent_default_transport_maps is asked for the null sender.
    "empty_address_default_transport_maps_lookup_key" TEXT = "<>", Rewrite, Works;
    /// The key under which sender_dependent_relayhost_maps is asked for the null sender.
    "empty_address_relayhost_maps_lookup_key" TEXT = "<>", Rewrite, Works;
    /// Log warnings about likely mistakes.
    "helpful_warnings" FLAG = "yes", Qmgr, NotYet;
    /// The `transport:nexthop` of mydestination and of our own addresses.
    "local_transport" TEXT = "local:$myhostname", Rewrite, Works;
    /// The characters that divide a user name from an address extension, as in `user+extension`.
    "recipient_delimiter" TEXT = "", Smtpd, Works;
    /// The `transport:nexthop` of relay_domains.
    "relay_transport" TEXT = "relay", Rewrite, Works;
    /// The nexthop of mail for domains that belong to none of our classes; empty to deliver to their MX hosts.
    "relayhost" TEXT = "", Rewrite, Works;
    /// Addresses that have moved: mail to them is returned with the new address.
    "relocated_maps" TABLES = "", Rewrite, Works;
    /// Look for routing characters within quoted local parts as well.
    "resolve_dequoted_address" FLAG = "yes", Rewrite, Works;
    /// Take an address that ends in `@` as local instead of invalid.
    "resolve_null_domain" FLAG = "no", Rewrite, Works, since "2.1";
    /// Take `user@1.2.3.4` as `user@[1.2.3.4]`.
    "resolve_numeric_domain" FLAG = "no", Rewrite, Works;
    /// default_transport by sender.
    "sender_dependent_default_transport_maps" TABLES = "", Rewrite, Works;
    /// relayhost by sender.
    "sender_dependent_relayhost_maps" TABLES = "", Rewrite, Works;
    /// Rewrite `site!user` to `user@site`.
    "swap_bangpath" FLAG = "yes", Rewrite, Works;
    /// The `transport:nexthop` of addresses and domains.
    "transport_maps" TABLES = "", Rewrite, Works;
    /// The `transport:nexthop` of virtual_mailbox_domains.
    "virtual_transport" TEXT = "virtual", Rewrite, Works;
}
