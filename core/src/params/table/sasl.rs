//! TABLE of parameters: SASL, of the server and of the client.

use super::*;

rows! { SASL:
    /// Also announce AUTH in the form `AUTH=` that some old clients look for.
    "broken_sasl_auth_clients" FLAG = "no", Smtpd, NotYet;
    /// Where Cyrus SASL looks for its configuration.
    "cyrus_sasl_config_path" TEXT = "", Smtpd, NotYet, since "2.5";
    /// Send a full authorization identity when authenticating through Cyrus SASL.
    "send_cyrus_sasl_authzid" FLAG = "no", Smtp, NotYet, since "2.4.4";
    /// A table that remembers failed logins, so that they are not tried with each message.
    "smtp_sasl_auth_cache_name" TEXT = "", Smtp, NotYet, since "2.5";
    /// How long a failed login is remembered.
    "smtp_sasl_auth_cache_time" time(Unit::Days, 0, INT_MAX) = "90d", Smtp, NotYet, since "2.5";
    /// Log in at servers, with the passwords of smtp_sasl_password_maps.
    "smtp_sasl_auth_enable" FLAG = "no", Smtp, NotYet;
    /// Defer mail when a login fails, instead of returning it.
    "smtp_sasl_auth_soft_bounce" FLAG = "yes", Smtp, NotYet, since "2.5";
    /// The SASL mechanisms of a server that may be used.
    "smtp_sasl_mechanism_filter" TEXT = "", Smtp, NotYet, since "2.2";
    /// `user:password` by server name or nexthop (or by sender, see smtp_sender_dependent_authentication).
    "smtp_sasl_password_maps" TABLES = "", Smtp, NotYet;
    /// Configuration handed to the SASL implementation.
    "smtp_sasl_path" TEXT = "", Smtp, NotYet, since "2.3";
    /// What a SASL mechanism must not be: noplaintext, noanonymous, and so on.
    "smtp_sasl_security_options" LIST = "noplaintext, noanonymous", Smtp, NotYet;
    /// The same within TLS.
    "smtp_sasl_tls_security_options" LIST = "$smtp_sasl_security_options", Smtp, NotYet;
    /// The same within TLS with a verified certificate.
    "smtp_sasl_tls_verified_security_options" LIST = "$smtp_sasl_tls_security_options", Smtp, NotYet, since "2.4";
    /// The SASL implementation of the client.
    "smtp_sasl_type" TEXT = "cyrus", Smtp, NotYet, since "2.3";
    /// The name under which old releases looked for their SASL configuration; superseded by smtpd_sasl_path.
    "smtpd_sasl_application_name" TEXT = OLD, Smtpd, NotYet, since "2.1";
    /// Let clients log in.
    "smtpd_sasl_auth_enable" FLAG = "no", Smtpd, NotYet;
    /// Show the login name in the Received field.
    "smtpd_sasl_authenticated_header" FLAG = "no", Smtpd, NotYet, since "2.3";
    /// Clients to which AUTH is not announced.
    "smtpd_sasl_exceptions_networks" MATCHES = "", Smtpd, NotYet, since "2.1";
    /// The realm of login names without one.
    "smtpd_sasl_local_domain" TEXT = "", Smtpd, NotYet;
    /// The SASL mechanisms that are announced.
    "smtpd_sasl_mechanism_filter" MATCHES = "!external, static:rest", Smtpd, NotYet;
    /// Configuration handed to the SASL implementation: for Dovecot the path of its socket.
    "smtpd_sasl_path" TEXT = "smtpd", Smtpd, NotYet, since "2.3";
    /// Octets of a client's SASL response.
    "smtpd_sasl_response_limit" COUNT = "12288", Smtpd, NotYet;
    /// What an announced SASL mechanism must not be.
    "smtpd_sasl_security_options" LIST = "noanonymous", Smtpd, NotYet;
    /// The service name that is given to the SASL implementation.
    "smtpd_sasl_service" TEXT = "smtp", Smtpd, NotYet;
    /// The same within TLS.
    "smtpd_sasl_tls_security_options" LIST = "$smtpd_sasl_security_options", Smtpd, NotYet;
    /// The SASL implementation of the server: `dovecot` or `cyrus`.
    "smtpd_sasl_type" TEXT = "cyrus", Smtpd, NotYet, since "2.3";
}
