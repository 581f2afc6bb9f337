//! What a server asks of TLS: one answer for the session that offers it, for who loads the certificate, and for who judges a configuration.
//!
//! `smtpd_tls_security_level`; where it is empty, the names of old configurations: `smtpd_enforce_tls`, `smtpd_use_tls`.

use super::Settings;

/// Whether TLS is offered or demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ServerTls {
    /// Neither.
    #[default]
    None,
    /// Offered.
    May,
    /// Demanded before MAIL.
    Encrypt,
}

/// Levels of a client, with which it looks at a server's certificate. As in Postfix, a server can only take them to be strict.
const OF_CLIENTS: [&str; 3] = ["fingerprint", "verify", "secure"];

impl ServerTls {
    /// Of the settings of one service.
    ///
    /// # Errors
    /// The level is none of a server: what is wrong.
    pub fn of(settings: &Settings) -> Result<Self, String> {
        let level = settings.text("smtpd_tls_security_level");
        match level.to_ascii_lowercase().as_str() {
            "" if settings.flag("smtpd_enforce_tls") => Ok(Self::Encrypt),
            "" if settings.flag("smtpd_use_tls") => Ok(Self::May),
            "" | "none" => Ok(Self::None),
            "may" => Ok(Self::May),
            "encrypt" => Ok(Self::Encrypt),
            word if OF_CLIENTS.contains(&word) => Ok(Self::Encrypt),
            // The DANE levels are for who connects; smtpd(8) does not start with them either.
            _ => Err(format!("{level} is no level of a server: none, may or encrypt expected")),
        }
    }

    /// TLS is offered or demanded, after STARTTLS or from the first octet on: a certificate is needed.
    #[must_use]
    pub fn is_wanted(settings: &Settings) -> bool {
        settings.flag("smtpd_tls_wrappermode") || !matches!(Self::of(settings), Ok(Self::None))
    }

    /// Nobody gets as far as MAIL without TLS.
    #[must_use]
    pub fn is_mandatory(settings: &Settings) -> bool {
        settings.flag("smtpd_tls_wrappermode") || matches!(Self::of(settings), Ok(Self::Encrypt) | Err(_))
    }

    /// The level is one of clients, and taken for `encrypt`.
    #[must_use]
    pub(super) fn is_of_clients(level: &str) -> bool {
        OF_CLIENTS.contains(&level.to_ascii_lowercase().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_count_where_there_is_no_level_and_levels_of_clients_are_strict() {
        for (pairs, level) in [
            (&[][..], ServerTls::None),
            (&[("smtpd_use_tls", "yes")], ServerTls::May),
            (&[("smtpd_enforce_tls", "yes")], ServerTls::Encrypt),
            (&[("smtpd_enforce_tls", "yes"), ("smtpd_tls_security_level", "may")], ServerTls::May),
            (&[("smtpd_use_tls", "yes"), ("smtpd_tls_security_level", "none")], ServerTls::None),
            (&[("smtpd_tls_security_level", "verify")], ServerTls::Encrypt),
            (&[("smtpd_tls_security_level", "secure")], ServerTls::Encrypt),
            (&[("smtpd_tls_security_level", "fingerprint")], ServerTls::Encrypt),
        ] {
            let settings = Settings::of(pairs);
            assert_eq!(ServerTls::of(&settings), Ok(level), "{pairs:?}");
            assert_eq!(ServerTls::is_wanted(&settings), level != ServerTls::None, "{pairs:?}");
            assert_eq!(ServerTls::is_mandatory(&settings), level == ServerTls::Encrypt, "{pairs:?}");
        }
        let dane = Settings::of(&[("smtpd_tls_security_level", "dane")]);
        assert!(ServerTls::of(&dane).is_err_and(|why| why.contains("no level of a server")));
        let wrapped = Settings::of(&[("smtpd_tls_wrappermode", "yes")]);
        assert!(ServerTls::is_wanted(&wrapped) && ServerTls::is_mandatory(&wrapped));
    }
}
