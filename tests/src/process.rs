//! What the kernel knows of a process.

use std::fs;

/// A line of `/proc/PROCESS/status` about memory (`VmSize`, `VmPeak`, `RssAnon`), in kilobytes.
///
/// # Panics
/// When there is no such process, or no such line.
#[must_use]
pub fn memory_of(process: u32, name: &str) -> u64 {
    kilobytes(&format!("/proc/{process}/status"), name)
}

/// Kilobytes of anonymous memory, exactly: the count in its status lags behind.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn anonymous(process: u32) -> u64 {
    kilobytes(&format!("/proc/{process}/smaps_rollup"), "Anonymous")
}

fn kilobytes(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("{path}: no {name} in {text}"))
}

/// Seconds of processor time that a process and its threads have used.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn processor_seconds(process: u32) -> f64 {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    // Behind the name, which may contain anything.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).expect("a count of ticks");
    // Linux counts in hundredths for every program.
    (ticks(11) + ticks(12)) / 100.0
}
