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

/// Seconds of processor time that a process and its threads have used.
pub(crate) fn cpu(process: u32) -> f64 {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    // Behind the name, which may contain anything.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).expect("a count of ticks");
    // Linux counts in hundredths for every program.
    (ticks(11) + ticks(12)) / 100.0
}

/// Waits until a process has next to nothing to do.
pub(crate) fn wait_until_idle(process: u32) {
    let mut before = cpu(process);
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let now = cpu(process);
        if now - before < 0.02 {
            return;
        }
        before = now;
    }
}
