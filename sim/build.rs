//! Tells the simulator which commit it is built from: a seed means something only together with it.

#[path = "../runtime/build/commit.rs"]
mod commit;

fn main() {
    commit::tell(&["core", "runtime", "sim"]);
    println!("cargo::rerun-if-changed=../runtime/build/commit.rs");
}
