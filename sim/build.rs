//! Tells the simulator which commit it is built from: a seed means something only together with it.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../.git/HEAD");
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    if let Some(output) = output.ok().filter(|output| output.status.success()) {
        println!("cargo::rustc-env=POSTRIDER_COMMIT={}", String::from_utf8_lossy(&output.stdout).trim());
    }
}
