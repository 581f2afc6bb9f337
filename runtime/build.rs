//! Tells the daemon which commit it is built from: a recording says so (docs/RECORDING.md).

#[path = "build/commit.rs"]
mod commit;

fn main() {
    commit::tell(&["core", "runtime"]);
}
