//! TABLE of parameters: rewriting and routing: trivial-rewrite(8).

use super::*;

rows! { REWRITE:
    "allow_min_user" FLAG = "no", Qmgr, NotYet;
    "allow_percent_hack" FLAG = "yes", Rewrite, NotYet;
    "append_at_myorigin" FLAG = "yes", Rewrite, NotYet;
    "append_dot_mydomain" FLAG = "${{$compatibility_level} <level {1} ? {yes} : {no}}", Rewrite, NotYet;
    "default_transport" TEXT = "smtp", Rewrite, NotYet;
    "empty_address_default_transport_maps_lookup_key" TEXT = "<>", Rewrite, NotYet;
    "empty_address_relayhost_maps_lookup_key" TEXT = "<>", Rewrite, NotYet;
    "helpful_warnings" FLAG = "yes", Qmgr, NotYet;
    "local_transport" TEXT = "local:$myhostname", Rewrite, NotYet;
    "recipient_delimiter" TEXT = "", Smtpd, Works;
    "relay_transport" TEXT = "relay", Rewrite, NotYet;
    "relayhost" TEXT = "", Rewrite, NotYet;
    "relocated_maps" TABLES = "", Rewrite, NotYet;
    "resolve_dequoted_address" FLAG = "yes", Rewrite, NotYet;
    "resolve_null_domain" FLAG = "no", Rewrite, Works, since "2.1";
    "resolve_numeric_domain" FLAG = "no", Rewrite, NotYet;
    "sender_dependent_default_transport_maps" TABLES = "", Rewrite, NotYet;
    "sender_dependent_relayhost_maps" TABLES = "", Rewrite, NotYet;
    "swap_bangpath" FLAG = "yes", Rewrite, NotYet;
    "transport_maps" TABLES = "", Rewrite, NotYet;
    "virtual_transport" TEXT = "virtual", Rewrite, NotYet;
}
