//! A network of its own for programs of a test, with a view of the file system in which each may mount what the others do not see.

use crate::{program, run};
use std::process::Command;

/// A user of every Debian system, who is nobody in particular.
pub const USER: &str = "games";

/// A network namespace with loopback; it goes with its owner.
#[derive(Debug)]
pub struct Namespace(String);

impl Namespace {
    /// Makes one with a name like this.
    ///
    /// # Panics
    /// For anybody but root.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let is_root = nix::unistd::Uid::effective().is_root();
        assert!(is_root, "network namespaces need root: run this test as root");
        let namespace = Self(format!("{name}-{}", std::process::id()));
        run(Command::new(program("ip", "iproute2")).args(["netns", "add", &namespace.0]));
        run(namespace.inside("ip").args(["link", "set", "lo", "up"]));
        namespace
    }

    /// A program in it. What it mounts is seen by it alone: `ip netns exec` makes a mount namespace as well.
    #[must_use]
    pub fn inside(&self, name: &str) -> Command {
        let mut command = Command::new(program("ip", "iproute2"));
        command.args(["netns", "exec", &self.0, name]);
        command
    }

    /// A shell in it.
    #[must_use]
    pub fn shell(&self, script: &str) -> Command {
        let mut command = self.inside("sh");
        command.args(["-c", script]);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        _ = Command::new(program("ip", "iproute2")).args(["netns", "delete", &self.0]).status();
    }
}
