//! A dialogue, from its text to its steps, and to the world that it is played in.

use super::*;
use crate::dns::Hosts;

pub(super) fn read(text: &str) -> Result<Dialogue, Failure> {
    let mut dialogue = Dialogue::default();
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        let line = line.split_once("  # ").map_or(line, |(line, _)| line.trim_end());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(wait) = line.strip_prefix('+') {
            dialogue.steps.push((at, Step::Wait(duration(wait)?)));
            continue;
        }
        if let Some(setting) = line.strip_prefix("! ") {
            dialogue.set(setting);
            continue;
        }
        let (tag, rest) = line.split_once(':').ok_or(format!("line {at}: no tag"))?;
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let (tag, times) = match tag.split_once('*') {
            Some((tag, times)) => (tag, times.parse().map_err(|_| format!("line {at}: a number"))?),
            None => (tag, 1usize),
        };
        match tag {
            "?" => dialogue.fact(rest).ok_or(format!("line {at}: what fact is that?"))?,
            _ => {
                let step = step(tag, rest).ok_or(format!("line {at}: what step is that?"))?;
                for number in 1..=times {
                    dialogue.steps.push((at, numbered(&step, number)));
                }
            }
        }
    }
    Ok(dialogue)
}

fn step(tag: &str, rest: &str) -> Option<Step> {
    Some(match (tag, rest) {
        ("C", "[close]") => Step::Leave,
        ("C", text) => Step::Say(format!("{text}\r\n").into_bytes()),
        ("c", text) => Step::Say(unescape(text)?),
        ("S", "[close]") => Step::Closed,
        ("S", text) => Step::Hear(text.to_owned()),
        ("T", text) => Step::Secured(match text.strip_prefix("failed ") {
            Some(why) => Err(why.to_owned()),
            None => {
                let (protocol, cipher) = text.split_once(' ')?;
                Ok(TlsFacts {
                    protocol: protocol.to_owned(),
                    cipher: cipher.to_owned(),
                    cipher_bits: 256,
                    ..TlsFacts::default()
                })
            }
        }),
        ("D", _) => Step::Drain,
        ("E", text) => Step::Logged(text.to_owned()),
        ("e", text) => Step::NotLogged(text.to_owned()),
        ("H", text) => Step::Trace(text.to_owned()),
        ("=", text) => Step::Content(text.to_owned()),
        ("@", text) => Step::Envelope(text.to_owned()),
        ("M", text) => Step::Messages(text.parse().ok()?),
        ("N", "[none]") => Step::NoNotice,
        ("N", text) => Step::Notice(text.to_owned()),
        _ => return None,
    })
}

/// `C*5: RCPT TO:<u#@x>`: the number in place of `#`.
fn numbered(step: &Step, number: usize) -> Step {
    match step {
        Step::Say(octets) if octets.contains(&b'#') => {
            Step::Say(String::from_utf8_lossy(octets).replace('#', &number.to_string()).into_bytes())
        }
        other => other.clone(),
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let (mut octets, mut rest) = (Vec::new(), text.chars());
    while let Some(c) = rest.next() {
        if c != '\\' {
            octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        octets.push(match rest.next()? {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            '0' => 0,
            '\\' => b'\\',
            'x' => u8::try_from(rest.next()?.to_digit(16)? * 16 + rest.next()?.to_digit(16)?).ok()?,
            _ => return None,
        });
    }
    Some(octets)
}

fn duration(text: &str) -> Result<Duration, Failure> {
    let wrong = || format!("{text}: a time such as 5m");
    let (number, unit) = text.trim().split_at(text.trim().len().saturating_sub(1));
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => number,
        "m" => number * 60,
        "h" => number * 3600,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(seconds))
}

/// `554 5.7.1 text`.
fn reply(text: &str) -> Option<Reply> {
    let (code, text) = text.split_once(' ')?;
    let (status, text) = text.split_once(' ')?;
    let mut parts = status.split('.').map(str::parse::<u16>);
    let mut part = || parts.next()?.ok();
    let status = EnhancedStatus::new(u8::try_from(part()?).ok()?, part()?, part()?);
    Some(Reply::new(code.parse().ok()?, Some(status), text))
}

impl Dialogue {
    fn set(&mut self, text: &str) {
        match text.split_once('=') {
            None if text.trim() == "judged" => self.judged = true,
            None => self.uncut |= text.trim() == "uncut",
            Some((name, value)) => self.settings.push((name.trim().to_owned(), value.trim().to_owned())),
        }
    }

    /// What the world knows: `PTR name host`, `A name address`, `hosts line` (or `hosts broken`), `space octets`, `commit ok full broken`, `lookup table key value`,
    /// `cleanup 554 …`, or a verdict `reject RCPT key 554 …`, `hold RCPT key text`.
    fn fact(&mut self, text: &str) -> Option<()> {
        let (kind, rest) = text.split_once(' ')?;
        match kind {
            "PTR" | "A" | "AAAA" => {
                let (name, value) = rest.split_once(' ')?;
                let (kind, record) = match kind {
                    "PTR" => (RecordKind::Ptr, DnsRecord::Ptr(value.to_owned())),
                    "A" => (RecordKind::A, DnsRecord::A(value.parse().ok()?)),
                    _ => (RecordKind::Aaaa, DnsRecord::Aaaa(value.parse().ok()?)),
                };
                self.names.insert((name.to_owned(), kind), Ok(record));
            }
            "broken" => _ = self.names.insert((rest.to_owned(), RecordKind::Ptr), Err(DnsFailure::TryAgain)),
            "hosts" => self.hosts.push_str(&format!("{rest}\n")),
            "space" => self.space = rest.parse().ok(),
            "commit" => {
                for word in rest.split(' ') {
                    self.commits.push(match word {
                        "full" => Err(Refusal::Full),
                        "broken" => Err(Refusal::Broken),
                        _ => Ok(()),
                    });
                }
            }
            "lookup" => {
                let mut words = rest.splitn(3, ' ');
                self.tables
                    .insert((words.next()?.to_owned(), words.next()?.to_owned()), words.next()?.to_owned());
            }
            "cleanup" => self.script.cleanup = Some(reply(rest)?),
            verb => self.verdict(verb, rest)?,
        }
        Some(())
    }

    fn verdict(&mut self, verb: &str, rest: &str) -> Option<()> {
        let mut words = rest.splitn(3, ' ');
        let stage = match words.next()? {
            "CLIENT" => Stage::Client,
            "HELO" => Stage::Helo,
            "MAIL" => Stage::Mail,
            "RCPT" => Stage::Rcpt,
            "DATA" => Stage::Data,
            "END" => Stage::EndOfData,
            "VRFY" => Stage::Vrfy,
            _ => return None,
        };
        let (key, text) = (words.next()?.to_owned(), words.next()?.to_owned());
        let action = match verb {
            "reject" => None,
            "hold" => Some(Action::Hold(text.clone())),
            "discard" => Some(Action::Discard(text.clone())),
            "filter" => Some(Action::Filter(text.clone())),
            "prepend" => Some(Action::Prepend(text.clone())),
            "warn" => Some(Action::Log("warn", text.clone())),
            "redirect" => Some(Action::Redirect(crate::wire::Mailbox::parse(&text).ok()?)),
            "bcc" => Some(Action::Bcc(crate::wire::Mailbox::parse(&text).ok()?)),
            _ => return None,
        };
        let verdict = if action.is_none() { Verdict::Refuse(reply(&text)?) } else { Verdict::Permit };
        self.script.rules.push((stage, key, judgement(verdict, action)));
        Some(())
    }

    /// A value of a `!` line; those of main.cf and `client`, `tls_ready`.
    fn setting(&self, wanted: &str) -> Option<&str> {
        self.settings.iter().rfind(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// The rooms, made of the lines of main.cf as the daemon makes them.
    pub(super) fn config(&self) -> Config {
        let base = [
            ("compatibility_level", "3.6"),
            ("myhostname", "mx.here.example"),
            ("mydomain", "here.example"),
            ("mail_name", "Postrider"),
        ];
        let known = |(name, value): &'_ (String, String)| -> Option<(String, String)> {
            (!matches!(name.as_str(), "client" | "tls_ready")).then(|| (name.clone(), value.clone()))
        };
        let given: Vec<(String, String)> = self.settings.iter().filter_map(known).collect();
        let given = given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs: Vec<(&str, &str)> = base.into_iter().chain(given).collect();
        let tls = self.setting("smtpd_tls_security_level").is_some()
            || self.setting("smtpd_tls_wrappermode") == Some("yes");
        let ready = self.setting("tls_ready").map_or(tls, |value| value == "yes");
        let config = Config::new(&Settings::of(&pairs), ready).expect("a dialogue is configured rightly");
        Config { script: (!self.judged).then(|| self.script.clone()), ..config }
    }

    pub(super) fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Resolve { name, kind } => {
                let known = self.names.get(&(name.clone(), *kind)).cloned();
                Answer::Resolve(known.unwrap_or(Err(DnsFailure::NoSuchName)).map(|record| DnsRecords {
                    records: vec![record],
                    canonical: name.clone(),
                    valid_until: Instant(u64::MAX),
                    authentic: false,
                }))
            }
            Question::Lookup { table, key } => {
                let value = self.tables.get(&(table.0.clone(), key.clone())).cloned();
                Answer::Lookup(match value.as_deref() {
                    Some("[broken]") => Err(TableFailure { table: table.clone(), why: "scripted".into() }),
                    _ => Ok(value),
                })
            }
            Question::ListedHost { name } => {
                Answer::ListedHost(self.hosts().map(|hosts| hosts.addresses(name)))
            }
            Question::ListedName { address } => {
                Answer::ListedName(self.hosts().map(|hosts| hosts.name(*address)))
            }
            Question::FreeSpace => Answer::FreeSpace(self.space.unwrap_or(u64::MAX)),
        }
    }

    /// The hosts file, unless it is `broken`.
    fn hosts(&self) -> Result<Hosts, String> {
        if self.hosts == "broken\n" { Err("scripted".into()) } else { Ok(Hosts::read(&self.hosts)) }
    }

    pub(super) fn peer(&self) -> Peer {
        let address = self.setting("client").unwrap_or("192.0.2.1");
        Peer {
            address: address.parse().expect("a dialogue gives an address"),
            port: 40_000,
            local: "192.0.2.25".parse().expect("an address"),
        }
    }
}
