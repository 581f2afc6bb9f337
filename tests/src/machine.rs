//! What a figure was measured on: without that it says little.

use std::fs;
use std::path::Path;
use std::process::Command;

fn said(command: &mut Command) -> String {
    let out = command.output().map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    out.unwrap_or_default()
}

/// Processors, memory, kernel, the disk below a folder, and the commit, in two lines.
#[must_use]
pub fn about(folder: &Path) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let memory = memory.lines().next().unwrap_or_default().replace("MemTotal:", "");
    let disk = said(Command::new("df").arg("--output=fstype").arg(folder));
    let commit = said(Command::new("git").args(["describe", "--always", "--dirty"]));
    format!(
        "machine: {count} × {}, {} of memory, Linux {}\nqueues on: {}; Postrider {} ({commit})\n",
        model.trim_start_matches([' ', '\t', ':']),
        memory.trim(),
        read("/proc/sys/kernel/osrelease").trim(),
        disk.lines().last().unwrap_or_default().trim(),
        env!("CARGO_PKG_VERSION"),
    )
}
