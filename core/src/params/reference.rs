//! docs/reference/parameters.md, printed from the table.
//!
//! A test fails when the file on disk is not what is printed here.

use super::table::{self, Kind, Row, Serves, TransportRow, Works};
use std::fmt::Write as _;

/// The whole page.
#[must_use]
pub fn page() -> String {
    let mut rows: Vec<&Row> = table::all().collect();
    rows.sort_unstable_by_key(|row| row.name);
    let mut out = String::from(HEAD);
    summary(&mut out, &rows);
    out.push_str("\n## Parameters\n\n");
    for row in rows.iter().filter(|row| !row.manual.is_empty()) {
        item(&mut out, row);
    }
    out.push_str(TRANSPORTS);
    for row in table::TRANSPORT {
        transport(&mut out, row);
    }
    out.push_str(ONLY_KNOWN);
    for row in rows.iter().filter(|row| row.manual.is_empty()) {
        item(&mut out, row);
    }
    out
}

const HEAD: &str = "\
# Parameters

Generated from the table in `core/src/params/table/` by the test `reference` of `tests/tests/parameters.rs`; do not edit.
`UPDATE=1 cargo test -p postrider-tests --test parameters` writes it anew.

Each entry: name, default as written (`postrider config -d`), kind, the Postfix program that it serves, since when Postfix
has it (where that is known), and whether it works. Names are Postfix's, and so are their defaults, except:

- those marked **ours**, which Postfix does not have;
- `smtpd_forbid_bare_newline` and `smtpd_forbid_unauth_pipelining`, which are as safe as in Postfix 3.9 and later;
- `mail_name` and `syslog_name`, which say who we are.

A parameter that is *not working yet* is read and checked, and a configuration that sets it is told so at start.
One that has *no effect* tunes a part of Postfix that does not exist here.
";

const TRANSPORTS: &str = "
## Parameters of each transport

`NAME` stands for each `unix` service of master.cf whose command delivers mail. A few transports have a row of their own above.

";

const ONLY_KNOWN: &str = "
## Known names

These are known with their kind and default, so that files that set them can be read and `postrider config` prints them.
postconf(5) says what they mean to Postfix.

";

fn summary(out: &mut String, rows: &[&Row]) {
    let count = |works: &[Works]| rows.iter().filter(|row| works.contains(&row.works)).count();
    let _ = writeln!(
        out,
        "\n{} names: {} work, {} are not working yet, {} have no effect here, {} are read by other programs only.",
        rows.len(),
        count(&[Works::Works, Works::Ours]),
        count(&[Works::NotYet]),
        count(&[Works::Moot]),
        count(&[Works::KnownElsewhere]),
    );
}

fn item(out: &mut String, row: &Row) {
    let default = match row.default {
        table::HOST => "from the host".to_owned(),
        table::OLD => "only in old releases".to_owned(),
        "" => "empty".to_owned(),
        text => code(text),
    };
    let _ = write!(out, "- **`{}`** ({default}) {}, {}", row.name, kind(row.kind), serves(row.serves));
    if !row.since.is_empty() {
        let _ = write!(out, ", since {}", row.since);
    }
    out.push_str(match row.works {
        Works::Works => ".",
        Works::NotYet => ", *not working yet*.",
        Works::Ours => ", **ours**.",
        Works::KnownElsewhere => ", *for other programs*.",
        Works::Moot => ", *no effect*.",
    });
    if !row.manual.is_empty() {
        let _ = write!(out, "\n  {}", row.manual);
    }
    out.push('\n');
}

fn transport(out: &mut String, row: &TransportRow) {
    let only = if row.commands_only { " Only for transports that run commands." } else { "" };
    let _ = writeln!(out, "- **`NAME_{}`** (`${}`).{only}", row.suffix, row.fallback);
}

/// Markdown code, also of a text that has a backtick in it.
fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::Raw => "template".into(),
        Kind::Flag => "yes or no".into(),
        Kind::Number { min: 0, max: 2_147_483_647.. } => "number".into(),
        Kind::Number { min, max: 2_147_483_647.. } => format!("number from {min}"),
        Kind::Number { min, max } => format!("number from {min} to {max}"),
        Kind::Time { unit, .. } => format!("time (bare numbers: {})", format!("{unit:?}").to_lowercase()),
        Kind::List => "list".into(),
        Kind::Tables => "lookup tables".into(),
        Kind::Matches => "match list".into(),
        Kind::Restrictions => "restrictions".into(),
        Kind::Word(words) => format!("one of: {}", shown(words)),
        Kind::Words(words) => format!("any of: {}", shown(words)),
        Kind::Feedback => "feedback".into(),
        Kind::Level => "release".into(),
    }
}

fn shown(words: &[&str]) -> String {
    words.iter().map(|word| if word.is_empty() { "empty" } else { word }).collect::<Vec<_>>().join(", ")
}

fn serves(serves: Serves) -> &'static str {
    match serves {
        Serves::Every => "every machine",
        Serves::Smtpd => "smtpd",
        Serves::Smtp => "smtp",
        Serves::Lmtp => "lmtp",
        Serves::Cleanup => "cleanup",
        Serves::Rewrite => "trivial-rewrite",
        Serves::Qmgr => "qmgr",
        Serves::Queue => "the queue",
        Serves::Bounce => "bounce",
        Serves::Local => "local",
        Serves::Virtual => "virtual",
        Serves::Pipe => "pipe",
        Serves::Discard => "error, discard",
        Serves::Verify => "verify",
        Serves::Anvil => "anvil",
        Serves::Scache => "scache",
        Serves::Flush => "flush",
        Serves::Tls => "TLS",
        Serves::Master => "master",
        Serves::Pickup => "pickup",
        Serves::Commands => "commands",
        Serves::Postscreen => "postscreen",
        Serves::Proxymap => "proxymap",
        Serves::Qmqpd => "qmqpd",
    }
}
