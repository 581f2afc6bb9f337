//! Postrider beside Debian's Postfix, and every figure of speed and memory that the project promises.
//!
//! `just bench` measures all rows, `just bench relay parse` some. Both servers run from one configuration directory, one after the
//! other, with their queues on a real disk; the generator and the sink are Postfix's own. The table goes to standard output, the raw
//! figures of every round to a file. Options: `--rounds N`, `--messages N`, `--dir DIR` (a folder on a real disk), `--raw FILE`.

mod clients;
mod figures;
mod idle;
mod large;
mod load;
mod parse;
mod rates;
mod record;
mod server;
mod slow;
mod syncs;
mod tls;

use figures::Report;
use server::Rig;
use std::path::PathBuf;
use std::process::ExitCode;

/// What the command line says.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    rounds: usize,
    messages: usize,
    directory: PathBuf,
    raw: PathBuf,
    rows: Vec<String>,
}

type Measure = fn(&Rig, &Options, &mut Report);

/// Rows by name, in the order in which they are measured.
const ROWS: [(&str, Measure); 9] = [
    ("parse", |_, options, report| parse::measure(options, report)),
    ("relay", rates::relay),
    ("accept", rates::accept),
    ("keep", rates::keep),
    ("syncs", syncs::measure),
    ("idle", idle::measure),
    ("large", large::measure),
    ("slow", slow::measure),
    ("record", record::measure),
];

fn options() -> Result<Options, String> {
    let beside = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = beside.parent().and_then(|folder| folder.parent()).ok_or("no target folder")?.to_owned();
    let mut options = Options {
        rounds: 5,
        messages: 10_000,
        directory: PathBuf::from(format!("/var/tmp/postrider-bench-{}", std::process::id())),
        raw: target.join("bench.tsv"),
        rows: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<usize>().map_err(|_| format!("{text} is no number"));
        match word.as_str() {
            "--rounds" => options.rounds = number(value()?)?.max(1),
            "--messages" => options.messages = number(value()?)?.max(100),
            "--dir" => options.directory = value()?.into(),
            "--raw" => options.raw = value()?.into(),
            row if ROWS.iter().any(|(name, _)| *name == row) => options.rows.push(word),
            _ => return Err(format!("unknown row {word}; rows: {}", ROWS.map(|(name, _)| name).join(", "))),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(text) => {
            eprintln!("bench: {text}");
            return ExitCode::from(64);
        }
    };
    let rig = match Rig::build(&options.directory) {
        Ok(rig) => rig,
        Err(text) => {
            eprintln!("bench: {text}");
            return ExitCode::from(71);
        }
    };
    let mut report = Report::new(&options.raw, &rig.about());
    for (name, measure) in ROWS {
        if options.rows.is_empty() || options.rows.iter().any(|row| row == name) {
            report.begin(name);
            measure(&rig, &options, &mut report);
        }
    }
    report.print();
    if report.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
