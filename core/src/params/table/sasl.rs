//! TABLE of parameters: SASL, of the server and of the client.

use super::*;

rows! { SASL:
    "broken_sasl_auth_clients" FLAG = "no", Smtpd, NotYet;
    "cyrus_sasl_config_path" TEXT = "", Smtpd, NotYet, since "2.5";
    "send_cyrus_sasl_authzid" FLAG = "no", Smtp, NotYet, since "2.4.4";
    "smtp_sasl_auth_cache_name" TEXT = "", Smtp, NotYet, since "2.5";
    "smtp_sasl_auth_cache_time" time(Unit::Days, 0, INT_MAX) = "90d", Smtp, NotYet, since "2.5";
    "smtp_sasl_auth_enable" FLAG = "no", Smtp, NotYet;
    "smtp_sasl_auth_soft_bounce" FLAG = "yes", Smtp, NotYet, since "2.5";
    "smtp_sasl_mechanism_filter" TEXT = "", Smtp, NotYet, since "2.2";
    "smtp_sasl_password_maps" TABLES = "", Smtp, NotYet;
    "smtp_sasl_path" TEXT = "", Smtp, NotYet, since "2.3";
    "smtp_sasl_security_options" LIST = "noplaintext, noanonymous", Smtp, NotYet;
    "smtp_sasl_tls_security_options" LIST = "$smtp_sasl_security_options", Smtp, NotYet;
    "smtp_sasl_tls_verified_security_options" LIST = "$smtp_sasl_tls_security_options", Smtp, NotYet, since "2.4";
    "smtp_sasl_type" TEXT = "cyrus", Smtp, NotYet, since "2.3";
    "smtpd_sasl_application_name" TEXT = OLD, Smtpd, NotYet, since "2.1";
    "smtpd_sasl_auth_enable" FLAG = "no", Smtpd, NotYet;
    "smtpd_sasl_authenticated_header" FLAG = "no", Smtpd, NotYet, since "2.3";
    "smtpd_sasl_exceptions_networks" MATCHES = "", Smtpd, NotYet, since "2.1";
    "smtpd_sasl_local_domain" TEXT = "", Smtpd, NotYet;
    "smtpd_sasl_mechanism_filter" MATCHES = "!external, static:rest", Smtpd, NotYet;
    "smtpd_sasl_path" TEXT = "smtpd", Smtpd, NotYet, since "2.3";
    "smtpd_sasl_response_limit" COUNT = "12288", Smtpd, NotYet;
    "smtpd_sasl_security_options" LIST = "noanonymous", Smtpd, NotYet;
    "smtpd_sasl_service" TEXT = "smtp", Smtpd, NotYet;
    "smtpd_sasl_tls_security_options" LIST = "$smtpd_sasl_security_options", Smtpd, NotYet;
    "smtpd_sasl_type" TEXT = "cyrus", Smtpd, NotYet, since "2.3";
}
