//! Reads a file of `corpus/differential`: one configuration, and the situations that are played with it.
//! `corpus/differential/README.md` says what each line means.

use std::fs;
use std::path::{Path, PathBuf};

/// One configuration and its situations.
#[derive(Debug, Default)]
pub struct Setting {
    /// The file's name without its ending.
    pub name: String,
    /// Lines of main.cf behind those of every setting.
    pub main_cf: Vec<String>,
    /// Lines of master.cf behind those of every setting.
    pub master_cf: Vec<String>,
    /// Files beside main.cf: names and texts.
    pub files: Vec<(String, String)>,
    /// Users of the system: names, and what passwd(5) calls the gecos field.
    pub users: Vec<(String, String)>,
    /// Files of users: `USER/PATH` below their homes, and texts.
    pub homes: Vec<(String, String)>,
    /// What is said to all situations.
    pub common: Stage,
    /// In the order in which they are played.
    pub situations: Vec<Situation>,
}

/// What stands around the servers: records of the name server, and peers.
#[derive(Debug, Default, Clone)]
pub struct Stage {
    /// Lines for the name server: `NAME TYPE VALUE`.
    pub names: Vec<String>,
    /// Scripted servers.
    pub peers: Vec<Peer>,
}

/// A scripted server: where it listens, and rules for its replies.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// What it is called in observations.
    pub name: String,
    /// `ADDRESS:PORT`.
    pub address: String,
    /// Rules, the first that fits decides.
    pub rules: Vec<Rule>,
}

/// One rule of a peer.
#[derive(Debug, Clone)]
pub struct Rule {
    /// `GREETING`, a verb, or `.`.
    pub verb: String,
    /// Only the occurrence of this number, counted from 1.
    pub number: Option<usize>,
    /// Only lines with this in them.
    pub with: Option<String>,
    /// Text with escapes, or `[close]`, `[silence]`.
    pub reply: String,
}

/// One step of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Say a line and read the reply.
    Say(String),
    /// Have a line ready that leaves together with the next one said.
    Pipeline(String),
    /// Octets, with escapes; nothing is read.
    Octets(String),
    /// A line of content, said only behind a 354.
    Content(String),
    /// Read a reply.
    Read,
    /// Shake hands, where the last reply asked for it.
    Secure,
    /// A user runs a command, with this on its standard input.
    Run {
        /// The user.
        user: String,
        /// The command, as a shell reads it.
        command: String,
        /// Lines with escapes.
        input: Vec<String>,
    },
    /// Close without a word.
    Close,
}

/// One situation.
#[derive(Debug, Default)]
pub struct Situation {
    /// What it is about, as a sentence.
    pub title: String,
    /// Where it stands in its file, from 1.
    pub number: usize,
    /// The client's address; a friend's if none is given.
    pub from: Option<String>,
    /// The port that the client connects to.
    pub port: u16,
    /// That port speaks TLS from the first octet on.
    pub wrapped: bool,
    /// Records and peers of its own.
    pub stage: Stage,
    /// What the client does.
    pub steps: Vec<Step>,
    /// What must be seen with Postfix, or the situation is not what it says.
    pub must: Vec<String>,
    /// Lines seen only with Postfix (`-`) and only with us (`+`).
    pub differs: Vec<String>,
    /// Words of docs/differences.md that give the reason.
    pub why: Option<String>,
}

/// Where the settings are.
///
/// # Panics
/// Never: the tests are in a workspace.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("corpus/differential")
}

/// Names of all settings.
///
/// # Panics
/// When the folder cannot be read.
#[must_use]
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("corpus/differential is there");
    let mut found: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_suffix(".situations").map(str::to_owned)
        })
        .collect();
    found.sort_unstable();
    found
}

/// Reads one.
///
/// # Panics
/// When it is not there, or a line cannot be understood; the text names it.
#[must_use]
pub fn read(name: &str) -> Setting {
    let path = folder().join(format!("{name}.situations"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = Reader::default();
    reader.setting.name = name.to_owned();
    for (number, line) in text.lines().enumerate() {
        assert!(reader.line(line).is_some(), "{}:{}: not understood: {line}", path.display(), number + 1);
    }
    reader.setting
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Section {
    #[default]
    Preamble,
    Main,
    Master,
    File,
    Home,
    Around,
}

#[derive(Default)]
struct Reader {
    setting: Setting,
    section: Section,
}

impl Reader {
    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(title) = line.strip_prefix("== ") {
            let number = self.setting.situations.len() + 1;
            let title = title.to_owned();
            self.setting.situations.push(Situation { title, number, port: 25, ..Situation::default() });
            return Some(());
        }
        if let Some(situation) = self.setting.situations.last_mut() {
            return situation.line(line);
        }
        if let Some(section) = line.strip_prefix("! ") {
            self.section = match section {
                "main.cf" => Section::Main,
                "master.cf" => Section::Master,
                "around" => Section::Around,
                _ => self.named(section)?,
            };
            return Some(());
        }
        match self.section {
            Section::Main => self.setting.main_cf.push(line.to_owned()),
            Section::Master => self.setting.master_cf.push(line.to_owned()),
            Section::File | Section::Home => {
                let files = if self.section == Section::File {
                    &mut self.setting.files
                } else {
                    &mut self.setting.homes
                };
                let (_, text) = files.last_mut()?;
                text.push_str(line);
                text.push('\n');
            }
            Section::Around if !empty(line) => self.setting.common.line(line)?,
            Section::Around => {}
            Section::Preamble => return empty(line).then_some(()),
        }
        Some(())
    }

    /// A section that has a name: what its lines are.
    fn named(&mut self, section: &str) -> Option<Section> {
        let (kind, name) = section.split_once(' ')?;
        match kind {
            "file" => {
                self.setting.files.push((name.to_owned(), String::new()));
                Some(Section::File)
            }
            "home" => {
                self.setting.homes.push((name.to_owned(), String::new()));
                Some(Section::Home)
            }
            "user" => {
                let (name, gecos) = name.split_once(' ').unwrap_or((name, ""));
                self.setting.users.push((name.to_owned(), gecos.to_owned()));
                Some(Section::Preamble)
            }
            _ => None,
        }
    }
}

fn empty(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

impl Stage {
    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(record) = line.strip_prefix("name ") {
            self.names.push(record.to_owned());
        } else if let Some(peer) = line.strip_prefix("peer ") {
            let (name, address) = peer.split_once(' ')?;
            let address = if address.contains(':') { address.to_owned() } else { format!("{address}:25") };
            self.peers.push(Peer { name: name.to_owned(), address, rules: Vec::new() });
        } else {
            let rule = Rule::read(line.strip_prefix("  ")?)?;
            self.peers.last_mut()?.rules.push(rule);
        }
        Some(())
    }
}

impl Rule {
    fn read(line: &str) -> Option<Self> {
        let (which, reply) = line.split_once(" => ")?;
        let mut words = which.split(' ');
        let mut rule =
            Self { verb: words.next()?.to_owned(), number: None, with: None, reply: reply.to_owned() };
        for word in words {
            match word.strip_prefix('#') {
                Some(number) => rule.number = Some(number.parse().ok()?),
                None => rule.with = Some(word.strip_prefix('~')?.to_owned()),
            }
        }
        Some(rule)
    }
}

impl Situation {
    /// Whether a client connects; else commands are run.
    #[must_use]
    pub fn has_client(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step, Step::Run { .. }))
    }

    fn line(&mut self, line: &str) -> Option<()> {
        if empty(line) {
            return Some(());
        }
        if self.step(line).is_some() || self.expectation(line).is_some() {
            return Some(());
        }
        if let Some(address) = line.strip_prefix("from ") {
            self.from = Some(address.to_owned());
            return Some(());
        }
        if let Some(port) = line.strip_prefix("port ") {
            let (port, wrapped) = port.strip_suffix(" wrapped").map_or((port, false), |port| (port, true));
            self.port = port.parse().ok()?;
            self.wrapped = wrapped;
            return Some(());
        }
        self.stage.line(line)
    }

    fn expectation(&mut self, line: &str) -> Option<()> {
        if let Some(must) = line.strip_prefix("must: ") {
            self.must.push(must.to_owned());
        } else if let Some(why) = line.strip_prefix("why: ") {
            self.why = Some(why.to_owned());
        } else if line.starts_with("- ") || line.starts_with("+ ") {
            self.differs.push(line.to_owned());
        } else {
            return None;
        }
        Some(())
    }

    /// `C: line`, `C*3: line`, and so on; `Send: FROM TO…` is a whole message.
    fn step(&mut self, line: &str) -> Option<()> {
        let (kind, text) = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))?;
        let (kind, times) = match kind.split_once('*') {
            Some((kind, times)) => (kind, times.parse::<usize>().ok()?),
            None => (kind, 1),
        };
        if kind == "Send" {
            self.send(text);
            return Some(());
        }
        if let Some(user) = kind.strip_prefix("as ") {
            let (user, command) = (user.to_owned(), text.to_owned());
            self.steps.push(Step::Run { user, command, input: Vec::new() });
            return Some(());
        }
        for number in 1..=times {
            // A number sign is the number only where lines repeat.
            let text = if times > 1 { text.replace('#', &number.to_string()) } else { text.to_owned() };
            if kind == "I" {
                let Some(Step::Run { input, .. }) = self.steps.last_mut() else { return None };
                input.push(text);
                continue;
            }
            self.steps.push(match kind {
                "C" => Step::Say(text),
                "P" => Step::Pipeline(text),
                "c" => Step::Octets(text),
                "D" => Step::Content(text),
                "R" => Step::Read,
                "TLS" => Step::Secure,
                "X" => Step::Close,
                _ => return None,
            });
        }
        Some(())
    }

    /// EHLO, an envelope, and a message that lacks nothing.
    fn send(&mut self, text: &str) {
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let sender = words.next().unwrap_or_default().trim_matches(['<', '>']).to_owned();
        let say = |text: String| Step::Say(text);
        self.steps.push(say("EHLO client.test".to_owned()));
        self.steps.push(say(format!("MAIL FROM:<{sender}>")));
        let recipients: Vec<&str> = words.map(|word| word.trim_matches(['<', '>'])).collect();
        self.steps.extend(recipients.iter().map(|recipient| say(format!("RCPT TO:<{recipient}>"))));
        self.steps.push(say("DATA".to_owned()));
        let number = self.number;
        let lines = [
            "From: Some One <one@client.test>".to_owned(),
            "To: other@there.test".to_owned(),
            format!("Subject: situation {number}"),
            "Date: Thu, 21 Nov 2024 10:00:00 +0000".to_owned(),
            format!("Message-Id: <{number}@client.test>"),
            String::new(),
            "body".to_owned(),
        ];
        self.steps.extend(lines.into_iter().map(Step::Content));
        self.steps.push(say(".".to_owned()));
    }
}
