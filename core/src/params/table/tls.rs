//! TABLE of parameters: TLS, of the server and of the client.

use super::*;

rows! { TLS:
    "openssl_path" TEXT = "openssl", Postscreen, KnownElsewhere;
    /// Fingerprints of client certificates that may relay.
    "relay_clientcerts" TEXT = "", Every, NotYet;
    /// Insist on TLS; superseded by smtp_tls_security_level.
    "smtp_enforce_tls" FLAG = "no", Smtp, Works;
    /// How long the TLS handshake may take.
    "smtp_starttls_timeout" time(Unit::Seconds, 1, INT_MAX) = "300s", Smtp, Works;
    /// A file of certificate authorities that vouch for servers.
    "smtp_tls_CAfile" TEXT = "", Smtp, Works;
    /// A directory of such files.
    "smtp_tls_CApath" TEXT = "", Smtp, Works;
    /// Notice an attack in which a reply was sent before TLS began.
    "smtp_tls_block_early_mail_reply" FLAG = "no", Smtp, NotYet;
    /// The client's RSA certificate chain.
    "smtp_tls_cert_file" TEXT = "", Smtp, NotYet;
    /// Files with keys and certificate chains of the client.
    "smtp_tls_chain_files" TEXT = "", Smtp, NotYet;
    /// An OpenSSL list of ciphers, in old releases.
    "smtp_tls_cipherlist" TEXT = OLD, Smtp, NotYet;
    /// The least grade of ciphers where TLS is optional.
    "smtp_tls_ciphers" word(&["export", "low", "medium", "high", "null"]) = "medium", Smtp, NotYet;
    /// Reuse connections with TLS.
    "smtp_tls_connection_reuse" FLAG = "no", Smtp, NotYet;
    /// The level for hosts of MX records that DNSSEC does not vouch for, at level dane.
    "smtp_tls_dane_insecure_mx_policy" TEXT = "${{$smtp_tls_security_level} == {dane} ? {dane} : {may}}", Smtp, NotYet;
    /// The client's DSA certificate chain.
    "smtp_tls_dcert_file" TEXT = "", Smtp, NotYet;
    /// The key of smtp_tls_dcert_file.
    "smtp_tls_dkey_file" TEXT = "$smtp_tls_dcert_file", Smtp, NotYet;
    /// The client's ECDSA certificate chain.
    "smtp_tls_eccert_file" TEXT = "", Smtp, NotYet;
    /// The key of smtp_tls_eccert_file.
    "smtp_tls_eckey_file" TEXT = "$smtp_tls_eccert_file", Smtp, NotYet;
    /// With smtp_enforce_tls, insist that the certificate names the server.
    "smtp_tls_enforce_peername" FLAG = "yes", Smtp, Works;
    /// Ciphers that are never used.
    "smtp_tls_exclude_ciphers" TEXT = "", Smtp, NotYet;
    /// Fingerprints of acceptable server certificates, at level fingerprint.
    "smtp_tls_fingerprint_cert_match" LIST = "", Smtp, NotYet, since "2.5";
    /// The digest of these fingerprints.
    "smtp_tls_fingerprint_digest" TEXT = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}", Smtp, NotYet, since "2.5";
    /// Look for TLSA records even of hosts that DNSSEC does not vouch for.
    "smtp_tls_force_insecure_host_tlsa_lookup" FLAG = "no", Smtp, NotYet;
    /// The key of smtp_tls_cert_file.
    "smtp_tls_key_file" TEXT = "$smtp_tls_cert_file", Smtp, NotYet;
    /// How much of TLS is logged: 0 nothing; 1 and more, up to 4: a line for each handshake.
    "smtp_tls_loglevel" COUNT = "0", Smtp, Works;
    /// The least grade of ciphers where TLS is mandatory.
    "smtp_tls_mandatory_ciphers" word(&["export", "low", "medium", "high", "null"]) = "medium", Smtp, NotYet;
    /// Ciphers that are not used where TLS is mandatory.
    "smtp_tls_mandatory_exclude_ciphers" TEXT = "", Smtp, NotYet;
    /// The TLS versions where TLS is mandatory.
    "smtp_tls_mandatory_protocols" TEXT = ">=TLSv1", Smtp, NotYet;
    /// Log the names of servers that offer TLS while we do not use it.
    "smtp_tls_note_starttls_offer" FLAG = "no", Smtp, NotYet;
    /// Levels of TLS by nexthop and host name; superseded by smtp_tls_policy_maps.
    "smtp_tls_per_site" TEXT = "", Smtp, NotYet;
    /// Levels of TLS, and what goes with them, by nexthop.
    "smtp_tls_policy_maps" TABLES = "", Smtp, NotYet;
    /// The TLS versions where TLS is optional.
    "smtp_tls_protocols" TEXT = ">=TLSv1", Smtp, NotYet;
    /// The greatest depth of a server's certificate chain.
    "smtp_tls_scert_verifydepth" COUNT = "9", Smtp, NotYet;
    /// The names that a certificate may have at level secure.
    "smtp_tls_secure_cert_match" LIST = "nexthop, dot-nexthop", Smtp, NotYet;
    /// How TLS is used unless a policy says otherwise: none, may, encrypt, dane, dane-only, fingerprint,
    /// verify, secure.
    "smtp_tls_security_level" word(&["", "none", "may", "encrypt", "dane", "dane-only", "half-dane", "fingerprint", "verify", "secure"]) = "", Smtp, Works;
    /// The name sent with SNI.
    "smtp_tls_servername" TEXT = "", Smtp, NotYet;
    /// Where TLS sessions are kept for resumption.
    "smtp_tls_session_cache_database" TEXT = "", Smtp, NotYet;
    /// How long they are kept.
    "smtp_tls_session_cache_timeout" time(Unit::Seconds, 1, INT_MAX) = "3600s", Smtp, NotYet;
    /// Files with certificates or keys that vouch for servers, instead of the authorities.
    "smtp_tls_trust_anchor_file" TEXT = "", Smtp, NotYet;
    /// The names that a certificate may have at level verify.
    "smtp_tls_verify_cert_match" LIST = "hostname", Smtp, NotYet;
    /// Begin with TLS at once, without STARTTLS.
    "smtp_tls_wrappermode" FLAG = "no", Smtp, NotYet;
    /// Use TLS where it is offered; superseded by smtp_tls_security_level.
    "smtp_use_tls" FLAG = "no", Smtp, Works;
    /// Insist on TLS; superseded by smtpd_tls_security_level.
    "smtpd_enforce_tls" FLAG = "no", Smtpd, Works;
    /// How long the TLS handshake may take.
    "smtpd_starttls_timeout" time(Unit::Seconds, 1, INT_MAX) = "${stress?{10}:{300}}s", Smtpd, Works;
    /// A file of certificate authorities that vouch for clients.
    "smtpd_tls_CAfile" TEXT = "", Smtpd, NotYet;
    /// A directory of such files.
    "smtpd_tls_CApath" TEXT = "", Smtpd, NotYet;
    /// Give a session id even to clients whose sessions are not kept.
    "smtpd_tls_always_issue_session_ids" FLAG = "yes", Smtpd, NotYet, since "2.3";
    /// Ask clients for a certificate.
    "smtpd_tls_ask_ccert" FLAG = "no", Smtpd, NotYet;
    /// Announce and accept AUTH only within TLS.
    "smtpd_tls_auth_only" FLAG = "no", Smtpd, NotYet;
    /// The greatest depth of a client's certificate chain.
    "smtpd_tls_ccert_verifydepth" COUNT = "9", Smtpd, NotYet;
    /// The server's RSA certificate chain in PEM, its own certificate first.
    "smtpd_tls_cert_file" TEXT = "", Smtpd, Works;
    /// Files with keys and certificate chains of the server; they replace the separate files.
    "smtpd_tls_chain_files" TEXT = "", Smtpd, NotYet;
    /// An OpenSSL list of ciphers, in old releases.
    "smtpd_tls_cipherlist" TEXT = OLD, Smtpd, NotYet;
    /// The least grade of ciphers.
    "smtpd_tls_ciphers" word(&["export", "low", "medium", "high", "null"]) = "medium", Smtpd, NotYet, since "2.6";
    /// The server's DSA certificate chain.
    "smtpd_tls_dcert_file" TEXT = "", Smtpd, NotYet;
    /// Parameters of the Diffie-Hellman exchange.
    "smtpd_tls_dh1024_param_file" TEXT = "", Smtpd, NotYet;
    /// Parameters of the export-grade Diffie-Hellman exchange.
    "smtpd_tls_dh512_param_file" TEXT = "", Smtpd, NotYet;
    /// The key of smtpd_tls_dcert_file.
    "smtpd_tls_dkey_file" TEXT = "$smtpd_tls_dcert_file", Smtpd, NotYet;
    /// The server's ECDSA certificate chain.
    "smtpd_tls_eccert_file" TEXT = "", Smtpd, NotYet, since "2.6";
    /// The key of smtpd_tls_eccert_file.
    "smtpd_tls_eckey_file" TEXT = "$smtpd_tls_eccert_file", Smtpd, NotYet, since "2.6";
    /// Which elliptic curves are used for the key exchange.
    "smtpd_tls_eecdh_grade" TEXT = "auto", Smtpd, NotYet, since "2.6";
    /// Ciphers that are never used.
    "smtpd_tls_exclude_ciphers" TEXT = "", Smtpd, NotYet;
    /// The digest of fingerprints of client certificates.
    "smtpd_tls_fingerprint_digest" TEXT = "${{$compatibility_level} <level {3.6} ? {md5} : {sha256}}", Smtpd, NotYet, since "2.5";
    /// The key of smtpd_tls_cert_file.
    "smtpd_tls_key_file" TEXT = "$smtpd_tls_cert_file", Smtpd, Works;
    /// How much of TLS is logged: 0 nothing; 1 and more, up to 4: a line for each handshake.
    "smtpd_tls_loglevel" COUNT = "0", Smtpd, Works;
    /// The least grade of ciphers where TLS is mandatory.
    "smtpd_tls_mandatory_ciphers" word(&["export", "low", "medium", "high", "null"]) = "medium", Smtpd, NotYet;
    /// Ciphers that are not used where TLS is mandatory.
    "smtpd_tls_mandatory_exclude_ciphers" TEXT = "", Smtpd, NotYet;
    /// The TLS versions where TLS is mandatory.
    "smtpd_tls_mandatory_protocols" TEXT = ">=TLSv1", Smtpd, NotYet;
    /// The TLS versions where TLS is optional.
    "smtpd_tls_protocols" TEXT = ">=TLSv1", Smtpd, NotYet, since "2.6";
    /// Show protocol and cipher in the Received field.
    "smtpd_tls_received_header" FLAG = "no", Smtpd, Works;
    /// Insist on a client certificate where TLS is mandatory.
    "smtpd_tls_req_ccert" FLAG = "no", Smtpd, NotYet;
    /// How TLS is offered: none, may, or encrypt, which refuses mail without it.
    "smtpd_tls_security_level" word(&["", "none", "may", "encrypt", "dane", "dane-only", "half-dane", "fingerprint", "verify", "secure"]) = "", Smtpd, Works;
    /// Where TLS sessions are kept for resumption.
    "smtpd_tls_session_cache_database" TEXT = "", Smtpd, NotYet;
    /// How long they are kept.
    "smtpd_tls_session_cache_timeout" time(Unit::Seconds, 1, INT_MAX) = "3600s", Smtpd, NotYet;
    /// Begin with TLS at once, without STARTTLS, as on port 465.
    "smtpd_tls_wrappermode" FLAG = "no", Smtpd, Works;
    /// Offer TLS; superseded by smtpd_tls_security_level.
    "smtpd_use_tls" FLAG = "no", Smtpd, Works;
    /// Trust the authorities of the system as well.
    "tls_append_default_CA" FLAG = "no", Tls, NotYet;
    /// The configuration file of OpenSSL.
    "tls_config_file" TEXT = "default", Tls, NotYet;
    /// The part of that file that is used.
    "tls_config_name" TEXT = "", Tls, NotYet;
    /// Octets of chance that a daemon of Postfix asks its tlsmgr for.
    "tls_daemon_random_bytes" COUNT = "32", Tls, Moot;
    /// Digests of TLSA records, best first.
    "tls_dane_digests" LIST = "sha512 sha256", Tls, NotYet;
    /// Workarounds of OpenSSL that are switched off.
    "tls_disable_workarounds" TEXT = "", Tls, NotYet, since "2.8";
    /// The curves of grade auto.
    "tls_eecdh_auto_curves" TEXT = "X25519 X448 prime256v1 secp521r1 secp384r1", Tls, NotYet;
    /// The curve of grade strong.
    "tls_eecdh_strong_curve" TEXT = "prime256v1", Tls, NotYet, since "2.6";
    /// The curve of grade ultra.
    "tls_eecdh_ultra_curve" TEXT = "secp384r1", Tls, NotYet, since "2.6";
    /// The OpenSSL list of ciphers of grade export.
    "tls_export_cipherlist" TEXT = "aNULL:-aNULL:HIGH:MEDIUM:LOW:EXPORT:+RC4:@STRENGTH", Tls, NotYet;
    /// End TLS without waiting for the peer's end.
    "tls_fast_shutdown_enable" FLAG = "yes", Tls, NotYet;
    /// The OpenSSL list of ciphers of grade high.
    "tls_high_cipherlist" TEXT = "aNULL:-aNULL:HIGH:@STRENGTH", Tls, NotYet;
    /// Compute fingerprints of keys as old releases did.
    "tls_legacy_public_key_fingerprints" FLAG = "no", Tls, NotYet;
    /// The OpenSSL list of ciphers of grade low.
    "tls_low_cipherlist" TEXT = "aNULL:-aNULL:HIGH:MEDIUM:LOW:+RC4:@STRENGTH", Tls, NotYet;
    /// The OpenSSL list of ciphers of grade medium.
    "tls_medium_cipherlist" TEXT = "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH", Tls, NotYet;
    /// The OpenSSL list of ciphers without encryption.
    "tls_null_cipherlist" TEXT = "eNULL:!aNULL", Tls, NotYet;
    /// The server's order of ciphers counts, not the client's.
    "tls_preempt_cipherlist" FLAG = "no", Tls, NotYet, since "2.8";
    "tls_random_bytes" COUNT = "32", Tls, Moot;
    "tls_random_exchange_name" TEXT = "${data_directory}/prng_exch", Tls, Moot;
    "tls_random_prng_update_period" SECONDS = "3600s", Tls, Moot;
    "tls_random_reseed_period" SECONDS = "3600s", Tls, Moot;
    "tls_random_source" TEXT = "dev:/dev/urandom", Tls, Moot;
    /// Keys and certificates by the name that a client sends with SNI.
    "tls_server_sni_maps" TABLES = "", Tls, NotYet;
    /// The cipher of session tickets.
    "tls_session_ticket_cipher" TEXT = "aes-256-cbc", Tls, NotYet;
    /// Options of OpenSSL.
    "tls_ssl_options" LIST = "", Tls, NotYet;
    /// Let `*.example.com` match names of several labels.
    "tls_wildcard_matches_multiple_labels" FLAG = "yes", Tls, NotYet;
    "tlsmgr_service_name" TEXT = "tlsmgr", Smtpd, Moot;
}
