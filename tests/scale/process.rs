//! What the kernel knows of a process.

use std::fs;

/// Octets of anonymous memory that are resident.
pub(crate) fn anonymous(process: u32) -> u64 {
    status(process, "RssAnon:")
}

fn status(process: u32, name: &str) -> u64 {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line =
        text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{path}: no {name}"));
    let number = line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    number.unwrap_or_else(|| panic!("{path}: {line}")) * 1024
}

/// Empties the kernel's cache of files, so that the next start reads the disk; false where that is not permitted.
pub(crate) fn drop_caches() -> bool {
    _ = std::process::Command::new("sync").status();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}
