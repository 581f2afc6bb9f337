//! The recipients that a message names itself: `sendmail -t`.
//!
//! To, Cc and Bcc; where there are Resent fields only those, as sendmail(1) says. Bcc fields are taken out later, by
//! `message_drop_headers`.

use crate::wire::address_list;

const FIRST: [&str; 3] = ["to", "cc", "bcc"];
const RESENT: [&str; 3] = ["resent-to", "resent-cc", "resent-bcc"];

/// Addresses in external form, in the order of the fields. Lines may end in LF or CRLF.
#[must_use]
pub fn recipients_of(message: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(message);
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().take_while(|line| !line.is_empty()) {
        match fields.last_mut() {
            Some((_, value)) if line.starts_with([' ', '\t']) => {
                value.push(' ');
                value.push_str(line.trim());
            }
            _ => {
                let Some((name, value)) = line.split_once(':') else { break };
                fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
    }
    let resent = fields.iter().any(|(name, _)| RESENT.contains(&name.as_str()));
    let wanted = if resent { RESENT } else { FIRST };
    let named = fields.iter().filter(|(name, _)| wanted.contains(&name.as_str()));
    named.flat_map(|(_, value)| address_list::mailboxes(value)).map(|mailbox| mailbox.external()).collect()
}

#[cfg(test)]
mod tests {
    use super::recipients_of;

    #[test]
    fn a_message_names_its_recipients_over_folded_lines() {
        let message = b"To: A <a@x.test>,\n b@x.test\nSubject: To: c@x.test\nBcc: d@x.test\n\nTo: e@x.test\n";
        assert_eq!(recipients_of(message), ["a@x.test", "b@x.test", "d@x.test"]);
    }

    #[test]
    fn resent_fields_replace_the_first_ones() {
        let message = b"To: a@x.test\r\nResent-To: b@x.test\r\n\r\n";
        assert_eq!(recipients_of(message), ["b@x.test"]);
    }
}
