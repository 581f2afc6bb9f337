//! A configuration as text again: what the machines are made of, without comments and without passwords.

use super::Config;
use super::lines::logical_lines;

/// Names whose values are nobody's business.
fn is_secret(name: &str) -> bool {
    name.to_ascii_lowercase().contains("password")
}

impl Config {
    /// Texts of main.cf and master.cf that say the same.
    #[must_use]
    pub fn texts(&self) -> (String, String) {
        let lines = self.main.iter().filter(|(name, _)| !is_secret(name));
        let main = lines.map(|(name, assigned)| format!("{name} = {}\n", assigned.value)).collect();
        let master = logical_lines(&self.master_text).into_iter().filter(|line| !line.indented);
        (main, master.map(|line| without_secrets(&line.text) + "\n").collect())
    }

    /// The first line of the file that `myorigin` names, as it was read.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// What the host is.
    #[must_use]
    pub const fn host(&self) -> &super::Host {
        &self.host
    }
}

/// A line of master.cf in which `-o name_with_password=value` and `-o { name_with_password = value }` have lost their values.
fn without_secrets(line: &str) -> String {
    let (mut kept, mut hiding) = (Vec::new(), false);
    for word in line.split_whitespace() {
        if hiding {
            hiding = !word.ends_with('}');
            continue;
        }
        match word.split_once('=') {
            Some((name, _)) if is_secret(name) => kept.push(format!("{name}=")),
            None if is_secret(word) => {
                hiding = true;
                kept.push(format!("{word} = }}"));
            }
            _ => kept.push(word.to_owned()),
        }
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use crate::params::{Config, Host};

    #[test]
    fn the_texts_say_the_same_without_comments_and_passwords() {
        let main = "# secret comment\nmyhostname = mail.example\nrelayhost =\n  [mx.example]\nsmtp_sasl_password_maps = static:u:pw\n";
        let master = "smtp inet n - n - - smtpd\n  # here too\n  -o soft_bounce=yes\n  -o smtp_sasl_password_maps=static:u:pw\n  -o { smtp_sasl_password_maps = static:u:pw } -o relayhost=x\n";
        let (config, _) = Config::read(main, master, Host::default());
        let (main, master) = config.texts();
        assert!(!main.contains("pw") && !master.contains("pw") && !main.contains("secret"), "{main}{master}");
        let (again, _) = Config::read(&main, &master, Host::default());
        let service = Some("smtp/inet");
        assert_eq!(again.settings(service).text("relayhost"), "x");
        assert_eq!(again.settings(None).text("relayhost"), config.settings(None).text("relayhost"));
        assert!(again.settings(service).flag("soft_bounce"));
        assert_eq!(again.services().len(), 1);
    }
}
