//! What stands on the command line, and TABLE of what each command takes.
//!
//! A word that the table does not have is an error, with the nearest that it has: a slip of the pen must not pass for a run.

use crate::rehearsal;
use crate::sweep::Sweep;
use postrider_core::params::check::nearest;
use postrider_sim::plan::Plan;
use postrider_sim::story::{Crash, Wish, draw};

pub(crate) const USAGE: &str = "usage: postrider-sim run SEED|PLAN [--spoken] [WISH...]
       postrider-sim swarm [--seeds N | --minutes M] [--from SEED] [--threads N] [WISH...]
       postrider-sim sweep SEED|PLAN [operations | effects [--power]] [--count N] [--letters N]
                                               the first host ends at each of them in turn; of a SEED nothing else goes wrong
       postrider-sim plan SEED [WISH...]       prints the plan of a seed
       postrider-sim replay PLAN               tells the story of a plan, each event on a line
       postrider-sim shrink SEED|PLAN [WISH...] prints the smallest plan that fails as this one does
       postrider-sim explain RECORDING [--id QUEUEID] [--session N]   why a daemon decided so
       postrider-sim check [SCOPE] [--plant BUG] model checks, exhaustive in small scopes
       postrider-sim canary [BUG] [--from SEED] [--plans DIR]   plants bugs, one at a time; keeps a plan that shows each
       in a build with the feature planted, --plant BUG goes with each of these
       postrider-sim scale [MESSAGES [FILE.svg]]
       postrider-sim rehearse -c CONFIG_DIR [OPTION...] SCENARIO.toml
wishes, of what is drawn from a SEED:
        --calm          nothing goes wrong but what is asked for
        --letters N     about so many letters in place of fifty
        --crash-at N    the first host loses power at its Nth spool operation
        --lying-disks   disks say that they have synced, and have not";

/// What comes with an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum With {
    Nothing,
    Number,
    Word,
}

/// A command: its words at least and at most, and its options.
struct Form {
    name: &'static str,
    words: (usize, usize),
    options: &'static [(&'static str, With)],
}

/// Why a command did not run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody understands the command line.
    Misused(String),
    /// Something that it names can not be read or written.
    Failed(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

const WISHES: &[(&str, With)] = &[
    ("--calm", With::Nothing),
    ("--letters", With::Number),
    ("--crash-at", With::Number),
    ("--lying-disks", With::Nothing),
];

/// Whether there are bugs to plant.
const PLANTED: bool = cfg!(feature = "planted");

const FORMS: &[Form] = &[
    Form { name: "run", words: (1, 1), options: &[("--spoken", With::Nothing)] },
    Form {
        name: "swarm",
        words: (0, 0),
        options: &[
            ("--seeds", With::Number),
            ("--minutes", With::Number),
            ("--from", With::Number),
            ("--threads", With::Number),
        ],
    },
    Form {
        name: "sweep",
        words: (1, 2),
        options: &[("--count", With::Number), ("--letters", With::Number), ("--power", With::Nothing)],
    },
    Form { name: "plan", words: (1, 1), options: &[] },
    Form { name: "replay", words: (1, 1), options: &[] },
    Form { name: "shrink", words: (1, 1), options: &[] },
    Form { name: "explain", words: (1, 1), options: &[("--id", With::Word), ("--session", With::Number)] },
    Form { name: "check", words: (0, 1), options: &[] },
    Form { name: "canary", words: (0, 1), options: &[("--from", With::Number), ("--plans", With::Word)] },
    Form { name: "caught", words: (1, 1), options: &[("--from", With::Number), ("--plans", With::Word)] },
    Form { name: "scale", words: (0, 2), options: &[] },
    Form {
        name: "rehearse",
        words: (1, 1),
        options: &[
            ("-c", With::Word),
            ("--compare", With::Word),
            ("--sweep", With::Word),
            ("--seeds", With::Number),
            ("--from", With::Number),
            ("--out", With::Word),
            ("--threads", With::Number),
        ],
    },
];

/// Commands whose stories a wish changes.
const WISHFUL: [&str; 5] = ["run", "swarm", "plan", "replay", "shrink"];

impl Form {
    fn usage(&self) -> &'static str {
        if self.name == "rehearse" { rehearsal::USAGE } else { USAGE }
    }

    fn options(&self) -> impl Iterator<Item = (&'static str, With)> {
        let wishes = if WISHFUL.contains(&self.name) { WISHES } else { &[] };
        let plant = PLANTED.then_some(("--plant", With::Word));
        self.options.iter().chain(wishes).copied().chain(plant)
    }
}

/// What stands on the command line.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) command: &'static str,
    pub(crate) words: Vec<String>,
    options: Vec<(&'static str, String)>,
}

impl Arguments {
    /// The usage, where a command line asks for it.
    pub(crate) fn help(line: &[String]) -> Option<&'static str> {
        let asks = line.first().is_some_and(|word| word == "help")
            || line.iter().any(|word| matches!(word.as_str(), "--help" | "-h"));
        let form = FORMS.iter().find(|form| line.iter().take(2).any(|word| word == form.name));
        asks.then(|| form.map_or(USAGE, Form::usage))
    }

    /// Reads a command line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(line: &[String]) -> Result<Self, String> {
        let (name, rest) = line.split_first().ok_or(USAGE)?;
        let form = FORMS.iter().find(|form| form.name == name).ok_or_else(|| {
            let commands = FORMS.iter().map(|form| form.name);
            unknown(&format!("there is no command {name}"), name, commands, USAGE)
        })?;
        let mut arguments = Self { command: form.name, ..Self::default() };
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            if !word.starts_with('-') {
                arguments.words.push(word.clone());
                continue;
            }
            let (option, with) = form.options().find(|(option, _)| option == word).ok_or_else(|| {
                let text = format!("{} has no option {word}", form.name);
                unknown(&text, word, form.options().map(|(option, _)| option), form.usage())
            })?;
            let value = if with == With::Nothing { None } else { Some(rest.next()) };
            let value = match value {
                Some(None) => return Err(format!("{option} wants a value")),
                Some(Some(value)) if with == With::Number && value.parse::<u64>().is_err() => {
                    return Err(format!("{option} wants a number, not {value}"));
                }
                Some(Some(value)) => value.clone(),
                None => String::new(),
            };
            arguments.options.push((option, value));
        }
        let (least, most) = form.words;
        match arguments.words.get(most) {
            Some(word) => Err(format!("{}: what is {word}?\n{}", form.name, form.usage())),
            None if arguments.words.len() < least => Err(form.usage().to_owned()),
            None => Ok(arguments),
        }
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.word(name).is_some()
    }

    /// The number of an option of which 0 would be nothing at all.
    ///
    /// # Errors
    /// When it is 0.
    pub(crate) fn some(&self, name: &str, nothing: &str) -> Result<Option<u64>, Failure> {
        match self.number(name) {
            Some(0) => Err(Failure::Misused(format!("{name} 0: nothing would be {nothing}"))),
            number => Ok(number),
        }
    }

    /// The number of an option; the last counts.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.word(name)?.parse().ok()
    }

    /// The value of an option; the last counts.
    pub(crate) fn word(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// All values of an option that may be repeated.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.options.iter().filter(move |(option, _)| *option == name).map(|(_, value)| value.as_str())
    }

    /// A word behind the command.
    pub(crate) fn nth(&self, place: usize) -> Option<&str> {
        self.words.get(place).map(String::as_str)
    }

    /// A word that is a number.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn count(&self, place: usize) -> Result<Option<u64>, Failure> {
        let number = |word: &str| {
            word.parse().map_err(|_| Failure::Misused(format!("{} wants a number, not {word}", self.command)))
        };
        self.nth(place).map(number).transpose()
    }

    pub(crate) fn wish(&self) -> Wish {
        Wish {
            calm: self.flag("--calm"),
            letters: self.number("--letters"),
            crash_at: self.number("--crash-at"),
            lying_disks: self.flag("--lying-disks"),
        }
    }

    /// The first word, where that is a file and no seed.
    pub(crate) fn file(&self) -> Option<&str> {
        self.nth(0).filter(|word| word.parse::<u64>().is_err())
    }

    /// The plan that the first word names: a seed, or a file.
    ///
    /// # Errors
    /// In words, where the file holds none, or a wish would change nothing.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        self.plan_of(self.wish())
    }

    fn plan_of(&self, wish: Wish) -> Result<Plan, Failure> {
        let word = self.nth(0).unwrap_or_default();
        if let Ok(seed) = word.parse() {
            return Ok(Plan::of(seed, draw(seed, wish)));
        }
        // A sweep has letters of its own: it shortens whatever it is given.
        let mut wished = WISHES.iter().filter(|_| WISHFUL.contains(&self.command));
        if let Some((wish, _)) = wished.find(|(wish, _)| self.flag(wish)) {
            let why = format!(
                "{wish} is for a story that is drawn from a seed; {word} is a plan, and told as it is"
            );
            return Err(Failure::Misused(why));
        }
        let text = std::fs::read_to_string(word).map_err(|error| format!("{word}: {error}"))?;
        Ok(Plan::parse(&text).map_err(|error| format!("{word}: {error}"))?)
    }

    /// The sweep that is asked for.
    ///
    /// # Errors
    /// In words, where it is none.
    pub(crate) fn sweep(&self) -> Result<Sweep, Failure> {
        let how = match (self.nth(1).unwrap_or("operations"), self.flag("--power")) {
            ("operations", false) => Crash::AtOperation,
            ("effects", false) => Crash::Kill,
            ("effects", true) => Crash::Power,
            ("operations", true) => {
                let why = "--power goes with effects: at operations of the disk power is lost anyway";
                return Err(Failure::Misused(why.to_owned()));
            }
            (word, _) => {
                let why = format!("there is no sweep of {word}, only of operations and of effects");
                return Err(Failure::Misused(why));
            }
        };
        let mut plan = self.plan_of(Wish { calm: true, ..Wish::default() })?;
        if let Some(letters) = self.number("--letters") {
            plan.scenario.shorten(usize::try_from(letters).unwrap_or(usize::MAX));
        }
        Ok(Sweep { plan, how, count: self.number("--count") })
    }
}

/// That something is not known, and what may have been meant.
pub(crate) fn unknown(
    text: &str,
    word: &str,
    known: impl Iterator<Item = &'static str>,
    usage: &str,
) -> String {
    match nearest(word, known) {
        Some(near) => format!("{text}; did you mean {near}?"),
        None => format!("{text}\n{usage}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        Arguments::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_and_options_come_in_any_order() {
        let arguments = read("run --spoken 42 --crash-at 7").expect("well formed");
        assert_eq!((arguments.command, arguments.nth(0)), ("run", Some("42")));
        assert!(arguments.flag("--spoken") && !arguments.flag("--calm"));
        assert_eq!(arguments.wish().crash_at, Some(7));
        let arguments = read("rehearse -c a --compare b --compare c week.toml").expect("well formed");
        assert_eq!(arguments.all("--compare").collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn what_is_not_known_is_told_with_the_nearest_that_is() {
        let wrong = |line: &str| read(line).expect_err(line);
        assert_eq!(wrong("swarm --sedes 5"), "swarm has no option --sedes; did you mean --seeds?");
        assert_eq!(wrong("swram"), "there is no command swram; did you mean swarm?");
        assert_eq!(wrong("swarm --seeds five"), "--seeds wants a number, not five");
        assert_eq!(wrong("swarm --minutes"), "--minutes wants a value");
        assert!(wrong("swarm 5").starts_with("swarm: what is 5?\nusage: "));
        assert!(wrong("check --calm").starts_with("check has no option --calm\nusage: "));
        assert!(wrong("run").starts_with("usage: "));
        assert!(wrong("").starts_with("usage: "));
    }

    #[test]
    fn what_would_change_nothing_is_refused() {
        let misused = |failure| match failure {
            Failure::Misused(why) => why,
            Failure::Failed(why) => panic!("{why}"),
        };
        for line in ["run some.json --calm --letters 3", "replay --calm some.json", "shrink some.json --calm"]
        {
            let why = misused(read(line).expect("well formed").plan().expect_err(line));
            assert!(why.starts_with("--calm is for a story that is drawn from a seed"), "{line}: {why}");
        }
        let sweep = |line: &str| read(line).expect("well formed").sweep();
        assert!(sweep("sweep 7 effects --power").is_ok_and(|sweep| sweep.how == Crash::Power));
        assert!(sweep("sweep 7 --count 5").is_ok_and(|sweep| sweep.count == Some(5)));
        let why = |line| misused(sweep(line).err().expect(line));
        assert!(why("sweep 7 --power").starts_with("--power goes with effects"));
        assert!(why("sweep 7 operation").starts_with("there is no sweep of operation"));
        assert!(read("sweep 7 effects operations").is_err());
    }

    #[test]
    fn who_asks_for_help_gets_the_usage() {
        let help =
            |line: &str| Arguments::help(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        for line in ["help", "-h", "--help", "help swarm", "run --help", "swarm --seeds -h"] {
            assert_eq!(help(line), Some(USAGE), "{line}");
        }
        assert_eq!(
            (help("help rehearse"), help("rehearse -h")),
            (Some(rehearsal::USAGE), Some(rehearsal::USAGE))
        );
        assert_eq!((help("run help"), help("")), (None, None));
    }

    #[test]
    fn the_usage_names_each_option_of_the_table() {
        for form in FORMS.iter().filter(|form| !matches!(form.name, "caught" | "rehearse")) {
            assert!(USAGE.contains(&format!("postrider-sim {}", form.name)), "{}", form.name);
            let options = form.options.iter().chain(WISHES);
            assert!(options.clone().all(|(option, _)| USAGE.contains(option)), "{}", form.name);
        }
    }
}
