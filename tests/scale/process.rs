//! What the kernel knows of a process.

use postrider_tests::process::{memory_of, processor_seconds};
use std::fs;

/// Octets of anonymous memory that are resident.
pub(crate) fn anonymous(process: u32) -> u64 {
    memory_of(process, "RssAnon") * 1024
}

/// Empties the kernel's cache of files, so that the next start reads the disk; false where that is not permitted.
pub(crate) fn drop_caches() -> bool {
    _ = std::process::Command::new("sync").status();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Waits until a process has next to nothing to do.
pub(crate) fn wait_until_idle(process: u32) {
    let mut before = processor_seconds(process);
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let now = processor_seconds(process);
        if now - before < 0.02 {
            return;
        }
        before = now;
    }
}
