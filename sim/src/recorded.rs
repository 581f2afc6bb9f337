//! `postrider-sim explain RECORDING`: reads the files, prints what is told, and sums up.

use crate::arguments::Arguments;
use postrider_sim::explain::{Wish, explain as explained};
use std::io::Write;
use std::path::{Path, PathBuf};

/// True when every decision came out as it was recorded.
pub(crate) fn explain(arguments: &Arguments) -> Result<bool, String> {
    let recording = arguments.nth(0).unwrap_or_default();
    let wish = Wish { id: arguments.word("--id").map(str::to_owned), session: arguments.number("--session") };
    let mut contents = Vec::new();
    for path in files(Path::new(recording))? {
        contents.push(std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    // Who reads only the first page closes the pipe: the rest is then told to nobody.
    let summary = explained(&contents, &wish, &mut |entry| _ = out.write_all(entry.text().as_bytes()));
    _ = writeln!(
        out,
        "files {}, records {}, sessions {}; decisions taken again {}, not explained {}, divergences {}, damages {}",
        contents.len(),
        summary.records,
        summary.sessions,
        summary.stimuli,
        summary.unexplained,
        summary.divergences,
        summary.damages
    );
    _ = out.flush();
    Ok(summary.divergences == 0 && summary.damages == 0)
}

/// The files of a recording: a directory's in their order, or the one named.
fn files(recording: &Path) -> Result<Vec<PathBuf>, String> {
    if !recording.is_dir() {
        return Ok(vec![recording.to_owned()]);
    }
    let failed = |error: std::io::Error| format!("{}: {error}", recording.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(recording).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "rec") {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() { Err(format!("{}: no recording is here", recording.display())) } else { Ok(found) }
}
